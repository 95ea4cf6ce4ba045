"""Files at addresses: what a mirror downloads and uploads, and what happens to it when something fails."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Condition
from typing import Any

import av
import fsspec
import numpy as np
import pytest
from clips import make_clip
from commands import TINY, call, fails
from fsspec.implementations.memory import MemoryFile
from moving_squares import make_set

import onlooker
from onlooker.config import StreamConfig
from onlooker.files import DiskFullError, atomic_file
from onlooker.storage import Mirror, StorageError, address_of, clear_mirrors, is_address, local, mirrored
from onlooker.storage.remote_video import RemoteVideo
from onlooker.structures import ClipError
from onlooker.video.decode import decode_file
from onlooker.video.stream import Source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def put(files: Any, **contents: str) -> None:
    for name, text in contents.items():
        files.pipe_file(f"/set/{name.replace('_', '/')}", text.encode())


def read(files: Any) -> dict[str, str]:
    return {path.removeprefix("/set/"): files.cat_file(path).decode() for path in files.find("/set")}


def downloaded() -> Path:
    mirror = Mirror("memory://set")
    mirror.download(quiet=True)
    return mirror.local


@pytest.mark.parametrize("text", ["s3://bucket/clips", "s3:/bucket/clips", "gs://b", "memory://a", "file:///tmp/x"])
def test_addresses(text: str) -> None:
    assert is_address(text)
    assert is_address(Path(text))


@pytest.mark.parametrize("text", ["clips", "/data/clips", "a/b:c", "C:/clips", "rtsp://camera/1", "https://host/a.mp4"])
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)


def test_a_mirror_follows_what_is_there(memory: Any) -> None:
    put(memory, a="one", deep_b="two", c="three")
    folder = downloaded()
    assert {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()} == {
        "a": "one", "b": "two", "c": "three"
    }  # fmt: skip
    before = (folder / "a").stat().st_mtime_ns
    put(memory, c="changed")
    memory.rm_file("/set/deep/b")
    downloaded()
    assert (folder / "c").read_text() == "changed"
    assert (folder / "a").stat().st_mtime_ns == before
    assert not (folder / "deep" / "b").exists()
    assert address_of(folder / "deep" / "b") == "memory://set/deep/b"
    assert address_of(folder) == "memory://set"
    assert address_of(folder.parent.parent) is None


def test_what_changes_is_uploaded_and_the_rest_is_not(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, a="one", b="two")
    sent = list[str]()
    whole = type(memory).put_file
    monkeypatch.setattr(
        type(memory), "put_file", lambda self, a, b, **more: (sent.append(b), whole(self, a, b, **more))[1]
    )
    with mirrored([Path("memory://set")], quiet=True) as mirrors:
        folder = mirrors[Path("memory://set")]
        (folder / "config.json").write_text("{}")
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text("new")
        (folder / "b").write_text("other")
        (folder / ".lock").write_text("")
    assert read(memory) == {"a": "one", "b": "other", "config.json": "{}", "model/weights": "new"}
    assert sent[-1] == "/set/config.json"
    assert sorted(sent[:-1]) == ["/set/b", "/set/model/weights"]
    sent.clear()
    with mirrored([Path("memory://set")], quiet=True):
        pass
    assert sent == []


def test_nothing_is_removed_at_an_address(memory: Any) -> None:
    put(memory, a="one", b="two")
    with mirrored([Path("memory://set")], quiet=True) as mirrors:
        (mirrors[Path("memory://set")] / "a").unlink()
    assert read(memory) == {"a": "one", "b": "two"}
    with mirrored([Path("memory://set")], quiet=True) as mirrors:
        shutil.rmtree(mirrors[Path("memory://set")].parent)  # as a cleaner of /tmp does
    assert read(memory) == {"a": "one", "b": "two"}
    assert (downloaded() / "a").read_text() == "one"


def test_changes_are_uploaded_when_the_work_fails(memory: Any) -> None:
    def work() -> None:
        with mirrored([Path("memory:/set")], quiet=True) as mirrors:
            (folder := mirrors[Path("memory:/set")]).mkdir()
            (folder / "curves.csv").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert read(memory) == {"curves.csv": "half"}


def test_changes_are_uploaded_while_the_work_goes_on(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.storage.cache._UPLOAD_EVERY", 0.02)
    with mirrored([Path("memory://set")], quiet=True) as mirrors:
        (folder := mirrors[Path("memory://set")]).mkdir()
        (folder / "curves.csv").write_text("an epoch")
        until = time.monotonic() + 10
        while not memory.exists("/set/curves.csv") and time.monotonic() < until:
            time.sleep(0.02)
        assert read(memory) == {"curves.csv": "an epoch"}


def test_an_upload_that_fails_is_reported_once_and_made_up_for(
    memory: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("onlooker.storage.cache._UPLOAD_EVERY", 0.02)
    tries, whole = list[str](), type(memory).put_file

    def refuse(self: Any, source: str, target: str, **more: Any) -> None:
        tries.append(target)
        raise PermissionError("403")

    with mirrored([Path("memory://set")], quiet=True) as mirrors:
        (folder := mirrors[Path("memory://set")]).mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(type(memory), "put_file", refuse)
            (folder / "curves.csv").write_text("an epoch")
            until = time.monotonic() + 30
            while len(tries) < 4 and time.monotonic() < until:
                time.sleep(0.02)
            assert len(tries) >= 4
        assert type(memory).put_file is whole
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    denied = "memory://set/curves.csv: access denied; check the credentials of this machine"
    again = f"the work goes on in {folder}, and uploads are tried again every 0.02 s"
    assert lines == [f"not uploaded yet: {denied}; {again}"]
    assert read(memory) == {"curves.csv": "an epoch"}


def test_a_full_disk_is_no_error_of_the_address(memory: Any, on_full_disk: Callable[[Path], None]) -> None:
    put(memory, a="one", b="two" * 100)
    mirror = Mirror("memory://set")
    mirror.local.mkdir(parents=True)
    on_full_disk(mirror.local / ".b.*.part")
    message = (
        rf"^{mirror.folder}: no space left for a copy of memory://set/b: 0\.3 kB needed, .* free; free some space, "
    )
    with pytest.raises(DiskFullError, match=message + "or set ONLOOKER_CACHE to a folder on another disk"):
        mirror.download(quiet=True)
    assert (downloaded() / "b").read_text() == "two" * 100


def test_a_run_is_loaded_while_a_command_uses_it(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.storage.cache._PATIENCE", 0.05)
    put(memory, a="one", b="two")
    opened = list[str]()
    whole = type(memory).open
    monkeypatch.setattr(
        type(memory), "open", lambda self, path, *a, **more: (opened.append(path), whole(self, path, *a, **more))[1]
    )
    with mirrored([Path("memory://set")], quiet=True) as mirrors, ThreadPoolExecutor() as pool:
        (mirrors[Path("memory://set")] / "a").write_text("not uploaded yet")
        opened.clear()
        copies = [pool.submit(local, "memory://set").result(timeout=20) for _ in range(2)]
        assert copies[0] == copies[1] != mirrors[Path("memory://set")]
        assert (copies[0] / "a").read_text() == "one"
        assert sorted(opened) == ["/set/a", "/set/b"], "each is downloaded once"
        assert address_of(copies[0]) == "memory://set"
    assert local("memory://set") == mirrors[Path("memory://set")]
    assert (local("memory://set") / "a").read_text() == "not uploaded yet"


def test_a_change_that_was_never_uploaded_stays(memory: Any) -> None:
    put(memory, a="one", b="two")
    folder = downloaded()
    (folder / "a").write_text("newer")  # and the process is killed
    put(memory, b="changed there")
    downloaded()
    assert (folder / "a").read_text() == "newer"
    assert (folder / "b").read_text() == "changed there"
    Mirror("memory://set").upload(quiet=True)
    assert read(memory) == {"a": "newer", "b": "changed there"}


def test_changes_on_both_sides_are_an_error(memory: Any) -> None:
    put(memory, a="one")
    folder = downloaded()
    (folder / "a").write_text("here")
    put(memory, a="there!")
    with pytest.raises(StorageError, match=r"memory://set/a: changed there and in its mirror, .*; remove the one"):
        downloaded()
    assert (folder / "a").read_text() == "here"


def test_an_upload_that_was_not_recorded_is_no_conflict(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = downloaded()
    folder.mkdir()
    (folder / "last.ckpt").write_text("epoch 1")
    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_write_record", lambda _: None)  # killed before it
        Mirror("memory://set").upload(quiet=True)
    assert read(memory) == {"last.ckpt": "epoch 1"}
    downloaded()
    put(memory, **{"last.ckpt": "epoch 2"})  # of the same size
    downloaded()
    assert (folder / "last.ckpt").read_text() == "epoch 2"


def test_copies_of_the_same_size_are_compared(memory: Any) -> None:
    put(memory, **{"last.ckpt": "epoch 2"})
    folder = Mirror("memory://set").local
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_text("epoch 1")
    with pytest.raises(StorageError, match="changed there and in its mirror"):
        downloaded()


def test_an_address_that_cannot_be_written_does_not_keep_others_from_it(
    memory: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = type(memory).put_file

    def refuse(self: Any, source: str, target: str, **more: Any) -> None:
        if target.startswith("/store"):
            raise PermissionError("403")
        whole(self, source, target, **more)

    monkeypatch.setattr(type(memory), "put_file", refuse)
    addresses = [Path("memory://store"), Path("memory://set")]

    def work(fails: bool) -> None:
        with mirrored(addresses, quiet=True) as mirrors:
            for folder in mirrors.values():
                folder.mkdir(exist_ok=True)
                (folder / "file").write_text(f"{fails}")
            if fails:
                raise KeyError("nan")

    with pytest.raises(KeyError, match="nan"):
        work(fails=True)
    assert "not uploaded: memory://store/file: access denied" in capsys.readouterr().err
    assert read(memory) == {"file": "True"}
    with pytest.raises(StorageError, match="memory://store/file: access denied"):
        work(fails=False)
    assert read(memory) == {"file": "False"}


def test_a_download_that_stops_goes_on(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, a="one", b="two")
    opened = type(memory).open

    def broken(self: Any, path: str, *arguments: Any, **more: Any) -> Any:
        if path.endswith("/b"):
            raise ConnectionResetError("the other side hung up")
        return opened(self, path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "open", broken)
        with pytest.raises(StorageError, match=r"memory://set/b: the other side hung up; check the address"):
            downloaded()
    folder = downloaded()
    assert {path.name for path in folder.iterdir()} == {"a", "b"}


def test_a_file_that_disappears_is_left_out(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, a="one", b="two")
    listed = Mirror._list

    def then_remove(self: Mirror) -> dict[str, tuple[str, int]]:
        found = listed(self)
        memory.rm_file("/set/b")
        return found

    monkeypatch.setattr(Mirror, "_list", then_remove)
    assert {path.name for path in downloaded().iterdir()} == {"a"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("403 Forbidden"), "access denied; check the credentials of this machine"),
        (TimeoutError("no answer"), "no answer; check the address, the network and the credentials"),
    ],
)
def test_addresses_that_refuse(memory: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    put(memory, a="one")
    monkeypatch.setattr(type(memory), "find", refuse)
    assert f"error: memory://set: {message}" in fails("check", "memory://set")


def test_one_process_at_a_time(memory: Any) -> None:
    def again() -> None:
        with mirrored([Path("memory://set")], quiet=True):
            pass

    with mirrored([Path("memory://set")], quiet=True):
        again()  # the same command may read a part of it again
        with (
            ThreadPoolExecutor() as pool,
            pytest.raises(ValueError, match="memory://set: another command uses it here"),
        ):
            pool.submit(again).result()


def test_addresses_with_a_password_are_refused_without_showing_it() -> None:
    for password in ("secret", "sec@secret", "sec/secret"):
        with pytest.raises(StorageError, match="give it in the environment instead") as error:
            Mirror(f"sftp://anna:{password}@host/clips")
        assert str(error.value).startswith("sftp://***@host/clips: ")
    with pytest.raises(StorageError, match="abfs://container@account/clips: the package"):
        Mirror("abfs://container@account/clips")


def test_missing_packages_and_unknown_addresses() -> None:
    message = fails("check", "gs://bucket/clips")
    assert "gs://bucket/clips: the package for such addresses is not installed; pip install gcsfs" in message
    assert "pigeon://a: Protocol not known: pigeon" in fails("check", "pigeon://a")


def test_train_and_predict_at_addresses(memory: Any, tmp_path: Path) -> None:
    clips = make_set(tmp_path / "clips", clips=6, frames=4, side=16)
    memory.put(str(clips), "/bucket/clips", recursive=True)
    run = "memory://bucket/runs/squares"
    call("train", "memory://bucket/clips", "--model", "lstm", "--run", run, *TINY)
    files = {path.removeprefix("/bucket/runs/squares/") for path in memory.find("/bucket/runs/squares")}
    assert {"config.json", "curves.csv", "report.html", "model/model.safetensors"} <= files
    assert not any(Path(name).name.startswith(".") for name in files)
    assert '"clips": "memory://bucket/clips"' in memory.cat_file("/bucket/runs/squares/config.json").decode()
    clip = sorted(path for path in memory.find("/bucket/clips") if path.endswith(".mp4"))[0]
    assert "4 frames" in call("watch", run, f"memory://{clip.lstrip('/')}", "--rate", 0).output
    assert "no such file, bucket or folder" in call("watch", run, "memory://bucket/other.mp4", ok=False).output
    out = "memory://bucket/answers.json"
    assert "%" in call("predict", run, f"memory://{clip.lstrip('/')}", "--json", out).output
    assert memory.exists("/bucket/answers.json")
    assert onlooker.load(run).classes == onlooker.load(Mirror(run).local).classes
    assert "holds a run already" in fails("train", "memory://bucket/clips", "--run", run)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each read of a file in memory."""
    sizes = list[int]()

    def read(self: MemoryFile, size: int | None = -1, /) -> bytes:
        data = super(MemoryFile, self).read(size)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(MemoryFile, "read", read)
    return sizes


def make_noise(path: Path) -> Path:
    """A video of 60 frames that takes megabytes."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", 10, width=320, height=240, pix_fmt="yuv420p", bit_rate=8_000_000)
        for _ in range(60):
            pixels = random.integers(0, 256, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_a_video_is_read_in_parts(memory: Any, reads: list[int], tmp_path: Path, name: str) -> None:
    local = make_noise(tmp_path / name)
    memory.pipe_file(f"/bucket/{name}", local.read_bytes())
    frames = decode_file(RemoteVideo(f"memory://bucket/{name}"))
    first = [next(frames) for _ in range(3)]
    frames.close()
    assert 0 < sum(reads) < local.stat().st_size / 4
    found = [*decode_file(RemoteVideo(f"memory://bucket/{name}"))]
    expected = [*decode_file(local)]
    assert [frame[:2] for frame in found] == [frame[:2] for frame in expected]
    assert [frame[:2] for frame in first] == [frame[:2] for frame in expected[:3]]
    assert all(
        np.array_equal(one.to_ndarray(), other.to_ndarray())
        for (_, _, one), (_, _, other) in zip(found, expected, strict=True)
    )


def test_a_video_that_can_be_read_no_further_is_an_error(
    memory: Any, reads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = make_noise(tmp_path / "clip.mkv")
    memory.pipe_file("/bucket/clip.mkv", local.read_bytes())
    frames = decode_file(RemoteVideo("memory://bucket/clip.mkv"))
    next(frames)

    def refuse(*_: object) -> bytes:
        raise PermissionError

    monkeypatch.setattr(MemoryFile, "read", refuse)
    with pytest.raises(ClipError, match=r"memory://bucket/clip\.mkv: access denied; check the credentials"):
        list(frames)


def test_workers_do_not_read_addresses(memory: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory.put_file(str(make_clip(tmp_path / "clip.mp4")), "/bucket/clip.mp4")
    monkeypatch.setenv("ONLOOKER_SAFE", "1")
    source = Source(RemoteVideo("memory://bucket/clip.mp4"), StreamConfig(), Condition())
    source.start()
    while not source.ready:
        time.sleep(0.01)
    with pytest.raises(ClipError, match="--safe reads files of this machine; download it, or leave out --safe"):
        source.poll()


def test_evaluating_on_other_clips_downloads_those_of_the_run_no_more(memory: Any, tmp_path: Path) -> None:
    clips = make_set(tmp_path / "clips", clips=6, frames=4, side=16)
    memory.put(str(clips), "/bucket/clips", recursive=True)
    call("train", "memory://bucket/clips", "--model", "lstm", "--run", tmp_path / "run", *TINY)
    memory.rm("/bucket/clips", recursive=True)
    shutil.rmtree(Mirror("memory://bucket/clips").folder)
    others = make_set(tmp_path / "others", clips=2, frames=4, side=16, seed=7)
    assert "test:" in call("evaluate", tmp_path / "run", "--clips", others).output
    assert not Mirror("memory://bucket/clips").folder.exists()


def test_clearing_the_cache_keeps_what_is_not_uploaded(memory: Any, cache: Path) -> None:
    put(memory, a="one", deep_b="two")
    mirror = Mirror("memory://set")
    mirror.download(quiet=True)
    assert f"{mirror.folder}: 0." in (shown := call("cache").output)
    assert "copy of memory://set" in shown
    (mirror.local / "new").write_text("three")
    assert "not all of its files are uploaded" in call("cache", "--clear").output
    mirror.upload(quiet=True)
    with mirror.locked().acquire():
        assert clear_mirrors() == [mirror.folder]
    assert "copy of" not in call("cache", "--clear").output
    assert not mirror.folder.exists()
    assert read(memory) == {"a": "one", "deep/b": "two", "new": "three"}


def test_files_of_this_machine_have_no_mirror(tmp_path: Path) -> None:
    with mirrored([Path(f"file://{tmp_path}"), Path("clips")]) as mirrors:
        assert mirrors == {Path(f"file://{tmp_path}"): tmp_path}
    assert local(f"file://{tmp_path}/run") == tmp_path / "run"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket of a server that speaks S3's protocol."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("bucket")
    yield files
    files.rm("bucket", recursive=True)
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_train_continue_and_predict_in_a_bucket(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = make_set(tmp_path / "clips", clips=6, frames=4, side=16)
    bucket.put(f"{clips}/", "bucket/clips", recursive=True)
    run = "s3://bucket/runs/squares"
    call("features", "s3://bucket/clips", "--store", "s3://bucket/store", "--frames", 4, "--size", 16)
    call("train", "s3://bucket/clips", "--model", "lstm", "--run", run, "--features", "s3://bucket/store", *TINY[8:])
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "another machine"))
    for part in ("model", "evaluation.json"):  # as if it had been interrupted
        bucket.rm(f"bucket/runs/squares/{part}", recursive=True)
    call("train", "s3://bucket/clips", "--model", "lstm", "--run", run, "--features", "s3://bucket/store", "--resume")
    clip = sorted(bucket.find("bucket/clips"))[-1]
    assert "%" in call("predict", run, f"s3://{clip}").output
    assert "test:" in call("evaluate", run).output
    assert not any("very-secret" in bucket.cat_file(path).decode(errors="ignore") for path in bucket.find("bucket"))
    bucket.pipe_file(sorted(bucket.find("bucket/clips"))[0], b"no video")
    assert "left out: " in call("train", "s3://bucket/clips", "--run", "s3://bucket/runs/other", *TINY[:4]).output


@pytest.mark.slow
def test_a_video_in_a_bucket_is_read_in_parts(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.storage.remote_video._BLOCK", 1 << 14)
    local = make_noise(tmp_path / "clip.mp4")
    bucket.put_file(str(local), "bucket/clip.mp4")
    requests = list[int]()
    fetch = s3fs_file()._fetch_range

    def counted(self: Any, start: int, end: int) -> bytes:
        requests.append(end - start)
        data: bytes = fetch(self, start, end)
        return data

    monkeypatch.setattr(s3fs_file(), "_fetch_range", counted)
    frames = decode_file(RemoteVideo("s3://bucket/clip.mp4"))
    next(frames)
    assert 0 < sum(requests) < local.stat().st_size / 4
    bucket.rm_file("bucket/clip.mp4")
    with pytest.raises(ClipError, match=r"s3://bucket/clip\.mp4: no such file"):
        list(frames)


def s3fs_file() -> Any:
    from s3fs.core import S3File

    return S3File


@pytest.mark.slow
def test_buckets_that_do_not_answer(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3://nowhere/clips" in fails("check", "s3://nowhere/clips")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        type(bucket).clear_instance_cache()
        message = fails("check", "s3://bucket/clips")
    assert "check the address, the network and the credentials" in message
    assert "very-secret" not in message


def test_files_that_describe_others_are_uploaded_as_they_were_written(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror("memory://written/run")
    mirror.local.mkdir(parents=True)
    for number, name in enumerate(["split.json", "weights.bin", "skipped.json", "config.json"]):
        (mirror.local / name).write_bytes(b"{}")
        os.utime(mirror.local / name, (number, number))
    sent: list[str] = []
    put = memory.put_file
    monkeypatch.setattr(memory, "put_file", lambda copy, at: (sent.append(Path(at).name), put(copy, at)))
    mirror.upload(quiet=True)
    assert sent == ["weights.bin", "split.json", "skipped.json", "config.json"]


def test_a_checkpoint_is_not_newer_than_the_best_one(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Mirror("memory://set")
    mirror.local.mkdir(parents=True)

    def save(name: str, epoch: int, written: int) -> None:
        with atomic_file(mirror.local / name) as file:
            file.write(str(epoch).encode())
        os.utime(mirror.local / name, (written, written))

    whole, states, training = type(memory).put_file, list[dict[str, str]](), False

    def put_file(self: Any, source: str, target: str, **more: Any) -> None:
        epoch = len(states) + 2
        if training:
            save("best.ckpt", epoch, 2 * epoch)
        whole(self, source, target, **more)
        if training:
            save("last.ckpt", epoch, 2 * epoch + 1)
        states.append(read(memory))

    monkeypatch.setattr(type(memory), "put_file", put_file)
    save("best.ckpt", 1, 1)
    save("last.ckpt", 1, 2)
    mirror.upload(quiet=True)
    save("last.ckpt", 2, 3)
    save("best.ckpt", 3, 4)  # not yet followed by the last one
    mirror.upload(quiet=True)
    training = True
    save("best.ckpt", 5, 10)
    save("last.ckpt", 5, 11)
    mirror.upload(quiet=True)
    mirror.upload(quiet=True)
    assert len(states) == 8
    assert all(int(state["best.ckpt"]) >= int(state.get("last.ckpt", "0")) for state in states), states
    monkeypatch.setattr(type(memory), "put_file", whole)
    mirror.upload(quiet=True)
    assert read(memory) == {"best.ckpt": "9", "last.ckpt": "9"}
    assert [path.name for path in mirror.folder.iterdir() if path.is_dir()] == ["set"]


def test_the_page_does_not_change_clips_at_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    output = call("serve", "--clips", "memory://bucket/clips", ok=False).output
    assert "nothing is deleted at an address; give a folder of this machine" in output


def test_a_folder_with_a_hidden_name_is_not_taken_as_uploaded(memory: Any, cache: Path) -> None:
    mirror = Mirror("memory://lab/.runs")
    mirror.download(quiet=True)
    mirror.local.mkdir()
    (mirror.local / "last.ckpt").write_text("not uploaded")
    assert clear_mirrors() == [mirror.folder]


def test_a_folder_from_elsewhere_does_not_claim_an_address(tmp_path: Path) -> None:
    (tmp_path / "from elsewhere" / "clips").mkdir(parents=True)
    (tmp_path / "from elsewhere" / ".mirror.json").write_text('{"address": "s3://another/bucket", "files": {}}')
    assert address_of(tmp_path / "from elsewhere" / "clips" / "a.mp4") is None


def test_an_address_above_the_folder_that_it_names_is_refused() -> None:
    with pytest.raises(StorageError, match=r"memory://public/\.\.: an address with \.\.; give the folder itself"):
        Mirror("memory://public/..")


def test_a_folder_that_was_removed_at_the_address_leaves_no_empty_folders(memory: Any) -> None:
    put(memory, a="one", deep_b="two")
    folder = downloaded()
    memory.rm("/set", recursive=True)
    assert downloaded() == folder
    assert not folder.exists()


def test_parts_of_files_that_a_killed_process_has_left_are_removed(memory: Any) -> None:
    put(memory, a="one")
    folder = downloaded()
    old, new = folder / ".a.1234.part", folder / ".a.5678.part"
    for part in (old, new):
        part.write_text("half")
    os.utime(old, (0, 0))
    downloaded()
    assert (old.exists(), new.exists()) == (False, True), "another process may write to the new one"


def test_a_file_is_replaced_as_a_whole_where_uploads_write_into_it(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(memory, a="the old one")
    folder = downloaded()
    (folder / "a").write_text("the new one")
    send = memory.put_file

    def lost(source: str, target: str) -> None:
        memory.pipe_file(target, b"the n")
        raise OSError("connection lost")

    monkeypatch.setattr(type(memory), "protocol", "sftp")
    monkeypatch.setattr(type(memory), "put_file", staticmethod(lost))
    with pytest.raises(StorageError, match="connection lost"):
        Mirror("memory://set").upload(quiet=True)
    assert memory.cat_file("/set/a") == b"the old one"
    monkeypatch.setattr(type(memory), "put_file", staticmethod(send))
    Mirror("memory://set").upload(quiet=True)
    assert read(memory) == {"a": "the new one"}


def test_a_file_address_may_have_escaped_characters(tmp_path: Path) -> None:
    folder = tmp_path / "my clips"
    folder.mkdir()
    assert local(folder.as_uri()) == folder
    assert f"error: {tmp_path}/nowhere: no such folder" in fails("check", f"file://{tmp_path}/nowhere")


def test_results_at_an_address_go_on_from_another_machine(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put(str(make_set(tmp_path / "clips", clips=4, frames=4, side=16)), "/bucket/clips", recursive=True)
    runs = ["memory://bucket/run0", "memory://bucket/run1"]
    for run in runs:
        call("train", "memory://bucket/clips", "--model", "lstm", "--run", run, *TINY)
    out, word = "memory://bucket/answers.jsonl", "memory://bucket/clips/left"
    call("predict", runs[0], word, "--json", out)
    first = memory.cat_file("/bucket/answers.jsonl").decode()
    assert '"path": "memory://bucket/clips/left/' in first
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "another cache"))
    assert "4 of 4 clips were predicted before" in call("predict", runs[0], word, "--json", out).output
    assert memory.cat_file("/bucket/answers.jsonl").decode() == first
    call("ensemble", *runs, "--run", tmp_path / "both")
    assert json.loads((tmp_path / "both" / "evaluation.json").read_text())["runs"] == runs

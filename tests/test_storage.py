"""Files at addresses: what is downloaded and uploaded, and what happens when something fails."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock
from urllib.parse import unquote, urlsplit

import fsspec
import pytest
from commands import TINY, call, fails
from moving_squares import make_set
from waiting import wait_until

import onlooker
from onlooker import storage
from onlooker.base.files import DiskFullError, atomic_file
from onlooker.storage import (
    StorageError,
    address_of,
    copies_folder,
    is_address,
    local,
    uploading,
)

SET = Path("memory://set")


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


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "UPLOAD_EVERY", 0.02)


def put(files: Any, **contents: str) -> None:
    for name, text in contents.items():
        files.pipe_file(f"/set/{name.replace('_', '/')}", text.encode())


def read(files: Any) -> dict[str, str]:
    return {
        path.removeprefix("/set/"): files.cat_file(path).decode() for path in files.find("/set")
    }


def recorded(monkeypatch: pytest.MonkeyPatch, memory: Any, name: str) -> list[str]:
    """The paths that a method of the file system is called with from now on."""
    paths = list[str]()
    whole = getattr(type(memory), name)
    position = {"get_file": 0, "put_file": 1}[name]
    monkeypatch.setattr(
        type(memory),
        name,
        lambda self, *both, **more: (paths.append(both[position]), whole(self, *both, **more))[
            1
        ],
    )
    return paths


def refuse(*_: Any, **__: Any) -> None:
    raise PermissionError("403")


@pytest.mark.parametrize(
    "text", ["s3://bucket/clips", "s3:/bucket/clips", "gs://b", "memory://a", "file:///x"]
)
def test_an_address_stays_one_as_a_path(text: str) -> None:
    assert is_address(text)
    assert is_address(Path(text))


@pytest.mark.parametrize(
    "text", ["clips", "/clips", "a/b:c", "C:/clips", "rtsp://camera/1", "https://host/a.mp4"]
)
def test_paths_cameras_and_web_addresses_are_no_addresses_of_files(text: str) -> None:
    assert not is_address(text)
    assert local(text) == Path(text)


def test_a_copy_follows_what_is_there(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, a="one", deep_b="two", c="three")
    memory.pipe_file("/set/.hidden", b"")
    downloads = recorded(monkeypatch, memory, "get_file")
    folder = local(SET)
    assert {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()} == {
        "a": "one",
        "b": "two",
        "c": "three",
    }
    put(memory, c="other")  # of the same size
    memory.rm_file("/set/deep/b")
    downloads.clear()
    assert local("memory://set") == folder
    assert downloads == ["/set/c"]
    assert (folder / "c").read_text() == "other"
    assert not (folder / "deep" / "b").exists()
    assert address_of(folder / "deep" / "b") == "memory://set/deep/b"
    assert address_of(folder) == "memory://set"
    assert address_of(folder.parent) is None
    shutil.rmtree(folder.parent)  # as a cleaner of /tmp does
    assert (local(SET) / "a").read_text() == "one"


def test_addresses_in_any_script(memory: Any) -> None:
    name = "手話の動画/" * 7 + "а б=%.mp4"
    memory.pipe_file(f"/{name}", b"one")
    copy = local(f"memory://{name}")
    assert copy.read_bytes() == b"one"
    assert address_of(copy) == f"memory://{name}"


@pytest.mark.parametrize("links", [True, False])
def test_what_changes_is_uploaded_and_the_rest_is_not(
    memory: Any, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:  # as exFAT and some network disks
        monkeypatch.setattr(os, "link", refuse)
    put(memory, a="one", b="two")
    sent = recorded(monkeypatch, memory, "put_file")
    with uploading([SET]) as copies:
        folder = copies[SET]
        (folder / "model").mkdir()
        for second, (name, text) in enumerate(
            {"model/weights": "new", "split.json": "{}", "b": "other"}.items()
        ):
            (folder / name).write_text(text)
            os.utime(folder / name, (second, second))
        (folder / ".lock").write_text("")
        assert address_of(folder / "model") == "memory://set/model"
    files = {"a": "one", "b": "other", "split.json": "{}", "model/weights": "new"}
    assert read(memory) == files
    assert sent == ["/set/model/weights", "/set/split.json", "/set/b"], "in order of writing"
    assert not folder.exists()
    with uploading([SET]) as copies:
        (copies[SET] / "a").unlink()
    assert read(memory) == files, "nothing is removed at an address"
    assert len(sent) == 3


def test_an_upload_that_fails_is_reported_once_and_tried_again(
    memory: Any,
    often: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tries = list[str]()
    with uploading([SET]) as copies:
        copies[SET].mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(
                type(memory),
                "put_file",
                lambda _, source, target, **__: (tries.append(target), refuse()),
            )
            (copies[SET] / "curves.csv").write_text("an epoch")
            wait_until(lambda: len(tries) >= 4)
    denied = "memory://set: 403; check address, network and credentials"
    again = f"the work goes on in {copies[SET]}, and uploads are tried again"
    assert capsys.readouterr().err.splitlines() == [f"not uploaded yet: {denied}; {again}"]
    assert read(memory) == {"curves.csv": "an epoch"}


def test_what_cannot_be_uploaded_is_kept_and_does_not_keep_others_from_it(
    memory: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = type(memory).put_file

    def put_file(self: Any, source: str, target: str, **more: Any) -> None:
        refuse() if target.startswith("/store") else whole(self, source, target, **more)

    monkeypatch.setattr(type(memory), "put_file", put_file)

    def work(fails: bool) -> None:
        with uploading([Path("memory://store"), Path("memory:/set")]) as copies:
            for folder in copies.values():
                folder.mkdir(exist_ok=True)
                (folder / "file").write_text(f"{fails}")
            if fails:
                raise KeyError("nan")

    with pytest.raises(KeyError, match="nan"):
        work(fails=True)
    assert (
        "memory://store: not all is uploaded (memory://store: 403; check address"
        in capsys.readouterr().err
    )
    assert read(memory) == {"file": "True"}
    with pytest.raises(
        StorageError, match=r"memory://store: not all is uploaded .* copy it from "
    ) as error:
        work(fails=False)
    kept = Path(str(error.value).rpartition(" ")[2])
    assert (kept / "file").read_text() == "False"
    assert read(memory) == {"file": "False"}


def test_a_full_disk_is_no_error_of_the_address(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(memory, a="one")
    monkeypatch.setattr(
        type(memory), "get_file", Mock(side_effect=OSError(28, "No space left on device"))
    )
    with pytest.raises(
        DiskFullError,
        match=r"no space left for a copy of memory://set: .* or set ONLOOKER_CACHE",
    ):
        local(SET)


def test_a_download_that_stops_goes_on(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, **{f"{k:03}": "content" for k in range(40)})
    get_file = type(memory).get_file

    def broken(self: Any, path: str, *arguments: Any, **more: Any) -> Any:
        if path.endswith("/035"):
            raise ConnectionResetError("the other side hung up")
        return get_file(self, path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "get_file", broken)
        with pytest.raises(
            StorageError, match=r"memory://set: the other side hung up; check address"
        ):
            local(SET)
    downloads = recorded(monkeypatch, memory, "get_file")
    assert len(list(local(SET).iterdir())) == 40
    assert len(downloads) == 8


ENVIRONMENT = r"^sftp://\*\*\*@host/clips: .*give it in the environment instead"
FOLDER_ITSELF = r": of this machine, or with \.\.; give the folder itself"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sftp://anna:secret@host/clips", ENVIRONMENT),
        ("sftp://anna:sec@secret@host/clips", ENVIRONMENT),
        ("sftp://anna:sec/secret@host/clips", ENVIRONMENT),
        ("abfs://container@account/clips", "^abfs://container@account/clips: .* with pip"),
        ("gs://bucket/clips", "^gs://bucket/clips: .*gcsfs.* install that package with pip"),
        ("pigeon://a", "^pigeon://a: Protocol not known: pigeon"),
        ("memory://public/..", FOLDER_ITSELF),
        ("file:///clips", FOLDER_ITSELF),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(address: str, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        local(address)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://host/run", "http://host/run"),
        ("HTTPS://host/run", "HTTPS://host/run"),
        ("https://anna:secret@host/run", "https://***@host/run"),
        ("S3://bucket/run", "S3://bucket/run"),
        ("rtsp://camera/1", "rtsp://camera/1"),
    ],
)
def test_nothing_is_written_to_addresses_of_pages_and_cameras(
    address: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    remedy = "give a folder, or an address of files, such as s3://bucket/folder"
    message = f"{shown}: files cannot be written there; {remedy}"
    assert fails("train", "clips", "--run", address) == f"error: {message}"
    assert fails("predict", "run", "a.mp4", "--json", address) == f"error: {message}"
    with pytest.raises(StorageError) as raised:
        onlooker.train("clips", address)
    assert str(raised.value) == message
    assert not any(tmp_path.glob("*:*"))


def test_a_folder_that_is_not_at_an_address_is_an_error_of_one_line() -> None:
    assert "no such folder" in fails("check", "memory://nowhere")


def test_train_and_predict_at_addresses(memory: Any, tmp_path: Path) -> None:
    clips = make_set(tmp_path / "clips", clips=6, frames=4, side=16)
    memory.put(str(clips), "/bucket/clips", recursive=True)
    run = "memory://bucket/runs/squares"
    output = call(
        "train", "memory://bucket/clips", "--model", "lstm", "--run", run, *TINY
    ).output
    assert f"report: {run}/report.html" in output
    files = {
        path.removeprefix("/bucket/runs/squares/")
        for path in memory.find("/bucket/runs/squares")
    }
    assert {"config.json", "curves.csv", "report.html", "model/model.safetensors"} <= files
    assert not any(Path(name).name.startswith(".") for name in files)
    assert (
        '"clips": "memory://bucket/clips"'
        in memory.cat_file("/bucket/runs/squares/config.json").decode()
    )
    clip = (
        "memory:/"
        + sorted(path for path in memory.find("/bucket/clips") if path.endswith(".mp4"))[0]
    )
    assert "4 frames" in call("watch", run, clip, "--rate", 0).output
    out = "memory://bucket/answers.jsonl"
    assert "%" in call("predict", run, clip, "--json", out).output
    assert f'"path": "{clip}"' in memory.cat_file("/bucket/answers.jsonl").decode()
    shutil.rmtree(copies_folder())  # another machine
    assert (
        "1 of 1 clips were predicted before" in call("predict", run, clip, "--json", out).output
    )
    assert "holds a run already" in fails("train", "memory://bucket/clips", "--run", run)
    memory.rm("/bucket/clips", recursive=True)
    others = make_set(tmp_path / "others", clips=2, frames=4, side=16, seed=7)
    assert "test:" in call("evaluate", run, others).output


def test_a_run_that_was_killed_continues_on_another_machine(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, often: None
) -> None:
    """Equal weights: a training that is not interrupted, and one that is killed, in another cache."""
    memory.put(
        str(make_set(tmp_path / "clips", clips=6, frames=4, side=16)),
        "/bucket/clips",
        recursive=True,
    )
    settings = {
        "model": "lstm",
        "hidden": 4,
        "frames": 4,
        "size": 16,
        "encoder": "conv4",
        "epochs": 10,
        "quiet": True,
    }
    onlooker.train("memory://bucket/clips", run=tmp_path / "whole", **settings)
    run = "memory://bucket/run"
    copied = "/bucket/run-killed"

    def kill(stage: str, done: int, total: int) -> None:
        """At epoch 8, keep what a kill would leave: nothing is uploaded after it."""
        if total == 10 and done == 8:
            wait_until(lambda: memory.exists("/bucket/run/checkpoints/last.ckpt"))
            memory.copy("/bucket/run/", copied, recursive=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        onlooker.train("memory://bucket/clips", run=run, progress=kill, **settings)
    memory.rm("/bucket/run", recursive=True)
    memory.copy(copied, "/bucket/run", recursive=True)
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(
        FileNotFoundError,
        match="no trained model; expected one that `onlooker train` has finished",
    ):
        onlooker.load(run)
    onlooker.train("memory://bucket/clips", run=run, resume=True, **settings)
    weights = memory.cat_file("/bucket/run/model/model.safetensors")
    assert weights == (tmp_path / "whole" / "model" / "model.safetensors").read_bytes()


def test_a_checkpoint_is_not_newer_than_the_best_one(
    memory: Any, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(memory).put_file
    states = list[dict[str, str]]()
    folder = Path()

    def save(name: str, epoch: int) -> None:
        with atomic_file(folder / name) as file:
            file.write(str(epoch).encode())
        os.utime(folder / name, (time.time(), epoch))

    def put_file(self: Any, source: str, target: str, **more: Any) -> None:
        save("best.ckpt", len(states) + 2)  # the training goes on
        whole(self, source, target, **more)
        save("last.ckpt", len(states) + 2)
        states.append(read(memory))

    monkeypatch.setattr(type(memory), "put_file", put_file)
    with uploading([SET]) as copies:
        folder = copies[SET]
        folder.mkdir()
        save("best.ckpt", 1)
        save("last.ckpt", 1)
        wait_until(lambda: len(states) > 10)
        monkeypatch.setattr(type(memory), "put_file", whole)
    assert all(
        int(state["best.ckpt"]) >= int(state.get("last.ckpt", "0")) for state in states
    ), states


@pytest.mark.parametrize("address", ["memory://bucket/clips", "https://host/clips"])
def test_the_page_does_not_change_clips_at_an_address(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    output = call("serve", "--clips", address, ok=False).output
    assert "nothing is deleted at an address; give a folder of this machine" in output


COMMIT = "0" * 40


@contextmanager
def hub(repository: str, folder: Path) -> Iterator[tuple[str, list[str | None]]]:
    """A hub that has the files of a folder in a repository: its address, and the token of every
    request.
    """
    tokens = list[str | None]()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    oids = {name: hashlib.sha1(content).hexdigest() for name, content in files.items()}

    class Hub(BaseHTTPRequestHandler):
        def answer(self, values: Any, status: int = 200, **headers: str) -> None:
            body = values if isinstance(values, bytes) else json.dumps(values).encode()
            self.send_response(status)
            headers = {"Content_Length": str(len(body)), "X_Repo_Commit": COMMIT, **headers}
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            tokens.append(self.headers.get("Authorization"))
            if "/".join(parts[2:4] if parts[0] == "api" else parts[:2]) != repository:
                self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            elif parts[0] != "api" and parts[2] == "resolve" and parts[4] in files:
                self.answer(files[parts[4]], ETag=f'"{oids[parts[4]]}"')
            elif parts[4:5] == ["tree"] and len(parts) < 7:
                listed = [{"path": p, "size": len(files[p]), "oid": oids[p]} for p in files]
                self.answer([{"type": "file", **file} for file in listed])
            elif parts[0] == "api" and parts[4:5] in ([], ["revision"]):
                siblings = [{"rfilename": path} for path in files]
                self.answer({"id": repository, "sha": COMMIT, "siblings": siblings})
            else:
                self.answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tokens
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_model_is_loaded_from_the_hub(
    trained: tuple[Path, str], squares: Path, tmp_path: Path
) -> None:
    run = trained[0]
    clip = squares / "up" / "00.mp4"

    def predict(source: object, address: str) -> subprocess.CompletedProcess[str]:
        own = {"HF_ENDPOINT": address, "HF_TOKEN": "hf_good", "HF_HOME": str(tmp_path / "hub")}
        own |= {"HF_HUB_DISABLE_XET": "1", "ONLOOKER_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "onlooker", "predict", source, clip]
        command += ["--json", tmp_path / f"{Path(str(source)).name}.jsonl"]
        return subprocess.run(
            [*map(str, command)], capture_output=True, text=True, env={**os.environ, **own}
        )

    with hub("jane/there", run / "model") as (address, tokens):
        for source in (run, "hf://jane/there"):
            done = predict(source, address)
            assert done.returncode == 0, done.stderr
        assert "error: hf://jane/nowhere" in predict("hf://jane/nowhere", address).stderr
        assert {*tokens} == {"Bearer hf_good"}
    here, there = (
        json.loads((tmp_path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        for name in (run.name, "there")
    )
    assert there["scores"] == here["scores"]

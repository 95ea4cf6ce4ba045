"""Files are written completely or not at all, and errors name the file. Opening one neither hangs nor
fills the memory: pipes, devices and very large files are refused.
"""

import errno
import io
import json
import os
import pickle
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from clips import find_clips, touch
from eventful import untrained
from fuzz.mutations import limits
from safetensors.torch import save_file

from onlooker.base.files import (
    LIMIT,
    DiskFullError,
    NotWritableError,
    atomic_file,
    check_writable,
    explain_write_errors,
    is_disk_full,
    read_json,
    restore_folder,
    whole_folder,
    write_bytes,
    write_json,
)
from onlooker.base.text import format_bytes, printable, without_password
from onlooker.data.array_cache import open_array
from onlooker.data.lists import read_list
from onlooker.data.split import fingerprint
from onlooker.recognizer import Recognizer, load
from onlooker.training.checkpoint import load_checkpoint


def test_a_file_gets_its_name_when_it_is_complete_and_stays_if_a_later_write_fails(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "a"
    with atomic_file(path) as file:
        file.write(b"whole")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), atomic_file(path) as file:
        file.write(b"%d" % (1 // 0))
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [
        ("a", b"whole")
    ]


def test_several_threads_can_write_the_same_file(tmp_path: Path) -> None:
    contents = [bytes([k]) * 100_000 for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_bytes(tmp_path / "a", content), contents * 20))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() in contents


def test_parts_that_killed_processes_left_are_removed_after_a_day(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a"), whole_folder(tmp_path / "b") as folder:
        folder.mkdir()
        shutil.copytree(tmp_path, old := tmp_path.with_name("old"))
        shutil.copytree(tmp_path, new := tmp_path.with_name("new"))
    for part in old.iterdir():
        os.utime(part, (time.time() - 25 * 3600,) * 2)
    for where in (old, new):
        write_bytes(where / "c", b"")
    assert [path.name for path in old.iterdir()] == ["c"]
    assert len(list(new.iterdir())) == 3


class SmallDisk(io.BytesIO):
    """A file on a disk that is full after half of what is written to it."""

    def write(self, content: Any) -> int:
        if self.tell() > 50_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_full_disk_is_recognized_in_errors_of_pytorch() -> None:
    with pytest.raises(RuntimeError, match="unexpected pos") as found:  # which has no number
        torch.save([torch.zeros(20_000), torch.zeros(20_000)], SmallDisk())
    assert is_disk_full(found.value)


def test_a_full_disk_is_recognized_in_errors_of_safetensors(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    # which files of safetensors say of a folder
    with pytest.raises(Exception, match="os error 21") as other:
        save_file({"a": torch.zeros(1)}, tmp_path / "folder")
    assert not is_disk_full(other.value)
    assert is_disk_full(
        RuntimeError(str(other.value).replace("os error 21", f"os error {errno.ENOSPC}"))
    )


@pytest.mark.parametrize(
    ("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)]
)
def test_which_errors_are_a_full_disk(number: int, full: bool) -> None:
    assert is_disk_full(OSError(number, os.strerror(number))) == full


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    message = (
        r"newer: no space left for a page: [\d.,]+ MB free; "
        r"free some space, and run the same command again \(`onl"
    )
    with (
        pytest.raises(DiskFullError, match=message),
        explain_write_errors("a page", tmp_path / "new" / "newer"),
    ):
        raise error


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG]
)
def test_an_error_of_a_folder_that_cannot_be_written_explains_it(
    tmp_path: Path, number: int
) -> None:
    message = (
        rf"^{tmp_path}: a page cannot be written \({os.strerror(number)}\); ask its owner$"
    )
    with (
        pytest.raises(NotWritableError, match=message),
        explain_write_errors("a page", tmp_path, refused="ask its owner"),
    ):
        raise OSError(number, os.strerror(number))


def test_a_read_only_folder_is_noticed_before_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path / "new" / "run")
    assert not list((tmp_path / "new" / "run").iterdir()), "it is not changed"
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(
        NotWritableError, match=r"file/run: a file is in its place; choose another"
    ):
        check_writable(tmp_path / "file" / "run")
    # root, who may run the tests, may write anywhere
    refused = PermissionError(errno.EROFS, "Read-only file system")
    monkeypatch.setattr("tempfile.TemporaryFile", Mock(side_effect=refused))
    with pytest.raises(
        NotWritableError,
        match=r"run: cannot be written to \(Read-only file system\); choose another",
    ):
        check_writable(tmp_path / "run")


def test_sizes_are_formatted_with_units() -> None:
    assert [format_bytes(size) for size in (0, 1_540, 100_000, 1_234_567_890)] == [
        "0.0 kB",
        "1.5 kB",
        "0.1 MB",
        "1,234.6 MB",
    ]


def test_a_folder_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for content in ("old", "new"):
        with whole_folder(folder) as part:
            part.mkdir()
            (part / content).touch()
            assert [path.name for path in folder.rglob("*")] == (
                [] if content == "old" else ["old"]
            )
    assert [path.name for path in folder.iterdir()] == ["new"]

    with pytest.raises(ZeroDivisionError), whole_folder(folder) as part:
        part.mkdir(1 // 0)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "model",
        "model/new",
    ]


@pytest.mark.parametrize("killed", [False, True], ids=["fails", "killed"])
def test_a_folder_whose_replacement_is_interrupted_between_its_renames_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    rename = Path.rename
    count = 0

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == 2 or (killed and count > 2):
            raise SystemExit(9) if killed else OSError(errno.EIO, "I/O error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises((OSError, SystemExit)), whole_folder(folder) as part:
        part.mkdir()
    monkeypatch.undo()
    assert folder.exists() != killed
    restore_folder(folder)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "model",
        "model/old",
    ]


def test_a_writer_keeps_the_only_version_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".model.old" / "content").mkdir(parents=True)
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "model"):
        raise ZeroDivisionError
    assert (tmp_path / "model" / "content").exists()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://anna:secret@10.0.0.2/1", "rtsp://***@10.0.0.2/1"),
        ("rtsp://anna:sec/r@t@10.0.0.2/1", "rtsp://***@10.0.0.2/1"),
        ("https:/anna:secret@10.0.0.2/a.mp4", "https:/***@10.0.0.2/a.mp4"),  # as a path
        ("rtsp://10.0.0.2:554/a", "rtsp://10.0.0.2:554/a"),
        (
            "rtsp://10.0.0.2/1?channel=2&usr=anna&Password=secret&x=1#main",
            "rtsp://10.0.0.2/1?channel=2&usr=***&Password=***&x=1#main",
        ),
        (
            "rtsp://10.0.0.2/user=admin_password=a_b/c=_channel=1.sdp",
            "rtsp://10.0.0.2/user=***_password=***_channel=1.sdp",
        ),
        ("rtsp://10.0.0.2/h264;pwd=secret;channel=1", "rtsp://10.0.0.2/h264;pwd=***;channel=1"),
        ("rtmps://10.0.0.2:1935/live/secret?x=1", "rtmps://10.0.0.2:1935/live/***"),
        ("rtmp://10.0.0.2", "rtmp://10.0.0.2"),
        ("clip?key=1.mp4", "clip?key=1.mp4"),  # the name of a file
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown


# What opens a file: where the file is, and how it is opened.
OPENERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "json": ("a.json", lambda folder: read_json(folder / "a.json")),
    "list": ("a.csv", lambda folder: read_list(folder / "a.csv")),
    "recordings": (
        "clips/recordings.csv",
        lambda folder: find_clips(touch(folder / "clips", "a/clip.mp4", "b/clip.mp4")),
    ),
    "fingerprint": ("a.mp4", lambda folder: fingerprint(folder / "a.mp4")),
    "array": ("a.npy", lambda folder: open_array(folder / "a.npy")),
    "checkpoint": ("last.ckpt", lambda folder: load_checkpoint(folder / "last.ckpt")),
    "recognizer": (
        "model/recognizer.json",
        lambda folder: load(untrained().save(folder / "model")),
    ),
    "config": ("model/config.json", lambda folder: load(untrained().save(folder / "model"))),
    "weights": (
        "model/model.safetensors",
        lambda folder: load(untrained().save(folder / "model")),
    ),
}


@pytest.mark.parametrize(
    ("kind", "make"),
    [("pipe", os.mkfifo), ("device", lambda path: path.symlink_to("/dev/zero"))],
)
@pytest.mark.parametrize("opener", OPENERS)
def test_files_that_are_not_regular_are_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opener: str,
    kind: str,
    make: Callable[[Path], None],
) -> None:
    name, opens = OPENERS[opener]
    if name.startswith("model/"):
        untrained().save(tmp_path / "model")
        (tmp_path / name).unlink()
        monkeypatch.setattr(Recognizer, "save", lambda _, folder: folder)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    make(tmp_path / name)
    message = f"{name}: not a regular file; replace it, or remove it"
    with limits(10, 4), pytest.raises(ValueError, match=message):
        opens(tmp_path)


def test_files_that_are_read_whole_have_a_maximum_size(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(LIMIT + 1)  # takes no space
    with pytest.raises(
        ValueError, match=r"a.json: more than 268.4 MB are not read; make it smaller"
    ):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 100_000, "not a complete JSON file"),
        ("9" * 5_000, "not a complete JSON file"),
        ("[]", "JSON of a list, expected a dict"),
        ("null", "JSON of a NoneType, expected a dict"),
        ('{"a": ', "not a complete JSON file"),
    ],
)
def test_json_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"a.json: {said}.*; restore it, or make it again"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a damaged checkpoint"),
        (b"PK\x03\x04" + bytes(200), "a damaged checkpoint"),
        (pickle.dumps({"a": os.getcwd}), "a damaged checkpoint"),
        ([1, 2], "not the checkpoint of a training, which has state_dict, curves"),
        ({"state_dict": {}}, "not the checkpoint of a training, which has state_dict, curves"),
    ],
)
def test_a_damaged_checkpoint_says_how_to_continue(
    tmp_path: Path, content: object, said: str
) -> None:
    path = tmp_path / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=f"last.ckpt: {said}") as caught:
        load_checkpoint(path)
    assert "--resume to train from the start" in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_json_keeps_names_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.mp4")
    write_json(tmp_path / "a.json", {name: "ü"})
    assert "ü" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {name: "ü"}
    assert read_json(tmp_path / "a.json") == {name: "ü"}


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    write_json(tmp_path / ("ü" * 125 + ".json"), {})
    assert len(list(tmp_path.iterdir())) == 1


def test_text_for_a_terminal_has_no_control_characters() -> None:
    assert (
        printable("a\x1b[31mb\nc\x07 ü \u202e" + os.fsdecode(b"\xff"))
        == r"a\x1b[31mb\nc\x07 ü \u202e\udcff"
    )

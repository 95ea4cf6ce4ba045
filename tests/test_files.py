"""Files are written completely or not at all, and errors name the file."""

import errno
import io
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import save_file

from onlooker.base.files import (
    DiskFullError,
    NotWritableError,
    atomic_file,
    check_writable,
    explain_write_errors,
    format_bytes,
    is_disk_full,
    restore_folder,
    whole_folder,
    without_password,
    write_bytes,
)


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "new" / "a") as file:
        file.write(b"whole")
        assert not (tmp_path / "new" / "a").exists()
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "new").iterdir()] == [
        ("a", b"whole")
    ]


def test_an_interrupted_write_leaves_the_previous_file_and_no_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a") as file:
        file.write(b"%d" % (1 // 0))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


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


def test_a_full_disk_leaves_no_temporary_file(
    tmp_path: Path, on_full_disk: Callable[[Path], None]
) -> None:
    on_full_disk(tmp_path / ".a.*.part")
    with pytest.raises(OSError, match="No space left"), atomic_file(tmp_path / "a") as file:
        file.write(b"half")
    assert not list(tmp_path.iterdir())


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
    message = r"^clip.mp4: no space left for its frames in .*: [\d.,]+ MB free; think of something$"
    explained = explain_write_errors("its frames", tmp_path, "think of something", Path("clip.mp4"))
    with pytest.raises(DiskFullError, match=message), explained:
        raise error


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG])
def test_an_error_of_a_folder_that_cannot_be_written_explains_it(
    tmp_path: Path, number: int
) -> None:
    message = rf"^{tmp_path}: a page cannot be written \({os.strerror(number)}\); ask its owner$"
    with (
        pytest.raises(NotWritableError, match=message),
        explain_write_errors("a page", tmp_path, refused="ask its owner"),
    ):
        raise OSError(number, os.strerror(number))


def test_checking_a_writable_folder_does_not_change_it(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "run")
    assert not list((tmp_path / "new" / "run").iterdir())


def test_a_read_only_folder_is_noticed_before_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotWritableError, match=r"file/run: a file is in its place; choose another"):
        check_writable(tmp_path / "file" / "run")
    with pytest.raises(NotWritableError, match=r"file: a file is in its place; use --run"):
        check_writable(tmp_path / "file", "use --run")
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


def test_passwords_are_not_shown() -> None:
    assert without_password("rtsp://anna:secret@10.0.0.2/1") == "rtsp://anna:***@10.0.0.2/1"
    assert without_password("rtsp://anna:sec/r@t@10.0.0.2/1") == "rtsp://anna:***@10.0.0.2/1"
    assert (
        without_password("https:/anna:secret@10.0.0.2/a.mp4") == "https:/anna:***@10.0.0.2/a.mp4"
    ), "as a path"
    assert without_password("rtsp://10.0.0.2:554/a:b@c") == "rtsp://10.0.0.2:554/a:b@c"
    shown = "rtsp://10.0.0.2/1?channel=2&usr=***&Password=***#main"
    assert without_password("rtsp://10.0.0.2/1?channel=2&usr=anna&Password=secret#main") == shown
    assert without_password("clip?key=1.mp4") == "clip?key=1.mp4", "the name of a file"

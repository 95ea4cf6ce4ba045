"""A full disk is told by what had no room; what is written is whole or not there."""

import errno
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from onlooker.files import DiskFullError, in_megabytes, is_full, remove_leftovers, room_for, whole_file


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "new" / "a") as file:
        file.write(b"whole")
        assert not (tmp_path / "new" / "a").exists()
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "new").iterdir()] == [("a", b"whole")]


def test_what_breaks_off_leaves_the_file_before_and_no_part(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a") as file:
        file.write(b"%d" % (1 // 0))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


class SmallDisk(io.BytesIO):
    """A file that has room for half of what is written to it."""

    def write(self, content: Any) -> int:
        if self.tell() > 50_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_full_disk_is_known_from_what_pytorch_says_of_it() -> None:
    with pytest.raises(RuntimeError, match="unexpected pos") as found:  # which has no number
        torch.save([torch.zeros(20_000), torch.zeros(20_000)], SmallDisk())
    assert is_full(found.value)


def test_what_a_kill_left_is_removed_when_nobody_writes_to_it_any_more(tmp_path: Path) -> None:
    for name, age in ((".a.npy.17.part", 4000), (".b.npy.18.part", 60), ("c.npy", 9000)):
        (tmp_path / name).write_bytes(b"frames")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.npy.18.part", "c.npy"]
    remove_leftovers(tmp_path / "nowhere")


def test_a_full_disk_leaves_no_part(tmp_path: Path, on_full_disk: Callable[[Path], None]) -> None:
    on_full_disk(tmp_path / "part")
    with pytest.raises(OSError, match="No space left"), whole_file(tmp_path / "a", tmp_path / "part") as file:
        file.write(b"half")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_known_from_rust(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Exception, match="os error 21") as other:  # which files of safetensors say of a folder
        save_file({"a": torch.zeros(1)}, tmp_path / "folder")
    assert not is_full(other.value)
    assert is_full(RuntimeError(str(other.value).replace("os error 21", f"os error {errno.ENOSPC}")))


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_what_is_full(number: int, full: bool) -> None:
    assert is_full(OSError(number, os.strerror(number))) == full


def test_who_had_no_room_for_what(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    said = (
        r"newer: no room for a page: [\d.,]+ MB free; make room, and run the same command again \(`onlooker train` with"
    )
    with pytest.raises(DiskFullError, match=said), room_for("a page", tmp_path / "new" / "newer"):
        raise error
    said = r"^clip.mp4: no room for its frames in .*: 2.5 MB needed, [\d.,]+ MB free; think of something$"
    needed, whose = (lambda: 2_500_000), Path("clip.mp4")
    with (
        pytest.raises(DiskFullError, match=said),
        room_for("its frames", tmp_path, "think of something", needed, whose),
    ):
        raise error


def test_the_first_to_say_it_is_heard_and_other_errors_stay(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"^inner$"), room_for("the outer", tmp_path):
        raise DiskFullError("inner")
    with pytest.raises(OSError, match=r"^.Errno 5. broken$"), room_for("the outer", tmp_path):
        raise OSError(errno.EIO, "broken")


def test_sizes_in_words() -> None:
    assert [in_megabytes(size) for size in (0, 1_540, 100_000, 1_234_567_890)] == [
        "0.0 kB", "1.5 kB", "0.1 MB", "1,234.6 MB",
    ]  # fmt: skip

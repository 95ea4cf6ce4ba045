"""Files that are whole or not there, and what is said where a disk has no room for them."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import Any, BinaryIO

AGAIN = "make room, and run the same command again (`onlooker train` with --resume)"
_LEFT_AFTER = 3600.0  # seconds
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(OSError):
    """No room on a disk: for what, how much it needs, how much there is, what to do."""


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or one's share of it, is full, or comes from one that does."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        if any(f"(os error {number})" in str(cause) for number in _FULL):  # as what is written in Rust has it
            return True
        cause = cause.__context__
    return False


@contextmanager
def room_for(
    what: str, folder: Path, remedy: str = AGAIN, needed: Callable[[], int] = lambda: 0, whose: Path | None = None
) -> Iterator[None]:
    """Whatever says within that the disk is full becomes one error that names who had no room for what.

    Args:
        what: is written, such as `a checkpoint`.
        folder: where to.
        remedy: what to do about it.
        needed: bytes of it, as far as is known when it fails; 0: nobody knows.
        whose: what the message begins with; None: the folder.

    Raises:
        DiskFullError: the disk is full.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        asked = f"{in_megabytes(needed())} needed, " if needed() else ""
        place = f" in {folder}" if whose else ""
        free = in_megabytes(disk_usage(_there(folder)).free)
        raise DiskFullError(f"{whose or folder}: no room for {what}{place}: {asked}{free} free; {remedy}") from error


@contextmanager
def whole_file(target: Path, part: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write, which is named `target` in the end: a reader finds all of it or nothing.

    Args:
        target: its folder is made where there is none.
        part: what the file is called until then; None: a name beside the target that carries the process's number, so
            that two writers do not meet.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part or target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the parts in `folder` that `whole_file` left when its process was killed.

    Those that nothing was written to for an hour: the process may be another computer's, and not be seen from here.
    """
    for part in folder.glob(".*.part"):
        try:
            if time.time() - part.stat().st_mtime > _LEFT_AFTER:
                part.unlink()
        except FileNotFoundError:  # another process was as tidy
            continue


def in_megabytes(size: int) -> str:
    """So many bytes as a person reads them; of few, in kilobytes."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def _there(folder: Path) -> Path:
    """The folder, or the one above it that there is: making it may be what failed."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: the file is cut off, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a whole JSON file ({error}); restore it, or make it again") from error


def write_json(path: Path, values: Any) -> None:
    """Write JSON to a temporary file beside `path`, then rename: a reader never sees half of it.

    Raises:
        DiskFullError: the disk is full.
    """
    write_bytes(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """The same for any content.

    Raises:
        DiskFullError: the disk is full.
    """
    with room_for("this file", path.parent, needed=lambda: len(content), whose=path), whole_file(path) as file:
        file.write(content)

"""Files that are written completely or not at all, and clear errors where a file cannot be written."""

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage
from typing import Any, BinaryIO

__all__ = ["read_json", "write_bytes", "write_json"]

FREE_SPACE = "free some space, and run the same command again (`onlooker train` with --resume)"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)


class DiskFullError(OSError):
    """A disk is full: what was written, how much space it needs, how much is free, what to do."""


class NotWritableError(OSError):
    """A folder or file that cannot be written: which one, why, what to do."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that the disk or the user's quota is full."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        if any(f"(os error {number})" in str(cause) for number in _FULL):  # the wording of libraries written in Rust
            return True
        cause = cause.__context__
    return False


@contextmanager
def explain_write_errors(
    what: str,
    folder: Path,
    remedy: str | Callable[[], str] = FREE_SPACE,
    needed: Callable[[], int] = lambda: 0,
    whose: Path | None = None,
) -> Iterator[None]:
    """Replace an error about a full, failing or write-protected disk by one that says what was written and what to do.

    Args:
        what: is written, such as `a checkpoint`.
        folder: where it is written.
        remedy: what to do about it; a function is called once the write has failed.
        needed: its size in bytes, as far as it is known when the write fails; 0: unknown.
        whose: the path that the message starts with; None: the folder.

    Raises:
        DiskFullError: the disk is full.
        NotWritableError: the folder is read-only, belongs to another user, or its disk fails.
    """
    try:
        yield
    except (DiskFullError, NotWritableError):
        raise
    except Exception as error:
        place = f" in {folder}" if whose else ""
        kind: type[OSError]
        if is_disk_full(error):
            size, free = needed(), disk_usage(_existing(folder)).free
            asked = f"{format_bytes(size)} needed, " if size else ""
            missing = f", {format_bytes(size - free)} missing" if size > free else ""
            kind, reason = DiskFullError, f"no space left for {what}{place}: {asked}{format_bytes(free)} free{missing}"
        elif isinstance(error, OSError) and error.errno in _REFUSED:
            kind, reason = NotWritableError, f"{what} cannot be written{place} ({error.strerror})"
        else:
            raise
        raise kind(f"{whose or folder}: {reason}; {remedy if isinstance(remedy, str) else remedy()}") from error


def check_writable(folder: Path, remedy: str = "choose another folder, or allow writing to it") -> None:
    """Make a folder if it does not exist, and write an empty file to it, before work that would be lost.

    Raises:
        NotWritableError: the folder cannot be made, or nothing can be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        file = _existing(folder)
        raise NotWritableError(f"{folder}: {file} is a file, expected a folder; {remedy}") from error
    except OSError as error:
        raise NotWritableError(f"{folder}: cannot be written to ({error.strerror}); {remedy}") from error


@contextmanager
def atomic_file(target: Path, part: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write that is renamed to `target` when it is complete: a reader finds all of it or nothing.

    Args:
        target: its folder is made if it does not exist.
        part: the name of the file until then; None: a hidden name in the same folder that contains the process number,
            so that two writers do not use the same file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part or target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, target)
    finally:
        # Where writing was refused, so is removing, and the first error is the one to report.
        with suppress(OSError):
            part.unlink(missing_ok=True)


def format_bytes(size: int) -> str:
    """A number of bytes for people, in megabytes; in kilobytes if it is small."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: making it may be what failed."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: the file is truncated, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a complete JSON file ({error}); restore it, or make it again") from error


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file; see `write_bytes`."""
    write_bytes(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a temporary file in the same folder and rename it.

    Raises:
        DiskFullError: the disk is full.
        NotWritableError: the folder is read-only, or belongs to another user.
    """
    explained = explain_write_errors("this file", path.parent, needed=lambda: len(content), whose=path)
    with explained, atomic_file(path) as file:
        file.write(content)

"""Files that are written completely or not at all, and clear errors where a file cannot be read or
written.
"""

import csv
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from onlooker.base.text import format_bytes, printable, short_name

__all__ = ["file_digest", "read_json", "write_bytes", "write_json"]

FREE_SPACE = "free some space, and run the same command again (`onlooker train` with --resume if the run has started)"
_OTHER_VERSION = (
    "restore it; or if another version of onlooker wrote it, use that version, or train again"
)
# bytes of a file that is read into memory as a whole: the split of a million clips has 200 MB
LIMIT = 1 << 28
_GZIP = zlib.MAX_WBITS | 16  # the format that gzip writes
_CHOOSE = "choose another folder, or allow writing to it"
NOT_WRITABLE_REMEDY = "name a folder that can be written in ONLOOKER_CACHE"
_DAY = 24 * 3600.0  # seconds
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG)

RECORD = "recognizer.json"  # of a trained model, next to its weights
_MODEL_FOLDERS = ("", "model", "final/model")  # of a model, a run, a cross-validated run


class DiskFullError(OSError):
    """A disk is full: what was written, how much is free, what to do."""


class NotWritableError(OSError):
    """A folder or file that cannot be written: which one, why, what to do."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that the disk or the user's quota is full."""
    if error is None:
        return False
    # the wording of libraries written in Rust
    is_rust_error = any(f"(os error {number})" in str(error) for number in _FULL)
    return (
        is_rust_error
        or (isinstance(error, OSError) and error.errno in _FULL)
        or is_disk_full(error.__context__)
    )


@contextmanager
def explain_write_errors(
    content: str,
    folder: Path,
    *,
    remedy: str = FREE_SPACE,
    path: Path | None = None,
    refused: str = _CHOOSE,
) -> Iterator[None]:
    """Replace an error about a full, failing or write-protected disk by one that says what was
    written and what to do.

    Args:
        content: what is written, such as `a checkpoint`.
        folder: where.
        remedy, refused: what to do if the disk is full, and if it cannot be written to.
        path: what the message starts with; None: the folder.

    Raises:
        DiskFullError: the disk is full.
        NotWritableError: the folder is read-only, belongs to another user, or its disk fails.
    """
    where = f" in {folder}" if path else ""
    try:
        yield
    except (DiskFullError, NotWritableError):
        raise
    except Exception as error:
        if is_disk_full(error):
            disk = next(
                ancestor for ancestor in (folder, *folder.absolute().parents) if ancestor.exists()
            )
            problem = f"no space left for {content}{where}: {format_bytes(shutil.disk_usage(disk).free)} free"
            raise DiskFullError(f"{path or folder}: {problem}; {remedy}") from error
        if isinstance(error, OSError) and error.errno in _REFUSED:
            problem = f"{content} cannot be written{where} ({error.strerror})"
            raise NotWritableError(f"{path or folder}: {problem}; {refused}") from error
        raise


def default_cache() -> Path:
    """`$ONLOOKER_CACHE`, else `onlooker` in the user's cache folder; a NotWritableError if there is
    no home folder.
    """
    if named := os.environ.get("ONLOOKER_CACHE"):
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onlooker"
    except RuntimeError as error:
        raise NotWritableError(
            f"the user has no home folder for the cache; {NOT_WRITABLE_REMEDY}"
        ) from error


def check_writable(folder: Path, remedy: str = _CHOOSE) -> None:
    """Make a folder if it does not exist, and write an empty file to it, before work that would be
    lost.

    Raises:
        DiskFullError: the disk is full.
        NotWritableError: the folder cannot be made, or nothing can be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(f"{folder}: no space left; {FREE_SPACE}") from error
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        problem = (
            "a file is in its place" if in_the_way else f"cannot be written to ({error.strerror})"
        )
        raise NotWritableError(f"{folder}: {problem}; {remedy}") from error


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """A file to write that is renamed to `target` when it is complete: a reader finds all of it or
    nothing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _unique_part(target)
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, target)
    finally:
        # If writing was refused, removing is refused too: report the first error.
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to make and fill that replaces `folder` when it is complete: a reader never finds an
    incomplete one.

    After a kill between the two renames, `restore_folder` brings the previous folder back.
    """
    restore_folder(folder)
    part = _unique_part(folder.absolute())
    old = _replaced(folder)
    try:
        yield part
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError:
        restore_folder(folder)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Undo a replacement that a kill has interrupted between its renames (`whole_folder`); readers
    call this first.
    """
    if not folder.exists():
        with suppress(FileNotFoundError):
            _replaced(folder).rename(folder)


def _replaced(folder: Path) -> Path:
    return folder.absolute().with_name(f".{folder.absolute().name}.old")


def model_folder(run: Path) -> Path | None:
    """The model folder of a run, or `run` itself if it is a model folder; None if there is none."""
    folders = [run / part for part in _MODEL_FOLDERS] if os.path.isdir(run) else []
    for folder in folders:
        restore_folder(folder)
    return next((folder for folder in folders if (folder / RECORD).exists()), None)


def _unique_part(target: Path) -> Path:
    """A name that no thread, process or machine uses, next to the file or folder that it becomes."""
    _remove_leftovers(target.parent)
    return target.with_name(f".{short_name(target.name)}.{uuid.uuid4().hex}.part")


@cache  # once per process: folders may have many files
def _remove_leftovers(folder: Path) -> None:
    """Remove parts that killed processes have left: nobody writes to one for a day."""
    for part in folder.glob(f".*.{'[0-9a-f]' * 32}.part"):
        with suppress(OSError):  # removed meanwhile
            if part.lstat().st_mtime < time.time() - _DAY:
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path: Path, digest: str | None, record: Path) -> None:
    """Raise a ValueError if a file has another SHA-256 than `digest`, which its `record` states;
    None: the record states none.
    """
    if digest and file_digest(path) != digest:
        problem = f"damaged, or not the file that {record.name} was written with (another SHA-256)"
        raise ValueError(f"{path}: {problem}; copy the folder again, or make it again")


def is_regular(path: Path) -> bool:
    """Whether a path, or what it links to, is a file on a disk.

    Files of the kernel look like empty files, and reading some of them never ends.
    """
    return path.is_file() and path.resolve().parts[1:2] not in (("proc",), ("sys",))


def check_regular(path: Path) -> None:
    """Check a path before it is opened: reading a pipe would wait for a writer, and reading a
    device never ends.

    Raises:
        ValueError: the path, or what it links to, is no regular file.
        OSError: there is none.
    """
    path.stat()  # an OSError if there is none
    if not is_regular(path):
        raise ValueError(f"{printable(path)}: not a regular file; replace it, or remove it")


def read_bytes(path: Path) -> bytes:
    """The content of a file; of one that gzip has packed (.gz), what is in it.

    Raises:
        ValueError: no regular file, or one of more than `LIMIT` bytes, or a damaged .gz.
        OSError: it cannot be read.
    """
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(LIMIT + 1)  # not the size that the system states: it may grow
    if path.suffix.lower() == ".gz" and len(content) <= LIMIT:
        try:
            content = zlib.decompressobj(_GZIP).decompress(content, LIMIT + 1)
        except zlib.error as error:
            problem = f"not a complete .gz file ({error}); copy it again"
            raise ValueError(f"{printable(path)}: {problem}") from error
    if len(content) > LIMIT:
        raise ValueError(
            f"{printable(path)}: more than {format_bytes(LIMIT)} are not read; make it smaller"
        )
    return content


def read_json(path: Path, kind: type = dict) -> Any:  # noqa: ANN401 - what a file holds
    """The content of a JSON file, whose outermost value is a `kind`, such as a dict or a list.

    Raises:
        ValueError: no regular file or a very large one (`read_bytes`), truncated, not JSON, or of
            another kind.
    """
    content = read_bytes(path)
    remedy = "restore it, or make it again"
    try:
        values = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{printable(path)}: not a complete JSON file ({error}); {remedy}"
        ) from error
    if not isinstance(values, kind):
        raise ValueError(
            f"{printable(path)}: JSON of a {type(values).__name__}, expected a {kind.__name__}; {remedy}"
        )
    return values


@contextmanager
def reading(path: Path, where: str = "", remedy: str = _OTHER_VERSION) -> Iterator[None]:
    """Turn errors about the values of a file into a ValueError that names the file, and the place
    in it.
    """
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        if str(error).startswith(printable(path)):
            raise
        problem = (
            f"no {error.args[0]}"
            if isinstance(error, KeyError)
            else " ".join(str(error).split())[:300]
        )
        raise ValueError(f"{printable(path)}: {where}{problem}; {remedy}") from error


def write_json(path: Path, values: object) -> None:
    """Write a JSON file; see `write_bytes`."""
    # A name may contain bytes that are not UTF-8; they are written as escapes, which are also valid
    # in JSON.
    write_bytes(
        path,
        (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"),
    )


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a table, whose first row is the header; see `write_bytes`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_bytes(path, text.getvalue().encode(errors="backslashreplace"))


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table that `write_csv` wrote, by column.

    Raises:
        ValueError: not such a table; other errors: see `read_bytes`.
    """
    try:
        return [*csv.DictReader(io.StringIO(read_bytes(path).decode()))]
    except (UnicodeDecodeError, csv.Error) as error:
        problem = f"not a complete table ({error}); restore it, or make it again"
        raise ValueError(f"{printable(path)}: {problem}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a temporary file in the same folder and rename it.

    Raises:
        DiskFullError: the disk is full.
        NotWritableError: the folder is read-only, belongs to another user, or its disk fails.
    """
    with explain_write_errors("this file", path.parent, path=path), atomic_file(path) as file:
        file.write(content)

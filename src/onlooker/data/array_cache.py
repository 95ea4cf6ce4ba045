"""One cache for arrays on disk: decoded frames, optical flow and features are computed once and found by their key.

An entry is a `.npy` file named by a hash of its key. A lock, which ends with its process, keeps two processes from
computing the same entry, and an entry gets its name when it is complete. Keys name every setting that the array
depends on, so a changed setting is a different entry.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from onlooker.files import NotWritableError, explain_write_errors, partial_name, read_json, write_json

Key = Mapping[str, Any]  # plain values, such as JSON has
Make = Callable[[], Iterable[NDArray[np.generic]]]  # the rows of an array, `N …`, part by part

# Part of every key: increase it when reading, resizing or the layout of entries changes.
VERSION = 3
DEFAULT_LIMIT = 20_000_000_000  # bytes
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# A process looks at the size of the cache whenever it has added this share of the limit.
_CHECKED = 1 / 32
_LIMIT_FILE = "limit.json"
_ELSEWHERE = "name a folder that can be written in ONLOOKER_CACHE"


def default_cache() -> Path:
    """`$ONLOOKER_CACHE`, else `onlooker` in the user's cache folder.

    Raises:
        NotWritableError: the user has no home folder.
    """
    if named := os.environ.get("ONLOOKER_CACHE"):
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onlooker"
    except RuntimeError as error:
        raise NotWritableError(f"the user has no home folder for the cache; {_ELSEWHERE}") from error


def cache_limit(folder: Path) -> int | None:
    """The size limit of the cache in `folder`, in bytes; None: no limit.

    It is `$ONLOOKER_CACHE_LIMIT`, else what `onlooker cache --limit` stored, else 20 GB.

    Raises:
        ValueError: a size that cannot be read.
    """
    if (text := os.environ.get("ONLOOKER_CACHE_LIMIT")) is not None:
        return parse_size(text)
    file = folder / _LIMIT_FILE
    return parse_size(str(read_json(file))) if file.exists() else DEFAULT_LIMIT


def store_limit(folder: Path, size: str) -> None:
    """Store the size limit of the cache in `folder`, such as `50GB` or `none`.

    Raises:
        ValueError: a size that cannot be read.
    """
    parse_size(size)
    write_json(folder / _LIMIT_FILE, size)


def parse_size(text: str) -> int | None:
    """Bytes from text such as `500MB`, `1.5 TB` or a plain number; None for `none`.

    Raises:
        ValueError: anything else.
    """
    number = text.strip().upper()
    if number == "NONE":
        return None
    digits = number.rstrip("KMGTB ")
    unit = number[len(digits) :].strip()
    try:
        size = float(digits) * _UNITS[unit]
        if 0 <= size < float("inf"):
            return int(size)
    except (KeyError, ValueError):
        pass
    raise ValueError(f"cache limit is {text!r}, expected a size such as 500MB or 20GB, or none")


def is_whole(file: Path) -> bool:
    """Whether `file` is a `.npy` file of the length that its header states; its numbers are not checked."""
    try:
        np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return True


class ArrayCache:
    """A folder of arrays, each computed once, by whichever process needs it first.

    Args:
        folder: of the entries; made with the first of them.
        limit: size in bytes beyond which the least recently used entries are removed; None: no limit.
        remedy: what to do if the folder cannot be written, for error messages.
    """

    def __init__(self, folder: Path, limit: int | None = None, remedy: str = _ELSEWHERE) -> None:
        self.folder, self.limit, self.remedy = folder, limit, remedy
        self._added = 0  # bytes since the size was last checked

    def file(self, key: Key) -> Path:
        """Where the entry of a key is, or will be.

        Raises:
            TypeError: the key holds values that JSON does not have.
        """
        canonical = json.dumps({"version": VERSION, **key}, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return self.folder / f"{hashlib.sha256(canonical.encode()).hexdigest()[:32]}.npy"

    def get(
        self,
        key: Key,
        make: Make,
        what: str = "an array",
        whose: Path | None = None,
        rows: Callable[[], int] = lambda: 0,
    ) -> Path:
        """The entry of a key, computed now if there is none, or if it is damaged.

        Args:
            key: all that the array depends on, by name.
            make: computes the array, as parts of at least one row; memory holds one part at a time.
            what: the array, for error messages.
            whose: the clip that it belongs to, for error messages.
            rows: the expected number of rows, for error messages; 0: unknown.

        Returns:
            A `.npy` file.

        Raises:
            DiskFullError: the disk is full; nothing is left of the entry.
            NotWritableError: the folder cannot be written to.
        """
        file = self.file(key)
        if is_whole(file):
            with suppress(OSError):
                os.utime(file)  # most recently used
            return file
        writer: ArrayWriter | None = None

        def needed() -> int:
            return writer.row_bytes * max(rows(), writer.rows) if writer else 0

        explained = (what, self.folder, self.remedy, needed, whose)
        with explain_write_errors(*explained):
            writer = self.claim(file, wait=True)
        if writer is not None:
            with writer:
                for part in make():
                    with explain_write_errors(*explained):
                        writer.append(part)
                with explain_write_errors(*explained):
                    writer.publish()
            self._count(file)
        return file

    def claim(self, file: Path, wait: bool = False) -> "ArrayWriter | None":
        """The exclusive right to write `file`, an entry that does not exist or is damaged.

        Args:
            file: of this cache.
            wait: until a process that writes it has finished.

        Returns:
            None if the entry is whole, or another process writes it and `wait` is False.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_file(file))
        try:
            lock.acquire(blocking=wait)
        except Timeout:
            return None
        writer = ArrayWriter(file, lock)
        if is_whole(file):
            writer.close()
            return None
        return writer

    def clean(self) -> None:
        """Remove what killed processes have left; files that a living process writes stay."""
        for leftover in self.folder.glob(".*.npy.*"):
            # The entry that this lock or partial file belongs to.
            lock = FileLock(_lock_file(leftover.with_name(leftover.name[1:].partition(".npy")[0] + ".npy")))
            with suppress(Timeout), lock.acquire(blocking=False):
                leftover.unlink(missing_ok=True)
                Path(lock.lock_file).unlink(missing_ok=True)

    def entries(self) -> dict[Path, tuple[int, int]]:
        """Every entry with the time of its last use (nanoseconds) and its size (bytes), least recently used first."""
        found = {}
        for file in self.folder.glob("*.npy"):
            with suppress(FileNotFoundError):  # removed by another process
                stat = file.stat()
                found[file] = stat.st_mtime_ns, stat.st_size
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def size(self) -> int:
        """Of all entries, in bytes."""
        return sum(size for _, size in self.entries().values())

    def prune(self) -> None:
        """Remove the least recently used entries until the rest fits into the limit; the newest one always stays."""
        self._added = 0
        if self.limit is None:
            return
        entries = self.entries()
        total = sum(size for _, size in entries.values())
        for file, (_, size) in [*entries.items()][:-1]:
            if total <= self.limit:
                return
            self._remove(file)
            total -= size

    def clear(self) -> None:
        """Remove all entries and what killed processes have left."""
        self.clean()
        for file in self.entries():
            self._remove(file)

    def _remove(self, file: Path) -> None:
        with explain_write_errors("the cache", self.folder, self.remedy):
            file.unlink(missing_ok=True)

    def _count(self, file: Path) -> None:
        with suppress(FileNotFoundError):
            self._added += file.stat().st_size
        if self.limit is not None and self._added > self.limit * _CHECKED:
            self.prune()


class ArrayWriter:
    """An entry while it is written; the lock is given up, and an unfinished file removed, when it is closed.

    Args:
        file: the entry.
        lock: held.
    """

    def __init__(self, file: Path, lock: FileLock) -> None:
        self.file, self._lock = file, lock
        self._part = partial_name(file)
        self._output: io.BufferedWriter | None = None
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._shape: tuple[int, ...] = ()  # of a row
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def row_bytes(self) -> int:
        """Size of one row; 0 before the first is written."""
        return self._dtype.itemsize * int(np.prod(self._shape)) if self._output else 0

    def append(self, rows: NDArray[np.generic]) -> None:
        """Write the next rows, `N …`, of the shape and type of the first.

        Raises:
            OSError: the disk is full.
        """
        if self._output is None:
            self._dtype, self._shape = rows.dtype, rows.shape[1:]
            self._output = self._part.open("wb")
            self._output.write(self._header())
        self._output.write(np.ascontiguousarray(rows, self._dtype).data)
        self.rows += len(rows)

    def publish(self) -> None:
        """Write the number of rows, flush to the disk and rename: a reader finds the whole file or none.

        Raises:
            OSError: the disk is full.
            ValueError: no row was written.
        """
        if self._output is None:
            raise ValueError(f"{self.file}: an array without rows, expected at least one")
        self._output.seek(0)
        self._output.write(self._header())
        self._output.flush()
        os.fsync(self._output.fileno())
        self._output.close()
        os.replace(self._part, self.file)

    def close(self) -> None:
        """Remove what was written if it was not published, and give up the lock."""
        if not self._lock.is_locked:
            return
        if self._output is not None:
            with suppress(OSError):  # the disk may be full, and the rest of the buffer is not needed
                self._output.close()
        # While the lock is held: afterwards the files may belong to another process. A process that waits for this
        # lock notices that the lock file is gone, and makes a new one.
        for own in (self._part, _lock_file(self.file)):
            with suppress(OSError):
                own.unlink(missing_ok=True)
        self._lock.release()

    def _header(self) -> bytes:
        # NumPy reserves space for any number of rows, so the header can be written again with the final number.
        header, shape = io.BytesIO(), (self.rows, *self._shape)
        descr = np.lib.format.dtype_to_descr(self._dtype)
        np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
        return header.getvalue()


def _lock_file(entry: Path) -> Path:
    return entry.with_name(f".{entry.name}.lock")

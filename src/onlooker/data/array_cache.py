"""One cache for arrays on disk: decoded frames, optical flow and features are computed once and
found by their key.

An entry is a `.npy` file named by a hash of its key. It gets that name when it is complete, so that
readers never see a part of it; two processes that compute it at the same time write the same.
Its last bytes are a checksum of all others, which NumPy does not read.
"""

import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from onlooker.base.files import (
    NOT_WRITABLE_REMEDY,
    atomic_file,
    check_regular,
    default_cache,
    explain_write_errors,
)
from onlooker.video.sampling import Sampling

Key = Mapping[str, Any]  # plain values, as in JSON: every setting that an array depends on, by name

VERSION = (
    5  # part of every key: increase it when reading, resizing or the layout of entries changes
)
DEFAULT_LIMIT = "20GB"
_DISK_FULL_REMEDY = (
    "name a folder on another disk in ONLOOKER_CACHE, or free some space, and run the same command again (`onlooker "
    "train` with --resume if the run has started): what is cached already stays"
)
# of the limit: after adding that much, a process checks the size of the cache
_CHECK_INTERVAL = 1 / 32
_ENTRIES = f"{'[0-9a-f]' * 32}.npy"  # names of entries; other arrays in the folder are the user's


def parse_size(text: str) -> int | None:
    """Bytes from text such as `500MB`, `1.5 TB` or a plain number; None for `none`; else a
    ValueError.
    """
    if text.strip().lower() == "none":
        return None
    if not (size := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())):
        raise ValueError(f"cache limit is {text!r}, expected a size such as 500MB or 20GB, or none")
    return int(float(size[1]) * 1000 ** " KMGT".index(size[2] or " "))


def open_array(file: Path) -> np.memmap[Any, np.dtype[Any]]:
    """The array `N …` of a `.npy` file, mapped into memory; never a pickle or an archive, which
    `np.load` reads too.

    Raises:
        ValueError: no regular file, or not an array of the length that its header states.
        OSError: it cannot be read.
    """
    check_regular(file)
    try:
        array = np.lib.format.open_memmap(file, mode="r")
        len(array)
    except OSError:
        raise
    except Exception as error:  # a damaged header is evaluated as Python, with any of its errors
        raise ValueError(
            f"{file}: not a complete array ({type(error).__name__}); remove it, and it is made again"
        ) from error
    return array


def is_whole(file: Path) -> bool:
    """Whether `file` is a `.npy` file of the length that its header states, with its checksum."""
    try:
        rows = open_array(file)
        content = np.memmap(file, np.uint8, "r")
    except (OSError, ValueError):
        return False
    stated = content[rows.offset + rows.nbytes :].tobytes()
    return stated == _checksum(content[: rows.offset].tobytes(), zlib.crc32(rows.data))


def load_rows(files: tuple[Path, ...], sampling: Sampling) -> NDArray[Any]:
    """Sampled rows of the arrays `N …` in some files, concatenated along the last axis; all have
    the same number of rows.
    """
    stored = [open_array(file) for file in files]
    sampled = sampling(len(stored[0]))
    return np.concatenate([rows[sampled] for rows in stored], -1)


class ArrayCache:
    """A folder of arrays, each computed once; beyond `limit` bytes the least recently used ones are
    removed.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self.limit = limit
        self._added = 0  # bytes since the size was last checked

    @classmethod
    def for_user(cls, folder: Path | None = None) -> Self:
        """The cache in `folder`, with the limit in `$ONLOOKER_CACHE_LIMIT`, else 20 GB."""
        return cls(
            folder or default_cache(),
            parse_size(os.environ.get("ONLOOKER_CACHE_LIMIT") or DEFAULT_LIMIT),
        )

    def file(self, key: Key) -> Path:
        """Where the entry of a key is, or will be; a TypeError if JSON does not have one of its
        values.
        """
        canonical = json.dumps(
            {"version": VERSION, **key}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        return self.folder / f"{hashlib.sha256(canonical.encode()).hexdigest()[:32]}.npy"

    def get(
        self,
        key: Key,
        make: Callable[[], NDArray[Any]],
        *,
        content: str = "an array",
        path: Path | None = None,
    ) -> Path:
        """The `.npy` file of a key; the array is computed now if there is none, or if it is not
        complete.

        Args:
            make: computes the array.
            content, path: for error messages, see `explain_write_errors`.

        Raises:
            DiskFullError, NotWritableError: the entry cannot be written; none is left in part.
        """
        file = self.file(key)
        if is_whole(file):
            with suppress(OSError):
                os.utime(file)  # most recently used
            return file
        with explain_write_errors(
            content, self.folder, remedy=_DISK_FULL_REMEDY, path=path, refused=NOT_WRITABLE_REMEDY
        ):
            self._added += _write(file, make())
        if self.limit is not None and self._added > self.limit * _CHECK_INTERVAL:
            self.prune()
        return file

    def prune(self) -> None:
        """Remove the least recently used entries until the rest is within the limit; the newest one
        always stays.
        """
        if self.limit is None:
            return
        self._added = 0
        entries = []
        for file in self.folder.glob(_ENTRIES):
            with suppress(FileNotFoundError):  # removed by another process
                stat = file.stat()
                entries.append((stat.st_mtime_ns, stat.st_size, file))
        excess = sum(size for _, size, _ in entries) - self.limit
        for _, size, file in sorted(entries)[:-1]:
            if excess > 0:
                with explain_write_errors("the cache", self.folder, refused=NOT_WRITABLE_REMEDY):
                    file.unlink(missing_ok=True)
                excess -= size


def _write(file: Path, array: NDArray[Any]) -> int:
    """Write an entry, and return its size in bytes: a reader finds all of it or nothing.

    `np.save` would not tell a full disk from other errors: its own have no error number.
    """
    content = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(content))
    with atomic_file(file) as output:
        output.write(header.getvalue())
        output.write(content.data)
        output.write(_checksum(header.getvalue(), zlib.crc32(content.data)))
        output.flush()
        os.fsync(output.fileno())
    return content.nbytes


def _checksum(header: bytes, crc: int) -> bytes:
    """What an entry ends with; `crc`: of its rows."""
    return b"crc32 %08x" % zlib.crc32(header, crc)

"""A video at an address, read in parts as they are needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onlooker.storage.address import StorageError, connect, explained, folder_of_this_machine
from onlooker.structures import ClipError

_BLOCK, _BLOCKS = 4 << 20, 8  # bytes of one request, and how many such blocks are kept


def video_at(address: str | Path) -> "RemoteVideo | Path":
    """The video at an address; a path for `file:///video.mp4`.

    Raises:
        StorageError: an address with a password, or no such file system.
    """
    return folder_of_this_machine(address) or RemoteVideo(address)


class RemoteVideo:
    """A video at an address, of which at most 32 MB are in memory; a `video.container.RemoteFile`.

    Args:
        address: `s3://bucket/day.mp4`, or a path made from it, in which one slash is missing.

    Raises:
        StorageError: not an address, one with a password, or no such file system.
    """

    def __init__(self, address: str | Path) -> None:
        self._address, self._files, self._path = connect(address)

    def __str__(self) -> str:
        return self._address

    def open(self) -> "_Reader":
        """Open the video; opening and reading raise a ClipError if the address cannot be read."""
        cache = {"block_size": _BLOCK, "cache_type": "blockcache", "cache_options": {"maxblocks": _BLOCKS}}
        with _clip_errors(self._address):
            return _Reader(self._address, self._files.open(self._path, "rb", **cache))


class _Reader:
    """An open file of fsspec whose errors are ClipErrors."""

    def __init__(self, address: str, file: Any) -> None:
        self._address, self._file = address, file

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        with _clip_errors(self._address):
            data: bytes = self._file.read(size)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        with _clip_errors(self._address):
            position: int = self._file.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._file.tell()
        return position


@contextmanager
def _clip_errors(address: str) -> Iterator[None]:
    try:
        with explained(address):
            yield
    except StorageError as error:
        raise ClipError(address, error.found, error.remedy) from error

"""Addresses of files, such as `s3://bucket/clips`: how to recognize one, and its file system."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from onlooker.files import printable

_ADDRESS = re.compile(r"([a-z][a-z0-9+]+):/{1,2}(.+)")  # a path collapses the slashes
_NOT_FILES = {"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp"}  # streams, or web pages

_HOST_AND_PORT = re.compile(r"[^:]*:\d+")


class StorageError(OSError):
    """An address that cannot be read or written: the address, the problem, the remedy."""

    def __init__(self, address: str, found: str, remedy: str) -> None:
        super().__init__(printable(f"{address}: {found}; {remedy}"))
        self.found, self.remedy = found, remedy


def is_address(text: str | Path) -> bool:
    """Whether this is an address of files, as a path or as text."""
    found = _ADDRESS.fullmatch(Path(text).as_posix())
    return found is not None and found[1] not in _NOT_FILES and not os.path.exists(text)


def folder_of_this_machine(address: str | Path) -> Path | None:
    """The path that `file:///folder` names; None: an address elsewhere."""
    found = _ADDRESS.fullmatch(Path(address).as_posix())
    if not found or found[1] not in ("file", "local"):
        return None
    path = Path("/", found[2])
    return path if path.exists() else Path(unquote(str(path)))  # as file managers and browsers write a path


def connect(address: str | Path) -> tuple[str, Any, str]:
    """The address with both slashes, its file system (of fsspec), and the path there.

    Args:
        address: `s3://bucket/clips`, or a path made from it, in which one slash is missing.

    Raises:
        StorageError: not an address, or one with a password; no such file system, or the package for it is missing.
    """
    found = _ADDRESS.fullmatch(Path(address).as_posix())
    if found is None:
        raise StorageError(str(address), "not an address", "expected one such as s3://bucket/folder")
    whole = f"{found[1]}://{found[2]}"
    first, (_, at, place) = found[2].partition("/")[0], found[2].rpartition("@")
    if at and ":" in first and not _HOST_AND_PORT.fullmatch(first):  # the password may have a slash or an @
        hidden = f"{found[1]}://***@{place}"
        raise StorageError(hidden, "an address with a password", "give it in the environment instead")
    with explained(whole):
        from fsspec.core import url_to_fs

        files, path = url_to_fs(whole)
    return whole, files, path.rstrip("/")


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Convert errors of a file system to a StorageError of one line that starts with the address."""
    try:
        yield
    except (StorageError, KeyboardInterrupt):
        raise
    except ImportError as error:
        package = re.search(r"[Ii]nstall (\w+)", str(error))
        remedy = f"pip install {package[1]}" if package else str(error)
        raise StorageError(address, "the package for such addresses is not installed", remedy) from error
    except FileNotFoundError as error:
        raise StorageError(address, f"no such file, bucket or folder ({error})", "check the address") from error
    except PermissionError as error:
        raise StorageError(address, "access denied", "check the credentials of this machine") from error
    except Exception as error:  # file systems raise their own errors
        problem = " ".join(str(error).split())[:300] or type(error).__name__
        raise StorageError(address, problem, "check the address, the network and the credentials") from error

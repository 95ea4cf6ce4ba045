"""The temporary folder of a server; a folder that remains after a server was killed is deleted by the next server."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["temporary_folder"]

_PREFIX = "onlooker-page-"
_LOCK = ".lock"

_locks: list[FileLock] = []  # held until this process ends


def temporary_folder() -> Path:
    """A new folder that this process locks, after deleting folders that no process locks any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _delete_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = FileLock(folder / _LOCK)
    lock.acquire(blocking=False)
    _locks.append(lock)
    return folder


def _delete_if_left(folder: Path) -> None:
    with suppress(OSError, Timeout):
        if (folder / _LOCK).exists():  # else another process is making it, or it is not one of ours
            with FileLock(folder / _LOCK, blocking=False):
                shutil.rmtree(folder)

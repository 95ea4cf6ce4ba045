"""The mirrors in the cache: opened by commands and readers, listed, and removed."""

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock, Timeout

from onlooker.files import printable
from onlooker.storage.address import StorageError, folder_of_this_machine, is_address
from onlooker.storage.mirror import Mirror, is_uploaded, mirrors_folder, recorded_address

_UPLOAD_EVERY = 60.0  # seconds
_PATIENCE = 1.0  # seconds: for another process that downloads the same few files, before they are copied a second time


def local(path: Path | str) -> Path:
    """A path; for an address, the path of its mirror, after downloading new files.

    While a command uses the mirror, it is the path of a second copy, which is only read.

    Raises:
        StorageError: the address cannot be read.
    """
    if not is_address(path):
        return Path(path)
    if (folder := folder_of_this_machine(path)) is not None:
        return folder
    try:
        return _downloaded(Mirror(path), _PATIENCE)
    except Timeout:
        return _downloaded(Mirror(path, "-read"), -1)


def _downloaded(mirror: Mirror, timeout: float) -> Path:
    with mirror.locked().acquire(timeout=timeout):
        mirror.download()
    return mirror.local


def address_of(path: Path) -> str | None:
    """The address that a path in a mirror stands for; None: it is in no mirror."""
    mirrors, whole = (Path(os.path.realpath(each)) for each in (mirrors_folder(), path))  # also of a link to itself
    if not whole.is_relative_to(mirrors):
        return None
    folder, *parts = whole.relative_to(mirrors).parts or [""]
    address = recorded_address(mirrors / folder) if parts else None
    return address and "/".join([address, *parts[1:]])


def path_or_address(path: Path) -> str:
    """The address that a path in a mirror stands for, which means the same on other machines; else the path."""
    return address_of(path) or str(path)


@contextmanager
def mirrored(paths: Iterable[Path], quiet: bool = False) -> Iterator[dict[Path, Path]]:
    """The local folders of those paths that are addresses, by path; changes made in the `with` block are uploaded.

    Raises:
        StorageError: an address cannot be read or written; files that were not uploaded stay in the mirror.
        ValueError: another process uses the same mirror.
    """
    addresses = [path for path in dict.fromkeys(paths) if is_address(path)]
    places = {path: folder for path in addresses if (folder := folder_of_this_machine(path)) is not None}
    mirrors = {path: Mirror(path) for path in addresses if path not in places}
    with ExitStack() as locks:
        for mirror in mirrors.values():
            try:
                locks.enter_context(mirror.locked().acquire(timeout=0))
            except Timeout as error:
                raise ValueError(f"{mirror.address}: another command uses it here; wait until it ends") from error
            mirror.download(quiet)
        with _uploads(mirrors.values(), quiet):
            yield places | {path: mirror.local for path, mirror in mirrors.items()}


def mirrors() -> dict[Path, int]:
    """The folder of every mirror in the cache, and its size in bytes."""
    folders = sorted(folder for folder in mirrors_folder().glob("*") if folder.is_dir())
    return {folder: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) for folder in folders}


def clear_mirrors() -> list[Path]:
    """Remove the mirrors, and return those that are kept: used by a command, or with files that are not uploaded."""
    kept = []
    for folder in mirrors():
        try:
            with FileLock(folder / ".lock", timeout=0):
                if is_uploaded(folder):
                    shutil.rmtree(folder)
                else:
                    kept.append(folder)
        except Timeout:
            kept.append(folder)
    return kept


@contextmanager
def _uploads(mirrors: Collection[Mirror], quiet: bool) -> Iterator[None]:
    """Upload changes every minute and at the end; an error of the `with` block takes precedence over upload errors."""
    done, reported = Event(), set[str]()

    def upload() -> None:
        while not done.wait(_UPLOAD_EVERY):
            for mirror in mirrors:
                try:
                    mirror.upload(quiet=True)
                except Exception as error:
                    _report(mirror, error, reported)

    uploads = Thread(target=upload, daemon=True)
    if mirrors:
        uploads.start()
    failed = True
    try:
        yield
        failed = False
    finally:
        done.set()
        if mirrors:
            uploads.join()
        errors = []
        for mirror in mirrors:
            try:
                mirror.upload(quiet)
            except OSError as error:
                errors.append(error)
        for each in errors[0 if failed else 1 :]:
            print(f"not uploaded: {each}", file=sys.stderr)
        if errors and not failed:
            raise errors[0]


def _report(mirror: Mirror, error: Exception, reported: set[str]) -> None:
    """Print why files are not uploaded while a command works, once for each cause."""
    cause = f"{mirror.address} {error.found if isinstance(error, StorageError) else error}"  # not the name of the file
    if cause not in reported:
        reported.add(cause)
        again = f"the work goes on in {mirror.local}, and uploads are tried again every {_UPLOAD_EVERY:g} s"
        print(printable(f"not uploaded yet: {error}; {again}"), file=sys.stderr)

"""Clips and runs at an address, such as `s3://bucket/clips`: any file system that fsspec knows.

What a command reads is downloaded into the cache, and kept there until it changes at the address. What it writes is
written to a folder of the cache that is uploaded every minute and at the end. A run is complete once `complete.json` is
there, which is uploaded last. The file systems find credentials themselves, in the environment or in their own files.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp
from threading import Event, Thread
from typing import Any
from urllib.parse import quote, unquote

from filelock import FileLock

from onlooker.files import explain_write_errors, is_disk_full, printable, write_json

__all__ = [
    "READ", "WRITTEN", "StorageError", "address_of", "check_complete", "copies_folder", "folder_of_this_machine",
    "is_address", "local", "path_or_address", "uploading",
]  # fmt: skip

UPLOAD_EVERY = 60.0  # seconds
_ADDRESS = re.compile(r"([a-z][a-z0-9+]+):/{1,2}(.+)")  # a path collapses the slashes
_NOT_FILES = {"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp"}  # streams, or web pages
_COMPLETE, _LAST = "complete.json", "last.ckpt"
_REFERRING = (".json", ".ckpt")  # files with checksums of others, and checkpoints, of which the last refers to the best
READ, WRITTEN = "read", "written"  # folders of copies
_BATCH = 32  # files that are downloaded together
_MORE_SPACE = "free some space, or set ONLOOKER_CACHE to a folder on another disk, and run the same command again"


class StorageError(OSError):
    """An address that cannot be read or written: the address, the problem, the remedy."""

    def __init__(self, address: str, found: str, remedy: str) -> None:
        super().__init__(printable(f"{address}: {found}; {remedy}"))


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


def local(path: Path | str) -> Path:
    """A path; of an address, the path of its copy in the cache, after downloading what is new there.

    Raises:
        StorageError: the address cannot be read.
    """
    if not is_address(path):
        return Path(path)
    if (folder := folder_of_this_machine(path)) is not None:
        return folder
    from fsspec.core import OpenFile, OpenFiles
    from fsspec.implementations.cached import WholeFileCacheFileSystem
    from rich.progress import track

    address, files, root = _connect(path)
    folder = copies_folder() / READ / _quoted(address)
    copy = folder / "files" / PurePosixPath(root).name
    folder.mkdir(parents=True, exist_ok=True)
    full = explain_write_errors(f"a copy of {address}", folder, _MORE_SPACE)
    with FileLock(f"{folder}.lock"), full, _explained(address):
        there = _list(address, files, root)
        for name in _names(copy) - set(there):  # removed there
            (copy / name).unlink()
        names = {there[name]: (copy / name).relative_to(folder).as_posix() for name in there}
        cached = WholeFileCacheFileSystem(
            fs=files, cache_storage=str(folder), cache_mapper=names.__getitem__,
            check_files=True, expiry_time=0, skip_instance_cache=True,
        )  # fmt: skip
        title = f"downloading {printable(address)}"
        parts = [[*names][i : i + _BATCH] for i in range(0, len(names), _BATCH)]
        for part in track(parts, title, transient=True, disable=len(parts) < 2):
            for file in cached.open_many(OpenFiles([OpenFile(files, path) for path in part])):
                file.close()
    return copy


@contextmanager
def uploading(paths: Iterable[Path]) -> Iterator[dict[Path, Path]]:
    """Local folders in place of those paths that are addresses; what is written there is uploaded.

    They begin with what is at the address, so that a command can be continued on another machine.

    Raises:
        StorageError: an address cannot be read or written; what was not uploaded is kept.
    """
    addresses = [path for path in dict.fromkeys(paths) if is_address(path)]
    places = {path: folder for path in addresses if (folder := folder_of_this_machine(path)) is not None}
    uploads = {path: _Upload(path) for path in addresses if path not in places}
    done, failed, reported = Event(), True, set[str]()

    def every_minute() -> None:
        while not done.wait(UPLOAD_EVERY):
            for each in uploads.values():
                try:
                    each.send()
                except OSError as error:
                    if str(error) not in reported:
                        reported.add(str(error))
                        again = f"the work goes on in {each.copy}, and uploads are tried again"
                        print(printable(f"not uploaded yet: {error}; {again}"), file=sys.stderr)

    thread, errors = Thread(target=every_minute, daemon=True), list[OSError]()
    thread.start()
    try:
        yield places | {path: each.copy for path, each in uploads.items()}
        failed = False
    finally:  # an error of the `with` block takes precedence over those of uploads
        done.set()
        thread.join()
        for each in uploads.values():
            try:
                each.finish(complete=not failed)
            except OSError as error:
                errors.append(StorageError(each.address, f"not all is uploaded ({error})", f"copy it from {each.copy}"))
        for other in errors[0 if failed else 1 :]:
            print(other, file=sys.stderr)
        if errors and not failed:
            raise errors[0]


class _Upload:
    """A folder of the cache that one command writes to, and what of it has been uploaded."""

    def __init__(self, path: Path) -> None:
        self.address, self._files, self._root = _connect(path)
        parent = copies_folder() / WRITTEN / _quoted(self.address)
        parent.mkdir(parents=True, exist_ok=True)
        self.copy = Path(mkdtemp(dir=parent), PurePosixPath(self._root).name)
        with _explained(self.address):
            there = _list(self.address, self._files, self._root)
            self._files.get([*there.values()], [str(self.copy / name) for name in there])
        self._sent = {name: _stat(self.copy / name) for name in there}

    def finish(self, complete: bool) -> None:
        """Upload all changes, and of a run that is complete the file that says so; then remove the folder."""
        self.send()
        if complete and (self.copy / "split.json").exists() and not (self.copy / _COMPLETE).exists():
            write_json(self.copy / _COMPLETE, {})
            self.send()
        shutil.rmtree(self.copy.parent)

    def send(self) -> None:
        """Upload the files that have changed; those that refer to others after them, as they were written.

        Wherever it stops, no file at the address is older than one that refers to it. For example, `best.ckpt` is of
        the epoch of `last.ckpt` or of a later one, which a resumed training repeats.
        """
        with TemporaryDirectory(dir=self.copy.parent) as folder:
            links, stats = dict[str, Path](), dict[str, list[int]]()
            for name in sorted(_names(self.copy), key=self._order, reverse=True):
                with suppress(FileNotFoundError):  # replaced by a newer one
                    if self._sent.get(name) != (stat := _stat(self.copy / name)):
                        os.link(self.copy / name, link := Path(folder, str(len(links))))
                        links[name], stats[name] = link, stat
            names = [*reversed(links)]
            together = [name for name in names if not name.endswith(_REFERRING)]
            with _explained(self.address):
                for batch in filter(None, [together, *([name] for name in names[len(together) :])]):
                    paths = [f"{self._root}/{name}" if name else self._root for name in batch]
                    for parent in {path.rpartition("/")[0] for path in paths}:
                        self._files.makedirs(parent, exist_ok=True)
                    self._files.put([str(links[name]) for name in batch], paths)
                    self._sent |= {name: stats[name] for name in batch}

    def _order(self, name: str) -> tuple[bool, bool, float]:
        path = self.copy / name
        written = path.stat().st_mtime_ns if path.exists() else 0
        return name.endswith(_REFERRING), path.name == _LAST, written


def check_complete(run: Path) -> None:
    """Raise a StorageError for a downloaded run whose upload has not ended."""
    is_run, is_copy = (run / "split.json").exists(), run.is_relative_to(copies_folder() / READ)
    if is_run and is_copy and not (run / _COMPLETE).exists():
        remedy = f"continue its training with --resume; if you copied it there, add {_COMPLETE}, which may hold {{}}"
        raise StorageError(path_or_address(run), f"incomplete, its upload has not ended (no {_COMPLETE})", remedy)


def address_of(path: Path) -> str | None:
    """The address that a path in a copy stands for; None: it is in no copy."""
    folder, whole = (Path(os.path.realpath(each)) for each in (copies_folder(), path))
    if not whole.is_relative_to(folder) or len(parts := whole.relative_to(folder).parts) < 4:
        return None
    return "/".join([unquote(parts[1].replace("=", "%")), *parts[4:]])


def path_or_address(path: Path) -> str:
    """The address that a path in a copy stands for, which means the same on other machines; else the path."""
    return address_of(path) or str(path)


def copies_folder() -> Path:
    """The folder of the cache with copies of what is read and written at addresses."""
    from onlooker.data.array_cache import default_cache  # imports numpy, which commands should not need to start

    return default_cache() / "addresses"


def _quoted(address: str) -> str:
    """The name of the folder for an address."""
    return quote(address, safe="").replace("%", "=")


def _names(copy: Path) -> set[str]:
    """The files of a copy by their names below the address; "" is the address itself."""
    paths = [copy] if copy.is_file() else [path for path in copy.rglob("*") if path.is_file()]
    names = {"" if path == copy else path.relative_to(copy).as_posix() for path in paths}
    return {name for name in names if not _is_hidden(name)}


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _stat(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


def _connect(address: str | Path) -> tuple[str, Any, str]:
    """The address with both slashes, its file system, and the path there."""
    found = _ADDRESS.fullmatch(Path(address).as_posix())
    assert found is not None
    whole = f"{found[1]}://{found[2]}"
    if "@" in found[2] and re.match(r"[^/@]*:(?!\d+/)", found[2]):  # the password may have a slash or an @
        hidden = f"{found[1]}://***@{found[2].rpartition('@')[2]}"
        raise StorageError(hidden, "an address with a password", "give it in the environment instead")
    if ".." in PurePosixPath(found[2]).parts:
        raise StorageError(whole, "an address with ..", "give the folder itself")
    with _explained(whole):
        from fsspec.core import url_to_fs

        files, path = url_to_fs(whole)
    return whole, files, path.rstrip("/")


def _list(address: str, files: Any, root: str) -> dict[str, str]:
    """The path of each file at the address, by its name below it; "" is the address itself."""
    files.invalidate_cache()
    base, listed = PurePosixPath("/" + root.lstrip("/")), dict[str, str]()
    for path in files.find(root) if files.exists(root) else []:
        name = "/".join(PurePosixPath("/" + path.lstrip("/")).relative_to(base).parts)  # "" for the address itself
        if ".." in name.split("/") or "\\" in name:
            raise StorageError(address, f"no file can have the name {path} here", "rename it")
        if not _is_hidden(name):
            listed[name] = path
    return listed


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Convert errors of a file system to a StorageError of one line that starts with the address."""
    try:
        yield
    except ImportError as error:
        package = re.search(r"[Ii]nstall (\w+)", str(error))
        remedy = f"pip install {package[1]}" if package else str(error)
        raise StorageError(address, "the package for such addresses is not installed", remedy) from error
    except PermissionError as error:
        raise StorageError(address, "access denied", "check the credentials of this machine") from error
    except Exception as error:  # file systems raise their own errors
        if isinstance(error, StorageError) or is_disk_full(error):
            raise
        problem = " ".join(str(error).split())[:300] or type(error).__name__
        raise StorageError(address, problem, "check the address, the network and the credentials") from error

"""Clips, feature stores and runs at an address: `s3://bucket/clips`, `gs://…`, any file system that fsspec knows.

Commands work on a mirror, a folder in the cache. What is new at the address is downloaded first; what a command has
changed is uploaded every minute and at the end. Objects are replaced whole, and the files that describe others come
last, so that a reader never finds a description without what it describes. Credentials are those that fsspec's file
systems find themselves, in the environment or in their own files; no address contains any.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event, Thread
from typing import Any

from filelock import FileLock, Timeout

from onlooker.files import atomic_file, printable, read_json, write_json

__all__ = ["Mirror", "StorageError", "address_of", "is_address", "local", "mirrored"]

_ADDRESS = re.compile(r"([a-z][a-z0-9+]+):/{1,2}(.+)")  # a path collapses the slashes
_NOT_FILES = {"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp"}  # streams, or web pages
_RECORD = ".mirror.json"
_AT_ONCE = 8  # transfers
_UPLOAD_EVERY = 60.0  # seconds


class StorageError(OSError):
    """An address that cannot be read or written: which, why, what to do."""


def is_address(text: str | Path) -> bool:
    """Whether this is an address of files, as a path or as text."""
    found = _ADDRESS.fullmatch(Path(text).as_posix())
    return found is not None and found[1] not in _NOT_FILES and not os.path.exists(text)


def local(path: Path | str) -> Path:
    """A path, or for an address its mirror, which is downloaded if it is not there yet.

    Raises:
        StorageError: the address cannot be read.
    """
    if not is_address(path):
        return Path(path)
    mirror = Mirror(path)
    with mirror.locked():
        mirror.download()
    return mirror.local


def address_of(path: Path) -> str | None:
    """The address that a path in a mirror stands for; None: it is in no mirror."""
    for folder in (path, *path.parents):
        if (record := folder.parent / _RECORD).exists():
            address: str = read_json(record)["address"]
            return "/".join([address, *path.relative_to(folder).parts])
    return None


@contextmanager
def mirrored(paths: Iterable[Path], quiet: bool = False) -> Iterator[dict[Path, Path]]:
    """Mirrors of those paths that are addresses, by path; what changes in them in the block is uploaded.

    Raises:
        StorageError: an address cannot be read or written; what was not uploaded stays in the mirror.
        ValueError: another process uses the same mirror.
    """
    mirrors = {path: Mirror(path) for path in dict.fromkeys(paths) if is_address(path)}
    if not mirrors:
        yield {}
        return
    done = Event()
    locks = [mirror.locked() for mirror in mirrors.values()]
    try:
        for mirror, lock in zip(mirrors.values(), locks, strict=True):
            lock.acquire()
            mirror.download(quiet)

        def upload() -> None:
            while not done.wait(_UPLOAD_EVERY):
                for mirror in mirrors.values():
                    try:
                        mirror.upload(quiet=True)
                    except StorageError:  # tried again in a minute, and at the end
                        break

        uploads = Thread(target=upload, daemon=True)
        uploads.start()
        try:
            yield {path: mirror.local for path, mirror in mirrors.items()}
        finally:
            done.set()
            uploads.join()
            for mirror in mirrors.values():
                mirror.upload(quiet)
    except Timeout as error:
        raise ValueError(f"{error.lock_file}: another process uses this mirror; wait until it ends") from error
    finally:
        for lock in locks:
            lock.release()


@dataclass(frozen=True)
class _File:
    """A file at an address: its version there, and size and time of change of its copy."""

    version: str
    size: int
    changed: int

    @classmethod
    def of(cls, version: str, copy: Path) -> "_File":
        stat = copy.stat()
        return cls(version, stat.st_size, stat.st_mtime_ns)


class Mirror:
    """A local copy of the file or folder at an address.

    Args:
        address: `s3://bucket/clips`, also as a path, which has lost a slash.

    Raises:
        StorageError: no such file system, or the package for it is not installed.
    """

    def __init__(self, address: str | Path) -> None:
        found = _ADDRESS.fullmatch(Path(address).as_posix())
        if found is None:
            raise StorageError(f"{address}: not an address, expected one such as s3://bucket/folder")
        self.address = f"{found[1]}://{found[2]}"
        if "@" in found[2].partition("/")[0]:
            hidden = f"{found[1]}://***@{found[2].partition('@')[2]}"
            raise StorageError(f"{hidden}: an address with a password; give it in the environment instead")
        from onlooker.data.array_cache import default_cache  # numpy, which no command needs to start

        self.folder = default_cache() / "mirrors" / hashlib.sha256(self.address.encode()).hexdigest()[:16]
        self.local = self.folder / PurePosixPath(found[2]).name
        with self._explained():
            from fsspec.core import url_to_fs

            self._remote, root = url_to_fs(f"{found[1]}:///{found[2]}" if found[1] == "file" else self.address)
            self._root: str = root.rstrip("/")

    def locked(self) -> FileLock:
        """A lock, not acquired yet, that one process at a time holds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock", timeout=0)

    def download(self, quiet: bool = False) -> None:
        """Make the mirror equal to what is at the address, except for what was changed here and not uploaded yet.

        Raises:
            StorageError: the address cannot be read, or a file was changed both there and here.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        known, there = self._known(), self._list()
        new = []
        for name, (version, size) in there.items():
            copy, record = self._copy(name), known.get(name)
            if not copy.exists():
                new.append(name)
            elif record is None and copy.stat().st_size == size:  # stopped after its download
                known[name] = _File.of(version, copy)
            elif record is None or record.version != version:
                if _is_changed(record, copy):
                    raise StorageError(
                        f"{self.address}/{name}: changed there and in its mirror; remove one of them: {copy}"
                    )
                new.append(name)
        for name in known.keys() - there.keys():  # removed there
            copy, record = self._copy(name), known.pop(name)
            if copy.exists() and not _is_changed(record, copy):
                copy.unlink()

        def fetch(name: str) -> None:
            copy = self._copy(name)
            with self._explained(name):
                try:
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    with self._remote.open(self._at(name), "rb") as source, atomic_file(copy) as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                except FileNotFoundError:  # removed since it was listed
                    return
            known[name] = _File.of(there[name][0], copy)

        try:
            self._transfer(fetch, new, "downloading", quiet)
        finally:
            self._write_record(known)

    def upload(self, quiet: bool = False) -> None:
        """Bring what has changed in the mirror to the address; files that describe others last.

        Raises:
            StorageError: the address cannot be written to.
        """
        known, copies = self._known(), self._copies()
        changed = [name for name, copy in copies.items() if _is_changed(known.get(name), copy)]

        def send(name: str) -> None:
            copy = copies[name]
            try:
                before = _File.of("", copy)
            except FileNotFoundError:  # replaced by a newer one; the next upload has it
                return
            with self._explained(name):
                self._put(copy, self._at(name))
                info = self._remote.info(self._at(name))
            known[name] = _File(_version(info), before.size, before.changed)

        try:
            for described in (False, True):
                names = [name for name in changed if (Path(name or self.address).suffix == ".json") == described]
                self._transfer(send, names, "uploading", quiet)
            for name in known.keys() - copies.keys():
                with self._explained(name):
                    if self._remote.exists(self._at(name)):
                        self._remote.rm_file(self._at(name))
                del known[name]
        finally:
            if changed or known:
                self._write_record(known)

    def _put(self, copy: Path, target: str) -> None:
        """Write a file whole: an object appears when it is complete; where files grow, a rename makes it so."""
        protocols = self._remote.protocol
        if "file" in ((protocols,) if isinstance(protocols, str) else protocols):
            with copy.open("rb") as source, atomic_file(Path(target)) as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        else:
            self._remote.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._remote.put_file(str(copy), target)

    def _list(self) -> dict[str, tuple[str, int]]:
        """Version and size of the files there, by their names below the address; "" is the address itself."""
        with self._explained():
            self._remote.invalidate_cache()
            try:
                info = self._remote.info(self._root)
            except FileNotFoundError:
                return {}
            if info["type"] == "file":
                return {"": (_version(info), info["size"])}
            found = self._remote.find(self._root, detail=True)
        base = PurePosixPath("/" + self._root.lstrip("/"))
        names = {PurePosixPath("/" + path.lstrip("/")).relative_to(base): of for path, of in found.items()}
        for name in names:
            if ".." in name.parts:
                raise StorageError(f"{self.address}/{name}: a name that leaves the folder; rename it")
        return {
            name.as_posix(): (_version(of), of["size"])
            for name, of in names.items()
            if of["type"] == "file" and not _is_hidden(name)
        }

    def _copies(self) -> dict[str, Path]:
        if self.local.is_file():
            return {"": self.local}
        paths = {path.relative_to(self.local): path for path in self.local.rglob("*") if path.is_file()}
        return {name.as_posix(): path for name, path in paths.items() if not _is_hidden(PurePosixPath(name))}

    def _copy(self, name: str) -> Path:
        return self.local / name if name else self.local

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _known(self) -> dict[str, _File]:
        record = self.folder / _RECORD
        files: Mapping[str, list[Any]] = read_json(record)["files"] if record.exists() else {}
        return {name: _File(*values) for name, values in files.items()}

    def _write_record(self, known: Mapping[str, _File]) -> None:
        files = {name: [of.version, of.size, of.changed] for name, of in sorted(known.items())}
        write_json(self.folder / _RECORD, {"address": self.address, "files": files})

    def _transfer(self, work: Callable[[str], None], names: list[str], verb: str, quiet: bool) -> None:
        """Several files at once; the first error is raised after those under way."""
        from rich.console import Console
        from rich.progress import track

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            title = f"{verb} {printable(self.address)}"
            for _ in track(
                pool.map(work, names), title, len(names), console=Console(stderr=True), disable=quiet or not names
            ):
                pass

    @contextmanager
    def _explained(self, name: str = "") -> Iterator[None]:
        """What a file system raises becomes one line that starts with the address."""
        where = printable(f"{self.address}/{name}" if name else self.address)
        try:
            yield
        except (StorageError, KeyboardInterrupt):
            raise
        except ImportError as error:
            package = re.search(r"[Ii]nstall (\w+)", str(error))
            remedy = f"pip install {package[1]}" if package else str(error)
            raise StorageError(f"{where}: the package for such addresses is not installed: {remedy}") from error
        except FileNotFoundError as error:
            raise StorageError(f"{where}: no such bucket or folder ({error}); check the address") from error
        except PermissionError as error:
            raise StorageError(f"{where}: access denied; check the credentials of this machine") from error
        except Exception as error:  # file systems have errors of their own
            problem = " ".join(str(error).split())[:300] or type(error).__name__
            raise StorageError(f"{where}: {problem}; check the address, the network and the credentials") from error


def _is_changed(record: _File | None, copy: Path) -> bool:
    """Whether a file is another one than its record says; a file that is being replaced is not, yet."""
    try:
        return record is None or record != _File.of(record.version, copy)
    except FileNotFoundError:
        return False


def _version(info: Mapping[str, Any]) -> str:
    """What changes with the content of a file: as the file system states it."""
    for name in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created"):
        if info.get(name):
            return f"{info[name]} {info['size']}"
    return str(info["size"])


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in name.parts)

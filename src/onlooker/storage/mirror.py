"""A copy of the files at an address: new files are downloaded, local changes are uploaded."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from filelock import FileLock

from onlooker.files import atomic_file, explain_write_errors, file_digest, printable, read_json, write_json
from onlooker.storage.address import StorageError, connect, explained

_RECORD = ".mirror.json"
_KEPT = ".kept-"  # begins the names of folders with files that are being uploaded
_REFERRING = (".json", ".ckpt")  # files with checksums of others, and checkpoints
_LAST = "last.ckpt"  # refers to `best.ckpt`, and is written after it in each epoch
_AT_ONCE = 8  # transfers
# Protocols whose files appear when their upload is complete.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"}
_MORE_SPACE = "free some space, or set ONLOOKER_CACHE to a folder on another disk, and run the same command again"
_RECORD_EVERY = 2.0  # seconds
_LEFT_OVER = 3600.0  # seconds after which nobody writes to a part of a file any more


def mirrors_folder() -> Path:
    """The folder in the cache with one folder for each mirror."""
    from onlooker.data.array_cache import default_cache  # imports numpy, which commands should not need to start

    return default_cache() / "mirrors"


def recorded_address(folder: Path) -> str | None:
    """The address whose copy is in a folder; None: it is no mirror."""
    record = folder / _RECORD
    return read_json(record)["address"] if record.exists() else None


def is_uploaded(folder: Path) -> bool:
    """Whether a mirror has no local changes that are not uploaded."""
    if (address := recorded_address(folder)) is None:
        return not any(folder.glob("[!.]*"))
    known = _read_record(folder / _RECORD)
    return not any(_is_changed(known.get(name), copy) for name, copy in _copies(folder / _name(address)).items())


@dataclass(frozen=True)
class _File:
    """A file at an address: its version there, and the size and modification time of its copy."""

    version: str
    size: int
    changed: int

    @classmethod
    def of(cls, version: str, copy: Path) -> "_File":
        stat = copy.stat()
        return cls(version, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class _Listed:
    """A file at an address: its path there, its version, and its bytes."""

    path: str
    version: str
    size: int


class Mirror:
    """A local copy of the file or folder at an address.

    Args:
        address: `s3://bucket/clips`, or a path made from it, in which one slash is missing.
        suffix: of the folder, for one of several copies.

    Raises:
        StorageError: no such file system, or the package for it is not installed; an address with `..`.
    """

    def __init__(self, address: str | Path, suffix: str = "") -> None:
        self.address, self._remote, self._root = connect(address)
        if ".." in PurePosixPath(self.address).parts:
            raise StorageError(self.address, "an address with ..", "give the folder itself")
        self.folder = mirrors_folder() / f"{hashlib.sha256(self.address.encode()).hexdigest()[:16]}{suffix}"
        self.local = self.folder / _name(self.address)
        self._known = _read_record(self.folder / _RECORD)
        self._lock, self._written = Lock(), 0.0

    def locked(self) -> FileLock:
        """A lock, not acquired yet, for one process at a time; the same process may acquire it again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock", is_singleton=True)

    def download(self, quiet: bool = False) -> None:
        """Make the mirror equal to the files at the address, except for local changes that are not uploaded yet.

        Raises:
            StorageError: the address cannot be read, or a file was changed both there and in the mirror.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_partial()
        self._known, there = _read_record(self.folder / _RECORD), self._list()
        new = []
        for name, of in there.items():
            copy, record = self._copy(name), self._known.get(name)
            if not copy.exists():
                new.append(name)
            elif record is None or record.version != of.version:
                if not _is_changed(record, copy):
                    new.append(name)
                elif self._is_equal(of, copy):  # the process stopped between copying and recording
                    self._known[name] = _File.of(of.version, copy)
                else:
                    here = f"changed there and in its mirror, {copy}"
                    raise StorageError(f"{self.address}/{name}", here, "remove the one that you do not need")
        for name in self._known.keys() - there.keys():  # removed there
            copy, record = self._copy(name), self._known.pop(name)
            if copy.exists() and not _is_changed(record, copy):
                copy.unlink()
                self._remove_empty(copy.parent)

        def fetch(name: str) -> None:
            if self._fetch(name, there[name]):
                self._record(name, _File.of(there[name].version, self._copy(name)))

        try:
            self._transfer(fetch, new, "downloading", quiet)
        except BaseException:
            with suppress(OSError):  # on a full disk, the first error is the one to report
                self._write_record()
            raise
        self._write_record()

    def _remove_partial(self) -> None:
        """Remove what killed processes have left: parts of files, and second names of uploaded ones."""
        old = time.time() - _LEFT_OVER
        for path in [*self.local.rglob(".*.part"), *self.folder.glob(".*.part"), *self.folder.glob(f"{_KEPT}*")]:
            with suppress(OSError):  # removed meanwhile
                if path.lstat().st_mtime < old:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _remove_empty(self, folder: Path) -> None:
        """Remove folders that have become empty: a run that was deleted at the address can be made again."""
        with suppress(OSError):  # not empty
            while folder != self.folder:
                folder.rmdir()
                folder = folder.parent

    def _fetch(self, name: str, of: _Listed) -> bool:
        """Download a file; False: it was removed after it had been listed."""
        with self._explained(name):
            try:
                source = self._remote.open(of.path, "rb")
            except FileNotFoundError:
                return False
        writing = explain_write_errors(f"a copy of {self._of(name)}", self.folder, _MORE_SPACE, lambda: of.size)
        with source, writing, atomic_file(self._copy(name)) as target:
            while part := self._read(name, source):
                target.write(part)
        return True

    def _read(self, name: str, source: Any) -> bytes:
        with self._explained(name):
            part: bytes = source.read(1 << 20)
        return part

    def upload(self, quiet: bool = False) -> None:
        """Upload the files that have changed in the mirror; those that refer to others last, as they were written.

        Wherever it stops, no file at the address is older than one that refers to it. For example, `best.ckpt` is of
        the epoch of `last.ckpt` or of a later one, which a resumed training repeats.

        Raises:
            StorageError: the address cannot be written to.
        """
        copies = _copies(self.local)
        referring = [name for name in copies if Path(name or self.address).suffix in _REFERRING]
        skipped = list[str]()

        def send(name: str) -> None:
            try:
                before = _File.of("", copies[name])
            except FileNotFoundError:  # replaced by a newer one; the next upload has it
                skipped.append(name)
                return
            with self._explained(name):
                self._put(copies[name], self._at(name))
                version = _version(self._remote.info(self._at(name)))
            self._record(name, _File(version, before.size, before.changed))

        with self._kept({name: copies.pop(name) for name in referring}) as kept:
            changed = [name for name, copy in copies.items() if _is_changed(self._known.get(name), copy)]
            copies |= kept
            try:
                self._transfer(send, changed, "uploading", quiet)
                for name in kept:
                    if not skipped:
                        send(name)
            finally:
                if changed or kept:
                    self._write_record()

    def _put(self, copy: Path, target: str) -> None:
        """Upload a file; it replaces the one there as a whole, also where the file system would write into it."""
        folder, _, name = target.rpartition("/")
        self._remote.makedirs(folder, exist_ok=True)
        if _protocol(self._remote) in _OBJECT_STORES:
            self._remote.put_file(str(copy), target)
            return
        part = f"{folder}/.{name}.part"  # hidden files are not listed; a killed process leaves it
        self._remote.put_file(str(copy), part)
        self._remote.mv(part, target)

    @contextmanager
    def _kept(self, files: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
        """Those files that have changed, in the order in which they are written, also if they are replaced meanwhile.

        The last one is kept first, so that the others are not older than what it refers to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.folder, prefix=_KEPT) as folder:
            kept = dict[str, Path]()
            for name in sorted(files, key=lambda name: (name.endswith(_LAST), _modified(files[name])), reverse=True):
                if _is_changed(self._known.get(name), files[name]):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        kept[name] = _link(files[name], Path(folder, str(len(kept))))
            yield dict(reversed(kept.items()))

    def _list(self) -> dict[str, _Listed]:
        """The files at the address, by their names below it; "" is the address itself."""
        with self._explained():
            self._remote.invalidate_cache()
            try:
                info = self._remote.info(self._root)
            except FileNotFoundError:
                return {}
            if info["type"] == "file":
                return {"": _Listed(self._root, _version(info), info["size"])}
            found = self._remote.find(self._root, detail=True)
        base, listed = PurePosixPath("/" + self._root.lstrip("/")), dict[str, _Listed]()
        for path, of in found.items():
            name = PurePosixPath("/" + path.lstrip("/")).relative_to(base)
            if of["type"] != "file" or _is_hidden(name):
                continue
            if ".." in name.parts or "\\" in str(name) or name.as_posix() in listed:
                raise StorageError(self.address, f"no file can have the name {path} here", "rename it")
            listed[name.as_posix()] = _Listed(path, _version(of), of["size"])
        return listed

    def _is_equal(self, listed: _Listed, copy: Path) -> bool:
        """Whether a file at the address has the same content as its copy."""
        if copy.stat().st_size != listed.size:
            return False
        with self._explained(), self._remote.open(listed.path, "rb") as there:
            digest = hashlib.sha256()
            while part := there.read(1 << 20):
                digest.update(part)
        return digest.hexdigest() == file_digest(copy)

    def _copy(self, name: str) -> Path:
        return self.local / name if name else self.local

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _record(self, name: str, of: _File) -> None:
        """Note that a file and its copy are equal; written to disk every few seconds."""
        with self._lock:
            self._known[name] = of
        if time.monotonic() - self._written > _RECORD_EVERY:
            self._write_record()

    def _write_record(self) -> None:
        with self._lock:
            files = {name: [of.version, of.size, of.changed] for name, of in sorted(self._known.items())}
            write_json(self.folder / _RECORD, {"address": self.address, "files": files})
            self._written = time.monotonic()

    def _transfer(self, work: Callable[[str], None], names: list[str], verb: str, quiet: bool) -> None:
        """Transfer several files at once; the first error is raised after the transfers under way have ended."""
        from rich.console import Console
        from rich.progress import track

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            title = f"{verb} {printable(self.address)}"
            for _ in track(
                pool.map(work, names), title, len(names), console=Console(stderr=True), disable=quiet or not names
            ):
                pass

    def _explained(self, name: str = "") -> AbstractContextManager[None]:
        return explained(self._of(name))

    def _of(self, name: str) -> str:
        return f"{self.address}/{name}" if name else self.address


def _name(address: str) -> str:
    return PurePosixPath(address.partition("://")[2]).name


def _protocol(files: Any) -> str:
    return files.protocol if isinstance(files.protocol, str) else files.protocol[0]


def _copies(local: Path) -> dict[str, Path]:
    """The files of a mirror by their names below the address; "" is the address itself."""
    if local.is_file():
        return {"": local}
    paths = {path.relative_to(local): path for path in local.rglob("*") if path.is_file()}
    return {name.as_posix(): path for name, path in paths.items() if not _is_hidden(PurePosixPath(name))}


def _link(file: Path, target: Path) -> Path:
    """A second name of a file, or a copy where the file system has no links."""
    try:
        target.hardlink_to(file)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(file, target)
    return target


def _read_record(path: Path) -> dict[str, _File]:
    files: Mapping[str, list[Any]] = read_json(path)["files"] if path.exists() else {}
    return {name: _File(*values) for name, values in files.items()}


def _is_changed(record: _File | None, copy: Path) -> bool:
    """Whether a file differs from its record; a file that is being replaced does not yet differ."""
    try:
        return record is None or record != _File.of(record.version, copy)
    except FileNotFoundError:
        return False


def _modified(copy: Path) -> int:
    """When a file was last written; 0: it is removed meanwhile."""
    try:
        return copy.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _version(info: Mapping[str, Any]) -> str:
    """A value that changes with the content of a file, as the file system states it."""
    names = (
        "ETag",
        "etag",
        "md5Hash",
        "blob_id",
        "mtime",
        "LastModified",
        "last_modified",
        "modificationTime",
        "modify",
    )
    for name in (*names, "created"):
        if info.get(name):
            return f"{info[name]} {info['size']}"
    return str(info["size"])


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in name.parts)

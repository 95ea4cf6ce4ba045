"""Clips and runs at an address, such as `s3://bucket/clips`: any file system that fsspec knows.

Files that a command reads are downloaded into the cache, and kept there until they change at the
address. Files that it writes are written to a folder of the cache that is uploaded every minute and
at the end, in the order of writing: a run whose model is at the address is complete. The file
systems find credentials themselves, in the environment or in their own files.
"""

import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from threading import Event, Thread
from urllib.parse import quote, unquote

from onlooker.base.files import explain_write_errors, is_disk_full
from onlooker.base.intervals import file_of, resolved
from onlooker.base.progress import tracked
from onlooker.base.text import printable, without_password

UPLOAD_EVERY = 60.0  # seconds
_SCHEME = re.compile("([a-z][a-z0-9+]+):/+.")  # a path collapses the slashes
# streams, or web pages
_NOT_FILES = {"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp"}
# user:password@, also with a slash in it; or a key among the parameters
_PASSWORD = re.compile(
    r"(?i)^\w+:/+[^/@:]*:([^/]*|(?!\d+/).*)@|[?&][^=&]*(pass|pwd|token|key|secret|auth|sig)[^=&]*="
)
_HIDDEN = re.compile(r"(^|/)\.")
_LAST = "last.ckpt"
# folders of copies
READ = "read"
WRITTEN = "written"
_FILES_PER_BATCH = 32  # files that are downloaded together
_MORE_SPACE = "free some space, or set ONLOOKER_CACHE to a folder on another disk, and run the same command again"


class StorageError(OSError):
    """An address that cannot be read or written: the address, the problem, the remedy."""

    def __init__(self, address: str, found: str, remedy: str) -> None:
        super().__init__(printable(f"{address}: {found}; {remedy}"))
        self.address = address
        self.found = found
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["StorageError"], tuple[str, str, str]]:
        # Exceptions are sent between processes as their arguments.
        return type(self), (self.address, self.found, self.remedy)


def is_address(text: str | Path) -> bool:
    """Whether this is an address of files, as a path or as text."""
    scheme = _SCHEME.match(Path(text).as_posix())
    return scheme is not None and scheme[1] not in _NOT_FILES and not os.path.exists(text)


def has_scheme(path: str | Path) -> bool:
    """Whether a path looks like an address, also one of a page or a camera, and is no file here."""
    return bool(_SCHEME.match(Path(path).as_posix().lower())) and not os.path.exists(path)


def is_stored(source: str) -> bool:
    """Whether a source of frames is a file, here or at an address, and not a camera or a stream."""
    on_disk = os.path.exists(file_of(source)) and not source.startswith("/dev/")
    return on_disk or is_address(source)


def local(path: Path | str) -> Path:
    """A path as it is; for an address, the path of its copy in the cache, after new and changed
    files are downloaded.

    Raises:
        StorageError: the address cannot be read.
    """
    if not is_address(path):
        return Path(path)
    from filelock import FileLock  # here, as the others: every command imports this module
    from fsspec.core import OpenFile, OpenFiles
    from fsspec.implementations.cached import WholeFileCacheFileSystem

    place = _Place(path)
    folder = copies_folder() / READ / place.quoted
    copies = folder / "files"
    copies.mkdir(parents=True, exist_ok=True)
    full = explain_write_errors(f"a copy of {place.address}", folder, remedy=_MORE_SPACE)
    with FileLock(f"{folder}.lock"), full, _explained(place.address):
        stored = place.list()
        for name in _names(copies) - set(stored):  # removed at the address
            (copies / name).unlink()
        names = {path: f"files/{name}" for name, path in stored.items()}
        cached = WholeFileCacheFileSystem(
            fs=place.files,
            cache_storage=str(folder),
            cache_mapper=names.__getitem__,
            check_files=True,
            expiry_time=0,
            skip_instance_cache=True,
        )
        parts = [[*names][i : i + _FILES_PER_BATCH] for i in range(0, len(names), _FILES_PER_BATCH)]
        for part in tracked(
            parts, "downloading", len(parts), title=f"downloading {printable(path)}"
        ):
            for file in cached.open_many(OpenFiles([OpenFile(place.files, path) for path in part])):
                file.close()
    return copies / place.name


@contextmanager
def uploading(paths: Collection[Path]) -> Iterator[dict[Path, Path]]:
    """Local folders in place of the paths that are addresses; files that are written there are
    uploaded.

    At first they hold copies of the files at the address, so that a command can be continued on
    another machine.

    Raises:
        StorageError: an address cannot be read or written, such as a web page; files that were not
            uploaded are kept.
    """
    for path in paths:
        if has_scheme(path) and not is_address(path):
            raise StorageError(
                without_password(re.sub(":/+", "://", path.as_posix(), count=1)),
                "files cannot be written there",
                "give a folder, or an address of files, such as s3://bucket/folder",
            )
    with ExitStack() as stack:
        yield {
            path: stack.enter_context(_uploaded(path))
            for path in dict.fromkeys(paths)
            if is_address(path)
        }


@contextmanager
def _uploaded(path: Path) -> Iterator[Path]:
    """A folder of the cache with copies of the files at an address, from which all changes are
    uploaded.
    """
    place = _Place(path)
    done = Event()
    failed = True
    reported = set[str]()
    parent = copies_folder() / WRITTEN / place.quoted
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=parent))
    copy = folder / place.name
    with _explained(place.address):
        stored = place.list()
        place.files.get([*stored.values()], [str(folder / name) for name in stored])
    sent = {name: _stat(folder / name) for name in stored}

    def send_every_minute() -> None:
        while not done.wait(UPLOAD_EVERY):
            try:
                _send(place, folder, sent)
            except OSError as error:  # a file may be removed while it is listed
                if not isinstance(error, FileNotFoundError) and str(error) not in reported:
                    again = f"the work goes on in {copy}, and uploads are tried again"
                    print(printable(f"not uploaded yet: {error}; {again}"), file=sys.stderr)
                reported.add(str(error))

    thread = Thread(target=send_every_minute, daemon=True)
    thread.start()
    try:
        yield copy
        failed = False
    finally:
        done.set()
        thread.join()
        try:
            _send(place, folder, sent)
            shutil.rmtree(folder)
        except OSError as error:
            unsent = StorageError(
                place.address, f"not all is uploaded ({error})", f"copy it from {copy}"
            )
            if not failed:
                raise unsent from error
            print(unsent, file=sys.stderr)  # what failed before is raised


def _send(place: "_Place", folder: Path, sent: dict[str, tuple[int, int]]) -> None:
    """Upload the files that have changed, in the order in which they were written.

    Wherever it stops, no file at the address is older than one that refers to it. For example,
    `best.ckpt` is of the epoch of `last.ckpt` or of a later one, which a resumed training repeats.
    """
    names = sorted(
        _names(folder),
        key=lambda name: (name.endswith(_LAST), (folder / name).stat().st_mtime_ns, name),
    )
    with TemporaryDirectory(dir=folder, prefix=".") as snapshot:
        links = {name: Path(snapshot, str(number)) for number, name in enumerate(names)}
        for name, link in reversed(links.items()):  # what others refer to is never older than they
            try:
                os.link(folder / name, link)
            except OSError:  # exFAT and some network disks have no hard links
                shutil.copy2(folder / name, link)
        with _explained(place.address):
            for name, link in links.items():
                if sent.get(name) != _stat(link):
                    place.files.makedirs((place.prefix + name).rpartition("/")[0], exist_ok=True)
                    place.files.put_file(str(link), place.prefix + name)
                    sent[name] = _stat(link)


def address_of(path: Path) -> str | None:
    """The address of the original of a file in a copy; None if the path is in no copy."""
    folder = resolved(copies_folder())
    whole = resolved(path)
    parts = whole.relative_to(folder).parts if whole.is_relative_to(folder) else ()
    if len(parts) < 4:  # a copy is in read/ADDRESS/files/NAME, for example
        return None
    return "/".join([unquote(parts[1].replace("=", "%")), *parts[4:]])


def path_or_address(path: Path) -> str:
    """The name of a clip outside of a set of clips (`clip_name`): the address of the original of a
    copy, which is valid on other machines, too; else the path.
    """
    return address_of(path) or str(path)


def copies_folder() -> Path:
    """The folder of the cache with copies of the files that are read and written at addresses."""
    # imports numpy, which commands should not need to start
    from onlooker.base.files import default_cache

    return default_cache() / "addresses"


class _Place:
    """Files at an address; `prefix` is the path of its parent folder, with a slash at the end."""

    def __init__(self, path: str | Path) -> None:
        scheme, _, rest = Path(path).as_posix().partition(":")
        self.address = f"{scheme}://{rest.lstrip('/')}"
        if _PASSWORD.search(self.address):
            raise StorageError(
                without_password(self.address),
                "an address with a password",
                "give it in the environment instead",
            )
        if scheme in ("file", "local") or ".." in rest.split("/"):
            raise StorageError(
                self.address, "of this machine, or with ..", "give the folder itself"
            )
        with _explained(self.address):
            from fsspec.core import url_to_fs

            self.files, root = url_to_fs(self.address)
        self.name = root.rstrip("/").rpartition("/")[2]
        self.prefix = root.rstrip("/").removesuffix(self.name)
        # the name of the folder for its copies; letters of all scripts stay, for names are limited
        quoted = re.sub(r"[^\w.~-]", lambda match: quote(match[0], safe=""), self.address)
        self.quoted = quoted.replace("%", "=")

    def list(self) -> dict[str, str]:
        """The path of each file, by its name after the prefix."""
        self.files.invalidate_cache()
        root = self.prefix + self.name
        listed = dict[str, str]()
        for path in self.files.find(root) if self.files.exists(root) else []:
            name = path.lstrip("/").removeprefix(self.prefix.lstrip("/"))
            if ".." in name.split("/") or "\\" in name:
                raise StorageError(
                    self.address, f"no file can have the name {path} here", "rename it"
                )
            if not _HIDDEN.search(name):
                listed[name] = path
        return listed


def _names(folder: Path) -> set[str]:
    """The files in a folder of copies, as `_Place.list` names them."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not _HIDDEN.search(name)}


def _stat(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Convert errors of a file system to a StorageError of one line that starts with the address."""
    try:
        yield
    except Exception as error:  # file systems raise their own errors
        if isinstance(error, StorageError) or is_disk_full(error):
            raise
        problem = " ".join(str(error).split())[:300] or type(error).__name__
        missing = None
        if isinstance(error, ImportError):
            extra = address.startswith(("s3:", "s3a:"))
            missing = 'pip install "onlooker[s3]"' if extra else "install that package with pip"
        raise StorageError(
            address, problem, missing or "check address, network and credentials"
        ) from error

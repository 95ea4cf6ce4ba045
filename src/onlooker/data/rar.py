"""Rar archives, as HMDB-51 is shipped: a folder appears when it is whole, so that an interrupted unpacking goes on."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from onlooker.structures import ClipError


@contextmanager
def opened(archive: Path) -> Iterator[Any]:
    """An archive as a `rarfile.RarFile`, whose errors become ours.

    The package rarfile is pure Python: it lists archives and copies what lies in them uncompressed. For the rest it
    runs a program, of which unar is free.

    Raises:
        ClipError: the package or the program is not installed, or the archive is damaged.
    """
    try:
        import rarfile
    except ImportError as error:
        found = "a rar archive, and the Python package rarfile is not installed"
        raise ClipError(archive, found, "pip install rarfile, or unpack it by hand") from error
    try:
        with rarfile.RarFile(archive) as content:
            yield content
    except rarfile.RarCannotExec as error:
        found = "compressed, and no program that unpacks rar is installed"
        raise ClipError(archive, found, "install unar (free) or unrar, or unpack it by hand") from error
    except rarfile.Error as error:
        found = f"cannot be unpacked ({type(error).__name__}: {error})"
        raise ClipError(archive, found, "download it again; where it is whole, unar or unrar may read it") from error


def files(content: Any, suffix: str) -> dict[str, Any]:
    """The files of an open archive that end in `suffix`, by their names without folders.

    No name leads out of a folder it is written to.

    Raises:
        ClipError: two files of one name: in one folder one of them would be lost.
    """
    found: dict[str, Any] = {}
    for member in content.infolist():
        name = PurePosixPath(member.filename).name
        if not member.is_file() or not name.lower().endswith(suffix):
            continue
        if name in found:
            two = f"{found[name].filename} and {member.filename}"
            raise ClipError(content.filename, f"two files are called {name}: {two}", "unpack it by hand")
        found[name] = member
    return found


def extract(content: Any, member: Any, target: Path) -> None:
    """Write one file of an open archive; its checksum is verified on the way."""
    with content.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def unpack(archive: Path, folder: Path, suffix: str) -> None:
    """Put all files of an archive that end in `suffix` into `folder`, which appears when all of them are there.

    A folder that is there already is left alone. What an interruption left behind is hidden, beside the folder.

    Raises:
        ClipError: the archive cannot be unpacked, or holds no such file.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        opened(archive) as content,
        tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as passing,
    ):
        members = files(content, suffix)
        if not members:
            raise ClipError(archive, f"no {suffix} file inside", "download it again")
        # A folder of its own: a temporary one is its owner's alone, the data set is everyone's.
        whole = Path(passing) / folder.name
        whole.mkdir()
        for name, member in members.items():
            extract(content, member, whole / name)
        try:
            os.rename(whole, folder)
        except OSError:
            # Another process may have unpacked the same at the same time.
            if not folder.is_dir():
                raise

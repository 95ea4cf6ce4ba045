"""Rar archives, as HMDB-51 is distributed: folders are renamed when complete, so that unpacking can be interrupted."""

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
    """An archive as a `rarfile.RarFile`, with its errors as `ClipError`.

    The package rarfile is pure Python: it lists archives and copies uncompressed files. To decompress others it runs a
    program, such as unar, which is free.

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
    """The files of an open archive that end in `suffix`, by name without folders, so that no name leads elsewhere.

    Raises:
        ClipError: two files with the same name.
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
    """Write one file of an open archive, and verify its checksum."""
    with content.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def unpack(archive: Path, folder: Path, suffix: str) -> None:
    """Unpack all files of an archive that end in `suffix` into `folder`, which is named so when it is complete.

    An existing folder is left alone. What an interruption leaves is hidden, next to the folder.

    Raises:
        ClipError: the archive cannot be unpacked, or has no such file.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        opened(archive) as content,
        tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary,
    ):
        members = files(content, suffix)
        if not members:
            raise ClipError(archive, f"no {suffix} file inside", "download it again")
        # A folder inside: the temporary one can be read by its owner only.
        whole = Path(temporary) / folder.name
        whole.mkdir()
        for name, member in members.items():
            extract(content, member, whole / name)
        try:
            os.rename(whole, folder)
        except OSError:
            # Another process may have unpacked it at the same time.
            if not folder.is_dir():
                raise

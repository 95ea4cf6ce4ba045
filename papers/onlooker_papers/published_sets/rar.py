"""Rar archives, as HMDB-51 is distributed."""

import os
import shutil
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from onlooker.structures import ClipError


def unpack(archive: Path, folder: Path, pattern: str) -> None:
    """Unpack the files of an archive whose names match a pattern such as `*.avi` into `folder`, without their folders.

    The folder appears when it is complete; an interruption leaves only a hidden folder next to it. An existing folder
    is not changed.

    The package rarfile is pure Python: it lists archives and copies uncompressed files. To decompress others it runs a
    program, such as unar, which is free.

    Raises:
        ClipError: the package or the program is not installed, the archive is damaged, has no such file, or has two
            files with the same name.
    """
    if folder.is_dir():
        return
    try:
        import rarfile
    except ImportError as error:
        problem = "a rar archive, and the Python package rarfile is not installed"
        raise ClipError(archive, problem, "pip install rarfile, or unpack it by hand") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            rarfile.RarFile(archive) as content,
            tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary,
        ):
            # A folder inside: the temporary one can be read by its owner only.
            whole = Path(temporary) / folder.name
            whole.mkdir()
            for name, member in _members(archive, content, pattern).items():
                extract(content, member, whole / name)
            try:
                os.rename(whole, folder)
            except OSError:
                # Another process may have unpacked it at the same time.
                if not folder.is_dir():
                    raise
    except rarfile.RarCannotExec as error:
        problem = "compressed, and no program that unpacks rar is installed"
        raise ClipError(archive, problem, "install unar (free) or unrar, or unpack it by hand") from error
    except rarfile.Error as error:
        problem = f"cannot be unpacked ({type(error).__name__}: {error})"
        raise ClipError(archive, problem, "download it again; where it is whole, unar or unrar may read it") from error


def _members(archive: Path, content: Any, pattern: str) -> dict[str, Any]:
    """The files of an open archive by name without folders, so that no name leads elsewhere."""
    members: dict[str, Any] = {}
    for member in content.infolist():
        name = PurePosixPath(member.filename).name
        if not member.is_file() or not fnmatchcase(name.lower(), pattern.lower()):
            continue
        if name in members:
            two = f"{members[name].filename} and {member.filename}"
            raise ClipError(archive, f"two files are called {name}: {two}", "unpack it by hand")
        members[name] = member
    if not members:
        raise ClipError(archive, f"no {pattern} inside", "download it again")
    return members


def extract(content: Any, member: Any, target: Path) -> None:
    """Write one file of an open archive, and verify its checksum."""
    with content.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)

"""Renames within a folder of clips that may come from elsewhere: nothing outside of it is moved or deleted."""

import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from onlooker.files import printable
from onlooker.serve.names import is_hidden
from onlooker.serve.problem import Problem

__all__ = ["STORE", "TRASH", "Move", "backwards", "check_moves", "check_store", "empty_trash", "make_moves"]

STORE = ".onlooker"
TRASH = f"{STORE}/trash"

Move = tuple[str, str]  # paths relative to the folder


def check_store(store: Path) -> None:
    """Raise a ValueError if the store is a link or holds one: what is deleted there would be deleted elsewhere."""
    for path in (store, *(store.iterdir() if store.is_dir() else ())):
        if path.is_symlink():
            raise ValueError(f"{printable(path)}: a link, expected a folder or file of the page; remove the link")


def check_moves(folder: Path, moves: Sequence[Move], back: bool = False) -> None:
    """Check renames before they are made.

    Args:
        back: they undo a change: a class that it has made is removed, unless another program has put files there.

    Raises:
        FileNotFoundError: a source does not exist.
        Problem: 409 if a target exists, or a class is not empty.
    """
    sources = {source for source, _ in moves}
    for source, target in moves:
        if not (folder / source).exists():
            raise FileNotFoundError(f"{source} is not there any more")
        if (folder / target).exists() and target not in sources:
            raise Problem(409, "in_the_way", name=printable(target))
        if back and "/" not in source and target.startswith(TRASH) and (folder / source).is_dir():
            names = sorted(path.name for path in (folder / source).iterdir() if not is_hidden(path.name))
            if others := [name for name in names if f"{source}/{name}" not in sources]:
                raise Problem(409, "not_empty", name=printable(source), count=len(others), file=printable(others[0]))


def make_moves(folder: Path, moves: Sequence[Move]) -> None:
    """Make the renames that have not been made.

    Raises:
        ValueError: a path is not within the folder, or behind a link that leads out of it.
    """
    for source, target in moves:
        start, end = folder / source, folder / target
        if start.exists() and not end.exists():
            _check_inside(folder, start)  # just before: an earlier rename may have moved a link
            _check_inside(folder, end)
            end.parent.mkdir(parents=True, exist_ok=True)
            start.rename(end)


def backwards(moves: Sequence[Move]) -> list[Move]:
    """The renames that undo renames."""
    return [(target, source) for source, target in reversed(moves)]


def empty_trash(folder: Path, used: Collection[str]) -> None:
    """Delete what no undo could restore: all but the paths that are used."""
    for path in (folder / TRASH).glob("*"):
        if f"{TRASH}/{path.name}" in used:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # it is deleted at the next start
                path.unlink(missing_ok=True)


def _check_inside(folder: Path, path: Path) -> None:
    expected = f"expected a path within {printable(folder)}, because nothing is moved or deleted elsewhere"
    if ".." in path.parts or not path.is_relative_to(folder) or path == folder:
        raise ValueError(f"{printable(path)}: {expected}")
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{printable(path)}: behind a link; {expected}; replace the link by the folder itself")

"""The journal of changes to a folder: each is a list of renames, which can be undone, even after a restart."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from onlooker.data.folder import entries
from onlooker.files import check_writable, printable, read_json, reading, write_bytes
from onlooker.serve.problem import Problem

__all__ = ["STORE", "TRASH", "Change", "Journal", "Move"]

STORE = ".onlooker"
TRASH = f"{STORE}/trash"
_FILE = "journal.json"
_KEPT = 500  # changes that can be undone; files that older changes have deleted are removed

Move = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One change of the user.

    Args:
        text: a description.
        moves: the renames, in their order, with paths relative to the folder.
        settled: ids of the clips whose labels the change confirms.
        batch: what is done in several steps under this name, one after the other, is undone at once.
    """

    text: str
    moves: tuple[Move, ...]
    settled: tuple[str, ...] = ()
    batch: str = ""


class Journal:
    """The changes of a folder, in `.onlooker/journal.json`, and the ids of clips that were moved.

    Args:
        folder: nothing is written to it before the first change.
        on_moved: called after renames, including interrupted ones that are completed at the next start.

    Raises:
        ValueError: the journal is damaged, or it or its store would change files outside of the folder.
    """

    def __init__(self, folder: Path, on_moved: Callable[[tuple[Move, ...]], object] = lambda _: None) -> None:
        self.folder, self.store, self._on_moved = folder, folder / STORE, on_moved
        self.version = 0
        self.done: list[Change] = []
        self.undone: list[Change] = []
        self._ids: dict[str, str] = {}  # of clips that are no longer at the path where they were first found
        self._taken: set[str] = set()
        self._settled: set[str] = set()  # confirmed by changes that are too old to be undone
        self._class_moves: list[tuple[int, str, str]] = []  # with the version that each has made
        self._lock: FileLock | None = None
        _check_store(self.store)
        if (self.store / _FILE).exists() and self._read():
            with suppress(Problem):  # another server does this
                self.hold()

    @property
    def settled(self) -> frozenset[str]:
        """Ids of all clips whose label was confirmed."""
        return frozenset(self._settled.union(*(change.settled for change in self.done)))

    @property
    def class_version(self) -> int:
        """The version that the last change of the classes has made; unlike `version`, the next start knows it, too."""
        return self._class_moves[-1][0] if self._class_moves else 0

    def id_of(self, path: str) -> str:
        """The id of the clip at a path, made from the path where the clip was first found."""
        if path in self._ids:
            return self._ids[path]
        chosen = _digest(path)
        while chosen in self._taken:
            chosen = _digest(chosen)
        return chosen

    def follow_class(self, name: str, version: int) -> str:
        """The path of the class that had this name at a version: its new name, or, if deleted, a path in the trash."""
        for made, source, target in self._class_moves:
            if made > version and source == name:
                name = target
        return name

    def batch(self, name: str) -> tuple[Move, ...]:
        """The renames of a batch so far; none if another change was made since."""
        return self.done[-1].moves if name and self.done and self.done[-1].batch == name else ()

    def new_path(self, suffix: str = "") -> str:
        """A free path in the trash."""
        self.hold()
        return f"{TRASH}/{secrets.token_hex(8)}{suffix}"

    def new_clip(self, suffix: str) -> str:
        """A path in the trash for a clip that is to be added, which gets a random id."""
        path = self.new_path(suffix)
        (self.folder / TRASH).mkdir(parents=True, exist_ok=True)
        self._name(path, secrets.token_hex(8))
        return path

    def do(self, change: Change) -> None:
        """Make a change; changes that were undone cannot be redone afterwards.

        Args:
            change: if it belongs to the batch of the last change, both become one, with the text of the new one.

        Raises:
            FileNotFoundError: a source does not exist.
            Problem: 409 if another server changes this folder, or a target exists.
            ValueError: a link leads out of the folder, where nothing is renamed.
        """
        self.hold()
        _check(self.folder, change.moves)
        done = [*self.done, change]
        if made := self.batch(change.batch):
            done[-2:] = [replace(change, moves=made + change.moves, settled=done[-2].settled + change.settled)]
        self._settled.update(*(each.settled for each in done[:-_KEPT]))
        self._apply(change.moves, done[-_KEPT:], [])
        self._purge()

    def replay(self, back: bool) -> tuple[Move, ...] | None:
        """Undo the last change (`back`), or redo the change that was undone last; None if there is none.

        Returns:
            The renames that were made.

        Raises:
            FileNotFoundError: another program has removed a source; the change is dropped from the journal.
            Problem: 409 if another program has created a target, or added files to a class that would be removed; the
                change stays, so that its files are not lost, and can be made once these are out of the way.
        """
        if not (self.done if back else self.undone):
            return None
        self.hold()
        source = self.done if back else self.undone
        change = source[-1]
        moves = tuple((target, start) for start, target in reversed(change.moves)) if back else change.moves
        try:
            _check(self.folder, moves)
            if back:
                _check_added(self.folder, moves)
        except FileNotFoundError:
            source.pop()
            self._write()
            raise
        done, undone = (self.done[:-1], [*self.undone, change]) if back else ([*self.done, change], self.undone[:-1])
        self._apply(moves, done, undone)
        return moves

    def close(self) -> None:
        """Release the folder for other processes."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def hold(self) -> None:
        """Lock the folder, and empty the trash of useless files; a Problem 409 if another server has locked it."""
        if self._lock is not None:
            return
        _check_store(self.store)  # again: the folder may have come from elsewhere since the start
        check_writable(self.store, "allow writing to it, or teach another folder (--clips)")
        lock = FileLock(self.store / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise Problem(409, "locked") from error
        self._lock = lock
        try:
            self._complete()
        except BaseException:  # the next attempt completes it, before anything else is changed
            self.close()
            raise

    def _complete(self) -> None:
        """Make the renames that were interrupted, and empty the trash of useless files."""
        if (self.store / _FILE).exists() and (pending := self._read()):
            self._rename(pending)
            self._on_moved(pending)
            self._write()
        self._purge()

    def _apply(self, moves: tuple[Move, ...], done: list[Change], undone: list[Change]) -> None:
        """Rename; the journal is written first, with the new state and the renames that are still to be made."""
        before = self.version, self.done, self.undone, dict(self._ids), {*self._taken}, self._class_moves
        self.version, self.done, self.undone = self.version + 1, done, undone
        classes = [(self.version, *move) for move in moves if not all("/" in path for path in move)]
        self._class_moves = [*self._class_moves, *classes][-_KEPT:]
        self._move_ids(moves)
        try:
            self._write(moves)
        except BaseException:  # nothing was renamed
            self.version, self.done, self.undone, self._ids, self._taken, self._class_moves = before
            raise
        try:
            self._rename(moves)
            self._on_moved(moves)
        except Exception:  # such as a file that another program has open, or a full disk; the old state is restored
            with suppress(OSError, ValueError):
                self._rename(tuple((target, source) for source, target in reversed(moves)))
            self.version, self.done, self.undone, self._ids, self._taken, self._class_moves = before
            with suppress(OSError):  # the first error is the one to report
                self._write()
            raise
        with suppress(OSError):  # all is done; if this is not noted, the next start finds nothing left to rename
            self._write()

    def _rename(self, moves: tuple[Move, ...]) -> None:
        for source, target in moves:
            start, end = self.folder / source, self.folder / target
            if start.exists() and not end.exists():
                _check_inside(self.folder, start)  # just before: an earlier rename may have moved a link
                _check_inside(self.folder, end)
                end.parent.mkdir(parents=True, exist_ok=True)
                start.rename(end)

    def _move_ids(self, moves: tuple[Move, ...]) -> None:
        """Keep the ids of the clips at and below every source."""
        for source, target in moves:
            for path in (path for path in self._found(source) if path not in self._ids):
                self._name(path, self.id_of(path))
            inside = [source] if source in self._ids else [path for path in self._ids if path.startswith(f"{source}/")]
            for path in inside:
                self._ids[target + path[len(source) :]] = self._ids.pop(path)

    def _found(self, source: str) -> list[str]:
        """The clips at a path of a class or clip; those in the trash have ids already."""
        if source.startswith(f"{STORE}/"):
            return []
        if "/" in source:
            return [source]
        return [f"{source}/{path.name}" for path in (self.folder / source).glob("*")]

    def _name(self, path: str, clip_id: str) -> None:
        self._ids[path] = clip_id
        self._taken.add(clip_id)

    def _purge(self) -> None:
        """Remove from the trash what no undo or redo could restore."""
        used = {path for change in (*self.done, *self.undone) for move in change.moves for path in move}
        gone = {name: path for path in (self.folder / TRASH).glob("*") if (name := f"{TRASH}/{path.name}") not in used}
        for path in gone.values():
            _delete(path)
        if gone:
            self._ids = {path: each for path, each in self._ids.items() if "/".join(path.split("/")[:3]) not in gone}

    def _write(self, pending: tuple[Move, ...] = ()) -> None:
        lists = {name: [vars(each) for each in getattr(self, name)] for name in ("done", "undone")}
        values = {"version": self.version, "ids": self._ids, "settled": sorted(self._settled), "pending": pending}
        content = json.dumps(
            {**values, **lists, "class_moves": self._class_moves}
        )  # without indentation: five times as fast
        write_bytes(self.store / _FILE, content.encode())

    def _read(self) -> tuple[Move, ...]:
        """Read the journal; returns the renames that were not completed."""
        file = self.store / _FILE
        with reading(file):
            values = read_json(file)
            self.version, self._ids = int(values["version"]), dict(values["ids"])
            self._taken = set(self._ids.values())
            self._settled = set(values["settled"])
            self.done, self.undone = ([_change(each) for each in values[name]] for name in ("done", "undone"))
            self._class_moves = [(int(made), *_move(move)) for made, *move in values.get("class_moves", [])]
            return tuple(map(_move, values["pending"]))


def _change(values: dict[str, Any]) -> Change:
    moves, settled, batch = tuple(map(_move, values["moves"])), tuple(values["settled"]), values.get("batch", "")
    return Change(str(values["text"]), moves, settled, str(batch))


def _move(values: list[str]) -> Move:
    """A rename; a ValueError if the file names paths outside of the folder."""
    source, target = values
    if any(Path(path).is_absolute() or ".." in Path(path).parts for path in (source, target)):
        raise ValueError(f"a rename of {source} to {target}, expected paths within the folder")
    return source, target


def _check_store(store: Path) -> None:
    """Raise a ValueError if the store is a link or holds one: what is deleted there would be deleted elsewhere."""
    for path in (store, *(store.iterdir() if store.is_dir() else ())):
        if path.is_symlink():
            raise ValueError(f"{printable(path)}: a link, expected a folder or file of the page; remove the link")


def _check_inside(folder: Path, path: Path) -> None:
    """Raise a ValueError if the folder of a path is outside of the folder: a class can be a link to anywhere."""
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        expected = f"expected a path within {printable(folder)}, because nothing is moved or deleted elsewhere"
        raise ValueError(f"{printable(path)}: behind a link; {expected}; replace the link by the folder itself")


def _check(folder: Path, moves: tuple[Move, ...]) -> None:
    """Raise a FileNotFoundError if a source does not exist, and a Problem if a target does."""
    for source, target in moves:
        if not (folder / source).exists():
            raise FileNotFoundError(f"{source} is not there any more")
        if (folder / target).exists():
            raise Problem(409, "in_the_way", name=printable(target))


def _check_added(folder: Path, moves: tuple[Move, ...]) -> None:
    """Raise a Problem if undo would delete files that another program has put into a class since it was added."""
    sources = {source for source, _ in moves}
    for source in (source for source, target in moves if "/" not in source and target.startswith(f"{TRASH}/")):
        names = [path.name for path in entries(folder / source)] if (folder / source).is_dir() else []
        if others := [name for name in names if f"{source}/{name}" not in sources]:
            raise Problem(409, "not_empty", name=printable(source), count=len(others), file=printable(others[0]))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # it is deleted after the next change; this one was made
            path.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]

"""The folder of clips that the page edits: its classes and clips, and changes that can be undone
until the server ends.

Clips are files; what the page knows of them is in a database in the hidden folder of the project.
Every change is a list of renames within the folder: deleted files go to `.onlooker/trash`, new ones
come from there. The trash is emptied at the next start. Requests list the class folders, which
other programs may change, too.
"""

import itertools
import os
import re
import secrets
import shutil
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from threading import RLock
from typing import Any

from onlooker.answer import require_one_nothing
from onlooker.data.folder import RECORDINGS
from onlooker.data.folder import is_hidden as is_skipped
from onlooker.data.tables import read_table
from onlooker.files import (
    check_regular,
    check_writable,
    composed,
    file_digest,
    printable,
    read_bytes,
    write_bytes,
    write_csv,
)
from onlooker.serve.problem import Problem, t
from onlooker.structures import ClipError
from onlooker.video.reader import is_video

__all__ = ["MAX_RECORDING", "Project", "ProjectClip", "file_name", "new_name", "read_recordings"]

STORE = ".onlooker"  # the hidden folder in which the page keeps what belongs to the project
TRASH = f"{STORE}/trash"
MAX_RECORDING = 100  # characters of the name of a recording

_MAX_NAME = 60  # characters of a class
_MAX_FILE = 100  # bytes of the name of a clip
_UNSAFE = r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]'
_JOINERS = "\u200c\u200d"  # inside of words of some scripts, and of emoji; they change what is seen
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that show nothing

Move = tuple[str, str]  # paths relative to the folder
Row = dict[str, str]  # of recordings.csv


_SCHEMA = [
    # run: the name of the newest one
    "CREATE TABLE state (key TEXT PRIMARY KEY, value)",
    # Also the clips in the trash.
    """CREATE TABLE clip (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL, digest TEXT,
        seconds REAL, playable INTEGER, settled INTEGER NOT NULL DEFAULT 0, UNIQUE (folder, name))""",
    "CREATE INDEX clip_in_order ON clip (folder, number)",
    "CREATE INDEX clip_by_content ON clip (digest)",
    # By the newest run.
    """CREATE TABLE tested (
        clip TEXT PRIMARY KEY, truth TEXT NOT NULL, predicted TEXT NOT NULL, score REAL NOT NULL, margin REAL NOT NULL,
        doubted INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX tested_by_cell ON tested (truth, predicted)",
]
_FOUND = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"


@dataclass(frozen=True)
class ProjectClip:
    """A clip of the project.

    Args:
        id: stays the same when the clip is moved.
        label: its class.
        relative: its path within the folder.
        seconds: its length; None if it has not been decoded yet.
        playable: whether every browser plays the file itself.
        predicted: the class that the newest model predicts; None if the clip was not tested.
    """

    id: str
    label: str
    relative: str
    path: Path
    seconds: float | None
    playable: bool | None
    predicted: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "id": self.id,
            "label": printable(self.label),
            "name": printable(self.path.name),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
        }


@dataclass(frozen=True, eq=False)
class _Change:
    """A change that can be undone.

    Args:
        batch: changes of the same batch that follow each other are undone together.
        undo: undoes it; a FileNotFoundError if another program has removed its files.
    """

    text: str
    batch: str
    undo: Callable[[], None]


class Project:
    """A folder with one sub-folder per class, made when its first class is added.

    Several threads can read it and add clips; they make other changes by `change`, one at a time.

    Args:
        folder: other programs may change it, too; the version then increases.

    Raises:
        ValueError: the folder is a file, or another server uses it; its database is damaged, or it
            would change files elsewhere.
        NotWritableError: the folder exists, and cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"{folder}: a file, expected the folder of clips; give another one with --clips"
            )
        self.store = self.folder / STORE
        self.database = Database(None)
        self._lock = RLock()
        self._classes: list[str] = []
        self._changes: list[_Change] = []
        # Higher after each change, by the page or by other programs, and than that of the last
        # server.
        self.version = time.time_ns() // 1_000_000
        self.refresh()

    def counts(self) -> dict[str, int]:
        """The number of clips of each class, sorted by name."""
        counts = dict(self.database.run("SELECT folder, count(*) FROM clip GROUP BY folder"))
        return {name: counts.get(name, 0) for name in self._classes}

    def clips(self, label: str, count: int = -1, before: str | None = None) -> list[ProjectClip]:
        """The clips of a class, the last ones first; with `before`, those that follow the clip with
        this id.
        """
        older = "number < coalesce((SELECT number FROM clip WHERE id = ?), 1 << 62)"
        return self.select(
            f"folder = ? AND {older} ORDER BY number DESC LIMIT ?", label, before, count
        )

    def select(self, condition: str = "true", *values: object) -> list[ProjectClip]:
        """The clips for which an SQL condition holds."""
        columns = "id, folder, name, seconds, playable, predicted FROM clip LEFT JOIN tested ON tested.clip = id"
        rows = self.database.run(
            f"SELECT {columns} WHERE folder NOT LIKE '.%' AND {condition}", *values
        )
        return [
            ProjectClip(clip_id, label, f"{label}/{name}", self.folder / label / name, *facts)
            for clip_id, label, name, *facts in rows
        ]

    def tested(
        self, truth: str | None = None, predicted: str | None = None
    ) -> list[dict[str, Any]]:
        """The first clips of a class with this prediction, or those classified wrongly, the most
        certain errors first, as plain values.
        """
        if truth is None:
            clips = self.select("truth != predicted ORDER BY margin LIMIT 100")
        else:
            query = "truth = ? AND predicted = ? ORDER BY abs(margin) DESC LIMIT 100"
            clips = self.select(query, truth, predicted)
        return [{**clip.to_dict(), "predicted": printable(clip.predicted)} for clip in clips]

    def clip(self, clip_id: str) -> ProjectClip:
        """The clip with this id; a Problem 404 if there is none (any more)."""
        with self._lock:  # after a change that is being made
            clips = self.select("id = ?", clip_id)
        if not clips:
            raise Problem(404, "no_clip")
        return clips[0]

    def change_text(self) -> str | None:
        """A description of the changes that are undone next; None if there are none."""
        changes = self._last()
        if not changes:
            return None
        text = changes[0].text
        return text if len(changes) == 1 else t("change.several", text=text, count=len(changes) - 1)

    def change(self, name: str, values: Mapping[str, str], version: int) -> None:
        """Call the method `name`, which changes the project, while no other thread changes it.

        Raises:
            Problem: 409 if the project has changed since the page saw this version; 422 for values
                of other names.
        """
        with self._lock:
            self.refresh()
            if version != self.version:
                raise Problem(409, "changed", version=self.version, seen=version)
            make = getattr(self, name)
            try:
                signature(make).bind(**values)
            except TypeError as error:
                raise Problem(422, "request", reason=error) from error
            make(**values)

    def incoming(self) -> Path:
        """The folder for files that are to be added; what remains in it is deleted at the next
        start.
        """
        with self._lock:
            self._open(make=True)
            (self.folder / TRASH).mkdir(parents=True, exist_ok=True)
            return self.folder / TRASH

    def add_class(self, name: str) -> None:
        """Make an empty class; a Problem 422 for an invalid name, 409 if there is such a class."""
        name = self._new_class(name)
        self._do(t("change.add_class", name=name), [self._empty(name)])

    def rename_class(self, name: str, to: str) -> None:
        """Give a class another name; errors as for `add_class`, and a Problem 404 if there is no
        such class.
        """
        self._require_class(name)
        if (to := self._new_class(to, besides=name)) != name:
            self._do(t("change.rename_class", name=name, to=to), [(name, to)])

    def merge_class(self, name: str, to: str) -> None:
        """Move the clips of a class to another one, and remove it; a Problem 404 if one of them is
        not there.
        """
        self._require_class(name)
        self._require_class(to)
        sources: dict[str, str] = {}
        for clip in self.clips(name):
            sources[self._free(to, clip.path.name, sources)] = clip.relative
        moves = [(source, target) for target, source in sources.items()]
        self._do(t("change.merge_class", name=name, to=to), [*moves, (name, self._trash())])

    def delete_class(self, name: str) -> None:
        """Remove a class with all its clips; a Problem 404 if there is none."""
        self._require_class(name)
        self._do(t("change.delete_class", name=name), [(name, self._trash())])

    def check_new(self, digest: str) -> None:
        """Raise a Problem 409 if a clip of the project is known to have this content."""
        for clip in self.select("digest = ?", digest):
            if clip.path.is_file() and file_digest(clip.path) == digest:
                raise Problem(409, "duplicate", name=clip.path.name, label=clip.label)

    def add_clip(
        self, label: str, file: Path, name: str, clip_id: str, batch: str = "", recording: str = ""
    ) -> ProjectClip:
        """Add a clip; a class that does not exist is made, and a name that is taken gets a number.

        Args:
            file: in `incoming()`, from where it is moved.
            name: the intended name of the file.
            clip_id: a new id.
            batch: changes of the same batch that follow each other are undone together.
            recording: what it is a part of, if that is known.

        Raises:
            Problem: 409 if the project has the same clip.
        """
        digest = file_digest(file)
        with self._lock:
            self.refresh()
            self.check_new(digest)
            moves: list[Move] = []
            label = class_name(label, self.counts())
            if label not in self.counts():
                label = self._new_class(label)
                moves.append(self._empty(label))
            target = self._free(label, name)
            row = "INSERT INTO clip (id, folder, name, digest) VALUES (?, ?, ?, ?)"
            self.database.run(row, clip_id, TRASH, file.name, digest)
            text = t("change.add_clip", name=Path(target).name, label=label)
            self._do(text, [*moves, (f"{TRASH}/{file.name}", target)], batch=batch)
            if recording:
                self._join(target, recording)
            return self.clip(clip_id)

    def recordings(self) -> dict[str, str]:
        """The recordings of clips, by their paths relative to the folder; a Problem 422 if the list
        cannot be read.
        """
        rows = read_recordings(self.folder / RECORDINGS)
        return {
            row["clip"]: row["recording"] for row in rows if not row["clip"].startswith(f"{TRASH}/")
        }

    def set_recording(self, clip_id: str, recording: str) -> None:
        """Note of which recording a clip is.

        Args:
            recording: "": the clip is one by itself.

        Raises:
            Problem: 404 if there is no such clip, 422 for a recordings.csv that cannot be read.
        """
        clip = self.clip(clip_id)
        recording = recording.strip()[:MAX_RECORDING]
        path = self.folder / RECORDINGS
        before = read_bytes(path) if path.exists() else b""
        self._join(clip.relative, recording or clip.relative)
        text = t("change.set_recording", name=clip.path.name, recording=recording or "–")
        self._note(text, partial(_restore, path, before))

    def _join(self, clip: str, recording: str) -> None:
        """Make a clip part of a recording, so that no split divides it; a new list names every
        clip.
        """
        rows = read_recordings(self.folder / RECORDINGS)
        rows = rows or [
            {"clip": other.relative, "recording": other.relative} for other in self.select()
        ]
        by_clip = {row["clip"]: row for row in rows}
        by_clip.setdefault(clip, {"clip": clip})["recording"] = recording
        _write_rows(self.folder / RECORDINGS, [*by_clip.values()])

    def set_label(self, clip_id: str, label: str) -> None:
        """Give a clip the class that the user has chosen or confirmed; a Problem 404 if one of them
        is not there.
        """
        clip = self.clip(clip_id)
        self._require_class(label)
        name = clip.path.name
        if clip.label == label:
            self._do(t("change.confirm", name=name, label=label), [], settled=clip_id)
        else:
            text = t("change.move_clip", name=name, label=clip.label, to=label)
            self._do(text, [(clip.relative, self._free(label, name))], settled=clip_id)

    def set_facts(
        self, clip_id: str, seconds: float, playable: bool, digest: str | None = None
    ) -> None:
        """Keep what decoding a clip has found, and the digest of its content."""
        update = (
            "UPDATE clip SET seconds = ?, playable = ?, digest = coalesce(?, digest) WHERE id = ?"
        )
        self.database.run(update, seconds, playable, digest, clip_id)

    def delete_clip(self, clip_id: str) -> None:
        """Remove a clip; a Problem 404 if there is none."""
        clip = self.clip(clip_id)
        text = t("change.delete_clip", name=clip.path.name, label=clip.label)
        self._do(text, [(clip.relative, self._trash(clip.path.suffix))])

    def undo(self) -> None:
        """Undo the last change, or the changes of the last batch.

        Raises:
            Problem: 409 if there is none, if another program has removed its files (it is then
                forgotten), or if files of another program are in the way (it can be made once these
                are gone).
        """
        changes = self._last()
        if not changes:
            raise Problem(409, "nothing_to_undo")
        for change in changes:
            try:
                change.undo()
            except FileNotFoundError as error:
                self._changes.pop()
                raise Problem(409, "cannot_undo", reason=error) from error
            self._changes.pop()
            self.version += 1
        self.refresh()

    def refresh(self) -> None:
        """Notice what other programs have changed."""
        with self._lock:
            self._open()
            folders = [
                path for path in self.folder.glob("*") if path.is_dir() and not is_hidden(path.name)
            ]
            present = {
                (path.name, file.name)
                for path in folders
                for file in path.iterdir()
                if not is_hidden(file.name)
            }
            stored = {
                *self.database.run("SELECT folder, name FROM clip WHERE folder NOT LIKE '.%'")
            }
            added = [
                (label, name)
                for label, name in sorted(present - stored)
                if is_video(self.folder / label / name)
            ]
            with self.database.transaction():
                for row in stored - present:
                    self.database.run("DELETE FROM clip WHERE folder = ? AND name = ?", *row)
                for row in added:
                    insert = "INSERT INTO clip (id, folder, name) VALUES (?, ?, ?)"
                    self.database.run(insert, secrets.token_hex(8), *row)
            classes = sorted(path.name for path in folders)
            self.version += bool(added or stored - present or classes != self._classes)
            self._classes = classes

    def close(self) -> None:
        """Release the folder for other servers."""
        with self._lock:
            self.database.close()
            self.database = Database(None)
            self._classes = []
            self._changes = []

    def _open(self, make: bool = False) -> None:
        """Open the database of the folder, and empty its trash; nothing is written without the
        folder.
        """
        if self.database.file:
            if self.database.file.exists():
                return
            self.close()  # the folder was deleted while the page is open
        if not (make or self.folder.is_dir()):
            return
        for path in (self.store, *self.store.glob("*")):
            if path.is_symlink():  # what is deleted there would be deleted elsewhere
                raise ValueError(
                    f"{printable(path)}: a link, expected a folder or file of the page; remove the link"
                )
        check_writable(self.store, "allow writing to it, or teach another folder (--clips)")
        try:
            self.database = Database(self.store / "page.db")
            shutil.rmtree(self.folder / TRASH, ignore_errors=True)
            self.database.run("DELETE FROM clip WHERE folder LIKE '.%'")
            self.refresh()
        except BaseException:
            self.close()
            raise

    def _do(
        self, text: str, moves: Sequence[Move], settled: str | None = None, batch: str = ""
    ) -> None:
        """Make a change; `settled`: the clip whose label it confirms."""
        self._make(moves, settled, is_undone=False)
        self._note(text, partial(self._make, _backwards(moves), settled, is_undone=True), batch)

    def _note(self, text: str, undo: Callable[[], None], batch: str = "") -> None:
        """Note that a change was made."""
        self._changes.append(_Change(text, batch or secrets.token_hex(8), undo))
        self.version += 1
        self.refresh()

    def _make(self, moves: Sequence[Move], settled: str | None, is_undone: bool) -> None:
        """Make renames, and note them; if that fails, everything is as before."""
        _check_moves(self.folder, moves, is_undone)
        try:
            _make_moves(self.folder, moves)
            _follow_moves(self.folder, moves)
            with self.database.transaction():
                for source, target in moves:
                    self._note_move(source, target)
                self.database.run(
                    "UPDATE clip SET settled = ? WHERE id = ?", not is_undone, settled
                )
        except Exception:  # such as a file that another program has open, or a full disk
            with suppress(OSError, ValueError):
                _make_moves(self.folder, _backwards(moves))
            raise

    def _note_move(self, source: str, target: str) -> None:
        """Note that a clip, or a class with its clips, was renamed. Outside of the trash, a class
        is in no folder.
        """
        if "/" in source and "/" in target:
            query = "UPDATE clip SET folder = ?, name = ? WHERE folder = ? AND name = ?"
            self.database.run(query, *target.rsplit("/", 1), *source.rsplit("/", 1))
        else:
            self.database.run("UPDATE clip SET folder = ? WHERE folder = ?", target, source)

    def _last(self) -> list[_Change]:
        """The changes that are undone next, the last one first."""
        changes = self._changes[::-1]
        return [*itertools.takewhile(lambda change: change.batch == changes[0].batch, changes)]

    def _empty(self, label: str) -> Move:
        """The change that makes a class folder."""
        source = self._trash()
        (self.folder / source).mkdir()
        return source, label

    def _trash(self, suffix: str = "") -> str:
        """A free path in the trash."""
        return (
            (self.incoming() / f"{secrets.token_hex(8)}{suffix}")
            .relative_to(self.folder)
            .as_posix()
        )

    def _require_class(self, name: str) -> None:
        if name not in (names := self.counts()):
            raise Problem(404, "no_class", name=name[:60], classes=", ".join(names) or "–")

    def _new_class(self, name: str, besides: str | None = None) -> str:
        """A name that a new class can have; a Problem or ValueError if it is invalid, or taken."""
        others = [other for other in self.counts() if other != besides]
        name = new_name(name, others)
        require_one_nothing([*others, name])
        return name

    def _free(self, label: str, name: str, taken: Container[str] = ()) -> str:
        """A free path for a clip in a class, with its name or a similar one."""
        numbered = (f"{label}/{file_name(name, number)}" for number in itertools.count(1))
        return next(
            path for path in numbered if path not in taken and not (self.folder / path).exists()
        )


def _check_moves(folder: Path, moves: Sequence[Move], back: bool = False) -> None:
    """Check renames before they are made.

    Args:
        back: they undo a change: a class that it has made is removed, unless another program has
            put files there.

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
            names = sorted(
                path.name for path in (folder / source).iterdir() if not is_hidden(path.name)
            )
            if others := [name for name in names if f"{source}/{name}" not in sources]:
                raise Problem(
                    409,
                    "not_empty",
                    name=printable(source),
                    count=len(others),
                    file=printable(others[0]),
                )


def _make_moves(folder: Path, moves: Sequence[Move]) -> None:
    """Make the renames that have not been made.

    Raises:
        ValueError: a path is not within the folder, or behind a link that leads out of it.
    """
    for source, target in moves:
        start = folder / source
        end = folder / target
        if start.exists() and not end.exists():
            _check_inside(folder, start)  # just before: an earlier rename may have moved a link
            _check_inside(folder, end)
            end.parent.mkdir(parents=True, exist_ok=True)
            start.rename(end)


def _backwards(moves: Sequence[Move]) -> list[Move]:
    """The renames that undo renames."""
    return [(target, source) for source, target in reversed(moves)]


def _check_inside(folder: Path, path: Path) -> None:
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        expected = f"expected a path within {printable(folder)}, because nothing is moved or deleted elsewhere"
        raise ValueError(
            f"{printable(path)}: behind a link; {expected}; replace the link by the folder itself"
        )


def read_recordings(path: Path) -> list[Row]:
    """The rows of a list of recordings, if there is one; a Problem 422 if training could not read
    it.
    """
    try:
        return (
            [row for _, row in read_table(path, ("clip", "recording")).rows]
            if path.exists()
            else []
        )
    except ClipError as error:
        raise Problem(422, "recordings_damaged", reason=error.found) from error


def _follow_moves(folder: Path, moves: Sequence[tuple[str, str]]) -> None:
    """Rewrite the list of recordings, if there is one.

    Args:
        moves: renames of clips and class folders. The rows of deleted clips go to the trash with
            them, so that a clip that gets the name of a deleted one does not share its row. A new
            clip becomes its own recording.
    """
    rows = read_recordings(folder / RECORDINGS)
    if not rows:
        return
    for source, target in moves:
        moved = [row for row in rows if f"{row['clip']}/".startswith(f"{source}/")]
        for row in moved:
            row["clip"] = target + row["clip"][len(source) :]
        if not moved and "/" in target and not target.startswith("."):
            rows.append({"clip": target, "recording": target})
    _write_rows(folder / RECORDINGS, rows)


def _restore(path: Path, content: bytes) -> None:
    """Write a file again, or remove it if it was not there."""
    if content:
        write_bytes(path, content)
    else:
        path.unlink(missing_ok=True)


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    columns = [*rows[0]]
    write_csv(path, [columns, *([row.get(column, "") for column in columns] for row in rows)])


class Database:
    """What the page knows of a project: an SQLite file, made if there is none, locked by this
    process.

    Its threads share one connection.

    Args:
        file: None: in memory, for a project whose folder does not exist yet.

    Raises:
        ValueError: another server uses it; it is damaged, of another version, or of another
            program.
    """

    def __init__(self, file: Path | None) -> None:
        if file is not None and file.exists():
            check_regular(file)
        self.file = file
        self._lock = RLock()
        self._connection = sqlite3.connect(
            file or ":memory:", timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self.run("PRAGMA locking_mode = EXCLUSIVE")
            self.run("PRAGMA trusted_schema = OFF")  # the folder may come from elsewhere
            self.run("PRAGMA journal_mode = WAL")
            self.run("PRAGMA synchronous = FULL")
            if not self.run(_FOUND):
                with self.transaction():
                    for statement in _SCHEMA:
                        self.run(statement)
            # its triggers may be those of an attacker
            if [row[0] for row in self.run(_FOUND)] != _SCHEMA:
                raise sqlite3.DatabaseError("of another version of the page, or of another program")
        except sqlite3.DatabaseError as error:
            self.close()
            remedy = "delete it: the clips stay, and which labels were confirmed is forgotten"
            if "locked" in str(error):
                remedy = "another `onlooker serve` uses this folder; use that one, or end it"
            raise ValueError(f"{printable(file)}: {printable(error)}; {remedy}") from error

    def run(self, statement: str, *values: object) -> list[Any]:
        """Execute a statement; returns its rows."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row; None without a row."""
        rows = self.run(statement, *values)
        return rows[0][0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block are made together, and are on the disk at its end; or none is
        made.
        """
        with self._lock, self._connection:
            self.run("BEGIN IMMEDIATE")
            yield

    def close(self) -> None:
        self._connection.close()


def is_hidden(name: str) -> bool:
    """Whether a name is no clip and no class, as in training; also one that is no UTF-8, which no
    database stores.
    """
    return is_skipped(name) or re.search("[\ud800-\udfff]", name) is not None


def class_name(name: str, classes: Collection[str] = ()) -> str:
    """The class that a name means: of exactly this name, or as new classes have it: what is seen of
    it, composed, with single spaces.
    """
    return name if name in classes else " ".join(composed(_visible(name)).split())


def _visible(name: str) -> str:
    """The name without characters that are not seen; joiners after letters that are not ASCII stay."""
    pairs = zip(f" {name}", name, strict=False)
    return "".join(
        c for before, c in pairs if not _is_invisible(c) or (c in _JOINERS and before > "~")
    )


def _is_invisible(character: str) -> bool:
    return character in _BLANKS or unicodedata.category(character) in ("Cf", "Cn", "Co", "Zl", "Zp")


def _seen(name: str) -> str:
    """What is the same for names that look alike."""
    return unicodedata.normalize("NFKC", name).casefold()


def new_name(name: str, others: Collection[str]) -> str:
    """A name that a new class or model can have next to others.

    Raises:
        Problem: 422 for an invalid name, 409 if it is taken.
    """
    name = class_name(name)
    if not 0 < len(name) <= _MAX_NAME or len(os.fsencode(name)) > 200:
        raise Problem(422, "name_length", count=len(name), most=_MAX_NAME)
    if bad := re.search(_UNSAFE, name):
        raise Problem(422, "name_character", character=ascii(bad[0]))
    if is_hidden(name) or name.endswith("."):
        raise Problem(422, "name_dot")
    if same := [other for other in others if _seen(other) == _seen(name)]:
        raise Problem(409, "class_exists", name=same[0])
    return name


def file_name(name: str, number: int = 1) -> str:
    """A file name for a clip, with a number from 2 on; characters that a file system may not allow
    are replaced.
    """
    clean = Path(re.sub(_UNSAFE, "_", _visible(name)))
    stem = os.fsencode(clean.stem.strip(". "))[:_MAX_FILE].decode(errors="ignore") or "clip"
    return f"{stem}{f'-{number}' if number > 1 else ''}{clean.suffix}"

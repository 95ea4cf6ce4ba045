"""The folder of clips that the page edits: its classes and clips, and changes that can be undone, even after a restart.

Clips are files; what the page knows of them is in a database in the hidden folder of the project. Every change is a
list of renames within the folder: deleted files go to `.onlooker/trash`, new ones come from there. It is written to the
database before its renames and marked as done after them, so that a change that was interrupted is completed at the
next start. A request reads the times of the class folders, and lists those that another program has changed.
"""

import itertools
import json
import os
import secrets
import shutil
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from onlooker.answer import require_one_nothing
from onlooker.data.folder import RECORDINGS
from onlooker.data.tables import read_table
from onlooker.files import check_writable, file_digest, printable, write_csv
from onlooker.serve.database import Database
from onlooker.serve.names import class_name, file_name, is_hidden, new_name
from onlooker.serve.problem import Problem, t
from onlooker.structures import ClipError
from onlooker.video.reader import is_video

__all__ = ["MAX_RECORDING", "Project", "ProjectClip", "read_recordings"]

STORE = ".onlooker"  # the hidden folder in which the page keeps what belongs to the project
TRASH = f"{STORE}/trash"
MAX_RECORDING = 100  # characters of the name of a recording
KEPT = 100  # steps that can be undone; files that older ones have deleted are removed

Move = tuple[str, str]  # paths relative to the folder
Row = dict[str, str]  # of recordings.csv


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


class Project:
    """A folder with one sub-folder per class, made when its first class is added.

    Several threads can read it and add clips; they make other changes by `change`, one at a time.

    Args:
        folder: other programs may change it, too; the version then increases.

    Raises:
        ValueError: the folder is a file, or another server uses it; its database is damaged, or it would change files
            elsewhere.
        NotWritableError: the folder exists, and cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: a file, expected the folder of clips; give another one with --clips")
        self.store = self.folder / STORE
        self.database = Database(None)
        self._lock = RLock()
        self._classes: dict[str, int] = {}  # the times of their folders when they were listed
        self.refresh()

    @property
    def version(self) -> int:
        """How often the project has changed, by the page or by other programs."""
        self.refresh()
        return int(self.database.value("SELECT value FROM state WHERE key = 'version'") or 0)

    def counts(self) -> dict[str, int]:
        """The number of clips of each class, sorted by name."""
        counts = dict(self.database.run("SELECT folder, count(*) FROM clip GROUP BY folder"))
        return {name: counts.get(name, 0) for name in sorted(self._classes)}

    def clips(self, label: str, count: int = -1, before: str | None = None) -> list[ProjectClip]:
        """The clips of a class, the last ones first; with `before`, those that follow the clip with this id."""
        older = "number < coalesce((SELECT number FROM clip WHERE id = ?), 1 << 62)"
        return self.select(f"folder = ? AND {older} ORDER BY number DESC LIMIT ?", label, before, count)

    def select(self, condition: str = "true", *values: object) -> list[ProjectClip]:
        """The clips for which an SQL condition holds."""
        columns = "id, folder, name, seconds, playable, predicted FROM clip LEFT JOIN tested ON tested.clip = id"
        rows = self.database.run(f"SELECT {columns} WHERE folder NOT LIKE '.%' AND {condition}", *values)
        return [
            ProjectClip(clip_id, label, f"{label}/{name}", self.folder / label / name, *facts)
            for clip_id, label, name, *facts in rows
        ]

    def tested(self, truth: str | None = None, predicted: str | None = None) -> list[dict[str, Any]]:
        """The first clips of a class with this prediction, or those classified wrongly, the most certain errors first,
        as plain values."""
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
        _, text = changes[0]
        return text if len(changes) == 1 else t("change.several", text=text, count=len(changes) - 1)

    def change(self, name: str, values: Mapping[str, str], version: int) -> None:
        """Call the method `name`, which changes the project, while no other thread changes it.

        Raises:
            Problem: 409 if the project has changed since the page saw this version.
        """
        with self._lock:
            if version != (now := self.version):
                raise Problem(409, "changed", version=now, seen=version)
            getattr(self, name)(**values)

    def incoming(self) -> Path:
        """The folder for files that are to be added; what remains in it is deleted at the next start."""
        with self._lock:
            self._open(make=True)
            (self.folder / TRASH).mkdir(parents=True, exist_ok=True)
            return self.folder / TRASH

    def add_class(self, name: str) -> None:
        """Make an empty class; a Problem 422 for an invalid name, 409 if there is such a class."""
        name = self._new_class(name)
        self._do(t("change.add_class", name=name), [self._empty(name)])

    def rename_class(self, name: str, to: str) -> None:
        """Give a class another name; errors as for `add_class`, and a Problem 404 if there is no such class."""
        self._require_class(name)
        if (to := self._new_class(to, besides=name)) != name:
            self._do(t("change.rename_class", name=name, to=to), [(name, to)])

    def merge_class(self, name: str, to: str) -> None:
        """Move the clips of a class to another one, and remove it; a Problem 404 if one of them is not there."""
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
                self._join(target, recording, self.folder / RECORDINGS)
            return self.clip(clip_id)

    def recordings(self) -> dict[str, str]:
        """The recordings of clips, by their paths relative to the folder; a Problem 422 if the list cannot be read."""
        rows = read_recordings(self.folder / RECORDINGS)
        return {row["clip"]: row["recording"] for row in rows if not row["clip"].startswith(f"{TRASH}/")}

    def set_recording(self, clip_id: str, recording: str) -> None:
        """Note of which recording a clip is, by another recordings.csv in place of the last one.

        Args:
            recording: "": the clip is one by itself.

        Raises:
            Problem: 404 if there is no such clip, 422 for a recordings.csv that cannot be read.
        """
        clip = self.clip(clip_id)
        recording = recording.strip()[:MAX_RECORDING]
        new = self._trash(".csv")
        self._join(clip.relative, recording or clip.relative, self.folder / new)
        moves = [(new, RECORDINGS)]
        if (self.folder / RECORDINGS).exists():
            moves.insert(0, (RECORDINGS, self._trash(".csv")))
        self._do(t("change.set_recording", name=clip.path.name, recording=recording or "–"), moves)

    def _join(self, clip: str, recording: str, target: Path) -> None:
        """Write a recordings.csv in which a clip is part of a recording, so that no split divides it.

        A list that is made for it names every clip.
        """
        rows = read_recordings(self.folder / RECORDINGS)
        rows = rows or [{"clip": other.relative, "recording": other.relative} for other in self.select()]
        by_clip = {row["clip"]: row for row in rows}
        by_clip.setdefault(clip, {"clip": clip})["recording"] = recording
        _write_rows(target, [*by_clip.values()])

    def name_recording(self, name: str, digest: str) -> str:
        """The recording that a file is: its name, or another one if a file of other content has this name."""
        key = f"recording {name}"
        self.database.run("INSERT OR IGNORE INTO state VALUES (?, ?)", key, digest)
        is_first = self.database.value("SELECT value FROM state WHERE key = ?", key) == digest
        return name if is_first else f"{name} {digest[:8]}"

    def set_label(self, clip_id: str, label: str) -> None:
        """Give a clip the class that the user has chosen or confirmed; a Problem 404 if one of them is not there."""
        clip = self.clip(clip_id)
        self._require_class(label)
        name = clip.path.name
        if clip.label == label:
            self._do(t("change.confirm", name=name, label=label), [], settled=clip_id)
        else:
            text = t("change.move_clip", name=name, label=clip.label, to=label)
            self._do(text, [(clip.relative, self._free(label, name))], settled=clip_id)

    def set_facts(self, clip_id: str, seconds: float, playable: bool, digest: str | None = None) -> None:
        """Keep what decoding a clip has found, and the digest of its content."""
        update = "UPDATE clip SET seconds = ?, playable = ?, digest = coalesce(?, digest) WHERE id = ?"
        self.database.run(update, seconds, playable, digest, clip_id)

    def delete_clip(self, clip_id: str) -> None:
        """Remove a clip; a Problem 404 if there is none."""
        clip = self.clip(clip_id)
        text = t("change.delete_clip", name=clip.path.name, label=clip.label)
        self._do(text, [(clip.relative, self._trash(clip.path.suffix))])

    def undo(self) -> None:
        """Undo the last change, or the changes of the last batch.

        Raises:
            Problem: 409 if there is none, if another program has removed its files (it is then forgotten), or if files
                of another program are in the way (it can be made once these are gone).
        """
        changes = self._last()
        if not changes:
            raise Problem(409, "nothing_to_undo")
        for number, _ in changes:
            moves = json.loads(self.database.value("SELECT moves FROM change WHERE number = ?", number))
            try:
                _check_moves(self.folder, _backwards(moves), back=True)
            except FileNotFoundError as error:
                self._end(number, is_kept=False)
                raise Problem(409, "cannot_undo", reason=error) from error
            self.database.run("UPDATE change SET state = 'undoing' WHERE number = ?", number)
            self._finish(number)

    def refresh(self, everything: bool = False) -> None:
        """Notice what other programs have changed, by the times of the class folders, or by listing `everything`."""
        with self._lock:
            self._open()
            times = self._times()
            changed = [name for name, time in times.items() if everything or self._classes.get(name) != time]
            gone = self._classes.keys() - times.keys()
            if changed or gone:
                with self.database.transaction():
                    for name in gone:
                        self.database.run("DELETE FROM clip WHERE folder = ?", name)
                    updated = [name for name in changed if self._list_class(name) or name not in self._classes]
                    if gone or updated:
                        self._count_version()
            self._classes = times

    def close(self) -> None:
        """Release the folder for other servers."""
        with self._lock:
            self.database.close()
            self.database = Database(None)
            self._classes = {}

    def _open(self, make: bool = False) -> None:
        """Open the database of the folder, and complete what was interrupted; nothing is written without the folder."""
        if self.database.file:
            if self.database.file.exists():
                return
            self.close()  # the folder was deleted while the page is open
        if not (make or self.folder.is_dir()):
            return
        for path in (self.store, *self.store.glob("*")):
            if path.is_symlink():  # what is deleted there would be deleted elsewhere
                raise ValueError(f"{printable(path)}: a link, expected a folder or file of the page; remove the link")
        check_writable(self.store, "allow writing to it, or teach another folder (--clips)")
        try:
            self.database = Database(self.store / "page.db")
            for (number,) in self.database.run("SELECT number FROM change WHERE state != 'done'"):
                self._finish(number)
            self._empty_trash()
            stored = self.database.run("SELECT DISTINCT folder FROM clip WHERE folder NOT LIKE ?", f"{STORE}%")
            self._classes = dict.fromkeys([*self._times(), *(folder for (folder,) in stored)], 0)
            self.refresh(everything=True)
        except BaseException:
            self.close()
            raise

    def _do(self, text: str, moves: Sequence[Move], settled: str | None = None, batch: str = "") -> None:
        """Make a change; `settled`: the clip whose label it confirms."""
        self._open(make=True)
        _check_moves(self.folder, moves)
        last = self.database.run("SELECT step, batch FROM change ORDER BY number DESC LIMIT 1")
        step, last_batch = last[0] if last else (0, "")
        if not batch or batch != last_batch:
            step += 1
        insert = "INSERT INTO change (step, text, batch, moves, settled, state) VALUES (?, ?, ?, ?, ?, 'doing')"
        values = (step, text, batch, json.dumps(moves), settled)
        number = self.database.value(f"{insert} RETURNING number", *values)
        self._finish(number)

    def _finish(self, number: int) -> None:
        """Make or undo the renames of a change that has begun; if that fails, everything is as before."""
        query = "SELECT state, moves, settled FROM change WHERE number = ?"
        ((state, stored, settled),) = self.database.run(query, number)
        is_undone = state == "undoing"
        moves: list[Move] = [(str(source), str(target)) for source, target in json.loads(stored)]
        if is_undone:
            moves = _backwards(moves)
        try:
            _make_moves(self.folder, moves)
            _follow_moves(self.folder, moves)
            with self.database.transaction():
                for source, target in moves:
                    self._note_move(source, target)
                if settled:
                    self.database.run("UPDATE clip SET settled = ? WHERE id = ?", not is_undone, settled)
                self._end(number, is_kept=not is_undone)
                self._count_version()
        except Exception:  # such as a file that another program has open, or a full disk
            with suppress(OSError, ValueError):
                _make_moves(self.folder, _backwards(moves))
            self._end(number, is_kept=is_undone)
            raise
        for name in {path.partition("/")[0] for move in moves for path in move} - {STORE, RECORDINGS}:
            self._classes.pop(name, None)
            with suppress(OSError):
                self._classes[name] = (self.folder / name).stat().st_mtime_ns

    def _note_move(self, source: str, target: str) -> None:
        """Note that a clip, or a class with its clips, was renamed. Outside of the trash, a class is in no folder."""
        if "/" in source and "/" in target:
            query = "UPDATE clip SET folder = ?, name = ? WHERE folder = ? AND name = ?"
            self.database.run(query, *target.rsplit("/", 1), *source.rsplit("/", 1))
        else:
            self.database.run("UPDATE clip SET folder = ? WHERE folder = ?", target, source)

    def _end(self, number: int, is_kept: bool) -> None:
        """Keep a change for undo, or forget it."""
        keep = "UPDATE change SET state = 'done' WHERE number = ?"
        self.database.run(keep if is_kept else "DELETE FROM change WHERE number = ?", number)

    def _count_version(self) -> None:
        self.database.run("INSERT INTO state VALUES ('version', 1) ON CONFLICT DO UPDATE SET value = value + 1")

    def _last(self) -> list[tuple[int, str]]:
        """Number and text of the changes that are undone next, the last one first."""
        query = "SELECT number, text FROM change WHERE step = (SELECT max(step) FROM change) ORDER BY number DESC"
        return self.database.run(query)

    def _times(self) -> dict[str, int]:
        """The times at which the class folders were changed."""
        if not self.folder.is_dir():
            return {}
        with os.scandir(self.folder) as entries:
            classes = [entry for entry in entries if entry.is_dir() and not is_hidden(entry.name)]
        return {entry.name: entry.stat().st_mtime_ns for entry in classes}

    def _list_class(self, name: str) -> bool:
        """Update the clips of a class from its folder; returns whether anything has changed."""
        present = {path.name for path in (self.folder / name).iterdir() if not is_hidden(path.name)}
        stored = {row[0] for row in self.database.run("SELECT name FROM clip WHERE folder = ?", name)}
        added = [file for file in sorted(present - stored) if is_video(self.folder / name / file)]
        for file in stored - present:
            self.database.run("DELETE FROM clip WHERE folder = ? AND name = ?", name, file)
        for file in added:
            row = "INSERT INTO clip (id, folder, name) VALUES (?, ?, ?)"
            self.database.run(row, secrets.token_hex(8), name, file)
        return bool(added or stored - present)

    def _empty_trash(self) -> None:
        """Delete the files that no undo needs, of the last server, and those of changes that are too old."""
        self.database.run("DELETE FROM change WHERE step <= (SELECT max(step) FROM change) - ?", KEPT)
        moves = [move for row in self.database.run("SELECT moves FROM change") for move in json.loads(row[0])]
        used = {str(path) for move in moves for path in move}
        for path in (self.folder / TRASH).glob("*"):
            if f"{TRASH}/{path.name}" in used:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):  # it is deleted at the next start
                    path.unlink(missing_ok=True)

    def _empty(self, label: str) -> Move:
        """The change that makes a class folder."""
        source = self._trash()
        (self.folder / source).mkdir()
        return source, label

    def _trash(self, suffix: str = "") -> str:
        """A free path in the trash."""
        return (self.incoming() / f"{secrets.token_hex(8)}{suffix}").relative_to(self.folder).as_posix()

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
        return next(path for path in numbered if path not in taken and not (self.folder / path).exists())


def _check_moves(folder: Path, moves: Sequence[Move], back: bool = False) -> None:
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


def _make_moves(folder: Path, moves: Sequence[Move]) -> None:
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


def _backwards(moves: Sequence[Move]) -> list[Move]:
    """The renames that undo renames."""
    return [(target, source) for source, target in reversed(moves)]


def _check_inside(folder: Path, path: Path) -> None:
    expected = f"expected a path within {printable(folder)}, because nothing is moved or deleted elsewhere"
    if ".." in path.parts or not path.is_relative_to(folder) or path == folder:
        raise ValueError(f"{printable(path)}: {expected}")
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{printable(path)}: behind a link; {expected}; replace the link by the folder itself")


def read_recordings(path: Path) -> list[Row]:
    """The rows of a list of recordings, if there is one; a Problem 422 if training could not read it."""
    try:
        return [row for _, row in read_table(path, ("clip", "recording")).rows] if path.exists() else []
    except ClipError as error:
        raise Problem(422, "recordings_damaged", reason=error.found) from error


def _follow_moves(folder: Path, moves: Sequence[tuple[str, str]]) -> None:
    """Rewrite the list of recordings, if there is one.

    Args:
        moves: renames of clips and class folders. The rows of deleted clips go to the trash with them, so that a clip
            that gets the name of a deleted one does not share its row. A new clip becomes its own recording.
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


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    columns = [*rows[0]]
    write_csv(path, [columns, *([row.get(column, "") for column in columns] for row in rows)])

"""The folder of clips that the page edits: its classes and clips, and changes that can be undone.

Clips are files, identified by their inodes, which stay the same when they are moved. Further data,
such as confirmed labels, is in a file in the hidden folder of the project. Every change is a list
of renames within the folder: new files come from `.onlooker/incoming`, deleted ones go to
`.onlooker/trash`, in a folder for each day, and stay for `TRASH_DAYS`. The renames that undo a
change are a line of `.onlooker/changes.jsonl`, so that the next server can undo it, too. Requests
list the class folders, which other programs may change, too.
"""

import filecmp
import itertools
import json
import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from inspect import signature
from operator import attrgetter
from pathlib import Path, PurePosixPath
from threading import RLock
from typing import Any

from filelock import FileLock, Timeout

from onlooker import ClipError
from onlooker.base.answer import nothing_name, require_one_nothing
from onlooker.base.files import (
    check_writable,
    explain_write_errors,
    read_bytes,
    read_json,
    reading,
    write_bytes,
    write_csv,
    write_json,
)
from onlooker.base.intervals import Times, parse_time
from onlooker.base.settings import Config
from onlooker.base.text import printable
from onlooker.data import folder as clip_folder
from onlooker.data.folder import KEPT_RECORDINGS, RECORDINGS, recordings_of
from onlooker.serve.problem import Problem, t
from onlooker.video.reader import is_video

STORE = ".onlooker"  # the hidden folder in which the page keeps what belongs to the project
TRASH = f"{STORE}/trash"
TRASH_DAYS = 30
MAX_RECORDING = 100  # characters of the name of a recording

_INCOMING = f"{STORE}/incoming"
_NOTES = "page.json"
_DELETE_NOTES = "delete it: the clips stay, and which labels were confirmed is forgotten"
_CHANGES = "changes.jsonl"
_MAX_CHANGES = 10_000  # that are remembered at the next start
_MAX_NAME = 60  # characters of a class
_MAX_FILE = 100  # bytes of the name of a clip
_UNSAFE = r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]'
# Windows opens a device in place of a file or folder of such a name.
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|(com|lpt)[\d¹²³]|con(in|out)\$)\s*(\..*)?")

Move = tuple[str, str]  # paths relative to the folder
Row = dict[str, str]  # of recordings.csv


@dataclass(frozen=True)
class ProjectClip:
    """A clip of the project.

    Args:
        id: stays the same when the clip is moved.
        label: its class.
        name: of its file.
        modified: when its content was changed, in nanoseconds.
        size: in bytes.
    """

    id: str
    label: str
    name: str
    path: Path
    modified: int
    size: int

    @property
    def relative(self) -> str:
        """Its path within the folder."""
        return f"{self.label}/{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "id": self.id,
            "label": printable(self.label),
            "name": printable(self.name),
        }


@dataclass(frozen=True)
class Notes(Config):
    """The data that the page stores of a project besides its clips.

    Args:
        run: the name of the newest one.
        clips: the ids of the clips that it was trained with, by their names at that time.
        confirmed: the ids of clips whose label the user has confirmed or changed.
        pace: seconds for each clip in the last training; 0: unknown.
        colors: classes in the order of their colors, with deleted ones by their paths in the trash.
    """

    run: str = ""
    clips: dict[str, str] = field(default_factory=dict)
    confirmed: list[str] = field(default_factory=list)
    pace: float = 0.0
    colors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Step(Config):
    """A change that can be undone: a line of `_CHANGES`.

    Args:
        batch: steps of the same batch are undone together.
        moves: the renames that undo it; to `TRASH`: to a free path in it.
        confirmed: the clip whose label it has confirmed, if it was not confirmed before.
        new_class: the class that it has made.
        recordings: the recordings of clips before the change, by the paths of the clips.
        rows: the rows of the list of recordings for clips that it has deleted, by position.

    Raises:
        ValueError: values of other types, or a path that leads out of the folder.
    """

    text: str
    batch: str
    moves: dict[str, str] = field(default_factory=dict)
    confirmed: str = ""
    new_class: str = ""
    recordings: dict[str, str] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        paths = [
            PurePosixPath(path) for path in (*self.moves, *self.moves.values(), self.new_class)
        ]
        if any(path.is_absolute() or ".." in path.parts for path in paths):
            raise ValueError("a path that leads out of the folder")


class _Journal:
    """The changes that can be undone, in order: the lines of a file, so that the next server can undo
    them, too.

    Args:
        file: need not exist.
        undo: undoes a change.
    """

    def __init__(self, file: Path, undo: Callable[[_Step], None]) -> None:
        self.steps = list[_Step]()
        self._file = file
        self._undo = undo

    def read(self) -> None:
        """Read the changes after the last line that cannot be read, such as a truncated line."""
        self.steps = []
        if self._file.exists():
            for line in read_bytes(self._file).decode(errors="replace").splitlines():
                try:
                    self.steps.append(_Step(**json.loads(line)))
                except (ValueError, TypeError, RecursionError):
                    self.steps.clear()
        del self.steps[:-_MAX_CHANGES]

    def record(self, moves: Sequence[Move], text: str, batch: str = "", **undone: Any) -> None:
        """Record a change that was made; if that fails, it is undone.

        Args:
            moves: its renames.
            batch: changes of the same one that follow each other are undone together; "": it is
                undone alone.
            undone: the fields of `_Step` that undo the rest of it.
        """
        back = {end: TRASH if start.startswith(_INCOMING) else start for start, end in moves[::-1]}
        step = _Step(text, batch or secrets.token_hex(8), back, **undone)
        try:
            with (
                explain_write_errors("what undoes this change", self._file.parent),
                self._file.open("a", encoding="utf-8") as file,
            ):
                file.write(_line(step))
        except Exception:
            with suppress(OSError, ValueError):
                self._undo(step)
            raise
        self.steps.append(step)

    def write(self) -> None:
        """Write the file again, after changes were undone."""
        write_bytes(self._file, "".join(map(_line, self.steps)).encode())

    def forget(self, folder: Path) -> None:
        """Forget changes whose files are not in the trash of a folder any more, and all earlier
        changes.
        """
        lost = [
            number
            for number, step in enumerate(self.steps, 1)
            if any(_is_trash(path) and not (folder / path).exists() for path in step.moves)
        ]
        if lost:
            del self.steps[: lost[-1]]
            self.write()


class Project:
    """A folder with one sub-folder per class, made when its first class is added.

    Several threads can read it and add clips; they make other changes by `change`, one at a time.

    Args:
        folder: other programs may change it, too; the version then increases.

    Raises:
        ValueError: the folder is a file, or another server uses it; its notes are damaged, or it
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
        self.notes = Notes()
        self._lock = RLock()
        self._server = FileLock(self.store / "lock", timeout=0, thread_local=False)
        self._classes: dict[str, list[ProjectClip]] = {}
        self._clips: dict[str, ProjectClip] = {}
        # By path and inode of the file: these need not be looked at again.
        self._listed: dict[tuple[str, int], ProjectClip] = {}
        self._journal = _Journal(self.store / _CHANGES, self._undo)
        self._trashed: tuple[int, int] | None = None  # files and bytes in the trash, once asked for
        # Increases with each change, by the page or by other programs; higher than with the last
        # server.
        self.version = time.time_ns() // 1_000_000
        self.refresh()

    def counts(self) -> dict[str, int]:
        """The number of clips of each class, sorted by name."""
        return {name: len(clips) for name, clips in self._classes.items()}

    def clips(self, label: str) -> list[ProjectClip]:
        """The clips of a class, the last ones first."""
        return self._classes.get(label, [])

    def all_clips(self) -> list[ProjectClip]:
        """The clips of all classes."""
        return [clip for clips in self._classes.values() for clip in clips]

    def clip(self, clip_id: str) -> ProjectClip:
        """The clip with this id; a Problem 404 if there is none (any more)."""
        with self._lock:  # after a change that is being made
            if clip := self._clips.get(clip_id):
                return clip
        raise Problem(404, "no_clip")

    def change_text(self) -> str | None:
        """The description of the last change, which `undo` undoes; None if there is none."""
        return self._journal.steps[-1].text if self._journal.steps else None

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

    def colors(self) -> list[str]:
        """Names in the order of colors: a class keeps its own where it is renamed, and where it is
        deleted and comes back.
        """
        with self._lock:
            colors = self.notes.colors
            nothing = nothing_name([*self._classes])
            new = [name for name in self._classes if name not in (*colors, nothing)]
            if new:
                with suppress(OSError):  # of a full disk, as long as this server runs
                    self.remember(colors=[*colors, *new])
            return [*colors, *new]

    def trashed(self) -> tuple[int, int]:
        """The number of files in the trash, and their bytes."""
        with self._lock:
            if self._trashed is None:
                sizes = [
                    path.lstat().st_size
                    for path in (self.folder / TRASH).rglob("*")
                    if path.is_symlink() or not path.is_dir()
                ]
                self._trashed = len(sizes), sum(sizes)
            return self._trashed

    def empty_trash(self) -> None:
        """Delete the files in the trash for good. Changes that have put files there, and all
        earlier changes, cannot be undone any more.
        """
        with self._lock:
            shutil.rmtree(self.folder / TRASH, ignore_errors=True)
            self.version += 1
            self._forget_lost()

    def incoming(self) -> Path:
        """The folder for files that are to be added; files that remain in it are deleted at the
        next start.
        """
        with self._lock:
            self._open(make=True)
            (self.folder / _INCOMING).mkdir(exist_ok=True)
            return self.folder / _INCOMING

    @property
    def quiet(self) -> Path:
        """The folder of recordings in which none of the classes happens; it need not exist."""
        return self.store / "quiet"

    def add_quiet(self, file: Path, seconds: float) -> None:
        """Keep a recording in which none of the classes happens; the file is moved."""
        with self._lock:
            self._open(make=True)
            self.quiet.mkdir(exist_ok=True)
            file.replace(self.quiet / f"{secrets.token_hex(8)}-{seconds:.1f}.webm")

    @property
    def quiet_seconds(self) -> float:
        """The seconds of these recordings together."""
        return sum(float(file.stem.partition("-")[2]) for file in self.quiet.glob("*-*.webm"))

    def add_class(self, name: str) -> None:
        """Make an empty class; a Problem 422 for an invalid name, 409 if there is such a class."""
        name = self._new_class(name)
        self.incoming()
        (self.folder / name).mkdir()
        self._change(t("change.add_class", name=name), [], new_class=name)

    def rename_class(self, name: str, to: str) -> None:
        """Give a class another name; raises the errors of `add_class`, and a Problem 404 if there
        is no such class.
        """
        self._require_class(name)
        if (to := self._new_class(to, besides=name)) != name:
            self._change(t("change.rename_class", name=name, to=to), [(name, to)])

    def merge_class(self, name: str, to: str) -> None:
        """Move the clips of a class to another one, and remove it; a Problem 404 if one of them is
        not there, 409 if they are the same.
        """
        self._require_class(name)
        self._require_class(to)
        if name == to:
            raise Problem(409, "class_exists", name=name)
        sources: dict[str, str] = {}
        for clip in self.clips(name):
            sources[self._free(to, clip.name, sources)] = clip.relative
        moves = [(source, target) for target, source in sources.items()]
        moves.append((name, self._trash(name)))
        self._change(t("change.merge_class", name=name, to=to), moves)

    def delete_class(self, name: str) -> None:
        """Remove a class with all its clips; a Problem 404 if there is none."""
        self._require_class(name)
        self._change(t("change.delete_class", name=name), [(name, self._trash(name))])

    def check_new(self, file: Path) -> None:
        """Raise a Problem 409 if a clip of the project has the content of this file."""
        size = file.stat().st_size
        for clip in self.all_clips():
            if clip.size == size and clip.path.is_file() and filecmp.cmp(file, clip.path, False):
                raise Problem(409, "duplicate", name=clip.name, label=clip.label)

    def add_clip(
        self,
        label: str,
        file: Path,
        name: str,
        *,
        batch: str = "",
        recording: str = "",
        cut_from: str = "",
        times: Times | None = None,
    ) -> ProjectClip:
        """Add a clip; a class that does not exist is made, and a name that is taken gets a number.

        Args:
            file: in `incoming()`, from where it is moved.
            name: the intended name of the file.
            batch: changes of the same batch that follow each other are undone together.
            recording, cut_from, times: the recording that it belongs to, and the file and the
                times that it was cut from, if they are known.

        Raises:
            Problem: 409 if the project has the same clip.
        """
        with self._lock:
            self.refresh()
            label = class_name(label, self.counts())
            if times is None:
                self.check_new(file)
            else:  # other classes may happen at the same time
                same = [label, *(round(time, 3) for time in times)]
                for example in self.examples_of(cut_from):
                    if [example["clip"]["label"], *example["times"]] == same:
                        raise Problem(409, "duplicate", name=example["clip"]["name"], label=label)
            new_class = ""
            if label not in self.counts():
                label = new_class = self._new_class(label)
            target = self._free(label, name)
            text = t("change.add_clip", name=Path(target).name, label=label)
            moves = [(f"{_INCOMING}/{file.name}", target)]
            self._change(text, moves, new_class=new_class, batch=batch)
            if recording or cut_from:
                self._join(target, recording, cut_from, times=times)
            return self.clip(clip_id((self.folder / target).stat()))

    def keep_recording(self, file: Path, name: str) -> None:
        """Keep a copy of a recording under a name: states are learned from it."""
        target = self.folder / KEPT_RECORDINGS / name
        if not target.exists():
            copy = self.incoming() / secrets.token_hex(8)
            shutil.copyfile(file, copy)
            target.parent.mkdir(exist_ok=True)
            copy.replace(target)

    def examples_of(self, name: str) -> list[dict[str, Any]]:
        """The clips that were cut from a kept recording, with their times, as plain values."""
        with self._lock:
            clips = {clip.relative: clip.to_dict() for clip in self.all_clips()}
            examples = list[dict[str, Any]]()
            for row in read_recordings(self.folder / RECORDINGS):
                if row.get("cut_from") == name:
                    with suppress(KeyError, ValueError):  # another program may write the list
                        times = [parse_time(row["start"]), parse_time(row["end"])]
                        examples.append({"clip": clips[row["clip"]], "times": times})
            return examples

    def recordings(self) -> dict[str, str]:
        """The recordings of clips, by their paths relative to the folder; a Problem 422 if the list
        cannot be read.
        """
        return recordings_of(read_recordings(self.folder / RECORDINGS))

    def set_recording(self, clip_id: str, recording: str) -> None:
        """Store the recording that a clip belongs to.

        Args:
            recording: its name; "": unknown.

        Raises:
            Problem: 404 if there is no such clip, 422 for a recordings.csv that cannot be read.
        """
        clip = self.clip(clip_id)
        recording = recording.strip()[:MAX_RECORDING]
        before = self._join(clip.relative, recording)
        text = t("change.set_recording", name=clip.name, recording=recording or "–")
        self._journal.record([], text, recordings={clip.relative: before})
        self._changed()

    def _join(
        self, clip: str, recording: str, cut_from: str = "", *, times: Times | None = None
    ) -> str:
        """Make a clip part of a recording, whose clips are in the same split, or of none ("");
        returns the recording before. Rows without information are removed. Clips that are cut from
        one file are also in the same split.
        """
        rows = read_recordings(self.folder / RECORDINGS)
        own = [row for row in rows if row["clip"] == clip]  # several, if another program wrote them
        if not own:
            own = [{"clip": clip, "recording": ""}]
            rows += own
        before = own[0]["recording"]
        for row in own:
            row["recording"] = recording or clip
            row |= {"cut_from": cut_from} if cut_from else {}
            row |= {"start": f"{times[0]:.3f}", "end": f"{times[1]:.3f}"} if times else {}
        # others have other columns
        rows = [row for row in rows if row["clip"] != clip or not {*row.values()} <= {clip, ""}]
        _write_rows(self.folder / RECORDINGS, rows)
        return before

    def set_label(self, clip_id: str, label: str) -> None:
        """Give a clip the class that the user has chosen or confirmed; a Problem 404 if one of them
        is not there.
        """
        clip = self.clip(clip_id)
        self._require_class(label)
        name = clip.name
        if clip.label == label:
            self._change(t("change.confirm", name=name, label=label), [], confirmed=clip_id)
        else:
            text = t("change.move_clip", name=name, label=clip.label, to=label)
            self._change(text, [(clip.relative, self._free(label, name))], confirmed=clip_id)

    def delete_clip(self, clip_id: str) -> None:
        """Remove a clip; a Problem 404 if there is none."""
        clip = self.clip(clip_id)
        text = t("change.delete_clip", name=clip.name, label=clip.label)
        self._change(text, [(clip.relative, self._trash(clip.name))])

    def undo(self) -> None:
        """Undo the last change, or the changes of the last batch.

        Raises:
            Problem: 409 if there is none, if another program has removed its files (it is then
                forgotten), or if files of another program are in the way (it can be made once these
                are gone).
        """
        steps = self._journal.steps
        if not steps:
            raise Problem(409, "nothing_to_undo")
        batch = steps[-1].batch
        try:
            while steps and steps[-1].batch == batch:
                try:
                    self._undo(steps[-1])
                except FileNotFoundError as error:
                    steps.pop()
                    raise Problem(409, "cannot_undo", reason=error) from error
                steps.pop()
                self.version += 1
        finally:
            self._journal.write()
        self.refresh()

    def remember(self, **changes: Any) -> None:
        """Change and store fields of `Notes`."""
        with self._lock:
            notes = replace(self.notes, **changes)
            write_json(self.store / _NOTES, notes.to_dict())
            self.notes = notes

    def refresh(self) -> None:
        """List the class folders again, which other programs may have changed."""
        with self._lock:
            self._open()
            classes = {}
            ids: dict[str, ProjectClip] = {}
            listed: dict[tuple[str, int], ProjectClip] = {}
            for folder in sorted(self.folder.glob("*")):
                if folder.is_dir() and not is_hidden(folder.name):
                    clips = []
                    for place, clip in self._list(folder):
                        while clip.id in ids:  # a second link to a file
                            clip = replace(clip, id=f"{clip.id}-")
                        ids[clip.id] = clip
                        listed[place] = clip
                        clips.append(clip)
                    clips.sort(key=attrgetter("modified", "name"), reverse=True)
                    classes[folder.name] = clips
            self.version += classes != self._classes
            self._classes = classes
            self._listed = listed
            self._clips = ids

    def _list(self, folder: Path) -> Iterator[tuple[tuple[str, int], ProjectClip]]:
        """The clips of a class, by path and inode of their files."""
        for entry in os.scandir(folder):
            place = entry.path, entry.inode()
            path = Path(entry.path)
            if clip := self._listed.get(place):
                yield place, clip
            elif not is_hidden(entry.name) and is_video(path):
                facts = path.stat()
                yield (
                    place,
                    ProjectClip(
                        clip_id(facts),
                        folder.name,
                        entry.name,
                        path=path,
                        modified=facts.st_mtime_ns,
                        size=facts.st_size,
                    ),
                )

    def close(self) -> None:
        """Release the folder for other servers."""
        self._server.release()

    def _open(self, make: bool = False) -> None:
        """Lock the folder, read its notes and changes, and delete what has been in the trash for
        more than `TRASH_DAYS`. If the folder does not exist, nothing is written, unless `make`.
        """
        if self._server.is_locked or not (make or self.folder.is_dir()):
            return
        for path in (self.store, *self.store.glob("*")):
            if path.is_symlink():  # deleting in it would delete files elsewhere
                raise ValueError(
                    f"{printable(path)}: a link, expected a folder or file of the page; remove the link"
                )
        check_writable(self.store, "allow writing to it, or teach another folder (--clips)")
        try:
            self._server.acquire()
        except Timeout as error:
            remedy = "another `onlooker serve` uses this folder; use that one, or end it"
            raise ValueError(f"{printable(self.folder)}: {remedy}") from error
        try:
            if (file := self.store / _NOTES).exists():
                with reading(file, remedy=_DELETE_NOTES):
                    self.notes = Notes.from_dict(read_json(file))
            self._journal.read()
        except ValueError:
            self.close()
            raise
        oldest = str(date.today() - timedelta(TRASH_DAYS))
        days = (self.folder / TRASH).glob("????-??-??")
        for old in (self.folder / _INCOMING, *(day for day in days if day.name < oldest)):
            shutil.rmtree(old, ignore_errors=True)
        self._forget_lost()
        self._forget_recordings()

    def _forget_recordings(self) -> None:
        """Delete recordings that no clip was cut from, after more than `TRASH_DAYS`."""
        with suppress(Problem):  # a list that cannot be read is reported later
            names = {row.get("cut_from") for row in read_recordings(self.folder / RECORDINGS)}
            oldest = time.time() - 86400 * TRASH_DAYS
            for file in (self.folder / KEPT_RECORDINGS).glob("*"):
                if file.name not in names and file.stat().st_mtime < oldest:
                    file.unlink()

    def _change(
        self,
        text: str,
        moves: Sequence[Move],
        *,
        confirmed: str = "",
        new_class: str = "",
        batch: str = "",
    ) -> None:
        """Make a change.

        Args:
            confirmed: the clip whose label it confirms.
            new_class: the class that it has made.
            batch: see `_Journal.record`.
        """
        before = self.notes.confirmed
        new = "" if confirmed in before else confirmed
        rows = self._make(moves, [*before, new] if new else before)
        self._journal.record(moves, text, batch, confirmed=new, new_class=new_class, rows=rows)
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self.refresh()

    def _forget_lost(self) -> None:
        """Forget the size of the trash, and the changes that cannot be undone any more."""
        self._trashed = None
        self._journal.forget(self.folder)

    def _make(
        self, moves: Sequence[Move], confirmed: list[str], rows: Mapping[str, Row] = {}
    ) -> dict[str, Row]:
        """Make renames, and store the confirmed clips, the colors, and the list of recordings; if
        that fails, everything is as before.

        Args:
            rows: added to the list of recordings, by their positions.

        Returns:
            The rows of deleted clips, which are removed from the list of recordings.

        Raises:
            FileNotFoundError: a file to rename does not exist.
            Problem: 409 if another file has the new name.
        """
        for source, target in moves:
            if not (self.folder / source).exists():
                raise FileNotFoundError(f"{source} is not there any more")
            if _is_taken(self.folder / source, self.folder / target):
                raise Problem(409, "in_the_way", name=printable(target))
        before = self.notes
        colors = [_moved(name, moves) for name in before.colors]
        self._trashed = None
        try:
            _make_moves(self.folder, moves)
            if (confirmed, colors) != (before.confirmed, before.colors):
                self.remember(confirmed=confirmed, colors=colors)
            return _follow_moves(self.folder, moves, rows)
        except Exception:  # such as a file that another program has open, or a full disk
            with suppress(OSError, ValueError):
                _make_moves(self.folder, [(target, source) for source, target in reversed(moves)])
                self.remember(**vars(before))
            raise

    def _undo(self, step: _Step) -> None:
        """Undo a change, and remove the class that it has made, unless another program has put
        files there.
        """
        moves = [
            (start, self._trash(Path(start).name) if end == TRASH else end)
            for start, end in step.moves.items()
        ]
        confirmed = [clip for clip in self.notes.confirmed if clip != step.confirmed]
        self._make(moves, confirmed, step.rows)
        for clip, recording in step.recordings.items():
            self._join(clip, recording)
        if step.new_class:
            with suppress(OSError):
                (self.folder / step.new_class).rmdir()

    def _trash(self, name: str) -> str:
        """A free path in the trash, for a clip or class of this name."""
        return self._free(f"{TRASH}/{date.today()}", name)

    def _require_class(self, name: str) -> None:
        if name not in (names := self.counts()):
            raise Problem(404, "no_class", name=name[:60], classes=", ".join(names) or "–")

    def _new_class(self, name: str, besides: str | None = None) -> str:
        """A name that a new class can have; a Problem or ValueError if it is invalid, or taken."""
        classes = [label for label in self.counts() if label != besides]
        name = new_name(name, classes)
        require_one_nothing([*classes, name])
        if name != besides and _is_taken(self.folder / (besides or name), self.folder / name):
            raise Problem(409, "in_the_way", name=printable(name))
        return name

    def _free(self, label: str, name: str, taken: Container[str] = ()) -> str:
        """A free path for a clip in a class, with its name or a similar one."""
        numbered = (f"{label}/{file_name(name, number)}" for number in itertools.count(1))
        return next(
            path for path in numbered if path not in taken and not (self.folder / path).exists()
        )


def _is_taken(source: Path, target: Path) -> bool:
    """Whether a file other than the source has the name of the target. On Windows and macOS, a name
    that differs only in case is the source itself.
    """
    is_case = source != target and source.name.casefold() == target.name.casefold()
    return target.exists() and not (is_case and source.exists() and target.samefile(source))


def _make_moves(folder: Path, moves: Sequence[Move]) -> None:
    """Make the renames that have not been made.

    Raises:
        ValueError: a path is not within the folder, or behind a link that leads out of it.
    """
    for source, target in moves:
        start = folder / source
        end = folder / target
        if start.exists() and not _is_taken(start, end):
            _check_inside(folder, start)  # just before: an earlier rename may have moved a link
            _check_inside(folder, end)
            end.parent.mkdir(parents=True, exist_ok=True)
            start.rename(end)


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
        return [row for _, row in clip_folder.read_recordings(path).rows] if path.exists() else []
    except ClipError as error:
        raise Problem(422, "recordings_damaged", reason=error.found) from error


def _follow_moves(folder: Path, moves: Sequence[Move], rows: Mapping[str, Row]) -> dict[str, Row]:
    """Rewrite the list of recordings, if there is one.

    Args:
        moves: renames of clips and class folders.
        rows: of restored clips, by their positions.

    Returns:
        The rows of deleted clips, which are removed: a new clip with the name of a deleted one must
        not get its row.
    """
    present = list[Row]()
    deleted = dict[str, Row]()
    for position, row in enumerate(read_recordings(folder / RECORDINGS)):
        clip = _moved(row["clip"], moves)
        if _is_trash(clip):
            deleted[str(position)] = row
            continue
        is_own = row["recording"] == row["clip"]  # it is one by itself, also at its new place
        present.append({**row, "clip": clip, "recording": clip if is_own else row["recording"]})
    for place, row in rows.items():
        present.insert(int(place), row)
    _write_rows(folder / RECORDINGS, present)
    return deleted


def _moved(clip: str, moves: Iterable[Move]) -> str:
    """The path of a clip after renames of clips and class folders."""
    for source, target in moves:
        if f"{clip}/".startswith(f"{source}/"):
            clip = target + clip[len(source) :]
    return clip


def _is_trash(path: str) -> bool:
    return path.startswith(f"{TRASH}/")


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the list of recordings; without rows, remove it, because it could not be read."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    columns = [*dict.fromkeys(column for row in rows for column in row)]
    write_csv(path, [columns, *([row.get(column, "") for column in columns] for row in rows)])


def _line(step: _Step) -> str:
    return json.dumps(step.to_dict()) + "\n"


def clip_id(facts: os.stat_result) -> str:
    """The id of a clip, by its file: it stays the same when the file is moved."""
    return f"{facts.st_ino:x}-{facts.st_mtime_ns:x}"


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is ignored: as in training, and if the name is not
    valid UTF-8, which JSON requires.
    """
    return clip_folder.is_hidden(name) or re.search("[\ud800-\udfff]", name) is not None


def class_name(name: str, classes: Collection[str] = ()) -> str:
    """The class that a name refers to: one of exactly this name, else the name as new classes have
    it, in Unicode's form NFC with single spaces.
    """
    return name if name in classes else " ".join(unicodedata.normalize("NFC", name).split())


def _comparable(name: str) -> str:
    """The form of a name that is equal for names that look alike."""
    return unicodedata.normalize("NFKC", name).casefold()


def new_name(name: str, names: Collection[str]) -> str:
    """A name that a new class or model can have.

    Args:
        names: of the other classes or models.

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
    if _DEVICE.fullmatch(name):
        raise Problem(422, "name_device", name=name)
    if same := [other for other in names if _comparable(other) == _comparable(name)]:
        raise Problem(409, "class_exists", name=same[0])
    return name


def file_name(name: str, number: int = 1) -> str:
    """A file name for a clip, with a number from 2 on; characters that a file system may not allow
    are replaced.
    """
    clean = Path(re.sub(_UNSAFE, "_", name))
    if device := _DEVICE.fullmatch(clean.stem):
        clean = clean.with_stem(f"{device[1]}_{device[4] or ''}")
    stem = os.fsencode(clean.stem.strip(". "))[:_MAX_FILE].decode(errors="ignore") or "clip"
    return f"{stem}{f'-{number}' if number > 1 else ''}{clean.suffix}"

"""The folder of clips that the page edits: its classes and clips, and changes that can be undone, even after a restart.

Every change is a list of renames within the folder: deleted files go to `.onlooker/trash`, new ones come from there.
The journal lists the changes in the order in which they can be undone. It is written before and after the renames, so
that a change that was interrupted by the end of the server is completed at the next start.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

from onlooker.answer import nothing_class
from onlooker.data.folder import entries
from onlooker.data.lists import SPLIT_NAMES
from onlooker.files import explain_write_errors, printable, short_name
from onlooker.serve.journal import Change, Journal, Move
from onlooker.serve.problem import Problem
from onlooker.serve.recordings import follow_moves, listed_clips
from onlooker.serve.translation import t
from onlooker.video.reader import is_video

__all__ = ["Project", "ProjectClip"]

_MAX_NAME = 60  # characters of a class
_MAX_FILE = 100  # bytes of the name of a clip
# Characters that some systems do not allow in names, or that a terminal or page does not show unchanged.
_UNSAFE = r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u202a-\u202e\u2066-\u2069\ud800-\udfff]'


@dataclass(frozen=True)
class ProjectClip:
    """A clip of the project.

    Args:
        id: stays the same when the clip is moved.
        label: its class.
    """

    id: str
    label: str
    path: Path

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


class Project:
    """A folder with one sub-folder per class, made when its first class is added. All methods can be called from
    several threads.

    Args:
        folder: other programs may change it, too; the version then increases.

    Raises:
        ValueError: the folder is a file, or holds splits; its journal is damaged, or would change files elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: a file, expected the folder of clips; give another one with --clips")
        if any(path.name.lower() in SPLIT_NAMES and _holds_folders(path) for path in self._entries()):
            raise ValueError(f"{folder}: holds splits, expected one sub-folder per class; teach one of them (--clips)")
        self._lock = RLock()
        self._journal = Journal(self.folder, self._follow)
        self.store = self._journal.store  # the hidden folder in which the page keeps what belongs to the project
        self._seen = self._listing()
        self._classes: dict[str, list[ProjectClip]] = {}
        self._clips: dict[str, ProjectClip] = {}  # by their ids
        self._listed: object = None  # the state of the folder for which `_clips` was made

    @property
    def version(self) -> int:
        """How often the project has changed, by the page or by other programs."""
        with self._lock:
            if (listing := self._listing()) != self._seen:
                self._seen = listing
                self._journal.version += 1
            return self._journal.version

    @property
    def class_version(self) -> int:
        """The version since which no class was renamed, for `present_name`."""
        return self._journal.class_version

    @property
    def undo_text(self) -> str | None:
        """A description of the change that can be undone; None: there is none."""
        with self._lock:
            return self._journal.done[-1].text if self._journal.done else None

    @property
    def redo_text(self) -> str | None:
        """A description of the change that can be redone; None: there is none."""
        with self._lock:
            return self._journal.undone[-1].text if self._journal.undone else None

    @property
    def settled(self) -> frozenset[str]:
        """Ids of the clips whose labels the user has confirmed or corrected."""
        with self._lock:
            return self._journal.settled

    def summary(self) -> dict[str, Any]:
        """Name, path, number of clips and version, for JSON."""
        return {
            "name": printable(self.folder.name),
            "path": printable(self.folder),
            "clips": len(self.clips()),
            "version": self.version,
        }

    def classes(self) -> dict[str, list[ProjectClip]]:
        """The clips of each class, sorted by name."""
        with self._lock:
            self._list()
            return dict(self._classes)

    def clips(self) -> list[ProjectClip]:
        """The clips of all classes."""
        return [clip for clips in self.classes().values() for clip in clips]

    def _list(self) -> None:
        """List the clips again only if the folder has changed, because thousands of clips are requested one by one."""
        if self._listed != (state := (self.version, self._seen)):
            folders = [path for path in self._entries() if path.is_dir()]
            self._classes = {path.name: [self._clip(each) for each in _videos(path)] for path in folders}
            self._clips = {clip.id: clip for clips in self._classes.values() for clip in clips}
            self._listed = state

    def present_name(self, name: str, version: int) -> str:
        """The name that a class of that version has now; its old one if it was deleted."""
        return name if "/" in (now := self._journal.follow_class(name, version)) else now

    def clip(self, clip_id: str) -> ProjectClip:
        """The clip with this id; a Problem 404 if there is none (any more)."""
        with self._lock:
            self._list()
            if clip := self._clips.get(clip_id):
                return clip
        raise Problem(404, "no_clip")

    @contextmanager
    def at(self, version: int) -> Iterator[None]:
        """Prevent other changes of the project inside this context.

        Raises:
            Problem: 409 if the project has changed since the page saw this version.
        """
        with self._lock:
            if version != self.version:
                raise Problem(409, "changed", version=self.version, seen=version)
            yield

    def add_class(self, name: str) -> None:
        """Make an empty class.

        Raises:
            Problem: 422 for an invalid name, 409 if there is such a class.
        """
        with self._lock:
            name = self._new_class(name)
            self._do(Change(t("change.add_class", name=name), (self._empty(name),)))

    def rename_class(self, name: str, to: str) -> None:
        """Give a class another name; errors as for `add_class`, and a Problem 404 if there is no such class."""
        with self._lock:
            self._require_class(name)
            to = self._new_class(to, besides=name)
            if to != name:
                self._do(Change(t("change.rename_class", name=name, to=to), ((name, to),)))

    def delete_class(self, name: str) -> None:
        """Remove a class with all its clips; a Problem 404 if there is none."""
        with self._lock:
            self._require_class(name)
            self._do(Change(t("change.delete_class", name=name), ((name, self._journal.new_path()),)))

    def add_clip(self, label: str, file: Path, name: str, version: int | None = None, batch: str = "") -> ProjectClip:
        """Move a video file into a class, which is made if it does not exist; a name that is taken gets a number.

        Args:
            file: at any path, from which it is moved.
            name: the intended name of the clip, with the suffix of its format.
            version: the version of the project in which the class had this name; None: the present one.
            batch: clips of the same batch that are added one after the other are one change.

        Raises:
            Problem: 409 if the class was deleted since that version, or the clips of the batch were removed by undo.
        """
        with self._lock:
            if batch and any(change.batch == batch for change in self._journal.undone):
                raise Problem(409, "undone")
            label = self._follow_class(label, version)
            targets = [target for _, target in self._journal.batch(batch) if "/" in target]
            labels = {label, *(target.partition("/")[0] for target in targets)}
            into = label if len(labels) == 1 else t("change.classes", count=len(labels))
            several = t("change.add_clips", count=len(targets) + 1, label=into)
            text = several if targets else t("change.add_clip", name=name, label=label)
            return self.add_clips([(label, file, name)], text, batch=batch)[0]

    def add_clips(
        self, files: Iterable[tuple[str, Path, str]], text: str, settled: bool = False, batch: str = ""
    ) -> list[ProjectClip]:
        """Add several clips as one change, given class, file and name of each; see `add_clip`.

        Args:
            settled: the user has confirmed their labels.
        """
        with self._lock:
            moves: list[Move] = []
            classes = set(self._names())
            for label, file, name in files:
                label = _meant(label, classes)
                if label not in classes:
                    label = self._new_class(label)
                    moves.append(self._empty(label))
                    classes.add(label)
                target = self._free(label, name, {target for _, target in moves})
                source = self._journal.new_clip(Path(target).suffix)
                with explain_write_errors("this clip", self.folder, "free some space, and try again"):
                    shutil.move(file, self.folder / source)
                moves.append((source, target))
            ids = (self._journal.id_of(source) for source, target in moves if "/" in target)
            self._do(Change(text, tuple(moves), tuple(ids) if settled else (), batch))
            return [self._clip(self.folder / target) for _, target in moves if "/" in target]

    def move_clip(self, clip_id: str, label: str) -> None:
        """Give a clip another class; a Problem 404 if there is no such clip or class."""
        with self._lock:
            if (clip := self.clip(clip_id)).label != label:
                self._do(self._moving(clip, label))

    def settle(self, clip_id: str, label: str) -> None:
        """Confirm the label that the user has given to a clip; one change, which also moves the clip to this class."""
        with self._lock:
            clip = self.clip(clip_id)
            self._require_class(label)
            change = Change(t("change.confirm", name=clip.name, label=label), ())
            if clip.label != label:
                change = self._moving(clip, label)
            self._do(replace(change, settled=(clip_id,)))

    def delete_clip(self, clip_id: str) -> None:
        """Remove a clip; a Problem 404 if there is none."""
        with self._lock:
            clip = self.clip(clip_id)
            move = self._relative(clip.path), self._journal.new_path(clip.path.suffix)
            self._do(Change(t("change.delete_clip", name=clip.name, label=clip.label), (move,)))

    def undo(self) -> None:
        """Undo the last change; a Problem 409 if there is none, or if another program has changed its files."""
        with self._lock:
            self._replay(back=True)

    def redo(self) -> None:
        """Redo the change that was undone last; a Problem 409 as for `undo`."""
        with self._lock:
            self._replay(back=False)

    def hold(self) -> None:
        """Lock this folder for this server; a Problem 409 if another server uses it."""
        with self._lock:
            self._journal.hold()

    def close(self) -> None:
        """Release the folder for other servers."""
        self._journal.close()

    def _replay(self, back: bool) -> None:
        try:
            moves = self._journal.replay(back)
        except FileNotFoundError as error:
            raise Problem(409, "cannot_undo" if back else "cannot_redo", reason=error) from error
        if moves is None:
            raise Problem(409, "nothing_to_undo" if back else "nothing_to_redo")
        self._seen = self._listing()

    def _do(self, change: Change) -> None:
        self._journal.do(change)
        self._seen = self._listing()

    def _follow(self, moves: tuple[Move, ...]) -> None:
        folders = [path for path in self._entries() if path.is_dir()]
        follow_moves(self.folder, moves, lambda: [self._relative(clip) for each in folders for clip in _videos(each)])

    def _empty(self, label: str) -> Move:
        """The change that makes a class folder."""
        source = self._journal.new_path()
        (self.folder / source).mkdir(parents=True)
        return source, label

    def _moving(self, clip: ProjectClip, label: str) -> Change:
        self._require_class(label)
        move = self._relative(clip.path), self._free(label, clip.name)
        return Change(t("change.move_clip", name=clip.name, label=clip.label, to=label), (move,))

    def _clip(self, path: Path) -> ProjectClip:
        return ProjectClip(self._journal.id_of(self._relative(path)), path.parent.name, path)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _entries(self) -> list[Path]:
        return entries(self.folder) if self.folder.is_dir() else []

    def _names(self) -> list[str]:
        return [path.name for path in self._entries() if path.is_dir()]

    def _listing(self) -> str:
        """A digest of all clips, their times and sizes, to notice changes by other programs."""
        digest = hashlib.sha256()
        for folder in (path for path in self._entries() if path.is_dir()):
            digest.update(os.fsencode(folder.name) + b"/")
            with suppress(OSError):  # removed meanwhile: the next listing will notice it
                for entry in entries(folder):
                    stat = entry.stat() if entry.exists() else entry.lstat()  # a link to nothing
                    digest.update(os.fsencode(entry.name) + f"/{stat.st_size} {stat.st_mtime_ns}/".encode())
        return digest.hexdigest()

    def _follow_class(self, name: str, version: int | None) -> str:
        """The present name of the class that had this name at a version."""
        name = _meant(name, self._names())
        now = name if version is None else self._journal.follow_class(name, version)
        if "/" in now and now != name:
            raise Problem(409, "class_gone", name=name[:_MAX_NAME])
        return now

    def _require_class(self, name: str) -> None:
        if name not in self._names():
            raise Problem(404, "no_class", name=name[:_MAX_NAME], classes=", ".join(self._names()) or "–")

    def _new_class(self, name: str, besides: str | None = None) -> str:
        """A name that a new class can have."""
        name = _class_name(name)
        others = [other for other in self._names() if other != besides]
        if same := [other for other in others if other.casefold() == name.casefold()]:
            raise Problem(409, "class_exists", name=same[0])
        try:
            nothing_class([*others, name])
        except ValueError as error:
            raise Problem(409, "nothing_exists", reason=error) from error
        if (self.folder / name).exists():
            raise Problem(409, "file_exists", name=name)
        return name

    def _free(self, label: str, name: str, taken: Iterable[str] = ()) -> str:
        """A free path for a clip in a class, with its name or a similar one."""
        name = _file_name(name)
        stem, suffix, number, chosen = Path(name).stem, Path(name).suffix, 1, f"{label}/{name}"
        taken = {*taken, *listed_clips(self.folder)}  # a new clip must not get the recording of a deleted one
        while chosen in taken or (self.folder / chosen).exists():
            number += 1
            chosen = f"{label}/{stem}-{number}{suffix}"
        return chosen


def _holds_folders(path: Path) -> bool:
    return path.is_dir() and any(each.is_dir() for each in entries(path)) and not _videos(path)


def _videos(folder: Path) -> list[Path]:
    return [path for path in entries(folder) if is_video(path)]


def _meant(name: str, classes: Collection[str] = ()) -> str:
    """The class that a name means: of exactly this name, or with single spaces, as new classes have them."""
    return name if name in classes else " ".join(name.split())


def _class_name(name: str) -> str:
    """A folder name that is valid on every system.

    Raises:
        Problem: 422 if the name is invalid.
    """
    name = _meant(name)
    if not 0 < len(name) <= _MAX_NAME or len(os.fsencode(name)) > 200:
        raise Problem(422, "name_length", count=len(name), most=_MAX_NAME)
    if bad := re.search(_UNSAFE, name):
        raise Problem(422, "name_character", character=ascii(bad[0]))
    if name.startswith((".", "__MACOSX")) or name.endswith("."):
        raise Problem(422, "name_dot")
    return name


def _file_name(name: str) -> str:
    """A file name for a clip; characters that a file system may not allow are replaced."""
    clean = re.sub(_UNSAFE, "_", name)
    stem = short_name(Path(clean).stem.strip(". "), _MAX_FILE)
    return (stem or "clip") + Path(clean).suffix

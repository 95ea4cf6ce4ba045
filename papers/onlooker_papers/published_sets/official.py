"""Official splits of published data sets: the code that all their readers share."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onlooker.base.records import Clip, ClipError
from onlooker.data.split import Split
from onlooker.data.tables import read_text
from onlooker.video.reader import SUFFIXES
from onlooker_papers.apportion import apportion

__all__ = ["PublishedSet"]

_SHOWN = 5  # names in a message; the rest is in the notes of the error


# The folder of the clips, and those that are listed for training and for test. A recording is named
# `<class>/<source>` where a source video has clips of several classes.
Listing = tuple[Path, list[Clip], list[Clip]]


@dataclass(frozen=True)
class PublishedSet:
    """A published data set with three official splits.

    Args:
        read: reads a listing, given the folder of the set, that of its lists, the number of the
            split, the classes (all if empty), and whether the published numbers of classes and
            clips are required.
    """

    title: str
    read: Callable[[Path, Path, int, Sequence[str], bool], Listing]

    def split(
        self,
        root: Path,
        annotations: Path | None = None,
        number: int = 1,
        classes: Sequence[str] = (),
        complete: bool = True,
    ) -> Split:
        """An official split, with a tenth of its training clips used for validation, the same in
        every run.

        Clips are found regardless of suffix and case, because copies are often encoded again.

        Args:
            root: the folder of the data set, in the layout that its reader describes.
            annotations: the folder of its official lists; by default `root`.
            classes: by default all.
            complete: require the published numbers of classes and clips; a smaller copy in the same
                layout needs False.

        Raises:
            ClipError: what is missing, a duplicate, or not as published.
            ValueError: no such split or class.
        """
        if number not in (1, 2, 3):
            raise ValueError(f"split is {number}, {self.title} has 1, 2 and 3")
        lists = annotations or root
        folder, *listed = self.read(root, lists, number, classes, complete)
        if not folder.is_dir():
            raise ClipError(
                folder, "no such folder", f"expected the class folders of {self.title} there"
            )
        files = ClipFiles(folder)
        training, test = (
            [replace(clip, path=files.at(clip.path)) for clip in clips] for clips in listed
        )
        _check_present(training + test, folder, lists)
        groups = [str(clip.recording).split("/")[-1] for clip in training]
        parts = apportion(training, groups, {"training": 0.9, "validation": 0.1})
        return Split(**parts, test=tuple(test))


def read_entries(
    path: Path, pattern: re.Pattern[str], form: str
) -> dict[str, tuple[int, re.Match[str]]]:
    """The lines of an official list, each with its number, by the group `key` of a pattern that
    describes them.

    Raises:
        ClipError: no such file, a line of another form (`form` is the expected one, in words), or a
            duplicate key.
    """
    entries: dict[str, tuple[int, re.Match[str]]] = {}
    text = read_text(path, "copy the official lists there, or name their folder")
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line:
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise ClipError(path, f"line {number} is {line!r}", f"expected {form}")
        key = match["key"]
        if key in entries:
            problem = f"line {number} is a duplicate of line {entries[key][0]}: {key}"
            raise ClipError(path, problem, "take the official file")
        entries[key] = number, match
    return entries


def inner_folder(folder: Path, name: str) -> Path:
    """The folder of this name in `folder`; `folder` itself if there is none, as in some copies of a
    data set.
    """
    return folder / name if (folder / name).is_dir() else folder


def _check_present(clips: Sequence[Clip], folder: Path, lists: Path) -> None:
    missing = [clip for clip in clips if not clip.path.exists()]
    if not missing:
        return
    what = f"{len(missing)} of the {len(clips)} clips"
    remedy = "unpack them, or leave their classes out"
    names = ", ".join(clip.path.relative_to(folder).as_posix() for clip in missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    error = ClipError(folder, f"{what} that {lists} names are missing: {names}{more}", remedy)
    error.add_note("missing:\n" + "\n".join(str(clip.path) for clip in missing))
    raise error


class ClipFiles:
    """The videos below a folder, found by name regardless of suffix and case; an exact match comes
    first.

    Copies of a data set are often encoded again, in other file formats than its lists name.
    """

    def __init__(self, root: Path) -> None:
        self._files: dict[str, list[Path]] = {}
        for folder, folders, names in os.walk(root, followlinks=True):
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and name != "__MACOSX"
            )
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES and not name.startswith("."):
                    self._files.setdefault(stem.lower(), []).append(Path(folder, name))

    def at(self, path: Path) -> Path:
        """The video at this path, or one that differs in suffix or case; the path itself if there
        is none.
        """
        paths = [
            each
            for each in self._files.get(path.stem.lower(), [])
            if _folder_of(each) == _folder_of(path)
        ]
        return path if path in paths or not paths else paths[0]


def _folder_of(path: Path) -> str:
    return path.parent.name.lower()

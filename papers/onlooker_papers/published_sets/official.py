"""Official splits of published data sets: the code that all their readers share."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from onlooker import Clip, ClipError
from onlooker.data.split import Split
from onlooker.video.reader import SUFFIXES
from onlooker_papers.apportion import apportion

__all__ = ["PublishedSet"]

# The folder of the clips, and those that are listed for training and for test. A recording is named
# `<class>/<source>` where a source video has clips of several classes.
Listing = tuple[Path, list[Clip], list[Clip]]


class Reader(Protocol):
    """Reads the listing of a set."""

    def __call__(self, root: Path, lists: Path, *, split: int, classes: Sequence[str]) -> Listing:
        """The clips of a split, given the folder of the set and that of its lists.

        Args:
            classes: all if empty.
        """


@dataclass(frozen=True)
class PublishedSet:
    """A published data set with three official splits.

    Args:
        counts: published numbers of training and test clips of each split.
        read: reads a listing.
    """

    title: str
    counts: Mapping[int, tuple[int, int]]
    read: Reader

    def split(
        self,
        root: Path,
        *,
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
            complete: if all classes are used, require the published numbers of clips; a smaller
                copy in the same layout needs False.

        Raises:
            ClipError: what is missing, or not as published.
            ValueError: no such split or class.
        """
        if number not in self.counts:
            raise ValueError(f"split is {number}, {self.title} has 1, 2 and 3")
        lists = annotations or root
        folder, *listed = self.read(root, lists, split=number, classes=classes)
        counts = tuple(map(len, listed))
        if complete and not classes and counts != self.counts[number]:
            found = "split {}: {} training and {} test clips".format(number, *counts)
            expected = "{} has {} and {}; take the official files"
            raise ClipError(lists, found, expected.format(self.title, *self.counts[number]))
        find = clip_files(folder)
        training, test = (
            [replace(clip, path=find(clip.path)) for clip in clips] for clips in listed
        )
        every = training + test
        if missing := [clip.path for clip in every if not clip.path.exists()]:
            found = f"{len(missing)} of the {len(every)} clips that {lists} names are missing, such as {missing[0]}"
            raise ClipError(folder, found, "unpack them, or leave their classes out")
        groups = [str(clip.recording).split("/")[-1] for clip in training]
        parts = apportion(training, groups, {"training": 0.9, "validation": 0.1})
        return Split(**parts, test=tuple(test))


def read_entries(path: Path, pattern: re.Pattern[str], form: str) -> dict[str, re.Match[str]]:
    """The lines of an official list by the group `key` of a pattern that describes them.

    Raises:
        ClipError: no such file, or a line of another form (`form` is the expected one, in words).
    """
    entries: dict[str, re.Match[str]] = {}
    text = path.read_text("utf-8") if path.is_file() else ""
    if not text.strip():
        problem = "an empty file" if path.is_file() else "no such file"
        raise ClipError(path, problem, "copy the official lists there, or name their folder")
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line:
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise ClipError(path, f"line {number} is {line!r}", f"expected {form}")
        entries[match["key"]] = match
    return entries


def inner_folder(folder: Path, *names: str) -> Path:
    """The first folder of these names in `folder`; `folder` itself if there is none, as in some
    copies of a data set.
    """
    inner = [folder / name for name in names if (folder / name).is_dir()]
    return inner[0] if inner else folder


def clip_files(root: Path) -> Callable[[Path], Path]:
    """A function from a listed path to the video below `root` of this folder and name, regardless
    of suffix and case, an exact match first; the path itself if there is none.
    """
    files: dict[tuple[str, str], list[Path]] = {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                files.setdefault(_place(path), []).append(path)

    def find(path: Path) -> Path:
        paths = files.get(_place(path), [])
        return path if path in paths or not paths else paths[0]

    return find


def _place(path: Path) -> tuple[str, str]:
    return path.parent.name.lower(), path.stem.lower()

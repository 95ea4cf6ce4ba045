"""Clips and their splits, from a folder or a list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from onlooker.base.answer import NOTHING, nothing_class, perhaps_nothing
from onlooker.base.config import SetConfig, names_of
from onlooker.base.records import Clip, ClipError
from onlooker.base.text import composed
from onlooker.data.folder import read_folder
from onlooker.data.lists import check_classes, fill_gaps, read_list
from onlooker.data.split import (
    MIN_RECORDINGS,
    ClipSet,
    Splits,
    count_groups,
    divide_recordings,
    make_splits,
)
from onlooker.video.reader import is_video

__all__ = ["ClipSet", "read_set"]


def read_set(
    path: Path, *, requested: SetConfig | None = None, classes: int = 2, fills: bool = False
) -> ClipSet:
    """The clips at `path`.

    Args:
        path: a folder with one sub-folder per class; one with `train/`, `test/` and optionally
            `val/`, each with one sub-folder per class; or a CSV list (`lists.read_list`).
        requested: the settings of the set: which classes and intervals.
        classes: the smallest number of classes in a folder.
        fills: whether the gaps between the times of a list become examples of nothing, unless
            `requested` says otherwise, or there are gaps in fewer recordings than splits need.

    Raises:
        ClipError: no clips there.
        ValueError: no such class.
    """
    requested = requested or SetConfig()
    if path.is_file() and is_video(path):
        raise ClipError(
            path,
            "one video",
            "give a folder with one sub-folder per class, or a list of clips (CSV)",
        )
    if path.is_file():
        clips = read_list(path, requested)
    elif requested.subject or requested.tier:
        option = "--subject" if requested.subject else "--tier"
        raise ClipError(path, "a folder", f"leave out {option}, which is for lists")
    else:
        clips = read_folder(path, classes)
    parts = clips.parts
    if fills and requested.fill is None and path.is_file():
        labels = sorted({clip.label for clip in clips.clips})
        if nothing_class(labels) is None and not perhaps_nothing(labels):
            filled = fill_gaps(parts, NOTHING, clips.recordings)
            if _can_be_divided(filled, NOTHING):
                parts = filled
                requested = replace(requested, fill=NOTHING)
    elif requested.fill:
        parts = fill_gaps(parts, requested.fill, clips.recordings)
        if parts == clips.parts:
            remedy = "give a list with the columns start and end, or leave out --fill"
            raise ClipError(path, f"no time between intervals for class {requested.fill}", remedy)
    if requested.divide and "" in parts:
        parts = {**parts, "": divide_recordings(parts[""])}
    if names := names_of(requested.classes):
        all_labels = sorted({clip.label for part in parts.values() for clip in part})
        class_names = check_classes(names, all_labels, str(path))
        class_names += (composed(requested.fill or ""),)
        parts = {
            name: [clip for clip in part if clip.label in class_names]
            for name, part in parts.items()
        }
    return replace(clips, parts=parts, requested=requested)


def _can_be_divided(parts: Mapping[str, Sequence[Clip]], label: str) -> bool:
    """Whether a class is in as many recordings as splits need, or in as many as another class."""
    counts, _ = count_groups(parts.get("", parts.get("training", [])))
    other_counts = [count for other, count in counts.items() if other != label]
    return counts[label] >= min([MIN_RECORDINGS, *other_counts])


def set_name(path: Path) -> str:
    """The name of a folder or list, without suffix."""
    return path.resolve().stem if path.is_file() else path.resolve().name


def root_of(path: Path) -> Path:
    """The folder that paths of clips are relative to: `path` itself, or the folder of a list."""
    return path.parent if path.is_file() else path


def requested_splits(clips: ClipSet, folds: int | None = 0) -> Splits:
    """The given split, or a function that makes splits of the clips that can be read
    (`make_splits`).

    Raises:
        ValueError: `folds` where splits are given.
        ClipError: as `ClipSet.split`.
    """
    if (split := clips.split) is None:
        return partial(make_splits, folds=folds)
    if folds:
        raise ValueError(f"{clips.path} has splits; leave out --folds")
    return {"split": split}


def default_run(clips: Path, name: str) -> Path:
    """The folder of a run on these clips, unless another one is named."""
    return Path("runs") / f"{set_name(clips)}-{folder_name(name)}"


def folder_name(name: str) -> str:
    """A model's name as part of a path, also on systems whose file names have no colon."""
    return re.sub(r"[^\w.=+-]", "-", name)

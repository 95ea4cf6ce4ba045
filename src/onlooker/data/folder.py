"""A folder of clips, one sub-folder per class, and recordings.csv, which says which clips belong together."""

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from onlooker.data.lists import SPLIT_NAMES, Parts
from onlooker.data.tables import read_table
from onlooker.structures import Clip, ClipError
from onlooker.video.reader import SUFFIXES, is_video

__all__ = ["RECORDINGS", "find_clips", "find_parts"]

RECORDINGS = "recordings.csv"


def find_clips(folder: Path, classes: int = 2) -> list[Clip]:
    """All clips of a folder, sorted; those of `find_parts`, whatever their split."""
    return [clip for part in find_parts(folder, classes).values() for clip in part]


def find_parts(folder: Path, classes: int = 2) -> Parts:
    """The clips of a folder with one sub-folder per class; or with train/, val/ and test/, each with one per class.

    A clip is a video file or a folder with an image sequence. Hidden entries, `__MACOSX` and files of other kinds are
    skipped. Clips may differ in size and length.

    If `recordings.csv` (columns clip, recording) is in the folder, each clip carries its recording.

    Returns:
        The clips by split, sorted; all under "" if there is no split.

    Raises:
        ClipError: no such folder, a class folder without clips, fewer than `classes` class folders, the folder of one
            class, or a recordings.csv that does not name every clip.
    """
    if not folder.is_dir():
        state = "a file, not a folder" if folder.exists() else "no such folder"
        raise ClipError(folder, state, "give a folder with one sub-folder per class")
    parts = {name: _clips_by_class(each, classes) for name, each in (_split_folders(folder) or {"": folder}).items()}
    if not (folder / RECORDINGS).exists():
        return parts
    recordings = {row["clip"]: row["recording"] for _, row in read_table(folder / RECORDINGS, ("clip", "recording"))}
    names = {clip.path: clip.path.relative_to(folder).as_posix() for clips in parts.values() for clip in clips}
    if missing := [name for name in names.values() if name not in recordings]:
        problem = f"{len(missing)} of {len(names)} clips are not listed, such as {missing[0]}"
        raise ClipError(folder / RECORDINGS, problem, "add a row for each, or remove the file")
    return {
        split: [replace(clip, recording=recordings[names[clip.path]]) for clip in clips]
        for split, clips in parts.items()
    }


def ignored_files(folder: Path, clips: Collection[Path]) -> list[Path]:
    """The files of a folder that are no part of its clips, without hidden ones; those of classes not asked for are."""
    clips, depths, ignored = set(clips), {len(clip.parts) for clip in clips}, list[Path]()
    for root, folders, names in os.walk(folder):
        inside = {name: Path(root, name) for name in sorted([*folders, *names])}
        left = [name for name, path in inside.items() if path not in clips and not _is_hidden(path)]
        folders[:] = [name for name in left if name in folders]
        ignored += [inside[name] for name in left if name in names]
    return [
        path
        for path in ignored
        if path != folder / RECORDINGS and not (path.suffix.lower() in SUFFIXES and len(path.parts) in depths)
    ]


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders train/ and val/ or test/, by split; none if these are class folders, which hold clips themselves."""
    names = {SPLIT_NAMES[path.name.lower()]: path for path in entries(folder) if path.name.lower() in SPLIT_NAMES}
    holds_clips = any(is_video(path) for each in names.values() if each.is_dir() for path in entries(each))
    return names if "training" in names and len(names) > 1 and not holds_clips else {}


def entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without hidden entries and without what macOS adds to archives."""
    return sorted(path for path in folder.iterdir() if not _is_hidden(path))


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"


def _clips_by_class(folder: Path, classes: int) -> list[Clip]:
    labels = [path for path in entries(folder) if path.is_dir()]
    clips = {label: [Clip(path, label.name) for path in entries(label) if is_video(path)] for label in labels}
    loose = [path for path in entries(folder) if is_video(path)]
    if loose and not any(clips.values()):
        problem = f"holds {_count(len(loose), 'clip')} itself, like the folder of one class"
        remedy = f"give the folder that holds the class folders ({folder.resolve().parent}?)"
        raise ClipError(folder, problem, remedy)
    if len(labels) < classes:
        expected = f"expected at least {classes}, each with the clips of one class"
        raise ClipError(folder, _count(len(labels), "sub-folder"), expected)
    if empty := [label for label in labels if not clips[label]]:
        more = f", and none in {', '.join(label.name for label in empty[1:])}" if len(empty) > 1 else ""
        remedy = "a class folder holds video files, or one folder per image sequence; move it out if it is not a class"
        raise ClipError(empty[0], f"no clips{more}", remedy)
    return [clip for of_class in clips.values() for clip in of_class]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"

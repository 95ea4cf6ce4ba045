"""A folder of clips, one sub-folder per class, and recordings.csv, which says which clips belong together."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onlooker.structures import Clip, ClipError
from onlooker.video.reader import is_video

RECORDINGS = "recordings.csv"


def find_clips(folder: Path, classes: int = 2) -> list[Clip]:
    """All clips of a folder with one sub-folder per class, sorted.

    A clip is a video file or a folder with an image sequence. Hidden entries, `__MACOSX` and files of other kinds are
    skipped. Clips may differ in size and length.

    If `recordings.csv` (columns clip, recording) is next to the class folders, each clip carries its recording.

    Raises:
        ClipError: no such folder, a class folder without clips, fewer than `classes` class folders, the folder of one
            class, or a recordings.csv that does not name every clip.
    """
    if not folder.exists():
        raise ClipError(folder, "no such folder", "give a folder with one sub-folder per class")
    if not folder.is_dir():
        raise ClipError(folder, "a file, not a folder", "give a folder with one sub-folder per class")
    clips = _clips_by_class(folder, classes)
    return _with_recordings(folder, clips) if (folder / RECORDINGS).exists() else clips


def entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without hidden entries and without what macOS adds to archives."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX")


def _clips_by_class(folder: Path, classes: int) -> list[Clip]:
    inside = entries(folder)
    labels = [path for path in inside if path.is_dir()]
    loose = [path for path in inside if is_video(path)]
    if loose and not any(is_video(path) for label in labels for path in entries(label)):
        found = f"holds {_count(len(loose), 'clip')} itself, like the folder of one class"
        remedy = f"give the folder that holds the class folders ({folder.resolve().parent}?)"
        raise ClipError(folder, found, remedy)
    if len(labels) < classes:
        expected = f"expected at least {classes}, each with the clips of one class"
        raise ClipError(folder, _count(len(labels), "sub-folder"), expected)
    return [clip for label in labels for clip in _clips_of_class(label)]


def _clips_of_class(folder: Path) -> list[Clip]:
    paths = [path for path in entries(folder) if is_video(path)]
    if not paths:
        found = "an image sequence but no clips" if is_video(folder) else "no clips"
        remedy = "a class folder holds video files, or one folder per image sequence; move it out if it is not a class"
        raise ClipError(folder, found, remedy)
    return [Clip(path, folder.name) for path in paths]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _with_recordings(folder: Path, clips: Sequence[Clip]) -> list[Clip]:
    path = folder / RECORDINGS
    recordings = _read_recordings(path)
    names = [clip.path.relative_to(folder).as_posix() for clip in clips]
    if missing := [name for name in names if name not in recordings]:
        found = f"{len(missing)} of {len(clips)} clips are not listed, such as {missing[0]}"
        raise ClipError(path, found, "add a row for each, or remove the file")
    return [replace(clip, recording=recordings[name]) for clip, name in zip(clips, names, strict=True)]


def _read_recordings(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"clip", "recording"} <= set(rows.fieldnames or ()):
                raise ClipError(path, f"columns {', '.join(rows.fieldnames or ())}", "expected clip and recording")
            return {row["clip"]: row["recording"] for row in rows if row["recording"]}
    except UnicodeDecodeError as error:
        raise ClipError(path, f"not UTF-8 ({error.reason})", "save it as CSV in UTF-8") from error

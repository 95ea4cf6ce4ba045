"""Lists of clips: a CSV file with path, label, split and recording; a clip may be an interval of a long recording."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from onlooker.data.tables import BORIS, Table, read_table
from onlooker.files import composed, read_bytes
from onlooker.intervals import WHOLE, file_of, split_interval, with_interval
from onlooker.settings import suggestion
from onlooker.structures import Clip, ClipError
from onlooker.video.reader import frame_bounds

__all__ = ["check_classes"]

# What a list or a folder may call a split.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

Parts = dict[str, list[Clip]]
_TIMES, _FRAMES = ("start", "end"), ("start_frame", "end_frame")
_ANNOTATIONS = (".json", ".eaf", ".vtt", ".boris")  # what `onlooker convert` reads, besides CSV


def read_list(path: Path) -> tuple[Parts, list[ClipError], list[str]]:
    """The clips of a CSV file: `path,label` and optionally `start`, `end`, `split` and `recording`.

    Paths are relative to the file; if none of them exists, to the working directory, or to the parent
    of the file's folder. `split` is training, validation or test (or train, val). With `start` and
    `end` (seconds, mm:ss or hh:mm:ss), a clip is this part of a file, whose clips are of one recording
    unless `recording` names several. With `start_frame` and `end_frame`, counted from 0, it begins when
    the first is shown, and ends when the second is. Columns may have other usual names (`read_table`).

    Returns:
        The clips by split, all under "" if there is no split; an error for each clip that does not
        exist; and how the file was understood, a sentence each.

    Raises:
        ClipError: as `read_table`; or a file of an annotation program, an unknown split, a path in two
            rows, a recording in two splits, wrong times, intervals that overlap and have different
            labels, or a class without clips, for which the model would silently lack an output.
    """
    if path.suffix.lower() in _ANNOTATIONS or (path.is_file() and BORIS in read_bytes(path)[:100]):
        remedy = f"run `onlooker convert {path} list.csv`, and give list.csv"
        raise ClipError(path, "labels of an annotation program, not a list of clips", remedy)
    table = read_table(path, ("path", "label"), ("split", "recording", *_TIMES, *_FRAMES))
    folder, notes = _understand(path, table)
    lines: dict[Path, int] = {}
    labels: list[str] = []
    split_of: dict[str, tuple[str, int]] = {}  # of recordings
    missing: list[ClipError] = []
    parts: Parts = {}
    for number, row in table:
        file = _in_folder(folder, row["path"])
        if table.names.keys() & set(_TIMES):
            file = _with_times(path, number, row, file, table)
        elif row.get("start_frame") or row.get("end_frame"):
            file = _with_frames(path, number, row, file)
        split = row.get("split", "").lower()
        if split and split not in SPLIT_NAMES:
            raise ClipError(path, f"line {number}: split {row['split']!r}", f"expected one of {', '.join(SPLIT_NAMES)}")
        if file in lines:
            duplicate = f"line {number} is a duplicate of line {lines[file]}: {file}"
            raise ClipError(path, duplicate, "keep one of them")
        lines[file] = number
        labels.append(row["label"])
        whole, times = split_interval(file)
        if os.path.exists(whole):
            of_file = None if times is None else Path(os.path.relpath(whole, path.parent)).as_posix()
            clip = Clip(file, row["label"], row.get("recording") or of_file)
            split = SPLIT_NAMES.get(split, "")
            first = split_of.setdefault(clip.recording or str(file), (split, number))
            if split != first[0]:
                problem = (
                    f"line {number}: recording {clip.recording} is in {split}, and in {first[0]} in line {first[1]}"
                )
                raise ClipError(path, problem, "splits must not share it; correct the split, or the column recording")
            parts.setdefault(split, []).append(clip)
        else:
            problem = f"not found (line {number} of {path}, class {row['label']})"
            missing.append(ClipError(file, problem, "correct its path, which is relative to the list"))
    _check_overlaps(path, lines, labels)
    present = {clip.label for part in parts.values() for clip in part}
    if not present:
        problem = f"none of its {len(table.rows)} clips exists, such as {missing[0].path}"
        raise ClipError(path, problem, "paths are relative to the list; correct them, or move it")
    if lost := [label for label in labels if label not in present]:
        problem = f"none of the {labels.count(lost[0])} clips of class {lost[0]} exists"
        raise ClipError(path, problem, "add some, or remove the class from the list")
    return parts, missing, notes


def _understand(path: Path, table: Table) -> tuple[Path, list[str]]:
    """The folder that the paths of a list are relative to, and how the list was understood, a sentence each.

    Raises:
        ClipError: a column of times in an unknown unit.
    """
    in_seconds = bool(table.names.keys() & set(_TIMES))
    unknown = [name for name in table.header if re.match("(?i)start|begin", name)]
    if unknown and not table.names.keys() & {*_TIMES, *_FRAMES}:
        remedy = "give start and end in seconds, or start_frame and end_frame; or remove the column"
        raise ClipError(path, f"the unit of column {unknown[0]} is not known", remedy)
    notes = table.notes(unused=_FRAMES if in_seconds else ())
    if not in_seconds and table.names.keys() & set(_FRAMES):
        notes.append("start_frame and end_frame count from 0, and a clip ends when its end_frame is shown")
    if all(row["label"].isdecimal() for _, row in table):
        notes.append("labels are numbers, which become the names of the classes")
    names = [row["path"] for _, row in table]
    for folder in (path.parent, Path.cwd(), path.absolute().parent.parent):
        if any(os.path.exists(file_of(_in_folder(folder, name))) for name in names):
            break
    else:
        folder = path.parent
    if folder != path.parent:
        notes.append(f"paths are relative to {folder}")
    return folder, notes


def _in_folder(folder: Path, name: str) -> Path:
    """A file that a list names, maybe with the backslashes of Windows."""
    if "\\" in name and not os.path.exists(file_of(folder / name)):
        name = name.replace("\\", "/")
    return folder / name


def _with_times(path: Path, number: int, row: Mapping[str, str], file: Path, table: Table) -> Path:
    """The path of the clip in a row, as an interval if the row has times."""
    texts = [row.get(name, "") for name in _TIMES]
    if not any(texts):
        return file
    try:
        start, end = map(table.time, texts)
    except ValueError as error:
        given = f"line {number}: start {texts[0]!r}, end {texts[1]!r}"
        expected = "expected both in seconds, mm:ss or hh:mm:ss; or neither: the whole file"
        raise ClipError(path, given, expected) from error
    if start >= end:
        problem = f"line {number}: start {texts[0]}, end {texts[1]}"
        raise ClipError(path, problem, "expected a start before the end")
    return with_interval(file, start, end)


def _with_frames(path: Path, number: int, row: Mapping[str, str], file: Path) -> Path:
    """The path of the clip between two frames of a file, from when the first to when the second is shown.

    Those of a file that cannot be read are taken for seconds: its clips are left out when they are read.
    """
    texts = [row.get(name, "") for name in _FRAMES]
    given = f"line {number}: start_frame {texts[0]!r}, end_frame {texts[1]!r}"
    if not all(text.isdecimal() for text in texts) or int(texts[0]) >= int(texts[1]):
        raise ClipError(path, given, "expected two frames, counted from 0, the first before the second")
    start, end = map(int, texts)
    try:
        bounds = frame_bounds(file)
    except ClipError:
        return with_interval(file, start, end)
    if end >= len(bounds):
        raise ClipError(path, f"{given} of {len(bounds) - 1} frames", "correct them")
    return with_interval(file, bounds[start], bounds[end])


def _check_overlaps(path: Path, lines: Mapping[Path, int], labels: Sequence[str]) -> None:
    """Raise a ClipError for two clips with different labels that share a part of a file."""
    rows = [
        (file_of(clip), split_interval(clip)[1] or WHOLE, number, label)
        for (clip, number), label in zip(lines.items(), labels, strict=True)
    ]
    before = rows[:0]  # that may last until a row begins
    for row in sorted(rows):
        before = [other for other in before if other[0] == row[0] and other[1][1] > row[1][0]]
        if others := [other for other in before if other[3] != row[3]]:
            pair = sorted((others[0], row), key=lambda each: each[2])
            found = " and ".join(f"line {n} ({label}, {a:g} to {b:g} s)" for _, (a, b), n, label in pair)
            raise ClipError(path, f"{found} of {row[0]} overlap", "correct the times, or give both the same label")
        before.append(row)


def check_classes(asked: Sequence[str], known: Iterable[str], data_set: str) -> tuple[str, ...]:
    """The classes that were asked for; all if none were.

    Raises:
        ValueError: an unknown class, one given twice, or fewer than two.
    """
    known, asked = tuple(known), tuple(map(composed, asked))
    for name in asked:
        if name not in known:
            raise ValueError(f"{data_set} has no class {name!r}; {suggestion(name, known)}")
    chosen = asked or known
    if len(set(chosen)) < max(2, len(chosen)):
        raise ValueError(f"classes are {', '.join(chosen)}; expected at least 2, each once")
    return chosen

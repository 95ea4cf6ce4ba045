"""Lists of clips: a CSV file with path, label, split and recording; a clip may be an interval of a long recording."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from onlooker.files import read_bytes
from onlooker.intervals import WHOLE, file_of, parse_time, split_interval, with_interval
from onlooker.settings import suggestion
from onlooker.structures import Clip, ClipError

__all__ = ["check_classes", "read_lines"]

# What a list or a folder may call a split.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

Parts = dict[str, list[Clip]]


def read_list(path: Path) -> tuple[Parts, list[ClipError]]:
    """The clips of a CSV file with a header: `path,label` and optionally `start`, `end`, `split` and `recording`.

    Paths are relative to the file. `split` is training, validation or test (or train, val). With `start` and `end`
    (seconds, mm:ss or hh:mm:ss), a clip is this part of a file, whose clips are of one recording unless `recording`
    names several. Columns are in any order; others are ignored.

    Returns:
        The clips by split, all under "" if there is no split; and an error for each clip that does not exist.

    Raises:
        ClipError: as `read_table`; or an unknown split, a path in two rows, a recording in two splits, wrong times,
            intervals that overlap and have different labels, or a class without clips, for which the model would
            silently lack an output.
    """
    rows = read_table(path, ("path", "label"), ("split", "recording"))
    lines: dict[Path, int] = {}
    labels: list[str] = []
    split_of: dict[str, tuple[str, int]] = {}  # of recordings
    missing: list[ClipError] = []
    parts: Parts = {}
    for number, row in rows:
        file, split = _with_times(path, number, row), row.get("split", "").lower()
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
            missing.append(ClipError(file, f"not found (line {number} of {path}, class {row['label']})", "left out"))
    _check_overlaps(path, lines, labels)
    present = {clip.label for part in parts.values() for clip in part}
    if not present:
        problem = f"none of its {len(rows)} clips exists, such as {missing[0].path}"
        raise ClipError(path, problem, "paths are relative to the list; correct them, or move it")
    if lost := [label for label in labels if label not in present]:
        problem = f"none of the {labels.count(lost[0])} clips of class {lost[0]} exists"
        raise ClipError(path, problem, "add some, or remove the class from the list")
    return parts, missing


def _with_times(path: Path, number: int, row: Mapping[str, str]) -> Path:
    """The path of the clip in a row, as an interval if the row has times."""
    file, texts = path.parent / row["path"], [row.get(name, "") for name in ("start", "end")]
    if not any(texts):
        return file
    try:
        start, end = (parse_time(text) for text in texts)
    except ValueError as error:
        given = f"line {number}: start {texts[0]!r}, end {texts[1]!r}"
        raise ClipError(
            path, given, "expected both in seconds, mm:ss or hh:mm:ss; or neither: the whole file"
        ) from error
    if start >= end:
        raise ClipError(path, f"line {number}: start {texts[0]}, end {texts[1]}", "expected a start before the end")
    return with_interval(file, start, end)


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


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by column, with their line numbers.

    Fields are separated by commas, semicolons or tabs; the text is UTF-8. Case does not matter in the header.

    Raises:
        ClipError: no such file, no CSV, a column is missing, a row is not complete, or there are no rows.
    """
    lines = read_lines(path, f"give a CSV file with the columns {' and '.join(columns)}, in UTF-8")
    delimiter = max(",;\t", key=lines[0][1].count)
    try:
        header, *values = [
            [field.strip() for field in next(csv.reader([line], delimiter=delimiter))] for _, line in lines
        ]
    except csv.Error as error:
        raise ClipError(path, f"cannot be read as CSV ({error})", "save it again as CSV in UTF-8") from error
    header, expected = [name.lower() for name in header], ",".join(columns)
    if absent := [name for name in columns if name not in header]:
        more = f", optionally {' and '.join(optional)}" if optional else ""
        problem = f"no column {absent[0]} in the header {lines[0][1]!r}"
        raise ClipError(path, problem, f"expected {expected}{more}")
    rows = [(number, dict(zip(header, row, strict=False))) for (number, _), row in zip(lines[1:], values, strict=True)]
    needed = [*columns, *(name for name in optional if any(row.get(name) for _, row in rows))]
    for (number, row), (_, line) in zip(rows, lines[1:], strict=True):
        if empty := [name for name in needed if not row.get(name)]:
            raise ClipError(path, f"line {number} is {line!r}", f"expected a value for {empty[0]}, as in other rows")
    if not rows:
        raise ClipError(path, "no clips", "add a row for each clip below the header")
    return rows


def read_lines(path: Path, remedy: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not empty, stripped, with their line numbers from 1.

    Raises:
        ClipError: no such file, not UTF-8, or an empty file; `remedy` says what to do.
        ValueError: no regular file, or a very large one.
    """
    if not os.path.exists(path):
        raise ClipError(path, "no such file", remedy)
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClipError(path, f"not UTF-8 text ({error.reason})", remedy) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ClipError(path, "an empty file", remedy)
    return lines


def check_classes(asked: Sequence[str], known: Iterable[str], data_set: str) -> tuple[str, ...]:
    """The classes that were asked for; all if none were.

    Raises:
        ValueError: an unknown class, one given twice, or fewer than two.
    """
    known = tuple(known)
    for name in asked:
        if name not in known:
            raise ValueError(f"{data_set} has no class {name!r}; {suggestion(name, known)}")
    chosen = tuple(asked) or known
    if len(set(chosen)) < max(2, len(chosen)):
        raise ValueError(f"classes are {', '.join(chosen)}; expected at least 2, each once")
    return chosen

"""Lists of clips: a CSV file with path, label, split and recording."""

import csv
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from onlooker.files import read_bytes
from onlooker.structures import Clip, ClipError

__all__ = ["check_classes", "read_lines"]

# What a list or a folder may call a split.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_EXPECTED = ("path", "label")

Parts = dict[str, list[Clip]]


def read_list(path: Path) -> tuple[Parts, list[ClipError]]:
    """The clips of a CSV file with a header: `path,label` and optionally `split` and `recording`, in any order.

    Paths are relative to the file. `split` is training, validation or test (or train, val). Fields are separated by
    commas, semicolons or tabs; the text is UTF-8. Other columns are ignored.

    Returns:
        The clips by split, all under "" if there is no split; and an error for each clip that does not exist.

    Raises:
        ClipError: no such file, other columns, a row that is not complete, an unknown split, a path in two rows, or a
            class without clips.
    """
    rows = _read_rows(path)
    clips: dict[Path, tuple[int, str, Clip]] = {}
    missing: list[ClipError] = []
    for number, row in rows:
        where = f"line {number} of {path}, class {row['label']}"
        file = path.parent / row["path"]
        if not os.path.exists(file):
            missing.append(ClipError(file, f"not found ({where})", "left out"))
        elif file in clips:
            duplicate = f"line {number} is a duplicate of line {clips[file][0]}: {file}"
            raise ClipError(path, duplicate, "keep one of them")
        else:
            recording = row.get("recording") or None
            clips[file] = number, _split_name(path, number, row), Clip(file, row["label"], recording)
    listed = Counter(row["label"] for _, row in rows)
    _check_no_class_is_lost(path, listed, {clip.label for *_, clip in clips.values()}, missing)
    parts: Parts = {}
    for _, split, clip in clips.values():
        parts.setdefault(split, []).append(clip)
    return parts, missing


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file as dictionaries, with their line numbers."""
    lines = read_lines(path, "give a CSV file with the columns path and label, in UTF-8")
    delimiter = max(",;\t", key=lines[0][1].count)
    header, *values = [[field.strip() for field in next(parse_rows(path, [line], delimiter))] for _, line in lines]
    header = [name.lower() for name in header]
    if absent := [name for name in _EXPECTED if name not in header]:
        problem = f"no column {absent[0]} in the header {lines[0][1]!r}"
        raise ClipError(path, problem, f"expected {','.join(_EXPECTED)}, optionally split and recording")
    rows = [(number, dict(zip(header, row, strict=False))) for (number, _), row in zip(lines[1:], values, strict=True)]
    optional = [name for name in ("split", "recording") if any(row.get(name) for _, row in rows)]
    for (number, row), (_, line) in zip(rows, lines[1:], strict=True):
        if empty := [name for name in (*_EXPECTED, *optional) if not row.get(name)]:
            raise ClipError(path, f"line {number} is {line!r}", f"expected a value for {empty[0]}, as in other rows")
    if not rows:
        raise ClipError(path, "no clips", "add a row for each clip below the header")
    return rows


def _split_name(path: Path, number: int, row: Mapping[str, str]) -> str:
    name = row.get("split", "").lower()
    if name and name not in SPLIT_NAMES:
        raise ClipError(path, f"line {number}: split {row['split']!r}", f"expected one of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES.get(name, "")


def _check_no_class_is_lost(
    path: Path, listed: Mapping[str, int], present: Collection[str], missing: Sequence[ClipError]
) -> None:
    """Raise a ClipError for a class without clips: otherwise the model would silently lack an output for it."""
    lost = [label for label in listed if label not in present]
    if not lost:
        return
    if present:
        problem = f"none of the {listed[lost[0]]} clips of class {lost[0]} exists"
        error = ClipError(path, problem, "add some, or remove the class from the list")
    else:
        problem = f"none of its {len(missing)} clips exists, such as {missing[0].path}"
        error = ClipError(path, problem, "paths are relative to the list; correct them, or move it")
    error.add_note("\n".join(map(str, missing)))
    raise error


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


def parse_rows(path: Path, lines: Iterable[str], delimiter: str = ",") -> Iterator[list[str]]:
    """The fields of each line of a CSV file; a ClipError for a line that is not CSV."""
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    except csv.Error as error:
        raise ClipError(path, f"cannot be read as CSV ({error})", "save it again as CSV in UTF-8") from error


def check_classes(asked: Sequence[str], known: Iterable[str], data_set: str) -> tuple[str, ...]:
    """The classes that were asked for; all if none were.

    Raises:
        ValueError: an unknown class, one given twice, or fewer than two.
    """
    known = tuple(known)
    for name in asked:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the first are {', '.join(known[:3])}"
            raise ValueError(f"{data_set} has no class {name!r} among its {len(known)}; {hint}")
    chosen = tuple(asked) or known
    if len(set(chosen)) < max(2, len(chosen)):
        raise ValueError(f"classes are {', '.join(chosen)}; expected at least 2, each once")
    return chosen

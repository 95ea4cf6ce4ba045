"""Lists of clips: a CSV file with path, label, split and recording."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from onlooker.files import read_bytes
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
    """The clips of a CSV file with a header: `path,label` and optionally `split` and `recording`, in any order.

    Paths are relative to the file. `split` is training, validation or test (or train, val). Other columns are ignored.

    Returns:
        The clips by split, all under "" if there is no split; and an error for each clip that does not exist.

    Raises:
        ClipError: as `read_table`; or an unknown split, a path in two rows, or a class without clips, for which the
            model would silently lack an output.
    """
    rows = read_table(path, ("path", "label"), ("split", "recording"))
    lines: dict[Path, int] = {}
    missing: list[ClipError] = []
    parts: Parts = {}
    for number, row in rows:
        file, split = path.parent / row["path"], row.get("split", "").lower()
        if split and split not in SPLIT_NAMES:
            raise ClipError(path, f"line {number}: split {row['split']!r}", f"expected one of {', '.join(SPLIT_NAMES)}")
        if file in lines:
            duplicate = f"line {number} is a duplicate of line {lines[file]}: {file}"
            raise ClipError(path, duplicate, "keep one of them")
        lines[file] = number
        if os.path.exists(file):
            clip = Clip(file, row["label"], row.get("recording") or None)
            parts.setdefault(SPLIT_NAMES.get(split, ""), []).append(clip)
        else:
            missing.append(ClipError(file, f"not found (line {number} of {path}, class {row['label']})", "left out"))
    labels = [row["label"] for _, row in rows]
    present = {clip.label for part in parts.values() for clip in part}
    if not present:
        problem = f"none of its {len(rows)} clips exists, such as {missing[0].path}"
        raise ClipError(path, problem, "paths are relative to the list; correct them, or move it")
    if lost := [label for label in labels if label not in present]:
        problem = f"none of the {labels.count(lost[0])} clips of class {lost[0]} exists"
        raise ClipError(path, problem, "add some, or remove the class from the list")
    return parts, missing


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

"""Lists as Kinetics publishes them, and lists of paths and labels; of their clips some are always missing.

W. Kay et al., *The Kinetics human action video dataset*, 2017.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onlooker.data.published import apportion, check_classes, check_share, read_lines
from onlooker.data.split import Split
from onlooker.structures import Clip, ClipError
from onlooker.video.reader import SUFFIXES

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


@dataclass(frozen=True)
class ListedClips:
    """What a list names.

    Args:
        clips: those which are there, in the order of the list.
        problems: one error for each that is missing or stands twice, naming it.
    """

    clips: tuple[Clip, ...]
    problems: tuple[ClipError, ...]


@dataclass(frozen=True)
class _Row:
    """A line of a list; `names` are what its file may be called, without suffix, or one path."""

    line: int
    label: str
    names: tuple[str, ...]
    video: str | None


def kinetics(
    root: Path,
    training: Path,
    test: Path,
    validation: Path | None = None,
    label_map: Path | None = None,
    classes: Sequence[str] = (),
    share: float = 0.1,
    seed: int = 0,
) -> tuple[Split, tuple[ClipError, ...]]:
    """A split from the lists of its sides, and a report on every clip that is left out.

    Published figures are on the list called val, which is hence given as `test`; validation is then carved out of
    training, video by video. A video that two lists name stays in the one nearer to the test, and is reported.

    Args:
        root: see `read_list`, as for `label_map` and `classes`.
        training, test, validation: the lists.
        share: where there is no validation list, the share of the training clips that validates.
        seed: of that choice.

    Raises:
        ClipError: as `read_list`, or a class to test that no clip teaches.
        ValueError: no such share.
    """
    check_share(share)
    lists = [test, *([validation] if validation else []), training]
    sides: list[tuple[Clip, ...]] = []
    problems: list[ClipError] = []
    seen: dict[str, Path] = {}
    for path in lists:
        listed = read_list(root, path, label_map, classes)
        problems += listed.problems
        kept = []
        for clip in listed.clips:
            if (other := seen.get(_origin(clip))) is not None:
                problems.append(
                    ClipError(clip.path, f"its video is in {path} and in {other}", f"left out of {path.name}")
                )
            else:
                kept.append(clip)
        seen |= {_origin(clip): path for clip in kept}
        sides.append(tuple(kept))
    learned, tested = {clip.label for clip in sides[-1]}, {clip.label for side in sides[:-1] for clip in side}
    if unknown := sorted(tested - learned):
        found = f"no clips of class {unknown[0]}, which is tested"
        raise ClipError(training, found, "add some, or leave the class out (classes)")
    if validation is None:
        origins = [_origin(clip) for clip in sides[-1]]
        parts = apportion(sides[-1], origins, {"training": 1 - share, "validation": share}, seed)
        return Split(parts["training"], parts["validation"], sides[0]), tuple(problems)
    return Split(sides[2], sides[1], sides[0]), tuple(problems)


def find_lists(folder: Path) -> tuple[Path, Path]:
    """The lists to learn from and to test on, by their names as published: `…train.csv`; `…val.csv` or `…validate.csv`.

    Raises:
        ClipError: no such list, or several.
    """
    lists = []
    for endings in (("train",), ("val", "validate")):
        found = sorted(path for path in folder.glob("*.csv") if path.stem.lower().endswith(endings))
        if len(found) != 1:
            expected = f"one list named as {' or '.join(f'{ending}.csv' for ending in endings)}"
            there = ", ".join(path.name for path in found) or "none"
            raise ClipError(folder, f"{there}; expected {expected}", "give the folder of the lists (--lists)")
        lists.append(found[0])
    return lists[0], lists[1]


def read_list(
    root: Path,
    listing: Path,
    label_map: Path | None = None,
    classes: Sequence[str] = (),
    split: str | None = None,
) -> ListedClips:
    """The clips that one list names, and those of them which are missing: of Kinetics, videos vanish every year.

    Args:
        root: where the clips lie. The clips of a published list are found by their names, in whatever folders:
            `<id>_<start>_<end>` with times in seconds of six digits, or not padded, or `<id>` alone, with any suffix
            of a video. Of two, the one in a folder called like the class is taken. Paths of a list of paths begin
            here.
        listing: a CSV file with a header (`label,youtube_id,time_start,time_end,split`, and more), or without one a
            path and a label a line, between them a comma or a space (a path may hold more of these, a label after a
            space none).
        label_map: names of classes, one a line. A label in the list is one of them, or the number of one, from 0.
            Without it, labels are names as they stand.
        classes: which; all of the list where not given.
        split: which lines, where the list has several values in its column split.

    Raises:
        ClipError: no such file or folder, a list of another form, a label that is not in the map, or a class of which
            no clip is there.
    """
    if not root.is_dir():
        raise ClipError(root, "no such folder", "give the folder with the clips")
    rows = _labeled(listing, _rows(listing, split), label_map)
    chosen = check_classes(classes, sorted({row.label for row in rows}), str(listing))
    rows = [row for row in rows if row.label in chosen]
    files = _videos(root) if any(row.video for row in rows) else {}
    clips: list[Clip] = []
    problems: list[ClipError] = []
    taken: dict[Path, _Row] = {}
    for row in rows:
        path = _find(root, files, row)
        if path is None:
            where = f"line {row.line} of {listing}, class {row.label}"
            problems.append(ClipError(root / row.names[0], f"not found ({where})", "left out"))
        elif (first := taken.get(path)) is not None:
            found = f"line {row.line} of {listing} ({row.label}) is this clip, line {first.line} ({first.label}) too"
            problems.append(ClipError(path, found, "taken once, as the first says"))
        else:
            taken[path] = row
            clips.append(Clip(path, row.label, row.video))
    _check_classes_left(root, listing, rows, clips, problems)
    return ListedClips(tuple(clips), tuple(problems))


def read_label_map(path: Path) -> tuple[str, ...]:
    """Names of classes, one a line; the first has the number 0.

    Raises:
        ClipError: no such file, or a name that stands twice.
    """
    names: dict[str, int] = {}
    for number, name in read_lines(path, "give a file with one class a line"):
        if name in names:
            raise ClipError(path, f"line {number}: {name} stands in line {names[name]} too", "keep one")
        names[name] = number
    return tuple(names)


def _rows(listing: Path, split: str | None) -> list[_Row]:
    lines = read_lines(listing, "give a list of clips")
    header = [name.strip().lower() for name in next(csv.reader([lines[0][1]]))]
    if "youtube_id" in header:
        return _published(listing, header, lines[1:], split)
    if split is not None:
        raise ClipError(listing, "no column split", f"expected a header with it, as split is {split!r}")
    if header in (["path", "label"], ["path label"]):
        lines = lines[1:]
    comma = all("," in line for _, line in lines)
    rows = []
    for number, line in lines:
        words = line.rsplit("," if comma else None, 1)
        path, label = (word.strip().strip('"') for word in words) if len(words) == 2 else ("", "")
        if not path or not label:
            raise ClipError(listing, f"line {number} is {line!r}", "expected a path and a label")
        rows.append(_Row(number, label, (path,), None))
    return rows


def _published(listing: Path, header: list[str], lines: list[tuple[int, str]], split: str | None) -> list[_Row]:
    if absent := [name for name in _COLUMNS if name not in header]:
        raise ClipError(listing, f"no column {absent[0]}", f"expected {', '.join(_COLUMNS)}, split")
    rows, splits = [], set()
    for number, line in lines:
        fields = next(csv.reader([line]))
        values = dict(zip(header, fields, strict=False))
        try:
            start, end = (int(float(values[name])) for name in ("time_start", "time_end"))
        except (KeyError, ValueError, OverflowError) as error:
            form = "expected times in seconds, and a field for each column"
            raise ClipError(listing, f"line {number} is {line!r}", form) from error
        if split is not None and values.get("split") != split:
            continue
        splits.add(values.get("split", ""))
        video = values["youtube_id"]
        names = f"{video}_{start:06d}_{end:06d}", f"{video}_{start}_{end}", video
        rows.append(_Row(number, values["label"], names, video))
    if not rows:
        raise ClipError(listing, "no clips" + (f" of split {split}" if split else ""), "give a list that has some")
    if len(splits) > 1:
        raise ClipError(listing, f"several splits: {', '.join(sorted(splits))}", "say which (split)")
    return rows


def _labeled(listing: Path, rows: list[_Row], label_map: Path | None) -> list[_Row]:
    if label_map is None:
        return rows
    names = read_label_map(label_map)
    known, numbers = set(names), {str(number): name for number, name in enumerate(names)}
    for row in rows:
        if row.label not in known and row.label not in numbers:
            found = f"line {row.line}: label {row.label!r}"
            raise ClipError(listing, found, f"{label_map} has {len(names)} classes, {names[0]} first, and not this one")
    return [_Row(r.line, r.label if r.label in known else numbers[r.label], r.names, r.video) for r in rows]


def _videos(root: Path) -> dict[str, list[Path]]:
    """All video files below a folder, by their names without suffix."""
    found: dict[str, list[Path]] = {}
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES and not name.startswith("."):
                found.setdefault(stem, []).append(Path(folder, name))
    return found


def _find(root: Path, files: dict[str, list[Path]], row: _Row) -> Path | None:
    if row.video is None:
        path = root / row.names[0]
        return path if path.exists() else None
    paths = next((files[name] for name in row.names if name in files), [])
    return next((path for path in paths if _plain(path.parent.name) == _plain(row.label)), next(iter(paths), None))


def _plain(name: str) -> str:
    """Folders write a class with underscores for spaces, and without its brackets."""
    return re.sub(r"[\W_]+", "", name.lower())


def _check_classes_left(
    root: Path, listing: Path, rows: list[_Row], clips: list[Clip], problems: list[ClipError]
) -> None:
    """No class vanishes in silence: a model would have one output fewer."""
    named, left = Counter(row.label for row in rows), Counter(clip.label for clip in clips)
    lost = [label for label in named if not left[label]]
    if not lost:
        return
    if not clips:
        found = f"none of the {len(rows)} clips of {listing} is there; looked for {rows[0].names[0]} and so on"
        error = ClipError(root, found, "give the folder that holds them")
    else:
        others = f", nor of {len(lost) - 1} more" if len(lost) > 1 else ""
        found = f"none of the {named[lost[0]]} clips of class {lost[0]} in {listing} is there{others}"
        error = ClipError(root, found, "add some, or say which classes to read (classes)")
    error.add_note("\n".join(str(problem) for problem in problems))
    raise error


def _origin(clip: Clip) -> str:
    return clip.recording if clip.recording is not None else str(clip.path)

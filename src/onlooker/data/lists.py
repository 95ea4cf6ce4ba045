"""Lists of clips in CSV: path, label, split and recording, intervals of long recordings, and the
gaps between these.
"""

import math
import os
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from operator import attrgetter, itemgetter
from pathlib import Path
from shlex import quote

import numpy as np

from onlooker.base.config import SetConfig, names_of
from onlooker.base.intervals import (
    WHOLE,
    Times,
    file_of,
    overlapping,
    parse_time,
    resolved,
    split_interval,
    with_interval,
)
from onlooker.base.parallel import map_ahead
from onlooker.base.records import Clip, ClipError, Recording, Segment
from onlooker.base.settings import suggestion
from onlooker.base.text import composed, relative_name, some_of
from onlooker.data.recordings import recordings_of
from onlooker.data.scenes import connected
from onlooker.data.split import ClipSet, Overlaps
from onlooker.data.tables import ListTable, read_table, table_kind
from onlooker.video.reader import VideoReader, frame_bounds

__all__ = ["check_classes"]

# The names of splits in lists and folders.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

_NAMED = 3  # wrong rows that an error names
_TIME_COLUMNS = ("start", "end")
_FRAME_COLUMNS = ("start_frame", "end_frame")
_TABLES = ("", ".csv", ".tsv", ".txt")
# Files of annotation programs, which `onlooker convert` reads; `register_format` adds others.
PROGRAM_SUFFIXES = {".json", ".eaf", ".vtt", ".boris"}
_PACKED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")


@dataclass(frozen=True, kw_only=True)
class ListedLabel(Segment):
    """A row of a list; names are "" if there are none.

    Args:
        start, end: 0 and inf for a whole file.
        path: the clip that it names.
        file: what it is a part of (`resolved`).
        line: its number in the list.
    """

    path: Path
    file: Path
    line: int
    split: str
    recording: str
    scorer: str

    def __post_init__(self) -> None:
        """The end may be inf; other times are checked where they are read."""


def read_list(path: Path, requested: SetConfig | None = None) -> ClipSet:
    """The recordings of a CSV file: `path,label` and optionally `start`, `end`, `split`,
    `recording`, `subject`, `tier` and `scorer`: if several people have labeled a file, its clips
    are the labels of the first one. Labels of one tier never overlap.

    Paths are relative to the file. `split` is training, validation or test (or train, val). With
    `start` and `end` (seconds, mm:ss or hh:mm:ss), a clip is this part of a file. With
    `start_frame` and `end_frame`, counted from 0, it begins when the first is shown, and ends when
    the second is. Columns may have other usual names (`read_table`). Recordings: `_groups`.

    Args:
        requested: the subjects and tiers to read, and the classes; rows of other classes may
            overlap.

    Raises:
        ClipError: as `read_table`; or a file of an annotation program, an unknown split, a clip in
            two rows that do not differ in recording, subject or tier alone, a recording in two
            splits, wrong times, a tier that overlaps itself, no row of a subject or tier, or a
            class without clips, for which the model would silently lack an output.
    """
    requested = requested or SetConfig()
    _require_list(path)
    optional = ("split", "recording", "subject", "tier", "scorer", *_TIME_COLUMNS, *_FRAME_COLUMNS)
    table = read_table(path, ("path", "label"), optional)
    notes = _understand(path, table)
    rows = _read_rows(path, table)
    shared = _shared_subjects(rows)
    files = _by_scorer(_requested(path, rows, requested))
    clips = _rows_of_clips(path, [row for scorers in files.values() for row in scorers[0]]).values()
    listed = [first for first, *_ in clips]
    overlaps = _overlaps(path, listed, requested)
    present = {row.path for row in listed if os.path.exists(file_of(row.path))}
    existing = [row for row in listed if row.path in present]
    missing = _missing(
        path,
        table,
        missing=[row for row in listed if row.path not in present],
        existing=existing,
    )
    notes += _notes(listed, files)
    of_existing = [row for rows in clips for row in rows if row.path in present]
    groups = _groups(path.parent, of_existing, notes, shared=shared)
    parts = _by_split(path, existing, groups, shared=shared)
    recordings = [
        Recording(
            file,
            tuple(row for row in scorers[0] if row.label),
            tuple(row.span for row in scorers[0] if not row.label),
            second=tuple(chain.from_iterable(scorers[1:2])),
            group=groups.get(file) or "",
            root=path.parent,
        )
        for file, scorers in files.items()
    ]
    return ClipSet(path, parts, missing, notes=notes, recordings=recordings, overlaps=overlaps)


def _require_list(path: Path) -> None:
    """Raise a ClipError for a file that is no list of clips, with what to do about it."""
    suffix = path.suffix.lower()
    inside = Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
    if suffix in _TABLES and table_kind(path) == "list":
        return
    problem = "not a list of clips"
    remedy = "give a folder with one sub-folder per class, or a list of clips (CSV)"
    if suffix in _TABLES or inside in PROGRAM_SUFFIXES:
        problem = "labels of an annotation program, not a list of clips"
        remedy = f"run `onlooker convert {quote(str(path))} list.csv`, and give list.csv"
    elif suffix in _PACKED:
        problem = "a packed file"
        remedy = "unpack it, and give the folder"
    elif suffix in _SPREADSHEETS:
        problem = "a spreadsheet"
        remedy = "save it as CSV in UTF-8, and give that"
    raise ClipError(path, problem, remedy)


def _read_rows(path: Path, table: ListTable) -> list[ListedLabel]:
    """The rows of a list with the paths of their clips.

    Raises:
        ClipError: wrong times; the first few rows that have some are named.
    """
    rows = list[ListedLabel]()
    errors = list[ClipError]()
    for line, row in table.rows:
        try:
            clip = _with_times(path, line, row, table=table)
        except ClipError as error:
            errors.append(error)
            continue
        file, times = split_interval(clip)
        start, end = times or WHOLE
        split = row.get("split", "")
        label = ListedLabel(
            row["label"],
            start,
            end,
            path=clip,
            file=resolved(file),
            line=line,
            split=SPLIT_NAMES.get(split.lower(), split),
            recording=composed(row.get("recording", "")),
            subject=composed(row.get("subject", "")),
            tier=composed(row.get("tier", "")),
            scorer=composed(row.get("scorer", "")),
        )
        rows.append(label)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = [f"{error.found} ({error.remedy})" for error in errors[:_NAMED]]
        if errors[_NAMED:]:
            problems.append(f"and {len(errors) - _NAMED} more")
        raise ClipError(path, "; ".join(problems), "correct these rows")
    return rows


def _requested(path: Path, rows: Sequence[ListedLabel], requested: SetConfig) -> list[ListedLabel]:
    """The rows of the requested subjects and tiers. Unknown time without a subject or tier counts
    for all of them.
    """
    chosen = [*rows]
    columns = {"subject": names_of(requested.subject), "tier": names_of(requested.tier)}
    for column, names in columns.items():
        values = {*map(composed, names)}
        present = {getattr(row, column) for row in rows if row.label} - {""}
        if absent := sorted(values - present):
            remedy = f"it has no column {column}; leave out --{column}"
            if present:
                remedy = f"its {column}s are {some_of(sorted(present))}"
            raise ClipError(path, f"no row has the {column} {absent[0]}", remedy)
        if values:
            chosen = [
                row
                for row in chosen
                if getattr(row, column) in (values if row.label else values | {""})
            ]
    return chosen


def _shared_subjects(rows: Iterable[ListedLabel]) -> set[str]:
    """The subjects that share a file with others."""
    subjects = {(row.file, row.subject) for row in rows if row.label and row.subject}
    counts = Counter(file for file, _ in subjects)
    return {subject for file, subject in subjects if counts[file] > 1}


def _by_scorer(rows: Iterable[ListedLabel]) -> dict[Path, list[list[ListedLabel]]]:
    """The rows of each file, one list for each scorer, in the order of the scorers."""
    files = defaultdict[Path, dict[str, list[ListedLabel]]](lambda: defaultdict(list))
    for row in rows:
        files[row.file][row.scorer].append(row)
    return {file: [*scorers.values()] for file, scorers in files.items()}


def _rows_of_clips(
    path: Path, rows: Iterable[ListedLabel]
) -> dict[tuple[Path, str], list[ListedLabel]]:
    """The rows of each clip, by its path and label, in the order of the list: several may do the
    same at the same time. A whole file has a single label.

    Raises:
        ClipError: an unknown split, or a duplicate.
    """
    listed = defaultdict[tuple[Path, str], list[ListedLabel]](list)
    for row in sorted(rows, key=attrgetter("line")):
        if not row.label:
            continue
        if row.split and row.split not in SPLIT_NAMES:
            problem = f"line {row.line}: split {row.split!r}"
            raise ClipError(path, problem, f"expected one of {', '.join(SPLIT_NAMES)}")
        same_clip = listed[row.path, "" if row.span == WHOLE else row.label]
        for other in same_clip:
            is_same = (row.recording, row.subject, row.tier) == (
                other.recording,
                other.subject,
                other.tier,
            )
            if is_same or (other.label, other.split) != (row.label, row.split):
                problem = f"line {row.line} is a duplicate of line {other.line}: {row.path}"
                raise ClipError(path, problem, "keep one of them")
        same_clip.append(row)
    return listed


def _missing(
    path: Path,
    table: ListTable,
    *,
    missing: Sequence[ListedLabel],
    existing: Sequence[ListedLabel],
) -> list[ClipError]:
    """An error for each clip that does not exist; the arguments are the first rows of clips.

    Raises:
        ClipError: none of the clips exists, or none of a class.
    """
    if not existing:
        problem = "no row has a label"
        if missing:
            problem = f"none of its clips exists ({len(table.rows)}), such as {missing[0].path}"
        raise ClipError(path, problem, "paths are relative to the list; correct them, or move it")
    labels = {row.label for row in existing}
    if lost := [row.label for row in missing if row.label not in labels]:
        problem = f"none of the clips of class {lost[0]} exists ({lost.count(lost[0])})"
        raise ClipError(path, problem, "add some, or remove the class from the list")
    return [
        ClipError(
            row.path,
            f"not found (line {row.line} of {path}, class {row.label})",
            "correct its path, which is relative to the list",
        )
        for row in missing
    ]


def _notes(
    listed: Iterable[ListedLabel], files: Mapping[Path, Sequence[Sequence[ListedLabel]]]
) -> list[str]:
    """Which labels are in which tiers, and what is unknown or labeled twice, a sentence each.

    Args:
        listed: the first row of each clip.
        files: the rows by file and scorer.
    """
    notes = list[str]()
    labels = defaultdict[str, set[str]](set)
    for row in listed:
        if row.tier:
            labels[row.tier].add(row.label)
    if len(labels) > 1:
        tiers = [f"{tier} ({some_of(sorted(names))})" for tier, names in sorted(labels.items())]
        notes.append(f"tiers, whose labels exclude each other: {some_of(tiers)}")
    if count := sum(not row.label for scorers in files.values() for row in scorers[0]):
        notes.append(f"rows without a label: {count}; no gap is cut from their times")
    if count := sum(len(scorers) > 1 for scorers in files.values()):
        notes.append(
            f"files that several scorers have labeled: {count}; the labels of the first "
            "one count, and `evaluate --recordings` says how well the second one agrees"
        )
    return notes


def _by_split(
    path: Path,
    rows: Iterable[ListedLabel],
    groups: Mapping[Path, str | None],
    *,
    shared: Collection[str],
) -> dict[str, list[Clip]]:
    """The clips of a list by split.

    Args:
        groups: the recordings of their files.
        shared: subjects that share a file with others. What one of several does, such as resident
            or intruder, is a tier, too.

    Raises:
        ClipError: a recording in two splits.
    """
    parts = defaultdict[str, list[Clip]](list)
    split_of: dict[str, tuple[str, int]] = {}
    for row in rows:
        tier = row.tier or (row.subject if row.subject in shared else "")
        clip = Clip(row.path, row.label, groups[row.file], root=path.parent, tier=tier)
        parts[row.split].append(clip)
        split, line = split_of.setdefault(clip.recording or str(row.path), (row.split, row.line))
        if row.split != split:
            problem = f"line {row.line}: recording {clip.recording} is in {row.split}, and in {split} in line {line}"
            remedy = "splits must not share it; correct the split, or the column recording"
            raise ClipError(path, problem, remedy)
    return dict(parts)


def _groups(
    folder: Path, rows: Sequence[ListedLabel], notes: list[str], *, shared: Collection[str]
) -> dict[Path, str | None]:
    """The recording of each file of a list in a folder, and notes on what counts as a recording:
    clips of one file, of one name in the column recording, or of one subject.

    A subject that shares a file with another one is no recording: roles, such as resident and
    intruder, or the animals of a cage would join all files; nor is the only subject of several
    files. A recording has the first of its names,
    or else the name of its file; a whole file without a name has no recording.
    """
    paths = dict[Path, str]()  # of each file the first one
    by_file = [paths.setdefault(row.file, relative_name(file_of(row.path), folder)) for row in rows]
    alone = ["" if row.subject in shared else row.subject for row in rows]
    if len({*alone}) == 1 < len({*by_file}) and alone[0]:
        notes.append(
            f"all files are of subject {alone[0]}, so that each is a recording; how well another "
            "subject is recognized is not known"
        )
        alone = [""] * len(rows)
    names = group_names([row.recording for row in rows], alone, by_file)
    together = "a split keeps the clips of each together"
    if joined := sorted({row.recording for row in rows} - {"", *names}):
        notes.append(
            f"recordings joined with others, whose file or subject they share: {some_of(joined)}"
        )
    if people := sorted({*alone} - {""}):
        notes.append(f"subjects are recordings ({some_of(people)}); {together}")
    if shared:
        notes.append(
            f"subjects that share a file with another one are no recordings ({some_of(sorted(shared))}), "
            f"but files are; {together}"
        )
    sizes = Counter(names)
    return {
        row.file: name if name != path or sizes[name] > 1 or row.span != WHOLE else None
        for row, name, path in zip(rows, names, by_file, strict=True)
    }


def group_names(*groupings: Sequence[str]) -> list[str]:
    """The name of the group of each item. Items with the same name in any of the groupings are in
    one group, also through other items. A group has the first of its names; "" is none.
    """
    # the number of an item without a name stands for the name
    groups = connected(*([name or i for i, name in enumerate(names)] for names in groupings))
    name_of = dict[int, str]()
    for names in groupings:
        for group, name in zip(groups.tolist(), names, strict=True):
            name_of[group] = name_of.get(group) or name
    return [name_of[group] for group in groups.tolist()]


def _understand(path: Path, table: ListTable) -> list[str]:
    """How a list was understood, a sentence each.

    Raises:
        ClipError: a column of times in an unknown unit.
    """
    in_seconds = bool(table.names.keys() & set(_TIME_COLUMNS))
    unknown = [name for name in table.header if re.match("(?i)start|begin", name)]
    if unknown and not table.names.keys() & {*_TIME_COLUMNS, *_FRAME_COLUMNS}:
        remedy = "give start and end in seconds, or start_frame and end_frame; or remove the column"
        raise ClipError(path, f"the unit of column {unknown[0]} is not known", remedy)
    notes = table.notes(unused=_FRAME_COLUMNS if in_seconds else ())
    if not in_seconds and table.names.keys() & set(_FRAME_COLUMNS):
        notes.append(
            "start_frame and end_frame count from 0, and a clip ends when its end_frame is shown"
        )
    return notes


def _in_folder(folder: Path, name: str) -> Path:
    """A file that a list names, maybe with the backslashes of Windows."""
    if "\\" in name and not os.path.exists(file_of(folder / name)):
        name = name.replace("\\", "/")
    return folder / name


def _with_times(path: Path, line: int, row: Mapping[str, str], *, table: ListTable) -> Path:
    """The path of the clip in a row, as an interval if the row has times or frames.

    An interval in frames lasts from when `start_frame` is shown to when `end_frame` is. The frames
    of a file that cannot be read are taken for seconds: its clips are left out later.
    """
    file = _in_folder(path.parent, row["path"])
    in_seconds = bool(table.names.keys() & set(_TIME_COLUMNS))
    columns = _TIME_COLUMNS if in_seconds else _FRAME_COLUMNS
    texts = [row.get(name, "") for name in columns]
    if not any(texts):
        return file
    given = f"line {line}: {columns[0]} {texts[0]!r}, {columns[1]} {texts[1]!r}"
    expected = (
        "both in seconds, mm:ss or hh:mm:ss; or neither: the whole file"
        if in_seconds
        else "two frames from 0 on"
    )
    try:
        start, end = map(parse_time if in_seconds else int, texts)
    except ValueError as error:
        raise ClipError(path, given, f"expected {expected}") from error
    if not 0 <= start < end:
        raise ClipError(path, given, "expected a start before the end")
    if in_seconds:
        return with_interval(file, start, end)
    try:
        bounds = frame_bounds(file)
    except ClipError:
        return with_interval(file, start, end)
    if end >= len(bounds):
        raise ClipError(path, f"{given} of {len(bounds) - 1} frames", "correct them")
    return with_interval(file, bounds[int(start)], bounds[int(end)])


def _overlaps(path: Path, rows: Iterable[ListedLabel], requested: SetConfig) -> Overlaps | None:
    """The clips of the requested classes that share a part of a file and differ in label; None if
    there are none.

    Raises:
        ClipError: two of them are of one tier.
    """
    classes = [*map(composed, names_of(requested.classes))]
    by_file = defaultdict[Path, list[tuple[float, float, ListedLabel]]](list)
    for row in rows:
        if not classes or row.label in classes:
            by_file[row.file].append((*row.span, row))
    pairs = [
        (file, (one, other))
        for file, spans in sorted(by_file.items())
        for (_, _, one), (_, _, other) in overlapping(spans)
        if one.label != other.label
    ]
    for file, (one, other) in pairs:
        if one.tier and one.tier == other.tier:
            problem = f"{_pair_text(one, other)} of {file} overlap in tier {one.tier}"
            remedy = "labels of one tier exclude each other: correct the times, or the tiers"
            raise ClipError(path, problem, remedy)
    if not pairs:
        return None
    with_whole = [(file, pair) for file, pair in pairs if WHOLE in (pair[0].span, pair[1].span)]
    file, pair = (with_whole or pairs)[0]
    more = f", like {len(pairs) - 1} other pairs" if pairs[1:] else ""
    text = f"{_pair_text(*pair)} of {file} overlap{more}"
    return Overlaps(text, has_whole=bool(with_whole))


def _pair_text(*pair: ListedLabel) -> str:
    rows = sorted(pair, key=attrgetter("line"))
    times = [
        "the whole file" if row.span == WHOLE else f"{row.start:g} to {row.end:g} s" for row in rows
    ]
    return " and ".join(
        f"line {row.line} ({row.label}, {time})" for row, time in zip(rows, times, strict=True)
    )


def fill_gaps(
    parts: Mapping[str, Sequence[Clip]], label: str, recordings: Iterable[Recording]
) -> dict[str, list[Clip]]:
    """The clips of a list by split, with clips of another class from the gaps between its intervals
    (`cut_gaps`).

    They have the recording and the split of the interval before them, or of the first one.

    Args:
        recordings: whose unknown time is no gap.
    """
    split_of = {clip: split for split, clips in parts.items() for clip in clips}
    files = [
        (recording, sorted(clips, key=itemgetter(0)))
        for recording, clips in recordings_of(split_of, recordings)
        if WHOLE not in {times for times, _ in clips}
    ]
    random = np.random.default_rng(0)
    filled = {split: [*clips] for split, clips in parts.items()}
    lengths = map_ahead(_seconds, [recording.path for recording, _ in files])
    for (recording, clips), seconds in zip(files, lengths, strict=True):
        labeled = [times for times, _ in clips]
        for start, end in cut_gaps(labeled, seconds, random, unknown=recording.unknown):
            before = bisect_left(labeled, (start,)) - 1
            clip = clips[max(before, 0)][1]
            path = with_interval(file_of(clip.path), start, end)
            filled[split_of[clip]].append(replace(clip, path=path, label=label))
    return filled


def cut_gaps(
    intervals: Sequence[Times],
    seconds: float,
    random: np.random.Generator,
    *,
    unknown: Sequence[Times] = (),
) -> list[Times]:
    """Random intervals in the gaps between the labeled `intervals` and `unknown` times of a
    recording: at most as many as `intervals`, and with the same lengths.

    Different lengths would tell the classes apart. Times are rounded to milliseconds.
    """
    lengths = np.array([end - start for start, end in intervals])
    gaps = list[Times]()
    ordered = sorted([*intervals, *unknown])
    begins = accumulate((end for _, end in ordered), max, initial=0.0)
    for start, (following, _) in zip(begins, [*ordered, (seconds, seconds)], strict=True):
        end = min(following, seconds)
        if start >= end:
            continue
        at = start
        in_gap = list[float]()
        while round(at + (length := float(random.choice(lengths))), 3) <= end:
            in_gap.append(length)
            at = round(at + length, 3)
        at = start + random.uniform(0, end - at)  # anywhere in the gap
        for length in in_gap:
            gaps.append((round(at, 3), round(at + length, 3)))
            at += length
    return sorted(gaps[i] for i in random.permutation(len(gaps))[: len(intervals)])


def _seconds(file: Path) -> float:
    """The length of a recording; 0 if it cannot be read: an error names its clips later."""
    try:
        # opened as an interval, to share the index of the other intervals
        return math.floor(VideoReader(with_interval(file, 0)).seconds * 1000) / 1000
    except ClipError:
        return 0.0


def check_classes(
    requested: Sequence[str], classes: Iterable[str], data_set: str
) -> tuple[str, ...]:
    """The requested classes; all if none are.

    Raises:
        ValueError: an unknown class, one given twice, or fewer than two.
    """
    classes = tuple(classes)
    requested = tuple(map(composed, requested))
    for name in requested:
        if name not in classes:
            raise ValueError(f"{data_set} has no class {name!r}; {suggestion(name, classes)}")
    used = requested or classes
    if len(set(used)) < max(2, len(used)):
        raise ValueError(f"classes are {', '.join(used)}; expected at least 2, each once")
    return used

"""Lists of clips in CSV: path, label, split and recording, intervals of long recordings, and the
gaps between these.
"""

import math
import os
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np

from onlooker.base.config import SetConfig
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
from onlooker.base.records import Clip, ClipError
from onlooker.base.settings import suggestion
from onlooker.base.text import composed, relative_name, some_of
from onlooker.data.scenes import connected
from onlooker.data.tables import ListTable, read_table, table_kind
from onlooker.video.reader import VideoReader, frame_bounds

__all__ = ["check_classes"]

# The names of splits in lists and folders.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

Parts = dict[str, list[Clip]]
_Labeled = tuple[float, float, int, str, str]  # start, end, line, label and tier of an interval
Listed = Mapping[Path, Sequence["_Row"]]  # by clip
Unknown = Mapping[Path, Sequence[Times]]  # by file (`resolved`)
# labels, "" for unknown time, and times, by file (`resolved`)
ScorerLabels = Mapping[Path, Sequence[tuple[str, Times]]]
_APART = 0.001  # seconds by which the ends of two clips differ that are the same part of a file
_NAMED = 3  # wrong rows that an error names
_TIME_COLUMNS = ("start", "end")
_FRAME_COLUMNS = ("start_frame", "end_frame")
# suffixes of the files that `onlooker convert` reads, besides tables
_ANNOTATIONS = (".json", ".eaf", ".vtt", ".boris", ".gz")


class Overlaps(NamedTuple):
    """Intervals with different labels that share a part of a file.

    Args:
        text: the first two of them, with a whole file if there is one, and how many others there are.
        file: that of the first ones.
        has_whole: whether one of them is a whole file.
    """

    text: str
    file: Path
    has_whole: bool

    def error(self, path: Path) -> ClipError:
        """The error for a list in which they are not possible."""
        remedy = "correct the times, or give both the same label; or fit states, which may overlap: --when states"
        if self.has_whole:
            remedy = "remove the row of the whole file, or give it a start and an end"
        return ClipError(path, self.text, remedy)


class ClipList(NamedTuple):
    """What `read_list` found.

    Args:
        parts: the clips by split, all under "" if there is no split.
        missing: an error for each clip that does not exist.
        notes: how the file was understood, a sentence each.
        unknown: the times of rows without a label, by file, when it is unknown what happens.
        overlaps: of clips with different labels; None: there are none.
        second_scorer: what a second person says of files that two have labeled.
    """

    parts: Parts
    missing: list[ClipError]
    notes: list[str]
    unknown: Unknown
    overlaps: Overlaps | None
    second_scorer: ScorerLabels


def read_list(path: Path, asked: SetConfig | None = None) -> ClipList:
    """The clips of a CSV file: `path,label` and optionally `start`, `end`, `split`, `recording`,
    `subject`, `tier` and `scorer`: of a file that several people have labeled, the clips are those
    of the first one. Labels of one tier never overlap.

    Paths are relative to the file. `split` is training, validation or test (or train, val). With
    `start` and `end` (seconds, mm:ss or hh:mm:ss), a clip is this part of a file. With
    `start_frame` and `end_frame`, counted from 0, it begins when the first is shown, and ends when
    the second is. Columns may have other usual names (`read_table`). Recordings: `_recordings`.

    Args:
        asked: whose rows are read, and of which tiers; rows of other classes than those that it
            names may overlap.

    Raises:
        ClipError: as `read_table`; or a file of an annotation program, an unknown split, a clip in
            two rows that do not differ in recording, subject or tier alone, a recording in two
            splits, wrong times, a tier that overlaps itself, no row of a subject or tier, or a
            class without clips, for which the model would silently lack an output.
    """
    asked = asked or SetConfig()
    asked_names = {
        "subject": [*map(composed, asked.subject_names)],
        "tier": [*map(composed, asked.tier_names)],
    }
    if path.suffix.lower() in _ANNOTATIONS or table_kind(path) != "list":
        remedy = f"run `onlooker convert {quote(str(path))} list.csv`, and give list.csv"
        raise ClipError(path, "labels of an annotation program, not a list of clips", remedy)
    optional = ("split", "recording", "subject", "tier", "scorer", *_TIME_COLUMNS, *_FRAME_COLUMNS)
    table = read_table(path, ("path", "label"), optional)
    notes = _understand(path, table)
    listed = defaultdict[Path, list[_Row]](list)
    unknown = defaultdict[Path, list[Times]](list)
    subjects_of_file = defaultdict[Path, set[str]](set)
    present = {column: set[str]() for column in asked_names}
    scorers = defaultdict[Path, dict[str, list[tuple[str, Times]]]](dict)
    for (number, row), file in zip(table.rows, _clip_paths(path, table), strict=True):
        whole, times = split_interval(file)
        names = {
            column: composed(row.get(column, "")) for column in ("recording", "subject", "tier")
        }
        if row["label"] and names["subject"]:
            subjects_of_file[resolved(whole)].add(names["subject"])
        for column, in_list in present.items():
            if row["label"] and names[column]:
                in_list.add(names[column])
        # unknown time of nobody in particular is that of everybody
        if any(
            values and names[column] not in values and (row["label"] or names[column])
            for column, values in asked_names.items()
        ):
            continue
        by_scorer = scorers[resolved(whole)]
        rows_of_scorer = by_scorer.setdefault(composed(row.get("scorer", "")), [])
        rows_of_scorer.append((row["label"], times or WHOLE))
        if rows_of_scorer is not next(iter(by_scorer.values())):
            continue
        if not row["label"]:
            unknown[resolved(whole)].append(times or WHOLE)
            continue
        split = row.get("split", "")
        if split and split.lower() not in SPLIT_NAMES:
            raise ClipError(
                path, f"line {number}: split {split!r}", f"expected one of {', '.join(SPLIT_NAMES)}"
            )
        new = _Row(number, row["label"], SPLIT_NAMES.get(split.lower(), ""), **names)
        while times and any(other.label != row["label"] for other in listed.get(file, ())):
            # what two do at the same time is two clips; a later end could overlap what follows
            times = times[0], times[1] - _APART
            file = with_interval(whole, *times)
        for other in listed[file]:  # others may do the same at the same time
            if other[1:3] != new[1:3] or other[3:] == new[3:]:
                duplicate = f"line {number} is a duplicate of line {other.number}: {file}"
                raise ClipError(path, duplicate, "keep one of them")
        listed[file].append(new)
    for column, values in asked_names.items():
        if absent := sorted({*values} - present[column]):
            remedy = f"it has no column {column}; leave out --{column}"
            if present[column]:
                remedy = f"its {column}s are {some_of(sorted(present[column]))}"
            raise ClipError(path, f"no row has the {column} {absent[0]}", remedy)
    existing = {file: rows for file, rows in listed.items() if os.path.exists(file_of(file))}
    missing = [
        ClipError(
            file,
            f"not found (line {rows[0].number} of {path}, class {rows[0].label})",
            "correct its path, which is relative to the list",
        )
        for file, rows in listed.items()
        if file not in existing
    ]
    classes = [*map(composed, asked.class_names)]
    first_rows = {file: rows[0] for file, rows in listed.items()}
    overlaps = _overlaps(
        path,
        {file: row for file, row in first_rows.items() if not classes or row.label in classes},
    )
    if not existing:
        problem = "no row has a label"
        if missing:
            problem = f"none of its clips exists ({len(table.rows)}), such as {missing[0].path}"
        raise ClipError(path, problem, "paths are relative to the list; correct them, or move it")
    existing_labels = {row.label for rows in existing.values() for row in rows}
    labels = [row.label for rows in listed.values() for row in rows]
    if lost := [label for label in labels if label not in existing_labels]:
        problem = f"none of the clips of class {lost[0]} exists ({lost.count(lost[0])})"
        raise ClipError(path, problem, "add some, or remove the class from the list")
    if text := _tiers_text(first_rows.values()):
        notes.append(text)
    if count := sum(map(len, unknown.values())):
        notes.append(f"rows without a label: {count}; no gap is cut from their times")
    second_scorer = {
        file: [*by_scorer.values()][1] for file, by_scorer in scorers.items() if len(by_scorer) > 1
    }
    if second_scorer:
        notes.append(
            f"files that several scorers have labeled: {len(second_scorer)}; the labels of the first "
            "one count, and `evaluate --recordings` says how well the second one agrees"
        )
    shared = {
        name for together in subjects_of_file.values() if len(together) > 1 for name in together
    }
    parts = _by_split(path, existing, notes, shared_subjects=shared)
    return ClipList(
        parts, missing, notes, unknown=unknown, overlaps=overlaps, second_scorer=second_scorer
    )


class _Row(NamedTuple):
    """The values of a clip in a list, "" if there are none; `number` is that of the line."""

    number: int
    label: str
    split: str
    recording: str
    subject: str
    tier: str


def _tiers_text(rows: Iterable[_Row]) -> str:
    """Which labels are in which tiers, in words; "" if there are not several tiers."""
    labels = defaultdict[str, set[str]](set)
    for row in rows:
        if row.tier:
            labels[row.tier].add(row.label)
    if len(labels) < 2:
        return ""
    tiers = [f"{tier} ({some_of(sorted(names))})" for tier, names in sorted(labels.items())]
    return f"tiers, whose labels exclude each other: {some_of(tiers)}"


def _by_split(
    path: Path, listed: Listed, notes: list[str], *, shared_subjects: Collection[str]
) -> Parts:
    """The clips of a list with their recordings, by split; adds notes on what counts as a
    recording.

    Args:
        shared_subjects: those that share a file with others.

    Raises:
        ClipError: a recording in two splits.
    """
    parts: Parts = {}
    split_of: dict[str, tuple[str, int]] = {}  # of recordings
    recordings = _recordings(path.parent, listed, notes, shared=shared_subjects)
    for file, (row, *_) in listed.items():
        recording = recordings[file]
        split, line = split_of.setdefault(recording or str(file), (row.split, row.number))
        if row.split != split:
            problem = f"line {row.number}: recording {recording} is in {row.split}, and in {split} in line {line}"
            raise ClipError(
                path,
                problem,
                "splits must not share it; correct the split, or the column recording",
            )
        # what one of several does, such as resident or intruder, is a tier, too
        tier = row.tier or (row.subject if row.subject in shared_subjects else "")
        clip = Clip(file, row.label, recording, root=path.parent, tier=tier)
        parts.setdefault(split, []).append(clip)
    return parts


def _recordings(
    folder: Path, listed: Listed, notes: list[str], *, shared: Collection[str]
) -> dict[Path, str | None]:
    """The recording of each clip of a list in a folder: clips of one file are of one recording, and
    so are those of one name in the column recording, or of one subject.

    A subject that shares a file with another one is no recording: roles, such as resident and
    intruder, or the animals of a cage would join all files; nor is the only subject of several
    files. A recording has the first of its names,
    or else that of its file; a whole file without a name has no recording.
    """
    rows = [(clip, row) for clip, rows in listed.items() for row in rows]
    files = [file_of(clip) for clip, _ in rows]
    paths = dict[Path, str]()  # of each file the first one
    by_file = [paths.setdefault(resolved(file), relative_name(file, folder)) for file in files]
    given = [row.recording for _, row in rows]
    alone = ["" if row.subject in shared else row.subject for _, row in rows]
    if len({*alone}) == 1 < len({*by_file}) and alone[0]:
        notes.append(
            f"all files are of subject {alone[0]}, so that each is a recording; how well another "
            "subject is recognized is not known"
        )
        alone = [""] * len(rows)
    names = group_names(given, alone, by_file)
    together = "a split keeps the clips of each together"
    if joined := sorted({*given} - {"", *names}):
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
        clip: name if name != path or sizes[name] > 1 or split_interval(clip)[1] else None
        for (clip, _), name, path in zip(rows, names, by_file, strict=True)
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


def _clip_paths(path: Path, table: ListTable) -> list[Path]:
    """The path of the clip in each row of a list.

    Raises:
        ClipError: wrong times; the first few rows that have some are named.
    """
    files = list[Path]()
    errors = list[ClipError]()
    for number, row in table.rows:
        file = _in_folder(path.parent, row["path"])
        try:
            files.append(_with_times(path, number, row, file=file, table=table))
        except ClipError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = [f"{error.found} ({error.remedy})" for error in errors[:_NAMED]]
        if errors[_NAMED:]:
            problems.append(f"and {len(errors) - _NAMED} more")
        raise ClipError(path, "; ".join(problems), "correct these rows")
    return files


def _with_times(
    path: Path, number: int, row: Mapping[str, str], *, file: Path, table: ListTable
) -> Path:
    """The path of the clip in a row, as an interval if the row has times or frames.

    An interval in frames lasts from when `start_frame` is shown to when `end_frame` is. The frames
    of a file that cannot be read are taken for seconds: its clips are left out later.
    """
    in_seconds = bool(table.names.keys() & set(_TIME_COLUMNS))
    columns = _TIME_COLUMNS if in_seconds else _FRAME_COLUMNS
    texts = [row.get(name, "") for name in columns]
    if not any(texts):
        return file
    given = f"line {number}: {columns[0]} {texts[0]!r}, {columns[1]} {texts[1]!r}"
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


def _overlaps(path: Path, listed: Mapping[Path, _Row]) -> Overlaps | None:
    """The clips of a list with different labels that share a part of a file; None if there are
    none.

    Raises:
        ClipError: two of them are of one tier.
    """
    by_file = defaultdict[Path, list[_Labeled]](list)
    for clip, row in listed.items():
        start, end = split_interval(clip)[1] or WHOLE
        by_file[resolved(file_of(clip))].append((start, end, row.number, row.label, row.tier))
    pairs = [
        (file, pair)
        for file, spans in sorted(by_file.items())
        for pair in overlapping(spans)
        if pair[0][3] != pair[1][3]
    ]
    for file, (one, other) in pairs:
        if one[4] and one[4] == other[4]:
            problem = f"{_pair_text(one, other)} of {file} overlap in tier {one[4]}"
            remedy = "labels of one tier exclude each other: correct the times, or the tiers"
            raise ClipError(path, problem, remedy)
    if not pairs:
        return None
    with_whole = [(file, pair) for file, pair in pairs if WHOLE in (pair[0][:2], pair[1][:2])]
    file, pair = (with_whole or pairs)[0]
    more = f", like {len(pairs) - 1} other pairs" if pairs[1:] else ""
    text = f"{_pair_text(*pair)} of {file} overlap{more}"
    return Overlaps(text, file, has_whole=bool(with_whole))


def _pair_text(*pair: _Labeled) -> str:
    return " and ".join(
        f"line {number} ({label}, {_times_text((start, end))})"
        for start, end, number, label, _ in sorted(pair, key=itemgetter(2))
    )


def _times_text(times: Times) -> str:
    return "the whole file" if times == WHOLE else f"{times[0]:g} to {times[1]:g} s"


def fill_gaps(parts: Parts, label: str, unknown: Unknown) -> int:
    """Add clips of a class to those of a list, from the gaps between its intervals (`cut_gaps`);
    returns their number.

    They have the recording and the split of the interval before them, or of the first one.

    Args:
        unknown: unlabeled times of files, from which no gap is cut.
    """
    by_file = defaultdict(list)
    for split, clips in parts.items():
        for clip in clips:
            whole, times = split_interval(clip.path)
            by_file[resolved(whole)].append((times or WHOLE, split, clip))
    cut = {
        file: sorted(rows, key=lambda row: row[0])
        for file, rows in by_file.items()
        if WHOLE not in {times for times, _, _ in rows}
    }
    random = np.random.default_rng(0)
    count = 0
    lengths = map_ahead(_seconds, [file_of(rows[0][2].path) for rows in cut.values()])
    for (file, rows), seconds in zip(cut.items(), lengths, strict=True):
        labeled = [times for times, _, _ in rows]
        for start, end in cut_gaps(labeled, seconds, random, unknown=unknown.get(file, ())):
            before = bisect_left(labeled, (start,)) - 1
            _, split, clip = rows[max(before, 0)]
            path = with_interval(file_of(clip.path), start, end)
            parts[split].append(replace(clip, path=path, label=label))
            count += 1
    return count


def cut_gaps(
    intervals: Sequence[Times],
    seconds: float,
    random: np.random.Generator,
    *,
    unknown: Sequence[Times] = (),
) -> list[Times]:
    """Random intervals in the gaps between those of a recording and the `unknown` ones: at most as
    many as `intervals`, and with the same lengths.

    Different lengths would tell the classes apart. Times are rounded to milliseconds.
    """
    lengths = np.array([end - start for start, end in intervals])
    parts = list[Times]()
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
            parts.append((round(at, 3), round(at + length, 3)))
            at += length
    return sorted(parts[i] for i in random.permutation(len(parts))[: len(intervals)])


def _seconds(file: Path) -> float:
    """The length of a recording; 0 if it cannot be read: an error names its clips later."""
    try:
        # as an interval: its index is then that of the other intervals
        return math.floor(VideoReader(with_interval(file, 0)).seconds * 1000) / 1000
    except ClipError:
        return 0.0


def check_classes(asked: Sequence[str], classes: Iterable[str], data_set: str) -> tuple[str, ...]:
    """The classes that were asked for; all if none were.

    Raises:
        ValueError: an unknown class, one given twice, or fewer than two.
    """
    classes = tuple(classes)
    asked = tuple(map(composed, asked))
    for name in asked:
        if name not in classes:
            raise ValueError(f"{data_set} has no class {name!r}; {suggestion(name, classes)}")
    used = asked or classes
    if len(set(used)) < max(2, len(used)):
        raise ValueError(f"classes are {', '.join(used)}; expected at least 2, each once")
    return used

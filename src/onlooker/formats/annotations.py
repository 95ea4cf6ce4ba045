"""Time intervals and predictions in file formats of other programs: the table `FORMATS`.

A new format is one file and one line in the table; one of another package, `register_format`. The
file has a function `read`, which yields a video and a label for each thing that somebody has labeled:

    def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
        for line, fields in enumerate(csv.reader(path.open()), 1):
            with entry(path, f"line {line}: ", left_out):
                name, start, end, label, tier = fields
                times = parse_time(start), parse_time(end)
                video = find_video(path.parent, name)
                yield video, requested.segment(label, *times, tier=tier, left_out=left_out)

`find_video` searches for the video beside the file (`by_stem`: by its name without suffix; split,
group and scorer: `video._replace`). `requested.segment` checks label and times, in seconds; `tier` is
the group of labels that exclude each other, `subject` who does it; an event without a duration has
the times of `requested.of_point`. Time in which nobody knows what happens is
`unknown_time(start, end)`; what is not read is counted in `left_out`. Within `entry`, a KeyError or
ValueError costs that entry, which is counted and named. A function `write` takes recordings, whose
`labels` are segments. A function `recognizes` tells a file from others of its suffix by the content.
Whatever this module, `convert` and training do with labels, such as merging, splits and tiers, needs
nothing else.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from onlooker.base.files import reading
from onlooker.base.intervals import Times, outside
from onlooker.base.records import ClipError, Prediction, Recording, Segment
from onlooker.base.settings import register, suggestion
from onlooker.data.lists import PROGRAM_SUFFIXES
from onlooker.formats import (
    activitynet,
    bids,
    boris,
    boris_table,
    csv_list,
    elan,
    frame_table,
    label_studio,
    webvtt,
)
from onlooker.formats.labels import (
    DEFAULTS,
    EXPORT_AGAIN,
    Format,
    Requested,
    Video,
    Writer,
    count_of,
    make_label,
    unknown_time,
)
from onlooker.formats.videos import ends_before, length_of, of_first_scorers, timing_of
from onlooker.video.write import is_drawn

__all__ = ["register_format", "write_segments"]
_ONE_NAME = (
    "put each video beside the labels, in the folders that its name has; if both are one video, give "
    "it one name in the labels"
)
_GIVE_ORIGINAL = "put the original beside the labels, or name it there"


def read_labels(
    paths: Iterable[Path],
    requested: Requested = DEFAULTS,
    left_out: Counter[str] | None = None,
) -> list[Recording]:
    """The recordings that files in `FORMATS` label, in seconds of the clock of players: one for
    each video, or several if its labels are of several splits, groups or scorers. Of labels that differ in
    score alone, the best one is kept.

    A video is searched for beside the file; it may be absent. One without labels is left out.

    Args:
        requested: what the files do not say.
        left_out: counts what is in the files and not among the labels, by its kind.

    Raises:
        ValueError: an unknown format, a missing or impossible value (which one is named), several
            names for one video, a drawn clip in place of it, or no labels.
    """
    left_out = Counter() if left_out is None else left_out
    names = dict[str, str]()
    recordings = defaultdict[Video, list[Segment]](list)
    for path in paths:
        videos = defaultdict[Video, list[Segment]](list)
        with reading(path, remedy=EXPORT_AGAIN):
            pairs = [*_format_of(path).read(path, requested, left_out)]
            for video, _ in pairs:
                videos[video]  # in the order of the file
            for video, label in sorted(pairs, key=lambda pair: pair[1].start):
                _require_one_name(path, video, names)
                if not label.label or not ends_before(video.path, label.end):
                    videos[video].append(label)
                    continue
                left_out["intervals that end after their video"] += 1
                if label.start < (end := round(length_of(video.path), 3)):
                    videos[video].append(unknown_time(label.start, end))
        labeled = {
            video.path for video, labels in videos.items() if any(label.label for label in labels)
        }
        if not labeled:
            more = f"; left out: {count_of(left_out)}" if left_out else ""
            remedy = "label times, and export them again; see docs/connect.md"
            raise ClipError(path, f"no time intervals{more}", remedy)
        for video, labels in videos.items():
            if video.path in labeled:
                recordings[video] += labels
    return [
        Recording(
            video.path,
            tuple(label for label in labels if label.label),
            tuple(label.span for label in labels if not label.label),
            group=video.group,
            split=video.split,
            scorer=video.scorer,
        )
        for video, labels in zip(recordings, map(_distinct, recordings.values()), strict=True)
    ]


def _require_one_name(path: Path, video: Video, names: dict[str, str]) -> None:
    """Add a video's name in the file `path` to `names`, by the path of the video.

    Raises:
        ClipError: another name for the same path, or a clip with a drawn prediction.
    """
    absolute = os.path.abspath(video.path)
    if absolute not in names and is_drawn(video.path):
        raise ClipError(path, f"{video.path} is a clip with a drawn prediction", _GIVE_ORIGINAL)
    earlier = names.setdefault(absolute, video.name)
    if earlier != video.name:
        raise ClipError(
            path, f"{earlier} and {video.name} are both read as {video.path}", _ONE_NAME
        )


def _distinct(segments: Iterable[Segment]) -> list[Segment]:
    best = dict[Segment, Segment]()
    for segment in sorted(segments, key=lambda label: (label.start, label.end, -label.score)):
        best.setdefault(replace(segment, score=1.0), segment)
    return [*best.values()]


def unknown_seconds(recordings: Iterable[Recording]) -> dict[Path, float]:
    """Seconds of unknown time by video, without videos that have none: time that is unknown and not
    labeled by its first scorer, as in training, up to the end of the video if it exists.
    """
    labeled = defaultdict[Path, list[Times]](list)
    unlabeled = defaultdict[Path, list[Times]](list)
    for recording in of_first_scorers(recordings):
        labeled[recording.path] += [label.span for label in recording.labels]
        unlabeled[recording.path] += recording.unknown
    seconds = dict[Path, float]()
    for path, times in unlabeled.items():
        if timing := timing_of(path):
            labeled[path].append((timing.end, math.inf))
        if unknown := outside(times, labeled[path]):
            seconds[path] = sum(end - start for start, end in unknown)
    return seconds


def _format_of(path: Path) -> Format:
    """The format of a file, by its suffix and its content."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    find_format(plain)
    readers = [form for form in FORMATS.values() if plain.suffix.lower() in form.read_suffixes]
    return next((form for form in readers if form.recognizes and form.recognizes(path)), readers[0])


def find_format(path: Path, name: str | None = None) -> str:
    """The name of a format, checked; None: from the suffix of the file (.json: ActivityNet)."""
    suffix = path.suffix.lower() or "none"
    for load in (lambda: None, _load_packages):
        load()
        for format_name, form in FORMATS.items():
            if format_name == name if name else form.ending.endswith(suffix):
                return format_name
    problem = f"{path}: no format is called {name or suffix!r}"
    raise ValueError(
        f"{problem}; {suggestion(name or suffix, [*FORMATS])}; export tables as .csv or .tsv"
    )


def find_writer(path: Path, name: str | None = None) -> tuple[str, Writer]:
    """How the name of a file of a format ends, and the function that writes the file; arguments:
    see `find_format`.

    Raises:
        ValueError: no such format, or one that is only read.
    """
    name = find_format(path, name)
    form = FORMATS[name]
    if form.write is None:
        written = [format_name for format_name, form in FORMATS.items() if form.write]
        raise ValueError(f"{path}: {name} is only read; choose {', '.join(written)}")
    return form.ending, form.write


def write_segments(path: Path, prediction: Prediction) -> None:
    """Write the segments of a prediction in the format that the end of its name tells: `.csv`,
    `.vtt` (WebVTT), `.eaf` (ELAN), `-segments.json` (ActivityNet) or `-label-studio.json`.

    Raises:
        ValueError: no such format.
        DiskFullError, NotWritableError: the file cannot be written.
    """
    _, write = find_writer(path)
    write(path, of_prediction(prediction), None)


def of_prediction(prediction: Prediction) -> list[Recording]:
    """The segments of a prediction, in the order of time."""
    labels = [
        make_label(segment.label, segment.start, segment.end, score=segment.score)
        for segment in sorted(prediction.segments, key=lambda segment: segment.start)
    ]
    return [Recording(prediction.path, tuple(labels))]


# By name; the first one with a suffix reads such files, unless another one recognizes the content.
FORMATS = {
    "csv": Format(".csv", csv_list.read, csv_list.write, suffixes=(".csv", ".tsv")),
    "activitynet": Format("-segments.json", activitynet.read, activitynet.write),
    "label-studio": Format(
        "-label-studio.json",
        label_studio.read,
        label_studio.write,
        recognizes=label_studio.recognizes,
    ),
    "elan": Format(".eaf", elan.read, elan.write),
    "webvtt": Format(".vtt", webvtt.read, webvtt.write),
    "boris": Format(".boris", boris.read),
    "boris-table": Format(
        "_boris.csv",
        boris_table.read,
        recognizes=boris_table.recognizes,
        suffixes=(".csv", ".tsv"),
    ),
    "bids": Format("_events.tsv", bids.read, recognizes=bids.recognizes, suffixes=(".csv", ".tsv")),
    "frame-table": Format(
        "_labels.csv",
        frame_table.read,
        recognizes=frame_table.recognizes,
        suffixes=(".csv", ".tsv"),
    ),
}


def register_format(name: str, form: Format) -> None:
    """Add a format of another package or program, for `onlooker convert` and `predict --times`.

    A package declares it as an entry point, which is loaded when no other format has the name or
    the suffix of a file:

        [project.entry-points."onlooker.formats"]
        diary = "my_package:DIARY"

    Args:
        name: not one of another format.
        form: what reads it, and what writes it.

    Raises:
        ValueError: another format has this name.
    """
    register(FORMATS, name, form, kind="a format")
    PROGRAM_SUFFIXES.update(form.read_suffixes)


def _load_packages() -> None:
    for entry_point in entry_points(group="onlooker.formats"):
        register_format(entry_point.name, entry_point.load())

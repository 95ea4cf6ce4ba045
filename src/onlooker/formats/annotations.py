"""Time intervals and predictions in file formats of other programs: the table `FORMATS`."""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from onlooker.base.files import reading
from onlooker.base.intervals import outside
from onlooker.base.records import ClipError, Prediction
from onlooker.base.settings import suggestion
from onlooker.formats import (
    activitynet,
    bids,
    boris,
    csv_list,
    elan,
    frame_table,
    label_studio,
    webvtt,
)
from onlooker.formats.labels import (
    EXPORT_AGAIN,
    NOT_ASKED,
    Asked,
    Format,
    Interval,
    Videos,
    Writer,
    count_of,
    make_interval,
    unknown_interval,
)
from onlooker.formats.videos import ends_before, length_of, timing_of
from onlooker.video.write import is_drawn

__all__ = ["write_segments"]
_ONE_NAME = (
    "put each video beside the labels, in the folders that its name has; if both are one video, give "
    "it one name in the labels"
)
_GIVE_ORIGINAL = "put the original beside the labels, or name it there"


def read_intervals(
    path: Path,
    asked: Asked = NOT_ASKED,
    left_out: Counter[str] | None = None,
    *,
    names: dict[str, str] | None = None,
) -> dict[Path, list[Interval]]:
    """The intervals of a file in one of `FORMATS`, by video, in seconds of the clock of players;
    including unknown time, without a label.

    A video is searched for beside the file; it may be absent.

    Args:
        asked: what the file does not say.
        left_out: counts what is in the file and not among the intervals, by its kind.
        names: what other files call each video, by its path; those of this file are added.

    Raises:
        ValueError: an unknown format, a missing or impossible value (which one is named), several
            names for one video, a drawn clip in place of it, or no intervals.
    """
    left_out = Counter() if left_out is None else left_out
    names = {} if names is None else names
    videos = defaultdict[Path, list[Interval]](list)
    with reading(path, remedy=EXPORT_AGAIN):
        pairs = _format_of(path).read(path, asked, left_out)
        for (video, name), interval in sorted(pairs, key=lambda pair: pair[1].start):
            if os.path.abspath(video) not in names and is_drawn(video):
                raise ClipError(path, f"{video} is a clip with a drawn prediction", _GIVE_ORIGINAL)
            earlier = names.setdefault(os.path.abspath(video), name)
            if earlier != name:
                raise ClipError(path, f"{earlier} and {name} are both read as {video}", _ONE_NAME)
            if interval.label and ends_before(video, interval.end):
                left_out["intervals that end after their video"] += 1
                if interval.start >= (end := length_of(video)):
                    continue
                interval = unknown_interval(interval.start, end)
            videos[video].append(interval)
    labeled = {
        video: intervals
        for video, intervals in videos.items()
        if any(interval.label for interval in intervals)
    }
    if not labeled:
        more = f"; left out: {count_of(left_out)}" if left_out else ""
        remedy = "label times, and export them again; see docs/connect.md"
        raise ClipError(path, f"no time intervals{more}", remedy)
    return labeled


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The intervals in order; of those that differ in score alone, the best one."""
    best = dict[Interval, Interval]()
    for interval in sorted(intervals, key=lambda part: (part.start, part.end, -part.score)):
        best.setdefault(replace(interval, score=1.0), interval)
    return [*best.values()]


def unknown_seconds(videos: Videos) -> dict[Path, float]:
    """The seconds of unknown time of each video that has any: times that only intervals without a
    label cover, as in training, until the end of a video that exists.
    """
    seconds = dict[Path, float]()
    for video, intervals in videos.items():
        timing = timing_of(video)
        labeled = [(part.start, part.end) for part in intervals if part.label]
        if timing:
            labeled.append((timing.end, math.inf))
        unlabeled = [(part.start, part.end) for part in intervals if not part.label]
        if unknown := outside(unlabeled, labeled):
            seconds[video] = sum(end - start for start, end in unknown)
    return seconds


def _format_of(path: Path) -> Format:
    """The format of a file, by its suffix and its content."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    find_format(plain)
    readers = [form for form in FORMATS.values() if plain.suffix.lower() in form.read_suffixes]
    return next((form for form in readers if form.recognizes and form.recognizes(path)), readers[0])


def find_format(path: Path, name: str | None = None) -> str:
    """The name of a format, checked; if None, that of a file's suffix (.json: ActivityNet)."""
    suffix = path.suffix.lower() or "none"
    for format_name, form in FORMATS.items():
        if format_name == name if name else form.ending.endswith(suffix):
            return format_name
    raise ValueError(
        f"{path}: no format is called {name or suffix!r}; {suggestion(name or suffix, [*FORMATS])}"
    )


def find_writer(path: Path, name: str | None = None) -> tuple[str, Writer]:
    """How a file of a format ends, and the function that writes it; the arguments are those of
    `find_format`.

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


def of_prediction(prediction: Prediction) -> Videos:
    """The segments of a prediction, in the order of time."""
    segments = sorted(prediction.segments, key=lambda segment: segment.start)
    intervals = [
        make_interval(segment.label, segment.start, segment.end, score=segment.score)
        for segment in segments
    ]
    return {prediction.path: intervals}


# By name; the first one with a suffix reads such files, unless another one recognizes the content.
FORMATS = {
    "csv": Format(".csv", csv_list.read, csv_list.write, suffixes=(".csv", ".tsv")),
    "activitynet": Format("-segments.json", activitynet.read, activitynet.write),
    "label-studio": Format(
        "-label-studio.json", label_studio.read, label_studio.write, label_studio.recognizes
    ),
    "elan": Format(".eaf", elan.read, elan.write),
    "webvtt": Format(".vtt", webvtt.read, webvtt.write),
    "boris": Format(".boris", boris.read),
    "bids": Format("_events.tsv", bids.read, recognizes=bids.recognizes, suffixes=(".csv", ".tsv")),
    "frame-table": Format(
        "_labels.csv",
        frame_table.read,
        recognizes=frame_table.recognizes,
        suffixes=(".csv", ".tsv"),
    ),
}

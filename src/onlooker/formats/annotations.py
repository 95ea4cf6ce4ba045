"""Time intervals and predictions in file formats of other programs: `FORMATS`; XML is read without
entities.
"""

import html
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, count
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from onlooker.base.files import read_bytes, read_json, reading, write_bytes, write_csv, write_json
from onlooker.base.intervals import (
    Times,
    covered,
    file_of,
    outside,
    overlapping,
    parse_time,
    split_interval,
)
from onlooker.base.progress import note
from onlooker.base.records import ClipError, Prediction, Segment
from onlooker.base.settings import suggestion
from onlooker.base.text import printable, relative_name
from onlooker.data.tables import read_frames, read_table, table_kind
from onlooker.storage import is_address, path_or_address
from onlooker.video.reader import SUFFIXES, VideoReader, frame_bounds, is_video
from onlooker.video.sampling import Timing
from onlooker.video.write import is_drawn

__all__ = ["write_segments"]

_ONE_NAME = (
    "put each video beside the labels, in the folders that its name has; if both are one video, give "
    "it one name in the labels"
)
_GIVE_ORIGINAL = "put the original beside the labels, or name it there"
_EXPORT_AGAIN = "correct it, or export the labels again"
_AROUND = 0.5  # seconds of unknown time before and after an event without duration
_LONGEST = 1e8  # seconds, three years: a later time is a mistake
_END_TOLERANCE = 0.5  # seconds after the end of a video that labels may end: frames are rounded up
_TIME = r"((?:\d+:)?\d\d:\d\d\.\d{3})"
_CUE = re.compile(rf"(?m)^{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?\n((?:.+\n?)*)", re.ASCII)
# in ActivityNet's external_data, where we write the paths of videos from the file's folder
_PATHS = "paths"
# of WebVTT
_VIDEO = "NOTE video "
WATCHED_AGAIN = "NOTE watched again"
_LOCAL_FILES = "/data/local-files/?d="  # how Label Studio names files of its machine
# frames per second by which Label Studio counts, whatever the rate of the video is
_LABEL_STUDIO_RATE = 24.0
_LABEL_STUDIO_COUNTS = (
    "Label Studio counts by frameRate of its tag Video, 24 unless it is set; give another as --fps"
)
_NOT_KNOWN = "n/a"  # in tables of BIDS
_BACKGROUND = "background"  # of DeepEthogram, where nothing happens
_PLAYER = "1"  # of BORIS, whose videos are read; others show the same time
_FRAMES_APART = 2  # by which readers of videos count differently
# of a task, where the tag has frameRate="$fps"
_RATES = frozenset({"fps", "framerate", "frame_rate"})

_ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="onlooker" DATE="" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file://{address}"
 RELATIVE_MEDIA_URL="./{relative}" MIME_TYPE="video/mp4" /></HEADER>
<TIME_ORDER>{slots}</TIME_ORDER>{tiers}
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"
 GRAPHIC_REFERENCES="false" /></ANNOTATION_DOCUMENT>
"""
_ELAN_SLOT = '<TIME_SLOT TIME_SLOT_ID="ts{}" TIME_VALUE="{}" />'
_ELAN_TIER = '\n<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{}">{}</TIER>'
_ELAN_ANNOTATION = (
    '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{1}" TIME_SLOT_REF1="ts{0}" TIME_SLOT_REF2="ts{1}">'
    "<ANNOTATION_VALUE>{2}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
)


@dataclass(frozen=True)
class Interval(Segment):
    """A labeled part of a recording; `split`, `recording`, `subject` and `tier` as in lists of clips,
    "" if they are not known. The label "" stands for unknown time: its labels were left out, or nobody
    has labeled it.
    """

    split: str = ""
    recording: str = ""
    subject: str = ""
    tier: str = ""


class Named(NamedTuple):
    """A video, and its name: its absolute path if labels name that, or else the name that they have
    for a file elsewhere.
    """

    path: Path
    name: str


Videos = Mapping[Path, Sequence[Interval]]  # by the path of the video
Intervals = Iterator[tuple[Named, Interval]]
Writer = Callable[[Path, Videos, float | None], None]
Result = Mapping[str, Any]  # of a task of Label Studio: one label, with its times


class Asked(NamedTuple):
    """What the person who reads a file of labels adds to it.

    Args:
        fps: frames per second by which the file counts frames; None: those of the program that
            wrote it (Label Studio: 24); for a table of frames, those of the video.
        point_seconds: how long an event without a duration lasts, half of it before its time; None:
            it is left out.
    """

    fps: float | None = None
    point_seconds: float | None = None

    def of_point(self, time: float, left_out: Counter[str], label: str) -> tuple[str, Times]:
        """The label and the times of an event without a duration. The label "": the event is left
        out, and the time around it is unknown.
        """
        if self.point_seconds is None:
            left_out[f"events without duration ({label}; --point-seconds gives them one)"] += 1
            return "", (time - _AROUND, time + _AROUND)
        start = max(time - self.point_seconds / 2, 0.0)
        return label, (start, start + self.point_seconds)


NOT_ASKED = Asked()


class Format(NamedTuple):
    """A file format.

    Args:
        ending: the suffix of the file of one clip.
        read: reads a file, and counts what it leaves out by its kind.
        write: writes a file, by frames per second or None; None: the format is only read.

    Frames per second are those of the program that counts the frames, which may not be those of the
    video; where they are used, a note says so.
    """

    ending: str
    read: Callable[[Path, Asked, Counter[str]], Intervals]
    write: Writer | None


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
    with reading(path, remedy=_EXPORT_AGAIN):
        pairs = FORMATS[_format_of(path)].read(path, asked, left_out)
        for (video, name), interval in sorted(pairs, key=lambda pair: pair[1].start):
            if os.path.abspath(video) not in names and is_drawn(video):
                raise ClipError(path, f"{video} is a clip with a drawn prediction", _GIVE_ORIGINAL)
            earlier = names.setdefault(os.path.abspath(video), name)
            if earlier != name:
                raise ClipError(path, f"{earlier} and {name} are both read as {video}", _ONE_NAME)
            if interval.label and _ends_before(video, interval.end):
                left_out["intervals that end after their video"] += 1
                if interval.start >= (end := _length(video)):
                    continue
                interval = _unknown(interval.start, end)
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


def count_of(left_out: Counter[str]) -> str:
    """The kinds of what is left out, with their counts."""
    return ", ".join(f"{number} {kind}" for kind, number in left_out.items())


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
        timing = _timing(video)
        labeled = [(part.start, part.end) for part in intervals if part.label]
        if timing:
            labeled.append((timing.end, math.inf))
        unlabeled = [(part.start, part.end) for part in intervals if not part.label]
        if unknown := outside(unlabeled, labeled):
            seconds[video] = sum(end - start for start, end in unknown)
    return seconds


def _format_of(path: Path) -> str:
    """The name of the format of a file: of several with its suffix, by its content."""
    name = find_format(path.with_suffix("") if path.suffix.lower() == ".gz" else path)
    if name == "activitynet" and read_bytes(path).lstrip()[:1] == b"[":
        return "label-studio"
    if name in _TABLES.values():
        return _TABLES[table_kind(path)]
    return name


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
    ending, _, write = FORMATS[name]
    if write is None:
        written = [format_name for format_name, form in FORMATS.items() if form.write]
        raise ValueError(f"{path}: {name} is only read; choose {', '.join(written)}")
    return ending, write


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


def make_interval(
    label: object,
    start: float | str,
    end: float | str,
    *,
    score: float | str = 1,
    split: str = "",
    recording: str = "",
    subject: str = "",
    tier: str = "",
) -> Interval:
    """An interval of checked values; the label fits into one line of any format."""
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"label is {label!r}, expected a name")
    if float(end) > _LONGEST:
        raise ValueError(f"end is {float(end):g} s, expected at most {_LONGEST:g}")
    name = printable(" ".join(label.split()))
    return Interval(
        name,
        round(float(start), 3),
        round(float(end), 3),
        score=float(score),
        split=split,
        recording=recording,
        subject=subject,
        tier=tier,
    )


def _unknown(start: float, end: float) -> Interval:
    """Unknown time, from zero on; of a moment, the time around it."""
    around = 0.0 if start < end else _AROUND
    return Interval("", round(max(start - around, 0.0), 3), round(end + around, 3))


def _find(folder: Path, name: str, url: bool = False) -> Named:
    """The video that labels name by a path, a file:// address or one of Label Studio: searched for
    beside the labels, with as many of the folders of its path as exist there.

    Args:
        url: the name may have escapes such as %20.
    """
    if not name:
        raise ValueError("no name of a video")
    if is_address(name) and not name.startswith("file:"):
        return Named(Path(name), name)
    name = name.partition(_LOCAL_FILES)[2] or name
    elsewhere = os.path.isabs(name) or "://" in name or re.match(r"[A-Za-z]:[\\/]", name)
    as_named = list[str]()
    ends = list[str]()
    uploads = list[str]()
    for path in (unquote(name), name) if url else (name,):
        slashes = path.replace("\\", "/")
        parts = slashes.removeprefix("file://").split("/")
        as_named += [path, slashes]
        ends += ["/".join(parts[i:]) for i in range(len(parts))]
        # Label Studio's prefix of uploads
        uploads.append(
            re.sub(r"^[0-9a-f]{8}-", "", parts[-1]) if "/upload/" in slashes else parts[-1]
        )
    for path in (*as_named, *ends, *uploads):
        file = file_of(folder / path)
        if path and os.path.exists(file):
            if path in as_named or os.path.isabs(path):
                return _by_path(folder / path)
            if not is_drawn(file):
                return Named(folder / path, name)
    return Named(folder / uploads[0], name) if elsewhere else _by_path(folder / as_named[1])


def _by_path(path: Path) -> Named:
    return Named(path, os.path.abspath(path))


def _by_stem(folder: Path) -> dict[str, Named]:
    """The videos of a folder; of several with one name an original, not a drawn clip."""
    videos = dict[str, Path]()
    for path in sorted(folder.iterdir(), reverse=True):
        if is_video(path) and not (path.stem in videos and is_drawn(path)):
            videos[path.stem] = path
    return {stem: _by_path(path) for stem, path in videos.items()}


@lru_cache(64)  # as `frame_bounds`
def _timing(video: Path) -> Timing | None:
    """When the frames of a video are shown; None: it is not there, or cannot be read."""
    try:
        return VideoReader(video).timing
    except ClipError:
        return None


def _length(video: Path) -> float:
    """When the last frame of a video ends, in seconds."""
    if (timing := _timing(video)) is None:
        raise ClipError(video, "its length is not known", "put it beside the labels")
    return timing.end


def _ends_before(video: Path, seconds: float) -> bool:
    """Whether a video, if its times are known, ends before a time."""
    timing = _timing(video)
    return timing is not None and not timing.assumes_rate and seconds > timing.end + _END_TOLERANCE


def _seconds(video: Path, frame: int, rate: float) -> float:
    """The time of a frame, counted from 0, in a program that counts equally spaced ones, as
    browsers do.

    Raises:
        ValueError: the video ends before this time: the rate is another.
    """
    seconds = math.floor(1000 * frame / rate + 0.001) / 1000  # as `frame_bounds`
    if _ends_before(video, seconds):
        late = f"frame {frame} at {rate:g} per second is at {seconds:g} s, after the end of {video}"
        raise ValueError(f"{late}; {_LABEL_STUDIO_COUNTS}")
    return seconds


def _one_video(path: Path, videos: Videos) -> tuple[Path, Sequence[Interval]]:
    if len(videos) != 1:
        raise ValueError(
            f"{path}: holds the times of one video, not of {len(videos)}; choose another format"
        )
    return next(iter(videos.items()))


def _whole(videos: Videos) -> Videos:
    """The intervals by whole files: those of a part of a file are moved to the file's times."""
    files = defaultdict[Path, list[Interval]](list)
    for video, intervals in videos.items():
        file, times = split_interval(video)
        begin = times[0] if times else 0.0
        files[file] += [
            replace(part, start=part.start + begin, end=part.end + begin) for part in intervals
        ]
    return files


def _name(video: Path, folder: Path) -> str:
    """The name of a video in files of a folder: its address, or its path relative to the folder."""
    name = path_or_address(video)
    return name if is_address(name) else relative_name(video, folder)


def _read_csv(path: Path, _: Asked, left_out: Counter[str]) -> Intervals:
    table = read_table(
        path,
        ("path", "start", "end", "label"),
        ("split", "recording", "subject", "tier", "score"),
    )
    left_out.update(f"column {name}" for name in table.header if name not in table.names.values())
    for line, row in table.rows:
        with reading(path, f"line {line}: ", _EXPORT_AGAIN):
            start = parse_time(row["start"])
            end = parse_time(row["end"])
            names = {name: row.get(name, "") for name in ("split", "recording", "subject", "tier")}
            score = row.get("score") or 1
            interval = _unknown(start, end)
            if row["label"]:
                interval = make_interval(row["label"], start, end, score=score, **names)
            yield _find(path.parent, row["path"]), interval


def _write_csv(path: Path, videos: Videos, _: float | None) -> None:
    rows = [
        {"path": _name(file, path.parent), **vars(interval)}
        for file, intervals in _whole(videos).items()
        for interval in intervals
    ]
    columns = ["path", "start", "end", "label"]
    usual = {"split": "", "recording": "", "subject": "", "tier": "", "score": 1}
    columns += [name for name, value in usual.items() if any(row[name] != value for row in rows)]
    write_csv(path, [columns, *([row[name] for name in columns] for row in rows)])


def _read_activitynet(path: Path, _: Asked, left_out: Counter[str]) -> Intervals:
    values = read_json(path)
    beside = _by_stem(path.parent)
    external = values.get("external_data")
    paths = external.get(_PATHS, {}) if isinstance(external, dict) else {}
    for name, entry in values["database" if "database" in values else "results"].items():
        with reading(path, f"video {name}: ", _EXPORT_AGAIN):
            named = beside.get(name)
            if named is None and (prefixed := beside.get(f"v_{name}")):
                named = prefixed._replace(name=name)
            if name in paths or named is None:
                named = _find(path.parent, paths.get(name, f"{name}.mp4"))
            split = "" if isinstance(entry, list) else entry.get("subset", "")
            events = entry if isinstance(entry, list) else entry["annotations"]
            if not events:
                left_out["videos without labels"] += 1
            for event in events:
                start, end = event["segment"]
                yield (
                    named,
                    make_interval(
                        event["label"], start, end, score=event.get("score", 1), split=split
                    ),
                )


def _write_activitynet(path: Path, videos: Videos, _: float | None) -> None:
    videos = _whole(videos)
    results = {
        video.stem: [
            {
                "label": interval.label,
                "segment": [interval.start, interval.end],
                "score": interval.score,
            }
            for interval in intervals
        ]
        for video, intervals in videos.items()
    }
    if len(results) < len(videos):
        raise ValueError(
            f"{path}: videos in different folders have the same name; choose another format"
        )
    # without it, a drawn clip of the same name next to the file would be taken for the video
    paths = {video.stem: _name(video, path.parent) for video in videos}
    write_json(
        path, {"version": "VERSION 1.3", "results": results, "external_data": {_PATHS: paths}}
    )


def _read_label_studio(path: Path, asked: Asked, left_out: Counter[str]) -> Intervals:
    """The labels of the first annotation of each task that was not canceled, or else of its first
    prediction. The times of all other results are unknown.
    """
    rates = set[float]()
    for number, task in enumerate(read_json(path, list), 1):
        with reading(path, f"task {number}: ", _EXPORT_AGAIN):
            video = _label_studio_video(path.parent, task["data"])
            answers = [answer for answer in task["annotations"] if not answer.get("was_cancelled")]
            answers = answers or task.get("predictions") or []
            results, *further = [answer["result"] for answer in answers] or [[]]
            if not results:
                left_out["tasks without labels"] += 1
            left_out.update("further annotations of a task" for _ in further)
            rate = asked.fps or _label_studio_rate(task["data"])
            if any("ranges" in result.get("value", {}) for result in results):
                rates.add(rate)
            labeled, unlabeled = _labeled_intervals(video.path, results, rate)
            left_out.update(
                f"results of kind {result.get('type', 'choices')}" for result in unlabeled
            )
            yield from ((video, interval) for interval in labeled)
            for result in (*chain(*further), *unlabeled):
                for interval in _result_intervals(video.path, result, rate):
                    yield video, _unknown(interval.start, interval.end)
    if rates:
        by = " or ".join(f"{rate:g}" for rate in sorted(rates))
        note(f"{path}: frames are read as {by} per second; {_LABEL_STUDIO_COUNTS}")


def _label_studio_video(folder: Path, data: Mapping[str, Any]) -> Named:
    """The video of a task: the value of its data that names one, whatever the value is called."""
    for value in map(str, data.values()):
        if _LOCAL_FILES in value or Path(value).suffix.lower() in SUFFIXES:
            return _find(folder, value, url=True)
    return _find(folder, data["video"], url=True)


def _labeled_intervals(
    video: Path, results: Iterable[Result], rate: float
) -> tuple[list[Interval], list[Result]]:
    """The labeled intervals of an annotation, and its results that have none."""
    labeled = list[Interval]()
    unlabeled = list[Result]()
    for result in results:
        intervals = [*_result_intervals(video, result, rate)]
        if any(interval.label for interval in intervals):
            labeled += intervals
        else:
            unlabeled.append(result)
    labels = [label for result in unlabeled for label in result.get("value", {}).get("choices", ())]
    if len(labels) == 1 and not labeled:
        return [make_interval(labels[0], 0, _length(video))], []
    return labeled, unlabeled


def _label_studio_rate(data: Mapping[str, Any]) -> float:
    """Frames per second by which Label Studio counts the frames of a task, unless its tag has a
    number: that in its data, or 24 if there is none, or no number.
    """
    for name, value in data.items():
        if name.casefold() in _RATES:
            with suppress(ValueError, TypeError):
                if math.isfinite(rate := float(value)) and rate > 0:
                    return rate
    return _LABEL_STUDIO_RATE


def _result_intervals(video: Path, result: Result, rate: float) -> Iterator[Interval]:
    """The intervals of a result, one for each time and label; without a label, the time is unknown.
    Results of other kinds have none.
    """
    value = result.get("value", {})  # a relation of two results has none
    score = 1 if result.get("score") is None else result["score"]
    labels = value.get("timelinelabels") or value.get("labels") or value.get("choices") or ()
    is_timeline = "timelinelabels" in value or "ranges" in value
    for start, end in _timeline(video, value, rate) if is_timeline else _sound(value):
        if not labels:
            yield _unknown(start, end)
        yield from (make_interval(label, start, end, score=score) for label in labels)


def _timeline(video: Path, value: Mapping[str, Any], rate: float) -> list[Times]:
    """The times of labels of a video's timeline: frames from 1, the last one included."""
    return [
        (_seconds(video, span["start"] - 1, rate), _seconds(video, span["end"], rate))
        for span in value["ranges"]
    ]


def _sound(value: Mapping[str, Any]) -> list[Times]:
    """The times of labels of a sound track, in seconds; of a text, start and end count characters."""
    is_sound = "start" in value and not value.keys() & {"text", "startOffset"}
    return [(value["start"], value["end"])] if is_sound else []


def _write_label_studio(path: Path, videos: Videos, fps: float | None) -> None:
    rate = fps or _LABEL_STUDIO_RATE
    note(
        f"label-studio: frames are written as {rate:g} per second; {_LABEL_STUDIO_COUNTS}",
        once=True,
    )
    tasks = []
    for video, intervals in _whole(videos).items():
        name = _name(video, path.parent)
        result = list[dict[str, Any]]()
        for interval in intervals:
            # frames count from 1, and the last one is included
            start = round(interval.start * rate) + 1
            span = {"start": start, "end": max(start, round(interval.end * rate))}
            value = {"ranges": [span], "timelinelabels": [interval.label]}
            names = {"from_name": "timelineLabels", "to_name": "video", "type": "timelinelabels"}
            result.append({**names, "value": value, "score": interval.score})
        address = name if is_address(name) else _LOCAL_FILES + quote(name, errors="replace")
        data = {"video": address, "fps": rate}  # for frameRate="$fps"
        predictions = [{"model_version": "onlooker", "result": result}]
        tasks.append({"data": data, "annotations": [], "predictions": predictions})
    write_json(path, tasks)


def _read_elan(path: Path, _: Asked, left_out: Counter[str]) -> Intervals:
    """The aligned annotations of all tiers; an empty one is labeled by its tier. A tier that is
    named like its only label, as `_write_elan` names them, is no tier of a list.
    """
    text = read_bytes(path).decode("utf-8-sig")
    if "<!DOCTYPE" in text:
        raise ValueError("declarations of entities or of a document type")
    root = ElementTree.fromstring(text)
    for header in root.iterfind("HEADER[@TIME_UNITS]"):
        if (unit := header.attrib["TIME_UNITS"]) != "milliseconds":
            raise ValueError(f"TIME_UNITS is {unit!r}, expected milliseconds")
    files = root.findall("HEADER/MEDIA_DESCRIPTOR")
    if not files:
        raise KeyError("MEDIA_DESCRIPTOR")
    # others are sound
    shown = (file for file in files if Path(file.get("MEDIA_URL", "")).suffix.lower() in SUFFIXES)
    media = next(shown, files[0])
    address = media.get("RELATIVE_MEDIA_URL") or media.attrib["MEDIA_URL"]
    video = _find(path.parent, address.removeprefix("./"), url=True)
    origin = int(media.get("TIME_ORIGIN", 0))  # milliseconds of the video at time 0 of the labels
    slots = {slot.attrib["TIME_SLOT_ID"]: slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    times = {slot: (origin + int(time)) / 1000 for slot, time in slots.items() if time is not None}
    order = [*slots]
    left_out.update("annotations without times of their own" for _ in root.iter("REF_ANNOTATION"))
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID") or ""
        values = {(text.text or "").strip() for text in tier.iter("ANNOTATION_VALUE")}
        group = "" if values <= {name, ""} else name
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            with reading(
                path,
                f"tier {name}, annotation {annotation.get('ANNOTATION_ID')}: ",
                _EXPORT_AGAIN,
            ):
                start, end = (annotation.attrib[f"TIME_SLOT_REF{number}"] for number in (1, 2))
                if not {start, end} <= times.keys():  # a part of another annotation
                    left_out["annotations without times of their own"] += 1
                    before = [times.get(slot, 0.0) for slot in order[: order.index(start) + 1]]
                    after = [times[slot] for slot in order[order.index(end) :] if slot in times]
                    yield video, _unknown(max(before), min([*after, _LONGEST]))
                    continue
                label = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
                interval = make_interval(
                    label or name,
                    times[start],
                    times[end],
                    subject=tier.get("PARTICIPANT", "").strip(),
                    tier=group,
                )
                yield video, interval


def _write_elan(path: Path, videos: Videos, _: float | None) -> None:
    """A tier per class, or several: annotations of one tier must not overlap."""
    video, intervals = _one_video(path, _whole(videos))
    slots = list[int]()
    tiers: dict[str, list[str]] = {}
    ends: dict[str, int] = {}  # of the last annotation of each tier
    for interval in sorted(intervals, key=attrgetter("label", "start")):
        label = html.escape(interval.label)
        start = round(interval.start * 1000)
        end = max(start + 1, round(interval.end * 1000))
        names = (label if number == 1 else f"{label} ({number})" for number in count(1))
        tier = next(name for name in names if ends.get(name, 0) <= start)
        ends[tier] = end
        slots += [start, end]
        tiers.setdefault(tier, []).append(
            _ELAN_ANNOTATION.format(len(slots) - 1, len(slots), label)
        )
    order = sorted(enumerate(slots, 1), key=lambda slot: slot[1])
    text = _ELAN.format(
        address=html.escape(quote(str(video.absolute()), errors="replace")),
        relative=html.escape(quote(_name(video, path.parent), errors="replace")),
        slots="".join(_ELAN_SLOT.format(*slot) for slot in order),
        tiers="".join(_ELAN_TIER.format(label, "".join(texts)) for label, texts in tiers.items()),
    )
    write_bytes(path, text.encode(errors="backslashreplace"))


def _read_webvtt(path: Path, _: Asked, left_out: Counter[str]) -> Intervals:
    """The cues of the video that a note names (`_write_webvtt`), or else of that of the same name
    beside the file.
    """
    text = "\n".join(read_bytes(path).decode("utf-8-sig").splitlines())
    if not text.startswith("WEBVTT"):
        raise ValueError("no WEBVTT in the first line")
    cues = [*_CUE.finditer(text)]
    if len(cues) < text.count("-->"):
        raise ValueError(f"{text.count('-->') - len(cues)} cues whose times cannot be read")
    if "X-TIMESTAMP-MAP" in text:
        raise ValueError("times of a stream (X-TIMESTAMP-MAP), not of its file")
    if WATCHED_AGAIN in text:
        raise ValueError("times of a stream that was watched several times, each from 0")
    video = _by_stem(path.parent).get(path.stem) or _by_path(path.with_suffix(".mp4"))
    if named := re.search(rf"(?m)^{_VIDEO}(.+)$", text):
        video = _find(path.parent, unquote(named[1]))
    for number, cue in enumerate(cues, 1):
        with reading(path, f"cue {number}: ", _EXPORT_AGAIN):
            start, end = map(parse_time, cue.groups()[:2])
            yield video, make_interval(html.unescape(re.sub("<[^<>]*>", "", cue[3])), start, end)


def _write_webvtt(path: Path, videos: Videos, _: float | None) -> None:
    """The cues, after a note with the path of the video: a drawn clip may have the file's name.

    Cues of a part of a video count from its beginning, as in the drawn clip.
    """
    video, intervals = _one_video(path, videos)
    name = quote(_name(video, path.parent), safe="/#=,: ", errors="replace")
    lines = ["WEBVTT\n", f"{_VIDEO}{name}\n", *map(webvtt_cue, intervals)]
    write_bytes(path, "\n".join(lines).encode(errors="backslashreplace"))


def webvtt_cue(interval: Interval) -> str:
    """An interval as lines of WebVTT."""
    times = f"{_clock(interval.start)} --> {_clock(max(interval.end, interval.start + 0.001))}"
    return f"{times}\n{html.escape(interval.label, quote=False)}\n"


def _clock(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return (
        f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
    )


def _read_boris(path: Path, asked: Asked, left_out: Counter[str]) -> Intervals:
    """The states of a project; categories that overlap others, but not themselves, are tiers."""
    pairs = [*_boris_intervals(path, asked, left_out)]
    by_video = defaultdict[Path, list[tuple[float, float, str, str]]](list)
    for (video, _), part in pairs:
        by_video[video].append((part.start, part.end, part.label, part.tier))
    apart = set[str]()
    mixed = set[str]()
    for one, other in chain.from_iterable(map(overlapping, by_video.values())):
        if one[3] != other[3]:
            apart |= {one[3], other[3]}
        elif one[2] != other[2]:
            mixed.add(one[3])
    for named, interval in pairs:
        is_tier = interval.tier in apart - mixed
        yield named, interval if is_tier else replace(interval, tier="")


def _boris_intervals(path: Path, asked: Asked, left_out: Counter[str]) -> Intervals:
    """The states of a project, with their categories as tiers. One that was not stopped ends with
    its observation, as BORIS repairs it. What is left out, and what no observation with events
    covers, is unknown time.
    """
    project = read_json(path)
    behaviors = project["behaviors_conf"].values()
    kinds = {behavior["code"]: behavior["type"].lower() for behavior in behaviors}
    categories = {behavior["code"]: str(behavior.get("category") or "") for behavior in behaviors}
    watched = defaultdict[Named, list[Times]](list)
    lengths = dict[Named, float]()
    unstopped = Counter[str]()
    for name, observation in project["observations"].items():
        with reading(path, f"observation {name}: ", _EXPORT_AGAIN):
            players = observation["file"] if isinstance(observation["file"], dict) else {}
            for player, files in players.items():
                if player != _PLAYER and files:
                    left_out[f"videos of player {player}"] += len(files)
            media = _boris_media(path.parent, players.get(_PLAYER, []), observation)
            if not media:
                left_out["events without a media file"] += len(observation["events"])
                continue
            lengths |= {file.video: file.length for file in media}
            begin, stop = observation.get("observation time interval") or (0, 0)
            if observation["events"]:
                for video, part in _boris_parts(media, begin, stop or math.inf):
                    watched[video].append(part)
            for label, subject, start, end in _boris_spans(
                observation, kinds, left_out, asked=asked
            ):
                if end == math.inf:
                    unstopped[label] += 1
                    file = media[-1]
                    length = file.length if file.length < math.inf else _length(file.video.path)
                    end = min(file.begin + length, stop or math.inf)
                for video, part in _boris_parts(media, start, end):
                    interval = _unknown(*part)
                    if label:
                        interval = make_interval(
                            label, *part, subject=subject, tier=categories[label]
                        )
                    yield video, interval
    for video, times in watched.items():
        parts = covered(times)
        begins = [0.0, *(end for _, end in parts)]
        for begin, end in zip(begins, [*(start for start, _ in parts), math.inf], strict=True):
            if begin < (end := min(end, lengths[video], _LONGEST)):
                yield video, _unknown(begin, end)
    del unstopped[""]
    if unstopped:
        note(f"{path}: not stopped, so until the observation ends: {count_of(unstopped)}")


class _Media(NamedTuple):
    """A media file of an observation: its start there, and its length; inf: unknown."""

    video: Named
    begin: float
    length: float


def _boris_media(folder: Path, files: Sequence[str], observation: dict[str, Any]) -> list[_Media]:
    """The media files of an observation that were watched one after another."""
    lengths = observation.get("media_info", {}).get("length", {})
    media = list[_Media]()
    begin = 0.0
    for file in files:
        video = _find(folder, file)
        length = lengths[file] if file != files[-1] else lengths.get(file, math.inf)
        media.append(_Media(video, begin, length))
        begin += length
    if media and (timing := _timing(media[-1].video.path)) and not timing.assumes_rate:
        media[-1] = media[-1]._replace(length=timing.end)
    return media


def _boris_parts(
    media: Sequence[_Media], start: float, end: float
) -> Iterator[tuple[Named, Times]]:
    """An interval of an observation as intervals of its files; the last file may be longer than its
    stated length.
    """
    for file in media:
        limit = math.inf if file is media[-1] else file.length
        part = max(start - file.begin, 0.0), min(end - file.begin, limit)
        if round(part[0], 3) < round(part[1], 3):
            yield file.video, part


def _boris_spans(
    observation: dict[str, Any],
    kinds: Mapping[str, str],
    left_out: Counter[str],
    *,
    asked: Asked,
) -> Iterator[tuple[str, str, float, float]]:
    """The behaviors, subjects, starts and ends of the events of an observation. The behavior "" is
    what is left out; the end of a state that was not stopped is inf.
    """
    offset = observation.get("time offset", 0)
    offset += observation.get("media_info", {}).get("offset", {}).get(_PLAYER, 0)
    begun: dict[tuple[str, str, str], float] = {}  # by subject, behavior and modifiers
    labels = {code: code for code, kind in kinds.items() if kind.startswith("state")}
    for time, subject, behavior, modifiers, *_ in observation["events"]:
        event = subject, behavior, modifiers
        at = time - offset
        if behavior not in kinds:
            left_out[f"events that are no behavior of the project ({behavior})"] += 1
        is_point = behavior in kinds and behavior not in labels
        if is_point or begun.get(event, -math.inf) >= at:
            begun.pop(event, None)
            label, (start, end) = asked.of_point(at, left_out, behavior)
            yield label, subject, start, end
        elif event in begun:
            yield labels.get(behavior, ""), subject, begun.pop(event), at
        else:
            begun[event] = at
    for (subject, behavior, _), start in begun.items():
        yield labels.get(behavior, ""), subject, start, math.inf


def _read_bids(path: Path, asked: Asked, left_out: Counter[str]) -> Intervals:
    """The events of the video whose name is, or begins with, that of the file without `_events`."""
    table = read_table(path, ("onset", "duration", "trial_type"))
    left_out.update(f"column {name}" for name in table.header if name not in table.names.values())
    begin = path.stem.removesuffix("_events")
    videos = {
        named
        for stem, named in _by_stem(path.parent).items()
        if stem == begin or stem.startswith(f"{begin}_")
    }
    if len(videos) > 1:
        names = " or ".join(sorted(video.path.name for video in videos))
        raise ClipError(path, f"events of {names}", "keep the video that was labeled beside it")
    named = videos.pop() if videos else _by_path(path.with_name(f"{begin}.mp4"))
    subject = re.match(r"sub-[^_]+", begin)
    for line, row in table.rows:
        with reading(path, f"line {line}: ", _EXPORT_AGAIN):
            label = row["trial_type"]
            start = float(row["onset"])
            seconds = 0.0 if row["duration"] == _NOT_KNOWN else float(row["duration"])
            end = start + seconds
            if not seconds:
                label, (start, end) = asked.of_point(start, left_out, label)
            if label == _NOT_KNOWN:
                left_out["events without trial_type"] += 1
            if end <= 0:
                left_out["events before the video"] += 1
            elif label in ("", _NOT_KNOWN):
                yield named, _unknown(start, end)
            else:
                whose = subject[0] if subject else ""
                yield named, make_interval(label, max(start, 0.0), end, subject=whose)


def _read_frame_table(path: Path, asked: Asked, left_out: Counter[str]) -> Intervals:
    """The behaviors of a table with a row for each frame, except `background`, which marks the
    gaps. Frames that nobody labeled, or that have no row, are unknown time.
    """
    names, numbers, states = read_frames(path)
    video = _video_of_table(path)
    bounds = _frame_times(path, video.path, int(numbers[-1]) + 1, fps=asked.fps)
    shown = np.full((len(bounds) - 1, len(names)), -1, np.int8)
    shown[numbers] = states
    behaviors = {
        name: shown[:, place] == 1
        for place, name in enumerate(names)
        if name.casefold() != _BACKGROUND and (states[:, place] == 1).any()
    }
    columns = ", ".join(behaviors)
    note(f"columns that have 0 and 1 alone are read as behaviors: {columns}", once=True)
    for start, end in _spans((shown == -1).any(1), bounds):
        yield video, _unknown(start, end)
    if (timing := _timing(video.path)) and timing.end > bounds[-1]:
        yield video, _unknown(bounds[-1], timing.end)
    for name, marks in behaviors.items():
        for start, end in _spans(marks, bounds):
            yield video, make_interval(name, start, end)


def _video_of_table(path: Path) -> Named:
    """The video of a table of frames: of the same name, beside it (DeepEthogram's ends in _labels),
    or among the videos of a project of SimBA.
    """
    stem = re.sub("_(labels|predictions)$", "", path.stem)
    for folder in (path.parent, *(above / "videos" for above in path.absolute().parents[2:3])):
        beside = _by_stem(folder) if folder.is_dir() else {}
        if video := beside.get(path.stem) or beside.get(stem):
            return video
    return _by_path(path.with_name(f"{stem}.mp4"))


def _frame_times(path: Path, video: Path, count: int, *, fps: float | None) -> list[float]:
    """When each frame of a table is shown, and when the last one ends, in seconds.

    Raises:
        ClipError: frames per second are neither asked for nor those of a video with as many frames.
    """
    if fps:
        return [math.floor(1000 * frame / fps + 0.001) / 1000 for frame in range(count + 1)]
    timing = _timing(video)
    if timing is None or timing.assumes_rate:
        problem = f"the frames per second of {video} are not known"
        raise ClipError(path, problem, "put it beside the table, or give --fps")
    bounds = frame_bounds(video)
    frames = len(bounds) - 1
    if abs(count - frames) > _FRAMES_APART:
        problem = f"{count} frames, and {video} has {frames}"
        raise ClipError(path, problem, "give the rows per second as --fps, or the right video")
    return [float(bounds[min(frame, frames)]) for frame in range(max(count, frames) + 1)]


def _spans(marks: NDArray[np.bool_], bounds: Sequence[float]) -> Iterator[Times]:
    """The times of the runs of marked frames."""
    changes = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    for start, end in changes.reshape(-1, 2).tolist():
        if bounds[start] < bounds[end]:
            yield bounds[start], bounds[end]


FORMATS = {
    "csv": Format(".csv", _read_csv, _write_csv),
    "activitynet": Format("-segments.json", _read_activitynet, _write_activitynet),
    "label-studio": Format("-label-studio.json", _read_label_studio, _write_label_studio),
    "elan": Format(".eaf", _read_elan, _write_elan),
    "webvtt": Format(".vtt", _read_webvtt, _write_webvtt),
    "boris": Format(".boris", _read_boris, None),
    "bids": Format("_events.tsv", _read_bids, None),
    "frame-table": Format("_labels.csv", _read_frame_table, None),
}
_TABLES = {"list": "csv", "events": "bids", "frames": "frame-table"}

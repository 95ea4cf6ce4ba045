"""Time intervals and predictions in file formats of other programs: `FORMATS`; XML is read without entities."""

import csv
import html
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from onlooker.data.tables import read_table
from onlooker.files import printable, read_bytes, read_json, write_bytes, write_json
from onlooker.intervals import as_cut, parse_time, split_interval
from onlooker.settings import suggestion
from onlooker.storage import is_address, path_or_address
from onlooker.structures import ClipError, Prediction, Segment
from onlooker.video.reader import SUFFIXES, VideoReader, is_video

__all__ = ["FORMATS", "Interval", "read_intervals"]

MIN_SCORE = 0.3  # probability of a class in the whole clip, from which on it gets boxes and times in files
_LONGEST = 1e8  # seconds, three years: a later time is a mistake
_LOCAL_FILES = "/data/local-files/?d="  # how Label Studio names files of its machine


@dataclass(frozen=True)
class Interval(Segment):
    """A labeled part of a recording; `split` and `recording` as in lists of clips, "" if they are not known."""

    split: str = ""
    recording: str = ""


Videos = Mapping[Path, Sequence[Interval]]  # by the path of the video
Found = Iterator[tuple[Path, Interval]]


class Format(NamedTuple):
    """A file format.

    Args:
        ending: how a file for one clip ends.
        read, write: read and write a file, by frames per second or None.
        module: the optional module that writing needs, if any.
    """

    ending: str
    read: Callable[[Path, float | None], Found]
    write: Callable[[Path, Videos, float | None], None]
    module: str = ""


def read_intervals(path: Path, fps: float | None = None) -> dict[Path, list[Interval]]:
    """The intervals of a file in one of `FORMATS`, by video. A video is searched for beside the file; it may be absent.

    Args:
        fps: frames per second at which the file counts frames, if it does; None: those of the videos.

    Raises:
        ClipError: an unknown format, a missing or impossible value (which one is named), or no intervals.
        RuntimeError: a package that is not installed.
    """
    name, videos = find_format(path), dict[Path, list[Interval]]()
    if name == "activitynet" and read_bytes(path).lstrip()[:1] == b"[":
        name = "label-studio"
    with _naming(path, "the file"):
        for video, interval in sorted(FORMATS[name].read(path, fps), key=lambda each: each[1].start):
            videos.setdefault(video, []).append(interval)
    if not videos:
        raise ClipError(path, "no time intervals", "label times, and export them again; see docs/connect.md")
    return videos


def find_format(path: Path, name: str | None = None) -> str:
    """The name of a format, checked; if None, that of a file's suffix (.json: ActivityNet)."""
    suffix = path.suffix.lower() or "none"
    found = [each for each, of in FORMATS.items() if (each == name if name else of.ending.endswith(suffix))]
    if not found:
        raise ValueError(f"{path}: no format is called {name or suffix!r}; {suggestion(name or suffix, [*FORMATS])}")
    return found[0]


def of_prediction(prediction: Prediction) -> Videos:
    """The segments of classes whose probability in the whole clip reaches `MIN_SCORE`."""
    scores = dict(zip(prediction.classes, prediction.scores.tolist(), strict=True))
    segments = sorted(prediction.segments, key=lambda segment: segment.start)
    return {prediction.path: [make_interval(**vars(each)) for each in segments if scores[each.label] >= MIN_SCORE]}


def import_optional(name: str, extra: str = "labels") -> Any:
    """A module that an extra installs; a RuntimeError names the extra if it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise RuntimeError(f'{name.partition(".")[0]} is not installed; pip install "onlooker[{extra}]"') from error


def make_interval(label: Any, start: Any, end: Any, score: Any = 1, split: str = "", recording: str = "") -> Interval:
    """An interval of checked values; the label fits into one line of any format."""
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"label is {label!r}, expected a name")
    if float(end) > _LONGEST:
        raise ValueError(f"end is {float(end):g} s, expected at most {_LONGEST:g}")
    times = round(float(start), 3), round(float(end), 3)
    return Interval(printable(" ".join(label.split())), *times, float(score), split, recording)


@contextmanager
def _naming(path: Path, where: str) -> Iterator[None]:
    """Whatever is wrong with a value becomes a ClipError that names the file and the place in it."""
    try:
        yield
    except (ClipError, OSError, RuntimeError):
        raise
    except Exception as error:  # libraries raise kinds of their own
        if str(error).startswith(printable(path)):
            raise
        problem = f"no {error.args[0]}" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
        raise ClipError(path, f"{where}: {problem}", "correct it, or export the labels again") from error


def _xml(path: Path) -> Any:
    return import_optional("defusedxml.ElementTree").fromstring(read_bytes(path))  # refuses entities


def _find(folder: Path, name: str) -> Path:
    """A video that labels name by a path, a file:// address or one of Label Studio: beside them, if it is there."""
    if is_address(name):
        return Path(name)
    name = unquote(name.partition(_LOCAL_FILES)[2] or name)
    base = name.replace("\\", "/").rpartition("/")[2]
    uploaded = re.sub(r"^[0-9a-f]{8}-", "", base)  # Label Studio's prefix of uploads
    elsewhere = os.path.isabs(name) or "://" in name or not name
    found = (folder / each for each in (name, base, uploaded) if each and os.path.exists(folder / each))
    return next(found, folder / (uploaded if elsewhere else name))


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir(), reverse=True) if is_video(path)}


@lru_cache(1)
def _bounds(video: Path) -> NDArray[np.float64]:
    """When each frame of a video begins, in seconds, and when the last one ends."""
    try:
        times = VideoReader(video).times
    except ClipError as error:
        found = f"its frames cannot be counted ({error.found})"
        raise ClipError(video, found, "put it beside the labels, or give --fps") from error
    return np.append(times, times[-1] + (times[-1] - times[0]) / max(1, len(times) - 1))


def _seconds(video: Path, frame: int, fps: float | None) -> float:
    """When a frame, counted from 0, begins."""
    if fps is None and not 0 <= frame < len(_bounds(video)):
        raise ValueError(f"frame {frame} of a video of {len(_bounds(video)) - 1} frames")
    return frame / fps if fps else float(_bounds(video)[frame])


def _frames(video: Path, interval: Segment, fps: float | None) -> tuple[int, int]:
    """The first and the last frame of an interval, counted from 1."""
    times = interval.start, interval.end
    first, after = (round(time * fps) if fps else int(np.abs(_bounds(video) - time).argmin()) for time in times)
    return first + 1, max(first + 1, after)


def _one_video(path: Path, videos: Videos) -> tuple[Path, Sequence[Interval]]:
    if len(videos) != 1:
        raise ValueError(f"{path}: holds the times of one video, not of {len(videos)}; choose another format")
    return next(iter(videos.items()))


def _whole(videos: Videos) -> Videos:
    """The same by whole files: of a clip that is a part of a file, the times are moved."""
    files: dict[Path, list[Interval]] = {}
    for video, intervals in videos.items():
        file, (start, _) = split_interval(video)[0], split_interval(video)[1] or (0.0, 0.0)
        moved = [replace(each, start=each.start + start, end=each.end + start) for each in intervals]
        files.setdefault(file, []).extend(moved)
    return files


def _name(video: Path, folder: Path) -> str:
    """A video as files in a folder name it: an address, or the path from there."""
    name = path_or_address(video)
    return name if is_address(name) else Path(os.path.relpath(video, folder)).as_posix()


def _read_csv(path: Path, _: float | None) -> Found:
    for line, row in read_table(path, ("path", "start", "end", "label"), ("split", "recording", "score")):
        with _naming(path, f"line {line}"):
            times, score = (parse_time(row["start"]), parse_time(row["end"])), row.get("score") or 1
            interval = make_interval(row["label"], *times, score, row.get("split") or "", row.get("recording") or "")
            yield _find(path.parent, row["path"]), interval


def _write_csv(path: Path, videos: Videos, _: float | None) -> None:
    files = _whole(videos).items()
    rows = [{"path": _name(file, path.parent), **vars(each)} for file, of in files for each in of]
    optional = [name for name in ("split", "recording") if rows and all(row[name] for row in rows)]
    optional += ["score"] * any(row["score"] != 1 for row in rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["path", "start", "end", "label", *optional], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode(errors="backslashreplace"))


def _read_activitynet(path: Path, _: float | None) -> Found:
    values, there = read_json(path), _by_stem(path.parent)
    for name, entry in values["database" if "database" in values else "results"].items():
        with _naming(path, f"video {name}"):
            video = there.get(name) or there.get(f"v_{name}") or _find(path.parent, f"{name}.mp4")
            of, split = (entry, "") if isinstance(entry, list) else (entry["annotations"], entry.get("subset", ""))
            for each in of:
                start, end = each["segment"]
                yield video, make_interval(each["label"], start, end, each.get("score", 1), split)


def _write_activitynet(path: Path, videos: Videos, _: float | None) -> None:
    results = {
        as_cut(video).stem: [
            {"label": each.label, "segment": [each.start, each.end], "score": each.score} for each in of
        ]
        for video, of in videos.items()
    }
    if len(results) < len(videos):
        raise ValueError(f"{path}: videos in different folders have the same name; choose another format")
    write_json(path, {"version": "VERSION 1.3", "results": results, "external_data": {}})


def _read_label_studio(path: Path, fps: float | None) -> Found:
    """Timeline labels (frames from 1, the last one included) and labels of a sound track (seconds).

    Of several annotations of a task, the first that was not canceled; if there is none, its first prediction.
    """
    for number, task in enumerate(read_json(path, list), 1):
        with _naming(path, f"task {number}"):
            names = [str(name) for name in task["data"].values()]
            named = (name for name in names if _LOCAL_FILES in name or Path(name).suffix.lower() in SUFFIXES)
            video = _find(path.parent, next(named, None) or task["data"]["video"])
            done = [each for each in task["annotations"] if not each.get("was_cancelled")] or task.get("predictions")
            for result in done[0]["result"] if done else ():
                value, score = result["value"], result.get("score", 1)
                for span in value["ranges"] if "timelinelabels" in value else ():
                    start, end = _seconds(video, span["start"] - 1, fps), _seconds(video, span["end"], fps)
                    yield from ((video, make_interval(label, start, end, score)) for label in value["timelinelabels"])
                for label in value.get("labels", ()) if "start" in value else ():
                    yield video, make_interval(label, value["start"], value["end"], score)


def _write_label_studio(path: Path, videos: Videos, fps: float | None) -> None:
    tasks = []
    for video, of in _whole(videos).items():
        name, result = _name(video, path.parent), list[dict[str, Any]]()
        for each in of:
            first, last = _frames(video, each, fps)
            value = {"ranges": [{"start": first, "end": last}], "timelinelabels": [each.label]}
            names = {"from_name": "timelineLabels", "to_name": "video", "type": "timelinelabels"}
            result.append({**names, "value": value, "score": each.score})
        data = {"video": name if is_address(name) else _LOCAL_FILES + quote(name, errors="replace")}
        predictions = [{"model_version": "onlooker", "result": result}]
        tasks.append({"data": data, "annotations": [], "predictions": predictions})
    write_json(path, tasks)


def _read_elan(path: Path, _: float | None) -> Found:
    """The aligned annotations of all tiers; an empty one is labeled by its tier."""
    _xml(path)  # pympi expands entities
    eaf = import_optional("pympi").Eaf(str(path), suppress_version_warning=True)
    if not eaf.media_descriptors:
        raise KeyError("MEDIA_DESCRIPTOR")
    media = eaf.media_descriptors[0]
    video = _find(path.parent, (media.get("RELATIVE_MEDIA_URL") or media["MEDIA_URL"]).removeprefix("./"))
    for tier, (annotations, *_rest) in eaf.tiers.items():
        for name, (start, end, label, _reference) in annotations.items():
            with _naming(path, f"tier {tier}, annotation {name}"):
                if None in (times := [eaf.timeslots[slot] for slot in (start, end)]):
                    raise ValueError(f"{start} or {end} has no TIME_VALUE")
                yield video, make_interval(label.strip() or tier, times[0] / 1000, times[1] / 1000)


def _write_elan(path: Path, videos: Videos, _: float | None) -> None:
    """One tier per class: annotations of one tier must not overlap."""
    elan, (video, intervals) = import_optional("pympi.Elan"), _one_video(path, _whole(videos))
    eaf, relative = elan.Eaf(author="onlooker"), quote(_name(video, path.parent), errors="replace")
    eaf.remove_tier("default")
    eaf.add_linked_file(f"file://{quote(str(video.absolute()), errors='replace')}", f"./{relative}", "video/mp4")
    for label in sorted({each.label for each in intervals}):
        eaf.add_tier(label)
    for each in intervals:
        start = round(each.start * 1000)
        eaf.add_annotation(each.label, start, max(start + 1, round(each.end * 1000)), each.label)
    write_bytes(path, elan.to_string(eaf, encoding="utf-8"))


def _read_webvtt(path: Path, _: float | None) -> Found:
    """The cues of the video of the same name beside the file."""
    cues = import_optional("webvtt").from_string(read_bytes(path).decode("utf-8-sig"), strict=True)
    video = _by_stem(path.parent).get(path.stem, path.with_suffix(".mp4"))
    for number, cue in enumerate(cues, 1):
        with _naming(path, f"cue {number}"):
            start, end = (time.in_milliseconds() / 1000 for time in (cue.start_time, cue.end_time))
            yield video, make_interval(html.unescape(cue.text), start, end)


def _write_webvtt(path: Path, videos: Videos, _: float | None) -> None:
    cues = ["WEBVTT\n"]
    for each in _one_video(path, videos)[1]:
        times = f"{_clock(each.start)} --> {_clock(max(each.end, each.start + 0.001))}"
        cues.append(f"{times}\n{html.escape(each.label, quote=False)}\n")
    write_bytes(path, "\n".join(cues).encode(errors="backslashreplace"))


def _clock(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


FORMATS = {
    "csv": Format(".csv", _read_csv, _write_csv),
    "activitynet": Format("-segments.json", _read_activitynet, _write_activitynet),
    "label-studio": Format("-label-studio.json", _read_label_studio, _write_label_studio),
    "elan": Format(".eaf", _read_elan, _write_elan, "pympi.Elan"),
    "webvtt": Format(".vtt", _read_webvtt, _write_webvtt),
}

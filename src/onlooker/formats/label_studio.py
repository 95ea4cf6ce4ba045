"""Label Studio's JSON export, and predictions for it."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from onlooker.base.files import read_bytes, read_json, reading, write_json
from onlooker.base.intervals import Times
from onlooker.base.progress import note
from onlooker.base.records import Recording, Segment
from onlooker.formats.labels import (
    EXPORT_AGAIN,
    Labels,
    Requested,
    Video,
    make_label,
    unknown_time,
)
from onlooker.formats.videos import (
    LOCAL_FILES,
    ends_before,
    find_video,
    in_whole_file,
    labels_of,
    length_of,
    written_name,
)
from onlooker.storage import is_address
from onlooker.video.reader import SUFFIXES

# frames per second: Label Studio's own count, whatever the rate of the video is
_RATE = 24.0
_COUNTS = (
    "Label Studio counts by frameRate of its tag Video, 24 unless it is set; give another as --fps"
)
# of a task, where the tag has frameRate="$fps"
_RATES = frozenset({"fps", "framerate", "frame_rate"})

_Result = Mapping[str, Any]  # of a task of Label Studio: one label, with its times


def _seconds(video: Path, frame: int, rate: float) -> float:
    """The time of a frame, counted from 0, in a program that assumes equally spaced frames, as
    browsers do.

    Raises:
        ValueError: the video ends before this time: the rate is another.
    """
    seconds = math.floor(1000 * frame / rate + 0.001) / 1000  # as `frame_bounds`
    if ends_before(video, seconds):
        late = f"frame {frame} at {rate:g} per second is at {seconds:g} s, after the end of {video}"
        raise ValueError(f"{late}; {_COUNTS}")
    return seconds


def recognizes(path: Path) -> bool:
    """Whether a JSON file has a list of tasks, not a database of videos."""
    return read_bytes(path).lstrip()[:1] == b"["


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The labels of the first annotation of each task that was not canceled, or else of its first
    prediction. The times of all other results are unknown.
    """
    rates = set[float]()
    for number, task in enumerate(read_json(path, list), 1):
        with reading(path, f"task {number}: ", EXPORT_AGAIN):
            video = _video_of(path.parent, task["data"])
            answers = [answer for answer in task["annotations"] if not answer.get("was_cancelled")]
            answers = answers or task.get("predictions") or []
            results, *further = [answer["result"] for answer in answers] or [[]]
            if not results:
                left_out["tasks without labels"] += 1
            left_out.update("further annotations of a task" for _ in further)
            rate = requested.fps or _rate_of(task["data"])
            if any("ranges" in result.get("value", {}) for result in results):
                rates.add(rate)
            labeled, unlabeled = _labeled_intervals(video.path, results, rate)
            left_out.update(
                f"results of kind {result.get('type', 'choices')}" for result in unlabeled
            )
            yield from ((video, interval) for interval in labeled)
            for result in (*chain(*further), *unlabeled):
                for interval in _result_intervals(video.path, result, rate):
                    yield video, unknown_time(interval.start, interval.end)
    if rates:
        by = " or ".join(f"{rate:g}" for rate in sorted(rates))
        note(f"{path}: frames are read as {by} per second; {_COUNTS}")


def _video_of(folder: Path, data: Mapping[str, Any]) -> Video:
    """The video of a task: the value of its data that names one, whatever the value is called."""
    for value in map(str, data.values()):
        if LOCAL_FILES in value or Path(value).suffix.lower() in SUFFIXES:
            return find_video(folder, value, url=True)
    return find_video(folder, data["video"], url=True)


def _labeled_intervals(
    video: Path, results: Iterable[_Result], rate: float
) -> tuple[list[Segment], list[_Result]]:
    """The labeled intervals of an annotation, and its results that have none."""
    labeled = list[Segment]()
    unlabeled = list[_Result]()
    for result in results:
        intervals = [*_result_intervals(video, result, rate)]
        if any(interval.label for interval in intervals):
            labeled += intervals
        else:
            unlabeled.append(result)
    labels = [label for result in unlabeled for label in result.get("value", {}).get("choices", ())]
    if len(labels) == 1 and not labeled:
        return [make_label(labels[0], 0, length_of(video))], []
    return labeled, unlabeled


def _rate_of(data: Mapping[str, Any]) -> float:
    """The frames per second that Label Studio counts in a task, unless its tag has a number: the
    number in the data of the task, or 24 if there is none.
    """
    for name, value in data.items():
        if name.casefold() in _RATES:
            with suppress(ValueError, TypeError):
                if math.isfinite(rate := float(value)) and rate > 0:
                    return rate
    return _RATE


def _result_intervals(video: Path, result: _Result, rate: float) -> Iterator[Segment]:
    """The intervals of a result, one for each time and label; without a label, the time is unknown.
    Results of other kinds have none.
    """
    value = result.get("value", {})  # a relation of two results has none
    score = 1 if result.get("score") is None else result["score"]
    labels = value.get("timelinelabels") or value.get("labels") or value.get("choices") or ()
    times = list[Times]()
    if "timelinelabels" in value or "ranges" in value:
        # frames count from 1, and the last one is included
        times = [
            (_seconds(video, span["start"] - 1, rate), _seconds(video, span["end"], rate))
            for span in value["ranges"]
        ]
    elif "start" in value and not value.keys() & {"text", "startOffset"}:
        times = [(value["start"], value["end"])]  # of a sound track; of a text, characters
    for start, end in times:
        if not labels:
            yield unknown_time(start, end)
        yield from (make_label(label, start, end, score=score) for label in labels)


def write(path: Path, recordings: Sequence[Recording], fps: float | None) -> None:
    """Tasks with predictions, for frames that count by `fps`."""
    rate = fps or _RATE
    note(
        f"label-studio: frames are written as {rate:g} per second; {_COUNTS}",
        once=True,
    )
    tasks = []
    for video, intervals in labels_of(map(in_whole_file, recordings)).items():
        name = written_name(video, path.parent)
        result = list[dict[str, Any]]()
        for interval in intervals:
            # frames count from 1, and the last one is included
            start = round(interval.start * rate) + 1
            span = {"start": start, "end": max(start, round(interval.end * rate))}
            value = {"ranges": [span], "timelinelabels": [interval.label]}
            names = {"from_name": "timelineLabels", "to_name": "video", "type": "timelinelabels"}
            result.append({**names, "value": value, "score": interval.score})
        address = name if is_address(name) else LOCAL_FILES + quote(name, errors="replace")
        data = {"video": address, "fps": rate}  # for frameRate="$fps"
        predictions = [{"model_version": "onlooker", "result": result}]
        tasks.append({"data": data, "annotations": [], "predictions": predictions})
    write_json(path, tasks)

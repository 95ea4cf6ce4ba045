"""Label Studio's JSON export, and predictions for it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from onlooker.base.files import read_bytes, read_json, write_json
from onlooker.base.intervals import Times
from onlooker.base.progress import note
from onlooker.base.records import ClipError, Recording
from onlooker.formats.labels import Labels, Requested, Video, entry, make_label, unknown_time
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


def _seconds(frame: int, rate: float) -> float:
    """The time of a frame, counted from 0, in a program that assumes equally spaced frames, as
    browsers do.
    """
    return math.floor(1000 * frame / rate + 0.001) / 1000  # as `frame_bounds`


def recognizes(path: Path) -> bool:
    """Whether a JSON file has a list of tasks, not a database of videos."""
    return read_bytes(path).lstrip()[:1] == b"["


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The labels of the first annotation of each task that was not canceled, or else of its first
    prediction. The times of all other results are unknown.
    """
    rates = set[float]()
    for number, values in enumerate(read_json(path, list), 1):
        where = f"task {number}: "
        with entry(path, where, left_out):
            task = _task_of(path, values, fps=requested.fps)
            _check_rate(path, where, task)
            if not task.results:
                left_out["tasks without labels"] += 1
            left_out.update("further annotations of a task" for _ in task.further)
            if any("ranges" in _value(result) for result in task.results):
                rates.add(task.rate)
            unlabeled = list[_Result]()
            for result in task.results:
                with entry(path, where, left_out):
                    labels = [*_labels_of_result(result, task.rate)]
                    if not labels:
                        unlabeled.append(result)
                    for label, times, score in labels:
                        interval = requested.segment(label, *times, score=score, left_out=left_out)
                        yield task.video, interval
            choices = [name for result in unlabeled for name in _value(result).get("choices", ())]
            if len(choices) == 1 and len(unlabeled) == len(task.results):
                yield task.video, make_label(choices[0], 0, length_of(task.video.path))
                continue
            left_out.update(
                f"results of kind {result.get('type', 'choices')}" for result in unlabeled
            )
            for result in (*chain(*task.further), *unlabeled):
                for start, end in _times_of(result, task.rate):
                    yield task.video, unknown_time(start, end)
    if rates:
        by = " or ".join(f"{rate:g}" for rate in sorted(rates))
        note(f"{path}: frames are read as {by} per second; {_COUNTS}")


class _Task(NamedTuple):
    """A task of Label Studio: its video, the results of its first annotation and of the others, and
    the frames per second that it counts.
    """

    video: Video
    results: list[_Result]
    further: list[list[_Result]]
    rate: float


def _task_of(path: Path, values: Mapping[str, Any], *, fps: float | None) -> _Task:
    """A task of a file, with the annotations that were not canceled, or else its predictions."""
    video = _video_of(path.parent, values["data"])
    answers = [answer for answer in values["annotations"] if not answer.get("was_cancelled")]
    answers = answers or values.get("predictions") or []
    results, *further = [answer["result"] for answer in answers] or [[]]
    return _Task(video, results, further, rate=fps or _rate_of(values["data"]))


def _video_of(folder: Path, data: Mapping[str, Any]) -> Video:
    """The video of a task: the value of its data that names one, whatever the value is called."""
    for value in map(str, data.values()):
        if LOCAL_FILES in value or Path(value).suffix.lower() in SUFFIXES:
            return find_video(folder, value, url=True)
    return find_video(folder, data["video"], url=True)


def _check_rate(path: Path, where: str, task: _Task) -> None:
    """Check that the frames of a task are in its video.

    Raises:
        ClipError: the video ends before one of them: the rate of all of them is another.
    """
    for result in task.results:
        for span in _value(result).get("ranges", ()):
            with suppress(LookupError, TypeError):  # a wrong entry
                frame = span["end"]
                seconds = _seconds(frame, task.rate)
                if ends_before(task.video.path, seconds):
                    late = (
                        f"{where}frame {frame} at {task.rate:g} per second is at {seconds:g} s, "
                        f"after the end of {task.video.path}"
                    )
                    raise ClipError(path, late, _COUNTS)


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


def _value(result: _Result) -> Mapping[str, Any]:
    value: Mapping[str, Any] = result.get("value", {})  # a relation of two results has none
    return value


def _labels_of_result(result: _Result, rate: float) -> Iterator[tuple[str, Times, float]]:
    """The labels of a result with times and score: one for each time and label."""
    value = _value(result)
    score = 1 if result.get("score") is None else result["score"]
    labels = value.get("timelinelabels") or value.get("labels") or value.get("choices") or ()
    for times in _times_of(result, rate):
        for label in labels:
            yield label, times, score


def _times_of(result: _Result, rate: float) -> list[Times]:
    """The times of a result. Results of other kinds have none, such as a box, which is exported as
    a label of the timeline, too.
    """
    value = _value(result)
    if "ranges" in value:
        # frames count from 1, and the last one is included
        return [
            (_seconds(span["start"] - 1, rate), _seconds(span["end"], rate))
            for span in value["ranges"]
        ]
    if "start" in value and not value.keys() & {"text", "startOffset"}:
        return [(value["start"], value["end"])]  # of a sound track; of a text, characters
    return []


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

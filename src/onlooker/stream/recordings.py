"""What a prediction of a recording keeps of the steps of a stream, and how it becomes one; the event
of a short clip.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.base.intervals import Times
from onlooker.base.records import ClipError, Prediction, Segment, Step, Tube
from onlooker.localization import interpolate
from onlooker.stream.segmenters.segmenter import Floats, Segmenter, in_order
from onlooker.video.rates import RATE

Rows = NDArray[np.void]  # structured: the frames of a recording (`collected`)

_WHOLE = 0.8  # minimum share of a clip for a window that counts as the whole clip
_MARGIN = 2.0  # minimum score of a window minus the score of the whole clip
_MOST = 0.5  # of the frames of an unusual recording


def collected(
    path: Path | str, watched: Iterable[Step], *, keeps_heat: bool = True
) -> tuple[Rows, list[Segment]]:
    """The frames of a recording as `recorded` needs them, and the events as they became final while
    it was watched.

    Returns:
        `T`, a structured array, so that it is one entry of a cache: `time`, `index`, `size` (height
        and width of the frame), `outputs` (`Step.rows`), `box` (4) and `point` (2), NaN where there
        is none, `unusual` (NaN: unknown); and for a model that attends `attention`, `h w`, and
        `heat`, `30 40`, if `keeps_heat`. The events.

    Raises:
        ClipError: no steps: the recording is too short for the model.
    """
    columns = defaultdict[str, list[Any]](list)
    live = list[Segment]()
    for step in watched:
        if step.rows is None:  # in the slot of the frame before
            continue
        live += step.events
        columns["outputs"] += [*step.rows]
        if step.pixels is None:  # the last step again, with its events
            continue
        columns["time"].append(step.time)
        columns["index"].append(step.index)
        columns["size"].append(step.pixels.shape[:2])
        columns["box"].append(step.box.corners if step.box else [np.nan] * 4)
        columns["unusual"].append(np.nan if step.unusual is None else step.unusual)
        columns["point"].append(step.point or (np.nan, np.nan))
        if step.attention is not None:
            columns["attention"].append(step.attention)
        if step.heat is not None and keeps_heat:
            columns["heat"].append(step.heat)
    if not columns:
        raise ClipError(path, "too short for this model", "give a longer clip")
    arrays = {name: np.array(values) for name, values in columns.items()}
    types = [(name, values.dtype, values.shape[1:]) for name, values in arrays.items()]
    rows = np.zeros(len(columns["time"]), types)
    for name, values in arrays.items():
        rows[name] = values
    return rows, live


def recorded(path: Path | str, rows: Rows, segmenter: Segmenter[Any], *, end: float) -> Prediction:
    """The prediction of a recording; its tubes are the boxes during its segments.

    Args:
        rows: `collected` with the segmenter of the model.
        end: when the recording ends, in seconds.
    """
    answer = segmenter.answer(rows["time"].tolist(), rows["outputs"], end)
    names = rows.dtype.names or ()
    height, width = rows["size"][0].tolist()
    unusual = rows["unusual"][~np.isnan(rows["unusual"])]
    return Prediction(
        Path(path),
        answer.decision,
        answer.frame_scores,
        scores=answer.scores,
        event_scores=answer.event_scores,
        times=rows["time"].copy(),
        indices=rows["index"].copy(),
        attention=rows["attention"].copy() if "attention" in names else None,
        size=(height, width),
        tubes=tuple(_tubes(rows, in_order(answer.segments))),
        segments=tuple(answer.segments),
        points=rows["point"].astype(np.float32) if "attention" in names else None,
        heat=rows["heat"].copy() if "heat" in names else None,
        unusual=bool(unusual.mean() > _MOST) if len(unusual) else None,
        pauses=_pauses(rows["time"], segmenter),
    )


def _pauses(times: Floats, segmenter: Segmenter[Any]) -> tuple[Times, ...]:
    """The spans in which nothing was shown: each begins when its last frame ends."""
    before = np.flatnonzero(np.diff(times) > segmenter.longest_pause)
    starts = times[before] + 1 / (segmenter.decision.frame_rate or RATE)
    return tuple(zip(starts.tolist(), times[before + 1].tolist(), strict=True))


def _tubes(rows: Rows, events: Sequence[Segment]) -> Iterable[Tube]:
    """The boxes during each event, if there are any; between two steps they are interpolated."""
    times = rows["time"]
    has_box = ~np.isnan(rows["box"][:, 0])
    for event in events:
        begin, end = np.searchsorted(times, (event.start, event.end)).tolist()
        during = rows[begin:end][has_box[begin:end]]
        boxes = dict(zip(during["index"].tolist(), during["box"], strict=True))
        if boxes:
            indices = [*boxes]
            frames = np.arange(indices[0], indices[-1] + 1)
            corners = interpolate(frames, indices, np.array([*boxes.values()]))
            yield Tube(event.label, frames, corners, score=event.score)


def clip_events(
    prediction: Prediction, whole: Floats | None, lengths: Sequence[int]
) -> tuple[Segment, ...]:
    """The event of a short clip, if there is one: its best window if that is clearly better than
    the whole clip, else the whole clip.

    A frame stands for the time between the midpoints to its neighbors, the last one for the time
    until the clip ends.

    Args:
        whole: `T L`, scores before the sigmoid of the windows that end at each frame
            (`Windows.whole`); None: unknown.
        lengths: `L`, of these windows, in frames.
    """
    # a short clip repeats its last frame
    label = prediction.label
    times = np.unique(prediction.times)
    if label == prediction.nothing_name or len(times) < 2:
        return ()  # a single image has no duration
    midpoints = (times[1:] + times[:-1]) / 2
    start = max(0.0, 2 * times[0] - midpoints[0])
    end = prediction.end if math.isfinite(prediction.end) else 2 * times[-1] - midpoints[-1]
    bounds = np.array([start, *midpoints, max(end, times[-1])]).tolist()
    span = range(len(times)) if whole is None else _best_part(whole, lengths, len(times))
    return (Segment(label, bounds[span.start], bounds[span.stop], score=prediction.score),)


def _best_part(whole: Floats, lengths: Sequence[int], distinct: int) -> range:
    """The frames of the best window, or all `distinct` frames."""
    is_part = np.array(lengths) < _WHOLE * distinct
    complete = np.arange(1, distinct + 1)[:, None] >= lengths
    scores = np.where(complete, whole[:distinct], -np.inf)
    clip_score = scores[:, ~is_part].max(initial=-np.inf)
    part_score = scores[:, is_part].max(initial=-np.inf)
    if np.isfinite(clip_score) and part_score > clip_score + _MARGIN:
        last, place = np.argwhere((scores == part_score) & is_part)[0].tolist()
        return range(last + 1 - lengths[place], last + 1)
    return range(distinct)

"""Turn the scores of windows into events: by non-maximum suppression, over a whole recording or
frame by frame.

No other module does. `collected` keeps of the steps of a recording what `recorded` needs for one
prediction, with its events.
"""

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.answer import event_scores
from onlooker.base.decision import Decision
from onlooker.base.records import ClipError, Prediction, Segment, Step, Tube
from onlooker.localization import interpolate

__all__ = ["Finder"]

Floats = NDArray[np.floating]
Rows = NDArray[np.void]  # structured: what is kept of the frames of a recording (`collected`)

_OVERLAP = 0.1  # IoU in time above which two windows show one event, whatever their classes
_NEAR = 0.5  # IoU in time from which on windows say where an event begins and ends
_MOVE = 0.25  # the share of its length by which a border of an event is moved at most
_TOUCH = 1e-6  # IoU by which windows that touch may overlap, by rounding
_WHOLE = 0.8  # the share of a clip from which on a window counts as the whole clip
_MARGIN = 2.0  # by which the score of a part of a clip must exceed that of the whole clip
_MOST = 0.5  # of the frames of an unusual recording
# After this share of its length has passed since its end, an event is final.
_FINAL = 1 / 3
_start = attrgetter("start")


def suppress(windows: Iterable[Segment]) -> list[Segment]:
    """The events among some windows, highest scores first: those that overlap none with a higher
    score.
    """
    best_first = sorted(windows, key=lambda window: -window.score)
    longest = max((window.end - window.start for window in best_first), default=0.0)
    events = list[Segment]()
    in_time = list[Segment]()
    for window in best_first:
        begin = bisect_left(in_time, window.start - longest, key=_start)
        end = bisect_left(in_time, window.end, key=_start)
        if not any(_same_event(window, event) for event in in_time[begin:end]):
            events.append(window)
            insort(in_time, window, key=_start)
    return events


def _overlap(window: Segment, other: Segment) -> float:
    """IoU in time of two windows; not above zero if they are apart."""
    both = min(window.end, other.end) - max(window.start, other.start)
    return both / (max(window.end, other.end) - min(window.start, other.start))


def _same_event(window: Segment, other: Segment) -> bool:
    """Whether two windows show one event: events of one class do not overlap at all."""
    return _overlap(window, other) > (_TOUCH if window.label == other.label else _OVERLAP)


def _final(window: Segment) -> float:
    """The time at which an event of a stream is final."""
    return window.end + _FINAL * (window.end - window.start)


def _in_order(windows: Iterable[Segment]) -> list[Segment]:
    return sorted(windows, key=attrgetter("start", "end"))


def clip_events(
    prediction: Prediction, whole: Floats | None, lengths: Sequence[int]
) -> tuple[Segment, ...]:
    """The event of a short clip, if there is one: its best window if that is clearly better than
    the whole clip.

    A frame stands for the time between the midpoints to its neighbors, the last one for the time
    until the clip ends.

    Args:
        whole: `T L`, scores before the sigmoid of the windows that end at each frame
            (`Windows.whole`); None: unknown.
        lengths: of the windows, in frames.
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


class _Scored(NamedTuple):
    """The windows that end at a frame: begin and end in seconds, `L 2`, NaN for a window that is
    not complete; and their scores, `L K`.
    """

    spans: Floats
    scores: Floats


class EventState(NamedTuple):
    """The state of a stream from which its next events are found.

    Args:
        times: of the last frames, as many as the longest window has.
        pending: windows that may become events.
        events: the windows of final events that new windows could overlap.
        reported: these events, with moved borders.
        scored: the windows that end at the last frames, as many as the longest one has.
    """

    times: tuple[float, ...] = ()
    pending: tuple[Segment, ...] = ()
    events: tuple[Segment, ...] = ()
    reported: tuple[Segment, ...] = ()
    scored: tuple[_Scored, ...] = ()


class Finder:
    """Finds events by the scores of windows, from all of them or frame by frame.

    Args:
        decision: that of the model; its class in which nothing happens is no event.
        lengths: of the `L` windows, in frames.
        threshold: the lowest score of an event (`Decision.event_threshold`).
    """

    def __init__(self, decision: Decision, lengths: Sequence[int], threshold: float) -> None:
        self.decision = decision
        self.lengths = tuple(lengths)
        self.threshold = threshold

    def find(self, times: Sequence[float], scores: Floats) -> list[Segment]:
        """The events of a recording, in the order of time: those of `step`, frame by frame.

        Args:
            times: `T`, seconds, ascending.
            scores: `T L K`, that the window of each length that ends at a frame is one event of
                each class.
        """
        return _in_order(event for event, _ in self.played(times, scores))

    def played(self, times: Sequence[float], scores: Floats) -> Iterator[tuple[Segment, float]]:
        """The events of a recording (as for `find`), each with the time at which it is final."""
        state = EventState()
        for time, frame_scores in zip(times, scores, strict=True):
            final, _, state = self.step(state, time, frame_scores)
            yield from ((event, time) for event in final)
        yield from ((event, times[-1]) for event in self.finish(state))

    def step(
        self, state: EventState, time: float, scores: Floats
    ) -> tuple[list[Segment], Segment | None, EventState]:
        """Process a frame of a stream: the events that become final, the one that goes on, if there
        is one, and the new state.

        An event is final when a third of its length has passed without a better window that
        overlaps it.

        Args:
            state: after the previous frame; `EventState()` at the first.
            scores: `L K`, of the windows that end at this frame.
        """
        longest = self.lengths[-1]
        times = (*state.times, time)[-longest:]
        scored = (*state.scored, self._scored(times, scores))[-longest:]
        candidates = (
            window
            for _, window in self._windows(times, scores)
            if window.score >= self.threshold
            and not any(_same_event(window, event) for event in state.events)
        )
        pending = [*state.pending, *candidates]
        best = suppress(pending)
        windows = [window for window in best if _final(window) <= time]
        pending = [
            window
            for window in pending
            if _final(window) > time and not any(_same_event(window, event) for event in windows)
        ]
        going_on = next((window for window in best if window not in windows), None)
        # what becomes final later began less than two of the longest windows ago
        since = 2 * times[0] - time
        state = EventState(
            times,
            tuple(pending),
            tuple(event for event in (*state.events, *windows) if event.end > since),
            reported=tuple(event for event in state.reported if event.end > since),
            scored=scored,
        )
        final = self._moved(windows, state)
        return _in_order(final), going_on, state._replace(reported=(*state.reported, *final))

    def new_event_scores(self, state: EventState, scores: Floats) -> Floats:
        """Scores `L K` of the windows that end at the last frame, zero for those that are not
        complete or show a final event.
        """
        new_scores = np.zeros_like(scores)
        for place, window in self._windows(state.times, scores):
            if not any(_same_event(window, event) for event in state.events):
                new_scores[place] = scores[place]
        return new_scores

    def finish(self, state: EventState) -> list[Segment]:
        """The events that become final by the end of a stream."""
        return _in_order(self._moved(suppress(state.pending), state))

    def _moved(self, windows: Iterable[Segment], state: EventState) -> list[Segment]:
        """Windows that become final, as events with moved borders."""
        final = list[Segment]()
        for window in windows:
            start, end = self._borders(window, state.scored)
            for event in (*state.reported, *final):
                if event.label == window.label and event.start < window.start:
                    start = max(start, event.end)
                elif event.label == window.label:
                    end = min(end, event.start)
            final.append(replace(window, start=start, end=end))
        return final

    def _borders(self, window: Segment, scored: Sequence[_Scored]) -> tuple[float, float]:
        """Where the evidence for an event rises and falls: the means of the borders of the windows
        around it, which weigh by the squares of their scores (box voting, Gidaris and Komodakis
        2015).

        They are moved by a quarter of the window at most; outwards by less, so that something is
        left of a short neighbor.
        """
        spans = np.concatenate([windows.spans for windows in scored])
        label = self.decision.classes.index(window.label)
        scores = np.concatenate([windows.scores[:, label] for windows in scored])
        begin, end = spans.T
        both = np.minimum(end, window.end) - np.maximum(begin, window.start)
        near = both >= _NEAR * (np.maximum(end, window.end) - np.minimum(begin, window.start))
        if not scores[near].any():
            return window.start, window.end
        means = np.average(spans[near], axis=0, weights=scores[near].astype(np.float64) ** 2)
        inwards = _MOVE * (window.end - window.start)
        outwards = inwards * self.lengths[0] / self.lengths[-1]
        start = np.clip(means[0], window.start - outwards, window.start + inwards)
        stop = np.clip(means[1], window.end - inwards, window.end + outwards)
        return float(start), float(stop)

    def _scored(self, times: Sequence[float], scores: Floats) -> _Scored:
        spans = np.full((len(self.lengths), 2), np.nan)
        for place, start, end in self._spans(times):
            spans[place] = start, end
        return _Scored(spans, scores)

    def _windows(self, times: Sequence[float], scores: Floats) -> Iterator[tuple[int, Segment]]:
        """The windows that end with the last of some frames, as events of their best classes, with
        the positions of their lengths.
        """
        class_scores = self.decision.event_scores(scores)
        for place, start, end in self._spans(times):
            label = int(class_scores[place].argmax())
            score = float(class_scores[place, label])
            yield place, Segment(self.decision.classes[label], start, end, score=score)

    def _spans(self, times: Sequence[float]) -> Iterator[tuple[int, float, float]]:
        """The windows that end with the last of some frames: the positions of their lengths, and
        their seconds.
        """
        last = times[-1]
        for place, n in enumerate(self.lengths):
            # frames of one time have no duration
            if n <= len(times) and times[-n] < last:
                start = times[-n]
                # a frame lasts until the next one
                yield place, start, last + (last - start) / (n - 1)


def recorded(path: Path | str, rows: Rows, finder: Finder) -> Prediction:
    """The prediction of a recording, from what was kept of its frames.

    Its events are found by all windows; tubes are the boxes during these events.
    The probability of an event is the highest score of a window, in the whole recording and, of
    those that contain it, at each frame; that of nothing is one minus the highest one of an event.
    Probabilities of classes are those of the best window (`class_scores`).

    Args:
        rows: `collected` by a model with an event layer.
        finder: that of the model.
    """
    windows = rows["outputs"]
    decision = finder.decision
    nothing = decision.nothing_class
    events = finder.find(rows["time"].tolist(), windows)
    prediction = recording_prediction(
        path,
        rows,
        decision.with_threshold(min(finder.threshold, 1.0)),
        frame_scores=with_nothing(highest_around(windows, finder.lengths), nothing),
        scores=class_scores(windows, nothing),
        event_scores=with_nothing(windows.max((0, 1)), nothing),
        segments=sorted(events, key=lambda event: -event.score),
    )
    unusual = rows["unusual"][~np.isnan(rows["unusual"])]
    if len(unusual):
        prediction = replace(prediction, unusual=bool(unusual.mean() > _MOST))
    return prediction


def collected(
    path: Path | str, watched: Iterable[Step], *, keeps_heat: bool = True
) -> tuple[Rows, list[Segment]]:
    """What a prediction needs of the steps of a recording, and the events as they became final while
    it was watched.

    Returns:
        `T`, a structured array, so that it is one entry of a cache: `time`, `index`, `size` (height
        and width of the frame), `outputs` (scores of windows, `L K`, or probabilities of states,
        `R`), `box` (4) and `point` (2), NaN where there is none, `unusual` (NaN: unknown); and for a
        model that attends `attention`, `h w`, and `heat`, `30 40`, if it is kept. The events.

    Raises:
        ClipError: no steps: the recording is too short for the model.
    """
    columns = defaultdict[str, list[Any]](list)
    live = list[Segment]()
    for step in watched:
        live += step.events
        if step.posteriors is not None:
            columns["outputs"] += [*step.posteriors]
        if step.pixels is None:  # the last step again, with its events
            continue
        if step.windows is not None:
            columns["outputs"].append(step.windows)
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


def recording_prediction(
    path: Path | str,
    rows: Rows,
    decision: Decision,
    *,
    frame_scores: NDArray[np.float32],
    scores: NDArray[np.float32],
    segments: Sequence[Segment],
    event_scores: NDArray[np.float32] | None = None,
) -> Prediction:
    """The prediction of a recording from its frames (`collected`); tubes are the boxes during its
    segments, which are found elsewhere.
    """
    names = rows.dtype.names or ()
    height, width = rows["size"][0].tolist()
    return Prediction(
        Path(path),
        decision,
        frame_scores,
        scores=scores,
        event_scores=event_scores,
        times=rows["time"].copy(),
        indices=rows["index"].copy(),
        attention=rows["attention"].copy() if "attention" in names else None,
        size=(height, width),
        tubes=tuple(_tubes(rows, _in_order(segments))),
        segments=tuple(segments),
        points=rows["point"].astype(np.float32) if "attention" in names else None,
        heat=rows["heat"].copy() if "heat" in names else None,
    )


def highest_around(windows: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """The highest score of the windows that contain a frame, `T K`; scores of windows are given by
    their last frames, `T L K`.
    """
    highest = np.zeros((len(windows), windows.shape[2]), np.float32)
    for place, length in enumerate(lengths):
        for later in range(min(length, len(windows))):
            frames = highest[: len(windows) - later]
            np.maximum(frames, windows[later:, place], out=frames)
    return highest


def class_scores(windows: NDArray[np.float32], nothing: int | None) -> NDArray[np.float32]:
    """The probabilities `K` of the classes of the best of some windows, `… K`; they sum to one. What
    its events leave is that of nothing, if that is a class.
    """
    rows = np.maximum(event_scores(windows, nothing), 0).reshape(-1, windows.shape[-1])
    best = rows[rows.max(-1).argmax()].astype(np.float32)
    total = float(best.sum())
    if nothing is not None:
        best[nothing] = max(0.0, 1 - total)
        total = max(1.0, total)
    return best / total if total else np.full_like(best, 1 / len(best))


def with_nothing(scores: NDArray[np.float32], nothing: int | None) -> NDArray[np.float32]:
    """Scores `… K` of events, with that of nothing."""
    if nothing is not None:
        scores[..., nothing] = 1 - np.delete(scores, nothing, -1).max(-1, initial=0)
    return scores


def _tubes(rows: Rows, events: Sequence[Segment]) -> Iterable[Tube]:
    """The boxes during each event, if there are any; those of frames between two steps are
    interpolated.
    """
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

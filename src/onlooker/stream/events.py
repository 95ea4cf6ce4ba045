"""The one place where scores of windows become events: by non-maximum suppression, of all of them
or as they come.

`recorded` makes one prediction of the steps of a recording, with all of its events.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.answer import event_scores
from onlooker.base.records import ClipError, Prediction, Segment, Step, Tube
from onlooker.localization import interpolate

__all__ = ["Finder", "Kept"]

Floats = NDArray[np.floating]

_OVERLAP = 0.1  # IoU in time above which two windows show one event
_NEARLY = 0.8  # share of a clip from which on a window counts as all of it
_CLEARLY = 2.0  # by which the score of a part of a clip must be higher than that of the whole clip
_start = attrgetter("start")
_RIPE = 1 / 3  # how long after its end a window is an event for good, as a share of its length


def suppress(windows: Iterable[Segment]) -> list[Segment]:
    """The events among some windows, best first: those that are not the same event as one with a
    higher score.
    """
    best_first = sorted(windows, key=lambda each: -each.score)
    longest = max((window.end - window.start for window in best_first), default=0.0)
    events = list[Segment]()
    in_time = list[Segment]()
    for window in best_first:
        first = bisect_left(in_time, window.start - longest, key=_start)
        after = bisect_left(in_time, window.end, key=_start)
        if not any(_same_event(window, other) for other in in_time[first:after]):
            events.append(window)
            insort(in_time, window, key=_start)
    return events


class _Span(NamedTuple):
    """Seconds of a window."""

    start: float
    end: float


def _same_event(window: Segment | _Span, other: Segment) -> bool:
    """Whether two windows show one event."""
    both = min(window.end, other.end) - max(window.start, other.start)
    return both > _OVERLAP * (max(window.end, other.end) - min(window.start, other.start))


def _final(window: Segment) -> float:
    """The time from which on a stream does not change an event any more."""
    return window.end + _RIPE * (window.end - window.start)


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
    first, last = (0, len(times) - 1) if whole is None else _best_part(whole, lengths, len(times))
    return (Segment(label, bounds[first], bounds[last + 1], score=prediction.score),)


def _best_part(whole: Floats, lengths: Sequence[int], distinct: int) -> tuple[int, int]:
    """The first and the last frame of the best window, or of all `distinct` frames."""
    is_part = np.array(lengths) < _NEARLY * distinct
    complete = np.arange(1, distinct + 1)[:, None] >= lengths
    scores = np.where(complete, whole[:distinct], -np.inf)
    of_clip, of_parts = (scores[:, chosen].max(initial=-np.inf) for chosen in (~is_part, is_part))
    if np.isfinite(of_clip) and of_parts > of_clip + _CLEARLY:
        last, place = np.argwhere((scores == of_parts) & is_part)[0]
        return int(last) + 1 - lengths[place], int(last)
    return 0, distinct - 1


class Kept(NamedTuple):
    """What is kept of a stream to find its events: the `times` of the last frames, as many as the
    longest window has; the windows that may be events, and the events so far that they could
    overlap.
    """

    times: tuple[float, ...] = ()
    pending: tuple[Segment, ...] = ()
    events: tuple[Segment, ...] = ()


class Finder:
    """Finds events by the scores of windows, from all of them or frame by frame.

    Args:
        classes: the `K` class names.
        lengths: of the `L` windows, in frames.
        threshold: the lowest score of an event.
        nothing: the position of the class in which nothing happens, which is no event; None: there
            is none.
    """

    def __init__(
        self,
        classes: Sequence[str],
        lengths: Sequence[int],
        threshold: float,
        *,
        nothing: int | None = None,
    ) -> None:
        self.classes = tuple(classes)
        self.lengths = tuple(lengths)
        self.threshold = threshold
        self.nothing = nothing

    def find(self, times: Sequence[float], scores: Floats) -> list[Segment]:
        """The events of a recording, in the order of time.

        Args:
            times: `T`, seconds, ascending.
            scores: `T L K`, that the window of each length that ends at a frame is one event of
                each class.
        """
        ended = list[Segment]()
        longest = self.lengths[-1]
        for t, of_frame in enumerate(scores, 1):
            ended += self._ended(times[max(0, t - longest) : t], of_frame)
        return _in_order(suppress(ended))

    def step(
        self, kept: Kept, time: float, scores: Floats
    ) -> tuple[list[Segment], Segment | None, Kept]:
        """Process a frame of a stream: the events that are final now, and the one that goes on, if
        there is one.

        An event is final when a third of its length has passed without a better window that
        overlaps it.

        Args:
            kept: of the frame before; `Kept()` at the first.
            scores: `L K`, of the windows that end at this frame.
        """
        times = (*kept.times, time)[-self.lengths[-1] :]
        fresh = self._ended(times, scores)
        pending = [
            new
            for new in (*kept.pending, *fresh)
            if not any(_same_event(new, event) for event in kept.events)
        ]
        best = suppress(pending)
        final = [window for window in best if _final(window) <= time]
        pending = [
            window
            for window in pending
            if _final(window) > time and not any(_same_event(window, event) for event in final)
        ]
        events = [event for event in (*kept.events, *final) if event.end > times[0]]
        going_on = next((window for window in best if window not in final), None)
        return _in_order(final), going_on, Kept(times, tuple(pending), tuple(events))

    def of_new_events(self, kept: Kept, scores: Floats) -> Floats:
        """Scores `L K` of the windows that end at the last frame, zero for those that are not
        complete or show an event that is over.
        """
        new = np.zeros_like(scores)
        for place, window in self._spans(kept.times):
            if not any(_same_event(window, event) for event in kept.events):
                new[place] = scores[place]
        return new

    def finish(self, kept: Kept) -> list[Segment]:
        """The events of a stream that has ended, besides those before."""
        return _in_order(suppress(kept.pending))

    def _ended(self, times: Sequence[float], scores: Floats) -> Iterator[Segment]:
        """The windows that end with the last of some frames and may be events."""
        of_events = event_scores(scores, self.nothing)
        for place, span in self._spans(times):
            label = int(of_events[place].argmax())
            score = float(of_events[place, label])
            if score >= self.threshold:
                yield Segment(self.classes[label], span.start, span.end, score=score)

    def _spans(self, times: Sequence[float]) -> Iterator[tuple[int, _Span]]:
        """The windows that end with the last of some frames, with the positions of their lengths."""
        last = times[-1]
        for place, n in enumerate(self.lengths):
            # frames of one time have no duration
            if n <= len(times) and times[-n] < last:
                start = times[-n]
                # a frame lasts until the next one
                yield place, _Span(start, last + (last - start) / (n - 1))


def recorded(
    path: Path | str,
    watched: Iterable[Step],
    finder: Finder,
) -> tuple[Prediction, list[Segment]]:
    """The steps of one recording as a prediction, and the events as they were final while it was
    watched.

    The events of the prediction are found by all windows; tubes are the boxes during these events.
    The probability of a class is the highest score of a window, in the whole recording and, of
    those that contain it, at each frame; that of nothing is one minus the highest one of an event.

    Args:
        watched: of a model with an event layer; the pixels are not kept.
        finder: that of the model.

    Raises:
        ClipError: no steps: the recording is too short for the model.
    """
    steps = list[Step]()
    live = list[Segment]()
    size = None
    for step in watched:
        live += step.events
        if step.pixels is not None:  # else it is the last step again, with its events
            size = step.pixels.shape[0], step.pixels.shape[1]
            steps.append(replace(step, pixels=None))
    if not steps:
        raise ClipError(path, "too short for this model", "give a longer clip")
    first = steps[0]
    times = [step.time for step in steps]
    windows = _stacked([step.windows for step in steps])
    assert windows is not None
    events = finder.find(times, windows)
    frame_scores = with_nothing(highest_around(windows, finder.lengths), finder.nothing)
    scores = with_nothing(windows.max((0, 1)), finder.nothing)
    prediction = Prediction(
        Path(path),
        first.decision.with_threshold(min(finder.threshold, 1.0)),
        frame_scores,
        scores=scores,
        times=np.array(times),
        indices=np.array([step.index for step in steps]),
        attention=_stacked([step.attention for step in steps]),
        size=size,
        tubes=tuple(_tubes(steps, events)),
        segments=tuple(sorted(events, key=lambda event: -event.score)),
        points=None
        if first.attention is None
        else _stacked([step.point or (np.nan, np.nan) for step in steps]),
        heat=_stacked([step.heat for step in steps]),
    )
    return prediction, live


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


def with_nothing(scores: NDArray[np.float32], nothing: int | None) -> NDArray[np.float32]:
    """Scores `… K` of events, with that of nothing."""
    if nothing is not None:
        scores[..., nothing] = 1 - np.delete(scores, nothing, -1).max(-1, initial=0)
    return scores


def _tubes(steps: Sequence[Step], events: Sequence[Segment]) -> Iterable[Tube]:
    """The boxes during each event, if there are any; those of frames between two steps are
    interpolated.
    """
    times = [step.time for step in steps]
    for event in events:
        first = bisect_left(times, event.start)
        after = bisect_left(times, event.end)
        boxes = {step.index: step.box.corners for step in steps[first:after] if step.box}
        if boxes:
            known = [*boxes]
            frames = np.arange(known[0], known[-1] + 1)
            corners = interpolate(frames, known, np.array([*boxes.values()]))
            yield Tube(event.label, frames, corners, score=event.score)


def _stacked(values: Sequence[Any]) -> NDArray[np.float32] | None:
    return None if values[0] is None else np.array(values, np.float32)

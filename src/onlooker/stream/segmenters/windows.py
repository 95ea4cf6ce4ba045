"""Whole windows become events with pauses between them, by non-maximum suppression."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.answer import event_scores
from onlooker.base.decision import Decision
from onlooker.base.records import Segment
from onlooker.stream.segmenters.segmenter import (
    Floats,
    RecordingAnswer,
    Segmenter,
    SegmentStep,
    TimedBox,
    in_order,
    shown_parts,
)

_OVERLAP = 0.1  # IoU in time above which two windows show one event, whatever their classes
_NEAR = 0.5  # minimum IoU in time of windows that say where an event begins and ends
_MOVE = 0.25  # largest move of a border of an event, as a share of its duration
_TOUCH = 1e-6  # largest IoU, from rounding, of windows that only touch
_FINAL = 1 / 3  # delay from the end of an event until it is final, as a share of its duration
_start = attrgetter("start")


def suppress(windows: Iterable[Segment]) -> list[Segment]:
    """Non-maximum suppression: the windows that overlap none with a higher score, best first."""
    best_first = sorted(windows, key=lambda window: -window.score)
    longest = max((window.end - window.start for window in best_first), default=0.0)
    events = list[Segment]()
    in_time = list[Segment]()
    for window in best_first:
        begin = bisect_left(in_time, window.start - longest, key=_start)
        end = bisect_left(in_time, window.end, key=_start)
        if not _shows_any(window, in_time[begin:end]):
            events.append(window)
            insort(in_time, window, key=_start)
    return events


def _overlap(window: Segment, other: Segment) -> float:
    """IoU in time of two windows; not above zero if they are apart."""
    both = min(window.end, other.end) - max(window.start, other.start)
    return both / (max(window.end, other.end) - min(window.start, other.start))


def _shows_any(window: Segment, events: Iterable[Segment]) -> bool:
    """Whether a window shows one of some events: events of one class do not overlap at all."""
    return any(
        _overlap(window, event) > (_TOUCH if window.label == event.label else _OVERLAP)
        for event in events
    )


def _final(window: Segment) -> float:
    """The time at which an event of a stream is final."""
    return window.end + _FINAL * (window.end - window.start)


class _Scored(NamedTuple):
    """The windows that end at one frame.

    Args:
        spans: begin and end, seconds, `L 2`; NaN for a window that is not complete.
        scores: `L K`.
    """

    spans: Floats
    scores: Floats


class WindowMemory(NamedTuple):
    """What later events of a stream depend on, of constant size.

    Args:
        times: the last frames, as many as the longest window has.
        pending: windows that may become events.
        events: the windows of final events that new windows could overlap.
        reported: these events, with moved borders.
        scored: the windows that end at these frames.
    """

    times: tuple[float, ...] = ()
    pending: tuple[Segment, ...] = ()
    events: tuple[Segment, ...] = ()
    reported: tuple[Segment, ...] = ()
    scored: tuple[_Scored, ...] = ()


class WindowSegmenter(Segmenter[WindowMemory]):
    """Finds events: windows that are whole events of a class, with pauses between them.

    An event is final when a third of its duration has passed without a better window that overlaps
    it. What `find` returns for a recording is what `step` returns frame by frame.

    Args:
        decision: its class in which nothing happens is no event.
        lengths: the `L` windows that end at a frame, in frames, ascending.
        threshold: the lowest score of an event (`Decision.event_threshold`).
    """

    delay = 0
    has_pauses = True

    def __init__(self, decision: Decision, lengths: Sequence[int], threshold: float) -> None:
        self.decision = decision
        self.lengths = tuple(lengths)
        self.start = WindowMemory()
        self.set_threshold(threshold)

    def set_threshold(self, threshold: float) -> None:
        self.threshold = threshold
        self.decision = self.decision.with_threshold(min(threshold, 1.0))

    def find(self, times: Sequence[float], rows: Floats, end: float | None = None) -> list[Segment]:
        return in_order(event for event, _ in self.played(times, rows))

    def played(self, times: Sequence[float], scores: Floats) -> Iterator[tuple[Segment, float]]:
        """The events of a recording, each with the time at which it is final.

        Args:
            times: `T`, seconds, ascending.
            scores: `T L K`, of the windows that end at each frame.
        """
        for part in shown_parts(times, self.longest_pause):
            memory = self.start
            for time, frame_scores in zip(times[part], scores[part], strict=True):
                final, _, memory = self._advance(memory, time, frame_scores)
                yield from ((event, time) for event in final)
            yield from ((event, time) for event in self.finish(memory))

    def step(
        self,
        memory: WindowMemory,
        time: float,
        scores: Floats,
        *,
        possible: NDArray[np.bool_] | None = None,
    ) -> SegmentStep[WindowMemory]:
        final, ongoing, memory = self._advance(memory, time, scores)
        unusual = None
        complete = np.array(self.lengths) <= len(memory.times)
        if possible is not None and complete.any():
            unusual = not possible[complete].any()
        return SegmentStep(
            memory,
            final,
            ongoing[:1],
            begun=ongoing,
            scores=self.final_scores(memory),
            rows=scores[None],
            unusual=unusual,
        )

    def finish(self, memory: WindowMemory, end: float | None = None) -> list[Segment]:
        return in_order(self._moved(suppress(memory.pending), memory))

    def final_scores(
        self, memory: WindowMemory, final: Sequence[Segment] = ()
    ) -> NDArray[np.float32]:
        memory = memory._replace(events=(*memory.events, *final))
        scores = self.new_event_scores(memory)
        return with_nothing(scores.max(0), self.decision.nothing_class)

    def new_event_scores(self, memory: WindowMemory) -> NDArray[np.float32]:
        """Scores `L K` of the windows that end at the last frame; zero for windows that are
        incomplete or show a final event.
        """
        scored = memory.scored[-1]
        scores = np.zeros_like(scored.scores)
        for place, window in self._windows(scored):
            if not _shows_any(window, memory.events):
                scores[place] = scored.scores[place]
        return scores

    def recent(
        self, memory: WindowMemory, boxes: Sequence[TimedBox], limit: int
    ) -> tuple[TimedBox, ...]:
        begin = min((*memory.times[:1], *map(_start, memory.pending)), default=0.0)
        return tuple(box for box in boxes if box[0] >= begin)

    def answer(self, times: Sequence[float], rows: Floats, end: float) -> RecordingAnswer:
        """The events, best first. The probability of an event is the highest score of all windows;
        at a frame, the highest score of the windows that contain it. `scores` are taken from the
        best window.
        """
        nothing = self.decision.nothing_class
        parts = shown_parts(times, self.longest_pause)
        highest = [highest_around(rows[part], self.lengths) for part in parts]
        return RecordingAnswer(
            self.decision,
            sorted(self.find(times, rows), key=lambda event: -event.score),
            with_nothing(np.concatenate(highest), nothing),
            scores=class_scores(rows, nothing),
            event_scores=with_nothing(rows.max((0, 1)), nothing),
        )

    def _advance(
        self, memory: WindowMemory, time: float, scores: Floats
    ) -> tuple[list[Segment], tuple[Segment, ...], WindowMemory]:
        """The events that become final at a frame, those that seem to go on, best first, and the new
        memory.
        """
        longest = self.lengths[-1]
        times = (*memory.times, time)[-longest:]
        scored = self._scored(times, scores)
        candidates = (
            window
            for _, window in self._windows(scored)
            if window.score >= self.threshold and not _shows_any(window, memory.events)
        )
        pending = [*memory.pending, *candidates]
        best = suppress(pending)
        windows = [window for window in best if _final(window) <= time]
        pending = [
            window
            for window in pending
            if _final(window) > time and not _shows_any(window, windows)
        ]
        ongoing = tuple(window for window in best if window not in windows)
        # what becomes final later began less than two of the longest windows ago
        since = 2 * times[0] - time
        memory = WindowMemory(
            times,
            tuple(pending),
            tuple(event for event in (*memory.events, *windows) if event.end > since),
            reported=tuple(event for event in memory.reported if event.end > since),
            scored=(*memory.scored, scored)[-longest:],
        )
        final = self._moved(windows, memory)
        return in_order(final), ongoing, memory._replace(reported=(*memory.reported, *final))

    def _moved(self, windows: Iterable[Segment], memory: WindowMemory) -> list[Segment]:
        """Windows that become final, as events with moved borders."""
        final = list[Segment]()
        for window in windows:
            start, end = self._borders(window, memory.scored)
            for event in (*memory.reported, *final):
                if event.label == window.label and event.start < window.start:
                    start = max(start, event.end)
                elif event.label == window.label:
                    end = min(end, event.start)
            final.append(replace(window, start=start, end=end))
        return final

    def _borders(self, window: Segment, scored: Sequence[_Scored]) -> tuple[float, float]:
        """Start and end of an event in seconds, where its evidence rises and falls: the means over
        the windows around it, weighted by squared scores (box voting, Gidaris and Komodakis 2015).

        Borders move by at most a quarter of the window; outwards by less, so that something is left
        of a short neighbor.
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
        """The windows that end at the last of some frames."""
        spans = np.full((len(self.lengths), 2), np.nan)
        last = times[-1]
        for place, n in enumerate(self.lengths):
            # frames of one time have no duration
            if n <= len(times) and times[-n] < last:
                # a frame lasts until the next one
                spans[place] = times[-n], last + (last - times[-n]) / (n - 1)
        return _Scored(spans, scores)

    def _windows(self, scored: _Scored) -> Iterator[tuple[int, Segment]]:
        """The complete windows as events of their best classes, each after the position of its
        length.
        """
        class_scores = self.decision.event_scores(scored.scores)
        for place in np.flatnonzero(~np.isnan(scored.spans[:, 0])).tolist():
            start, end = scored.spans[place].tolist()
            label = int(class_scores[place].argmax())
            score = float(class_scores[place, label])
            yield place, Segment(self.decision.classes[label], start, end, score=score)


def highest_around(windows: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """The highest score of all windows that contain a frame, `T K`, from the scores of the windows
    that end at each frame, `T L K`.
    """
    highest = np.zeros((len(windows), windows.shape[2]), np.float32)
    for place, length in enumerate(lengths):
        for later in range(min(length, len(windows))):
            frames = highest[: len(windows) - later]
            np.maximum(frames, windows[later:, place], out=frames)
    return highest


def class_scores(windows: NDArray[np.float32], nothing: int | None) -> NDArray[np.float32]:
    """Class probabilities `K` of the best of some windows, `… K`; they sum to one. The class in
    which nothing happens gets what the events leave.
    """
    rows = np.maximum(event_scores(windows, nothing), 0).reshape(-1, windows.shape[-1])
    best = rows[rows.max(-1).argmax()].astype(np.float32)
    total = float(best.sum())
    if nothing is not None:
        best[nothing] = max(0.0, 1 - total)
        total = max(1.0, total)
    return best / total if total else np.full_like(best, 1 / len(best))


def with_nothing(scores: NDArray[np.float32], nothing: int | None) -> NDArray[np.float32]:
    """Scores of events, `… K`, with one minus the highest for the class in which nothing happens."""
    if nothing is not None:
        scores[..., nothing] = 1 - np.delete(scores, nothing, -1).max(-1, initial=0)
    return scores

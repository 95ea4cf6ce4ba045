"""Windows around each frame become probabilities of states, and these become bouts, by a semi-Markov
model with log-normal durations.

A state is what goes on at a moment, an act of half a second or a rest of minutes; a bout is one span
of a state. States of one tier exclude each other.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, softmax

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

Ints = NDArray[np.int64]

LAG = 2.0  # seconds after which the state of a frame of a stream is final at the latest
_LEAST = 1e-9  # probability: no frame rules a state out
# standard deviations above the median of a class: the hazard of its end is constant from there
_LONG = 2.0
_MOST = 4096  # frames after which the hazard is constant for all classes


class _Front(NamedTuple):
    """The scores of all segmentations of the frames so far, as far as later ones depend on them.

    Args:
        seen: number of frames.
        total: `K`, sums of weighted log probabilities.
        starts: `K 2D`, scores of the segmentations before a bout of each class that begins at a
            frame, minus `total` there. The last D frames stand from `at` on, the newest first; it
            is written from the right to the left, so that an earlier front stays valid.
        long: `K`, like `starts` for bouts of more than D frames, with the probability that they
            last so long.
        long_begin: `K`, the frames in which these begin.
    """

    seen: int
    total: Floats
    starts: Floats
    at: int
    long: Floats
    long_begin: Ints


class _Ends(NamedTuple):
    """The best bouts that end before a frame.

    Args:
        begins: `K`, the first frame of the best bout of each class.
        best: the class of the best bout.
        second_best: the class of the second best bout, which precedes a bout of class `best`.
    """

    begins: Ints
    best: int
    second_best: int


class _Bout(NamedTuple):
    """A bout of a stream whose begin is final.

    Args:
        label: its class.
        start: seconds.
        total: sum of its probabilities over its `frames`.
        begun: whether its begin is reported.
    """

    label: int
    start: float
    total: float
    frames: int
    begun: bool = False


class BoutMemory(NamedTuple):
    """What later bouts of one tier depend on, of constant size.

    Args:
        front: None before the first frame.
        ends, times, posteriors: the frames whose states are not final.
        bout: the last bout that has begun.
    """

    front: _Front | None = None
    ends: tuple[_Ends, ...] = ()
    times: tuple[float, ...] = ()
    posteriors: tuple[Floats, ...] = ()
    bout: _Bout | None = None


class Decoder:
    """The most probable bouts of one tier.

    It divides T frames into bouts of n_i frames with classes k_i, where neighbors differ, and
    maximizes

        Σ_i log P(N = n_i | k_i) + weight Σ_t log p_t,k(t),

    where the last bout is ongoing: P(N ≥ n). Durations N are log-normal; beyond the longest usual
    duration the hazard that a bout ends is constant, with the mean remaining time.

    Args:
        labels: `K` class names; None: no state, whose bouts are not reported.
        medians: `K`, durations in seconds.
        spreads: `K`, standard deviations of log durations.
        weight: factor of the log probabilities of frames, which depend on each other.
        rate: frames per second.
        threshold: the lowest mean probability of a bout that is reported. An ongoing bout is
            reported after half the median duration of its class.
        lag: seconds after which the state of a frame of a stream is final at the latest.
    """

    def __init__(
        self,
        labels: Sequence[str | None],
        medians: Sequence[float],
        spreads: Sequence[float],
        *,
        weight: float,
        rate: float,
        threshold: float = 0.0,
        lag: float = LAG,
    ) -> None:
        self.labels = tuple(labels)
        self.weight = weight
        self.rate = rate
        self.threshold = threshold
        self._halves = [median * rate / 2 for median in medians]
        self.lag = max(1, round(lag * rate))
        mean = np.log(np.array(medians) * rate)[:, None]
        spread = np.array(spreads)[:, None]
        longest = int(np.ceil(np.exp((mean + _LONG * spread).max())))
        self.longest = min(max(longest, 2), _MOST)
        frames = np.log(np.arange(1, self.longest + 1))
        z = (frames - mean) / spread
        self._density = -0.5 * z**2 - np.log(spread * np.sqrt(2 * np.pi)) - frames
        halves = np.log(np.arange(1, self.longest + 1) - 0.5)
        self._survival = log_ndtr((mean - halves) / spread)
        # the mean remaining time of a bout after the longest frames
        end = frames[-1]
        beyond = log_ndtr((mean + spread**2 - end) / spread) - log_ndtr((mean - end) / spread)
        left = np.exp(mean + spread**2 / 2 + beyond)[:, 0] - self.longest
        hazard = 1 / (1 + np.maximum(left, 1.0))
        self._ends_long = np.log(hazard)
        self._stays_long = np.log1p(-hazard)

    def decode(
        self, times: Sequence[float], posteriors: Floats, end: float | None = None
    ) -> list[Segment]:
        """The bouts of a recording, in the order of time.

        Args:
            times: `T`, seconds, ascending.
            posteriors: `T K`, probabilities of the classes at each frame.
            end: when the recording ends; None: unknown.
        """
        front = self._empty()
        ends = list[_Ends]()
        for row in self._logs(posteriors):
            front, frame_ends = self._advance(front, row)
            ends.append(frame_ends)
        if not ends:
            return []
        memory = BoutMemory(front, tuple(ends), tuple(times), posteriors=tuple(posteriors))
        return self.finish(memory, end)

    def step(
        self, memory: BoutMemory, time: float, posteriors: Floats
    ) -> tuple[list[Segment], Segment | None, BoutMemory]:
        """Process a frame of a stream: the bouts that become final, the ongoing one if there is one,
        and the new memory.

        The state of a frame is final, and never changes, when the best segmentations that end with
        a bout of each class agree on it and on all frames before, or when `lag` seconds have passed.

        Args:
            memory: after the previous frame; `BoutMemory()` at the first.
            posteriors: `K`, probabilities of the classes at this frame.
        """
        front, frame_ends = self._advance(
            memory.front or self._empty(), self._logs(np.asarray(posteriors, np.float64))
        )
        memory = BoutMemory(
            front,
            ends=(*memory.ends, frame_ends),
            times=(*memory.times, time),
            posteriors=(*memory.posteriors, posteriors),
            bout=memory.bout,
        )
        begins, scores = self._lasting(front)
        classes = range(len(self.labels))
        paths = np.stack([self._trace(front, begins, k, ends=memory.ends) for k in classes])
        path = paths[int(scores.argmax())]
        # the last frame is never final, so that there is an ongoing bout
        differs = np.append((paths != path).any(0)[:-1], True)
        count = max(int(differs.argmax()), len(path) - self.lag)
        final, memory = self._settle(memory, path[:count])
        return final, self._ongoing(memory, path[count:]), memory

    def begun(self, memory: BoutMemory) -> list[Segment]:
        """The ongoing bout if its begin is final, until the last final frame; none if it is no
        state, or not sure.
        """
        is_sure = memory.bout is not None and memory.bout.begun
        return self._segments(memory.bout, memory.times[0]) if is_sure else []

    def finish(self, memory: BoutMemory, end: float | None = None) -> list[Segment]:
        """The bouts that become final by the end of a stream, at `end` seconds if it is known."""
        if memory.front is None:
            return []
        end = self._end(memory.times[-1], end)
        begins, scores = self._lasting(memory.front)
        path = self._trace(memory.front, begins, int(scores.argmax()), ends=memory.ends)
        final, memory = self._settle(memory, path)
        return [*final, *self._segments(memory.bout, end)]

    def _empty(self) -> _Front:
        K = len(self.labels)
        D = self.longest
        starts = np.full((K, 2 * D), -np.inf)
        starts[:, D] = 0.0  # a bout of any class begins with the first frame
        long = np.full(K, -np.inf)
        return _Front(0, np.zeros(K), starts, at=D, long=long, long_begin=np.zeros(K, np.int64))

    def _logs(self, posteriors: Floats) -> Floats:
        """Weighted log probabilities."""
        return self.weight * np.log(np.maximum(posteriors, _LEAST, dtype=np.float64))

    def _advance(self, front: _Front, logs: Floats) -> tuple[_Front, _Ends]:
        """The scores after one more frame with these weighted log probabilities, `K`."""
        D = self.longest
        K = len(logs)
        count = front.seen + 1
        total = front.total + logs
        starts = front.starts[:, front.at : front.at + D]
        durations = starts + self._density
        usual = durations.argmax(1)
        scores = durations[range(K), usual]
        begins = count - 1 - usual
        long = front.long + self._stays_long
        is_long = long + self._ends_long > scores
        begins = np.where(is_long, front.long_begin, begins)
        scores = np.where(is_long, long + self._ends_long, scores) + total
        order = np.argsort(-scores)
        best = int(order[0])
        second_best = int(order[min(1, K - 1)])
        # bouts that have lasted D frames now
        oldest = starts[:, -1] + self._survival[:, -1]
        long_begin = np.where(oldest > long, count - D, front.long_begin)
        long = np.maximum(oldest, long)
        buffer = front.starts
        at = front.at
        if not at:
            buffer = np.full_like(front.starts, -np.inf)
            buffer[:, D:] = front.starts[:, :D]
            at = D
        at -= 1
        buffer[:, at] = scores[best] - total
        buffer[best, at] = scores[second_best] - total[best] if K > 1 else -np.inf
        front = _Front(count, total, buffer, at=at, long=long, long_begin=long_begin)
        return front, _Ends(begins, best, second_best)

    def _lasting(self, front: _Front) -> tuple[Ints, Floats]:
        """The best segmentations that end with an ongoing bout of each class: first frames of these
        bouts, and scores, `K` each.
        """
        # a bout that begins with the next frame is not ongoing
        starts = front.starts[:, front.at + 1 : front.at + self.longest]
        lasting = starts + self._survival[:, :-1]
        best = lasting.argmax(1)
        scores = lasting[range(len(best)), best]
        is_long = front.long > scores
        begins = np.where(is_long, front.long_begin, front.seen - 1 - best)
        return begins, np.where(is_long, front.long, scores) + front.total

    def _trace(self, front: _Front, begins: Ints, k: int, *, ends: Sequence[_Ends]) -> Ints:
        """The classes of the last frames in the best segmentation that ends with a bout of class k.

        Args:
            begins: `K`, first frames of the last bouts (`_lasting`).
            ends: one for each of the last frames.
        """
        begin = int(begins[k])
        end = front.seen
        since = end - len(ends)
        path = np.empty(end - since, np.int64)
        while begin > since:
            path[begin - since : end - since] = k
            before = ends[begin - 1 - since]
            k = before.second_best if before.best == k else before.best
            end = begin
            begin = int(before.begins[k])
        path[: end - since] = k
        return path

    def _settle(self, memory: BoutMemory, path: Ints) -> tuple[list[Segment], BoutMemory]:
        """Make the classes of the oldest frames final: the bouts that they end, and the new
        memory.
        """
        final = list[Segment]()
        bout = memory.bout
        for label, time, posteriors in zip(path.tolist(), memory.times, memory.posteriors):  # noqa: B905 - the others are not final
            probability = float(posteriors[label])
            if bout is not None and bout.label == label:
                bout = bout._replace(total=bout.total + probability, frames=bout.frames + 1)
            else:
                final += self._segments(bout, time)
                bout = _Bout(label, time, probability, frames=1)
        if bout is not None and not bout.begun:
            is_long = not self.threshold or bout.frames >= self._halves[bout.label]
            bout = bout._replace(begun=is_long and self._is_sure(bout))
        count = len(path)
        return final, BoutMemory(
            memory.front,
            ends=memory.ends[count:],
            times=memory.times[count:],
            posteriors=memory.posteriors[count:],
            bout=bout,
        )

    def _ongoing(self, memory: BoutMemory, path: Ints) -> Segment | None:
        """The ongoing bout, from the classes of the frames that are not final."""
        label = int(path[-1])
        changes = np.flatnonzero(path != label)
        begin = int(changes[-1]) + 1 if len(changes) else 0
        probabilities = [float(row[label]) for row in memory.posteriors[begin:]]
        bout = _Bout(label, memory.times[begin], sum(probabilities), frames=len(probabilities))
        if not begin and memory.bout is not None and memory.bout.label == label:
            total = memory.bout.total + bout.total
            frames = memory.bout.frames + bout.frames
            bout = memory.bout._replace(total=total, frames=frames)
        return next(iter(self._segments(bout, self._end(memory.times[-1]))), None)

    def _segments(self, bout: _Bout | None, end: float) -> list[Segment]:
        """A bout as a segment, unless it is no state, or not sure and not reported before."""
        name = None if bout is None else self.labels[bout.label]
        if bout is None or name is None or not (bout.begun or self._is_sure(bout)):
            return []
        return [Segment(name, bout.start, end, score=bout.total / bout.frames)]

    def _is_sure(self, bout: _Bout) -> bool:
        return bout.total >= self.threshold * bout.frames

    def _end(self, last: float, end: float | None = None) -> float:
        """When a recording or stream ends: by its last frame, unless `end` is known."""
        return last + 1 / self.rate if end is None else max(end, last)


def window_offsets(lengths: Sequence[int], rate: float) -> list[int]:
    """Frames from a frame to the end of the window of each length that tells its state: half of the
    length, at most `LAG` seconds.
    """
    return [min(length // 2, round(LAG * rate)) for length in lengths]


class SemiMarkovMemory(NamedTuple):
    """What later states of a stream depend on, of constant size.

    Args:
        tiers: one for each decoder.
        scores: `K`, class probabilities at the last frame whose windows are complete; equal outputs
            before the first.
        windows: `L R`, scores of the windows at each of the last frames, whose windows are not
            complete.
        times: these frames, seconds.
    """

    tiers: tuple[BoutMemory, ...]
    scores: NDArray[np.float32]
    windows: tuple[Floats, ...] = ()
    times: tuple[float, ...] = ()


class SemiMarkovSegmenter(Segmenter[SemiMarkovMemory]):
    """Finds bouts of states: in each tier, one state or none goes on at every moment.

    Args:
        decision: its tiers have `R` outputs together, one after another.
        lengths: the `L` windows around a frame, in frames.
        rate: frames per second.

    Attributes:
        offsets: frames from a frame to the end of its window of each length; `delay` is the largest.
        columns: the outputs of each tier.
        positions: the outputs of each class, whose probabilities are multiplied: nothing happens
            where no tier has a state.
    """

    has_pauses = False

    def __init__(self, decision: Decision, lengths: Sequence[int], rate: float) -> None:
        self.decision = decision
        self.rate = rate
        self.offsets = window_offsets(lengths, rate)
        self.delay = max(self.offsets)
        self.columns = list[slice]()
        self.decoders = list[Decoder]()
        nothing = decision.nothing_class
        for tier in decision.states:
            begin = self.columns[-1].stop if self.columns else 0
            self.columns.append(slice(begin, begin + len(tier.classes)))
            labels = [None if k in (-1, nothing) else decision.classes[k] for k in tier.classes]
            self.decoders.append(
                Decoder(
                    labels,
                    tier.medians,
                    tier.spreads,
                    weight=tier.weight,
                    rate=rate,
                    threshold=tier.threshold,
                )
            )
        outputs = [nothing if k == -1 else k for tier in decision.states for k in tier.classes]
        self.positions = [
            [i for i, label in enumerate(outputs) if label == k]
            for k in range(len(decision.classes))
        ]
        equal = self.probabilities(np.zeros(len(outputs), np.float32))
        tiers = (BoutMemory(),) * len(self.decoders)
        self.start = SemiMarkovMemory(tiers, self.class_scores(equal))

    def set_threshold(self, threshold: float) -> None:
        for decoder in self.decoders:
            decoder.threshold = threshold

    def find(self, times: Sequence[float], rows: Floats, end: float | None = None) -> list[Segment]:
        bouts = list[Segment]()
        for part in shown_parts(times, self.longest_pause):
            part_end = end if part.stop == len(times) else None
            for columns, decoder in zip(self.columns, self.decoders, strict=True):
                bouts += decoder.decode(times[part], rows[part, columns], part_end)
        return in_order(bouts)

    def step(
        self,
        memory: SemiMarkovMemory,
        time: float,
        scores: Floats,
        *,
        possible: NDArray[np.bool_] | None = None,
    ) -> SegmentStep[SemiMarkovMemory]:
        waiting = (*memory.windows, scores)
        times = (*memory.times, time)
        if len(waiting) <= self.delay:
            memory = memory._replace(windows=waiting, times=times)
            none = np.zeros((0, scores.shape[1]), scores.dtype)
            return SegmentStep(memory, [], (), scores=memory.scores, rows=none)
        posteriors = self.probabilities(
            sum(waiting[offset][place] for place, offset in enumerate(self.offsets))
        )
        final = list[Segment]()
        ongoing = list[Segment]()
        begun = list[Segment]()
        tiers = list[BoutMemory]()
        for columns, decoder, tier in zip(self.columns, self.decoders, memory.tiers, strict=True):
            bouts, bout, tier_memory = decoder.step(tier, times[0], posteriors[columns])
            final += bouts
            ongoing += [bout] if bout else []
            begun += decoder.begun(tier_memory)
            tiers.append(tier_memory)
        class_scores = self.class_scores(posteriors)
        return SegmentStep(
            SemiMarkovMemory(tuple(tiers), class_scores, waiting[1:], times=times[1:]),
            in_order(final),
            tuple(ongoing),
            scores=class_scores,
            rows=posteriors[None],
            begun=tuple(begun),
        )

    def finish(self, memory: SemiMarkovMemory, end: float | None = None) -> list[Segment]:
        bouts = list[Segment]()
        for decoder, tier in zip(self.decoders, memory.tiers, strict=True):
            bouts += decoder.finish(tier, end)
        return in_order(bouts)

    def final_scores(
        self, memory: SemiMarkovMemory, final: Sequence[Segment]
    ) -> NDArray[np.float32]:
        return memory.scores

    def recent(
        self, memory: SemiMarkovMemory, boxes: Sequence[TimedBox], limit: int
    ) -> tuple[TimedBox, ...]:
        return tuple(boxes[-limit:])

    def answer(self, times: Sequence[float], rows: Floats, end: float) -> RecordingAnswer:
        """The bouts, in the order of time. Class probabilities are means over all frames."""
        frame_scores = self.class_scores(rows)
        return RecordingAnswer(
            replace(self.decision, threshold=None),
            self.find(times, rows, end),
            frame_scores,
            scores=frame_scores.mean(0),
        )

    def probabilities(self, logits: Floats) -> Floats:
        """Probabilities `… R` of the outputs, which sum to one over each tier."""
        tiers = [softmax(logits[..., columns], -1) for columns in self.columns]
        return np.concatenate(tiers, -1)

    def class_scores(self, posteriors: Floats) -> NDArray[np.float32]:
        """Probabilities of the classes, `… K`, from probabilities of the outputs, `… R`."""
        scores = [posteriors[..., places].prod(-1) for places in self.positions]
        return np.stack(scores, -1).astype(np.float32)

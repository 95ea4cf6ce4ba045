"""Turn what windows say of states into probabilities at each frame, and these into bouts, by a
semi-Markov model whose durations are log-normal: over a whole recording, or frame by frame.

A state is what goes on at a moment, an act of half a second or a rest of minutes; a bout is the time
from where it begins to where another one does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, softmax

from onlooker.base.decision import Decision
from onlooker.base.records import Prediction, Segment, Step
from onlooker.stream.events import Rows, recording_prediction

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

LAG = 2.0  # seconds after which the state of a frame of a stream is final at the latest
_LEAST = 1e-9  # probability: no frame rules a state out
# standard deviations above the median of a class, up to which the hazard of its end changes
_LONG = 2.0
_MOST = 4096  # frames after which the hazard is constant for all classes


class _Front(NamedTuple):
    """The scores of all segmentations of the frames so far, as far as later ones depend on them.

    Args:
        seen: number of frames.
        total: `K`, sums of weighted log probabilities.
        starts: scores of the segmentations that end where a bout of each class may begin, minus
            `total` there: `K 2D`, those of the last D frames from `at` on, the newest first. It is
            written to from the right to the left, so that an earlier front stays valid.
        long: `K`, as `starts`, of bouts that last more than D frames, with the probability that
            they last so long.
        long_begin: `K`, the frames in which these begin.
    """

    seen: int
    total: Floats
    starts: Floats
    at: int
    long: Floats
    long_begin: Ints


class _Ends(NamedTuple):
    """The best bouts that end before a frame: of each class their first frames, `K`, and the class
    of the best one and of the second best one, which precedes bouts of the same class.
    """

    begins: Ints
    best: int
    second_best: int


class _Bout(NamedTuple):
    """A bout of a stream whose begin is final: its class, the sum of its probabilities, and whether
    that it has begun is reported.
    """

    label: int
    start: float
    total: float
    frames: int
    begun: bool = False


class BoutState(NamedTuple):
    """The state of a stream from which its next bouts are found, of constant size.

    Args:
        front: None before the first frame.
        ends, times, posteriors: of the frames whose states are not final.
        bout: the last one that has begun.
    """

    front: _Front | None = None
    ends: tuple[_Ends, ...] = ()
    times: tuple[float, ...] = ()
    posteriors: tuple[Floats, ...] = ()
    bout: _Bout | None = None


class Decoder:
    """The most probable bouts of states that exclude each other.

    Of all segmentations of T frames into bouts of n_i frames with classes k_i, neighbors of which
    differ, it is the one with the highest

        Σ_i log P(N = n_i | k_i) + weight Σ_t log p_t,k(t),

    where the last bout goes on: P(N ≥ n). Durations N are log-normal; beyond the longest usual ones
    the hazard that a bout ends is constant, with the mean of the remaining time.

    Args:
        labels: the names of the `K` classes; None: of no state, whose bouts are not reported.
        medians: of the durations of each class, seconds.
        spreads: standard deviations of their logarithms.
        weight: of the log probabilities of frames, which depend on each other.
        rate: frames per second.
        threshold: the lowest mean probability of a bout that is reported. One that goes on is, once it
            has lasted half as long as those of its class usually do.
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
        if not len(posteriors):
            return []
        path = self.path(posteriors)
        cuts = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
        bounds = [*times, self._end(times[-1], end)]
        bouts = list[Segment]()
        for begin, after in pairwise(cuts):
            k = int(path[begin])
            total = float(posteriors[begin:after, k].sum())
            bout = _Bout(k, bounds[begin], total, frames=after - begin)
            bouts += self._segments(bout, bounds[after])
        return bouts

    def path(self, posteriors: Floats) -> Ints:
        """The class of each frame, `T`, from probabilities `T K`."""
        front = self._empty()
        ends = list[_Ends]()
        for row in self._logs(posteriors):
            front, frame_ends = self._advance(front, row)
            ends.append(frame_ends)
        begins, scores = self._lasting(front)
        return self._trace(front, begins, int(scores.argmax()), ends=ends)

    def step(
        self, state: BoutState, time: float, posteriors: Floats
    ) -> tuple[list[Segment], Segment | None, BoutState]:
        """Process a frame of a stream: the bouts that become final, the one that goes on, unless
        that is none, and the new state.

        The state of a frame is final, and never changes, when the best segmentations that end with
        a bout of each class agree on it and on all frames before, or when `lag` seconds have passed.

        Args:
            state: after the previous frame; `BoutState()` at the first.
            posteriors: `K`, probabilities of the classes at this frame.
        """
        front, frame_ends = self._advance(
            state.front or self._empty(), self._logs(np.asarray(posteriors, np.float64))
        )
        state = BoutState(
            front,
            ends=(*state.ends, frame_ends),
            times=(*state.times, time),
            posteriors=(*state.posteriors, posteriors),
            bout=state.bout,
        )
        begins, scores = self._lasting(front)
        classes = range(len(self.labels))
        paths = np.stack([self._trace(front, begins, k, ends=state.ends) for k in classes])
        path = paths[int(scores.argmax())]
        # the last frame is not final, so that a bout goes on
        differs = np.append((paths != path).any(0)[:-1], True)
        count = max(int(differs.argmax()), len(path) - self.lag)
        final, state = self._settle(state, path[:count])
        return final, self._going_on(state, path[count:]), state

    def begun(self, state: BoutState) -> list[Segment]:
        """The bout that has begun and goes on, as far as is final; none if it is of no state, or not
        sure.
        """
        is_sure = state.bout is not None and state.bout.begun
        return self._segments(state.bout, state.times[0]) if is_sure else []

    def finish(self, state: BoutState, end: float | None = None) -> list[Segment]:
        """The bouts that become final by the end of a stream; `end`: its time, if it is known."""
        if state.front is None:
            return []
        end = self._end(state.times[-1], end)
        begins, scores = self._lasting(state.front)
        path = self._trace(state.front, begins, int(scores.argmax()), ends=state.ends)
        final, state = self._settle(state, path)
        return [*final, *self._segments(state.bout, end)]

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
        """The best segmentations that end with a bout of each class, which goes on: its first frame,
        and the score, `K` each.
        """
        # all but those of bouts that begin with the next frame
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
            begins: the first frames of these bouts of all classes (`_lasting`).
            ends: of the last frames.
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

    def _settle(self, state: BoutState, path: Ints) -> tuple[list[Segment], BoutState]:
        """Make the classes of the oldest frames final: the bouts that they end, and the new state."""
        final = list[Segment]()
        bout = state.bout
        for label, time, posteriors in zip(path.tolist(), state.times, state.posteriors):  # noqa: B905 - the others are not final
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
        return final, BoutState(
            state.front,
            ends=state.ends[count:],
            times=state.times[count:],
            posteriors=state.posteriors[count:],
            bout=bout,
        )

    def _going_on(self, state: BoutState, path: Ints) -> Segment | None:
        """The bout that goes on, from the classes of the frames that are not final."""
        label = int(path[-1])
        changes = np.flatnonzero(path != label)
        begin = int(changes[-1]) + 1 if len(changes) else 0
        probabilities = [float(row[label]) for row in state.posteriors[begin:]]
        bout = _Bout(label, state.times[begin], sum(probabilities), frames=len(probabilities))
        if not begin and state.bout is not None and state.bout.label == label:
            total = state.bout.total + bout.total
            frames = state.bout.frames + bout.frames
            bout = state.bout._replace(total=total, frames=frames)
        return next(iter(self._segments(bout, self._end(state.times[-1]))), None)

    def _segments(self, bout: _Bout | None, end: float) -> list[Segment]:
        """A bout as a segment, unless it is of no state, or not sure and not reported before."""
        name = None if bout is None else self.labels[bout.label]
        if bout is None or name is None or not (bout.begun or self._is_sure(bout)):
            return []
        return [Segment(name, bout.start, end, score=bout.total / bout.frames)]

    def _is_sure(self, bout: _Bout) -> bool:
        return bout.total >= self.threshold * bout.frames

    def _end(self, last: float, end: float | None = None) -> float:
        """When a recording or stream ends; if that is not known, by the time of its last frame."""
        return last + 1 / self.rate if end is None else max(end, last)


def window_offsets(lengths: Sequence[int], rate: float) -> list[int]:
    """By how many frames the window of each length that tells the state of a frame ends after it:
    half of the length, at most `LAG` seconds.
    """
    return [min(length // 2, round(LAG * rate)) for length in lengths]


class FinderState(NamedTuple):
    """The state of a stream from which its next states are found.

    Args:
        windows: `L R`, of the last frames, whose surroundings are not complete.
        times: of these frames.
        chains: that of each decoder.
    """

    windows: tuple[Floats, ...] = ()
    times: tuple[float, ...] = ()
    chains: tuple[BoutState, ...] = ()


class StateStep(NamedTuple):
    """What a frame of a stream tells.

    Args:
        posteriors: `n R`, probabilities of the frames whose surroundings are complete now.
        final: the bouts that are final now, in the order of time.
        going_on: those that go on, at most one for each chain.
        begun: those that go on, and of which it is final that they have begun.
        state: of the stream.
    """

    posteriors: Floats
    final: list[Segment]
    going_on: tuple[Segment, ...]
    begun: tuple[Segment, ...]
    state: FinderState


class StateFinder:
    """Finds the bouts of all chains of states by the outputs of a state layer.

    Args:
        decision: with chains, whose `R` outputs follow each other.
        lengths: of the `L` windows, in frames.
        rate: frames per second.

    Attributes:
        offsets: by how many frames the window of each length ends after the frame that it tells the
            state of; `delay`: the largest one.
        columns: the outputs of each chain.
        positions: of the outputs of each class, whose probabilities are multiplied: nothing happens
            where no chain has a state.
    """

    def __init__(self, decision: Decision, lengths: Sequence[int], rate: float) -> None:
        self.decision = decision
        self.rate = rate
        self.offsets = window_offsets(lengths, rate)
        self.delay = max(self.offsets)
        self.columns = list[slice]()
        self.decoders = list[Decoder]()
        nothing = decision.nothing_class
        for chain in decision.states:
            begin = self.columns[-1].stop if self.columns else 0
            self.columns.append(slice(begin, begin + len(chain.classes)))
            labels = [None if k in (-1, nothing) else decision.classes[k] for k in chain.classes]
            self.decoders.append(
                Decoder(
                    labels,
                    chain.medians,
                    chain.spreads,
                    weight=chain.weight,
                    rate=rate,
                    threshold=chain.threshold,
                )
            )
        outputs = [nothing if k == -1 else k for chain in decision.states for k in chain.classes]
        self.positions = [
            [i for i, label in enumerate(outputs) if label == k]
            for k in range(len(decision.classes))
        ]

    def find(
        self, times: Sequence[float], posteriors: Floats, end: float | None = None
    ) -> list[Segment]:
        """The bouts of a recording, in the order of time, by the probabilities of its frames,
        `T R`; `end`: when it ends, if that is known.
        """
        bouts = list[Segment]()
        for columns, decoder in zip(self.columns, self.decoders, strict=True):
            bouts += decoder.decode(times, posteriors[:, columns], end)
        return _in_order(bouts)

    def step(self, state: FinderState, time: float, windows: Floats) -> StateStep:
        """Process a frame of a stream; a frame's state is known `delay` frames later.

        Args:
            state: after the previous frame; `FinderState()` at the first.
            windows: `L R`, of those that end at this frame.
        """
        waiting = (*state.windows, windows)
        times = (*state.times, time)
        chains = state.chains or (BoutState(),) * len(self.decoders)
        if len(waiting) <= self.delay:
            R = windows.shape[1]
            waits = FinderState(waiting, times, chains)
            return StateStep(np.zeros((0, R)), [], (), begun=(), state=waits)
        posteriors = self.probabilities(
            sum(waiting[offset][place] for place, offset in enumerate(self.offsets))
        )
        final = list[Segment]()
        going_on = list[Segment]()
        begun = list[Segment]()
        after = list[BoutState]()
        for columns, decoder, chain in zip(self.columns, self.decoders, chains, strict=True):
            bouts, bout, chain_state = decoder.step(chain, times[0], posteriors[columns])
            final += bouts
            going_on += [bout] if bout else []
            begun += decoder.begun(chain_state)
            after.append(chain_state)
        return StateStep(
            posteriors[None],
            _in_order(final),
            tuple(going_on),
            begun=tuple(begun),
            state=FinderState(waiting[1:], times[1:], tuple(after)),
        )

    def finish(self, state: FinderState, end: float | None = None) -> list[Segment]:
        """The bouts that become final by the end of a stream, after `delay` more steps with its
        last frame; `end`: its time, if it is known.
        """
        bouts = list[Segment]()
        for decoder, chain in zip(self.decoders, state.chains, strict=True):
            bouts += decoder.finish(chain, end)
        return _in_order(bouts)

    def probabilities(self, logits: Floats) -> Floats:
        """Probabilities `… R` of the outputs, those of each chain sum to one."""
        parts = [softmax(logits[..., columns], -1) for columns in self.columns]
        return np.concatenate(parts, -1)

    def class_scores(self, posteriors: Floats) -> NDArray[np.float32]:
        """Probabilities of the classes, `… K`, by those of the outputs, `… R`. That of the class in
        which nothing happens is that of none of the others, where there are several chains.
        """
        scores = [posteriors[..., places].prod(-1) for places in self.positions]
        return np.stack(scores, -1).astype(np.float32)


def recorded_states(path: Path | str, rows: Rows, finder: StateFinder, *, end: float) -> Prediction:
    """The prediction of a recording, from what was kept of its frames.

    Its bouts, in the order of time, are found by all frames. The probability of a class in the whole
    recording is the mean of those of its frames.

    Args:
        rows: `collected` by a model with a state layer (`slot_steps`).
        finder: that of the model.
        end: when the recording ends, in seconds.
    """
    frame_scores = finder.class_scores(rows["outputs"])
    return recording_prediction(
        path,
        rows,
        replace(finder.decision, threshold=None),
        frame_scores=frame_scores,
        scores=frame_scores.mean(0),
        segments=finder.find(rows["time"].tolist(), rows["outputs"], end),
    )


def slot_steps(watched: Iterable[Step]) -> Iterator[Step]:
    """The steps of frames in slots of their own, and the one of the end."""
    return (step for step in watched if step.posteriors is not None)


def _in_order(bouts: Sequence[Segment]) -> list[Segment]:
    return sorted(bouts, key=lambda bout: (bout.start, bout.end))

"""Fit the state layer: what goes on at every moment of recordings whose times are labeled.

The layer is a logistic regression of the statistics of windows around a frame, fitted to some frames
of each bout. By leaving recordings out, the windows, the regularization and the weight of the
decoder (`stream.states`) are chosen, and the states are tested. Of motion, a layer on the words of
the shortest window is added, with a weight that is chosen alike, if states are clearly told better by it.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.decision import Decision, StateChain
from onlooker.base.fisher import fisher_vector
from onlooker.base.progress import tracked
from onlooker.base.records import LabeledRecording, Segment, clip_name
from onlooker.base.text import some_of
from onlooker.data.tiers import TOLERANCE, tiers_of
from onlooker.models.linear import ORDERED, UNORDERED, LinearClassifier, rounded_motion
from onlooker.report.events import event_curve
from onlooker.report.figures import HeldOutStates
from onlooker.report.states import UNKNOWN, bouts_of, state_figures
from onlooker.stream.sources import ON_TIME, slot_of
from onlooker.stream.states import Decoder, window_offsets
from onlooker.training.forward import encode_samples
from onlooker.training.linear import is_clear, one_thread
from onlooker.training.regression import LinearLayer, standard_scale
from onlooker.training.times import covered_share
from onlooker.video.motion_words import motion_eye
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

_GAPS = 0.02  # share of the time without labels, above which it is a state, too

_RATE = 5.0  # frames per second at least
_SHORT = 0.1  # quantile of the durations of bouts that frames and windows are chosen for
_FRAMES_PER_BOUT = 5  # of such a bout
_SHARES = (0.5, 1.0, 2.0, 4.0)  # lengths of windows, times such a bout
_LONGEST = 4  # windows at most, times the number of frames of a sample
_MOST_FRAMES = 18_000  # of all recordings: an hour at the lowest rate
_TOGETHER = 128  # frames that are read and encoded together

_PER_BOUT = 10  # frames of a bout that the layer is fitted to
_MOST_SAMPLES = 3000  # of all such frames
_DIRECTIONS = 400  # in which the statistics differ most, that the layer uses
_PENALTIES = (0.3, 3.0, 30.0, 300.0)  # C of scikit-learn
_MOTION_WEIGHTS = (0.25, 0.5, 1.0)  # of the log probabilities of motion
# of the decoder; of those that are equally good, the earlier one is chosen
_WEIGHTS = (0.4, 0.2, 0.7, 0.1, 1.0, 0.05, 1.5)
_FOLDS = 6
_ABSENT = 20.0  # how far the logit of a class without frames is below all others
# Durations that spread less, as those of a few bouts may do, would rule others out.
_MIN_SPREAD = 0.5
_PRIOR_BOUTS = 3  # bouts of all classes that the spread of a class counts with
_DEFAULT_SECONDS = 2.0  # of a class without bouts


class _Chain(NamedTuple):
    """A chain of states in training: the classes of its outputs, -1 for none, and the output of time
    without labels, `UNKNOWN` if that has none.
    """

    classes: list[int]
    gap: int

    def labels(self, recording: LabeledRecording, times: Floats, classes: Sequence[str]) -> Ints:
        """The output of each frame, `T`; `UNKNOWN` where it is not known."""
        outputs = np.full(len(times), self.gap, np.int64)
        for start, end in recording.unknown:
            outputs[(times >= start) & (times < end)] = UNKNOWN
        # where the chain has a label, it is known
        for bout in recording.labels:
            label = classes.index(bout.label)
            if label in self.classes:
                begin, after = np.searchsorted(times, np.array(bout.span) - TOLERANCE).tolist()
                outputs[begin:after] = self.classes.index(label)
        return outputs

    def segments(
        self,
        outputs: Ints,
        times: Floats,
        decision: Decision,
        *,
        rate: float,
        logs: Floats | None = None,
    ) -> list[Segment]:
        """The bouts of frames with these outputs, `T`, but for those in which nothing happens; with
        log probabilities of the outputs, `T R`, they have scores.
        """
        bounds = [*times.tolist(), float(times[-1]) + 1 / rate]
        return [
            Segment(
                decision.classes[self.classes[output]],
                bounds[begin],
                bounds[end],
                score=1.0 if logs is None else float(np.exp(logs[begin:end, output]).mean()),
            )
            for begin, end, output in bouts_of(outputs)
            if self.classes[output] not in (-1, decision.nothing_class)
        ]


def _chains(recordings: Sequence[LabeledRecording], decision: Decision) -> list[_Chain]:
    groups = tiers_of(recordings, decision.classes, nothing=decision.nothing_class)
    nothing = decision.nothing_class
    has_gaps = covered_share(recordings, decision.nothing_name) < 1 - _GAPS
    chains = list[_Chain]()
    for group in groups:
        if nothing in group:
            chains.append(_Chain(group, group.index(nothing)))
        elif has_gaps or len(groups) > 1:
            chains.append(_Chain([*group, -1], len(group)))
        else:
            chains.append(_Chain(group, UNKNOWN))
    return chains


class _Frames(NamedTuple):
    """The frames of a recording at the rate of states.

    Args:
        times: `T`.
        statistics: of each length of windows, of those that end at each frame, and after the last
            one while it stays: float16 `T+delay M`, without statistics of order for most lengths.
        outputs: of each chain, `T`.
        samples: positions of the frames that layers are fitted to.
        motion: Fisher vectors of the shortest window around each frame, `T F`; None: they are not computed.
    """

    times: Floats
    statistics: list[NDArray[np.float16]]
    outputs: list[Ints]
    samples: Ints
    motion: NDArray[np.float16] | None = None

    def known_samples(self, outputs: Ints) -> Ints:
        """Those of the samples whose outputs, of `T`, are known."""
        return self.samples[outputs[self.samples] != UNKNOWN]


class StateMotion(NamedTuple):
    """A fitted layer on motion words (`LinearClassifier.set_state_motion`): weight `R F`, bias `R`."""

    weight: Floats
    bias: Floats


class StateLayer(NamedTuple):
    """A fitted state layer (`LinearClassifier.set_state_layer`), and how its outputs are decoded.

    Args:
        lengths: of the windows, in frames.
        layer: center and scale `L M`, weight `R L M`, bias `R`.
        chains: of its outputs.
        rate: frames per second.
        held_out: how good the states of recordings are that it was not fitted to.
        motion: the layer on motion words; None: states are recognized by pictures alone.
        why: which eyes were compared, in words; empty: none were.
    """

    lengths: tuple[int, ...]
    layer: LinearLayer
    chains: tuple[StateChain, ...]
    rate: float
    held_out: HeldOutStates
    motion: StateMotion | None = None
    why: str = ""


@one_thread
def fit_states(
    net: LinearClassifier,
    recordings: Sequence[LabeledRecording],
    decision: Decision,
    *,
    data: DataConfig,
) -> StateLayer:
    """Fit a state layer to recordings.

    Args:
        net: the model, which is not changed.
        decision: its classes.
        data: how frames are resized and normalized, and by which eyes states are recognized. By `auto`,
            these are pictures, unless both are clearly better.

    Raises:
        ClipError: a recording cannot be read any more.
    """
    lengths, rate = _lengths(net, recordings, decision)
    chains = _chains(recordings, decision)
    classes = decision.classes
    frames = _read(net, recordings, chains, classes=classes, data=data, lengths=lengths, rate=rate)
    folds = _folds([recording.group for recording in recordings])
    best: _Result | None = None
    for which in _window_sets(len(lengths)):
        space = _Space.of(frames, which, net=net, lengths=lengths, rate=rate)
        z = [space.project(recording, which, lengths, rate=rate) for recording in frames]
        for penalty in _PENALTIES:
            logits = _held_out(z, frames, chains, folds=folds, penalty=penalty)
            loss = _loss(logits, frames)
            if best is None or loss < best.loss:
                best = _Result(loss, which, penalty, space=space, z=z, logits=logits)
    assert best is not None
    both = None
    why = ""
    if any(part.motion is not None and part.motion.any() for part in frames):
        both = _with_motion(best.logits, frames, chains, folds=folds)
        gains = _losses(best.logits, frames) - _losses(both.logits, frames)
        groups = _of_samples([recording.group for recording in recordings], frames)
        losses = f"log loss {both.loss:.2f}, pictures alone {best.loss:.2f}"
        if data.eyes != "auto" or is_clear(gains, groups):
            best = best._replace(logits=both.logits)
            why = f"by pictures and motion ({losses})"
        else:
            both = None
            why = f"by pictures; with motion, they are not clearly better told ({losses})"
    fitted = list[StateChain]()
    texts = list[str]()
    labeled: list[list[Segment]] = [[] for _ in recordings]
    predicted: list[list[Segment]] = [[] for _ in recordings]
    for number, chain in enumerate(chains):
        outputs = [recording.outputs[number] for recording in frames]
        weight, figures, paths = _best_weight(
            [logits[number] for logits in best.logits],
            outputs,
            chain,
            decision=decision,
            folds=folds,
            rate=rate,
        )
        threshold = 0.0
        if chain.gap != UNKNOWN:
            logs = [logits[number] for logits in best.logits]
            threshold = _threshold(
                frames, number, chain, paths=paths, logs=logs, decision=decision, rate=rate
            )
        if threshold:
            for path, scores in zip(paths, logs, strict=True):
                for begin, end, output in bouts_of(path):
                    if np.exp(scores[begin:end, output]).mean() < threshold:
                        path[begin:end] = chain.gap
            figures = _figures(outputs, paths, chain, decision=decision, rate=rate)
        medians, spreads = durations(outputs, len(chain.classes), rate=rate)
        fitted.append(
            StateChain(chain.classes, medians, spreads, weight=weight, threshold=threshold)
        )
        names = some_of([decision.classes[k] for k in chain.classes if k >= 0])
        texts.append(
            f"{f'{names}: ' if len(chains) > 1 else ''}"
            f"{100 * figures['accuracy']:.0f} % of the time right, "
            f"F1@50 {figures['segmental_f1']['50']:.0f}"
        )
        for i, part in enumerate(frames):
            labeled[i] += chain.segments(outputs[i], part.times, decision, rate=rate)
            predicted[i] += chain.segments(paths[i], part.times, decision, rate=rate)
    rows, bias = _fit_chains(best.z, frames, chains, penalty=best.penalty)
    layer = best.space.layer(rows, bias)
    tested = [
        {
            "name": clip_name(recording.path, recording.root),
            "seconds": float(part.times[-1]) + 1 / rate,
            "labeled": [[bout.label, bout.start, bout.end] for bout in labeled_bouts],
            "found": [[bout.label, bout.start, bout.end] for bout in predicted_bouts],
        }
        for recording, part, labeled_bouts, predicted_bouts in zip(
            recordings, frames, labeled, predicted, strict=True
        )
    ]
    nothing = decision.nothing_class
    held_out = HeldOutStates(
        sentence=f"{'; '.join(texts)}, on recordings that it was not fitted to ({len(tested)})",
        classes=[name for k, name in enumerate(decision.classes) if k != nothing],
        recordings=sorted(tested, key=itemgetter("name")),
        overlap=len(chains) > 1,
    )
    return StateLayer(
        lengths,
        layer,
        tuple(fitted),
        rate=rate,
        held_out=held_out,
        motion=both and both.layer(frames, chains),
        why=why,
    )


def _threshold(
    frames: Sequence[_Frames],
    number: int,
    chain: _Chain,
    *,
    paths: Sequence[Ints],
    logs: Sequence[Floats],
    decision: Decision,
    rate: float,
) -> float:
    """The lowest score of a bout of a chain, by the rule of events (`EventCurve.point`); 0 if more is
    lost by it than it leaves out.

    Args:
        number: of the chain.
        paths, logs: of each recording, the outputs of its frames, `T`, and log probabilities, `T R`.
    """
    bouts = list[list[Segment]]()
    true = list[list[Segment]]()
    seconds = list[float]()
    for part, path, scores in zip(frames, paths, logs, strict=True):
        labels = part.outputs[number]
        judged = np.where(labels == UNKNOWN, UNKNOWN, path)
        bouts.append(chain.segments(judged, part.times, decision, rate=rate, logs=scores))
        true.append(chain.segments(labels, part.times, decision, rate=rate))
        seconds.append((labels != UNKNOWN).sum() / rate)
    curve = event_curve(bouts, true, seconds)
    point = None if curve is None else curve.point(StreamConfig.alarms_per_hour)
    if curve is None or point is None or curve.f1(point) <= curve.f1(0):
        return 0.0
    return curve.thresholds[point]


class _Result(NamedTuple):
    """A set of windows and a penalty in cross-validation.

    Args:
        loss: log loss of the sampled frames.
        z: of each recording, its projected statistics `T d`.
        logits: of each recording and each chain, by layers that were fitted without it, `T R`.
    """

    loss: float
    which: "_WindowSet"
    penalty: float
    space: "_Space"
    z: list[Floats]
    logits: list[list[Floats]]


# positions of the lengths of windows, and whether statistics of order are used
_WindowSet = tuple[tuple[int, bool], ...]


def _window_sets(L: int) -> list[_WindowSet]:
    """The sets of windows to choose from: two short ones; all; all, with order for the second."""
    short = tuple((i, False) for i in range(min(2, L)))
    every_length = tuple((i, False) for i in range(L))
    ordered = tuple((i, i == _ordered(L)) for i in range(L))
    return [*dict.fromkeys((short, every_length, ordered))]


def _ordered(L: int) -> int:
    """The position of the length of windows with statistics of order."""
    return min(1, L - 1)


def _lengths(
    net: LinearClassifier, recordings: Sequence[LabeledRecording], decision: Decision
) -> tuple[tuple[int, ...], float]:
    """Lengths of windows in frames, and frames per second."""
    seconds = [
        bout.end - bout.start
        for recording in recordings
        for bout in recording.labels
        if bout.label != decision.nothing_name
    ]
    short = float(np.quantile(seconds, _SHORT))
    own_rate = float(np.median([recording.rate for recording in recordings]))
    # each frame, each second one, …: frames at other rates are not equally spaced
    step = max(1, int(own_rate / max(_RATE, _FRAMES_PER_BOUT / short) + ON_TIME))
    rate = own_rate / step
    longest = _LONGEST * net.window
    lengths = {int(np.clip(round(short * rate * share), 2, longest)) for share in _SHARES}
    return tuple(sorted(lengths)), rate


def slots(times: Floats, rate: float, hold: int) -> tuple[Ints, Floats]:
    """The frames of a video that a stream processes at a rate, and the times at which it does: in
    slots that were missed, at most `hold` in a row, the last one is repeated.
    """
    indices = list[int]()
    moments = list[float]()
    next_slot = int(np.floor(times[0] * rate + ON_TIME))
    for index, time in enumerate(times.tolist()):
        slot = slot_of(time * rate, next_slot, ON_TIME)
        if slot is None:
            continue
        for missed in range(max(next_slot, slot - hold), slot) if indices else ():
            indices.append(indices[-1])
            moments.append(missed / rate)
        indices.append(index)
        moments.append(time)
        next_slot = slot + 1
    return np.array(indices), np.array(moments)


def _read(
    net: LinearClassifier,
    recordings: Sequence[LabeledRecording],
    chains: Sequence[_Chain],
    *,
    classes: Sequence[str],
    data: DataConfig,
    lengths: Sequence[int],
    rate: float,
) -> list[_Frames]:
    """The frames of recordings, of each as many of the first ones as all together allow."""
    share = min(1.0, _MOST_FRAMES / sum(recording.end * rate for recording in recordings))
    hold = max(data.frames, *lengths)
    parts = list[_Frames]()
    for recording in tracked(recordings, "encoding recordings", len(recordings)):
        reader = VideoReader(recording.path)
        indices, times = slots(reader.times, rate, hold)
        count = max(2, round(share * len(times)))
        indices = indices[:count]
        times = times[:count]
        features = _features(net, reader, indices, data=data)
        delay = max(window_offsets(lengths, rate))
        statistics = _statistics(net, features, lengths, delay=delay)
        labels = [chain.labels(recording, times, classes) for chain in chains]
        part = _Frames(times, statistics, labels, samples=np.zeros(0, np.int64))
        if data.sees_motion:
            offset = window_offsets(lengths, rate)[0]
            vectors = _motion_vectors(reader, indices, n=lengths[0], offset=offset)
            part = part._replace(motion=vectors)
        parts.append(part)
    bouts = sum(len(bouts_of(outputs)) for part in parts for outputs in part.outputs)
    per_bout = int(np.clip(_MOST_SAMPLES // max(bouts, 1), 2, _PER_BOUT))
    return [part._replace(samples=_sampled(part.outputs, per_bout)) for part in parts]


def _sampled(labels: Sequence[Ints], per_bout: int) -> Ints:
    """Frames to fit to: as many of a long bout as of a short one."""
    positions = [np.zeros(0, np.int64)]
    for outputs in labels:
        for begin, end, _ in bouts_of(outputs):
            count = min(per_bout, end - begin)
            positions.append(np.linspace(begin, end - 1, count).round().astype(np.int64))
    return np.unique(np.concatenate(positions))


@torch.inference_mode()
def _features(
    net: LinearClassifier, reader: VideoReader, indices: Ints, *, data: DataConfig
) -> Iterator[Tensor]:
    """The features of frames, `n D h w` of some at a time."""
    for begin in range(0, len(indices), _TOGETHER):
        frames, places = np.unique(indices[begin : begin + _TOGETHER], return_inverse=True)
        pixels = resize(reader.get(frames, size=data.size).pixels, data.size, data.channels)
        with torch.inference_mode():
            yield encode_samples(net, torch.from_numpy(pixels), data, at_once=32)[places]


def _motion_vectors(
    reader: VideoReader, indices: Ints, *, n: int, offset: int
) -> NDArray[np.float16]:
    """The Fisher vectors `T F` of windows of `n` of these frames of a video, each of which ends
    `offset` frames later, as in a stream: after the last frame nothing moves.
    """
    nothing = torch.zeros(1 + motion_eye().num_features)
    rows = deque[Tensor]([nothing], maxlen=n)
    vectors = list[NDArray[np.float16]]()
    for row in (*_motion_rows(reader, indices), *repeat(nothing, offset)):
        rows.append(rounded_motion(row))
        vectors.append(fisher_vector(torch.stack([*rows]).sum(0)).half().numpy())
    return np.stack(vectors[offset:])


def _motion_rows(reader: VideoReader, indices: Ints) -> Iterator[Tensor]:
    """The motion words of all frames since the one before, `1+F`, for each frame at these indices;
    a frame that is repeated has them once.
    """
    eye = motion_eye()
    state = None
    row = torch.zeros(1 + eye.num_features)
    remaining = deque(indices.tolist())
    for index, time, pixels in reader:
        state, sums, count = eye.step(pixels, time, state)
        row = row + torch.from_numpy(np.insert(sums, 0, count))
        while remaining and remaining[0] <= index:
            remaining.popleft()
            yield row
            row = torch.zeros_like(row)
        if not remaining:
            return


def _statistics(
    net: LinearClassifier, features: Iterator[Tensor], lengths: Sequence[int], *, delay: int
) -> list[NDArray[np.float16]]:
    """The statistics of `_Frames`, computed piece by piece."""
    before = lengths[-1] - 1
    parts = list[list[NDArray[np.float16]]]()
    past: Tensor | None = None
    with torch.inference_mode():
        for piece in _with_held(features, delay):
            if past is None:
                past = piece[:1].expand(before, -1, -1, -1)
            joined = torch.cat((past, piece))
            values = net.window_statistics(joined[None], lengths)[0, before:].cpu().half().numpy()
            past = joined[len(joined) - before :]
            few = values.shape[2] // len(net.names) * len(UNORDERED)
            parts.append(
                [
                    values[:, i] if i == _ordered(len(lengths)) else values[:, i, :few]
                    for i in range(len(lengths))
                ]
            )
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def _with_held(features: Iterator[Tensor], delay: int) -> Iterator[Tensor]:
    """The features, then those of the last frame again, `delay` times."""
    last = None
    for piece in features:
        yield piece
        last = piece[-1:]
    if last is not None and delay:
        yield last.expand(delay, -1, -1, -1)


class _Space(NamedTuple):
    """The directions in which the standardized statistics of sampled frames differ most.

    Args:
        center, scale: of the statistics of the chosen windows, `m`.
        basis: `m d`.
        columns: of each window, positions of its statistics among all `L M`.
        shape: `L M`.
    """

    center: Floats
    scale: Floats
    basis: Floats
    columns: Ints
    shape: tuple[int, int]

    @classmethod
    def of(
        cls,
        frames: Sequence[_Frames],
        which: _WindowSet,
        *,
        net: LinearClassifier,
        lengths: Sequence[int],
        rate: float,
    ) -> "_Space":
        """Those of all recordings; their classes are not used."""
        x = np.concatenate(
            [_around(part, which, lengths, rate=rate)[part.samples] for part in frames]
        ).astype(np.float32)
        center = x.mean(0, dtype=np.float64)
        scale = standard_scale(center, x.std(0, dtype=np.float64))
        basis = _main_directions(((x - center) / scale).astype(np.float32))
        M = net.num_features
        few = M // len(net.names) * len(UNORDERED)
        columns = [np.arange(M if ordered else few) + place * M for place, ordered in which]
        return cls(center, scale, basis, np.concatenate(columns), shape=(len(lengths), M))

    def project(
        self, part: _Frames, which: _WindowSet, lengths: Sequence[int], *, rate: float
    ) -> Floats:
        """The statistics of all frames of a recording in these directions, `T d`."""
        x = _around(part, which, lengths, rate=rate)
        pieces = np.array_split(x, len(x) // 1000 + 1)
        return np.concatenate(
            [
                ((piece - self.center) / self.scale).astype(np.float32) @ self.basis
                for piece in pieces
            ]
        )

    def layer(self, rows: Floats, bias: Floats) -> LinearLayer:
        """A layer in these directions, weight `R d`, as one on the statistics of all windows: `L M`,
        `R L M`.
        """
        size = self.shape[0] * self.shape[1]
        center = np.zeros(size)
        scale = np.ones(size)
        weight = np.zeros((len(rows), size))
        center[self.columns] = self.center
        scale[self.columns] = self.scale
        weight[:, self.columns] = rows @ self.basis.T
        return LinearLayer(
            center.reshape(self.shape),
            scale.reshape(self.shape),
            weight.reshape(-1, *self.shape),
            bias=bias.astype(np.float64),
        )


def _main_directions(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """The orthonormal directions in which centered rows `n m` differ most: `m d`."""
    values, vectors = np.linalg.eigh((z @ z.T).astype(np.float64))
    keeps = values > 1e-7 * values[-1]
    keeps[:-_DIRECTIONS] = False
    return z.T @ (vectors[:, keeps] / np.sqrt(values[keeps])).astype(np.float32)


def _around(
    part: _Frames, which: _WindowSet, lengths: Sequence[int], *, rate: float
) -> NDArray[np.float16]:
    """The statistics of the windows around each frame, side by side: `T m`."""
    offsets = window_offsets(lengths, rate)
    T = len(part.times)
    unordered = min(statistics.shape[1] for statistics in part.statistics)
    if len(part.statistics) == 1:
        unordered = unordered * len(UNORDERED) // (len(UNORDERED) + len(ORDERED))
    return np.concatenate(
        [
            part.statistics[place][offsets[place] :][:T, : None if ordered else unordered]
            for place, ordered in which
        ],
        1,
    )


def _folds(groups: Sequence[str]) -> list[Ints]:
    """The recordings that are left out together, of each fold; single recordings if all are of one
    group.
    """
    names = groups if len({*groups}) > 1 else [str(number) for number in range(len(groups))]
    order = np.random.default_rng(0).permutation(sorted({*names})).tolist()
    numbers = np.array([order.index(name) % _FOLDS for name in names])
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]


def _held_out(
    z: Sequence[Floats],
    frames: Sequence[_Frames],
    chains: Sequence[_Chain],
    *,
    folds: Sequence[Ints],
    penalty: float,
) -> list[list[Floats]]:
    """For each recording and each chain, log probabilities `T R` by a layer that was fitted without
    its fold.
    """
    result: list[list[Floats]] = [[] for _ in frames]
    for test in folds:
        training = [i for i in range(len(frames)) if i not in test]
        rows, bias = _fit_chains(
            [z[i] for i in training], [frames[i] for i in training], chains, penalty=penalty
        )
        for i in test.tolist():
            logits = z[i] @ rows.T + bias
            begin = 0
            for chain in chains:
                end = begin + len(chain.classes)
                result[i].append(log_softmax(logits[:, begin:end], 1))
                begin = end
    return result


def _fit_chains(
    z: Sequence[Floats], frames: Sequence[_Frames], chains: Sequence[_Chain], *, penalty: float
) -> tuple[Floats, Floats]:
    """Weight `R d` and bias `R` of the outputs of all chains, fitted to the sampled frames."""
    x = np.concatenate([values[part.samples] for values, part in zip(z, frames, strict=True)])
    rows = list[Floats]()
    biases = list[Floats]()
    for number, chain in enumerate(chains):
        y = np.concatenate([part.outputs[number][part.samples] for part in frames])
        is_known = y != UNKNOWN
        chain_rows, bias = _logistic(x[is_known], y[is_known], len(chain.classes), penalty=penalty)
        rows.append(chain_rows)
        biases.append(bias)
    return np.concatenate(rows), np.concatenate(biases)


def _logistic(x: Floats, y: Ints, R: int, *, penalty: float) -> tuple[Floats, Floats]:
    """Multinomial logistic regression: weight `R d`, bias `R`."""
    from sklearn.linear_model import LogisticRegression

    rows = np.zeros((R, x.shape[1]))
    bias = np.zeros(R)
    present = np.unique(y)
    if len(present) > 1:
        solver = LogisticRegression(C=penalty, tol=1e-3, max_iter=150).fit(x, y)
        if len(present) == 2:  # the logit of the second minus that of the first
            rows[present] = np.concatenate([-solver.coef_, solver.coef_]) / 2
            bias[present] = np.concatenate([-solver.intercept_, solver.intercept_]) / 2
        else:
            rows[present] = solver.coef_
            bias[present] = solver.intercept_
    absent = np.setdiff1d(np.arange(R), present)
    bias[absent] = bias.min() - _ABSENT
    return rows, bias


def _loss(logits: Sequence[Sequence[Floats]], frames: Sequence[_Frames]) -> float:
    """The mean log loss of the sampled frames over all chains."""
    return float(_losses(logits, frames).mean())


def _losses(logits: Sequence[Sequence[Floats]], frames: Sequence[_Frames]) -> Floats:
    """The log losses of the sampled frames of recordings, in all chains where they are known."""
    losses = list[Floats]()
    for recording, part in zip(logits, frames, strict=True):
        for scores, outputs in zip(recording, part.outputs, strict=True):
            samples = part.known_samples(outputs)
            losses.append(-scores[samples, outputs[samples]])
    return np.concatenate(losses)


def _of_samples(groups: Sequence[str], frames: Sequence[_Frames]) -> NDArray[np.str_]:
    """The groups of recordings, one for each of `_losses`."""
    counts = [sum(len(part.known_samples(outputs)) for outputs in part.outputs) for part in frames]
    return np.repeat(groups, counts)


class _Both(NamedTuple):
    """Pictures and motion in cross-validation.

    Args:
        loss, logits, penalty: as in `_Result`; the penalty is that of the layer of motion.
        weight: of the log probabilities of motion.
        space: of Fisher vectors: center `F`, their scale, and directions `F d`.
        z: of each recording, its vectors in these directions, `T d`.
    """

    loss: float
    logits: list[list[Floats]]
    penalty: float
    weight: float
    space: tuple[Floats, float, Floats]
    z: list[Floats]

    def layer(self, frames: Sequence[_Frames], chains: Sequence[_Chain]) -> StateMotion:
        """The layer of motion, fitted to all recordings, with its weight."""
        center, scale, basis = self.space
        rows, bias = _fit_chains(self.z, frames, chains, penalty=self.penalty)
        weight = rows @ basis.T / scale
        return StateMotion(self.weight * weight, self.weight * (bias - weight @ center))


def _with_motion(
    pictures: Sequence[Sequence[Floats]],
    frames: Sequence[_Frames],
    chains: Sequence[_Chain],
    *,
    folds: Sequence[Ints],
) -> _Both:
    """The log probabilities of pictures, to which those of motion are added where something moves,
    with the best weight and penalty.
    """
    vectors = [part.motion for part in frames if part.motion is not None]
    x = np.concatenate([rows[part.samples] for rows, part in zip(vectors, frames, strict=True)])
    center = x.mean(0, dtype=np.float32)
    differences = x.astype(np.float32) - center
    scale = float(np.linalg.norm(differences)) / len(x) ** 0.5  # of vectors of unit length
    basis = _main_directions(differences / scale)
    z = [((rows - center) / scale).astype(np.float32) @ basis for rows in vectors]
    moving = [rows.any(1, keepdims=True) for rows in vectors]
    results = list[_Both]()
    for penalty in _PENALTIES:
        motion = _held_out(z, frames, chains, folds=folds, penalty=penalty)
        for weight in _MOTION_WEIGHTS:
            logits = [
                [
                    log_softmax(seen + weight * moves * moved, 1)
                    for seen, moved in zip(*scores, strict=True)
                ]
                for moves, *scores in zip(moving, pictures, motion, strict=True)
            ]
            space = (center, scale, basis)
            loss = _loss(logits, frames)
            results.append(_Both(loss, logits, penalty, weight=weight, space=space, z=z))
    return min(results, key=lambda result: result.loss)


def durations(outputs: Sequence[Ints], R: int, *, rate: float) -> tuple[list[float], list[float]]:
    """Medians in seconds, and spreads of the logarithms, of the durations of bouts of each output;
    the spread of a class is shrunk towards that of all classes.

    Args:
        outputs: of the frames of recordings, `T` each.
    """
    logs = [list[float]() for _ in range(R)]
    for labels in outputs:
        for begin, end, label in bouts_of(labels):
            logs[label].append(np.log((end - begin) / rate))
    means = [float(np.mean(values)) if values else np.log(_DEFAULT_SECONDS) for values in logs]
    squares = [
        float(((np.array(values) - mean) ** 2).sum())
        for values, mean in zip(logs, means, strict=True)
    ]
    count = sum(map(len, logs))
    pooled = sum(squares) / max(count, 1) + 0.01
    spreads = [
        float(np.sqrt((total + _PRIOR_BOUTS * pooled) / (len(values) + _PRIOR_BOUTS)))
        for total, values in zip(squares, logs, strict=True)
    ]
    return np.exp(means).tolist(), [max(spread, _MIN_SPREAD) for spread in spreads]


def _best_weight(
    logits: Sequence[Floats],
    outputs: Sequence[Ints],
    chain: _Chain,
    *,
    decision: Decision,
    folds: Sequence[Ints],
    rate: float,
) -> tuple[float, dict[str, Any], list[Ints]]:
    """The weight with which the decoder is best on recordings that it was not fitted to, by the sum
    of macro F1 and F1@50; the figures (`state_figures`); and the outputs of the frames, `T` each.
    """
    R = len(chain.classes)
    results = list[tuple[float, dict[str, Any], list[Ints]]]()
    priors: Mapping[int, tuple[list[float], list[float]]] = {
        i: durations([outputs[j] for j in range(len(outputs)) if j not in test], R, rate=rate)
        for test in folds
        for i in test.tolist()
    }
    for weight in _WEIGHTS:
        paths = list[Ints]()
        for i, scores in enumerate(logits):
            medians, spreads = priors[i]
            decoder = Decoder([None] * R, medians, spreads, weight=weight, rate=rate)
            paths.append(decoder.path(np.exp(scores)))
        figures = _figures(outputs, paths, chain, decision=decision, rate=rate)
        results.append((weight, figures, paths))
    return max(
        results,
        key=lambda result: 100 * result[1]["macro_f1"] + result[1]["segmental_f1"]["50"],
    )


def _figures(
    outputs: Sequence[Ints],
    paths: Sequence[Ints],
    chain: _Chain,
    *,
    decision: Decision,
    rate: float,
) -> dict[str, Any]:
    """`state_figures` of the true and the predicted outputs of recordings, `T` each."""
    R = len(chain.classes)
    no_state = [i for i, k in enumerate(chain.classes) if k in (-1, decision.nothing_class)]
    states = [i for i in range(R) if i not in no_state]
    position = np.full(R + 1, len(states))  # of outputs among states; the last one is UNKNOWN
    position[states] = np.arange(len(states))
    position[UNKNOWN] = UNKNOWN
    names = [decision.classes[chain.classes[i]] for i in states]
    true = [position[labels] for labels in outputs]
    return state_figures(true, [position[path] for path in paths], names, rate=rate)

"""Fit the state layer: what goes on at every moment of recordings whose times are labeled.

The layer is a logistic regression of the statistics of windows around a frame, fitted to some
frames of each bout. By leaving recordings out, the windows, the regularization and the weight of
the decoder (`stream.segmenters`) are chosen, and the states are tested. A layer on what another eye,
such as motion, sees in the shortest window is added, with a weight chosen alike, if it clearly
improves the states.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product, takewhile
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from onlooker.base.config import DataConfig, LayerEyes, StreamConfig
from onlooker.base.decision import Decision, TierStates
from onlooker.base.fisher import fisher_vector
from onlooker.base.intervals import Times
from onlooker.base.progress import tracked
from onlooker.base.records import Recording, Segment, clip_name
from onlooker.base.text import some_of
from onlooker.data.samples import views_of
from onlooker.data.tiers import tiers_of
from onlooker.localization.crop import RECROPPED, CropMemory, jittered, next_crop
from onlooker.measure.events import alarm_curve
from onlooker.measure.figures import HeldOutStates, TriedCandidate, saved_pairs
from onlooker.measure.states import UNKNOWN, Tier, bouts_of, tier_figures
from onlooker.measure.timeline import Pair, Timeline
from onlooker.models.heads import STATES_BY, Head
from onlooker.models.linear import ORDERED, UNORDERED, LinearClassifier
from onlooker.models.motion_memory import rounded_motion, window_sums
from onlooker.stream.segmenters.semi_markov import SemiMarkovSegmenter, window_offsets
from onlooker.stream.sources import ON_TIME, slot_of
from onlooker.training.fitter import SegmentLayer, answered
from onlooker.training.footage import window_statistics, with_past
from onlooker.training.forward import encode_samples
from onlooker.training.linear import one_thread
from onlooker.training.regression import (
    LinearLayer,
    logistic,
    one_batch,
    standard_scale,
    with_absent_classes,
)
from onlooker.training.search import Trial, search
from onlooker.training.times import covered_share
from onlooker.video.eyes import Eye, describe, eyes_of
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

_GAPS = 0.02  # unlabeled time is a state, too, if its share is larger

_RATE = 5.0  # frames per second at least
_SHORT = 0.1  # quantile of the durations of bouts that frames and windows are chosen for
_FRAMES_PER_BOUT = 5  # of such a bout
_SHARES = (0.5, 1.0, 2.0, 4.0)  # lengths of windows, times such a bout
_LONGEST = 4  # windows at most, times the number of frames of a sample
_MOST_FRAMES = 18_000  # of all recordings: an hour at the lowest rate
_TOGETHER = 128  # frames that are read and encoded together

_PER_BOUT = 10  # frames of a bout that the layer is fitted to
_MOST_SAMPLES = 3000  # of all such frames
_DIRECTIONS = 400  # principal directions of the statistics that the layer uses
_FEW_FRAMES = 20_000  # more recordings have no copies with other crops
# to choose from, the default first: C of scikit-learn, and weights of the log probabilities of eyes
_PENALTIES = (3.0, 0.3, 30.0, 300.0)
_EYE_WEIGHTS = (0.5, 0.25, 1.0)
_TOLERANCE_OF_LOSS = 1e-3  # of the solver
# of the decoder, the default first
_WEIGHTS = (0.4, 0.2, 0.7, 0.1, 1.0, 0.05, 1.5)
_FOLDS = 6
# Smaller spreads, as a few bouts may have, would rule other durations out.
_MIN_SPREAD = 0.5
_PRIOR_BOUTS = 3  # bouts of all classes that the spread of a class counts with
_DEFAULT_SECONDS = 2.0  # of a class without bouts


def _tiers(recordings: Sequence[Recording], decision: Decision) -> list[Tier]:
    nothing = decision.nothing_class
    groups = tiers_of(recordings, decision.classes, nothing=nothing)
    has_gaps = covered_share(recordings, decision.nothing_name) < 1 - _GAPS
    tiers = list[Tier]()
    for group in groups:
        if nothing not in group and (has_gaps or len(groups) > 1):
            group.append(-1)
        tiers.append(Tier.of(group, decision))
    return tiers


class _Frames(NamedTuple):
    """The frames of a recording at the rate of states.

    Args:
        times: `T`.
        statistics: one array per window length, float16 `T+delay M`: the window that ends at each
            frame; the last frame is repeated `delay` times. Most have no statistics of order.
        labels: of each tier, the class of each frame, `T`.
        samples: positions of the frames that layers are fitted to.
        eyes: by each other eye, Fisher vectors of the shortest window around each frame, `T F`.
        unknown: spans in which nobody knows what happens, where nothing is labeled.
        copies: the statistics of altered copies with other crops, to which layers are fitted as well.
    """

    times: Floats
    statistics: list[NDArray[np.float16]]
    labels: list[Ints]
    samples: Ints
    eyes: Mapping[str, NDArray[np.float16]] = MappingProxyType({})
    unknown: Sequence[Times] = ()
    copies: Sequence[list[NDArray[np.float16]]] = ()

    def known_samples(self, labels: Ints) -> Ints:
        """The samples whose labels, of `T`, are known."""
        return self.samples[labels[self.samples] != UNKNOWN]


class _Candidate(NamedTuple):
    """How states are recognized.

    Args:
        windows: of pictures.
        C: of the layer of pictures, as in scikit-learn.
        eyes: of the other eyes that count, the weight of the log probabilities, and C of the layer.
    """

    windows: "_WindowSet"
    C: float = _PENALTIES[0]
    eyes: Mapping[str, tuple[float, float]] = MappingProxyType({})

    def __str__(self) -> str:
        eyes = [f"{eye}, weight {weight:g}, C = {C:g}" for eye, (weight, C) in self.eyes.items()]
        return " and ".join(["pictures", *eyes]) if eyes else "pictures alone"

    @property
    def windows_text(self) -> str:
        """The windows and C of pictures."""
        order = ", with order" if any(ordered for _, ordered in self.windows) else ""
        return f"{len(self.windows)} lengths{order}, C = {self.C:g}"


@one_thread
def fit_states(
    net: LinearClassifier,
    recordings: Sequence[Recording],
    decision: Decision,
    *,
    data: DataConfig,
    eyes: LayerEyes | None = None,
) -> SegmentLayer:
    """Fit a state layer to recordings: its heads are `state`, with center and scale `L M`, weight
    `R L M`, bias `R`; and `state_motion` or that of another eye, if it counts, with weight `R F` and
    bias `R`.

    Args:
        net: the model, which is not changed.
        decision: its classes.
        data: how frames are resized and normalized, and what is seen of them.
        eyes: whether motion counts; `auto`: if it is clearly better; None: as in `data`.

    Raises:
        ClipError: a recording cannot be read any more.
    """
    lengths, rate = _lengths(net, recordings, decision)
    tiers = _tiers(recordings, decision)
    eyes = eyes or data.layer_eyes
    frames = _read(net, recordings, tiers, data=data, eyes=eyes, lengths=lengths, rate=rate)
    groups = [recording.group for recording in recordings]
    tests = _StateTests(
        net, frames, tiers, groups=groups, decision=decision, lengths=lengths, rate=rate
    )
    candidate, table = _choose(tests, is_requested=eyes != "auto")
    logits = tests.logits(candidate)
    fitted = [
        _fit_tier(tests, number, [scores[number] for scores in logits])
        for number in range(len(tiers))
    ]
    heads = {"state": Head(**tests.layer(candidate)._asdict())}
    for eye in candidate.eyes:
        heads[STATES_BY + eye] = Head(*tests.eye_layer(candidate, eye))
    return SegmentLayer(
        heads,
        lengths,
        replace(decision, states=tuple(tier.chain for tier in fitted), frame_rate=rate),
        held_out=_held_out_states(recordings, tests, fitted),
        table=sum((tier.table for tier in fitted), table),
    )


def _choose(
    tests: "_StateTests", *, is_requested: bool
) -> tuple[_Candidate, tuple[TriedCandidate, ...]]:
    """The windows and the eyes of states, and what was tried.

    Args:
        is_requested: the other eyes count even if they are not clearly better.
    """
    pairs = product(_window_sets(len(tests.lengths)), _PENALTIES)
    windows = search(
        "windows of states",
        [_Candidate(*pair) for pair in pairs],
        tests.trial,
        name=lambda option: option.windows_text,
    )
    candidate = windows.value
    table = windows.table
    for eye in tests.recordings[0].eyes:
        options = tests.with_eye(candidate, eye, is_requested=is_requested)
        if len(options) > 1:
            candidate, tried = search("eyes of states", options, tests.trial)
            table += tried
    return candidate, table


class _FittedTier(NamedTuple):
    """A tier of states.

    Args:
        chain: how its outputs are decoded.
        pairs: the labeled and the decoded bouts of each recording.
        text: how good they are.
        table: what was tried.
    """

    chain: TierStates
    pairs: list[Pair]
    text: str
    table: tuple[TriedCandidate, ...]


def _fit_tier(tests: "_StateTests", number: int, logs: Sequence[Floats]) -> _FittedTier:
    """Choose how the outputs of a tier are decoded, from its log probabilities, `T R` of each
    recording.
    """
    tier = tests.tiers[number]
    answers = _answers(tests, number, logs)

    def figures(pairs: Sequence[Pair]) -> dict[str, Any]:
        return tier_figures([tier], pairs, rate=tests.rate)[0]

    def test(weight: float) -> Trial:
        losses = [1 - _quality(figures([pair])) for pair in answers(weight)]
        return Trial(np.array(losses), np.array(tests.groups), measure="1 - mean of F1 and F1@50")

    suffix = f" of tier {number + 1}" if len(tests.tiers) > 1 else ""
    weight, table = search(f"weight of the decoder{suffix}", _WEIGHTS, test, name="{:g}".format)
    threshold = 0.0 if tier.gap == UNKNOWN else _threshold(answers(weight))
    pairs = answers(weight, threshold)
    names = f"{some_of(tier.states)}: " if len(tests.tiers) > 1 else ""
    tested = figures(pairs)
    segmental_f1 = tested["segmental_f1"]["50"]
    text = f"{names}{100 * tested['accuracy']:.0f} % of the time right, F1@50 {segmental_f1:.0f}"
    rows = range(len(tests.recordings))
    fitted = tests.states(number, rows, weight=weight, threshold=threshold)
    return _FittedTier(fitted, pairs, text, table=table)


def _quality(figures: Mapping[str, Any]) -> float:
    """The mean of macro F1 and F1@50, from 0 to 1."""
    return (figures["macro_f1"] + figures["segmental_f1"]["50"] / 100) / 2


def _answers(
    tests: "_StateTests", number: int, logs: Sequence[Floats]
) -> Callable[..., list[Pair]]:
    """Decodes a tier with a weight and a threshold: the labeled and the decoded bouts of each
    recording. Durations are from recordings in other folds.
    """
    truth = [tests.truth(i, number) for i in range(len(logs))]

    @cache
    def decode(weight: float, threshold: float = 0.0) -> list[Pair]:
        pairs: list[Pair] = [*zip(truth, truth, strict=True)]
        for test in tests.folds:
            others = np.setdiff1d(np.arange(len(logs)), test)
            states = tests.states(number, others, weight=weight, threshold=threshold)
            decision = replace(tests.decision, states=(states,))
            segmenter = SemiMarkovSegmenter(decision, tests.lengths, tests.rate)
            for i in test.tolist():
                times = tests.recordings[i].times.tolist()
                pairs[i] = answered(segmenter, truth[i], times=times, rows=np.exp(logs[i]))
        return pairs

    return decode


def _held_out_states(
    recordings: Sequence[Recording],
    tests: "_StateTests",
    fitted: Sequence[_FittedTier],
) -> HeldOutStates:
    """The labeled and the decoded bouts of all recordings."""
    tested = dict[str, Pair]()
    for recording, *pairs in zip(recordings, *(tier.pairs for tier in fitted), strict=True):
        true, predicted = (
            Timeline([bout for timeline in tiers for bout in timeline.segments], tiers[0].seconds)
            for tiers in zip(*pairs, strict=True)
        )
        tested[clip_name(recording.path, recording.root)] = true, predicted
    texts = "; ".join(tier.text for tier in fitted)
    nothing = tests.decision.nothing_class
    return HeldOutStates(
        sentence=f"{texts}, on recordings that it was not fitted to ({len(tested)})",
        classes=[name for k, name in enumerate(tests.decision.classes) if k != nothing],
        recordings=saved_pairs(tested),
        overlap=len(fitted) > 1,
    )


def _threshold(pairs: Sequence[Pair]) -> float:
    """The lowest score of a bout, by the rule of events (`AlarmCurve.operating_point`); 0 if more
    is lost by it than it leaves out.
    """
    curve = alarm_curve(pairs)
    point = None if curve is None else curve.operating_point(StreamConfig.alarms_per_hour)
    if curve is None or point is None or curve.f1(point) <= curve.f1(0):
        return 0.0
    return curve.thresholds[point]


# positions of the lengths of windows, and whether statistics of order are used
_WindowSet = tuple[tuple[int, bool], ...]


def _window_sets(L: int) -> list[_WindowSet]:
    """The sets of windows to choose from: all; all, with order for the second; two short ones."""
    every_length = tuple((i, False) for i in range(L))
    ordered = tuple((i, i == _ordered(L)) for i in range(L))
    return [*dict.fromkeys((every_length, ordered, every_length[:2]))]


def _ordered(L: int) -> int:
    """The position of the length of windows with statistics of order."""
    return min(1, L - 1)


def _lengths(
    net: LinearClassifier, recordings: Sequence[Recording], decision: Decision
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
    """The frames of a video that a stream processes at a rate, and their times: in missed slots, at
    most `hold` in a row, the last frame is repeated.
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
    recordings: Sequence[Recording],
    tiers: Sequence[Tier],
    *,
    data: DataConfig,
    eyes: LayerEyes,
    lengths: Sequence[int],
    rate: float,
) -> list[_Frames]:
    """Encode the recordings; long ones are cut to a shared budget of frames."""
    total = sum(recording.end * rate for recording in recordings)
    share = min(1.0, _MOST_FRAMES / total)
    recropped = RECROPPED if "actor" in data.views and total <= _FEW_FRAMES else ()
    encoded = list[_Frames]()
    for recording in tracked(recordings, "encoding recordings", len(recordings)):
        reader = VideoReader(recording.path)
        indices, times = slots(reader.times, rate, max(data.frames, *lengths))
        count = max(2, round(share * len(times)))
        indices = indices[:count]
        offsets = window_offsets(lengths, rate)
        features = _features(net, reader, indices, data=data)
        timeline = Timeline(recording.labels, recording.end, recording.unknown)
        frames = _Frames(
            times[:count],
            _statistics(net, features, lengths, delay=max(offsets)),
            [tier.labels(timeline, times[:count].tolist()) for tier in tiers],
            samples=np.zeros(0, np.int64),
            unknown=recording.unknown,
        )
        vectors = _eye_vectors(
            eyes_of(eyes),
            reader,
            indices,
            times=times[:count],
            n=lengths[0],
            offset=offsets[0],
        )
        copies = list[list[NDArray[np.float16]]]()
        for number in recropped:
            features = _features_of_views(net, reader, indices, data=data, jitter=number)
            copies.append(_statistics(net, features, lengths, delay=max(offsets)))
        encoded.append(frames._replace(eyes=vectors, copies=copies))
    bouts = sum(len(bouts_of(labels)) for frames in encoded for labels in frames.labels)
    per_bout = int(np.clip(_MOST_SAMPLES // max(bouts, 1), 2, _PER_BOUT))
    return [frames._replace(samples=_sampled(frames.labels, per_bout)) for frames in encoded]


def _sampled(labels_of_tiers: Sequence[Ints], per_bout: int) -> Ints:
    """Frames to fit to: as many of a long bout as of a short one."""
    positions = [np.zeros(0, np.int64)]
    for labels in labels_of_tiers:
        for begin, end, _ in bouts_of(labels):
            count = min(per_bout, end - begin)
            positions.append(np.linspace(begin, end - 1, count).round().astype(np.int64))
    return np.unique(np.concatenate(positions))


@torch.inference_mode()
def _features(
    net: LinearClassifier, reader: VideoReader, indices: Ints, *, data: DataConfig
) -> Iterator[Tensor]:
    """The features of frames, `n D h w` of some at a time."""
    if "actor" in data.views:
        yield from _features_of_views(net, reader, indices, data=data)
        return
    for begin in range(0, len(indices), _TOGETHER):
        frames, places = np.unique(indices[begin : begin + _TOGETHER], return_inverse=True)
        pixels = resize(reader.get(frames, size=data.size).pixels, data.size, data.channels)
        with torch.inference_mode():
            yield encode_samples(net, torch.from_numpy(pixels), data, at_once=32)[places]


def _features_of_views(
    net: LinearClassifier,
    reader: VideoReader,
    indices: Ints,
    *,
    data: DataConfig,
    jitter: int = 0,
) -> Iterator[Tensor]:
    """As `_features`, of frames and their crops, as in a stream; of an altered copy with other crops
    if it has a number.
    """
    counts = Counter(indices.tolist())
    memory: CropMemory | None = None
    pixels = list[NDArray[np.uint8]]()
    for index, time, frame in reader:
        if index > indices[-1]:
            break
        if index in counts:
            memory, crop = next_crop(memory, frame, time)
            if jitter:
                height, width = frame.shape[:2]
                crop = jittered(crop, (height, width), name=reader.path.name, number=jitter)
            pixels += [views_of(frame, crop, data)] * counts[index]
        if len(pixels) >= _TOGETHER or (pixels and index == indices[-1]):
            with torch.inference_mode():
                yield encode_samples(net, torch.from_numpy(np.stack(pixels)), data, at_once=32)
            pixels.clear()


def _eye_vectors(
    eyes: Mapping[str, Eye],
    reader: VideoReader,
    indices: Ints,
    *,
    times: Floats,
    n: int,
    offset: int,
) -> dict[str, NDArray[np.float16]]:
    """The Fisher vectors `T F` of one window per frame at these `indices` and `times`: `n` frames
    that end `offset` frames later, as in a stream. After the last frame nothing is seen.
    """
    if not eyes:
        return {}
    until_last = takewhile(lambda frame: frame[0] <= indices[-1], reader)
    frames = ((time, pixels) for _, time, pixels in until_last)
    vectors = dict[str, NDArray[np.float16]]()
    for name, seen in describe(eyes, frames, times.tolist()).items():
        rows = F.pad(torch.from_numpy(seen), (0, 0, 0, offset))
        pieces = list[NDArray[np.float16]]()
        for joined, past in with_past(rows.split(_TOGETHER), n - 1):
            (sums,) = window_sums(rounded_motion(joined[None]), (n,))
            pieces.append(fisher_vector(sums[0, past:]).half().numpy())
        vectors[name] = np.concatenate(pieces)[offset:]
    return vectors


def _statistics(
    net: LinearClassifier, features: Iterator[Tensor], lengths: Sequence[int], *, delay: int
) -> list[NDArray[np.float16]]:
    """The statistics of `_Frames`, computed piece by piece."""
    before = lengths[-1] - 1
    few = net.num_features // len(net.names) * len(UNORDERED)
    counts = [None if i == _ordered(len(lengths)) else few for i in range(len(lengths))]
    pieces = list[list[NDArray[np.float16]]]()
    for values in window_statistics(net, _held(features, before, delay), lengths):
        rows = values.cpu().half().numpy()
        pieces.append([rows[:, i, :count] for i, count in enumerate(counts)])
    return [np.concatenate(of_length)[before:] for of_length in zip(*pieces, strict=True)]


def _held(features: Iterator[Tensor], before: int, after: int) -> Iterator[Tensor]:
    """The features; the first and the last frame are repeated so many times."""
    last = next(features)
    yield last[:1].expand(before, -1, -1, -1)
    yield last
    for last in features:
        yield last
    yield last[-1:].expand(after, -1, -1, -1)


class _Space(NamedTuple):
    """The directions in which the standardized vectors of sampled frames differ most.

    Args:
        center, scale: `m`, or one scale for all.
        basis: `m d`.
        projected: of each recording, the vectors of its frames in these directions, `T d`.
        copies: of each recording, those of its sampled frames in each of its copies, `n d`.
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    basis: Floats
    projected: list[Floats]
    copies: list[list[Floats]]

    @classmethod
    def of(
        cls,
        vectors: Sequence[Callable[[], NDArray[np.float16]]],
        recordings: Sequence["_Frames"],
        *,
        one_scale: bool,
    ) -> "_Space":
        """From the vectors `T m` of the frames of each recording; their classes are not used."""
        pairs = zip(vectors, recordings, strict=True)
        x = np.concatenate([rows()[recording.samples] for rows, recording in pairs])
        x = x.astype(np.float32)
        center = x.mean(0, dtype=np.float64)
        scale = standard_scale(center, x.std(0, dtype=np.float64))
        if one_scale:  # of vectors of unit length
            scale = np.linalg.norm(x - center) / np.sqrt(np.full(1, len(x)))
        basis = _main_directions(((x - center) / scale).astype(np.float32))
        space = cls(center, scale, basis, [], [[] for _ in vectors])
        return space._replace(projected=[space.project(rows()) for rows in vectors])

    def project(self, x: NDArray[np.float16]) -> Floats:
        """Vectors `T m` in these directions, `T d`."""
        pieces = np.array_split(x, len(x) // 1000 + 1)
        return np.concatenate(
            [
                ((piece - self.center) / self.scale).astype(np.float32) @ self.basis
                for piece in pieces
            ]
        )


def _main_directions(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """The orthonormal directions in which centered rows `n m` differ most: `m d`."""
    values, vectors = np.linalg.eigh((z @ z.T).astype(np.float64))
    keeps = values > 1e-7 * values[-1]
    keeps[:-_DIRECTIONS] = False
    return z.T @ (vectors[:, keeps] / np.sqrt(values[keeps])).astype(np.float32)


class _StateTests:
    """Candidates in cross-validation, on recordings that are left out together.

    Args:
        recordings: their frames.
        groups: of the recordings.
        decision: the classes.
    """

    def __init__(
        self,
        net: LinearClassifier,
        recordings: Sequence["_Frames"],
        tiers: Sequence[Tier],
        *,
        groups: Sequence[str],
        decision: Decision,
        lengths: tuple[int, ...],
        rate: float,
    ) -> None:
        self.net = net
        self.decision = decision
        self.recordings = recordings
        self.tiers = tiers
        self.groups = groups
        self.lengths = lengths
        self.rate = rate
        self.folds = _folds(groups)
        self.space = cache(self._space)
        self.held_out = cache(self._held_out)

    def with_eye(self, candidate: _Candidate, eye: str, *, is_requested: bool) -> list[_Candidate]:
        """With another eye, if it sees anything, and without, unless it is requested."""
        if not any(recording.eyes[eye].any() for recording in self.recordings):
            return [candidate]
        both = [
            candidate._replace(eyes={**candidate.eyes, eye: pair})
            for pair in product(_EYE_WEIGHTS, _PENALTIES)
        ]
        return both if is_requested else [candidate, *both]

    def trial(self, candidate: _Candidate) -> Trial:
        """The log loss of the sampled frames in all tiers where they are known."""
        pairs = zip(self.logits(candidate), self.recordings, self.groups, strict=True)
        rows = [
            (scores[known], labels[known], np.full(len(known), group))
            for tiers, recording, group in pairs
            for scores, labels in zip(tiers, recording.labels, strict=True)
            for known in [recording.known_samples(labels)]
        ]
        losses = [-scores[range(len(targets)), targets] for scores, targets, _ in rows]
        right = [scores.argmax(1) == targets for scores, targets, _ in rows]
        groups = np.concatenate([row[2] for row in rows])
        return Trial(np.concatenate(losses), groups, float(np.concatenate(right).mean()))

    def logits(self, candidate: _Candidate) -> list[list[Floats]]:
        """For each recording and each tier, log probabilities `T R` by a layer that was fitted
        without its fold.
        """
        sums = self.held_out(candidate.windows, candidate.C)
        for eye, (weight, C) in candidate.eyes.items():
            sees = [recording.eyes[eye].any(1, keepdims=True) for recording in self.recordings]
            sums = [
                [logs + weight * seen * by_eye for logs, by_eye in zip(*tiers, strict=True)]
                for seen, *tiers in zip(sees, sums, self.held_out(eye, C), strict=True)
            ]
        if not candidate.eyes:
            return sums
        return [[log_softmax(logs, 1) for logs in tiers] for tiers in sums]

    def layer(self, candidate: _Candidate) -> LinearLayer:
        """The layer of pictures, fitted to all recordings, as one on the statistics of all windows:
        center and scale `L M`, weight `R L M`.
        """
        space = self.space(candidate.windows)
        weight, bias = self._fit(space, range(len(self.recordings)), candidate.C)
        L = len(self.lengths)
        M = self.net.num_features
        few = M // len(self.net.names) * len(UNORDERED)
        columns = np.concatenate(
            [np.arange(M if ordered else few) + i * M for i, ordered in candidate.windows]
        )
        layer = LinearLayer(space.center, space.scale, weight @ space.basis.T, bias=bias)
        flat = layer.embedded_in(columns, L * M)
        return LinearLayer(
            flat.center.reshape(L, M),
            flat.scale.reshape(L, M),
            flat.weight.reshape(-1, L, M),
            bias=bias,
        )

    def eye_layer(self, candidate: _Candidate, eye: str) -> tuple[Floats, Floats]:
        """The layer of another eye, fitted to all recordings, with its weight: weight `R F`, bias
        `R`.
        """
        space = self.space(eye)
        factor, C = candidate.eyes[eye]
        rows, bias = self._fit(space, range(len(self.recordings)), C)
        weight = rows @ space.basis.T / space.scale
        return factor * weight, factor * (bias - weight @ space.center)

    def truth(self, i: int, number: int) -> Timeline:
        """The labeled bouts of a recording in a tier."""
        recording = self.recordings[i]
        tier = self.tiers[number]
        end = float(recording.times[-1]) + 1 / self.rate
        bounds = [*recording.times.tolist(), end]
        bouts = [
            Segment(tier.names[output], bounds[begin], bounds[after])
            for begin, after, output in bouts_of(recording.labels[number])
            if output != tier.gap
        ]
        return Timeline(bouts, end, recording.unknown)

    def states(
        self, number: int, rows: Iterable[int], *, weight: float, threshold: float
    ) -> TierStates:
        """How a tier is decoded, with the durations of its bouts in some recordings."""
        classes = self.tiers[number].classes
        labels = [self.recordings[i].labels[number] for i in rows]
        medians, spreads = durations(labels, len(classes), rate=self.rate)
        return TierStates(classes, medians, spreads, weight=weight, threshold=threshold)

    def _space(self, source: _WindowSet | str) -> _Space:
        """The space of pictures with these windows, or of another eye."""
        if isinstance(source, str):
            seen = [partial(np.asarray, recording.eyes[source]) for recording in self.recordings]
            return _Space.of(seen, self.recordings, one_scale=True)
        around = partial(_around, windows=source, lengths=self.lengths, rate=self.rate)
        vectors = [partial(around, recording) for recording in self.recordings]
        space = _Space.of(vectors, self.recordings, one_scale=False)
        copies = [
            [
                space.project(around(recording._replace(statistics=copy))[recording.samples])
                for copy in recording.copies
            ]
            for recording in self.recordings
        ]
        return space._replace(copies=copies)

    def _held_out(self, source: _WindowSet | str, C: float) -> list[list[Floats]]:
        """Log probabilities `T R` for each recording and tier, fitted without its fold."""
        space = self.space(source)
        result: list[list[Floats]] = [[] for _ in self.recordings]
        ends = np.cumsum([len(tier.classes) for tier in self.tiers])[:-1]
        for test in self.folds:
            training = [i for i in range(len(self.recordings)) if i not in test]
            weight, bias = self._fit(space, training, C)
            for i in test.tolist():
                tiers = np.split(space.projected[i] @ weight.T + bias, ends, axis=1)
                result[i] = [log_softmax(tier, 1) for tier in tiers]
        return result

    def _fit(
        self, space: _Space, training: Sequence[int], C: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight `R d` and bias `R` of the outputs of all tiers, fitted to the sampled frames of
        some recordings.
        """
        recordings = [self.recordings[i] for i in training for _ in (0, *space.copies[i])]
        x = np.concatenate(
            [
                rows
                for i in training
                for rows in (space.projected[i][self.recordings[i].samples], *space.copies[i])
            ]
        ).astype(np.float64)
        weights = list[NDArray[np.float64]]()
        biases = list[NDArray[np.float64]]()
        for number, tier in enumerate(self.tiers):
            labels = [recording.labels[number][recording.samples] for recording in recordings]
            y = np.concatenate(labels)
            known = y != UNKNOWN
            weight, bias = _logistic(x[known], y[known], len(tier.classes), C=C)
            weights.append(weight)
            biases.append(bias)
        return np.concatenate(weights), np.concatenate(biases)


def _logistic(
    x: NDArray[np.float64], y: Ints, R: int, *, C: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Multinomial logistic regression: weight `R d`, bias `R`; classes without frames are never
    predicted.
    """
    present, targets = np.unique(y, return_inverse=True)
    weight, bias = np.zeros((len(present), x.shape[1])), np.zeros(len(present))
    if len(present) > 1:
        batches = one_batch(x, targets)
        weight, bias = logistic(batches, len(present), C=C, tolerance=_TOLERANCE_OF_LOSS)
    return with_absent_classes(weight, bias, present, num_classes=R)


def _around(
    recording: _Frames, windows: _WindowSet, lengths: Sequence[int], *, rate: float
) -> NDArray[np.float16]:
    """The statistics of the windows around each frame, side by side: `T m`."""
    offsets = window_offsets(lengths, rate)
    T = len(recording.times)
    unordered = min(statistics.shape[1] for statistics in recording.statistics)
    if len(recording.statistics) == 1:
        unordered = unordered * len(UNORDERED) // (len(UNORDERED) + len(ORDERED))
    return np.concatenate(
        [
            recording.statistics[place][offsets[place] :][:T, : None if ordered else unordered]
            for place, ordered in windows
        ],
        1,
    )


def _folds(groups: Sequence[str]) -> list[Ints]:
    """The recordings of each fold, which are left out together; single recordings if all are of one
    group.
    """
    names = groups if len({*groups}) > 1 else [str(number) for number in range(len(groups))]
    order = np.random.default_rng(0).permutation(sorted({*names})).tolist()
    numbers = np.array([order.index(name) % _FOLDS for name in names])
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]


def durations(outputs: Sequence[Ints], R: int, *, rate: float) -> tuple[list[float], list[float]]:
    """Median durations of the bouts of each output, in seconds, and spreads of their logarithms,
    shrunk towards the spread over all classes.

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

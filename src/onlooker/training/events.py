"""Fit the event layer: which windows are one whole event, and the recall of events by the rate of
false alarms.

No times are needed: streams are made of the training clips (`training.footage`). Windows that nearly
agree with a clip are positive; parts of clips, two halves of neighbors, and pauses are negative.
Streams of other recordings, whose pauses are made in another way, choose how much a window loses by
its length.

Pictures tell whether a window is an event. Its class depends on the other eyes of the model as well
(`training.eyes`). In the pauses of streams they see nothing.

Live streams may lack frames, and no window of training looks like theirs. So there are two more
layers, fitted in the same way to the same streams with a third of their frames.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor
from torch.nn.functional import linear

from onlooker.base.alarm_curve import AlarmCurve
from onlooker.base.decision import Decision
from onlooker.base.records import Segment
from onlooker.measure.events import calibrated_curve, event_figures, segment_map
from onlooker.measure.figures import TriedCandidate
from onlooker.measure.held_out import HeldOut
from onlooker.measure.timeline import Pair, Timeline
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.models.motion_memory import motion_layer, motion_outputs, rounded_motion, window_sums
from onlooker.models.windows import interpolated
from onlooker.stream.segmenters import WindowSegmenter
from onlooker.training.background import Background, remembered
from onlooker.training.eyes import LayerChoice, heads_of_eyes
from onlooker.training.fitter import SegmentLayer, answered
from onlooker.training.footage import (
    Footage,
    Pause,
    stitch,
    swaying,
    wandering,
    window_statistics,
    with_past,
)
from onlooker.training.linear import ClipStatistics, fitted_layer, one_thread
from onlooker.training.regression import (
    Batches,
    Floats,
    Ints,
    LinearLayer,
    Method,
    held_out_logits,
    one_batch,
    regress,
)
from onlooker.training.search import Trial, search
from onlooker.training.unusual import Spread, usual_limit
from onlooker.video.rates import RATE

# of the event layer: with more of them, it depends on who acts, and where
STATISTICS = ("spread", "change", "largest")
MOST_CLIPS = 100  # that streams are made of
_STREAMS = 5  # at most; they share no recording
_PART = 0.35  # IoU with a clip below which a window is no event
_WHOLE = 0.75  # IoU with a clip above which a window is an event
_NEGATIVES = 6  # windows per clip, besides the clip itself and one window that is an event
_MOVED = 8  # windows per clip that are moved and stretched, as events are found in streams
_MOVE = 0.25  # of their lengths, at most
_STRETCH = 1.25  # factor of their lengths, at most
# candidates, the default first: how much the logit of a window drops when its length grows by a
# factor of e
_PRICES = (0.0, 0.5, 1.0, 2.0, 4.0)
_OVERLAPS = (0.3, 0.5, 0.7)  # IoU thresholds of the mean that chooses the price
_CLASS_LAYERS = ("fitted to clips", "fitted to clips and windows")
_METHODS = (
    Method("logistic", 1.0),
    Method("logistic", 10.0),
    Method("discriminant", 0.6),
    Method("discriminant", 0.9),
)
# lengths of windows, times the median event: one of usual length has an IoU of .9 with the nearest
_SHARES = (0.5, 0.7, 0.84, 1.0, 1.15, 1.3)
# a class has windows of its own from this ratio of its median duration and the median of all events
_DIFFERENT = 1.5
_APART = 1.12  # ratio of two lengths at least
_LONGEST = 4  # windows at most, times the number of frames of a sample
_MIN_SCORE = 0.02  # of a window that may be an event
_MINING_ROUNDS = 2  # rounds that add windows of the background
_MINED = 6  # of these windows for each event and round, at most
_SURE = 0.1  # score of the events that choose the price
_FRAMES = 128  # of a stream, whose windows are computed together
_STRIDE = 3  # of these frames, one is left in a stream that lacks frames
_ROUNDING = 1e-9  # of the score of an event
# largest distance that a model can compare with; the upper bound of a few recordings may be larger
_LARGEST = float(np.finfo(np.float32).max)


class _Layers(NamedTuple):
    """Fitted layers: one of events, with one output; two of classes; and those of other eyes, whose
    logits are added to the class logits, and whose last output is the distance.
    """

    event: LinearLayer
    classes: Sequence[LinearLayer]
    eyes: Mapping[str, Callable[[Tensor], Tensor]]


class _Played(NamedTuple):
    """The outputs of layers for a stream that they were not fitted to.

    Args:
        event: logits that a window is one whole event, `T L`.
        classes: probabilities of each layer of classes, `T L K`.
        distances: by each other eye, of windows from training, `T L`, in multiples of
            `Spread.square`; zero where it sees nothing.
        events: as in `Footage`.
    """

    event: Floats
    classes: list[Floats]
    distances: Mapping[str, Floats]
    events: Ints


class _Windows(NamedTuple):
    """Windows to fit the layers to.

    Args:
        x: statistics, `B M`.
        clip: the clips of windows that show an event, positions in `_EventFit.shown`; else -1.
        stream: the numbers of their streams; -1: of the background.
        is_event: whether a window is one whole event.
    """

    x: Floats
    clip: Ints
    stream: Ints
    is_event: NDArray[np.bool_]

    @property
    def clear(self) -> "_Windows":
        """The windows that are an event, or show none."""
        return self.subset(self.is_event | (self.clip < 0))

    def subset(self, mask: NDArray[np.bool_]) -> "_Windows":
        """The windows where a mask is true."""
        return _Windows(
            self.x[mask], self.clip[mask], self.stream[mask], is_event=self.is_event[mask]
        )

    @classmethod
    def joined(cls, pieces: Iterable["_Windows"]) -> "_Windows":
        """The windows of all pieces."""
        return cls(*map(np.concatenate, zip(*pieces, strict=True)))


def window_lengths(counts: Sequence[int], labels: Sequence[int], W: int) -> tuple[int, ...]:
    """Lengths of windows, in frames: multiples of the median event, and of classes that last much
    longer or shorter.

    Args:
        counts, labels: the numbers of frames of events, and their classes.
        W: the number of frames of a sample; no window is longer than four times this.
    """
    frames = np.asarray(counts)
    classes = np.asarray(labels)
    median = float(np.median(frames))
    targets = [share * median for share in _SHARES]
    for label in np.unique(classes):
        class_median = float(np.median(frames[classes == label]))
        if not 1 / _DIFFERENT < class_median / median < _DIFFERENT:
            targets += [share * class_median for share in _SHARES[1:]]
    lengths = list[int]()
    for length in sorted(max(2, round(min(target, _LONGEST * W))) for target in targets):
        if not lengths or length > _APART * lengths[-1]:
            lengths.append(length)
    return tuple(lengths)


class _EventFit(NamedTuple):
    """What all steps of a fit share, and what they have chosen so far.

    Args:
        net, clips, choice, decision: see `fit_events`.
        shown: the clips that streams are made of.
        members: the positions of the clips of each stream among them.
        lengths: numbers of frames of the windows, ascending.
        median: number of frames of the median event.
        method: of the layer of events.
        temperature: of its logits.
        price: how much they drop when the length of a window grows by a factor of e.
        class_layer: position of the layer of classes.
        curve: of the streams that are tested.
        table: what was tried.
    """

    net: LinearClassifier
    clips: ClipStatistics
    choice: LayerChoice
    decision: Decision
    shown: ClipStatistics
    members: Sequence[Ints]
    lengths: tuple[int, ...]
    median: float
    method: Method = _METHODS[0]
    temperature: float = 1.0
    price: float = _PRICES[0]
    class_layer: int = 1
    curve: AlarmCurve | None = None
    table: tuple[TriedCandidate, ...] = ()

    @property
    def rate(self) -> float:
        """Frames per second of streams."""
        return self.decision.frame_rate or RATE

    @property
    def penalty(self) -> Floats:
        """What the logits of windows lose by their lengths, `L`."""
        return self.price * np.log(np.array(self.lengths) / self.median)

    def answer(self, played: _Played, *, min_score: float = _MIN_SCORE) -> Pair:
        """The true events, and the events that are found by the layer of classes."""
        scores = expit(played.event - self.penalty)[..., None] * played.classes[self.class_layer]
        times = (np.arange(len(scores)) / self.rate).tolist()
        segmenter = WindowSegmenter(self.decision, self.lengths, min_score)
        true = [
            Segment(self.decision.classes[label], start / self.rate, end / self.rate)
            for start, end, label, _ in played.events.tolist()
        ]
        return answered(
            segmenter, Timeline(true, len(scores) / self.rate), times=times, rows=scores
        )


@one_thread
def fit_events(
    net: LinearClassifier,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    stream_clips: Mapping[int, Footage],
    decision: Decision,
    background: Background | None = None,
) -> SegmentLayer | None:
    """Fit an event layer, with the layer of classes that finds more events in streams; None if no
    clip of the streams is an event. Its curve is of streams of recordings that the layers were not
    fitted to; None if the clips cannot be divided, or no event is found.

    Args:
        net: a model with fitted layers, which is not changed.
        clips, choice: see `fit_eyes`.
        stream_clips: clips that streams are made of, by their positions among `clips`.
        decision: of the model, with the frame rate of streams.
        background: recordings in which none of the classes happens; None: there are none.
    """
    shown = clips.subset(np.array([*stream_clips], np.int64))
    footage = _as_events([*stream_clips.values()], shown)
    counts = [len(clip.features) for clip in footage if len(clip.events)]
    if not counts:
        return None
    random = np.random.default_rng(0)
    fit = _EventFit(
        net,
        clips,
        choice,
        decision=decision,
        shown=shown,
        members=_divided(footage, shown.groups, random),
        lengths=window_lengths(counts, shown.y[shown.y != clips.nothing].tolist(), net.window),
        median=float(np.median(counts)),
    )
    streams = _streams(
        fit, [clip._replace(eyes={}) for clip in footage], pause=swaying, random=random
    )
    # of the same clips, with pauses that are made in another way
    test_streams = _streams(fit, footage, pause=wandering, random=random)
    windows = _windows(fit, streams, random)
    fit = _with_method(fit, windows, _METHODS)
    negatives = windows.subset(windows.stream < 0)  # of streams that lack frames
    if background is not None:
        windows, negatives = _mined(fit, windows, background, random=random)
    layers = _fit_layers(fit, windows)
    held_out = _held_out(fit, windows)
    tested = [_played(fit, test_streams[number], layers) for number, layers in held_out]
    if background is not None and tested:
        tested += [_played(fit, background.read(piece), layers) for piece in background.held_out]
    fit = _with_classes(_with_price(fit, tested), tested)
    limit = _limit(fit, windows, held_out)
    limits = {eye: _limit_by(eye, fit, tested) for eye in layers.eyes}
    heads = _heads(fit, layers, limit=limit, limits=limits)
    heads |= _low_rate_heads(fit, footage, streams, negatives=negatives, limit=limit, random=random)
    return SegmentLayer(heads, fit.lengths, replace(decision, curve=fit.curve), table=fit.table)


def _as_events(footage: Sequence[Footage], clips: ClipStatistics) -> list[Footage]:
    """The frames of clips, each of which is one event as a whole unless nothing happens in it."""
    return [
        part._replace(events=np.array([(0, len(part.features), label, place)]))
        if label != clips.nothing
        else part
        for place, (part, label) in enumerate(zip(footage, clips.y, strict=True))
    ]


def _heads(
    fit: _EventFit,
    layers: _Layers,
    *,
    limit: float | None,
    limits: Mapping[str, float | None],
) -> dict[str, Head]:
    """The heads of complete streams.

    Args:
        limit: novelty limit of windows.
        limits: likewise, by each other eye (`_Played.distances`).
    """
    factors = {
        eye: (1 / fit.choice.temperature, Spread.of(fit.clips.eyes[eye].x).factor(limit, eye_limit))
        for eye, eye_limit in limits.items()
    }
    return {
        "event": Head(**layers.event.shifted(-fit.penalty)._asdict()),
        "window": Head(**layers.classes[fit.class_layer]._asdict(), limit=limit, factors=factors),
    }


def _low_rate_heads(
    fit: _EventFit,
    footage: Sequence[Footage],
    streams: Sequence[Footage],
    *,
    negatives: _Windows,
    limit: float | None,
    random: np.random.Generator,
) -> dict[str, Head]:
    """The heads of streams that lack frames, fitted to such streams; none if their clips are of one
    class, or the distance of their windows is unknown.

    Args:
        footage, streams: clips and streams with all frames.
        negatives: windows of the background.
        limit: novelty limit of complete streams; distances here are scaled to it.
    """
    x = _statistics(fit.net, [_lacking(clip.features, random) for clip in footage])
    shown = fit.shown._replace(x=x, copies=(), eyes={})
    if len(np.unique(shown.y)) < 2:
        return {}
    fit = fit._replace(clips=shown, shown=shown, choice=fit.choice.of_sample)
    streams = [stream._replace(features=_lacking(stream.features, random)) for stream in streams]
    windows = _windows(fit, streams, random)
    fit = _with_method(fit, windows, (fit.method,))
    windows = _Windows.joined((windows, negatives))
    low_rate_limit = _limit(fit, windows, _held_out(fit, windows))
    layers = _fit_layers(fit, windows)
    classes = layers.classes[fit.class_layer]
    if limit is not None:
        if low_rate_limit is None or max(low_rate_limit, limit) > _LARGEST:
            return {}
        classes = classes.with_unit(np.sqrt(low_rate_limit / limit))
    return {
        "low_rate_event": Head(**layers.event.shifted(-fit.penalty)._asdict()),
        "low_rate_window": Head(**classes._asdict()),
    }


def _lacking(features: Tensor, random: np.random.Generator) -> Tensor:
    """Features `T D h w` as in a live stream where every third frame arrives, after the
    first one.
    """
    count = len(features)
    arrived = [0, *range(int(random.integers(1, _STRIDE + 1)), count, _STRIDE)]
    frames = list[Tensor]()
    for place, next_place in pairwise(arrived):
        missed = next_place - place - 1
        frames += [features[place], *interpolated(features[place], features[next_place], missed)]
    return torch.stack([*frames, *features[arrived[-1:]].expand(count - len(frames), -1, -1, -1)])


def _divided(
    footage: Sequence[Footage], groups: NDArray[np.str_], random: np.random.Generator
) -> list[Ints]:
    """The positions of the clips of each stream with events; no two streams share a recording."""
    recordings = random.permutation(np.unique(groups))
    divided = [
        np.flatnonzero(np.isin(groups, recordings[number::_STREAMS])) for number in range(_STREAMS)
    ]
    return [rows for rows in divided if any(len(footage[row].events) for row in rows.tolist())]


def _streams(
    fit: _EventFit,
    footage: Sequence[Footage],
    *,
    pause: Pause,
    random: np.random.Generator,
) -> list[Footage]:
    """The streams that are made of clips, with one kind of pauses."""
    return [
        stitch(
            [footage[row] for row in rows],
            pause=pause,
            rate=fit.rate,
            median=fit.median,
            random=random,
        )
        for rows in fit.members
    ]


@torch.inference_mode()
def _windows(fit: _EventFit, streams: Sequence[Footage], random: np.random.Generator) -> _Windows:
    """Some windows of each stream that are no event, some that are an event, and the clips of its
    events.
    """
    pieces = list[_Windows]()
    for number, stream in enumerate(streams):
        overlaps, nearest = _overlaps(stream.events, len(stream.features), fit.lengths)
        count = len(stream.events)
        other = np.argwhere((overlaps >= 0) & (overlaps < _PART))
        other = other[random.permutation(len(other))[: _NEGATIVES * count]]
        whole = np.argwhere(overlaps > _WHOLE)
        whole = whole[random.permutation(len(whole))[:count]]
        shown = [
            stream.features[frame + 1 - fit.lengths[place] : frame + 1]
            for frame, place in [*other.tolist(), *whole.tolist()]
        ]
        whole_clips = nearest[whole[:, 0], whole[:, 1]]
        moved = np.repeat(stream.events, _MOVED, axis=0)
        shown += _moved(stream.features, moved, random.spawn(1)[0])
        clips = random.permutation(np.sort(stream.events[:, 3]))
        kinds = (np.full(len(other), -1), whole_clips, moved[:, 3], clips)
        clip = np.concatenate(kinds)
        is_event = np.repeat([False, True, False, True], [*map(len, kinds)])
        x = np.concatenate([_statistics(fit.net, shown), fit.shown.x[clips].astype(np.float64)])
        pieces.append(_Windows(x, clip, np.full(len(clip), number), is_event=is_event))
    return _Windows.joined(pieces)


def _moved(features: Tensor, events: Ints, random: np.random.Generator) -> list[Tensor]:
    """A window of a stream `T D h w` for each event, moved and stretched at random."""
    begin, end = events[:, 0], events[:, 1]
    middle = (begin + end) / 2 + (end - begin) * random.uniform(-_MOVE, _MOVE, len(events))
    half = (end - begin) / 2 * _STRETCH ** random.uniform(-1, 1, len(events))
    first = (middle - half).round().astype(int).clip(0)
    after = (middle + half).round().astype(int)
    return [features[a : max(b, a + 2)] for a, b in zip(first, after, strict=True)]


def _overlaps(events: Ints, count: int, lengths: Sequence[int]) -> tuple[Floats, Ints]:
    """The highest IoU of each window with an event, `T L`, and the clip of this event; -1 for a
    window that begins before the stream.
    """
    end = np.arange(1, count + 1)[:, None]
    begin = end - np.array(lengths)
    best = np.zeros(begin.shape)
    nearest = np.full(begin.shape, -1)
    for event_begin, event_end, _, clip in events.tolist():
        both = np.minimum(end, event_end) - np.maximum(begin, event_begin)
        overlap = both / (np.maximum(end, event_end) - np.minimum(begin, event_begin))
        nearest[overlap > best] = clip
        best = np.maximum(best, overlap)
    return np.where(begin < 0, -1, best), nearest


@torch.inference_mode()
def _statistics(net: LinearClassifier, windows: Iterable[Tensor]) -> Floats:
    """The statistics `B M` of windows, `T D h w` each."""
    rows = [
        net.window_statistics(window[None].to(net.positions.device), (len(window),))[0, -1, 0]
        for window in windows
    ]
    return np.array([row.cpu().double().numpy() for row in rows]).reshape(-1, net.num_features)


def _with_method(fit: _EventFit, windows: _Windows, methods: Sequence[Method]) -> _EventFit:
    """With the method of the layer of events, chosen by streams that it is not fitted to, and the
    temperature of its logits; the first method if no two streams have events.
    """
    windows = windows.clear
    x = np.ascontiguousarray(windows.x[:, fit.clips.columns(STATISTICS)])
    y = windows.is_event.astype(np.int64)
    folds = list[tuple[Batches, Ints]]()
    for stream in np.unique(windows.stream):
        other_rows = windows.stream != stream
        if len(np.unique(y[other_rows])) > 1:
            folds.append((one_batch(x[other_rows], y[other_rows]), np.flatnonzero(~other_rows)))
    if not folds:
        return fit._replace(method=methods[0], temperature=1.0)
    tempered = held_out_logits(x, y, 2, folds=folds, methods=methods)

    def test(method: Method) -> Trial:
        scores = softmax(tempered[method][0], 1)
        return Trial.of(HeldOut(scores, y, windows.stream.astype(str)))

    method, table = search("method of windows", methods, test)
    return fit._replace(method=method, temperature=tempered[method][1], table=table)


def _mined(
    fit: _EventFit, windows: _Windows, background: Background, *, random: np.random.Generator
) -> tuple[_Windows, _Windows]:
    """The windows, and false alarms of the background; and the latter in streams that lack frames."""
    background = replace(background, read=remembered(background.read))
    negatives = list[_Windows]()
    for _ in range(_MINING_ROUNDS):
        hardest = _hardest(fit, background, _fit_layers(fit, windows))
        for features in hardest, [_lacking(window, random) for window in hardest]:
            none = np.full(len(hardest), -1)
            x = _statistics(fit.net, features)
            negatives.append(_Windows(x, none, none, is_event=none > 0))
        windows = _Windows.joined((windows, negatives[-2]))
    return windows, _Windows.joined(negatives[1::2])


def _hardest(fit: _EventFit, background: Background, layers: _Layers) -> list[Tensor]:
    """The features of the windows of the background with the highest scores, equally many of each
    piece: false alarms.
    """
    fit = fit._replace(class_layer=0)
    layers = layers._replace(classes=layers.classes[:1])
    count = _MINED * int((fit.shown.y != fit.shown.nothing).sum())
    share = -(-count // len(background.fitted))
    windows = list[Tensor]()
    for path in background.fitted:
        piece = background.read(path)
        _, found = fit.answer(_played(fit, piece, layers))
        best = sorted(found.segments, key=lambda window: -window.score)[:share]
        spans = [(round(w.start * fit.rate), round(w.end * fit.rate)) for w in best]
        windows += [piece.features[begin:end] for begin, end in spans]
    return windows[:count]


def _fit_layers(fit: _EventFit, windows: _Windows) -> _Layers:
    """Layers on all statistics, with logits divided by their temperatures. One layer of classes is
    fitted to whole clips; the other also to the clips of events again, and to windows that nearly
    agree with them. The layers of other eyes are fitted to whole clips.
    """
    clips = fit.clips
    choice = fit.choice
    columns = clips.columns(STATISTICS)
    clear = windows.clear
    batches = one_batch(clear.x[:, columns], clear.is_event.astype(np.int64))
    (two_class,) = regress(batches, 2, methods=(fit.method,))
    event = two_class._replace(
        weight=np.diff(two_class.weight, axis=0), bias=np.diff(two_class.bias)
    )
    named = windows.subset(windows.clip >= 0)
    named_windows = (named.x, fit.shown.y[named.clip])
    classes = [
        fitted_layer(clips, choice.candidate),
        fitted_layer(clips._replace(copies=()), choice.candidate, windows=named_windows),
    ]
    temperature = choice.temperature
    eyes = {
        eye: partial(
            motion_layer,
            head=partial(linear, weight=head.weight / temperature, bias=head.bias / temperature),
            center=head.center,
            unit=Spread.of(clips.eyes[eye].x).square,
        )
        for eye, head in heads_of_eyes(clips, choice).items()
    }
    return _Layers(
        event.embedded_in(columns, clips.x.shape[1]).scaled(1 / fit.temperature),
        [layer.scaled(choice.factors["pictures"] / temperature) for layer in classes],
        eyes,
    )


def _held_out(fit: _EventFit, windows: _Windows) -> list[tuple[int, _Layers]]:
    """The number of each stream, and layers fitted to the windows and clips of other recordings,
    where this is possible.
    """
    choice = fit.choice.of_sample
    sample = fit.clips.subset(fit.clips.sampled())
    held_out = list[tuple[int, _Layers]]()
    for number, rows in enumerate(fit.members):
        others = windows.subset(windows.stream != number)
        is_other = ~np.isin(sample.groups, fit.shown.groups[rows])
        clips = sample.subset(np.flatnonzero(is_other))
        if len(np.unique(others.is_event)) > 1 and len(np.unique(clips.y)) > 1:
            fold = fit._replace(clips=clips, choice=choice)
            held_out.append((number, _fit_layers(fold, others)))
    return held_out


def _limit(
    fit: _EventFit, windows: _Windows, held_out: Sequence[tuple[int, _Layers]]
) -> float | None:
    """The novelty limit of the layer of classes (`usual_limit`), by the events of streams that it
    is not fitted to.
    """
    events = windows.subset(windows.is_event)
    rows = {number: events.stream == number for number, _ in held_out}
    return usual_limit(
        (
            layers.classes[fit.class_layer].distances(events.x[rows[number]]),
            fit.shown.groups[events.clip[rows[number]]],
        )
        for number, layers in held_out
    )


def _limit_by(eye: str, fit: _EventFit, tested: Sequence[_Played]) -> float | None:
    """As `_limit`, by another eye, of all windows of streams that nearly agree with an event."""
    distances = list[tuple[Floats, NDArray[np.str_]]]()
    for played in tested:
        overlaps, nearest = _overlaps(played.events, len(played.event), fit.lengths)
        whole = overlaps > _WHOLE
        distances.append((played.distances[eye][whole], fit.shown.groups[nearest[whole]]))
    return usual_limit(distances)


def _with_price(fit: _EventFit, tested: Sequence[_Played]) -> _EventFit:
    """With the price of length that lets events begin and end near the true events. Streams without
    events count with each stream of events.
    """
    quiet = [played for played in tested if not len(played.events)]
    eventful = [played for played in tested if len(played.events)]

    def test(price: float) -> Trial:
        answer = partial(fit._replace(price=price).answer, min_score=_SURE)
        false = [answer(played) for played in quiet]
        maps = [segment_map([*false, answer(played)], _OVERLAPS).mean() for played in eventful]
        return _trial([1 - value for value in maps], "1 - segment mAP")

    price, table = search("price of length", _PRICES, test, name="{:g}".format)
    return fit._replace(price=price, table=(*fit.table, *table))


def _with_classes(fit: _EventFit, tested: Sequence[_Played]) -> _EventFit:
    """With the layer of classes, and its curve: the layer that is also fitted to windows of
    streams, unless the other layer misses clearly fewer events.
    """
    curves = dict[int, AlarmCurve | None]()

    def test(layer: int) -> Trial:
        pairs = [fit._replace(class_layer=layer).answer(played) for played in tested]
        curves[layer] = calibrated_curve(pairs)
        decision = replace(fit.decision, curve=curves[layer])
        missed = [_missed(*pair, decision) for pair in pairs if pair[0].segments]
        return _trial(missed, "share of missed events")

    layer, table = search("layer of classes", (1, 0), test, name=_CLASS_LAYERS.__getitem__)
    return fit._replace(class_layer=layer, curve=curves[layer], table=(*fit.table, *table))


def _trial(losses: Sequence[float], measure: str) -> Trial:
    """The losses of streams, which share no recording."""
    return Trial(np.array(losses), np.arange(len(losses)).astype(str), measure=measure)


def _missed(true: Timeline, predicted: Timeline, decision: Decision) -> float:
    """The share of events that are not found at the default rate of false alarms."""
    scores = torch.tensor([event.score for event in predicted.segments], dtype=torch.float64)
    keeps = decision.calibrated(scores) > decision.event_threshold() - _ROUNDING
    events = [predicted.segments[i] for i in np.flatnonzero(keeps).tolist()]
    figures = event_figures([(true, replace(predicted, segments=events))])
    return float(1 - figures["found"] / figures["events"])


@torch.inference_mode()
def _played(fit: _EventFit, stream: Footage, layers: _Layers) -> _Played:
    """Play a stream to fitted layers, some frames at a time."""
    K = len(layers.classes[0].bias)
    shape = (len(stream.features), len(fit.lengths), K + 1)
    by_eyes = {eye: np.zeros(shape) for eye in layers.eyes}
    for eye in layers.eyes.keys() & stream.eyes.keys():
        outputs = list[Floats]()
        for rows, past in with_past(stream.eyes[eye].split(_FRAMES), fit.lengths[-1] - 1):
            sums = window_sums(rounded_motion(rows[None]), fit.lengths)
            outputs.append(motion_outputs(sums, layers.eyes[eye])[0, past:].double().numpy())
        by_eyes[eye] = np.concatenate(outputs)
    added = sum(outputs[..., :-1] for outputs in by_eyes.values())
    event = list[Floats]()
    classes: list[list[Floats]] = [[] for _ in layers.classes]
    for values in window_statistics(fit.net, stream.features.split(_FRAMES), fit.lengths):
        x = values.cpu().double().numpy()
        event.append(layers.event.logits(x)[..., 0])
        for logits, layer in zip(classes, layers.classes, strict=True):
            logits.append(layer.logits(x))
    return _Played(
        np.concatenate(event),
        [softmax(np.concatenate(logits) + added, -1) for logits in classes],
        {eye: outputs[..., -1] for eye, outputs in by_eyes.items()},
        events=stream.events,
    )

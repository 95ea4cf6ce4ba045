"""Fit the event layer: which windows are one whole event, and the recall of events by the rate of
false alarms.

No times are needed: streams are made of the training clips, with pauses in which people sway, parts
of other clips, and clips in which nothing happens. Windows that nearly agree with a clip are
positive; parts of clips, two halves of neighbors, and pauses are negative. Streams of other
recordings, whose pauses are made in another way, choose how much a window loses by its length.

Pictures tell whether a window is an event. Its class depends on motion as well, if the model has
motion words (`training.eyes`). In the pauses of streams there are none.

Live streams may lack frames, and no window of training looks like theirs. So there are two more
layers, fitted to the same streams with a third of their frames.
"""

from collections.abc import Callable, Iterator, Sequence
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
from onlooker.base.config import StreamConfig
from onlooker.base.decision import Decision
from onlooker.base.records import Segment
from onlooker.measure.events import calibrated_curve, mistakes, segment_map
from onlooker.measure.figures import TriedCandidate
from onlooker.measure.held_out import HeldOut
from onlooker.measure.timeline import Pair, Timeline
from onlooker.models.heads import Head
from onlooker.models.linear import EVENT_HEADS, LinearClassifier
from onlooker.models.motion_memory import motion_layer, motion_outputs, rounded_motion, window_sums
from onlooker.models.windows import interpolated
from onlooker.stream.segmenters import WindowSegmenter
from onlooker.training.background import Background, remembered
from onlooker.training.eyes import LayerChoice, motion_weights
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
from onlooker.training.search import Chosen, Trial, search
from onlooker.training.unusual import MotionSpread, upper_bound
from onlooker.video.rates import RATE

__all__ = ["ClipFeatures"]

# frames, and the motion words `1+F` of the blocks that end with them
Motion = Sequence[tuple[int, Tensor]]

# of the event layer: with more of them, it depends on who acts, and where
STATISTICS = ("spread", "change", "largest")
MOST_CLIPS = 100  # that streams are made of
_STREAMS = 5  # at most; they share no recording
_PAUSE = (0.5, 2.0)  # times the median clip
_EDGE = 0.25  # seconds at both ends of a clip that pauses show
_STILL = 0.25  # share of the pauses that hold one picture
_NOISE = 0.5  # of changes between neighboring frames, at most
_SHIFT = 0.3  # cells of a feature map, at most
_STEP = 0.25  # standard deviation of the steps of pauses that layers are tested with, in frames
_FOREIGN = 0.5  # share of the pauses after events with the motion of a part of another clip
_LONGEST_PART = 0.2  # of these parts, times the median clip
_PART = 0.35  # IoU with a clip below which a window is no event
_WHOLE = 0.75  # IoU with a clip above which a window is an event
_NEGATIVES = 6  # windows per clip, besides the clip itself and one window that is an event
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


class ClipFeatures(NamedTuple):
    """A training clip: features `T D h w` at the frame rate of streams, its position among all
    clips, and its motion words.
    """

    features: Tensor
    number: int
    motion: Motion = ()


class EventLayer(NamedTuple):
    """The layers that score windows (`heads`), and what they find.

    Args:
        lengths: numbers of frames of the windows, ascending.
        event: whether a window is one whole event; weight `1 M`, bias `L`.
        classes: its class; weight `K M`.
        motion: factor of the logits of motion that are added to the logits of `classes`.
        curve: recall by the rate of false alarms, in streams of recordings that the layers were
            not fitted to; None if the clips cannot be divided, or no event is found.
        farthest: novelty limit: windows at a larger distance (`LinearLayer.distances` of
            `classes`) are never events (`upper_bound`).
        farthest_motion: likewise, of its motion, in multiples of `MotionSpread.square`.
        sparse: `event` and `classes` of streams that lack frames, with the same `farthest`; empty
            if they cannot be fitted.
        table: what was tried.
    """

    lengths: tuple[int, ...]
    event: LinearLayer
    classes: LinearLayer
    motion: float
    curve: AlarmCurve | None
    farthest: float | None
    farthest_motion: float | None = None
    sparse: tuple[LinearLayer, ...] = ()
    table: tuple[TriedCandidate, ...] = ()

    @property
    def heads(self) -> dict[str, Head]:
        """The heads of a model (`LinearClassifier.set_heads`)."""
        layers = (self.event, self.classes, *self.sparse)
        heads = {
            name: Head(**layer._asdict())
            for name, layer in zip(EVENT_HEADS[: len(layers)], layers, strict=True)
        }
        heads["window"] = Head(
            **self.classes._asdict(), motion_gain=self.motion, limit=self.farthest
        )
        return heads


class _Layers(NamedTuple):
    """Fitted layers: one of events, with one output; two of classes; and one of motion, whose
    logits are added to the class logits, and whose last output is the distance (None: no layer).
    """

    event: LinearLayer
    classes: Sequence[LinearLayer]
    motion: Callable[[Tensor], Tensor] | None


class _Stream(NamedTuple):
    """Clips one after another.

    Args:
        features: `T D h w`.
        events: the first frame, the last one + 1, the class and the clip of each event, `E 4`.
        clips: the positions of the clips of events.
        recordings: of all clips in the stream.
        motion: as in `ClipFeatures`.
    """

    features: Tensor
    events: Ints
    clips: list[int]
    recordings: NDArray[np.str_]
    motion: Motion = ()


class _Played(NamedTuple):
    """The outputs of layers for a stream that they were not fitted to.

    Args:
        event: logits that a window is one whole event, `T L`; classes: the probabilities of each
            layer of classes, `T L K`.
        true: the true events.
        times: seconds of the frames, `T`.
        seconds: length of the stream.
        motion: distance of the motion of windows from the motion of training, `T L`, in multiples of
            `MotionSpread.square`; zero where nothing moves.
    """

    event: Floats
    classes: list[Floats]
    true: list[Segment]
    times: list[float]
    seconds: float
    motion: Floats

    def pair(self, segmenter: WindowSegmenter, layer: int, penalty: Floats) -> Pair:
        """The true events, and the events that are found by a layer of classes, if the logits of
        windows are reduced by `L` penalties.
        """
        scores = expit(self.event - penalty)[..., None] * self.classes[layer]
        events = segmenter.find(self.times, scores)
        return Timeline(self.true, self.seconds), Timeline(events, self.seconds)


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
    """What all steps of a fit share.

    Args:
        net, clips, choice, decision: see `fit_events`.
        lengths: numbers of frames of the windows, ascending.
        median: number of frames of the median event.
        events: number of clips that are events.
        method: of the layer of events.
        temperature: of its logits.
        table: the methods that were tried.
    """

    net: LinearClassifier
    clips: ClipStatistics
    choice: LayerChoice
    decision: Decision
    lengths: tuple[int, ...]
    median: float
    events: int
    method: Method = _METHODS[0]
    temperature: float = 1.0
    table: tuple[TriedCandidate, ...] = ()

    @property
    def rate(self) -> float:
        """Frames per second of streams."""
        return self.decision.frame_rate or RATE

    def layers(self, windows: "_Windows", clips: ClipStatistics, choice: LayerChoice) -> _Layers:
        """Layers fitted to windows and clips."""
        return _fit_layers(windows, clips, choice, method=self.method, temperature=self.temperature)

    def penalty(self, price: float) -> Floats:
        """What the logits of windows lose by their lengths, `L`."""
        return price * np.log(np.array(self.lengths) / self.median)

    def segmenter(self, min_score: float) -> WindowSegmenter:
        """What finds events in the scores of windows."""
        return WindowSegmenter(self.decision, self.lengths, min_score)


@one_thread
def fit_events(
    net: LinearClassifier,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    stream_clips: Sequence[ClipFeatures],
    decision: Decision,
    background: Background | None = None,
) -> EventLayer | None:
    """Fit an event layer, with the layer of classes that finds more events in streams; None if no
    clip of the streams is an event.

    Args:
        net: a model with fitted layers, which is not changed.
        clips, choice: see `fit_eyes`.
        stream_clips: clips that streams are made of.
        decision: of the model, with the frame rate of streams.
        background: recordings in which none of the classes happens; None: there are none.
    """
    events = [clip for clip in stream_clips if clips.y[clip.number] != clips.nothing]
    if not events:
        return None
    counts = [len(clip.features) for clip in events]
    labels = clips.y[[clip.number for clip in events]].tolist()
    lengths = window_lengths(counts, labels, net.window)
    median = float(np.median(counts))
    fit = _EventFit(
        net, clips, choice, decision=decision, lengths=lengths, median=median, events=len(events)
    )
    random = np.random.default_rng(0)
    divided = _divided(stream_clips, clips, random)
    streams = [_stream(fit, members, pause=_swaying, random=random) for members in divided]
    # of the same clips, with pauses that are made in another way
    test_streams = [_stream(fit, members, pause=_wandering, random=random) for members in divided]
    windows = _windows(fit, streams, clips, random=random)
    fit = _with_method(fit, windows)
    negatives = np.zeros((0, clips.x.shape[1]))
    if background is not None:
        windows, negatives = _mined(fit, windows, background, random=random)
    tested, farthest = _tested(fit, test_streams, windows)
    layers = fit.layers(windows, clips, choice)
    if background is not None and tested:
        pieces = (_background_stream(*background.read(piece)) for piece in background.held_out)
        tested += [_played(fit, piece, layers) for piece in pieces]
    price = _chosen_price(fit, tested)
    penalty = fit.penalty(price.value)
    classes, curve = _chosen_classes(fit, tested, penalty)
    sparse = _fit_sparse(
        fit._replace(choice=choice.of_sample),
        streams,
        stream_clips=stream_clips,
        negatives=negatives,
        limit=farthest[classes.value],
        random=random,
    )
    return EventLayer(
        fit.lengths,
        layers.event.shifted(-penalty),
        layers.classes[classes.value],
        motion=0.0 if layers.motion is None else 1 / choice.temperature,
        curve=curve,
        farthest=farthest[classes.value],
        farthest_motion=farthest[-1],
        sparse=sparse and (sparse[0].shifted(-penalty), sparse[1]),
        table=(*fit.table, *price.table, *classes.table),
    )


def _mined(
    fit: _EventFit,
    windows: "_Windows",
    background: Background,
    *,
    random: np.random.Generator,
) -> tuple["_Windows", Floats]:
    """The windows, and false alarms of the background; and statistics of the latter in streams that
    lack frames.
    """
    fitted = replace(background, read=remembered(background.read))
    negatives = [np.zeros((0, fit.clips.x.shape[1]))]
    for _ in range(_MINING_ROUNDS):
        layers = fit.layers(windows, fit.clips, fit.choice)
        hardest = _hardest(fit, fitted, layers=layers, count=_MINED * fit.events)
        windows = windows.with_negatives(_statistics(fit.net, hardest))
        lacking = [_sparse(window, random) for window in hardest]
        negatives.append(_statistics(fit.net, lacking))
    return windows, np.concatenate(negatives)


def _tested(
    fit: _EventFit, streams: Sequence[_Stream], windows: "_Windows"
) -> tuple[list[_Played], list[float | None]]:
    """Streams, each played to layers that are fitted to other recordings; and limits of distances
    (`upper_bound`) of both layers of classes and of motion.
    """
    tested = list[_Played]()
    recordings = np.unique(fit.clips.groups, return_inverse=True)[1]
    farthest = np.zeros((3, recordings.max() + 1))  # distance of the farthest event of a recording
    fit_to_sample = fit._replace(choice=fit.choice.of_sample)
    for stream, held_out, layers in _held_out(
        fit_to_sample, streams, windows=windows, clips=fit.clips
    ):
        played = _played(fit, stream, layers)
        tested.append(played)
        overlaps, nearest = _overlaps(stream, fit.lengths)
        whole = overlaps > _WHOLE
        event_clips = stream.events[nearest[whole], 3]
        np.maximum.at(farthest[2], recordings[event_clips], played.motion[whole])
        for distances, layer in zip(farthest[:2], layers.classes, strict=True):
            np.maximum.at(distances, recordings[held_out.clip], layer.distances(held_out.x))
    return tested, [upper_bound(distances.tolist()) for distances in farthest]


def _chosen_price(fit: _EventFit, tested: Sequence[_Played]) -> Chosen[float]:
    """How much the logit of a window drops when its length grows by a factor of e, so that events
    begin and end near the true events. Streams without events count with each stream of events.
    """
    segmenter = fit.segmenter(_SURE)
    quiet = [played for played in tested if not played.true]
    eventful = [played for played in tested if played.true]

    def test(price: float) -> Trial:
        penalty = fit.penalty(price)
        false = [played.pair(segmenter, 1, penalty) for played in quiet]
        losses = [
            1 - segment_map([*false, played.pair(segmenter, 1, penalty)], _OVERLAPS).mean()
            for played in eventful
        ]
        numbers = np.arange(len(losses)).astype(str)  # streams share no recording
        return Trial(np.array(losses), numbers, measure="1 - segment mAP")

    return search("price of length", _PRICES, test, name="{:g}".format)


def _chosen_classes(
    fit: _EventFit, tested: Sequence[_Played], penalty: Floats
) -> tuple[Chosen[int], AlarmCurve | None]:
    """The position of the layer of classes, and its curve: the layer that is also fitted to windows
    of streams, unless the other layer misses clearly fewer events.
    """
    segmenter = fit.segmenter(_MIN_SCORE)
    curves = dict[int, AlarmCurve | None]()

    def test(layer: int) -> Trial:
        pairs = [played.pair(segmenter, layer, penalty) for played in tested]
        curve = calibrated_curve(pairs)
        curves[layer] = curve
        decision = replace(fit.decision, curve=curve)
        losses = [_missed(*pair, decision) for pair in pairs if pair[0].segments]
        numbers = np.arange(len(losses)).astype(str)
        return Trial(np.array(losses), numbers, measure="share of missed events")

    chosen = search("layer of classes", (1, 0), test, name=_CLASS_LAYERS.__getitem__)
    return chosen, curves[chosen.value]


def _missed(true: Timeline, predicted: Timeline, decision: Decision) -> float:
    """The share of events that are not found at the default rate of false alarms."""
    curve = decision.curve
    point = None if curve is None else curve.operating_point(StreamConfig.alarms_per_hour)
    if curve is None or point is None:
        return 1.0
    scores = torch.tensor([event.score for event in predicted.segments], dtype=torch.float64)
    keeps = decision.calibrated(scores) > curve.thresholds[point] - _ROUNDING
    events = [predicted.segments[i] for i in np.flatnonzero(keeps).tolist()]
    missed, wrong, _ = mistakes(true, replace(predicted, segments=events))
    return (len(missed) + len(wrong)) / len(true.segments)


def _fit_sparse(
    fit: _EventFit,
    streams: Sequence[_Stream],
    *,
    stream_clips: Sequence[ClipFeatures],
    negatives: Floats,
    limit: float | None,
    random: np.random.Generator,
) -> tuple[LinearLayer, ...]:
    """The layers of events and of classes for streams that lack frames, fitted to such streams;
    empty if their clips are of one class, or the distance of their windows is unknown.

    Args:
        stream_clips: the clips in the streams; they may be a sample of all clips.
        negatives: statistics of windows of the background.
        limit: novelty limit of complete streams; distances here are scaled to it.
    """
    numbers = np.array([clip.number for clip in stream_clips])
    x = _statistics(fit.net, [_sparse(clip.features, random) for clip in stream_clips])
    clips = fit.clips.subset(numbers)._replace(x=x, copies=())
    if len(np.unique(clips.y)) < 2:
        return ()
    sparse_streams = _sparse_streams(streams, numbers, random)
    windows = _windows(fit, sparse_streams, clips, random=random)
    fit = _with_method(fit, windows, (fit.method,))
    windows = windows.with_negatives(negatives)
    recordings = np.unique(clips.groups, return_inverse=True)[1]
    farthest = np.zeros(recordings.max() + 1)
    for _, held_out, held_out_layers in _held_out(
        fit, sparse_streams, windows=windows, clips=clips
    ):
        distances = held_out_layers.classes[1].distances(held_out.x)
        np.maximum.at(farthest, recordings[held_out.clip], distances)
    layers = fit.layers(windows, clips, fit.choice)
    if limit is None:
        return layers.event, layers.classes[1]
    sparse_limit = upper_bound(farthest.tolist())
    if sparse_limit is None or max(sparse_limit, limit) > _LARGEST:
        return ()
    return layers.event, layers.classes[1].with_unit(np.sqrt(sparse_limit / limit))


def _sparse_streams(
    streams: Sequence[_Stream], numbers: Ints, random: np.random.Generator
) -> list[_Stream]:
    """Streams with events, without two of three frames; their clips are indices into `numbers`."""
    places = np.zeros(numbers.max() + 1, np.int64)
    places[numbers] = np.arange(len(numbers))
    return [
        stream._replace(
            features=_sparse(stream.features, random),
            events=np.column_stack((stream.events[:, :3], places[stream.events[:, 3]])),
            clips=places[stream.clips].tolist(),
        )
        for stream in streams
        if len(stream.events)
    ]


def _sparse(features: Tensor, random: np.random.Generator) -> Tensor:
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


def _held_out(
    fit: _EventFit, streams: Sequence[_Stream], *, windows: "_Windows", clips: ClipStatistics
) -> Iterator[tuple[_Stream, "_Windows", _Layers]]:
    """Each stream with events, its windows that are events, and layers fitted to the windows and
    clips of other recordings, where this is possible.
    """
    sample = clips.subset(clips.sampled())
    for number, stream in enumerate(streams):
        other_windows = windows.subset(windows.stream != number)
        other_clips = sample.subset(np.flatnonzero(~np.isin(sample.groups, stream.recordings)))
        can_fit = len(np.unique(other_windows.y)) > 1 and len(np.unique(other_clips.y)) > 1
        if can_fit and len(stream.events):
            held_out = windows.subset((windows.stream == number) & (windows.y == 1))
            yield stream, held_out, fit.layers(other_windows, other_clips, fit.choice)


def _divided(
    stream_clips: Sequence[ClipFeatures], clips: ClipStatistics, random: np.random.Generator
) -> list[list[ClipFeatures]]:
    """The clips of each stream; no two streams share a recording."""
    recordings = random.permutation(np.unique(clips.groups[[clip.number for clip in stream_clips]]))
    divided = list[list[ClipFeatures]]()
    for number in range(min(_STREAMS, len(recordings))):
        in_stream = {*recordings[number::_STREAMS].tolist()}
        divided.append([clip for clip in stream_clips if clips.groups[clip.number] in in_stream])
    return divided


# from the frames at an end of a clip, `T D h w`, at least two, and a number of frames: a pause
_Pause = Callable[[Tensor, int, np.random.Generator], Tensor]


def _swaying(frames: Tensor, count: int, random: np.random.Generator) -> Tensor:
    """A pause that begins with the first of some frames: they are shown forwards and backwards at
    half speed, shifted by parts of a cell, with changes as between neighbors.
    """
    if random.random() < _STILL:
        return frames[:1].expand(count, -1, -1, -1)
    shown = _between(frames, np.arange(count) / 2)
    wave = (1 - np.cos(np.linspace(0, random.uniform(0, 4 * np.pi), count))) / 2
    for axis in (2, 3):
        step = random.choice([-1, 1])
        cells = torch.arange(frames.shape[axis])
        neighbors = (cells + step).clamp(0, len(cells) - 1)
        shift = torch.from_numpy(wave * random.uniform(0, _SHIFT)).float()[:, None, None, None]
        shown = shown.lerp(shown.index_select(axis, neighbors), shift)
    changes = frames.float().diff(dim=0)
    noise = torch.from_numpy(random.normal(0, random.uniform(0, _NOISE), count)).float()
    shown += noise[:, None, None, None] * changes[random.integers(0, len(changes), count)]
    return shown.to(frames.dtype)


def _wandering(frames: Tensor, count: int, random: np.random.Generator) -> Tensor:
    """A pause that begins with the first of some frames, and goes to and fro between them."""
    steps = random.normal(0, _STEP, count)
    return _between(frames, np.cumsum(steps) - steps[0]).to(frames.dtype)


def _between(frames: Tensor, places: Floats) -> Tensor:
    """Frames `T D h w` at places between the first one, 0, and the last one; beyond them, they are
    shown backwards.
    """
    last = len(frames) - 1
    inside = last - np.abs(places % (2 * last) - last)
    before = np.minimum(inside.astype(int), last - 1)
    share = torch.from_numpy(inside - before).float()[:, None, None, None]
    return frames[before].float().lerp(frames[before + 1].float(), share)


def _with_motion(
    pause: Tensor, other: Tensor, *, longest: int, random: np.random.Generator
) -> Tensor:
    """A pause with the motion of a part of another clip, which begins and ends gradually.

    `longest`: frames of the part, at most.
    """
    count = min(longest, len(pause), len(other))
    if count < 2:
        return pause
    begin = random.integers(0, len(other) - count + 1)
    at = random.integers(0, len(pause) - count + 1)
    share = torch.sin(torch.pi * torch.linspace(0, 1, count))[:, None, None, None]
    motion = (other[begin : begin + count] - other[begin]).float() * share
    moved = pause[at : at + count].float() + motion
    return torch.cat((pause[:at], moved.to(pause.dtype), pause[at + count :]))


def _stream(
    fit: _EventFit,
    stream_clips: Sequence[ClipFeatures],
    *,
    pause: _Pause,
    random: np.random.Generator,
) -> _Stream:
    """The stream of some clips in random order. Before and after each event is a pause, sometimes
    with other motion, then a clip in which nothing happens, if there is one. Without events the
    stream is empty.

    Args:
        pause: how pauses are made.
    """
    clips = fit.clips
    event_clips = [clip for clip in stream_clips if clips.y[clip.number] != clips.nothing]
    background = [clip for clip in stream_clips if clips.y[clip.number] == clips.nothing]
    shown = list[Tensor]()
    events = list[list[int]]()
    motion = list[tuple[int, Tensor]]()
    time = 0
    for place in random.permutation(len(event_clips)).tolist():
        clip = event_clips[place]
        before, after = _pauses(fit, clip, event_clips, pause=pause, random=random)
        start = time + len(before)
        end = start + len(clip.features)
        events.append([start, end, int(clips.y[clip.number]), clip.number])
        motion += [(start + frame, words) for frame, words in clip.motion]
        shown += [before, clip.features, after]
        time = end + len(after)
        if background:
            idle = background[random.integers(len(background))]
            motion += [(time + frame, words) for frame, words in idle.motion]
            shown.append(idle.features)
            time += len(idle.features)
    return _Stream(
        torch.cat(shown) if shown else stream_clips[0].features[:0],
        np.array(events, np.int64).reshape(-1, 4),
        [clip.number for clip in event_clips],
        recordings=clips.groups[[clip.number for clip in stream_clips]],
        motion=motion,
    )


def _pauses(
    fit: _EventFit,
    clip: ClipFeatures,
    event_clips: Sequence[ClipFeatures],
    *,
    pause: _Pause,
    random: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """The pauses before and after an event; in the latter, a part of another one may move."""
    edge = 1 + max(1, round(_EDGE * fit.rate))
    held = max(1, round(fit.median * random.uniform(*_PAUSE) / 2))
    before = pause(clip.features[:edge], held, random).flip(0)
    after = pause(clip.features.flip(0)[:edge], held, random)
    if random.random() < _FOREIGN:
        other = event_clips[int(random.integers(len(event_clips)))].features
        longest = int(_LONGEST_PART * fit.median)
        after = _with_motion(after, other, longest=longest, random=random)
    return before, after


class _Windows(NamedTuple):
    """Windows to fit the layers to.

    Args:
        x: statistics, `B M`.
        y: 1 for whole events, else 0.
        label: the classes of whole events, else -1.
        clip: the positions of their clips, likewise.
        stream: the numbers of their streams; -1: of the background.
    """

    x: Floats
    y: Ints
    label: Ints
    clip: Ints
    stream: Ints

    def subset(self, mask: NDArray[np.bool_]) -> "_Windows":
        """The windows where a mask is true."""
        return _Windows(*(values[mask] for values in self))  # type: ignore[arg-type]

    def with_negatives(self, x: Floats) -> "_Windows":
        """The windows, and some of the background, which are no events."""
        none = np.full(len(x), -1)
        return _Windows(
            np.concatenate([self.x, x]),
            np.concatenate([self.y, np.zeros(len(x), np.int64)]),
            np.concatenate([self.label, none]),
            clip=np.concatenate([self.clip, none]),
            stream=np.concatenate([self.stream, none]),
        )


@torch.inference_mode()
def _windows(
    fit: _EventFit,
    streams: Sequence[_Stream],
    clips: ClipStatistics,
    *,
    random: np.random.Generator,
) -> _Windows:
    """Some windows of each stream that are no event, some that are an event, and the clips of its
    events.
    """
    pieces = list[_Windows]()
    for number, stream in enumerate(streams):
        overlaps, nearest = _overlaps(stream, fit.lengths)
        count = len(stream.events)
        other = np.argwhere((overlaps >= 0) & (overlaps < _PART))
        other = other[random.permutation(len(other))[: _NEGATIVES * count]]
        whole = np.argwhere(overlaps > _WHOLE)
        whole = whole[random.permutation(len(whole))[:count]]
        shown = [
            stream.features[frame + 1 - fit.lengths[place] : frame + 1]
            for frame, place in [*other.tolist(), *whole.tolist()]
        ]
        event_clips = random.permutation(np.array(stream.clips, np.int64))
        whole_clips = stream.events[nearest[whole[:, 0], whole[:, 1]], 3]
        clip = np.concatenate([np.full(len(other), -1), whole_clips, event_clips])
        x = [_statistics(fit.net, [window]) for window in shown]
        pieces.append(
            _Windows(
                np.concatenate([*x, clips.x[event_clips].astype(np.float64)]),
                (clip >= 0).astype(np.int64),
                np.where(clip >= 0, clips.y[clip], -1),
                clip=clip,
                stream=np.full(len(clip), number),
            )
        )
    return _Windows(*map(np.concatenate, zip(*pieces, strict=True)))


def _overlaps(stream: _Stream, lengths: Sequence[int]) -> tuple[Floats, Ints]:
    """The highest IoU of each window with an event, `T L`, and the number of this event; -1 for a
    window that begins before the stream.
    """
    end = np.arange(1, len(stream.features) + 1)[:, None]
    begin = end - np.array(lengths)
    best = np.zeros(begin.shape)
    nearest = np.zeros(begin.shape, np.int64)
    for number, (event_begin, event_end, *_) in enumerate(stream.events.tolist()):
        both = np.minimum(end, event_end) - np.maximum(begin, event_begin)
        overlap = both / (np.maximum(end, event_end) - np.minimum(begin, event_begin))
        nearest[overlap > best] = number
        best = np.maximum(best, overlap)
    return np.where(begin < 0, -1, best), nearest


@torch.inference_mode()
def _hardest(
    fit: _EventFit, background: Background, *, layers: _Layers, count: int
) -> list[Tensor]:
    """The features of the windows of the background with the highest scores, at most `count`,
    equally many of each piece: false alarms.
    """
    layers = layers._replace(classes=layers.classes[:1])
    segmenter = fit.segmenter(_MIN_SCORE)
    share = -(-count // len(background.fitted))
    windows = list[Tensor]()
    for path in background.fitted:
        features, motion = background.read(path)
        frames = range(len(features))
        stream = _background_stream(features, motion)
        played = _played(fit, stream, layers)
        scores = expit(played.event)[..., None] * played.classes[0]
        candidates = sorted(segmenter.find(frames, scores), key=lambda window: -window.score)
        windows += [features[round(w.start) : round(w.end)] for w in candidates[:share]]
    return windows[:count]


@torch.inference_mode()
def _statistics(net: LinearClassifier, windows: Sequence[Tensor]) -> Floats:
    """The statistics `B M` of windows, `T D h w` each."""
    rows = [np.zeros((0, net.num_features))]
    for window in windows:
        values = net.window_statistics(window[None].to(net.positions.device), (len(window),))
        rows.append(values[:, -1, 0].cpu().double().numpy())
    return np.concatenate(rows)


def _background_stream(features: Tensor, motion: Tensor | None) -> _Stream:
    words = [] if motion is None else [(frame, row) for frame, row in enumerate(motion) if row[0]]
    nothing = np.zeros((0, 4), np.int64)
    return _Stream(features, nothing, [], recordings=np.array([], str), motion=words)


def _with_method(
    fit: _EventFit, windows: _Windows, methods: Sequence[Method] = _METHODS
) -> _EventFit:
    """With the method of the layer of events, chosen by streams that it is not fitted to, and the
    temperature of its logits; the first method if no two streams have events.
    """
    x = np.ascontiguousarray(windows.x[:, fit.clips.columns(STATISTICS)])
    folds = list[tuple[Batches, Ints]]()
    for stream in np.unique(windows.stream):
        other_rows = windows.stream != stream
        if len(np.unique(windows.y[other_rows])) > 1:
            batches = one_batch(x[other_rows], windows.y[other_rows])
            folds.append((batches, np.flatnonzero(~other_rows)))
    if not folds:
        return fit._replace(method=methods[0], temperature=1.0)
    tempered = held_out_logits(x, windows.y, 2, folds=folds, methods=methods)

    def test(method: Method) -> Trial:
        scores = softmax(tempered[method][0], 1)
        return Trial.of(HeldOut(scores, windows.y, windows.stream.astype(str)))

    method, table = search("method of windows", methods, test)
    return fit._replace(method=method, temperature=tempered[method][1], table=table)


def _fit_layers(
    windows: _Windows,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    method: Method,
    temperature: float,
) -> _Layers:
    """Layers on all statistics, with logits divided by their temperatures. One layer of classes is
    fitted to whole clips; the other also to the clips of events again, and to windows that nearly
    agree with them. The layer of motion is fitted to whole clips.
    """
    columns = clips.columns(STATISTICS)
    (two_class,) = regress(one_batch(windows.x[:, columns], windows.y), 2, methods=(method,))
    event = two_class._replace(
        weight=two_class.weight[1:] - two_class.weight[:1],
        bias=two_class.bias[1:] - two_class.bias[:1],
    )
    positive = windows.y == 1
    whole = (windows.x[positive], windows.label[positive])
    classes = [
        fitted_layer(clips, choice.candidate),
        fitted_layer(clips._replace(copies=()), choice.candidate, windows=whole),
    ]
    weights = motion_weights(clips, choice)
    motion = None
    if weights is not None and clips.motion is not None:
        weight, bias = (torch.from_numpy(part / choice.temperature) for part in weights)
        spread = MotionSpread.of(clips.motion.x)
        motion = partial(
            motion_layer,
            head=partial(linear, weight=weight, bias=bias),
            center=torch.from_numpy(clips.motion.basis @ spread.center).float(),
            unit=spread.square,
        )
    return _Layers(
        event.embedded_in(columns, clips.x.shape[1]).scaled(1 / temperature),
        [layer.scaled(choice.factors[0] / choice.temperature) for layer in classes],
        motion,
    )


@torch.inference_mode()
def _played(fit: _EventFit, stream: _Stream, layers: _Layers) -> _Played:
    """Play a stream to fitted layers, some frames at a time."""
    net = fit.net
    lengths = fit.lengths
    before = lengths[-1] - 1
    distances = list[Floats]()
    logits = list[Floats]()
    probabilities = list[list[Floats]]()
    for start in range(0, len(stream.features), _FRAMES):
        begin = max(0, start - before)
        features = stream.features[None, begin : start + _FRAMES].to(net.positions.device)
        statistics = net.window_statistics(features, lengths)[0, start - begin :]
        values = statistics.cpu().double().numpy()
        logits.append(layers.event.logits(values)[..., 0])
        by_motion = np.zeros((*values.shape[:2], 1 + len(layers.classes[0].bias)))
        if layers.motion is not None:
            rows = torch.zeros(features.shape[1], 1 + net.motion_features)
            for frame, words in stream.motion:
                if begin <= frame < begin + len(rows):
                    rows[frame - begin] += words
            sums = window_sums(rounded_motion(rows[None]), lengths)
            outputs = motion_outputs(sums, layers.motion)
            by_motion = outputs[0, start - begin :].double().numpy()
        distances.append(by_motion[..., -1])
        probabilities.append(
            [softmax(layer.logits(values) + by_motion[..., :-1], -1) for layer in layers.classes]
        )
    by_layer = [np.concatenate(pieces) for pieces in zip(*probabilities, strict=True)]
    true = [
        Segment(fit.decision.classes[label], start / fit.rate, end / fit.rate)
        for start, end, label, _ in stream.events.tolist()
    ]
    count = len(stream.features)
    return _Played(
        np.concatenate(logits),
        by_layer,
        true,
        times=(np.arange(count) / fit.rate).tolist(),
        seconds=count / fit.rate,
        motion=np.concatenate(distances),
    )

"""Fit the event layer: which windows are one whole event, and how many events are found at which
rate of false alarms.

No times are needed: streams are made of the training clips, with pauses that hold the first and the
last frame of a clip, or show clips in which nothing happens. Windows that nearly agree with a clip
are positive; parts of clips, two halves of neighbors, and pauses are negative.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor

from onlooker.base.config import StreamConfig
from onlooker.base.decision import EventCurve
from onlooker.base.records import Segment
from onlooker.models.linear import LinearClassifier
from onlooker.report.events import calibrated_curve
from onlooker.stream.events import Finder
from onlooker.training.background import Background
from onlooker.training.linear import ClipStatistics, LayerChoice, fitted_layer, one_thread
from onlooker.training.regression import LinearLayer, Method, cross_validate, regress

__all__ = ["MOST_CLIPS", "ClipFeatures"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# of the event layer: with more of them, it depends on who acts, and where
STATISTICS = ("spread", "change", "largest")
MOST_CLIPS = 100  # that streams are made of
_STREAMS = 5  # at most; they share no recording
_PAUSE = (0.5, 2.0)  # times the median clip
_PART = 0.35  # IoU with a clip below which a window is no event
_WHOLE = 0.75  # IoU with a clip above which a window is one
_NEGATIVES = 6  # windows for each clip, besides one that is an event and the clip itself
_METHODS = (
    Method("logistic", 1.0),
    Method("logistic", 10.0),
    Method("discriminant", 0.6),
    Method("discriminant", 0.9),
)
_SHARES = (0.5, 0.7, 1.0, 1.3)  # lengths of windows, times the median event
# ratio of the medians of a class and of all events, from which on the class has windows of its own
_DIFFERENT = 1.5
_APART = 1.12  # ratio of two lengths at least
_LONGEST = 4  # windows at most, times the number of frames of a sample
_MIN_SCORE = 0.02  # of a window that may be an event
_MINING_ROUNDS = 2  # in which windows of the background are added
_MINED = 6  # of these windows for each event and round, at most
_FRAMES = 128  # of a stream, whose windows are computed together


class ClipFeatures(NamedTuple):
    """A training clip: features `T D h w` at the frame rate of streams, and its position among all
    clips.
    """

    features: Tensor
    number: int


class EventLayer(NamedTuple):
    """The layers that score windows (`LinearClassifier.set_event_layer`), and what they find.

    Args:
        lengths: numbers of frames of the windows, ascending.
        event: whether a window is one whole event; weight `1 M`.
        classes: of which class; weight `K M`.
        curve: what is found at which rate of false alarms, in streams of other recordings than
            those of the layers; None if the clips cannot be divided, or no event is found.
    """

    lengths: tuple[int, ...]
    event: LinearLayer
    classes: LinearLayer
    curve: EventCurve | None


class _Stream(NamedTuple):
    """Clips one after another.

    Args:
        features: `T D h w`.
        events: the first frame, the last one + 1 and the class of each event, `E 3`.
        clips: the positions of the clips of events.
        recordings: of all clips in the stream.
    """

    features: Tensor
    events: Ints
    clips: list[int]
    recordings: NDArray[np.str_]


class _StreamResult(NamedTuple):
    """What is found in a stream.

    Args:
        reported: the reported events, by each layer of classes.
        true: the true events.
        seconds: length of the stream.
    """

    reported: list[list[Segment]]
    true: list[Segment]
    seconds: float


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


@one_thread
def fit_events(
    net: LinearClassifier,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    stream_clips: Sequence[ClipFeatures],
    classes: Sequence[str],
    rate: float,
    background: Background | None = None,
) -> EventLayer | None:
    """Fit an event layer for a model, with the layer of classes that finds more events in streams;
    None if no clip of the streams is an event.

    Args:
        net: a model with a fitted layer, which is not changed.
        clips, choice: those of `fit_layer`.
        stream_clips: the clips that streams are made of.
        classes: the `K` class names.
        rate: frames per second of streams.
        background: recordings in which none of the classes happens; None: there are none.
    """
    events = [clip for clip in stream_clips if clips.y[clip.number] != clips.nothing]
    if not events:
        return None
    counts = [len(clip.features) for clip in events]
    labels = clips.y[[clip.number for clip in events]].tolist()
    lengths = window_lengths(counts, labels, net.window)
    random = np.random.default_rng(0)
    streams = _streams(stream_clips, clips, pause=float(np.median(counts)), random=random)
    windows = _windows(net, streams, clips, lengths=lengths, random=random)
    method, temperature = _best_method(windows, clips.columns(STATISTICS))
    fit = partial(_fit_layers, choice=choice, method=method, temperature=temperature)
    finder = Finder(classes, lengths, _MIN_SCORE, nothing=clips.nothing)
    if background is not None:
        for _ in range(_MINING_ROUNDS):
            hardest = _hardest(
                net, finder, background, layers=fit(windows, clips), count=_MINED * len(events)
            )
            windows = windows.with_negatives(hardest)
    results = [
        _evaluate(net, finder, stream, layers=fit(other_windows, other_clips), rate=rate)
        for stream, other_windows, other_clips in _held_out(streams, windows, clips)
    ]
    event_layer, class_layers = fit(windows, clips)
    if background is not None and results:
        results += _quiet_results(
            net, finder, background, layers=(event_layer, class_layers), rate=rate
        )
    curves = [
        calibrated_curve(
            [result.reported[i] for result in results],
            [result.true for result in results],
            [result.seconds for result in results],
        )
        for i in (0, 1)
    ]
    best = max((0, 1), key=lambda i: _quality(curves[i]))
    return EventLayer(lengths, event_layer, class_layers[best], curve=curves[best])


def _quality(curve: EventCurve | None) -> float:
    """The share of events that are found at the default rate of false alarms."""
    if curve is None:
        return 0.0
    point = curve.point(StreamConfig.alarms_per_hour)
    return 0.0 if point is None else curve.found[point]


def _held_out(
    streams: Sequence[_Stream], windows: "_Windows", clips: ClipStatistics
) -> Iterator[tuple[_Stream, "_Windows", ClipStatistics]]:
    """Each stream with events, and the windows and clips of other recordings, if layers can be
    fitted to these.
    """
    for number, stream in enumerate(streams):
        other_windows = windows.subset(windows.stream != number)
        other_clips = clips.subset(np.flatnonzero(~np.isin(clips.groups, stream.recordings)))
        can_fit = len(np.unique(other_windows.y)) > 1 and len(np.unique(other_clips.y)) > 1
        if can_fit and len(stream.events):
            yield stream, other_windows, other_clips


def _streams(
    stream_clips: Sequence[ClipFeatures],
    clips: ClipStatistics,
    *,
    pause: float,
    random: np.random.Generator,
) -> list[_Stream]:
    """Streams that share no recording; the arguments are those of `_stream`."""
    recordings = random.permutation(np.unique(clips.groups[[clip.number for clip in stream_clips]]))
    streams = list[_Stream]()
    for number in range(min(_STREAMS, len(recordings))):
        in_stream = {*recordings[number::_STREAMS].tolist()}
        members = [clip for clip in stream_clips if clips.groups[clip.number] in in_stream]
        streams.append(_stream(members, clips, pause=pause, random=random))
    return streams


def _stream(
    stream_clips: Sequence[ClipFeatures],
    clips: ClipStatistics,
    *,
    pause: float,
    random: np.random.Generator,
) -> _Stream:
    """The stream of some clips in random order: before and after each event a pause, then a clip in
    which nothing happens, if there is one. Without events it is empty.

    `pause`: the length of the median event, in frames.
    """
    event_clips = [clip for clip in stream_clips if clips.y[clip.number] != clips.nothing]
    background = [clip.features for clip in stream_clips if clips.y[clip.number] == clips.nothing]
    parts = list[Tensor]()
    events = list[list[int]]()
    time = 0
    for place in random.permutation(len(event_clips)).tolist():
        features, number = event_clips[place]
        held = max(1, round(pause * random.uniform(*_PAUSE) / 2))
        shown = [
            features[:1].expand(held, -1, -1, -1),
            features,
            features[-1:].expand(held, -1, -1, -1),
        ]
        events.append([time + held, time + held + len(features), int(clips.y[number])])
        if background:
            shown.append(background[random.integers(len(background))])
        parts += shown
        time += sum(map(len, shown))
    return _Stream(
        torch.cat(parts) if parts else stream_clips[0].features[:0],
        np.array(events, np.int64).reshape(-1, 3),
        [clip.number for clip in event_clips],
        recordings=clips.groups[[clip.number for clip in stream_clips]],
    )


class _Windows(NamedTuple):
    """Windows to fit the layers to.

    Args:
        x: statistics, `B M`.
        y: 1 for whole events, else 0.
        label: the classes of whole events, else -1.
        stream: the numbers of their streams; -1: of the background.
    """

    x: Floats
    y: Ints
    label: Ints
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
            stream=np.concatenate([self.stream, none]),
        )


@torch.inference_mode()
def _windows(
    net: LinearClassifier,
    streams: Sequence[_Stream],
    clips: ClipStatistics,
    *,
    lengths: Sequence[int],
    random: np.random.Generator,
) -> _Windows:
    """Some windows of each stream that are no event, some that are one, and the clips of its events
    themselves.
    """
    x = list[Floats]()
    y = list[int]()
    labels = list[int]()
    numbers = list[int]()
    for number, stream in enumerate(streams):
        overlaps, nearest = _overlaps(stream, lengths)
        count = len(stream.events)
        parts = np.argwhere((overlaps >= 0) & (overlaps < _PART))
        parts = parts[random.permutation(len(parts))[: _NEGATIVES * count]]
        whole = np.argwhere(overlaps > _WHOLE)
        whole = whole[random.permutation(len(whole))[:count]]
        for frame, place in [*parts.tolist(), *whole.tolist()]:
            shown = stream.features[frame + 1 - lengths[place] : frame + 1].to(net.center.device)
            values = net.window_statistics(shown[None], (lengths[place],))[0, -1]
            x.append(values.cpu().double().numpy())
        event_clips = random.permutation(np.array(stream.clips, np.int64))
        x.append(clips.x[event_clips])
        y += [0] * len(parts) + [1] * (len(whole) + len(event_clips))
        labels += [-1] * len(parts)
        labels += stream.events[nearest[whole[:, 0], whole[:, 1]], 2].tolist()
        labels += clips.y[event_clips].tolist()
        numbers += [number] * (len(parts) + len(whole) + len(event_clips))
    return _Windows(np.concatenate(x), np.array(y), np.array(labels), stream=np.array(numbers))


def _overlaps(stream: _Stream, lengths: Sequence[int]) -> tuple[Floats, Ints]:
    """The highest IoU of each window with an event, `T L`, and the number of this event; -1 for a
    window that begins before the stream.
    """
    end = np.arange(1, len(stream.features) + 1)[:, None]
    begin = end - np.array(lengths)
    best = np.zeros(begin.shape)
    nearest = np.zeros(begin.shape, np.int64)
    for number, (event_begin, event_end, _) in enumerate(stream.events.tolist()):
        both = np.minimum(end, event_end) - np.maximum(begin, event_begin)
        overlap = both / (np.maximum(end, event_end) - np.minimum(begin, event_begin))
        nearest[overlap > best] = number
        best = np.maximum(best, overlap)
    return np.where(begin < 0, -1, best), nearest


@torch.inference_mode()
def _hardest(
    net: LinearClassifier,
    finder: Finder,
    background: Background,
    *,
    layers: tuple[LinearLayer, Sequence[LinearLayer]],
    count: int,
) -> Floats:
    """The statistics of the windows of the background with the highest scores, at most `count`,
    equally many of each piece: those that would be reported as events.
    """
    event, classes = layers
    share = -(-count // len(background.fitted))
    x = [np.zeros((0, event.weight.shape[1]))]
    for path in background.fitted:
        features = background.read(path)
        frames = range(len(features))
        stream = _background_stream(features)
        (scores,) = _scores(net, stream, lengths=finder.lengths, event=event, classes=classes[:1])
        found = sorted(finder.find(frames, scores), key=lambda window: -window.score)
        for window in found[:share]:
            shown = features[round(window.start) : round(window.end)].to(net.center.device)
            values = net.window_statistics(shown[None], (len(shown),))[:, -1, 0]
            x.append(values.cpu().double().numpy())
    return np.concatenate(x)[:count]


def _quiet_results(
    net: LinearClassifier,
    finder: Finder,
    background: Background,
    *,
    layers: tuple[LinearLayer, Sequence[LinearLayer]],
    rate: float,
) -> list[_StreamResult]:
    """What is found in the background that the layers were not fitted to."""
    return [
        _evaluate(net, finder, _background_stream(background.read(path)), layers=layers, rate=rate)
        for path in background.held_out
    ]


def _background_stream(features: Tensor) -> _Stream:
    return _Stream(features, np.zeros((0, 3), np.int64), [], recordings=np.array([], str))


def _best_method(windows: _Windows, columns: Ints) -> tuple[Method, float]:
    """The method with the lowest log loss on streams that it was not fitted to, and the temperature
    of its logits; the first method if no two streams have events.
    """
    parts = list[tuple[Floats, Ints, Ints]]()
    for stream in np.unique(windows.stream):
        other_windows = windows.subset(windows.stream != stream)
        if len(np.unique(other_windows.y)) > 1:
            test = np.flatnonzero(windows.stream == stream)
            parts.append((other_windows.x[:, columns], other_windows.y, test))
    if not parts:
        return _METHODS[0], 1.0
    x = np.ascontiguousarray(windows.x[:, columns])
    best = cross_validate(x, windows.y, 2, parts=parts, methods=_METHODS).best
    return best.method, best.temperature


def _fit_layers(
    windows: _Windows,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    method: Method,
    temperature: float,
) -> tuple[LinearLayer, list[LinearLayer]]:
    """Layers on all statistics, whose logits are divided by their temperatures: of events, with one
    output; and two of classes, fitted to whole clips, and to these, the clips of events again, and
    windows that nearly agree with them.
    """
    columns = clips.columns(STATISTICS)
    (two_class,) = regress(windows.x[:, columns], windows.y, 2, methods=(method,))
    event = two_class._replace(
        weight=two_class.weight[1:] - two_class.weight[:1],
        bias=two_class.bias[1:] - two_class.bias[:1],
    )
    positive = windows.y == 1
    with_windows = clips._replace(
        x=np.concatenate([clips.x, windows.x[positive]]),
        y=np.concatenate([clips.y, windows.label[positive]]),
        copies=(),
    )
    classes = fitted_layer(clips, choice), fitted_layer(with_windows, choice)
    return event.embedded_in(columns, clips.x.shape[1]).scaled(1 / temperature), [
        layer.scaled(1 / choice.temperature) for layer in classes
    ]


def _evaluate(
    net: LinearClassifier,
    finder: Finder,
    stream: _Stream,
    *,
    layers: tuple[LinearLayer, Sequence[LinearLayer]],
    rate: float,
) -> _StreamResult:
    """What models with a layer of events, and each of some layers of classes, find in a stream."""
    event, classes = layers
    scores = _scores(net, stream, lengths=finder.lengths, event=event, classes=classes)
    times = (np.arange(len(stream.features)) / rate).tolist()
    true = [
        Segment(finder.classes[label], start / rate, end / rate)
        for start, end, label in stream.events.tolist()
    ]
    return _StreamResult([finder.find(times, part) for part in scores], true, len(times) / rate)


@torch.inference_mode()
def _scores(
    net: LinearClassifier,
    stream: _Stream,
    *,
    lengths: Sequence[int],
    event: LinearLayer,
    classes: Sequence[LinearLayer],
) -> list[Floats]:
    """The scores that models with these layers of events, and of classes, give to the windows of a
    stream: `T L K` for each layer of classes.
    """
    before = lengths[-1] - 1
    parts = list[list[Floats]]()
    for start in range(0, len(stream.features), _FRAMES):
        begin = max(0, start - before)
        part = stream.features[None, begin : start + _FRAMES].to(net.center.device)
        statistics = net.window_statistics(part, lengths)[0, start - begin :]
        values = statistics.cpu().double().numpy()
        whole = expit(event.logits(values))
        parts.append([whole * softmax(layer.logits(values), -1) for layer in classes])
    return [np.concatenate(layer_parts) for layer_parts in zip(*parts, strict=True)]

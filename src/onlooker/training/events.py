"""Fit the event layer: which windows are one whole event, and at what rate of false alarms it finds
events.

No times are needed: streams are made of the training clips, with pauses that hold the first and the
last frame of a clip, or show clips of nothing. Windows that nearly agree with a clip are
positive; parts of clips, two halves of neighbors, and pauses are negative.
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
from onlooker.base.records import Segment
from onlooker.models.linear import LinearClassifier
from onlooker.report.events import EventCurve, event_curve
from onlooker.stream.events import Finder
from onlooker.training.linear import ClipStatistics, LayerChoice, fitted_layer, one_thread
from onlooker.training.regression import LinearLayer, Method, cross_validate, regress

__all__ = ["MOST_CLIPS", "ClipFeatures", "fit_events"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# with more of them, what is a whole event depends on who acts, and where
STATISTICS = ("spread", "change", "largest")
MOST_CLIPS = 100  # that streams are made of
_BLOCKS = 5  # streams, which share no recording
_PAUSE = (0.5, 2.0)  # times the median clip
# IoU with a clip below which a window is no event, and above which it is one
_PART = 0.35
_WHOLE = 0.75
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
_LEAST = 0.02  # score of a window that may be an event
_FRAMES = 128  # of a stream, whose windows are computed together


class ClipFeatures(NamedTuple):
    """A training clip: features `T D h w` at the frame rate of streams, and its number among all
    clips.
    """

    features: Tensor
    number: int


class _Stream(NamedTuple):
    """Clips one after another: features `T D h w`; the first frame, the last one + 1 and the class
    of each event, `E 3`; the numbers of the clips of events; and the recordings of all clips.
    """

    features: Tensor
    events: Ints
    clips: list[int]
    recordings: NDArray[np.str_]


def window_lengths(counts: Sequence[int], labels: Sequence[int], usual: int) -> tuple[int, ...]:
    """Lengths of windows, in frames: multiples of the median event, and of classes that last much
    longer or shorter.

    Args:
        counts, labels: the numbers of frames of events, and their classes.
        usual: W; no window is longer than four times this.
    """
    frames = np.asarray(counts)
    classes = np.asarray(labels)
    median = float(np.median(frames))
    wanted = [share * median for share in _SHARES]
    for label in np.unique(classes):
        own = float(np.median(frames[classes == label]))
        if not 1 / _DIFFERENT < own / median < _DIFFERENT:
            wanted += [share * own for share in _SHARES[1:]]
    lengths = list[int]()
    for length in sorted(max(2, round(min(each, _LONGEST * usual))) for each in wanted):
        if not lengths or length > _APART * lengths[-1]:
            lengths.append(length)
    return tuple(lengths)


@one_thread
def fit_events(
    net: LinearClassifier,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    made_of: Sequence[ClipFeatures],
    classes: Sequence[str],
    rate: float,
) -> EventCurve | None:
    """Give a fitted model its event layer, and the layer of classes for windows that finds more in
    streams.

    Args:
        clips, choice: those of `fit_layer`.
        made_of: the clips that streams are made of.
        classes: the `K` class names.
        rate: frames per second of streams.

    Returns:
        What is found at which rate of false alarms, in streams of other recordings than those of
        the layers; None if the clips cannot be divided, or none is an event or found as one.
    """
    acted = [each for each in made_of if clips.y[each.number] != clips.nothing]
    if not acted:
        return None
    counts = [len(each.features) for each in acted]
    lengths = window_lengths(counts, clips.y[[each.number for each in acted]].tolist(), net.window)
    random = np.random.default_rng(0)
    streams = _streams(made_of, clips, pause=float(np.median(counts)), random=random)
    windows = _windows(net, streams, clips, lengths=lengths, random=random)
    method, temperature = _chosen(windows, clips.columns(STATISTICS))
    fit = partial(_layers, choice=choice, method=method, temperature=temperature)
    finder = Finder(classes, lengths, _LEAST, nothing=clips.nothing)
    found = list[list[list[Segment]]]()  # in each stream, by each layer of classes
    true = list[list[Segment]]()
    seconds = list[float]()
    for stream, other_windows, other_clips in _held_out(streams, windows, clips):
        layer, of_classes = fit(other_windows, other_clips)
        scores = _scores(net, stream, lengths=lengths, event=layer, classes=of_classes)
        times = (np.arange(len(stream.features)) / rate).tolist()
        found.append([finder.find(times, of_layer) for of_layer in scores])
        events = stream.events.tolist()
        true.append([Segment(classes[k], first / rate, end / rate) for first, end, k in events])
        seconds.append(len(times) / rate)
    curves = [event_curve([by_layer[i] for by_layer in found], true, seconds) for i in (0, 1)]
    best = max((0, 1), key=lambda i: _quality(curves[i]))
    event, of_classes = fit(windows, clips)
    net.set_event_layer(lengths, event, of_classes[best])
    return curves[best]


def _quality(curve: EventCurve | None) -> float:
    """The share of events that are found at the default rate of false alarms."""
    if curve is None:
        return 0.0
    place = curve.point(StreamConfig.alarms_per_hour)
    return 0.0 if place is None else curve.found[place]


def _held_out(
    streams: Sequence[_Stream], windows: "_Windows", clips: ClipStatistics
) -> Iterator[tuple[_Stream, "_Windows", ClipStatistics]]:
    """Each stream with events, and the windows and clips of other recordings, where layers can be
    fitted to these.
    """
    for number, stream in enumerate(streams):
        others = windows.subset(windows.stream != number)
        of_others = clips.subset(np.flatnonzero(~np.isin(clips.groups, stream.recordings)))
        several = len(np.unique(others.y)) > 1 and len(np.unique(of_others.y)) > 1
        if several and len(stream.events):
            yield stream, others, of_others


def _streams(
    made_of: Sequence[ClipFeatures],
    clips: ClipStatistics,
    *,
    pause: float,
    random: np.random.Generator,
) -> list[_Stream]:
    """Streams that share no recording; the arguments are those of `_stream`."""
    recordings = random.permutation(np.unique(clips.groups[[each.number for each in made_of]]))
    streams = list[_Stream]()
    for block in range(min(_BLOCKS, len(recordings))):
        of_block = {*recordings[block::_BLOCKS].tolist()}
        some = [clip for clip in made_of if clips.groups[clip.number] in of_block]
        streams.append(_stream(some, clips, pause=pause, random=random))
    return streams


def _stream(
    made_of: Sequence[ClipFeatures],
    clips: ClipStatistics,
    *,
    pause: float,
    random: np.random.Generator,
) -> _Stream:
    """The stream of some clips in random order: before and after each event a pause, then a clip of
    nothing if there is one. Without events it is empty.

    `pause`: the length of the median event, in frames.
    """
    acted = [each for each in made_of if clips.y[each.number] != clips.nothing]
    background = [each.features for each in made_of if clips.y[each.number] == clips.nothing]
    parts = list[Tensor]()
    events = list[list[int]]()
    at = 0
    for place in random.permutation(len(acted)).tolist():
        features, number = acted[place]
        held = max(1, round(pause * random.uniform(*_PAUSE) / 2))
        shown = [
            features[:1].expand(held, -1, -1, -1),
            features,
            features[-1:].expand(held, -1, -1, -1),
        ]
        events.append([at + held, at + held + len(features), int(clips.y[number])])
        if background:
            shown.append(background[random.integers(len(background))])
        parts += shown
        at += sum(map(len, shown))
    features = torch.cat(parts) if parts else made_of[0].features[:0]
    numbers = [each.number for each in acted]
    recordings = clips.groups[[each.number for each in made_of]]
    return _Stream(
        features, np.array(events, np.int64).reshape(-1, 3), numbers, recordings=recordings
    )


class _Windows(NamedTuple):
    """Windows to fit the layers to: statistics `B M`; 1 for whole events, else 0; the classes of
    these events, else -1; and the numbers of their streams.
    """

    x: Floats
    y: Ints
    label: Ints
    stream: Ints

    def subset(self, chosen: NDArray[np.bool_]) -> "_Windows":
        """Some of the windows."""
        return _Windows(*(part[chosen] for part in self))  # type: ignore[arg-type]


@torch.inference_mode()
def _windows(
    net: LinearClassifier,
    streams: Sequence[_Stream],
    clips: ClipStatistics,
    *,
    lengths: Sequence[int],
    random: np.random.Generator,
) -> _Windows:
    """Some windows of all streams that are no event, and some that are one; the clips themselves
    are, too.
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
        own = random.permutation(np.array(stream.clips, np.int64))
        x.append(clips.x[own])
        y += [0] * len(parts) + [1] * (len(whole) + len(own))
        labels += [-1] * len(parts)
        labels += stream.events[nearest[whole[:, 0], whole[:, 1]], 2].tolist()
        labels += clips.y[own].tolist()
        numbers += [number] * (len(parts) + len(whole) + len(own))
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


def _chosen(windows: _Windows, columns: Ints) -> tuple[Method, float]:
    """The method with the lowest log loss on streams that it was not fitted to, and the temperature
    of its logits; the first method if no two streams have events.
    """
    parts = list[tuple[Floats, Ints, Ints]]()
    for stream in np.unique(windows.stream):
        others = windows.subset(windows.stream != stream)
        if len(np.unique(others.y)) > 1:
            parts.append((others.x[:, columns], others.y, np.flatnonzero(windows.stream == stream)))
    if not parts:
        return _METHODS[0], 1.0
    best = cross_validate(
        np.ascontiguousarray(windows.x[:, columns]), windows.y, 2, parts=parts, methods=_METHODS
    )
    return best.method, best.temperature


def _layers(
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
    (of_two,) = regress(windows.x[:, columns], windows.y, 2, methods=(method,))
    event = of_two._replace(
        weight=of_two.weight[1:] - of_two.weight[:1], bias=of_two.bias[1:] - of_two.bias[:1]
    )
    positive = windows.y == 1
    x = np.concatenate([clips.x, windows.x[positive]])
    y = np.concatenate([clips.y, windows.label[positive]])
    classes = fitted_layer(clips, choice), fitted_layer(clips._replace(x=x, y=y, copies=()), choice)
    return event.embedded_in(columns, clips.x.shape[1]).scaled(1 / temperature), [
        layer.scaled(1 / choice.temperature) for layer in classes
    ]


@torch.inference_mode()
def _scores(
    net: LinearClassifier,
    stream: _Stream,
    *,
    lengths: Sequence[int],
    event: LinearLayer,
    classes: Sequence[LinearLayer],
) -> list[Floats]:
    """What models with these layers of events, and of classes, give for the windows of a stream, `T
    L K` each.
    """
    before = lengths[-1] - 1
    parts = list[list[Floats]]()
    for first in range(0, len(stream.features), _FRAMES):
        begin = max(0, first - before)
        part = stream.features[None, begin : first + _FRAMES].to(net.center.device)
        values = net.window_statistics(part, lengths)[0, first - begin :].cpu().double().numpy()
        whole = expit(event.logits(values))
        parts.append([whole * softmax(layer.logits(values), -1) for layer in classes])
    return [np.concatenate(of_layer) for of_layer in zip(*parts, strict=True)]

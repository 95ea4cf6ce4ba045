"""Streams that are stitched from clips, and the counts of found events and false alarms in them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.answer import NOTHING, event_scores, nothing_class
from onlooker.config import StreamConfig

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

WINDOW, AGREEMENT = 16, StreamConfig.agreement  # frames
EVENTS = 0.1  # events per clip of nothing
_BLOCKS = 5  # streams of training clips; each is one fold of the cross-validation


class Part(NamedTuple):
    """A clip in a stream: features `T D h w`, class in the stream, class of the clip, and recording."""

    features: NDArray[np.float16]
    label: str
    of: str
    recording: str


class Stream(NamedTuple):
    """Clips one after another: for each frame, the number of its clip and its position in the clip; `T` each.

    Each of the `events` has its first frame, its last frame + 1, and its class.
    """

    parts: Sequence[Part]
    clip: Ints
    place: Ints
    events: list[tuple[int, int, str]]


class Counts(NamedTuple):
    """Counts at one threshold."""

    events: int = 0
    found: int = 0
    named: int = 0
    false_alarms: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sums."""
        return Counts(*map(sum, zip(self, other, strict=True)))


def stitch(parts: Sequence[Part], order: Sequence[int]) -> Stream:
    """A stream of clips in this order."""
    lengths = [len(parts[i].features) for i in order]
    ends = np.cumsum(lengths)
    events = [
        (int(end) - length, int(end), parts[i].label)
        for i, length, end in zip(order, lengths, ends, strict=True)
        if parts[i].label != NOTHING
    ]
    place = np.concatenate([np.arange(length) for length in lengths])
    return Stream(parts, np.repeat(np.asarray(order), lengths), place, events)


def test_stream(parts: Sequence[Part], frames: int, random: np.random.Generator) -> Stream:
    """A stream of this many frames: clips of nothing in random order, repeatedly, with an event from time to time."""
    of_events = [i for i, part in enumerate(parts) if part.label != NOTHING]
    nothing = [i for i, part in enumerate(parts) if part.label == NOTHING]
    order: list[int] = []
    total = 0
    while total < frames:
        for i in random.permutation(nothing).tolist():
            chosen = [i, *([int(random.choice(of_events))] if random.random() < EVENTS else [])]
            order += chosen
            total += sum(len(parts[k].features) for k in chosen)
            if total >= frames:
                break
    return stitch(parts, order)


def training_streams(parts: Sequence[Part]) -> list[Stream]:
    """All clips once, in random order, in five streams that share no recording."""
    random = np.random.default_rng(0)
    recordings = random.permutation(sorted({part.recording for part in parts})).tolist()
    blocks = [{*recordings[number::_BLOCKS]} for number in range(_BLOCKS)]
    orders = ([i for i, part in enumerate(parts) if part.recording in block] for block in blocks)
    return [stitch(parts, random.permutation(order).tolist()) for order in orders]


def reported_events(scores: Floats, classes: Sequence[str], threshold: float, agreement: int = AGREEMENT) -> Ints:
    """The class that a stream reports at each of `T` frames, from probabilities `T K`; -1: nothing."""
    of_events, frames = event_scores(scores, nothing_class(classes)), np.arange(len(scores))
    label = np.where(of_events.max(1) >= threshold, of_events.argmax(1), -1)
    reported = np.where(frames - _began(label) + 1 >= agreement, label, -1)
    # An event goes on while its class is the most probable one, or reaches the threshold.
    held, last = np.where(label < 0, scores.argmax(1), label), np.maximum.accumulate(np.where(reported < 0, -1, frames))
    goes_on = (last >= 0) & (held == reported[last]) & (_began(held) <= last + 1)
    return np.where(goes_on, held, reported)


def _began(values: Ints) -> Ints:
    """For each frame, the first one of those up to it that have the same value."""
    return np.maximum.accumulate(np.where(np.diff(values, prepend=-2) != 0, np.arange(len(values)), 0))


def count(reported: Ints, stream: Stream, classes: Sequence[str]) -> Counts:
    """An event is found if anything is reported while it lasts, and named if that is its class.

    A report during an event, or until its last frame has left the window, is not a false alarm. Any other report is one
    false alarm from its first to its last frame, and one more after each 16 frames.
    """
    found = named = 0
    elsewhere = reported >= 0
    for first, after, label in stream.events:
        found += bool((reported[first:after] >= 0).any())
        named += bool((reported[first:after] == classes.index(label)).any())
        elsewhere[first : after + WINDOW - 1] = False
    edges = np.diff(np.concatenate(([0], elsewhere.astype(int), [0])))
    lengths = np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
    return Counts(len(stream.events), found, named, int(np.ceil(lengths / WINDOW).sum()))

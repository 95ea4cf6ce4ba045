"""Footage: features of clips, of recordings, and of streams that are made of clips, one after
another, with pauses in which people sway, or move as in other clips.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from onlooker.models.linear import LinearClassifier
from onlooker.training.regression import Floats, Ints

__all__ = ["Footage"]

_PAUSE = (0.5, 2.0)  # times the median clip
_EDGE = 0.25  # seconds at both ends of a clip that pauses show
_STILL = 0.25  # share of the pauses that hold one picture
_NOISE = 0.5  # of changes between neighboring frames, at most
_SHIFT = 0.3  # cells of a feature map, at most
_STEP = 0.25  # standard deviation of the steps of pauses that layers are tested with, in frames
_FOREIGN = 0.5  # share of the pauses after events with the motion of a part of another clip
_LONGEST_PART = 0.2  # of these parts, times the median clip


class Footage(NamedTuple):
    """Frames of a clip, of a stream of clips, or of a recording without events.

    Args:
        features: `T D h w`, at the frame rate of streams.
        eyes: what other eyes see until each frame, `T 1+F` each; of one that is left out: nothing.
        events: first frame, last frame + 1, class and clip of each event, `E 4`.
    """

    features: Tensor
    eyes: Mapping[str, Tensor] = MappingProxyType({})
    events: Ints = np.zeros((0, 4), np.int64)


@torch.inference_mode()
def window_statistics(
    net: LinearClassifier, pieces: Iterable[Tensor], lengths: Sequence[int]
) -> Iterator[Tensor]:
    """The statistics of the windows that end at each frame of a video, `n L M`, from pieces of it
    that follow each other, `n D h w`.
    """
    on_device = (piece.to(net.positions.device) for piece in pieces)
    for joined, past in with_past(on_device, lengths[-1] - 1):
        yield net.window_statistics(joined[None], lengths)[0, past:]


def with_past(pieces: Iterable[Tensor], most: int) -> Iterator[tuple[Tensor, int]]:
    """Pieces of a video that follow each other, `n …`, each after the last rows before it, at most
    `most`; and the number of these rows.
    """
    past: Tensor | None = None
    for piece in pieces:
        joined = piece if past is None else torch.cat((past, piece))
        yield joined, len(joined) - len(piece)
        past = joined[max(0, len(joined) - most) :]


# from the frames at an end of a clip, `T D h w`, at least two, and a number of frames: a pause
Pause = Callable[[Tensor, int, np.random.Generator], Tensor]


def stitch(
    clips: Sequence[Footage],
    *,
    pause: Pause,
    rate: float,
    random: np.random.Generator,
    median: float,
) -> Footage:
    """The stream of some clips in random order. Before and after each event is a pause, sometimes
    with other motion, then a clip in which nothing happens, if there is one.

    Args:
        clips: at least one has an event, over all of it; the others are shown in between.
        pause: how pauses are made.
        rate: frames per second.
        median: number of frames of the median event.
    """
    acts = [clip for clip in clips if len(clip.events)]
    idle = [clip for clip in clips if not len(clip.events)]
    shown = list[Footage]()
    for place in random.permutation(len(acts)).tolist():
        clip = acts[place]
        edge = 1 + max(1, round(_EDGE * rate))
        held = max(1, round(median * random.uniform(*_PAUSE) / 2))
        before = pause(clip.features[:edge], held, random).flip(0)
        after = pause(clip.features.flip(0)[:edge], held, random)
        if random.random() < _FOREIGN:
            other = acts[int(random.integers(len(acts)))].features
            longest = int(_LONGEST_PART * median)
            after = _with_motion(after, other, longest=longest, random=random)
        shown += [Footage(before), clip, Footage(after)]
        if idle:
            shown.append(idle[random.integers(len(idle))])
    return _joined(shown)


def _joined(shown: Sequence[Footage]) -> Footage:
    """One after another; eyes see nothing where that is not known."""
    counts = np.array([len(footage.features) for footage in shown])
    begins = np.cumsum(counts) - counts
    events = [
        footage.events + np.array((begin, begin, 0, 0))
        for footage, begin in zip(shown, begins, strict=True)
    ]
    known = {name: rows for footage in shown for name, rows in footage.eyes.items()}
    nothing = {name: torch.zeros_like(rows[:1]) for name, rows in known.items()}
    eyes = {
        name: torch.cat(
            [footage.eyes.get(name, row.expand(len(footage.features), -1)) for footage in shown]
        )
        for name, row in nothing.items()
    }
    features = torch.cat([footage.features for footage in shown])
    return Footage(features, eyes, np.concatenate(events))


def swaying(frames: Tensor, count: int, random: np.random.Generator) -> Tensor:
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


def wandering(frames: Tensor, count: int, random: np.random.Generator) -> Tensor:
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

"""A clip with what a model saw in it drawn on every frame: attention, or boxes and the times of its class."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.drawing.flow_color import flow_colors, strongest_motion, with_wheel
from onlooker.drawing.overlay import (
    RIMS,
    boxes,
    caption,
    enlarge,
    full_strength,
    inset,
    outlines,
    overlay,
    probability_bar,
    rings,
    time_bar,
)
from onlooker.structures import FlowStacks, Prediction, Tube
from onlooker.video.flow import to_pixels
from onlooker.video.reader import VideoReader
from onlooker.video.write import write

__all__ = ["draw_clip"]

Pixels = NDArray[np.uint8]
Numbered = Iterable[tuple[int, float, Pixels]]  # index, seconds, `H W 3`


def draw_clip(frames: Pixels, seen: Prediction, moved: FlowStacks | None = None) -> Pixels:
    """The frames `T H W 3` that a prediction was made from, with class, probability and attention drawn on them.

    Args:
        frames: `T H W 3`.
        seen: the prediction.
        moved: the flow at the same frames, drawn as a small picture; None: none.
    """
    numbered: Iterable[Any] = zip(seen.indices, itertools.repeat(0.0), frames, strict=False)
    return np.stack(list(_with_attention(numbered, seen, moved)))


def write_drawn(path: Path | str, out: Path | str, seen: Prediction, moved: FlowStacks | None = None) -> Path:
    """The whole clip to `out` (.mp4 or .gif), with class, probability, attention, its point and windows.

    With `moved`, the flow at the frames of the prediction, a small picture shows that of the last one that was seen.

    Raises:
        ClipError: the clip cannot be read.
        ValueError: `out` is neither .mp4 nor .gif, or it is the clip itself.
    """
    return _write(path, out, seen, _with_attention(VideoReader(path), seen, moved))


def write_located(
    path: Path | str, out: Path | str, seen: Prediction, tubes: Sequence[Tube], least: float = 0.0
) -> Path:
    """The whole clip to `out` (.mp4 or .gif), with tubes, class, probability, and a bar of time.

    The bar is the clip from its beginning to its end; bright is where the class happens, if it is as probable as
    `least`, and the mark is now.

    Raises:
        ClipError: the clip cannot be read.
        ValueError: `out` is neither .mp4 nor .gif, or it is the clip itself.
    """
    return _write(path, out, seen, _with_tubes(VideoReader(path), seen, tubes, least))


def _write(path: Path | str, out: Path | str, seen: Prediction, frames: Iterator[Pixels]) -> Path:
    if Path(out).resolve() == Path(path).resolve():
        raise ValueError(f"{out}: the drawn clip would replace the clip itself; write it elsewhere")
    rate = _frame_rate(seen)
    return write(out, frames, min(rate, 50.0) if Path(out).suffix.lower() == ".gif" else rate)


def _frame_rate(seen: Prediction) -> float:
    """Frames a second between the first and last frame that the model saw; 10 for a single picture or no times."""
    frames, seconds = seen.indices[-1] - seen.indices[0], seen.times[-1] - seen.times[0]
    return float(np.clip(frames / seconds, 1, 120)) if frames > 0 and seconds > 0 else 10.0


def draw_frame(
    pixels: Pixels,
    words: Sequence[str],
    share: float,
    size: tuple[int, int],
    attention: NDArray[np.float32] | None = None,
    strength: float | None = None,
    windows: NDArray[np.floating] | None = None,
    box: Sequence[float] | None = None,
    point: ArrayLike | None = None,
    motion: Pixels | None = None,
) -> Pixels:
    """One frame with what a model saw in it drawn on it, enlarged where it is small.

    Args:
        pixels: `H W 3`.
        words: lines in its upper left corner, the first one heavier.
        share: a probability, the length of a bar.
        size: height and width of the frame that windows, box and point are in pixels of.
        attention: `h w`, drawn as color.
        strength: the weight that has full color; None: the map's own highest.
        windows: corners of what an encoder looks at, `G 4 2`.
        box: x1 y1 x2 y2.
        point: x and y, drawn as a ring.
        motion: flow in colors, `h w 3`, drawn small in the upper right corner.
    """
    frame = pixels[None]
    if attention is not None:
        frame = overlay(frame, attention[None], scale=strength)
    frame = enlarge(frame)
    if windows is not None:
        frame = outlines(frame, windows[None], size=size)
    if box is not None:
        frame = boxes(frame, np.array([box]), RIMS[0], size)
    if point is not None:
        frame = rings(frame, np.array([point]), size=size)
    if motion is not None:
        frame = inset(frame, motion)
    return probability_bar(caption(frame, [list(words)]), [share])[0]


def _with_attention(frames: Numbered, seen: Prediction, moved: FlowStacks | None) -> Iterator[Pixels]:
    motion = None if moved is None else _pictures(moved)
    places, first = np.unique(seen.indices, return_index=True)
    strength = full_strength(seen.attention) if seen.attention is not None else None
    for index, _, pixels in frames:
        position = float(np.interp(index, places, np.arange(len(places))))
        before, after = first[int(position)], first[min(int(position) + 1, len(places) - 1)]
        at = before, after, position - int(position)
        scores = seen.frame_scores[before]
        best = int(scores.argmax())
        words = seen.classes[best], f"{100 * scores[best]:.0f} %"
        size = seen.size or (pixels.shape[0], pixels.shape[1])
        yield draw_frame(
            pixels, words, float(scores[best]), size,
            attention=_between(seen.attention, *at), strength=strength,
            windows=_between(seen.glimpses, *at), point=_between(seen.points, *at),
            motion=None if motion is None else motion(int(before)),
        )  # fmt: skip


def _pictures(moved: FlowStacks) -> Callable[[int], Pixels]:
    """The first field of each stack in colors, one scale for the clip, with the wheel that says what they mean."""
    # Of every fourth place: enough for a percentile of all.
    strongest = strongest_motion(to_pixels(moved.stacks[:, ::4, ::4, :2], moved.limit))

    @lru_cache(maxsize=1)  # many frames of a clip lie between two that were seen
    def picture(place: int) -> Pixels:
        return with_wheel(flow_colors(to_pixels(moved.stacks[place, ..., :2], moved.limit), strongest))

    return picture


def _between(values: NDArray[np.float32] | None, before: int, after: int, share: float) -> NDArray[np.float32] | None:
    return None if values is None else (1 - share) * values[before] + share * values[after]


def _with_tubes(frames: Numbered, seen: Prediction, tubes: Sequence[Tube], least: float) -> Iterator[Pixels]:
    at = [dict(zip(tube.frames.tolist(), tube.boxes, strict=True)) for tube in tubes]
    begin, end = float(seen.times[0]), max(float(seen.times[-1]), float(seen.times[0]) + 1e-6)
    spans = [
        ((one.start - begin) / (end - begin), (one.end - begin) / (end - begin))
        for one in seen.segments
        if one.label == seen.label and seen.score >= least
    ]
    words = [seen.label, f"{100 * seen.score:.0f} %"]
    for index, seconds, pixels in frames:
        picture: Any = enlarge(pixels[None])
        for number, of_tube in enumerate(at):
            if index in of_tube:
                picture = boxes(picture, of_tube[index][None], RIMS[number % len(RIMS)], seen.size)
        picture = caption(picture, [words])
        yield time_bar(picture, [(seconds - begin) / (end - begin)], spans)[0]

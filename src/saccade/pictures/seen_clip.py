"""A clip with what a model saw in it drawn on every frame: attention, or boxes and the times of its class."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.pictures.overlay import (
    RIMS,
    boxes,
    caption,
    enlarge,
    full_strength,
    outlines,
    overlay,
    probability_bar,
    rings,
    time_bar,
)
from saccade.structures import Prediction, Tube
from saccade.video.read import stream
from saccade.video.write import write

Pixels = NDArray[np.uint8]
Numbered = Iterable[tuple[int, float, Pixels]]  # index, seconds, `H W 3`


def draw_clip(frames: Pixels, seen: Prediction) -> Pixels:
    """The frames `T H W 3` that a prediction was made from, with class, probability and attention drawn on them."""
    numbered: Iterable[Any] = zip(seen.indices, itertools.repeat(0.0), frames, strict=False)
    return np.stack(list(_with_attention(numbered, seen)))


def write_drawn(path: Path | str, out: Path | str, seen: Prediction) -> Path:
    """The whole clip to `out` (.mp4 or .gif), with class, probability, attention, its point and windows.

    Raises:
        ClipError: the clip cannot be read.
        ValueError: `out` is neither .mp4 nor .gif, or it is the clip itself.
    """
    return _write(path, out, seen, _with_attention(stream(path), seen))


def write_located(path: Path | str, out: Path | str, seen: Prediction, tubes: Sequence[Tube]) -> Path:
    """The whole clip to `out` (.mp4 or .gif), with tubes, class, probability, and a bar of time.

    The bar is the clip from its beginning to its end; bright is where the class happens, and the mark is now.

    Raises:
        ClipError: the clip cannot be read.
        ValueError: `out` is neither .mp4 nor .gif, or it is the clip itself.
    """
    return _write(path, out, seen, _with_tubes(stream(path), seen, tubes))


def _write(path: Path | str, out: Path | str, seen: Prediction, frames: Iterator[Pixels]) -> Path:
    if Path(out).resolve() == Path(path).resolve():
        raise ValueError(f"{out}: the drawn clip would replace the clip itself; write it elsewhere")
    rate = _frame_rate(seen)
    return write(out, frames, min(rate, 50.0) if Path(out).suffix.lower() == ".gif" else rate)


def _frame_rate(seen: Prediction) -> float:
    """Frames a second between the first and last frame that the model saw; 10 for a single picture or no times."""
    frames, seconds = seen.indices[-1] - seen.indices[0], seen.times[-1] - seen.times[0]
    return float(np.clip(frames / seconds, 1, 120)) if frames > 0 and seconds > 0 else 10.0


def _with_attention(frames: Numbered, seen: Prediction) -> Iterator[Pixels]:
    places, first = np.unique(seen.indices, return_index=True)
    strength = full_strength(seen.attention) if seen.attention is not None else None
    for index, _, pixels in frames:
        picture: Any = pixels[None]
        position = float(np.interp(index, places, np.arange(len(places))))
        before = first[int(position)]
        after = first[min(int(position) + 1, len(places) - 1)]
        share = position - int(position)
        if seen.attention is not None:
            attention = (1 - share) * seen.attention[before] + share * seen.attention[after]
            picture = overlay(picture, attention[None], scale=strength)
        scores = seen.frame_scores[before]
        best = int(scores.argmax())
        picture = enlarge(picture)
        if seen.windows is not None:
            corners = (1 - share) * seen.windows[before] + share * seen.windows[after]
            picture = outlines(picture, corners[None], size=seen.size)
        if seen.points is not None:
            point = (1 - share) * seen.points[before] + share * seen.points[after]
            picture = rings(picture, point[None], size=seen.size)
        picture = caption(picture, [[seen.classes[best], f"{100 * scores[best]:.0f} %"]])
        yield probability_bar(picture, scores[best : best + 1])[0]


def _with_tubes(frames: Numbered, seen: Prediction, tubes: Sequence[Tube]) -> Iterator[Pixels]:
    at = [dict(zip(tube.frames.tolist(), tube.boxes, strict=True)) for tube in tubes]
    begin, end = float(seen.times[0]), max(float(seen.times[-1]), float(seen.times[0]) + 1e-6)
    spans = [
        ((one.start - begin) / (end - begin), (one.end - begin) / (end - begin))
        for one in seen.segments
        if one.label == seen.label
    ]
    words = [seen.label, f"{100 * seen.score:.0f} %"]
    for index, seconds, pixels in frames:
        picture: Any = enlarge(pixels[None])
        for number, of_tube in enumerate(at):
            if index in of_tube:
                picture = boxes(picture, of_tube[index][None], RIMS[number % len(RIMS)], seen.size)
        picture = caption(picture, [words])
        yield time_bar(picture, [(seconds - begin) / (end - begin)], spans)[0]

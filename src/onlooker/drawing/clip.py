"""Predictions and steps of a stream, drawn on their frames: attention, boxes, points, class, probability and time."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.drawing.overlay import (
    BOX_COLORS,
    CONTRAST_FLOOR,
    boxes,
    caption,
    enlarge,
    full_strength,
    overlay,
    probability_bar,
    ring,
    time_bar,
)
from onlooker.structures import Prediction, Step, Tube
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels
from onlooker.video.write import write

__all__ = ["StreamAnnotator", "draw_clip"]

TimedFrames = Iterable[tuple[int, float, Pixels]]  # index, seconds, `H W 3`

_BOX_SCORE = 0.3  # minimum
_DECAY = 0.99  # per frame, for the highest weight, which determines the scale of colors


def draw_clip(frames: Pixels, prediction: Prediction) -> Pixels:
    """The frames `T H W 3` that a prediction was made from, with class, probability and attention."""
    timed = zip(prediction.indices.tolist(), prediction.times.tolist(), frames, strict=False)
    return np.stack(list(_with_attention(timed, prediction)))


def write_drawn(path: Path | str, out: Path | str, prediction: Prediction) -> Path:
    """Write the whole clip to `out` (.mp4), with class, probability, attention and its peak.

    Raises:
        ClipError: the clip cannot be read.
        ValueError: `out` is no .mp4, or is the clip itself.
    """
    return _write(path, out, prediction, _with_attention(VideoReader(path), prediction))


def write_located(
    path: Path | str, out: Path | str, prediction: Prediction, tubes: Sequence[Tube], min_score: float = 0.0
) -> Path:
    """As `write_drawn`, with tubes, class, probability, and a time bar.

    The bar shows the segments of the predicted class, if its probability is at least `min_score`.
    """
    return _write(path, out, prediction, _with_tubes(VideoReader(path), prediction, tubes, min_score))


class StreamAnnotator:
    """Draws steps of streams on their frames: attention, box, point, class, probability and time.

    Colors are scaled by a decaying maximum of the attention, so that they are comparable from frame to frame. During
    frames without an event (`Step.happening` is False), the class is in brackets and no box is drawn, as for a class
    with a probability below 0.3.
    """

    def __init__(self) -> None:
        self._strengths: dict[str | None, float] = {}

    def __call__(self, step: Step) -> Pixels:
        """The annotated frame of the step: `H W 3`, enlarged if it is small.

        Raises:
            ValueError: a step without its frame.
        """
        if step.pixels is None:
            raise ValueError("the step has no pixels; give one of a stream (`watch`), or draw a clip by `write_drawn`")
        frame, size, quiet = step.pixels, step.pixels.shape[:2], step.happening is False
        if step.attention is not None:
            frame = overlay(frame, step.attention, self._strength(step.source, step.attention))
        frame = enlarge(frame)
        if step.box is not None and not quiet and step.score >= _BOX_SCORE:
            frame = boxes(frame, step.box.corners, BOX_COLORS[0], size)
        if step.point is not None:
            frame = ring(frame, step.point, size)
        words = f"({step.label})" if quiet else step.label, f"{100 * step.score:.0f} %  {step.time:.1f} s"
        return probability_bar(caption(frame, words), step.score)

    def _strength(self, source: str | None, attention: NDArray[np.float32]) -> float:
        """The weight that is drawn at full strength."""
        before = self._strengths.get(source, CONTRAST_FLOOR / attention.size)
        self._strengths[source] = max(float(attention.max()), _DECAY * before, CONTRAST_FLOOR / attention.size)
        return self._strengths[source]


def _write(path: Path | str, out: Path | str, prediction: Prediction, frames: Iterator[Pixels]) -> Path:
    if os.path.realpath(out) == os.path.realpath(path):
        raise ValueError(f"{out}: the drawn clip would replace the clip itself; give another file")
    count = prediction.indices[-1] - prediction.indices[0]
    seconds = prediction.times[-1] - prediction.times[0]
    return write(out, frames, float(np.clip(count / seconds, 1, 120)) if count > 0 and seconds > 0 else 10.0)


def _with_attention(frames: TimedFrames, prediction: Prediction) -> Iterator[Pixels]:
    places, first = np.unique(prediction.indices, return_index=True)
    strength = full_strength(prediction.attention) if prediction.attention is not None else None
    steps = prediction.steps
    for index, _, pixels in frames:
        # Between two frames of the prediction, attention and point are interpolated.
        position = float(np.interp(index, places, np.arange(len(places))))
        before, after = first[int(position)], first[min(int(position) + 1, len(places) - 1)]
        attention, point = (
            None if values is None else values[before] + (position - int(position)) * (values[after] - values[before])
            for values in (prediction.attention, prediction.points)
        )
        frame = enlarge(pixels if attention is None else overlay(pixels, attention, strength))
        size = prediction.size or pixels.shape[:2]
        if point is not None:
            frame = ring(frame, point, size)
        step = steps[before]
        yield probability_bar(caption(frame, (step.label, f"{100 * step.score:.0f} %")), step.score)


def _with_tubes(
    frames: TimedFrames, prediction: Prediction, tubes: Sequence[Tube], min_score: float
) -> Iterator[Pixels]:
    box_at = [dict(zip(tube.frames.tolist(), tube.boxes, strict=True)) for tube in tubes]
    start = float(prediction.times[0])
    seconds = max(float(prediction.times[-1]) - start, 1e-6)
    spans = [
        ((segment.start - start) / seconds, (segment.end - start) / seconds)
        for segment in prediction.segments
        if segment.label == prediction.label and prediction.score >= min_score
    ]
    words = [prediction.label, f"{100 * prediction.score:.0f} %"]
    for index, time, pixels in frames:
        frame = enlarge(pixels)
        for number, of_tube in enumerate(box_at):
            if index in of_tube:
                frame = boxes(frame, of_tube[index], BOX_COLORS[number % len(BOX_COLORS)], prediction.size)
        yield time_bar(caption(frame, words), (time - start) / seconds, spans)

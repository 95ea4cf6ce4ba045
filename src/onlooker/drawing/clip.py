"""Predictions drawn on the frames of their clips: attention, boxes, points, class, probability and time."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from onlooker.drawing.overlay import (
    BOX_COLORS,
    boxes,
    caption,
    enlarge,
    full_strength,
    overlay,
    ring,
    time_bar,
)
from onlooker.intervals import file_of
from onlooker.structures import Prediction
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels
from onlooker.video.write import write

__all__ = ["draw_clip", "write_drawn"]

TimedFrames = Iterable[tuple[int, float, Pixels]]  # index, seconds, `H W 3`


def draw_clip(frames: Pixels, prediction: Prediction) -> Pixels:
    """The frames `T H W 3` that a prediction was made from, with heat map, the hottest place and the boxes of
    actors; during its events with their class and probability, and with a bar of time that shows them.
    """
    timed = zip(prediction.indices.tolist(), prediction.times.tolist(), frames, strict=False)
    return np.stack(list(_drawn(timed, prediction)))


def write_drawn(path: Path | str, out: Path | str, prediction: Prediction) -> Path:
    """Write the whole clip to `out` (.mp4), drawn as by `draw_clip`.

    Raises:
        ClipError: the clip cannot be read.
        ValueError: `out` is no .mp4, or is the clip itself.
    """
    if os.path.realpath(out) == os.path.realpath(file_of(path)):
        raise ValueError(f"{out}: the drawn clip would replace the clip itself; give another file")
    reader = VideoReader(path)
    times = reader.times.tolist()
    fps = float(np.clip(1 / max(reader.seconds - times[-1], 1e-3), 1, 120))
    times[0] = 0.0  # players differ in where a file begins whose first frame is shown later
    return write(out, _drawn(reader, prediction), fps, times)


def _drawn(frames: TimedFrames, prediction: Prediction) -> Iterator[Pixels]:
    moments, first = np.unique(prediction.times, return_index=True)
    maps = prediction.attention if prediction.heat is None else prediction.heat
    strength = None if maps is None else full_strength(maps)
    box_at = [dict(zip(tube.frames.tolist(), tube.boxes, strict=True)) for tube in prediction.actors]
    start = float(prediction.times[0])
    seconds = max(float(prediction.times[-1]) - start, 1e-6)
    spans = [((each.start - start) / seconds, (each.end - start) / seconds) for each in prediction.segments]
    for index, time, pixels in frames:
        # Between two frames of the prediction, the map and the point are interpolated.
        position = float(np.interp(time, moments, np.arange(len(moments))))
        before, after = first[int(position)], first[min(int(position) + 1, len(moments) - 1)]
        heat, point = (
            None if values is None else values[before] + (position - int(position)) * (values[after] - values[before])
            for values in (maps, prediction.points)
        )
        frame = enlarge(pixels if heat is None else overlay(pixels, heat, strength))
        size = prediction.size or pixels.shape[:2]
        for number, of_tube in enumerate(box_at):
            if index in of_tube:
                frame = boxes(frame, of_tube[index], BOX_COLORS[number % len(BOX_COLORS)], size)
        if point is not None:
            frame = ring(frame, point, size)
        if event := prediction.event_at(time):
            frame = caption(frame, (event.label, f"{100 * event.score:.0f} %"))
        yield time_bar(frame, (time - start) / seconds, spans)

"""What a few frames of a clip tell before training: length, size, brightness, change, and how the scene looks."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.config import DataConfig
from onlooker.data.samples import read_at
from onlooker.data.scenes import thumbnails
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced

__all__ = ["ClipFacts", "read_facts"]


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """What 8 equally spaced frames of a clip tell.

    Args:
        frames, rate: number of frames in the whole clip, and frames per second (0: a single frame, or unknown).
        thumbnails: `8 16 16` (`scenes.thumbnails`).
        seconds: until the last frame ends; 0: unknown.
    """

    frames: int
    rate: float
    size: tuple[int, int]
    thumbnails: NDArray[np.uint8]
    seconds: float

    @property
    def brightness(self) -> float:
        """The gray level, 0 to 255, that 1 % of the thumbnails' cells exceed."""
        return float(np.percentile(self.thumbnails, 99))

    @property
    def change(self) -> float:
        """The largest difference in gray levels, over time, of a cell of the thumbnails."""
        return float(np.ptp(self.thumbnails, axis=0).max())


def read_facts(path: Path, frame_rate: float | None = None) -> ClipFacts:
    """Decode what models see by default; a ClipError if it cannot be read. `frame_rate`: as in `VideoReader`."""
    reader = VideoReader(path, frame_rate)
    sample = read_at(reader, DataConfig(), partial(equally_spaced, count=DataConfig.frames))
    times = reader.times
    span = float(times[-1] - times[0])
    rate = (len(times) - 1) / span if span > 0 and not reader.assumes_rate else 0.0
    seconds = 0.0 if reader.assumes_rate else reader.seconds
    return ClipFacts(len(times), rate, reader.size, thumbnails(sample.pixels), seconds)

"""Which frames of a video a model sees: equally spaced, all of them, or temporal crops of consecutive frames."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["equally_spaced"]

Indices = NDArray[np.int64]
# From the number of frames in a video, at least 1: `T` indices below it, in any order, with any repetition.
Sampling = Callable[[int], Indices]


def equally_spaced(total: int, count: int) -> Indices:
    """The centers of `count` equal parts of a video of `total` frames: `floor((i + 0.5) * total / count)`.

    A video shorter than `count` gives all of its frames in order, then repeats the last one, so that its speed does
    not change.
    """
    each = np.arange(count, dtype=np.int64)
    # (2i + 1) * total // (2 * count) is the same floor without rounding errors.
    return np.minimum(each, total - 1) if total < count else (2 * each + 1) * total // (2 * count)


def every_frame(total: int) -> Indices:
    """0 to `total` - 1."""
    return np.arange(total)


@dataclass(frozen=True)
class TemporalCrops:
    """`count` temporal crops of `length` consecutive frames, evenly spread over the whole video (VideoLSTM).

    As a sampling, they are the frames of all crops, each once, ascending. Crops overlap where the video is short. In a
    video shorter than `length` every crop is the whole video with its last frame repeated. A single crop is central.
    """

    length: int
    count: int

    def rows(self, total: int) -> Indices:
        """`W T`: the frames of each crop."""
        free, last = max(total - self.length, 0), self.count - 1
        starts = np.arange(self.count, dtype=np.int64) * free // last if last else np.array([free // 2])
        return np.minimum(starts[:, None] + np.arange(self.length, dtype=np.int64), total - 1)

    def __call__(self, total: int) -> Indices:
        return np.unique(self.rows(total))

    def positions(self, total: int) -> Indices:
        """`W T`: the frames of each crop, as positions in `self(total)`."""
        return np.searchsorted(self(total), self.rows(total))

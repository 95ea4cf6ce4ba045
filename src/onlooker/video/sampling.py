"""Which frames of a video a model sees: equally spaced, temporal crops of consecutive frames, or given indices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Choose = Callable[[int], Indices]  # from the number of stored frames to `T` indices below it


class Sampling(Protocol):
    """A choice of frames that depends on the length of the video."""

    def indices(self, total: int) -> Indices:
        """Of a video of `total` frames, at least 1: `T` indices below it, in any order, with any repetition."""


@dataclass(frozen=True)
class EquallySpaced:
    """`count` frames; see `equally_spaced`."""

    count: int

    def indices(self, total: int) -> Indices:
        """`count` indices that never decrease."""
        return equally_spaced(total, self.count)


@dataclass(frozen=True)
class AllFrames:
    """Every frame, in order."""

    def indices(self, total: int) -> Indices:
        """0 to `total` - 1."""
        return np.arange(total)


@dataclass(frozen=True)
class TemporalCrops:
    """`count` temporal crops of `length` consecutive frames; see `windows`. A frame that crops share is read once."""

    length: int
    count: int

    def indices(self, total: int) -> Indices:
        """The frames of all crops, each once, ascending."""
        return frames_of(windows(total, self.length, self.count))[0]

    def positions(self, total: int) -> NDArray[np.int64]:
        """`W T`: the frames of each crop, as positions in `indices(total)`."""
        return frames_of(windows(total, self.length, self.count))[1]


@dataclass(frozen=True, eq=False)
class FixedIndices:
    """Given indices, whatever the length of the video."""

    given: Indices

    def indices(self, total: int) -> Indices:
        """The given indices."""
        return self.given


def equally_spaced(total: int, count: int) -> Indices:
    """The centers of `count` equal parts of a video: `floor((i + 0.5) * total / count)`.

    A video shorter than `count` gives all of its frames in order, then repeats the last one, so that its speed does
    not change.

    Args:
        total: frames in the video.
        count: frames to choose.

    Returns:
        `count` frame indices, never decreasing.

    Raises:
        ValueError: `total` or `count` is below 1.
    """
    _check(total, "count", count)
    if total < count:
        return np.minimum(np.arange(count, dtype=np.int64), total - 1)
    # (2i + 1) * total // (2 * count) is the same floor without rounding errors.
    return (2 * np.arange(count, dtype=np.int64) + 1) * total // (2 * count)


def windows(total: int, length: int, count: int) -> list[Indices]:
    """`count` temporal crops of `length` consecutive frames, evenly spread over the whole video (VideoLSTM).

    Crops overlap where the video is short. In a video shorter than `length` every crop is the whole video with its last
    frame repeated.

    Args:
        total: frames in the video.
        length: frames in a crop.
        count: number of crops. A single crop is central.

    Returns:
        `count` arrays of `length` frame indices.

    Raises:
        ValueError: `total`, `length` or `count` is below 1.
    """
    _check(total, "length", length)
    _check(total, "count", count)
    free = max(total - length, 0)
    starts = [i * free // (count - 1) for i in range(count)] if count > 1 else [free // 2]
    return [np.minimum(np.arange(start, start + length, dtype=np.int64), total - 1) for start in starts]


def frames_of(windows: Sequence[Indices]) -> tuple[Indices, NDArray[np.int64]]:
    """The frames of several temporal crops, each once, ascending, `U`; and the crops as positions in these, `W T`."""
    together = np.stack(windows)
    unique, positions = np.unique(together, return_inverse=True)
    return unique, positions.reshape(together.shape)


def _check(total: int, name: str, value: int) -> None:
    if total < 1:
        raise ValueError(f"a video of {total} frames cannot be sampled, expected at least 1 frame")
    if value < 1:
        raise ValueError(f"{name} is {value}, expected at least 1")

"""Which frames of a video a model sees: equally spaced, temporal crops of consecutive frames, or given indices."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["equally_spaced"]

Indices = NDArray[np.int64]


class Sampling(Protocol):
    """A choice of frames that depends on the length of the video."""

    def indices(self, total: int) -> Indices:
        """Of a video of `total` frames, at least 1: `T` indices below it, in any order, with any repetition."""


@dataclass(frozen=True)
class EquallySpaced:
    """The centers of `count` equal parts of a video: `floor((i + 0.5) * total / count)`.

    A video shorter than `count` gives all of its frames in order, then repeats the last one, so that its speed does
    not change.

    Raises:
        ValueError: `count` is below 1.
    """

    count: int

    def __post_init__(self) -> None:
        _check(count=self.count)

    def indices(self, total: int) -> Indices:
        """`count` indices that never decrease."""
        _check(total=total)
        each = np.arange(self.count, dtype=np.int64)
        # (2i + 1) * total // (2 * count) is the same floor without rounding errors.
        return np.minimum(each, total - 1) if total < self.count else (2 * each + 1) * total // (2 * self.count)


@dataclass(frozen=True)
class AllFrames:
    """Every frame, in order."""

    def indices(self, total: int) -> Indices:
        """0 to `total` - 1."""
        return np.arange(total)


@dataclass(frozen=True, eq=False)
class FixedIndices:
    """Given indices, whatever the length of the video."""

    given: Indices

    def indices(self, total: int) -> Indices:
        """The given indices."""
        return self.given


@dataclass(frozen=True)
class TemporalCrops:
    """`count` temporal crops of `length` consecutive frames, evenly spread over the whole video (VideoLSTM).

    Crops overlap where the video is short. In a video shorter than `length` every crop is the whole video with its last
    frame repeated. A single crop is central. A frame that crops share is read once.

    Raises:
        ValueError: `length` or `count` is below 1.
    """

    length: int
    count: int

    def __post_init__(self) -> None:
        _check(length=self.length, count=self.count)

    def rows(self, total: int) -> Indices:
        """`W T`: the frames of each crop."""
        _check(total=total)
        free, last = max(total - self.length, 0), self.count - 1
        starts = np.arange(self.count, dtype=np.int64) * free // last if last else np.array([free // 2])
        return np.minimum(starts[:, None] + np.arange(self.length, dtype=np.int64), total - 1)

    def indices(self, total: int) -> Indices:
        """The frames of all crops, each once, ascending."""
        return np.unique(self.rows(total))

    def positions(self, total: int) -> Indices:
        """`W T`: the frames of each crop, as positions in `indices(total)`."""
        return np.searchsorted(self.indices(total), self.rows(total))


def equally_spaced(total: int, count: int) -> Indices:
    """`count` of the `total` frames of a video; see `EquallySpaced`."""
    return EquallySpaced(count).indices(total)


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            what = f"a video of {value} frames cannot be sampled" if name == "total" else f"{name} is {value}"
            raise ValueError(f"{what}, expected at least 1")

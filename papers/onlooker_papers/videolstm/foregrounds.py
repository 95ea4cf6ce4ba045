"""Attention maps before boxes are cut from them: upsampled, and weighted by the foreground."""

import itertools
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FOREGROUNDS", "NOISE", "Foreground", "background", "motion", "upsample"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

Foreground = Literal["none", "motion", "background", "contrast"]
NOISE = 4 / 255  # share of the full range; smaller differences are camera and codec noise


def upsample(attention: ArrayLike, size: tuple[int, int]) -> Floats:
    """Maps at the size of the frame: each cell's weight lies at its center, with linear
    interpolation between centers.

    Args:
        attention: `T h w`, not negative.
        size: H and W in pixels, at least h and w.

    Returns:
        `T H W`, each map with the same sum as its grid.
    """
    maps = np.asarray(attention, dtype=np.float32)
    large = np.stack([cv2.resize(grid, size[::-1]) for grid in maps]).astype(np.float32, copy=False)
    sums = large.sum(axis=(1, 2), keepdims=True)
    return large * np.divide(
        maps.sum(axis=(1, 2), keepdims=True), sums, out=np.zeros_like(sums), where=sums > 0
    )


def motion(frames: Pixels) -> Floats:
    """Pixels that differ from both the previous and the next frame: the smaller of the two
    differences.

    Two frames show where an object was as well as where it is; three frames separate them (Kameda
    and Minoh, *A human motion estimation method using 3-successive video frames*, 1996). The first
    and the last frame have one neighbor; a single frame has no motion. Needs a camera that stands
    still.
    """
    if len(frames) < 2:
        return np.zeros(frames.shape[:3], np.float32)
    steps = np.stack([_difference(a, b) for a, b in itertools.pairwise(frames)])
    return np.minimum(np.concatenate((steps[:1], steps)), np.concatenate((steps, steps[-1:])))


def background(frames: Pixels) -> Floats:
    """Pixels that differ from the background, the median of each pixel over the clip.

    Needs a camera that stands still and an object that leaves each place for more than half of the
    clip.
    """
    return _difference(frames, np.median(frames, axis=0))


def contrast(frames: Pixels) -> Floats:
    """Pixels that differ from the median color of their frame: for plain backgrounds, moving or
    not.
    """
    return _difference(frames, np.median(frames, axis=(1, 2), keepdims=True))


# Which pixels may belong to an object. A cell of an 8×8 map is larger than most objects in a small
# video, so boxes from the map alone have the size of its cells; a map weighted by one of these has
# the edges of the object. Each: frames `T H W C` uint8 to a difference `T H W` from 0 to 1. None:
# the map's own edges.
FOREGROUNDS: dict[Foreground, Callable[[Pixels], Floats] | None] = {
    "none": None,
    "motion": motion,
    "background": background,
    "contrast": contrast,
}


def _difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> Floats:
    """The largest difference over channels: `… C` to `…`, 0 to 1."""
    difference = np.abs(a.astype(np.float32) - b.astype(np.float32))
    largest: Floats = difference.max(axis=-1) / np.float32(255)
    return largest

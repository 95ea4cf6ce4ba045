"""Which pixels may belong to the thing that is attended to: what a coarse grid cannot say, the frames themselves do.

A cell of an 8×8 map is larger than most things in a small video, so a box from the map alone has the grid's size and
not the thing's. A map multiplied by one of these has the thing's edges.
"""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Differences below this share of the full range are a camera's and a codec's noise.
NOISE = 4 / 255


def motion(frames: Pixels) -> Floats:
    """Pixels that differ from the frame before and from the one after: the smaller of the two differences.

    Three frames tell where the thing is now from where it was and will be, which two do not (Kameda and Minoh, *A human
    motion estimation method using 3-successive video frames*, 1996). The first and the last frame have one neighbor;
    a single frame has no motion. It needs a camera that stands still.
    """
    if len(frames) < 2:
        return np.zeros(frames.shape[:3], np.float32)
    steps = np.stack([_distance(a, b) for a, b in itertools.pairwise(frames)])
    return np.minimum(np.concatenate((steps[:1], steps)), np.concatenate((steps, steps[-1:])))


def motion_so_far(frames: Pixels) -> Floats:
    """Pixels that differ from the frame before: `motion` for a stream, which has no frame after."""
    moved = np.zeros(frames.shape[:3], np.float32)
    for t in range(1, len(frames)):
        moved[t] = _distance(frames[t], frames[t - 1])
    return moved


def background(frames: Pixels) -> Floats:
    """Pixels that differ from the background, which is the median over the clip of each pixel.

    It needs a camera that stands still, and a thing that leaves each place for more than half of the clip.
    """
    return _distance(frames, np.median(frames, axis=0))


def contrast(frames: Pixels) -> Floats:
    """Pixels that differ from the median of their frame's colors: for plain backgrounds, still or not."""
    return _distance(frames, np.median(frames, axis=(1, 2), keepdims=True))


# Each: frames `T H W C` uint8 to `T H W`, how different, 0 to 1. None: the map's own edges.
FOREGROUNDS: dict[str, Callable[[Pixels], Floats] | None] = {
    "none": None,
    "motion": motion,
    "motion so far": motion_so_far,
    "background": background,
    "contrast": contrast,
}


def _distance(a: NDArray[np.generic], b: NDArray[np.generic]) -> Floats:
    """The largest difference in any channel: `… C` to `…`, 0 to 1."""
    apart = np.abs(a.astype(np.float32) - b.astype(np.float32))
    largest: Floats = apart.max(axis=-1) / np.float32(255)
    return largest

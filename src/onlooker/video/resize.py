"""From frames of any size to the small squares that a model sees, the same way for files and for live cameras."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray


def resize(pixels: NDArray[np.uint8], size: int, channels: int) -> NDArray[np.uint8]:
    """Squash whole frames to a square.

    Nothing is cropped: what happens may happen at the border, and an attention map over the square then covers the
    whole frame, so that a place on the map is a place in the video by two scale factors alone. The change of aspect
    ratio is the same in training and in use.

    Shrinking averages over areas (no aliasing), growing interpolates linearly. Where one side shrinks and the other
    grows, areas decide. Gray is the luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B.

    Args:
        pixels: `T H W 3`, RGB uint8.
        size: height and width of the result, in pixels.
        channels: 3 keeps color, 1 makes gray.

    Returns:
        `T size size C`, uint8.

    Raises:
        ValueError: for another shape or type of pixels, a size below 1, or another number of channels.
    """
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 T H W 3")
    if min(pixels.shape[1:3]) < 1:
        raise ValueError(f"pixels have shape {pixels.shape}, expected frames of at least 1x1 pixels")
    if size < 1:
        raise ValueError(f"size is {size}, expected at least 1 pixel")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}, expected 1 (gray) or 3 (color)")
    shrinks = size < pixels.shape[1] or size < pixels.shape[2]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    result = np.empty((len(pixels), size, size, channels), np.uint8)
    for frame, out in zip(pixels, result, strict=True):
        small = (
            frame if frame.shape[:2] == (size, size) else cv2.resize(frame, (size, size), interpolation=interpolation)
        )
        out[:] = small if channels == 3 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None]
    return result


def shrink_to(side: int) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """What makes frames `H W 3` smaller, in their own proportions, until the shorter side has so many pixels."""

    def shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        H, W = pixels.shape[:2]
        scale = side / min(H, W)
        if scale >= 1:
            return pixels
        return cv2.resize(pixels, (round(W * scale), round(H * scale)), interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )

    return shrink

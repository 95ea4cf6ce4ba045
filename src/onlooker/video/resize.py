"""Resizing frames: to the square that a model sees, or smaller with their aspect ratio, for files
and cameras alike.
"""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["resize"]

Pixels = NDArray[np.uint8]
Scalar = TypeVar("Scalar", np.uint8, np.float32)


def resize(pixels: Pixels, size: int, channels: int) -> Pixels:
    """Resize whole frames `T H W 3` to squares `T size size C`, uint8, without keeping their aspect
    ratio.

    Nothing is cropped: events happen at the border too, and an attention map over the square covers
    the whole frame, so that two scale factors turn a place on the map into a place in the video.
    The distortion is the same in training. One channel is gray, the luma of ITU-R BT.601: 0.299 R +
    0.587 G + 0.114 B.
    """
    color = to_square(pixels, size)
    if channels == 3:
        return color
    # The frames, stacked vertically, are converted as one image.
    gray = cv2.cvtColor(color.reshape(-1, size, 3), cv2.COLOR_RGB2GRAY)
    return gray.reshape(-1, size, size, 1).astype(np.uint8, copy=False)


def to_square(frames: NDArray[Scalar], size: int) -> NDArray[Scalar]:
    """`T H W C` to `T size size C`; C is 2 to 4.

    Shrinking averages over areas (no aliasing), growing interpolates linearly; where one side
    shrinks and the other grows, areas are averaged.
    """
    T, H, W, C = frames.shape
    result = np.empty((T, size, size, C), frames.dtype)
    interpolation = cv2.INTER_AREA if size < H or size < W else cv2.INTER_LINEAR
    for frame, out in zip(frames, result, strict=True):
        cv2.resize(frame, (size, size), out, interpolation=interpolation)
    return result


def shrink(frame: Pixels, shorter_side: int | None) -> Pixels:
    """A frame `H W 3` with its aspect ratio, its shorter side at most that many pixels; None: as it
    is.
    """
    H, W = frame.shape[:2]
    if shorter_side is None or shorter_side >= min(H, W):
        return frame
    scale = shorter_side / min(H, W)
    size = round(W * scale), round(H * scale)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)

"""Resizing frames: to the square that a model sees, or smaller with their aspect ratio, for files and cameras alike."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def resize(pixels: Pixels, size: int, channels: int) -> Pixels:
    """Resize whole frames to a square, without keeping their aspect ratio.

    Nothing is cropped: events happen at the border too, and an attention map over the square covers the whole frame, so
    that two scale factors turn a place on the map into a place in the video. Training and inference distort alike.

    Shrinking averages over areas (no aliasing), growing interpolates linearly; where one side shrinks and the other
    grows, areas are averaged. Gray is the luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B.

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
        same = frame.shape[:2] == (size, size)
        small = frame if same else cv2.resize(frame, (size, size), interpolation=interpolation)
        out[:] = small if channels == 3 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None]
    return result


def shrink(frame: Pixels, shorter_side: int | None) -> Pixels:
    """A frame `H W 3` with its aspect ratio, its shorter side at most that many pixels; None: as it is."""
    H, W = frame.shape[:2]
    if shorter_side is None or shorter_side >= min(H, W):
        return frame
    scale = shorter_side / min(H, W)
    size = round(W * scale), round(H * scale)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)

"""Whether an attention map points at the object."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["peak_in_box"]


def peak_in_box(
    attention: ArrayLike, boxes: ArrayLike, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Whether the center of the highest cell of the map lies in the frame's box.

    If several cells share the maximum, it is the share of them inside: a uniform map scores like a
    random cell.

    Args:
        attention: `B T h w`.
        boxes: `B T 4`, x1 y1 x2 y2 in pixels.
        size: height and width of the video in pixels.

    Returns:
        `B T`: 1 inside, 0 outside.
    """
    maps = np.asarray(attention, dtype=np.float64)
    (h, w) = maps.shape[2:]
    (H, W) = size
    x = (np.arange(w) + 0.5) * W / w
    y = (np.arange(h) + 0.5) * H / h
    x1, y1, x2, y2 = np.moveaxis(np.asarray(boxes, dtype=np.float64)[..., None], 2, 0)  # B T 1
    columns = (x1 <= x) & (x <= x2)
    rows = (y1 <= y) & (y <= y2)
    inside = rows[..., :, None] & columns[..., None, :]
    peak = maps.max(axis=(2, 3), keepdims=True)
    highest = maps >= peak - 1e-6 * np.abs(peak)
    shares: NDArray[np.float64] = (highest & inside).sum(axis=(2, 3)) / highest.sum(axis=(2, 3))
    return shares

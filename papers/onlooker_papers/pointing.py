"""Whether an attention map, or windows, point at objects."""

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["boxes_with_a_window", "peak_in_box"]


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
    return (highest & inside).sum(axis=(2, 3)) / highest.sum(axis=(2, 3))


def boxes_with_a_window(
    windows: ArrayLike, boxes: ArrayLike, size: tuple[int, int]
) -> NDArray[np.float64]:
    """The share of the boxes in a frame that have a separate window, under the best one-to-one
    matching.

    A window is on a box if the center of each lies inside the other. If two boxes overlap so much
    that one window is on both, the window counts for only one of them.

    Args:
        windows: `B T G 2 3`, G affine windows per frame: point (x, y) of the window, from -1 to 1,
            shows the point window · (x, y, 1) of the frame, from -1 to 1 between its edges (see
            `spatial_transform`).
        boxes: `B T n 4`, x1 y1 x2 y2 in pixels; a box with NaN is absent.
        size: height and width of the video in pixels.

    Returns:
        `B T`: the share of the present boxes; NaN for a frame without boxes. With as many windows
        as boxes, it is also the share of windows on separate boxes, and `shares == 1` marks the
        frames in which all are.
    """
    affine = np.asarray(windows, dtype=np.float64)
    given = np.asarray(boxes, dtype=np.float64)
    on = _on_each_other(affine, given, size)
    G, n = on.shape[2:]
    # All one-to-one assignments of the smaller set to the larger one.
    on = on if n >= G else on.swapaxes(2, 3)
    few = np.arange(on.shape[2])
    ways = itertools.permutations(range(on.shape[3]), len(few))
    most = np.max([on[:, :, few, list(way)].sum(axis=2) for way in ways], axis=0)
    count = np.isfinite(given).all(axis=3).sum(axis=2)
    return np.where(count > 0, most / np.maximum(count, 1), np.nan)


def _on_each_other(
    windows: NDArray[np.float64], boxes: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Whether each window is on each box: `B T G 2 3` and `B T n 4` to `B T G n`."""
    half = np.array([size[1], size[0]]) / 2
    # B T 1 n 2
    first = boxes[:, :, None, :, :2] / half - 1
    last = boxes[:, :, None, :, 2:] / half - 1
    middle = windows[..., None, :, 2]  # B T G 1 2
    in_box = ((first <= middle) & (middle <= last)).all(axis=-1)
    # The center of the box in the coordinates of the window, by Cramer's rule; a window without
    # area contains nothing.
    x, y = np.moveaxis((first + last) / 2 - middle, -1, 0)  # B T G n
    a, b, c, d = np.moveaxis(windows[..., :2].reshape(*windows.shape[:3], 1, 4), -1, 0)
    area = np.abs(a * d - b * c)
    in_window = (area > 0) & (np.abs(d * x - b * y) <= area) & (np.abs(a * y - c * x) <= area)
    return in_box & in_window

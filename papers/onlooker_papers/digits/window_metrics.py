"""How many digits have a separate window."""

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray


def boxes_with_a_window(windows: ArrayLike, boxes: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """The share of a frame's boxes with a separate window, under the best one-to-one matching.

    A window is on a box if the middle of each lies inside the other. Where two boxes overlap so much that one window is
    on both, it still counts for one of them only.

    Args:
        windows: `B T G 2 3`, G affine windows a frame: (x, y, 1) with x and y from -1 to 1 in the window is shown from
            the place window · (x, y, 1), which is -1 to 1 between the frame's edges (see `spatial_transform`).
        boxes: `B T n 4`, x1 y1 x2 y2 in pixels; a box with NaN is absent.
        size: height and width of the video in pixels.

    Returns:
        `B T`: the share of the boxes that are present; NaN at a frame without any. With as many windows as boxes it is
        the share of windows on separate boxes too; its mean is over frames, and `(shares == 1)` are the frames
        where all are.
    """
    affine, given = np.asarray(windows, dtype=np.float64), np.asarray(boxes, dtype=np.float64)
    fits = affine.ndim == 5 and affine.shape[3:] == (2, 3) and given.ndim == 4 and given.shape[3] == 4
    if not fits or affine.shape[:2] != given.shape[:2]:
        raise ValueError(
            f"windows have shape {affine.shape} and boxes {given.shape}, expected B T G 2 3 and B T n 4 of the same B T"
        )
    on = _on_each_other(affine, given, size)
    G, n = on.shape[2:]
    # Every way to give the fewer ones a partner among the others each.
    on = on if n >= G else on.swapaxes(2, 3)
    few = np.arange(on.shape[2])
    ways = itertools.permutations(range(on.shape[3]), len(few))
    most = np.max([on[:, :, few, list(way)].sum(axis=2) for way in ways], axis=0)
    count = np.isfinite(given).all(axis=3).sum(axis=2)
    return np.where(count > 0, most / np.maximum(count, 1), np.nan)


def _on_each_other(
    windows: NDArray[np.float64], boxes: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which window is on which box: `B T G 2 3` and `B T n 4` to `B T G n`."""
    half = np.array([size[1], size[0]]) / 2
    first, last = boxes[:, :, None, :, :2] / half - 1, boxes[:, :, None, :, 2:] / half - 1  # B T 1 n 2
    middle = windows[..., None, :, 2]  # B T G 1 2
    in_box = ((first <= middle) & (middle <= last)).all(axis=-1)
    # The box's middle in the coordinates of the window, by Cramer's rule; a window without area holds nothing.
    x, y = np.moveaxis((first + last) / 2 - middle, -1, 0)  # B T G n
    a, b, c, d = np.moveaxis(windows[..., :2].reshape(*windows.shape[:3], 1, 4), -1, 0)
    area = np.abs(a * d - b * c)
    in_window = (area > 0) & (np.abs(d * x - b * y) <= area) & (np.abs(a * y - c * x) <= area)
    found: NDArray[np.bool_] = in_box & in_window
    return found

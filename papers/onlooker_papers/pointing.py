"""Whether an attention map points at the object."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["peak_in_box", "uniform_in_box"]


def peak_in_box(
    attention: ArrayLike, boxes: ArrayLike, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Whether the center of the highest cell of the map lies in any of the frame's boxes.

    If several cells share the maximum, it is the share of them inside, so a uniform map scores like
    `uniform_in_box`.

    Args:
        attention: `B T h w`.
        boxes: `B T n 4`, x1 y1 x2 y2 in pixels; a box with NaN is absent.
        size: height and width of the video in pixels.

    Returns:
        `B T`: 1 inside, 0 outside, NaN at a frame without any box. `np.nanmean` leaves those out.
    """
    maps = np.asarray(attention, dtype=np.float64)
    given = np.asarray(boxes, dtype=np.float64)
    if maps.ndim != 4 or maps.shape[:2] != given.shape[:2]:
        raise ValueError(
            f"attention has shape {maps.shape} and boxes {given.shape}, expected B T h w and B T n 4 of the same B T"
        )
    inside = _cells_in_boxes(given, (maps.shape[2], maps.shape[3]), size)
    peak = maps.max(axis=(2, 3), keepdims=True)
    highest = maps >= peak - 1e-6 * np.abs(peak)
    return _left_out((highest & inside).sum(axis=(2, 3)) / highest.sum(axis=(2, 3)), given)


def uniform_in_box(
    boxes: ArrayLike, grid: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.float64]:
    """The chance level of `peak_in_box`: the share of cells whose center lies in any of the frame's
    boxes.

    Args:
        boxes: `B T n 4`, x1 y1 x2 y2 in pixels; a box with NaN is absent.
        grid: `(h, w)` of the attention that it is compared with.
        size: height and width of the video in pixels.

    Returns:
        `B T`, NaN at a frame without any box.
    """
    given = np.asarray(boxes, dtype=np.float64)
    return _left_out(_cells_in_boxes(given, grid, size).mean(axis=(2, 3)), given)


def _cells_in_boxes(
    boxes: NDArray[np.float64], grid: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Cells whose center lies in any of a frame's boxes: `B T n 4` to `B T h w`."""
    (h, w) = grid
    (H, W) = size
    if boxes.ndim != 4 or boxes.shape[-1] != 4:
        raise ValueError(
            f"boxes have shape {boxes.shape}, expected B T n 4 (x1 y1 x2 y2 in pixels, NaN where absent)"
        )
    x = (np.arange(w) + 0.5) * W / w
    y = (np.arange(h) + 0.5) * H / h
    x1, y1, x2, y2 = np.moveaxis(boxes[..., None, :], -1, 0)  # each B T n 1
    # A comparison with NaN is false: an absent box holds nothing.
    columns = (x1 <= x) & (x <= x2)
    rows = (y1 <= y) & (y <= y2)
    return (rows[..., :, None] & columns[..., None, :]).any(axis=2)


def _left_out(values: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    present = np.isfinite(boxes).all(axis=-1).any(axis=-1)
    return np.where(present, values, np.nan)

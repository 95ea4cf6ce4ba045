"""Attention and scores made steady over time, and maps brought to the size of the frame."""

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

UPSAMPLINGS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def smooth(values: ArrayLike, frames: float, causal: bool = False) -> Floats:
    """Values steadied over time; what does not change stays as it is, also at both ends.

    Args:
        values: `T …`, one array a frame, such as attention `T h w` or scores `T K`.
        frames: how far: the standard deviation of a Gaussian centerd on the frame, whose weights are divided by their
            sum within the clip; or, causal, the time constant of `smooth_step`. 0: nothing is changed.
        causal: a frame knows only itself and those before it, as in a stream.

    Raises:
        ValueError: no frames, or `frames` is negative or not finite.
    """
    given = np.asarray(values, dtype=np.float32)
    if not given.ndim or not len(given):
        raise ValueError(f"values have shape {given.shape}, expected T …, at least one frame")
    _check(frames)
    if frames == 0:
        return given
    if causal:
        steady = [smooth_step(None, given[0], frames)]
        for value in given[1:]:
            steady.append(smooth_step(steady[-1], value, frames))
        return np.stack(steady)
    apart = np.subtract.outer(np.arange(len(given)), np.arange(len(given)))
    weights = np.exp(-0.5 * (apart / frames) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.tensordot(weights.astype(np.float32), given, axes=1)


def smooth_step(before: Floats | None, value: ArrayLike, frames: float) -> Floats:
    """One frame of exponential smoothing: the steady value that follows `before`.

    y_t = y_(t-1) + (1 - exp(-1 / frames)) (x_t - y_(t-1)), and y_0 = x_0.

    Args:
        before: what this function gave for the frame before; None at the first.
        value: of this frame, of any shape.
        frames: the time constant: after so many frames 1/e of an old value is left. 0: `value` itself.

    Raises:
        ValueError: `frames` is negative or not finite.
    """
    _check(frames)
    now = np.asarray(value, dtype=np.float32)
    if before is None or frames == 0:
        return now
    return before + np.float32(-math.expm1(-1 / frames)) * (now - before)


def _check(frames: float) -> None:
    if not 0 <= frames < math.inf:
        raise ValueError(f"smoothing over {frames} frames, expected 0 (none) or more")


def upsample(attention: ArrayLike, size: tuple[int, int], method: str = "bilinear") -> Floats:
    """Maps at the size of the frame: a cell's weight is that of its center, and between centers it is interpolated.

    Args:
        attention: `T h w`, not negative.
        size: H and W, in pixels, at least h and w.
        method: one of `UPSAMPLINGS`. What a bicubic swings below zero is set to zero.

    Returns:
        `T H W`, each map with the sum that it had on the grid.

    Raises:
        ValueError: another shape, a size below the grid's, values that are negative or not finite, an unknown method.
    """
    maps = np.asarray(attention, dtype=np.float32)
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"attention has shape {maps.shape}, expected T h w with something in it")
    if not np.isfinite(maps).all() or maps.min() < 0:
        raise ValueError("attention has values that are negative or not finite, expected weights that sum to one")
    if size[0] < maps.shape[1] or size[1] < maps.shape[2]:
        raise ValueError(f"size is {size}, expected at least the grid's {maps.shape[1:]}")
    if method not in UPSAMPLINGS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(UPSAMPLINGS)}")
    large = np.empty((len(maps), *size), np.float32)
    for out, small in zip(large, maps, strict=True):
        out[:] = cv2.resize(small, size[::-1], interpolation=UPSAMPLINGS[method])
    np.maximum(large, 0, out=large)
    sums = large.sum(axis=(1, 2), keepdims=True)
    return large * np.divide(maps.sum(axis=(1, 2), keepdims=True), sums, out=np.zeros_like(sums), where=sums > 0)

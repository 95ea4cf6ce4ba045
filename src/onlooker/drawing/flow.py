"""Optical flow as colors: the hue is the direction, the saturation the speed, white is no motion."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from onlooker.video.resize import Pixels

__all__ = ["flow_colors"]


_FLOOR = 1.0  # pixels; smaller flow is noise, and is not amplified to full color
_RADIUS = 0.96  # of the disc of the legend, as a share of its square


def strongest_motion(flow: ArrayLike) -> float:
    """The speed that `flow_colors` shows in full color: max(99th percentile of speeds, 1 pixel), of flow `… H W 2`.

    One scale for all frames makes their colors comparable. It is a percentile, because a few outliers would make the
    rest pale. It has a floor, because a still scene should look still.
    """
    return float(max(np.quantile(np.linalg.norm(_checked(flow), axis=-1), 0.99), _FLOOR))


def flow_colors(flow: ArrayLike, strongest: float | None = None) -> Pixels:
    """Flow in the colors of the Middlebury benchmark (Baker et al. 2007), by `torchvision.utils.flow_to_image`.

    Args:
        flow: `H W 2` or `T H W 2`, x and y of the displacement, x to the right, y down.
        strongest: vectors of this length or more, in the units of `flow`, are shown in full color; None:
            `strongest_motion(flow)`.

    Returns:
        `H W 3` or `T H W 3`, uint8 RGB.
    """
    from torchvision.utils import flow_to_image

    vectors = _checked(flow)
    full = strongest_motion(vectors) if strongest is None else strongest
    if not full > 0:
        raise ValueError(f"strongest is {full}, expected a positive length")
    field = vectors / np.float32(full)
    field /= np.maximum(np.linalg.norm(field, axis=-1, keepdims=True), 1)
    # flow_to_image scales by the longest vector, so an additional row with vectors of full length is appended.
    longest = np.broadcast_to(np.array([1, 0], np.float32), (*field.shape[:-3], 1, *field.shape[-2:]))
    colors = flow_to_image(torch.from_numpy(np.concatenate([field, longest], -3)).movedim(-1, -3))
    return np.ascontiguousarray(colors.movedim(-3, -1)[..., :-1, :, :].numpy())


def color_wheel(size: int = 128) -> Pixels:
    """A legend, `size size 3`: on a white disc, each point has the color of motion from the center to it."""
    y, x = (np.mgrid[:size, :size] + 0.5) / (size / 2) - 1
    disc = flow_colors(np.stack([x, y], -1), _RADIUS)
    disc[np.hypot(x, y) > _RADIUS] = 255
    return disc


def with_wheel(image: Pixels) -> Pixels:
    """An image of flow, `H W 3`, with the legend of its colors in the lower right corner, if it is large enough."""
    size = min(image.shape[:2]) // 4
    if size < 8:
        return image
    image = image.copy()
    image[-size:, -size:] = color_wheel(size)
    return image


def _checked(flow: ArrayLike) -> NDArray[np.float32]:
    vectors = np.asarray(flow)
    if vectors.ndim not in (3, 4) or vectors.shape[-1] != 2 or not vectors.size:
        raise ValueError(f"flow has shape {vectors.shape}, expected H W 2 or T H W 2, not empty")
    if vectors.dtype.kind != "f":
        raise ValueError(f"flow is {vectors.dtype}, expected displacements in pixels; to_pixels makes them from bytes")
    if not np.isfinite(vectors).all():
        raise ValueError("flow has values that are not finite, expected displacements in pixels")
    return vectors.astype(np.float32, copy=False)

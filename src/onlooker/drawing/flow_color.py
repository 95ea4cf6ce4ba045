"""Optical flow as color: the hue says where to, the strength how far, white is rest."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.drawing.text import INK, line_height, text_width, write

__all__ = ["flow_colors"]

Pixels = NDArray[np.uint8]

# The wheel of Baker et al. 2007 (the Middlebury benchmark), from red over yellow, green, cyan, blue and magenta back to
# red: the steps that each sixth takes, more of them where the eye tells more hues.
_STEPS = (15, 6, 4, 11, 13, 6)
# Theirs are the screen's own, pure; these are the same hues, toned so that none outshines the others on white.
_CORNERS = ((226, 40, 58), (250, 198, 24), (70, 178, 74), (24, 184, 206), (44, 82, 214), (196, 58, 196))
# Flow below this many pixels is noise, and is not blown up to full color.
_FLOOR = 1.0
# The share of its square that the legend's disc fills.
_REACH = 0.96


def _wheel() -> NDArray[np.float32]:
    """`55 3`, the colors of directions, clockwise on a screen: red to the right, yellow down, cyan left, blue up."""
    following = (*_CORNERS[1:], _CORNERS[0])
    parts = [
        np.linspace(first, second, steps, endpoint=False)
        for first, second, steps in zip(_CORNERS, following, _STEPS, strict=True)
    ]
    return np.concatenate(parts).astype(np.float32)


_WHEEL = _wheel()


def strongest_motion(flow: ArrayLike) -> float:
    """The speed that `flow_colors` shows in full color: max(99th percentile of speeds, 1 pixel).

    One scale for all frames, so that colors mean the same in each; a percentile, so that a few wrong places do not
    bleach the rest; a floor, so that a still scene looks still.

    Args:
        flow: `… H W 2`, pixels.
    """
    speeds = np.hypot(*np.moveaxis(_checked(flow), -1, 0))
    return float(max(np.quantile(speeds, 0.99), _FLOOR))


def flow_colors(flow: ArrayLike, strongest: float | None = None) -> Pixels:
    """Each direction in its hue, paler the slower it is; the hues of the Middlebury benchmark.

    Args:
        flow: `… H W 2`, x and y of the displacement, x to the right, y down.
        strongest: the length in the units of `flow` that is shown in full color, as is everything longer; None:
            `strongest_motion(flow)`.

    Returns:
        `… H W 3`, uint8 RGB.
    """
    moved = _checked(flow)
    full = strongest_motion(moved) if strongest is None else strongest
    if not full > 0:
        raise ValueError(f"strongest is {full}, expected a positive length")
    H, W = moved.shape[-3:-1]
    # One at a time: what is computed on the way is many times as large as a frame.
    drawn = [_colored(field / np.float32(full)) for field in moved.reshape(-1, H, W, 2)]
    return np.stack(drawn).reshape(*moved.shape[:-1], 3)


def _colored(moved: NDArray[np.float32]) -> Pixels:
    """`H W 2`, of length 1 in full color, to `H W 3`."""
    x, y = moved[..., 0], moved[..., 1]
    place = np.arctan2(y, x) / np.float32(2 * np.pi) % 1 * len(_WHEEL)
    before = place.astype(np.int64)
    share = (place - before)[..., None]
    hue = _WHEEL[before % len(_WHEEL)] * (1 - share) + _WHEEL[(before + 1) % len(_WHEEL)] * share
    length = np.minimum(np.hypot(x, y), 1)[..., None]
    return np.rint(255 - length * (255 - hue)).astype(np.uint8)


def color_wheel(size: int = 128, strongest: float | None = None) -> Pixels:
    """What the colors mean: from the middle of a disc on white, each place has the color of moving there.

    Args:
        size: height and width in pixels.
        strongest: the length at the rim in pixels, written below; None: nothing is written.

    Returns:
        `size size 3`, uint8 RGB.
    """
    if size < 16:
        raise ValueError(f"size is {size}, expected at least 16 pixels")
    height = max(9, size // 12) if strongest is not None else 0
    across = size - line_height(height)
    # Drawn four times as large, for a smooth rim.
    y, x = (np.mgrid[: 4 * across, : 4 * across] + 0.5) / (2 * across) - 1
    disc = flow_colors(np.stack([x, y], -1), _REACH)
    disc[np.hypot(x, y) > _REACH] = 255
    picture = np.full((size, size, 3), 255, np.uint8)
    left = (size - across) // 2
    picture[:across, left : left + across] = cv2.resize(disc, (across, across), interpolation=cv2.INTER_AREA)
    if strongest is not None:
        text = f"{strongest:.3g} px"
        write(picture, text, ((size - text_width(text, height)) // 2, across), height, INK, outline=None)
    return picture


def with_wheel(drawn: Pixels) -> Pixels:
    """A picture of flow, `H W 3`, with the wheel that says what its colors mean in the lower right corner."""
    size = max(16, min(drawn.shape[:2]) // 4)
    if size > min(drawn.shape[:2]):
        return drawn
    picture = drawn.copy()
    picture[-size:, -size:] = color_wheel(size)
    return picture


def _checked(flow: ArrayLike) -> NDArray[np.float32]:
    moved = np.asarray(flow)
    if moved.ndim < 3 or moved.shape[-1] != 2 or not moved.size:
        raise ValueError(f"flow has shape {moved.shape}, expected H W 2 or T H W 2 with something in it")
    if moved.dtype.kind != "f":
        raise ValueError(f"flow is {moved.dtype}, expected displacements in pixels; to_pixels makes them from bytes")
    if not np.isfinite(moved).all():
        raise ValueError("flow has values that are not finite, expected displacements in pixels")
    return moved.astype(np.float32, copy=False)

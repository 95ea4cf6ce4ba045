"""Where maps point, if several things move: into the box of the target, or only into that of another one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onlooker.localization.boxes import cut_boxes, find_boxes
from onlooker.localization.maps import motion
from onlooker.localization.parameters import LocalizationParameters

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


def map_points(
    maps: NDArray[np.float32], images: Images, how: LocalizationParameters | None = None
) -> NDArray[np.float64]:
    """The most attended pixel of each map, upsampled.

    Args:
        maps: `B T h w`.
        images: `B T H W C`, whose size the points refer to.
        how: smoothing over time, and the foreground that the map is multiplied by; None: neither.

    Returns:
        x and y in pixels, `B T 2`.
    """
    how = how or LocalizationParameters()
    found = [find_boxes(of_clip, pixels, how) for of_clip, pixels in zip(maps, images, strict=True)]
    return np.array([[each.point for each in of_clip] for of_clip in found])


def motion_points(images: Images) -> NDArray[np.float64]:
    """A point in the largest region that moves, without a model: `B T 2`."""
    found = [cut_boxes(motion(pixels), LocalizationParameters()) for pixels in images]
    return np.array([[each.point for each in of_clip] for of_clip in found])


def pointing(points: NDArray[np.float64], boxes: NDArray[np.float32]) -> dict[str, float]:
    """The shares of frames whose point is in the box of the target, and only in the box of another thing.

    Args:
        points: `B T 2`.
        boxes: `B T m 4`, the target first. Frames in which the target's box is NaN do not count.
    """
    at = points[:, :, None]
    inside = np.all((boxes[..., :2] <= at) & (at <= boxes[..., 2:]), axis=-1)  # B T m
    target, others = inside[:, :, 0], inside[:, :, 1:].any(-1)
    counts = np.isfinite(boxes[:, :, 0]).all(-1)
    return {"target": float(target[counts].mean()), "other": float((others & ~target)[counts].mean())}

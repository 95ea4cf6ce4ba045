"""A square crop that follows motion, so that a small moving object fills the sample; computed, not learned.

The camera must stand still. Crop boxes are `x1 y1 x2 y2` as fractions of the frame's width and height, so they hold at
every resolution of the frame; they are square in pixels and lie inside the frame.
"""

import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.video.resize import Pixels

Floats = NDArray[np.float32]

# Gray-value differences, out of 255, up to this value are noise of the camera and the codec.
_NOISE = 8.0
_MEMORY = 2.0  # frames: width of the Gaussian over time


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop box per frame: cuts frames, and maps what is found in the crops back to the frames.

    Args:
        boxes: `T 4`, all of one size.
        size: height and width of the frames, in pixels: the finest grid that `to_frame` returns.
    """

    boxes: Floats
    size: tuple[int, int]

    def at(self, places: NDArray[np.int64]) -> "Crop":
        """The crops of some of the frames, given by their positions among the `T`."""
        return replace(self, boxes=self.boxes[places])

    def cut(self, frames: Pixels, size: int) -> Pixels:
        """Crop and resize frames `T H W C` (RGB or flow as bytes) to `T size size C`, with linear interpolation."""
        H, W, C = frames.shape[1:]
        result = np.empty((len(frames), size, size, C), np.uint8)
        boxes = self.boxes.astype(np.float64) * [W, H, W, H]
        for frame, (x1, y1, x2, y2), out in zip(frames, boxes, result, strict=True):
            dx, dy = (x2 - x1) / size, (y2 - y1) / size
            to_source = np.array([[dx, 0, x1 + dx / 2 - 0.5], [0, dy, y1 + dy / 2 - 0.5]])
            for first in range(0, C, 4):  # OpenCV warps at most four channels
                part = np.ascontiguousarray(frame[..., first : first + 4])
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                warped = cv2.warpAffine(part, to_source, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
                out[..., first : first + 4] = warped.reshape(size, size, -1)
        return result

    def to_frame(self, maps: Floats) -> Floats:
        """Maps over the crops, `T h w`, as maps over the whole frames, zero outside the crops; each sums to one.

        A cell of the result is half as wide and high as a cell of `maps`, but at least a pixel.
        """
        h, w = maps.shape[1:]
        width, height = (self.boxes[0, 2:] - self.boxes[0, :2]).tolist()
        grid = min(round(2 * h / height), self.size[0]), min(round(2 * w / width), self.size[1])
        y, x = ((np.arange(n) + 0.5) / n for n in grid)  # cell centers
        result = np.empty((len(maps), *grid), np.float32)
        for small, (x1, y1, x2, y2), large in zip(maps, self.boxes, result, strict=True):
            u, v = (x - x1) / (x2 - x1), (y - y1) / (y2 - y1)
            columns, rows = np.meshgrid((u * w - 0.5).astype(np.float32), (v * h - 0.5).astype(np.float32))
            inside = ((v >= 0) & (v <= 1))[:, None] & ((u >= 0) & (u <= 1))
            sampled = cv2.remap(small, columns, rows, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
            large[:] = np.where(inside, sampled, 0)
        return result / result.sum((1, 2), keepdims=True)


def motion_crop(frames: Pixels, fraction: float) -> Crop:
    """The crops of a clip, `T H W 3`, whose side is a `fraction` (up to 1) of the frame's shorter side.

    The motion of frame t is its three-frame difference (Kameda and Minoh 1996): what differs from both the previous and
    the next frame. Its center c_t is the mean position of these pixels within the box that contains most of them, and
    e_t is the fraction of the box that they fill. Centers are smoothed over time, because objects pause and differences
    are noisy; the center of the crop is

        Σ_u g(t - u) e_u c_u / Σ_u g(t - u) e_u,  g(d) = exp(-d² / 8)

    or the center of the frame where nothing moves in the whole clip.
    """
    H, W = frames.shape[1:3]
    side = fraction * min(H, W)
    grays = [_gray(frame) for frame in frames]
    steps = [np.abs(b - a) for a, b in itertools.pairwise(grays)]
    motion = np.zeros((len(frames), 3))
    for t in range(len(frames) if steps else 0):
        motion[t] = _center(np.minimum(steps[max(t - 1, 0)], steps[min(t, len(steps) - 1)]), side)
    squares = np.subtract.outer(np.arange(len(frames)), np.arange(len(frames))) ** 2 / (2 * _MEMORY**2)
    if (moves := motion[:, 2] > 0).any():
        # After a long pause every weight would underflow; weights relative to the nearest motion do not.
        squares = squares - squares[:, moves].min(1, keepdims=True)
    weights = np.where(moves, np.exp(-np.maximum(squares, 0)), 0)
    return Crop(np.stack([_box(moved, side, H, W) for moved in weights @ motion]), (H, W))


def _gray(frame: Pixels) -> Floats:
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.blur(gray, (3, 3)).astype(np.float32, copy=False)


def _center(difference: Floats, side: float) -> NDArray[np.float64]:
    """The motion within the box that contains most of it: e c (x and y) and e; see `motion_crop`."""
    difference = np.where(difference > _NOISE, difference, 0)
    if not difference.any():
        return np.zeros(3)
    kernel = max(1, round(side)) // 2 * 2 + 1
    sums = cv2.boxFilter(difference, -1, (kernel, kernel), normalize=False, borderType=cv2.BORDER_CONSTANT)
    # Many boxes may contain all of the motion; the mean position inside does not depend on which one is taken.
    y, x = divmod(int(sums.argmax()), sums.shape[1])
    half = kernel // 2
    top, left = max(y - half, 0), max(x - half, 0)
    inside = difference[top : y + half + 1, left : x + half + 1]
    rows, columns = np.arange(top, top + inside.shape[0]) + 0.5, np.arange(left, left + inside.shape[1]) + 0.5
    total = inside.sum()
    filled = float((inside > 0).mean())
    return np.array([inside.sum(0) @ columns / total * filled, inside.sum(1) @ rows / total * filled, filled])


def _box(moved: NDArray[np.float64], side: float, H: int, W: int) -> Floats:
    x, y = moved[:2] / moved[2] if moved[2] > 0 else (W / 2, H / 2)
    x, y = np.clip(x, side / 2, W - side / 2), np.clip(y, side / 2, H - side / 2)
    return np.array([(x - side / 2) / W, (y - side / 2) / H, (x + side / 2) / W, (y + side / 2) / H], np.float32)

"""Drawing of figures with smooth edges, and of their background."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.data.figure_motion import JOINTS, Floats

Pixels = NDArray[np.uint8]
Color = tuple[float, float, float]
Place = tuple[float, float]
Layer = NDArray[np.float32]  # in front of an image: `H W 4`, color times alpha (0 to 255), and alpha from 0 to 1

_FINER = 4  # supersampling along each axis
_SHIFT = 4  # fractional bits of coordinates in OpenCV
_FAR, _RIM = 0.74, 0.42  # brightness of the far limbs, and of outlines
_OUTLINE = 0.009  # width, as a share of the height of the body
REACH = 0.1  # largest distance from a joint to the edge of what is drawn around it, as a share of the height


@dataclass(frozen=True)
class Look:
    """Colors from 0 to 255, and the thickness of the limbs as a factor."""

    skin: Color
    hair: Color
    shirt: Color
    trousers: Color
    shoes: Color
    thickness: float = 1.0


# Of each part of the body two discs, whose convex hull it is: their joints, their radii as shares of the height of the
# body, and the color in `Look`.
_ARM = (
    ("shoulder", "elbow", 0.031, 0.026, "shirt"),
    ("elbow", "hand", 0.024, 0.018, "skin"),
    ("hand", "hand", 0.025, 0.025, "skin"),
)
_LEG = (
    ("hip", "knee", 0.047, 0.035, "trousers"),
    ("knee", "ankle", 0.035, 0.026, "trousers"),
    ("ankle", "toe", 0.03, 0.022, "shoes"),
)
_TRUNK = (("pelvis", "neck", 0.056, 0.064, "shirt"), ("neck", "head", 0.028, 0.028, "skin"))
_HEAD = 0.068
# From far to near; the head is in front of the trunk.
_BEHIND = (("far ", _ARM, _FAR), ("far ", _LEG, _FAR), ("near ", _LEG, 1.0), ("", _TRUNK, 1.0))


def over(layer: Layer, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image `H W 3` with a layer in front of it."""
    return layer[..., :3] + (1 - layer[..., 3:]) * image


def box_of(layer: Layer) -> tuple[float, float, float, float]:
    """The smallest rectangle around all pixels with alpha above 0: `x1 y1 x2 y2`."""
    rows, columns = (np.flatnonzero((layer[..., 3] > 0).any(axis)) for axis in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


class _Canvas:
    """Discs and their convex hulls in a frame, drawn with supersampling."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, self.corners = size, list[Place]()  # of rectangles around the discs
        self.fine = np.zeros((size[0] * _FINER, size[1] * _FINER, 4), np.uint8)

    def disc(self, center: Place, radius: float, color: Color) -> None:
        self.corners += [(center[0] - radius, center[1] - radius), (center[0] + radius, center[1] + radius)]
        thick = round(radius * _FINER * 2**_SHIFT)
        cv2.circle(self.fine, _fixed(*center), thick, (*color, 255), cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def capsule(self, start: Place, end: Place, radii: tuple[float, float], color: Color) -> None:
        (x, y), (u, v), (r, q) = start, end, radii
        length = math.hypot(u - x, v - y)
        if length > 1e-6:
            ax, ay = (y - v) / length, (u - x) / length
            outline = (
                (x + ax * r, y + ay * r),
                (u + ax * q, v + ay * q),
                (u - ax * q, v - ay * q),
                (x - ax * r, y - ay * r),
            )
            corners = np.array([_fixed(*corner) for corner in outline], np.int32)
            cv2.fillConvexPoly(self.fine, corners, (*color, 255), cv2.LINE_AA, _SHIFT)
        self.disc(start, radii[0], color)
        self.disc(end, radii[1], color)

    def layer(self) -> Layer:
        # Most of a frame is empty: only the rectangle around all discs, with a margin for smooth edges, is resized.
        limit, values = self.size[::-1], np.zeros((*self.size, 4), np.float32)
        left, top = np.clip(np.floor(np.min(self.corners, 0)).astype(int) - 1, 0, np.subtract(limit, 1))
        right, bottom = np.clip(np.ceil(np.max(self.corners, 0)).astype(int) + 1, (left + 1, top + 1), limit)
        drawn = self.fine[top * _FINER : bottom * _FINER, left * _FINER : right * _FINER]
        part = values[top:bottom, left:right]
        part[:] = cv2.resize(drawn, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        part[..., 3] /= 255
        return values


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point in OpenCV's fixed-point coordinates, where centers of pixels are integers."""
    return round((x * _FINER - 0.5) * 2**_SHIFT), round((y * _FINER - 0.5) * 2**_SHIFT)


def draw_figure(joints: Floats, height: float, look: Look, facing: int, size: tuple[int, int]) -> Layer:
    """Draw one figure.

    Args:
        joints: `J 2`, x and y in pixels.
        height: of the body, in pixels.
        facing: 1: right, -1: left.
        size: H and W of the frame.
    """
    canvas = _Canvas(size)
    at: dict[str, Place] = {name: (x, y) for name, (x, y) in zip(JOINTS, joints.tolist(), strict=True)}

    def draw(side: str, parts: tuple[tuple[str, str, float, float, str], ...], shade: float) -> None:
        for grown, dark in ((_OUTLINE, _RIM), (0.0, 1.0)):  # outlines are behind the whole limb
            for start, end, *radii, name in parts:
                first, last = ((radius * look.thickness + grown) * height for radius in radii)
                color = _shaded(getattr(look, name), shade * dark)
                canvas.capsule(at[side + start], at[side + end], (first, last), color)

    for behind in _BEHIND:
        draw(*behind)
    _draw_head(canvas, at["neck"], at["head"], height, look, facing)
    draw("near ", _ARM, 1.0)
    return canvas.layer()


def _draw_head(canvas: _Canvas, neck: Place, head: Place, height: float, look: Look, facing: int) -> None:
    x, y, radius = head[0] - neck[0], head[1] - neck[1], _HEAD * height
    unit = radius / math.hypot(x, y)
    up_x, up_y = x * unit, y * unit
    # Discs: how far forward and upward from the center of the head, and their size, in radii of the head.
    skull = (0.98, -0.12, 0.22, look.skin), (0.0, 0.0, 1.0, look.skin), (-0.22, 0.3, 0.86, look.hair)
    face = (0.4, -0.2, 0.68, look.skin), (0.55, 0.05, 0.13, (30.0, 25.0, 25.0))
    for discs, grown, shade in ((skull, _OUTLINE * height, _RIM), (skull, 0.0, 1.0), (face, 0.0, 1.0)):
        for forward, upward, size, color in discs:
            aside = forward * facing
            center = head[0] + upward * up_x - aside * up_y, head[1] + upward * up_y + aside * up_x
            canvas.disc(center, size * radius + grown, _shaded(color, shade))


def _shaded(color: Color, factor: float) -> Color:
    red, green, blue = color
    return red * factor, green * factor, blue * factor


def draw_stool(x: float, ground: float, height: float, width: float, size: tuple[int, int]) -> Layer:
    """A stool from the side, centered at x; all in pixels."""
    seat, thin, canvas = ground - height, max(width * 0.05, 0.8), _Canvas(size)
    for color, grown in (((52.0, 38.0, 28.0), 0.6), ((138.0, 102.0, 70.0), 0.0)):
        for side in (-1, 1):
            foot, top = (x + side * width * 0.45, ground - thin), (x + side * width * 0.3, seat)
            canvas.capsule(foot, top, (thin + grown, thin + grown), color)
        board = 1.4 * thin + grown
        canvas.capsule((x - width / 2, seat + thin), (x + width / 2, seat + thin), (board, board), color)
    return canvas.layer()


def draw_shadow(image: NDArray[np.float32], x: float, ground: float, width: float) -> NDArray[np.float32]:
    """A copy of the image `H W 3` with a soft shadow on the ground; all in pixels."""
    top = max(0, math.floor(ground - 0.4 * width))
    columns, rows = np.arange(image.shape[1]) + 0.5, np.arange(top, image.shape[0]) + 0.5
    away = ((columns - x) / width)[None] ** 2 + ((rows - ground) / (0.16 * width))[:, None] ** 2
    darker = image.copy()
    darker[top:] *= (1 - 0.45 * np.exp(-2 * away)).astype(np.float32)[..., None]
    return darker


def draw_room(size: tuple[int, int], horizon: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A room, `H W 3` from 0 to 255: gradients for wall and floor (from row `horizon` on), texture, objects."""
    height, width = size
    image = np.empty((height, width, 3), np.float32)
    split = round(horizon)
    tone = rng.uniform(105, 205)
    for part, level in ((slice(0, split), tone), (slice(split, height), tone * rng.uniform(0.55, 0.8))):
        first, last = (level * rng.uniform(0.8, 1.15) + rng.uniform(-32, 32, 3) for _ in range(2))
        # A gradient in any direction.
        slope = rng.normal(size=2)
        rows, columns = np.mgrid[0 : image[part].shape[0], 0:width]
        ramp = slope[0] * rows / height + slope[1] * columns / width
        ramp = (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)
        image[part] = first + ramp[..., None] * (last - first)
    objects = np.clip(image, 0, 255).astype(np.uint8)  # OpenCV draws smooth edges only in uint8
    for _ in range(int(rng.integers(3, 8))):
        _draw_object(objects, horizon, rng)
    image = objects.astype(np.float32)
    for cells, strength in ((7, 5.0), (40, 3.5)):
        noise = rng.normal(0, strength, (max(2, height * cells // width), cells)).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.clip(image, 0, 255, out=image)


def _draw_object(image: Pixels, horizon: float, rng: np.random.Generator) -> None:
    """A picture frame on the wall, a box or a ball on the floor, a pole, or a cable."""
    height, width = image.shape[:2]
    color = tuple(float(c) for c in np.clip(rng.uniform(40, 215) + rng.uniform(-45, 45, 3), 0, 255))
    edge = tuple(c * 0.6 for c in color)
    x = rng.uniform(0, width)
    w, h = rng.uniform(0.05, 0.18, 2) * width
    kind = str(rng.choice(["frame", "box", "ball", "pole", "cable"]))
    floor = horizon + rng.uniform(0.0, 0.3) * (height - horizon)
    boxes = {
        "frame": (x, rng.uniform(0.08, 0.7) * horizon, w, h),
        "box": (x, floor - h, w, h),
        "pole": (x, floor - 0.75 * horizon, 0.012 * width, 0.75 * horizon),
    }
    if kind in boxes:
        left, top, w, h = boxes[kind]
        corners = (round(left), round(top)), (round(left + w), round(top + h))
        cv2.rectangle(image, *corners, color, cv2.FILLED)
        cv2.rectangle(image, *corners, edge, 1, cv2.LINE_AA)
    elif kind == "ball":
        center = (round(x), round(floor - w / 2))
        cv2.circle(image, center, round(w / 2), color, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(image, center, round(w / 2), edge, 1, cv2.LINE_AA)
    else:
        sag = np.abs(np.sin(np.pi * (np.linspace(0, 1, 33) * width + x) / (4 * w)))  # suspended at equal distances
        points = np.stack([np.linspace(0, width, 33), h * (0.3 + 0.4 * sag)], 1)
        cv2.polylines(image, [np.round(points * 2**_SHIFT).astype(np.int32)], False, edge, 1, cv2.LINE_AA, _SHIFT)

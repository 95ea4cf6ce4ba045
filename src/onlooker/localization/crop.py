"""The crop: a calm, causal square around what acts, from motion alone, for an eye that looks closer.

The square has the median center of the boxes of the last seconds, and most of their sizes with a
margin. It moves only when it is clearly off. Where nothing moves, the last square stays; before
anything has moved, it is the whole frame. The worst that happens is the whole frame.
"""

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.base.records import Floats, Pixels
from onlooker.localization import BoxMemory, linked_boxes
from onlooker.localization.boxes import GRID, heat_of
from onlooker.localization.motion import moved

VERSION = 1  # of all that squares depend on; part of the key of cached crops
_SIZE = (160, 120)  # width and height of the frames in which motion is found
_BORDER = 4  # pixels
_EVEN = np.ones((1, 1), np.float32)  # attention
_SECONDS = 4.0  # of boxes that are remembered
_MARGIN = 1.35  # times the size of boxes
_MOST = 0.8  # quantile of their sizes
_SPREAD = 0.15  # quantile of the edges of all boxes, for several actors
_ROOM = 1.1  # times the extent of several actors
_APART = 0.7  # share of the frame: several actors that need more have the whole one
_OFF = 0.2  # of the side: a center nearer to that of the square does not move it
_SHRUNK = 0.7  # of the side: likewise
_GROWN = 1.35
_WHOLE = 0.9  # share of the frame above which a crop is the whole frame
_SMALLEST = 64  # pixels: smaller crops would be enlarged more than they carry
_JUMPED = 16 / 255  # a pixel has another value, and
_JUMP = 0.5  # the share of such pixels after a cut or a flash
_CLEAR = 0.3  # minimum weight of a box (`Rectangles`): noise has less
_AHEAD = 1.5  # seconds at the beginning of a clip with the square that is known after them
_BUFFER = 1 << 28  # bytes of frames that are held until then, at most
_SCALES = ((0.85, 1.1), (1.1, 1.4))  # of the altered copies of a clip
RECROPPED = (1, 2)  # their numbers
_SHIFT = 0.08  # of the side


class Crop(NamedTuple):
    """A part of a frame, in pixels; right and bottom are outside of it."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, frame: Pixels) -> Pixels:
        """The part of a frame `H W C`."""
        return frame[self.top : self.bottom, self.left : self.right]


class _Square(NamedTuple):
    """Center and side, in pixels; what is outside of the frame is left out."""

    x: float
    y: float
    side: float

    def is_near(self, other: "_Square") -> bool:
        """Whether this square stays where `other` is wanted."""
        off = max(abs(other.x - self.x), abs(other.y - self.y))
        return off <= _OFF * self.side and _SHRUNK < other.side / self.side < _GROWN

    def holds(self, extent: Floats) -> bool:
        half = self.side / 2
        is_inside = min(extent[0] - self.x, extent[1] - self.y) >= -half
        return is_inside and max(extent[2] - self.x, extent[3] - self.y) <= half

    def crop(self, height: int, width: int) -> Crop:
        side = max(self.side, _SMALLEST)
        w = min(side, width)
        h = min(side, height)
        if w * h >= _WHOLE * width * height:
            return Crop(0, 0, right=width, bottom=height)
        left = round(min(max(self.x - w / 2, 0), width - w))
        top = round(min(max(self.y - h / 2, 0), height - h))
        return Crop(left, top, right=left + round(w), bottom=top + round(h))


class CropMemory(NamedTuple):
    """What the next crop of a stream needs.

    Args:
        boxes: what finding the next boxes needs.
        size: height and width of the frames.
        recent: `n 9`, of the last seconds: the time, the corners of the first box, and those of all
            boxes of the frame, in pixels.
        square: None before anything has moved.
    """

    boxes: BoxMemory
    size: tuple[int, int]
    recent: Floats
    square: _Square | None = None


def next_crop(memory: CropMemory | None, frame: Pixels, time: float) -> tuple[CropMemory, Crop]:
    """The crop of the next frame of a stream, and the new memory.

    Args:
        memory: after the frame before; None at the first. A frame of another size is a first one.
        frame: `H W C`, uint8.
        time: in seconds.
    """
    height, width = frame.shape[:2]
    if memory is not None and memory.size != (height, width):
        memory = None
    before = None if memory is None else memory.boxes
    recent = np.zeros((0, 9), np.float32) if memory is None else memory.recent
    square = None if memory is None else memory.square
    small = cv2.blur(_shrunk(frame), (3, 3)).astype(np.uint8, copy=False)
    motion, motion_state = moved(before and before.motion, small.reshape(*small.shape[:2], -1))
    if before is not None and np.count_nonzero(motion > _JUMPED) > _JUMP * motion.size:
        boxes = before._replace(motion=motion_state)
        memory = CropMemory(boxes, (height, width), recent, square=square)
        return memory, _crop(square, height, width)
    # noise is of single pixels; at the border, a camera that moves shows what was hidden
    clear = cv2.blur(motion, (3, 3)).astype(np.float32, copy=False)
    clear = np.pad(clear[_BORDER:-_BORDER, _BORDER:-_BORDER], _BORDER)
    _, rectangles, boxes = linked_boxes(before, heat_of(_EVEN, clear), motion_state)
    is_clear = rectangles.weights >= _CLEAR
    if is_clear.any():
        corners = rectangles.corners[is_clear] * np.array([width, height] * 2, np.float32)
        union = (*corners[:, :2].min(0), *corners[:, 2:].max(0))
        row = np.array([(time, *corners[0], *union)], np.float32)
        is_recent = (recent[:, 0] > time - _SECONDS) & (recent[:, 0] < time)
        recent = np.concatenate((recent[is_recent], row))
        wanted = _wanted(recent, height, width)
        if square is None or not square.is_near(wanted):
            square = wanted
    memory = CropMemory(boxes, (height, width), recent, square=square)
    return memory, _crop(square, height, width)


def _shrunk(frame: Pixels) -> Pixels:
    is_larger = frame.shape[1] > _SIZE[0] or frame.shape[0] > _SIZE[1]
    interpolation = cv2.INTER_AREA if is_larger else cv2.INTER_LINEAR
    return cv2.resize(frame, _SIZE, interpolation=interpolation).astype(np.uint8, copy=False)


def _wanted(recent: Floats, height: int, width: int) -> _Square:
    """The square for the boxes of the last seconds."""
    first = recent[:, 1:5]
    x, y = np.median((first[:, :2] + first[:, 2:]) / 2, axis=0)
    side = _MARGIN * np.quantile((first[:, 2:] - first[:, :2]).max(1), _MOST)
    square = _Square(float(x), float(y), float(side))
    low = np.quantile(recent[:, 5:7], _SPREAD, axis=0)
    high = np.quantile(recent[:, 7:], 1 - _SPREAD, axis=0)
    if square.holds(np.concatenate((low, high))):
        return square
    x, y = (low + high) / 2
    side = max(float(side), _ROOM * float((high - low).max()))
    if min(side, width) * min(side, height) >= _APART * width * height:
        return _Square(width / 2, height / 2, max(width, height))
    return _Square(float(x), float(y), side)


def _crop(square: _Square | None, height: int, width: int) -> Crop:
    return Crop(0, 0, right=width, bottom=height) if square is None else square.crop(height, width)


class Follower:
    """Crops of frames that come one after another.

    Args:
        ahead: of a clip: its first frames have the crop that is known a moment later, as in a
            stream, which has been seen before; else as a stream that begins with these frames.
    """

    def __init__(self, *, ahead: bool) -> None:
        self._ahead = ahead
        self._memory: CropMemory | None = None
        self._held = list[tuple[int, Pixels]]()
        self._begin = 0.0

    def add(self, index: int, time: float, frame: Pixels) -> list[tuple[int, Pixels, Crop]]:
        """The frames whose crops are known now, with their indices.

        `time`: in seconds, ascending.
        """
        self._memory, crop = next_crop(self._memory, frame, time)
        if not self._ahead:
            return [(index, frame, crop)]
        self._begin = self._begin if self._held else time
        self._held.append((index, frame))
        is_known = self._memory.square is not None and time >= self._begin + _AHEAD
        if not is_known and len(self._held) * frame.nbytes < _BUFFER:
            return []
        self._ahead = False
        return self.finish()

    def finish(self) -> list[tuple[int, Pixels, Crop]]:
        """The frames at the end of a clip whose crops were not known yet."""
        held = self._held
        self._held = []
        if self._memory is None:
            return []
        crop = _crop(self._memory.square, *self._memory.size)
        return [(index, frame, crop) for index, frame in held]


def jittered(crop: Crop, size: tuple[int, int], *, name: str, number: int) -> Crop:
    """The crop of an altered copy of a clip: another scale and place, the same in all its frames.

    Args:
        size: height and width of the frame.
        name: of the clip, which seeds the alteration.
        number: of the copy, from 1.
    """
    height, width = size
    if crop == (0, 0, width, height):
        return crop
    random = np.random.default_rng((number, crc32(name.encode())))
    scale = random.uniform(*_SCALES[(number - 1) % len(_SCALES)])
    dx, dy = random.uniform(-_SHIFT, _SHIFT, 2)
    side = max(crop.right - crop.left, crop.bottom - crop.top)
    x = (crop.left + crop.right) / 2 + dx * side
    y = (crop.top + crop.bottom) / 2 + dy * side
    return _Square(x, y, scale * side).crop(height, width)


def in_frame(
    maps: ArrayLike, crop: ArrayLike, size: tuple[int, int], *, views: Sequence[str]
) -> Floats:
    """The maps of the views of a frame, `h w` or `V h w`, as one map of the whole frame, `30 40`, with
    the same sum.

    Args:
        crop, size: as in `to_frame`.
        views: their names (`DataConfig.views`).
    """
    stacked = np.asarray(maps).reshape(len(views), *np.shape(maps)[-2:])
    height, width = size
    places = {"actor": crop, "pictures": (0, 0, width, height)}
    parts = [
        to_frame(values, places[view], size) for view, values in zip(views, stacked, strict=True)
    ]
    return np.sum(parts, axis=0, dtype=np.float32)


def to_frame(values: ArrayLike, crop: ArrayLike, size: tuple[int, int]) -> Floats:
    """Values of places of a crop, `h w`, at the places of a heat map of the whole frame, `30 40`,
    with the same sum; zero outside of the crop.

    Args:
        crop: its left, top, right and bottom, in pixels.
        size: height and width of the frame.
    """
    places = np.asarray(values, np.float32)
    left, top, right, bottom = np.asarray(crop, np.float64).tolist()
    rows = _spread(places.shape[0], GRID[0], begin=top / size[0], end=bottom / size[0])
    columns = _spread(places.shape[1], GRID[1], begin=left / size[1], end=right / size[1])
    return (rows @ places @ columns.T).astype(np.float32)


def _spread(count: int, cells: int, *, begin: float, end: float) -> NDArray[np.float64]:
    """The share of each of `count` equal parts of an interval in each of some cells of 0 to 1,
    interpolated between the centers of the parts: `cells count`, columns of sum one.
    """
    fine = 8  # points of a cell
    points = (np.arange(cells * fine) + 0.5) / (cells * fine)
    places = (points - begin) / max(end - begin, 1e-9) * count - 0.5
    distance = np.abs(places.clip(0, count - 1)[:, None] - np.arange(count))
    is_inside = (places >= -0.5) & (places <= count - 0.5)
    shares = (1 - distance).clip(0) * is_inside[:, None]
    weights = shares.reshape(cells, fine, count).sum(1)
    return weights / weights.sum(0).clip(1e-9)

"""Heat maps, √(attention × motion) or √attention alone, and the rectangles of a frame with the most heat."""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.base.records import Floats

GRID = (30, 40)  # rows and columns of a heat map
ACTORS = 3  # maximum number of actors in a clip
SHARE = 0.5  # minimum heat of another actor, as a share of the first one's
_NOISE = 4 / 255  # smaller differences of pixels are noise of a camera or a codec
_RESIDUE = 3.0  # times the median difference: smaller ones are left by the motion of a camera
_STRIDE = 4  # of rows and columns of pixels, for the median
_BACKGROUND = 2.0  # the heat of the background, in units of the mean heat of the frame
# A small place, which the power of the heat finds: at most this share of the frame, and on average at
# most so much heat around it, as a share of the heat in it.
_SMALL = 1 / 75
_POWER = 3
_AROUND = 2  # cells
_RESTING = 0.1
_PREFERRED = 1.5  # the weight of a small place, in weights of the rectangle with the largest sum
_SMOOTHING = 0.4  # frames, the standard deviation of the Gaussian over time


Box = tuple[int, int, int, int]  # left, top, right, bottom in cells; the last two are exclusive


class Rectangles(NamedTuple):
    """The boxes of a frame, most heat first.

    Args:
        corners: `n 4`, x1 y1 x2 y2 as shares of the frame's width and height.
        weights: `n`, the share of the heat in the box minus its background, which is uniform with
            twice the mean heat: nearly 1 for a small box with all heat.
    """

    corners: Floats
    weights: Floats


def heat_of(attention: ArrayLike, motion: Floats | None) -> Floats:
    """√(attention × motion) of a frame, at each place of `GRID`; zero where nothing moves.

    Args:
        attention: `h w`, not negative.
        motion: `H W`, 0 to 1 (`localization.motion`); None: √attention alone.
    """
    attended = cv2.resize(
        np.asarray(attention, dtype=np.float32), GRID[::-1], interpolation=cv2.INTER_LINEAR
    )
    if motion is None:
        return np.sqrt(attended)
    noise = max(_NOISE, _RESIDUE * float(np.median(motion[::_STRIDE, ::_STRIDE])))
    clear = np.where(motion < noise, np.float32(0), motion)
    return np.sqrt(attended * cv2.resize(clear, GRID[::-1], interpolation=cv2.INTER_AREA))


def heat_maps(attention: ArrayLike, motion: Floats | None) -> Floats:
    """The heat of a clip, smoothed over time: `T h w` and `T H W` to `T 30 40`, each map sums to
    one; arguments as of `heat_of`.

    The map of a frame in which nothing moves is uniform.
    """
    maps = np.asarray(attention)
    motions = [None] * len(maps) if motion is None else [*motion]
    frames = zip(maps, motions, strict=True)
    heat = np.stack([heat_of(*frame) for frame in frames]).reshape(len(maps), -1)
    smooth = cv2.GaussianBlur(heat, (1, 3), 0, sigmaY=_SMOOTHING, borderType=cv2.BORDER_REPLICATE)
    return to_share(smooth.astype(np.float32).reshape(-1, *GRID))


def to_share(heat: Floats) -> Floats:
    """Maps `… h w` scaled so that each sums to one; uniform if there is no heat."""
    sums = heat.sum((-2, -1), keepdims=True)
    even = np.full_like(heat, 1 / (heat.shape[-2] * heat.shape[-1]))
    return np.divide(heat, sums, out=even, where=sums > 0)


def peaks(heat: Floats) -> Floats:
    """x and y of the hottest 3 × 3 cells of each map `T h w`, as shares: `T 2`; NaN for uniform
    maps.
    """
    _, h, w = heat.shape
    around = np.stack(
        [cv2.blur(heat_map, (3, 3), borderType=cv2.BORDER_CONSTANT) for heat_map in heat]
    )
    rows, columns = np.divmod(around.reshape(len(heat), -1).argmax(1), w)
    points = np.stack([(columns + 0.5) / w, (rows + 0.5) / h], 1)
    points[is_even(heat)] = np.nan
    return points.astype(np.float32)


def is_even(heat: Floats) -> NDArray[np.bool_]:
    """Whether maps `… h w` are the same at every place, apart from rounding errors."""
    return heat.max((-2, -1)) <= 1.001 * heat.mean((-2, -1))


def find_rectangles(heat: Floats) -> Rectangles:
    """The rectangles of a map `h w` with the largest sum of heat minus background: up to three,
    none in a uniform map. A small hot place comes before them: the sum of a bird is less than that of
    a dim line of trees.

    The background is twice the mean heat at each place, so that a rectangle is as large as what it
    encloses (efficient subwindow search, Lampert, Blaschko, Hofmann 2008; here exhaustive over
    rows, and by Kadane's algorithm over columns). The second and third gain nothing from the places
    of earlier ones, and have at least half the sum of the first.
    """
    corners = list[tuple[float, float, float, float]]()
    weights = list[float]()
    background = np.float32(_BACKGROUND * heat.mean())
    gain = heat - background
    (h, w) = heat.shape

    def add(box: Box, weight: float) -> None:
        left, top, right, bottom = box
        corners.append((left / w, top / h, right / w, bottom / h))
        weights.append(weight)

    if small := _small_place(heat):
        weight = float(gain[_inside(small)].sum())
        gain[_inside(small)] = -background
        add(small, min(_PREFERRED * max(weight, _largest(gain)[1]), 1.0))
    while len(corners) < ACTORS and not is_even(heat):
        box, weight = _largest(gain)
        if weight <= 0 or (weights and weight < SHARE * weights[0]):
            break
        add(box, weight)
        gain[_inside(box)] = -background
    return Rectangles(np.array(corners, np.float32).reshape(-1, 4), np.array(weights, np.float32))


def _small_place(heat: Floats) -> Box | None:
    """The rectangle around what is hottest in a map, if it is small, and the ring around it rests."""
    if is_even(heat):
        return None
    sharp = (heat / heat.max()) ** _POWER
    box, _ = _largest(sharp - np.float32(_BACKGROUND * sharp.mean()))
    left, top, right, bottom = box
    cells = (right - left) * (bottom - top)
    if not 0 < cells <= _SMALL * heat.size:
        return None
    inside = heat[_inside(box)].sum()
    around = heat[
        max(top - _AROUND, 0) : bottom + _AROUND, max(left - _AROUND, 0) : right + _AROUND
    ]
    ring = around.sum() - inside
    limit = _RESTING * inside * (around.size - cells) / cells
    return box if ring <= limit else None


def _inside(box: Box) -> tuple[slice, slice]:
    left, top, right, bottom = box
    return slice(top, bottom), slice(left, right)


def _largest(gain: Floats) -> tuple[Box, float]:
    """The rectangle of a map with the largest sum: left, top, right and bottom in cells (right and
    bottom are exclusive), and the sum.
    """
    # The rectangle begins and ends at rows and columns with a gain.
    gains = gain > 0
    if not gains.any():
        return (0, 0, 0, 0), 0.0
    rows_with = np.flatnonzero(gains.any(1))
    columns_with = np.flatnonzero(gains.any(0))
    top = int(rows_with[0])
    after = int(rows_with[-1]) + 1
    left = int(columns_with[0])
    end = int(columns_with[-1]) + 1
    part = gain[top:after, left:end]
    begins, ends = _pairs(after - top)
    rows = np.concatenate((np.zeros((1, end - left), np.float32), part.cumsum(0)))
    sums = np.zeros((len(begins), end - left + 1), np.float32)
    (rows[ends] - rows[begins]).cumsum(1, out=sums[:, 1:])
    gained = sums[:, 1:] - np.minimum.accumulate(sums[:, :-1], 1)
    pair, column = divmod(int(gained.argmax()), end - left)
    begin = int(sums[pair, : column + 1].argmin())
    box = left + begin, top + int(begins[pair]), left + column + 1, top + int(ends[pair])
    return box, float(gained[pair, column])


@cache
def _pairs(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of a first row and of the row after the last one."""
    return np.triu_indices(rows + 1, 1)

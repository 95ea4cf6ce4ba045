"""Boxes around attended objects, as connected components of pixels: the rules by which the moving
digit is located.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BoxParameters", "Candidate", "cut_boxes", "find_boxes", "motion", "upsample"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Pixels = NDArray[np.uint8]

Foreground = Literal["none", "motion", "background", "contrast"]
NOISE = 4 / 255  # share of the full range; smaller differences are camera and codec noise
_MIN_COMPONENT = 0.1  # of the largest component's pixels: smaller components are noise
# gaps up to this share of the frame's shorter side are closed before pixels are connected
CLOSING = 0.05


class BoxParameters(NamedTuple):
    """How boxes are cut from maps.

    Attributes:
        foreground: which pixels may belong to an object; see `FOREGROUNDS`.
        extent: what a box encloses: the high values of map × foreground, or the whole connected
            component of the foreground that the attention is on.
        threshold: share of the highest value of the map (with extent object: of the foreground)
            that a pixel must reach.
        closing: see `CLOSING`.
    """

    foreground: Foreground = "none"
    extent: Literal["attention", "object"] = "attention"
    threshold: float = 0.35
    closing: float = CLOSING


class Candidate(NamedTuple):
    """The box of a frame before it has a class.

    Attributes:
        corners: `4`, x1 y1 x2 y2 in pixels of the frame.
        concentration: the share of the map's mass inside the box minus the box's share of the
            frame: 1 for a sharp map, 0 for a uniform one, whatever the box.
        point: `2`, x and y of the pixel in the box with the most attention; see `find_boxes`.
    """

    corners: Floats
    concentration: float
    point: Floats


Found = Sequence[Candidate | None]  # of the frames of a clip


def find_boxes(attention: ArrayLike, frames: Pixels, parameters: BoxParameters) -> Found:
    """The box of every frame; None for a uniform map.

    The map is upsampled to the frame and multiplied by the foreground; the box encloses the
    connected high values with the most attention. With `extent="object"` it is a component of the
    foreground, and each pixel's attention counts for the nearest component: the box is as large as
    the object, even if the model attends to a part or to its border. In frames without foreground
    (nothing moves) the map is used alone.

    The point of a box is the pixel of its component with the highest attention × foreground². Both
    are averaged first: attention over a cell, twice, because a map is coarser than pixels; the
    foreground over the size of gaps that are closed, so that the body of an object weighs more than
    its border. Motion is combined with the difference from the clip's median: it also marks places
    where an object was or will be.

    Args:
        attention: `T h w`, sums to one over `h w`.
        frames: `T H W C`, uint8; boxes are in their pixels.
    """
    maps = np.asarray(attention, dtype=np.float32)
    _, H, W, _ = frames.shape
    large = upsample(maps, (H, W))
    # A margin, so that rounding errors do not raise parts of a uniform map above its mean.
    attended = large > 1.001 * large.mean(axis=(1, 2), keepdims=True)
    cells = (H / maps.shape[1], W / maps.shape[2])
    # averaged once, a sharp map has a plateau and no maximum
    averaged = _box_mean(_box_mean(large, cells), cells)
    make_foreground = FOREGROUNDS[parameters.foreground]
    if make_foreground is None:
        return _threshold_all(large, attended, averaged, parameters)
    foreground = make_foreground(frames)
    saliency = _saliency(averaged, foreground, frames, parameters)
    if parameters.extent == "attention":
        return _threshold_all(
            large * (foreground + np.float32(NOISE)), attended, saliency, parameters
        )
    return [
        _select_object(objects, weights, points, parameters)
        if allowed.any() and (objects > NOISE).any()
        else _threshold(weights, allowed, points, parameters)
        for objects, weights, allowed, points in zip(
            foreground, large, attended, saliency, strict=True
        )
    ]


def _saliency(
    averaged: Floats, foreground: Floats, frames: Pixels, parameters: BoxParameters
) -> Floats:
    """Averaged attention × averaged foreground², `T H W`."""
    steady = (
        np.minimum(foreground, background(frames))
        if parameters.foreground == "motion"
        else foreground
    )
    gap = parameters.closing * min(frames.shape[1:3])
    # Pixels outside of the foreground keep a small value: they can be attended to as well.
    floor = np.float32(1e-6) * averaged.max((1, 2), keepdims=True)
    return (averaged + floor) * (_box_mean(steady, (gap, gap)) + np.float32(NOISE)) ** 2


def cut_boxes(weights: Floats, parameters: BoxParameters) -> Found:
    """The box of every frame from maps at the frame's size: `T H W`, not negative, at any scale."""
    gap = parameters.closing * min(weights.shape[1:])
    return _threshold_all(
        weights, np.ones_like(weights, np.bool_), _box_mean(weights, (gap, gap)), parameters
    )


def _box_mean(values: Floats, size: tuple[float, float]) -> Floats:
    """Means of `T H W` over windows of about this height and width, rounded to odd numbers of
    pixels.
    """
    height, width = (2 * round((side - 1) / 2) + 1 if side > 1 else 1 for side in size)
    return np.stack([cv2.blur(frame, (width, height)) for frame in values]).astype(
        np.float32, copy=False
    )


def _threshold_all(
    weights: Floats, allowed: NDArray[np.bool_], saliency: Floats, parameters: BoxParameters
) -> Found:
    of_frames = zip(weights, allowed, saliency, strict=True)
    return [_threshold(*of_frame, parameters) for of_frame in of_frames]


def _threshold(
    weights: Floats, allowed: NDArray[np.bool_], saliency: Floats, parameters: BoxParameters
) -> Candidate | None:
    """The component with the most mass among the allowed pixels `H W` above the threshold."""
    peak = weights.max(where=allowed, initial=0)
    if not peak > 0:
        return None
    labels, stats = _components((weights >= parameters.threshold * peak) & allowed, parameters)
    mass = np.bincount(labels.ravel(), weights.ravel(), len(stats))
    label = 1 + int(mass[1:].argsort(kind="stable")[-1])
    x, y, width, height = stats[label, :4]
    inside = weights[y : y + height, x : x + width].sum(dtype=np.float64) / weights.sum(
        dtype=np.float64
    )
    return _to_candidate(labels == label, stats[label], inside, saliency)


def _select_object(
    foreground: Floats, weights: Floats, saliency: Floats, parameters: BoxParameters
) -> Candidate:
    """The component of a foreground `H W` with the most attention; each pixel counts for the
    nearest component.
    """
    labels, stats = _components(
        foreground >= max(parameters.threshold * foreground.max(), NOISE), parameters
    )
    large = stats[:, cv2.CC_STAT_AREA] >= _MIN_COMPONENT * stats[1:, cv2.CC_STAT_AREA].max()
    large[0] = False
    # The distance transform numbers the pixels of large components and gives each pixel the number
    # of its nearest one.
    in_large = large[labels]
    _, nearest = cv2.distanceTransformWithLabels(
        (~in_large).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(nearest.max() + 1, np.int64)
    owner[nearest[in_large]] = labels[in_large]
    mass = np.bincount(owner[nearest].ravel(), weights.ravel(), len(stats)) / weights.sum(
        dtype=np.float64
    )
    label = int(np.where(large, mass, -1).argsort(kind="stable")[-1])
    return _to_candidate(labels == label, stats[label], mass[label], saliency)


def _components(high: NDArray[np.bool_], parameters: BoxParameters) -> tuple[Ints, Ints]:
    """Connected components after closing small gaps: labels `H W`, 0 for the rest, and OpenCV's
    statistics.
    """
    pixels = high.astype(np.uint8)
    reach = round(parameters.closing * min(high.shape) / 2)
    if reach:
        pixels = cv2.morphologyEx(
            pixels, cv2.MORPH_CLOSE, np.ones((2 * reach + 1,) * 2, np.uint8)
        ).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    return labels.astype(np.int32, copy=False), stats.astype(np.int32, copy=False)


def _to_candidate(
    component: NDArray[np.bool_], stats: Ints, mass: np.float64, saliency: Floats
) -> Candidate:
    """The box of a component `H W` with a share `mass` of the attention."""
    x, y, width, height = stats[:4]
    concentration = (mass - width * height / saliency.size).clip(0, 1)
    row, column = np.unravel_index(np.where(component, saliency, -1).argmax(), saliency.shape)
    return Candidate(
        np.array([x, y, x + width, y + height], np.float32),
        float(np.float32(concentration)),
        np.array([column + 0.5, row + 0.5], np.float32),
    )


def upsample(attention: ArrayLike, size: tuple[int, int]) -> Floats:
    """Maps at the size of the frame: each cell's weight lies at its center, with linear
    interpolation between centers.

    Args:
        attention: `T h w`, not negative.
        size: H and W in pixels, at least h and w.

    Returns:
        `T H W`, each map with the same sum as its grid.
    """
    maps = np.asarray(attention, dtype=np.float32)
    large = np.stack([cv2.resize(grid, size[::-1]) for grid in maps]).astype(np.float32, copy=False)
    sums = large.sum(axis=(1, 2), keepdims=True)
    return large * np.divide(
        maps.sum(axis=(1, 2), keepdims=True), sums, out=np.zeros_like(sums), where=sums > 0
    )


def motion(frames: Pixels) -> Floats:
    """Pixels that differ from both the previous and the next frame: the smaller of the two
    differences.

    Two frames show where an object was as well as where it is; three frames separate them (Kameda
    and Minoh, *A human motion estimation method using 3-successive video frames*, 1996). The first
    and the last frame have one neighbor; a single frame has no motion. Needs a camera that stands
    still.
    """
    if len(frames) < 2:
        return np.zeros(frames.shape[:3], np.float32)
    steps = np.stack([_difference(a, b) for a, b in itertools.pairwise(frames)])
    return np.minimum(np.concatenate((steps[:1], steps)), np.concatenate((steps, steps[-1:])))


def background(frames: Pixels) -> Floats:
    """Pixels that differ from the background, the median of each pixel over the clip.

    Needs a camera that stands still and an object that leaves each place for more than half of the
    clip.
    """
    return _difference(frames, np.median(frames, axis=0))


def contrast(frames: Pixels) -> Floats:
    """Pixels that differ from the median color of their frame: for plain backgrounds, moving or
    not.
    """
    return _difference(frames, np.median(frames, axis=(1, 2), keepdims=True))


# Which pixels may belong to an object. A cell of an 8×8 map is larger than most objects in a small
# video, so boxes from the map alone have the size of its cells; a map weighted by one of these has
# the edges of the object. Each: frames `T H W C` uint8 to a difference `T H W` from 0 to 1. None:
# the map's own edges.
FOREGROUNDS: dict[Foreground, Callable[[Pixels], Floats] | None] = {
    "none": None,
    "motion": motion,
    "background": background,
    "contrast": contrast,
}


def _difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> Floats:
    """The largest difference over channels: `… C` to `…`, 0 to 1."""
    difference = np.abs(a.astype(np.float32) - b.astype(np.float32))
    largest: Floats = difference.max(axis=-1) / np.float32(255)
    return largest

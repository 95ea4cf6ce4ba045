"""Boxes around what is attended to: a threshold relative to the map's highest value, then connected pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.foreground import FOREGROUNDS, NOISE, background
from onlooker.localization.maps import smooth, upsample
from onlooker.localization.parameters import LocalizationParameters
from onlooker.structures import Box

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_CELLS = 1  # of a map: a point takes attention to be even over so many, twice
_SPECK = 0.1  # of the largest piece's pixels: what is smaller is noise


@dataclass(frozen=True, eq=False)
class Candidates:
    """The boxes of one frame before anything is said of their class, the surest first.

    Args:
        corners: `n 4`, x1 y1 x2 y2 in pixels of the frame.
        concentration: `n`, the share of the map's mass that is in the box, less the box's share of the frame. A sharp
            map has 1, a uniform one 0 however its box is cut, for a box says nothing if any other holds as much.
        points: `n 2`, x and y of the pixel in the box that is attended to most; see `find_boxes`.
    """

    corners: Floats
    concentration: Floats
    points: Floats

    def __post_init__(self) -> None:
        n = len(self.concentration)
        if self.corners.shape != (n, 4) or self.points.shape != (n, 2):
            raise ValueError(
                f"corners have shape {self.corners.shape} and points {self.points.shape} for {n} boxes, expected n 4 "
                "and n 2"
            )

    @property
    def point(self) -> Floats:
        """That of the surest box, `2`; NaN without a box."""
        return self.points[0] if len(self) else np.full(2, np.nan, np.float32)

    def __len__(self) -> int:
        return len(self.corners)


def find_boxes(attention: ArrayLike, frames: Pixels, parameters: LocalizationParameters) -> tuple[Candidates, ...]:
    """The boxes of every frame.

    The map is smoothed over time, brought to the size of the frame, and multiplied by how likely each pixel is of the
    foreground; what is heavy then is in a box. With `extent="thing"` the foreground alone is cut into pieces, and each
    bit of attention counts for the piece that is nearest to it: the box is as large as the thing, also where a model
    looks at a hand of it, or at its rim. Where a frame shows no foreground (nothing moves), the map is used as it is.

    The point of a box is the pixel of its piece with the highest attention × foreground², each evened first: attention
    over a cell, twice, for a map knows no pixels, and the foreground over the gaps that are closed, so that a body
    weighs more than its rim. What moves must differ from the clip's median there, too: motion alone also marks where
    a thing that goes to and fro has just been and will be again.

    Args:
        attention: `T h w`, sums to one over `h w`.
        frames: `T H W C`, uint8, the video as it was: boxes are in its pixels.
        parameters: how.

    Returns:
        For each frame its candidates; none where the map is uniform.

    Raises:
        ValueError: frames of another kind, or another number of them than maps.
    """
    maps = np.asarray(attention, dtype=np.float32)
    if frames.ndim != 4 or frames.dtype != np.uint8 or len(frames) != len(maps):
        raise ValueError(f"frames are {frames.dtype} {frames.shape} for {len(maps)} maps, expected uint8 T H W C")
    steady = smooth(maps, parameters.smoothing, parameters.causal)
    large = upsample(steady, (frames.shape[1], frames.shape[2]), parameters.upsampling)
    # Rounding alone must not lift a part of a uniform map above the rest.
    attended = large > 1.001 * large.mean(axis=(1, 2), keepdims=True)
    cells = (_CELLS * large.shape[1] / maps.shape[1], _CELLS * large.shape[2] / maps.shape[2])
    around = _evened(_evened(large, cells), cells)  # once has no peak: all places near a sharp one are equal
    foreground = FOREGROUNDS[parameters.foreground]
    if foreground is None:
        return _cut_all(large, attended, around, parameters)
    there = foreground(frames)
    gap = parameters.closing * min(there.shape[1:])
    # A pixel that nothing sets apart from the rest is still a place to look at.
    sure = np.minimum(there, background(frames)) if parameters.foreground == "motion" else there
    seen = (around + np.float32(1e-6) * around.max((1, 2), keepdims=True)) * (
        _evened(sure, (gap, gap)) + np.float32(NOISE)
    ) ** 2
    if parameters.extent == "attention":
        return _cut_all(large * (there + np.float32(NOISE)), attended, seen, parameters)
    return tuple(
        _pick(here, weights, clear, parameters)
        if allowed.any() and (here > NOISE).any()
        else _cut(weights, allowed, clear, parameters)
        for here, weights, allowed, clear in zip(there, large, attended, seen, strict=True)
    )


def cut_boxes(
    weights: Floats, parameters: LocalizationParameters, attended: NDArray[np.bool_] | None = None
) -> tuple[Candidates, ...]:
    """The boxes around the heavy pixels of every frame, from maps that are already at the frame's size.

    Args:
        weights: `T H W`, not negative, of any scale.
        parameters: `threshold`, `closing` and `most` are used.
        attended: `T H W`, the pixels that can be in a box; None: all.
    """
    allowed = np.ones_like(weights, dtype=np.bool_) if attended is None else attended
    gap = parameters.closing * min(weights.shape[1:])
    return _cut_all(weights, allowed, _evened(weights, (gap, gap)), parameters)


def _evened(values: Floats, reach: tuple[float, float]) -> Floats:
    """Means of `T H W` over an odd number of pixels around each, as near to a height and width as can be."""
    down, across = (2 * round((side - 1) / 2) + 1 if side > 1 else 1 for side in reach)
    return np.stack([cv2.blur(frame, (across, down)) for frame in values]).astype(np.float32, copy=False)


def _cut_all(
    weights: Floats, attended: NDArray[np.bool_], seen: Floats, parameters: LocalizationParameters
) -> tuple[Candidates, ...]:
    """`_cut` in every frame."""
    return tuple(_cut(*of_frame, parameters) for of_frame in zip(weights, attended, seen, strict=True))


def _pick(foreground: Floats, weights: Floats, seen: Floats, parameters: LocalizationParameters) -> Candidates:
    """The pieces of a foreground that most of the attention is nearest to."""
    parts, about = _pieces(foreground >= max(parameters.threshold * foreground.max(), NOISE), parameters)
    large = about[:, cv2.CC_STAT_AREA] >= _SPECK * about[1:, cv2.CC_STAT_AREA].max()
    large[0] = False
    # Every pixel's nearest one of a large piece: labels of the distance transform are numbers of such pixels.
    of_large = large[parts]
    _, nearest = cv2.distanceTransformWithLabels(
        (~of_large).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(nearest.max() + 1, np.int64)
    owner[nearest[of_large]] = parts[of_large]
    mass = np.bincount(owner[nearest].ravel(), weights.ravel(), len(about)) / weights.sum(dtype=np.float64)
    heaviest = [int(part) for part in mass.argsort(kind="stable")[::-1] if large[part]][: parameters.most]
    return _surest_first(parts, about, heaviest, mass[heaviest], seen)


def _pieces(
    heavy: NDArray[np.bool_], parameters: LocalizationParameters
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pixels joined where they touch, small gaps closed: the number of each one's piece, and the pieces' statistics."""
    pixels = heavy.astype(np.uint8)
    reach = round(parameters.closing * min(heavy.shape) / 2)
    if reach:
        pixels = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, np.ones((2 * reach + 1,) * 2, np.uint8)).astype(np.uint8)
    _, parts, about, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    return parts.astype(np.int32, copy=False), about.astype(np.int32, copy=False)


def _cut(weights: Floats, allowed: NDArray[np.bool_], seen: Floats, parameters: LocalizationParameters) -> Candidates:
    """The heaviest pieces of what is attended to in a frame; their points are where most is seen."""
    peak = weights.max(where=allowed, initial=0)
    if not peak > 0:
        return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32))
    parts, about = _pieces((weights >= parameters.threshold * peak) & allowed, parameters)
    mass = np.bincount(parts.ravel(), weights.ravel(), len(about))
    heaviest = [1 + int(part) for part in mass[1:].argsort(kind="stable")[::-1][: parameters.most]]  # 0 is the rest
    within = [weights[top : top + high, left : left + wide].sum(dtype=np.float64)
              for left, top, wide, high in about[heaviest, :4]]  # fmt: skip
    return _surest_first(parts, about, heaviest, np.array(within) / weights.sum(dtype=np.float64), seen)


def _surest_first(
    parts: NDArray[np.int32],
    about: NDArray[np.int32],
    chosen: Sequence[int],
    mass: NDArray[np.float64],
    seen: Floats,
) -> Candidates:
    """Some pieces as candidates, from the share of the attention that is each one's, and what is seen where."""
    x, y, width, height = about[chosen, :4].T
    share = mass - width * height / seen.size
    corners = np.stack((x, y, x + width, y + height), axis=1).astype(np.float32)
    tops = [int(np.where(parts == part, seen, -1).argmax()) for part in chosen]
    rows, columns = np.unravel_index(tops, seen.shape)
    points = np.stack((columns, rows), axis=1).astype(np.float32) + np.float32(0.5)
    order = share.argsort(kind="stable")[::-1]
    return Candidates(corners[order], share[order].clip(0, 1).astype(np.float32), points[order])


def label_boxes(
    candidates: Sequence[Candidates],
    frame_scores: NDArray[np.floating],
    indices: NDArray[np.integer],
    classes: Sequence[str],
    least: float = 0.01,
) -> tuple[Box, ...]:
    """Each candidate once for each class; its score is the class's probability at that frame × its concentration.

    Attention that is shared by all classes says where, not what, so the two are taken as independent.

    Args:
        candidates: of `T` frames.
        frame_scores: `T K`, probabilities.
        indices: `T`, which frame of the video each is.
        classes: the `K` class names.
        least: classes below this probability at a frame are left out there.
    """
    if frame_scores.shape != (len(candidates), len(classes)):
        raise ValueError(
            f"frame_scores have shape {frame_scores.shape} for {len(candidates)} frames and {len(classes)} classes, "
            "expected T K"
        )
    found = []
    for here, scores, index in zip(candidates, frame_scores, indices, strict=True):
        for k in np.flatnonzero(scores >= least).tolist():
            for corners, share in zip(here.corners.tolist(), here.concentration.tolist(), strict=True):
                found.append(Box(classes[k], int(index), tuple(corners), float(scores[k]) * share))
    return tuple(found)


def box_mask(corners: Sequence[NDArray[np.floating]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centers are in any of a frame's boxes: for `T` arrays `n 4`, in pixels of H W, `T H W`."""
    mask = np.zeros((len(corners), *size), np.bool_)
    for inside, boxes in zip(mask, corners, strict=True):
        for x1, y1, x2, y2 in np.rint(boxes).astype(int):
            inside[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    return mask


def blank_outside(samples: Pixels, mask: NDArray[np.bool_], blank: ArrayLike) -> Pixels:
    """Samples in which nothing but the masked pixels is left, to ask a model whether they are enough.

    Args:
        samples: `T H W C`, uint8.
        mask: `T H W`, what is kept.
        blank: `C`, what stands elsewhere: a color without contrast, 128 for channels of optical flow.
    """
    return np.where(mask[..., None], samples, np.asarray(blank, dtype=np.uint8))

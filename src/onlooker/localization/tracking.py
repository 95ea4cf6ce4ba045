"""A window of fixed size that follows what moves more than its surroundings, also if the camera moves.

Boxes around connected moving pixels fail in most real videos: when the camera moves, everything does. A window has a
size beforehand, so only its place must be found, in all frames together.
"""

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["advance", "contrast", "follow", "stable_motion", "to_corners"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Gray = NDArray[np.integer | np.floating]

GRID = (60, 80)  # cells in which the window is placed
WINDOW = (32, 18)  # its height and width in cells: a person who fills half of the height
_STRIDE = 2  # cells between two places
_REACH = 4  # places that it can move from one frame to the next, in each direction
_COST = 0.02  # of moving by one place, in the unit of `contrast`
_CORNERS, _MIN_CORNERS = 150, 12  # of the background, by which the camera's motion is estimated
_STILL = np.eye(2, 3)  # the transform of a camera that does not move
_MARGIN = 5  # pixels at the border of a warped frame that are not compared


def stable_motion(frames: Pixels) -> Floats:
    """`maps.motion` after the motion of the camera is removed: `T H W C` to `T H W`, 0 to 1.

    The next frame is warped onto each one by the similarity transform (shift, rotation, scale) that most corners follow
    (Lucas & Kanade 1981, RANSAC), and so is the previous one. Pixels that only one of the two shows count as still.
    """
    gray = [_gray(frame) for frame in frames]
    found = np.zeros(frames.shape[:3], np.float32)
    if len(gray) < 2:
        return found
    before: Floats | None = None
    for t, (now, later) in enumerate(itertools.pairwise(gray)):
        move = _camera(now, later)
        difference = _difference(now, later, move)
        if (still := _difference(now, later, _STILL)).mean() <= difference.mean():  # the corners are of the object
            move, difference = _STILL, still
        found[t] = difference if before is None else np.minimum(difference, before)
        before = cv2.warpAffine(difference, move, now.shape[::-1]).astype(np.float32, copy=False)
    found[-1] = before
    return found


def _difference(now: Gray, later: Gray, move: NDArray[np.float64]) -> Floats:
    """Where a frame and a later one that is warped onto it differ, 0 to 1, and 0 where the later one does not show."""
    size = (now.shape[1], now.shape[0])
    there = cv2.warpAffine(later, move, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    shown = cv2.warpAffine(np.full_like(now, 255), move, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    difference: Floats = cv2.absdiff(there, now).astype(np.float32) / np.float32(255)
    difference[cv2.erode(shown, np.ones((_MARGIN, _MARGIN), np.uint8)) < 255] = 0
    return difference


def _gray(frame: Pixels) -> Pixels:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.uint8) if frame.shape[2] == 3 else frame[..., 0].copy()


def _camera(now: Gray, later: Gray) -> NDArray[np.float64]:
    """The similarity transform `2 3` from a frame to a later one; the identity if too few corners are found."""
    corners = cv2.goodFeaturesToTrack(now, _CORNERS, 0.01, 5)
    if corners is None or len(corners) < _MIN_CORNERS:
        return _STILL
    moved, status, _ = cv2.calcOpticalFlowPyrLK(now, later, corners, None, winSize=(15, 15), maxLevel=2)  # type: ignore[call-overload]
    kept = status[:, 0] == 1
    if kept.sum() < _MIN_CORNERS:
        return _STILL
    move, _ = cv2.estimateAffinePartial2D(corners[kept], moved[kept], ransacReprojThreshold=1.0)
    return _STILL if move is None else move


def contrast(energy: Floats) -> Floats:
    """How much more a window contains than its surroundings, at each place.

    The mean of √energy in the window minus the mean in one of twice its height and width, divided by the square root of
    the mean √energy of the frame.

    Args:
        energy: `H W`, not negative, at any size.

    Returns:
        `GRID` at every second row and column.
    """
    cells = np.sqrt(cv2.resize(energy, GRID[::-1], interpolation=cv2.INTER_AREA)).astype(np.float32)
    height, width = WINDOW
    inside = cv2.boxFilter(cells, -1, (width, height), borderType=cv2.BORDER_CONSTANT)
    around = cv2.boxFilter(cells, -1, (2 * width, 2 * height), borderType=cv2.BORDER_REFLECT)
    found: Floats = ((inside - around) / np.sqrt(cells.mean() + 1e-4))[::_STRIDE, ::_STRIDE]
    return found


def advance(best: Floats, here: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """One frame of the search for the best path: the highest sum of contrasts, minus a cost of moving, of all paths
    that end at each place.

    Args:
        best: these sums in the frame before.
        here: `contrast` of this frame.

    Returns:
        The sums, and from which of the places nearby each path comes.
    """
    reach, (rows, columns) = _REACH, best.shape
    padded = np.pad(best, reach, constant_values=-np.inf)
    steps = [*itertools.product(range(2 * reach + 1), repeat=2)]
    cost = [_COST * np.hypot(dy - reach, dx - reach) for dy, dx in steps]
    before = np.stack([padded[y : y + rows, x : x + columns] - c for (y, x), c in zip(steps, cost, strict=True)])
    origin = before.argmax(0)
    return (np.take_along_axis(before, origin[None], 0)[0] + here).astype(np.float32), origin


def follow(energy: Floats) -> NDArray[np.int64]:
    """The places of a window through a clip, with the highest sum of contrasts minus the cost of moving (Viterbi).

    Args:
        energy: `T H W`, not negative.

    Returns:
        `T 2`: row and column among the places of `contrast`.
    """
    best, origins = contrast(energy[0]), []
    for frame in energy[1:]:
        best, origin = advance(best, contrast(frame))
        origins.append(origin)
    place = np.array(np.unravel_index(int(best.argmax()), best.shape))
    places = [place]
    for origin in reversed(origins):
        place = place + np.array(divmod(int(origin[tuple(place)]), 2 * _REACH + 1)) - _REACH
        places.append(place)
    return np.stack(places[::-1])


def to_corners(places: NDArray[np.int64], size: tuple[int, int]) -> Floats:
    """The windows at some places, `n 2`, as boxes `n 4` in pixels of a frame of this height and width, cut at its
    border."""
    scale = np.divide(size, GRID)
    centers = (places * _STRIDE + 0.5) * scale
    half = np.multiply(WINDOW, scale) / 2
    corners = np.concatenate((centers - half, centers + half), -1).clip(0, np.tile(size, 2))
    return corners[:, [1, 0, 3, 2]].astype(np.float32)

"""What moves in a clip, apart from the camera: how much each pixel differs from the background."""

import itertools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Floats, Pixels

Gray = NDArray[np.integer | np.floating]
Transform = NDArray[np.float64]  # `2 3`, from a frame to another one

_IMAGES = (1, 3)  # channels of frames that are no optical flow
_NOISE = 4  # levels of 255: smaller differences are noise of a camera or a codec
_CHANGED = 1 / 8  # minimum share of pixels that change if the camera moves
# corners of the background, for estimating the motion of the camera
_CORNERS = 150
_MIN_CORNERS = 12
_STILL = np.eye(2, 3)  # the transform of a camera that does not move
# pixels per frame: minimum mean shift of the corners of the frame if the camera moves
_SHAKES = 0.2
_WINDOW = 16  # frames of a stream over which the motion of the camera is averaged
_MEDIAN = 8  # minimum number of frames in the median
_MARGIN = 5  # pixels at the border of a warped frame that are not compared


def moving(frames: Pixels) -> Floats:
    """How much the pixels of a clip differ from the background: `T H W C` to `T H W`, 0 to 1.

    If the camera stands still, the background is the median of each pixel over frames of the clip.
    If the camera moves, a pixel moves if it differs from both the previous and the next frame
    (Kameda and Minoh, *A human motion estimation method using 3-successive video frames*, 1996),
    after these are warped onto its frame as in `moved`. A single frame has no motion. Frames of
    optical flow are motion themselves.
    """
    if frames.shape[3] not in _IMAGES:
        # The larger of the displacements in x and y, as a share of the largest possible one.
        return np.abs(frames.astype(np.float32) - np.float32(127.5)).max(-1) / np.float32(127.5)
    grays = [_gray(frame) for frame in frames]
    pairs = [(now, later, _camera(now, later)) for now, later in itertools.pairwise(grays)]
    if not pairs:
        return np.zeros(frames.shape[:3], np.float32)
    if np.median([_shift(move, now) for now, _, move in pairs]) < _SHAKES:
        clip = np.stack(grays).astype(np.float32)
        background = np.median(clip[:: max(1, len(clip) // _MEDIAN)], axis=0).astype(np.float32)
        return np.abs(clip - background) / np.float32(255)
    motion = np.zeros(frames.shape[:3], np.float32)
    before: Floats | None = None
    for t, (now, later, move) in enumerate(pairs):
        difference, move = _apart(now, later, move)
        motion[t] = difference if before is None else np.minimum(difference, before)
        before = cv2.warpAffine(difference, move, now.shape[::-1]).astype(np.float32, copy=False)
    motion[-1] = before
    return motion


class MotionState(NamedTuple):
    """What finding the next motion of a stream needs.

    Args:
        last: the last frame, `H W`, gray.
        earlier: the frame before it; None: there is none.
        shift: the mean motion of the camera, pixels per frame.
        seen: the number of frames in this mean, at most 16.
    """

    last: Pixels
    earlier: Pixels | None = None
    shift: float = 0.0
    seen: int = 0


def moved(before: MotionState | None, frame: Pixels) -> tuple[Floats, MotionState]:
    """`moving` for a stream: how much the pixels of a frame, `H W C`, differ, `H W`, 0 to 1; and
    the new state.

    A pixel moves if it differs from the last frame, which is warped by the similarity transform
    (shift, rotation, scale) that most corners follow (Lucas & Kanade 1981, RANSAC); pixels that
    only one of the two frames shows count as still. If the camera stands still, it must also differ
    from the frame before the last one: where it does not, an object has left.

    Args:
        before: the state after the previous frame; None at the first. A frame of another size is a
            first one.
    """
    gray = _gray(frame)
    if before is None or before.last.shape != gray.shape:
        return np.zeros(gray.shape, np.float32), MotionState(gray)
    move = _camera(gray, before.last)
    difference, _ = _apart(gray, before.last, move)
    seen = min(before.seen + 1, _WINDOW)
    shift = before.shift + (_shift(move, gray) - before.shift) / seen
    if shift < _SHAKES and before.earlier is not None:
        difference = np.minimum(difference, _difference(gray, before.earlier, _STILL))
    return difference, MotionState(gray, before.last, shift, seen=seen)


def _apart(now: Gray, later: Gray, move: Transform) -> tuple[Floats, Transform]:
    """How two frames differ, and the transform between them: the identity if `move` brings them no
    nearer to each other, because then the corners belong to an object.
    """
    warped = _difference(now, later, move)
    still = _difference(now, later, _STILL)
    return (still, _STILL) if still.mean() <= warped.mean() else (warped, move)


def _difference(now: Gray, later: Gray, move: Transform) -> Floats:
    """The difference, 0 to 1, between a frame and a later frame that is warped onto it; 0 outside
    of the warped frame.
    """
    if move is _STILL:
        return cv2.absdiff(later, now).astype(np.float32) / np.float32(255)
    size = (now.shape[1], now.shape[0])
    warped = cv2.warpAffine(later, move, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    shown = cv2.warpAffine(
        np.full_like(now, 255), move, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    difference: Floats = cv2.absdiff(warped, now).astype(np.float32) / np.float32(255)
    difference[cv2.erode(shown, np.ones((_MARGIN, _MARGIN), np.uint8)) < 255] = 0
    return difference


def _gray(frame: Pixels) -> Pixels:
    return (
        cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.uint8)
        if frame.shape[2] == 3
        else frame[..., 0].copy()
    )


def _shift(move: Transform, frame: Gray) -> float:
    """How far a transform moves the corners of a frame on average, in pixels."""
    height, width = frame.shape
    corners = np.array([[x, y, 1] for x in (0, width) for y in (0, height)], np.float64)
    return float(np.abs(corners @ move.T - corners[:, :2]).mean())


def _camera(now: Gray, later: Gray) -> Transform:
    """The similarity transform from a frame to a later one; the identity if most pixels stay as
    they are, or if too few corners are found.
    """
    if np.count_nonzero(cv2.absdiff(now, later) > _NOISE) < _CHANGED * now.size:
        return _STILL
    corners = cv2.goodFeaturesToTrack(now, _CORNERS, 0.01, 5)
    if corners is None or len(corners) < _MIN_CORNERS:
        return _STILL
    followed, status, _ = cv2.calcOpticalFlowPyrLK(
        now, later, corners, None, winSize=(15, 15), maxLevel=2
    )  # type: ignore[call-overload]
    is_followed = status[:, 0] == 1
    if is_followed.sum() < _MIN_CORNERS:
        return _STILL
    move, _ = cv2.estimateAffinePartial2D(
        corners[is_followed], followed[is_followed], ransacReprojThreshold=1.0
    )
    return _STILL if move is None else move

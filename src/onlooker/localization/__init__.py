"""Where: heat maps, boxes and tubes from attention and motion, learned from class labels alone.

`motion` measures what moves, `boxes` computes heat maps and their rectangles, and `localize` links
the rectangles of a clip over time to tubes, one for each actor. `find_boxes` does so for a stream,
frame by frame and in constant memory. `crop` follows what acts. Events are found by
`onlooker.stream`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.base.records import Floats, Pixels, Prediction, Tube
from onlooker.localization.boxes import (
    ACTORS,
    SHARE,
    Rectangles,
    find_rectangles,
    heat_maps,
    heat_of,
    peaks,
    to_share,
)
from onlooker.localization.motion import MotionState, moved, moving

__all__ = ["localize"]

_DECAY = 0.2  # share of a frame's heat that is added to the heat of the next frame
# The largest lead of the best path over another one: it limits how long a box stays after another
# place gets more heat.
_LEAD = 3.0
_MIN_SCORE = 0.01  # of a class at one frame: lower ones have no tubes
# The cost of a change of place or size by the whole frame, in the unit of `Rectangles.weights`.
_COST = 0.5


def localize(prediction: Prediction, frames: Pixels, *, still: bool = False) -> Prediction:
    """Add heat maps, points and tubes to a prediction; without attention there are none.

    There are tubes for every class of at least .01, highest scores first.

    Args:
        prediction: of a clip, with the size of its video.
        frames: `T H W C`, uint8, the frames of the prediction at any size.
        still: attention marks what stands in the frame, and motion does not count.

    Raises:
        ValueError: attention without the size of the video, or frames that do not match the
            prediction.
    """
    if prediction.attention is None:
        return replace(prediction, tubes=())
    if prediction.size is None:
        raise ValueError(
            "boxes are in pixels of the video, and its size is not known; give size, (height, width)"
        )
    if frames.ndim != 4 or frames.dtype != np.uint8 or len(frames) != len(prediction.attention):
        expected = f"expected uint8 T H W C with T {len(prediction.attention)}"
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, {expected}")
    # A short clip repeats its last frame, which would seem to stand still and be the background.
    indices, distinct, place = np.unique(prediction.indices, return_index=True, return_inverse=True)
    motion = None if still else moving(frames[distinct])
    heat = heat_maps(prediction.attention[distinct], motion)
    tracks = link([find_rectangles(frame_heat) for frame_heat in heat])
    tubes = label_tubes(
        tracks,
        prediction.frame_scores[distinct],
        indices=indices,
        classes=prediction.classes,
        size=prediction.size,
    )
    points = peaks(heat) * np.array(prediction.size[::-1], np.float32)
    return replace(prediction, heat=heat[place], points=points[place], tubes=tubes)


class BoxMemory(NamedTuple):
    """What finding the next boxes of a stream needs.

    Args:
        motion: what finding the next motion needs.
        heat: `30 40`, the decaying sum over frames.
        paths: the rectangles of the last frame, weighted by the paths that end in them.
    """

    motion: MotionState
    heat: Floats
    paths: Rectangles | None = None


def find_boxes(
    before: BoxMemory | None, attention: ArrayLike, frame: Pixels, *, still: bool = False
) -> tuple[Floats, Rectangles, BoxMemory]:
    """The heat map of one frame, `30 40`; its rectangles, the best path's first; and the new state.

    Args:
        before: the state after the previous frame; None at the first. A frame of another size is a
            first one.
        attention: `h w`, sums to one.
        frame: `H W C`, uint8.
        still: as in `localize`.
    """
    motion, motion_state = moved(before and before.motion, frame)
    return linked_boxes(before, heat_of(attention, None if still else motion), motion_state)


def linked_boxes(
    before: BoxMemory | None, heat: Floats, motion_state: MotionState
) -> tuple[Floats, Rectangles, BoxMemory]:
    """`find_boxes` from the heat of a frame alone, `30 40`, and what finding the next motion needs."""
    paths = None
    if before is not None and motion_state.earlier is not None:
        heat = heat + _DECAY * before.heat
        paths = before.paths
    heat_map = to_share(heat)
    boxes = find_rectangles(heat_map)
    if not len(boxes.weights):
        return heat_map, boxes, BoxMemory(motion_state, heat, paths)
    sums = boxes.weights if paths is None else linked(paths, boxes)[0]
    order = np.argsort(-sums, kind="stable")
    ordered = Rectangles(*(part[order] for part in boxes))
    limited = np.maximum(sums - sums.max(), -_LEAD).astype(np.float32)
    paths = Rectangles(ordered.corners, limited[order])
    return heat_map, ordered, BoxMemory(motion_state, heat, paths)


class Track(NamedTuple):
    """An actor's boxes in `n` consecutive frames of a sample.

    Args:
        start: the position of the first of these frames in the sample.
        corners: `n 4`, as shares of the frame.
        weight: the sum of the weights of its rectangles, minus the costs of their changes.
    """

    start: int
    corners: Floats
    weight: float


def linked(before: Rectangles, now: Rectangles) -> tuple[Floats, NDArray[np.int64]]:
    """One frame of the search for the best path through rectangles (*Max-path*, Tran and Yuan
    2012).

    Args:
        before: rectangles of the frame before; their weights are the sums of the best paths that
            end in them.
        now: rectangles of this frame, with their own weights.

    Returns:
        For each rectangle of this frame, the sum of the best path that ends in it, and the
        rectangle of the frame before on this path.
    """
    a = np.asarray(before.corners, dtype=np.float64)
    b = np.asarray(now.corners, dtype=np.float64)
    # Changes of the center, and of the sides.
    moved = np.abs((a[:, None, :2] + a[:, None, 2:]) - (b[:, :2] + b[:, 2:])).sum(-1) / 2
    grown = np.abs((a[:, None, 2:] - a[:, None, :2]) - (b[:, 2:] - b[:, :2])).sum(-1)
    sums = before.weights[:, None] - _COST * (moved + grown)
    origin = sums.argmax(0)
    return (now.weights + sums.max(0)).astype(np.float32), origin


def link(frames: Sequence[Rectangles]) -> tuple[Track, ...]:
    """The best path through the rectangles of a clip (Viterbi), then the paths of up to two more
    actors.

    The first path has a box in every frame with rectangles. Other paths go through the rectangles
    that are on no path yet, with at least half the weight of the first. Between its rectangles,
    the boxes of a track are interpolated.
    """
    unused = list(frames)
    tracks = list[Track]()
    while len(tracks) < ACTORS:
        path, weight = _best_path(unused)
        if not path or (tracks and weight < SHARE * tracks[0].weight):
            break
        occupied = [t for t, _ in path]
        track_frames = np.arange(occupied[0], occupied[-1] + 1)
        corners = np.stack([unused[t].corners[j] for t, j in path])
        tracks.append(Track(occupied[0], interpolate(track_frames, occupied, corners), weight))
        for t, j in path:
            unused[t] = Rectangles(*(np.delete(part, j, 0) for part in unused[t]))
    return tuple(tracks)


def _best_path(frames: Sequence[Rectangles]) -> tuple[list[tuple[int, int]], float]:
    """The frame and the number of each rectangle on the best path, and the sum of the path."""
    occupied = [t for t, rectangles in enumerate(frames) if len(rectangles.weights)]
    if not occupied:
        return [], 0.0
    best = frames[occupied[0]]
    origins = list[NDArray[np.int64]]()
    for t in occupied[1:]:
        sums, origin = linked(best, frames[t])
        best = Rectangles(frames[t].corners, sums)
        origins.append(origin)
    j = int(best.weights.argmax())
    path = [(occupied[-1], j)]
    for t, origin in zip(reversed(occupied[:-1]), reversed(origins), strict=True):
        j = int(origin[j])
        path.append((t, j))
    return path[::-1], float(best.weights.max())


def interpolate(
    frames: NDArray[Any], box_frames: Sequence[int] | NDArray[Any], corners: NDArray[np.floating]
) -> Floats:
    """Boxes `n 4` at `n` frames: linear between the boxes `corners`, `m 4`, of `m` frames, and
    constant before and after these.
    """
    return np.stack([np.interp(frames, box_frames, side) for side in corners.T], axis=1).astype(
        np.float32
    )


def label_tubes(
    tracks: Sequence[Track],
    frame_scores: NDArray[np.floating],
    *,
    indices: NDArray[np.integer],
    classes: Sequence[str],
    size: tuple[int, int],
) -> tuple[Tube, ...]:
    """Each track once per class of at least .01, highest scores first; of equal scores, the most
    probable class first.

    A tube's score is the mean probability of the class in its frames × the weight of the track per
    frame of the clip (0 for a negative weight). It has a box at each frame of the video from its
    first to its last, also at frames outside of the sample.

    Args:
        tracks: through the `T` frames of the sample.
        frame_scores: `T K`, probabilities.
        indices: `T`, frame indices in the video, ascending.
        classes: the `K` class names.
        size: height and width of the video, in whose pixels the boxes are.
    """
    scale = np.array([*size[::-1]] * 2, np.float32)
    tubes = list[Tube]()
    for track in tracks:
        span = slice(track.start, track.start + len(track.corners))
        box_frames = indices[span]
        frames = np.arange(box_frames[0], box_frames[-1] + 1)
        boxes = interpolate(frames, box_frames, track.corners * scale)
        weight = max(track.weight, 0) / len(indices)
        scores = frame_scores[span].mean(0)
        for k in np.argsort(-scores, kind="stable").tolist():
            if frame_scores[span, k].max() >= _MIN_SCORE:
                tubes.append(Tube(classes[k], frames, boxes, score=float(scores[k] * weight)))
    return tuple(sorted(tubes, key=lambda tube: -tube.score))

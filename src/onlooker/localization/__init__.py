"""Where: attention and motion become heat maps, boxes and tubes, from labels alone.

One clip passes through these modules in order: motion → boxes (heat maps, rectangles) → tubes (`localize`). A stream
does so frame by frame, without later frames, in constant memory (`find_boxes`). Events are found by `onlooker.stream`.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from onlooker.localization.boxes import Rectangles, find_rectangles, heat_maps, heat_of, peaks, to_share
from onlooker.localization.motion import Scene, moved, moving
from onlooker.localization.tubes import label_tubes, link, linked
from onlooker.structures import Floats, Pixels, Prediction

__all__ = ["Places", "find_boxes", "localize"]


_KEPT = 0.2  # of the heat of the frame before
_LEAD = 3.0  # of the best path over any other at most: how long a box stays after another place gets more heat


def localize(prediction: Prediction, frames: Pixels) -> Prediction:
    """Add heat maps, points and tubes to a prediction; without attention there are none.

    There are tubes for every class of at least .01, highest scores first.

    Args:
        prediction: of a clip, with the size of its video.
        frames: `T H W C`, uint8, the frames of the prediction at any size.

    Raises:
        ValueError: attention without the size of the video, or frames that do not match the prediction.
    """
    if prediction.attention is None:
        return replace(prediction, tubes=())
    if prediction.size is None:
        raise ValueError("boxes are in pixels of the video, and its size is not known; give size, (height, width)")
    if frames.ndim != 4 or frames.dtype != np.uint8 or len(frames) != len(prediction.attention):
        expected = f"expected uint8 T H W C with T {len(prediction.attention)}"
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, {expected}")
    # A short clip repeats its last frame, which would seem to stand still, and to be what is usual.
    indices, first_of, place = np.unique(prediction.indices, return_index=True, return_inverse=True)
    heat = heat_maps(prediction.attention[first_of], moving(frames[first_of]))
    tracks = link([find_rectangles(of_frame) for of_frame in heat])
    tubes = label_tubes(tracks, prediction.frame_scores[first_of], indices, prediction.classes, prediction.size)
    points = peaks(heat) * np.array(prediction.size[::-1], np.float32)
    return replace(prediction, heat=heat[place], points=points[place], tubes=tubes)


class Places(NamedTuple):
    """What is kept of a stream to find boxes: its `scene`, the sum of its `heat`, and the best `paths`."""

    scene: Scene
    heat: Floats
    paths: Rectangles | None = None


def find_boxes(before: Places | None, attention: ArrayLike, frame: Pixels) -> tuple[Floats, Rectangles, Places]:
    """The heat map of one frame, `h w`, and its rectangles, that of the best path first; and what the next frame needs.

    Args:
        before: of the previous frame; None at the first. A frame of another size is a first one.
        attention: `h w`, sums to one.
        frame: `H W C`, uint8.
    """
    motion, scene = moved(before and before.scene, frame)
    heat = heat_of(attention, motion)
    paths = None
    if before is not None and scene.earlier is not None:
        heat += _KEPT * before.heat
        paths = before.paths
    shown = to_share(heat)
    found = find_rectangles(shown)
    if not len(found.weights):
        return shown, found, Places(scene, heat, paths)
    sums = found.weights if paths is None else linked(paths, found)[0]
    order = np.argsort(-sums, kind="stable")
    ordered = Rectangles(*(part[order] for part in found))
    led = np.maximum(sums - sums.max(), -_LEAD).astype(np.float32)
    return shown, ordered, Places(scene, heat, Rectangles(ordered.corners, led[order]))

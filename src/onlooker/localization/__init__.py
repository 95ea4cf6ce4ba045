"""Where: attention and motion become heat maps, boxes and tubes, from labels alone.

One clip passes through these modules in order: motion → boxes (heat maps, rectangles) → tubes; `online` does the same
for a stream, frame by frame. Events are found by `onlooker.stream`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onlooker.localization.boxes import find_rectangles, heat_maps, peaks
from onlooker.localization.motion import moving
from onlooker.localization.tubes import label_tubes, link
from onlooker.structures import Prediction

__all__ = ["localize"]


def localize(prediction: Prediction, frames: NDArray[np.uint8]) -> Prediction:
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

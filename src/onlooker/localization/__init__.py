"""Where and when: attention, motion and frame scores become heat maps, boxes, tubes and segments, from labels alone.

One clip passes through these modules in order: motion → boxes (heat maps, rectangles) → tubes and segments; `online`
does the same for a stream, frame by frame.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onlooker.localization.boxes import find_rectangles, heat_maps, peaks
from onlooker.localization.motion import moving
from onlooker.localization.segments import find_segments
from onlooker.localization.tubes import label_tubes, link
from onlooker.structures import Prediction

__all__ = ["localize"]


def localize(prediction: Prediction, frames: NDArray[np.uint8]) -> Prediction:
    """Add heat maps, points, tubes and segments to a prediction, highest scores first; without attention only segments.

    Segments are of the predicted class. They follow its scores, and so do the scores of tubes, which there are for
    every class of at least .01.

    Args:
        prediction: of a clip, with the size of its video.
        frames: `T H W C`, uint8, the frames of the prediction at any size.

    Raises:
        ValueError: attention without the size of the video, or frames that do not match the prediction.
    """
    frame_scores = prediction.frame_scores
    every = find_segments(frame_scores, prediction.times, prediction.classes, prediction.end)
    label, nothing = prediction.label, prediction.nothing_name
    segments = tuple(segment for segment in every if segment.label == label != nothing)
    if prediction.attention is None:
        return replace(prediction, tubes=(), segments=segments)
    if prediction.size is None:
        raise ValueError("boxes are in pixels of the video, and its size is not known; give size, (height, width)")
    if frames.ndim != 4 or frames.dtype != np.uint8 or len(frames) != len(prediction.attention):
        expected = f"expected uint8 T H W C with T {len(prediction.attention)}"
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, {expected}")
    # A short clip repeats its last frame, which would seem to stand still, and to be what is usual.
    indices, first_of, place = np.unique(prediction.indices, return_index=True, return_inverse=True)
    heat = heat_maps(prediction.attention[first_of], moving(frames[first_of]))
    tracks = link([find_rectangles(of_frame) for of_frame in heat])
    tubes = label_tubes(tracks, frame_scores[first_of], indices, prediction.classes, prediction.size)
    points = peaks(heat) * np.array(prediction.size[::-1], np.float32)
    return replace(prediction, heat=heat[place], points=points[place], tubes=tubes, segments=segments)

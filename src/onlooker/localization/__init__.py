"""Where and when: attention maps and frame scores become boxes, tubes and segments, learned from labels alone.

One clip passes through these modules in order: maps (upsampling, foreground) → boxes → tubes and segments;
`online` does the same for a stream, frame by frame.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onlooker.localization.boxes import find_boxes
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import evidence_scores, find_segments
from onlooker.localization.tubes import label_tubes, link
from onlooker.structures import Prediction

__all__ = ["LocalizationParameters", "localize"]


def localize(prediction: Prediction, frames: NDArray[np.uint8], parameters: LocalizationParameters) -> Prediction:
    """Add points, tubes and segments to a prediction, highest scores first; without attention only segments.

    Tubes and segments follow the evidence of frames where the model has it (`evidence_scores`), otherwise the scores
    of their class.

    Args:
        prediction: of a clip, with the size of its video.
        frames: `T H W C`, uint8, the frames of the prediction at any size.

    Raises:
        ValueError: attention without the size of the video, or frames that do not match the prediction.
    """
    frame_scores = prediction.frame_scores
    if prediction.evidence is not None:
        # The class scores of the clip hold at its decisive frames: only the evidence varies over time.
        frame_scores = evidence_scores(prediction.scores, prediction.evidence)
    segments = find_segments(frame_scores, prediction.times, prediction.classes, parameters, prediction.end)
    if prediction.attention is None:
        return replace(prediction, tubes=(), segments=segments)
    if prediction.size is None:
        raise ValueError("boxes are in pixels of the video, and its size is not known; give size, (height, width)")
    boxes = find_boxes(prediction.attention, frames, parameters)
    tubes = label_tubes(link(boxes, parameters), frame_scores, prediction.indices, prediction.classes, parameters)
    (height, width), (H, W) = prediction.size, frames.shape[1:3]
    scale = np.array([width / W, height / H] * 2, np.float32)
    tubes = tuple(replace(tube, boxes=tube.boxes * scale) for tube in tubes)
    points = np.stack([of_frame.point for of_frame in boxes]) * scale[:2]
    return replace(prediction, points=points, tubes=tubes, segments=segments)

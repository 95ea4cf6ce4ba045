"""A prediction with places and times: what the other modules of this room do, one after the other."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onlooker.localization.boxes import find_boxes
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import find_segments, happening
from onlooker.localization.tubes import label_tubes, link
from onlooker.structures import Prediction


def locate(seen: Prediction, pictures: NDArray[np.uint8], parameters: LocalizationParameters) -> Prediction:
    """The prediction with its points, tubes and segments, the surest first; without attention there are no places.

    Where frames have evidence, tubes and segments last as long as it does (`happening`), else as long as the class.

    Args:
        seen: of a clip, with the size of its video.
        pictures: `T H W C`, uint8, the frames that were looked at, at whatever size.
        parameters: how.

    Raises:
        ValueError: a prediction with attention and without the size of its video, or frames that do not fit it.
    """
    frame_scores, usual = seen.frame_scores, np.full(len(seen.classes), 0.5)
    if seen.evidence is not None:
        # A class is as probable as in the whole clip where frames tell most: what is compared is their evidence.
        frame_scores, usual = happening(seen.scores, seen.evidence, parameters), seen.scores
    segments = find_segments(frame_scores, seen.times, seen.classes, parameters, usual)
    if seen.attention is None:
        return replace(seen, tubes=(), segments=segments)
    if seen.size is None:
        raise ValueError("boxes are in pixels of the video, and its size is not known; give size, (height, width)")
    found = find_boxes(seen.attention, pictures, parameters)
    tubes = label_tubes(link(found, parameters), frame_scores, seen.indices, seen.classes, parameters, usual)
    scale = np.array([seen.size[1] / pictures.shape[2], seen.size[0] / pictures.shape[1]] * 2, np.float32)
    scaled = tuple(replace(tube, boxes=tube.boxes * scale) for tube in tubes)
    points = np.stack([here.point for here in found]) * scale[:2]
    return replace(seen, points=points, tubes=scaled, segments=segments)

"""Tubes in a file format of other programs: COCO; for segments, see `onlooker.annotations`."""

from collections.abc import Sequence
from typing import Any

from onlooker.structures import Prediction, Tube

__all__ = ["best_tubes", "to_coco"]


def best_tubes(prediction: Prediction, min_score: float) -> tuple[Tube, ...]:
    """Each track's tube with the highest score, among classes whose probability in the clip reaches `min_score`."""
    scores = zip(prediction.classes, prediction.scores.tolist(), strict=True)
    probable = {name for name, score in scores if score >= min_score}
    best: list[Tube] = []
    for tube in prediction.tubes:  # highest scores first
        if tube.label in probable and not any(_same_track(tube, other) for other in best):
            best.append(tube)
    return tuple(best)


def _same_track(a: Tube, b: Tube) -> bool:
    """Whether two tubes have a box in common."""
    at = dict(zip(a.frames.tolist(), map(tuple, a.boxes.tolist()), strict=True))
    return any(at.get(frame) == tuple(box) for frame, box in zip(b.frames.tolist(), b.boxes.tolist(), strict=True))


def to_coco(prediction: Prediction, tubes: Sequence[Tube]) -> dict[str, Any]:
    """COCO's detection format as video data sets use it: one image per frame with a box, `video_id`, and `track_id` for
    the boxes of each tube. The entry of the video has its predicted class and probability, even without boxes.

    Boxes are `x y width height` in pixels of the video; ids start at 1, `frame_id` at 0.

    Raises:
        ValueError: the size of the video is not known.
    """
    if prediction.size is None:
        raise ValueError("the size of the video is not known; give size, (height, width)")
    size = {"width": prediction.size[1], "height": prediction.size[0]}
    frames = sorted({frame for tube in tubes for frame in tube.frames.tolist()})
    image_ids = {frame: number for number, frame in enumerate(frames, 1)}
    boxes = [
        (track, tube, frame, corners)
        for track, tube in enumerate(tubes, 1)
        for frame, corners in zip(tube.frames.tolist(), tube.boxes.tolist(), strict=True)
    ]
    video = {"id": 1, "name": prediction.path.name, **size, "label": prediction.label, "score": prediction.score}
    return {
        "videos": [video],
        "images": [{"id": number, "video_id": 1, "frame_id": frame, **size} for frame, number in image_ids.items()],
        "categories": [{"id": number, "name": name} for number, name in enumerate(prediction.classes, 1)],
        "annotations": [
            {
                "id": number,
                "image_id": image_ids[frame],
                "video_id": 1,
                "track_id": track,
                "category_id": prediction.classes.index(tube.label) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "score": tube.score,
            }
            for number, (track, tube, frame, (x1, y1, x2, y2)) in enumerate(boxes, 1)
        ],
    }

"""Tubes in a file format of other programs: COCO; for segments, see `onlooker.annotations`."""

from typing import Any

from onlooker.structures import Prediction

__all__ = ["to_coco"]


def to_coco(prediction: Prediction) -> dict[str, Any]:
    """COCO's detection format as video data sets use it: one image per frame with a box, `video_id`, and `track_id` for
    the boxes of each tube. The entry of the video has its predicted class and probability, even without boxes.

    Boxes are `x y width height` in pixels of the video; ids start at 1, `frame_id` at 0.

    Raises:
        ValueError: the size of the video is not known.
    """
    if prediction.size is None:
        raise ValueError("the size of the video is not known; give size, (height, width)")
    size = {"width": prediction.size[1], "height": prediction.size[0]}
    tubes = prediction.actors
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

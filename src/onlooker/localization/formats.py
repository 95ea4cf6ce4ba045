"""Tubes and segments in the forms that other programs read: COCO, MOT Challenge, ActivityNet."""

from collections.abc import Sequence
from typing import Any

from onlooker.structures import Prediction, Tube


def surest(seen: Prediction, least: float) -> tuple[Tube, ...]:
    """Of each thing that was followed the tube of its most probable class, if the clip shows that class.

    Args:
        seen: a prediction.
        least: the probability of the whole clip that a class has at least.
    """
    probable = {name for name, score in zip(seen.classes, seen.scores.tolist(), strict=True) if score >= least}
    kept: list[Tube] = []
    for tube in seen.tubes:  # the surest first
        if tube.label in probable and not any(_same_thing(tube, other) for other in kept):
            kept.append(tube)
    return tuple(kept)


def _same_thing(a: Tube, b: Tube) -> bool:
    """Whether both follow one thing: they have a box in common."""
    at = dict(zip(a.frames.tolist(), map(tuple, a.boxes.tolist()), strict=True))
    return any(at.get(frame) == tuple(box) for frame, box in zip(b.frames.tolist(), b.boxes.tolist(), strict=True))


def to_coco(seen: Prediction, tubes: Sequence[Tube]) -> dict[str, Any]:
    """COCO's detection form as video sets use it: an image for each frame with a box, `video_id`, and `track_id` for
    each tube's boxes. The video also has its most probable class and the probability, whether there are boxes or not.

    Boxes are `x y width height` in pixels of the video; ids count from 1, `frame_id` from 0.

    Raises:
        ValueError: the size of the video is not known.
    """
    if seen.size is None:
        raise ValueError("the size of the video is not known; give size, (height, width)")
    height, width = seen.size
    frames = sorted({frame for tube in tubes for frame in tube.frames.tolist()})
    images = {frame: number for number, frame in enumerate(frames, 1)}
    annotations: list[dict[str, Any]] = []
    for track, tube in enumerate(tubes, 1):
        for frame, (x1, y1, x2, y2) in zip(tube.frames.tolist(), tube.boxes.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": images[frame],
                    "video_id": 1,
                    "track_id": track,
                    "category_id": seen.classes.index(tube.label) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "score": tube.score,
                }
            )
    return {
        "videos": [
            {
                "id": 1,
                "name": seen.path.name,
                "width": width,
                "height": height,
                "label": seen.label,
                "score": seen.score,
            }
        ],
        "images": [
            {"id": number, "video_id": 1, "frame_id": frame, "width": width, "height": height}
            for frame, number in images.items()
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(seen.classes, 1)],
        "annotations": annotations,
    }


def to_mot(seen: Prediction, tubes: Sequence[Tube]) -> str:
    """MOT Challenge's form, a line a box: frame, id, left, top, width, height, score, class, visibility.

    Frames, ids, classes and pixels count from 1, as there; visibility is not known and stands as -1.
    """
    rows = []
    for track, tube in enumerate(tubes, 1):
        for frame, (x1, y1, x2, y2) in zip(tube.frames.tolist(), tube.boxes.tolist(), strict=True):
            place = ",".join(f"{value:.2f}" for value in (x1 + 1, y1 + 1, x2 - x1, y2 - y1))
            rows.append((frame + 1, track, f"{place},{tube.score:.4f},{seen.classes.index(tube.label) + 1},-1"))
    return "".join(f"{frame},{track},{rest}\n" for frame, track, rest in sorted(rows))


def to_activitynet(seen: Prediction, least: float) -> dict[str, Any]:
    """ActivityNet's form of results: by video, labels with their start and end in seconds, and how sure they are.

    Args:
        seen: a prediction.
        least: segments of classes below this probability of the whole clip are left out.
    """
    sure = dict(zip(seen.classes, seen.scores.tolist(), strict=True))
    kept = [
        {"label": one.label, "segment": [one.start, one.end], "score": one.score}
        for one in seen.segments
        if sure[one.label] >= least
    ]
    return {"version": "VERSION 1.3", "results": {seen.path.stem: kept}, "external_data": {}}

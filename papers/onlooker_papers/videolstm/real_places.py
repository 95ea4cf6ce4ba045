"""Boxes and tubes of a model's clips against true tubes, compared with boxes without attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onlooker.data.samples import Sample
from onlooker.localization.boxes import Candidates, find_boxes
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tubes import label_tubes, link
from onlooker.structures import Tube
from onlooker_papers.detection import at_thresholds, video_map
from onlooker_papers.videolstm.places import always

CENTER = np.array([0.25, 0.25, 0.75, 0.75], np.float32)  # a box in shares of the frame


@dataclass(frozen=True, eq=False)
class Seen:
    """The prediction of a model for a test clip.

    Args:
        name: the name in the annotations.
        sample: its frames.
        scores: `T K`.
        maps: by rules for boxes, `T h w` each.
        truth: its tubes, in pixels of the video.
    """

    name: str
    sample: Sample
    scores: NDArray[np.float32]
    maps: Mapping[str, NDArray[np.float32]]
    truth: Sequence[Tube]


def candidates(seen: Seen, method: str, parameters: LocalizationParameters) -> Sequence[Candidates]:
    """The boxes of a method in every frame of the sample, in its pixels."""
    frames = seen.sample.pixels
    if method == "center":
        return always(CENTER * np.array([*frames.shape[2:0:-1]] * 2, np.float32), len(frames))
    return find_boxes(seen.maps[method], frames, parameters)


def figures_of(
    clips: Sequence[Seen], method: str, classes: Sequence[str], parameters: LocalizationParameters
) -> dict[str, float]:
    """video-mAP of a method's tubes, and the share of frames in which its point is in a true box."""
    labels = {tube.label for seen in clips for tube in seen.truth}
    found: dict[str, list[Tube]] = {}
    inside: list[NDArray[np.float64]] = []
    for seen in clips:
        boxes = candidates(seen, method, parameters)
        (height, width), (H, W) = seen.sample.size, seen.sample.pixels.shape[1:3]
        scale = np.array([width / W, height / H] * 2, np.float32)
        tubes = label_tubes(link(boxes, parameters), seen.scores, seen.sample.indices, classes, parameters)
        found[seen.name] = [replace(tube, boxes=tube.boxes * scale) for tube in tubes if tube.label in labels]
        points = np.stack([each.point for each in boxes]) * scale[:2]
        inside.append(point_in_box(points, true_boxes(seen)))
    true_tubes = {seen.name: list(seen.truth) for seen in clips}
    return {
        "point_in_box": float(np.nanmean(np.concatenate(inside))),
        **at_thresholds("video_map", video_map(found, true_tubes)),
    }


def true_boxes(seen: Seen) -> NDArray[np.float32]:
    """The boxes at the frames of the sample, `T n 4` in pixels of the video; NaN where a tube has none."""
    boxes = np.full((len(seen.sample.indices), len(seen.truth), 4), np.nan, np.float32)
    for n, tube in enumerate(seen.truth):
        _, here, there = np.intersect1d(seen.sample.indices, tube.frames, return_indices=True)
        boxes[here, n] = tube.boxes[there]
    return boxes


def point_in_box(points: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Whether points `T 2` lie in one of the boxes `T n 4`, `T`; NaN in frames without a box."""
    inside = ((boxes[..., :2] <= points[:, None]) & (points[:, None] <= boxes[..., 2:])).all(-1).any(-1)
    return np.where(np.isfinite(boxes).all(-1).any(-1), inside.astype(float), np.nan)

"""Predicted tubes and points of real clips against true tubes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onlooker import Prediction, Tube
from onlooker_papers.detection import at_thresholds, box_iou, video_map

Floats = NDArray[np.float64]

CENTER = np.array([0.25, 0.25, 0.75, 0.75], np.float32)  # a box in shares of the frame


@dataclass(frozen=True, eq=False)
class Seen:
    """A prediction with tubes, and the true tubes, in pixels of the video."""

    prediction: Prediction
    truth: Sequence[Tube]

    @property
    def true_boxes(self) -> NDArray[np.float32]:
        """The true boxes at the frames of the sample, `T n 4`; NaN where a tube has none."""
        return np.stack([boxes_at(tube, self.prediction.indices) for tube in self.truth], 1)

    @property
    def boxes(self) -> NDArray[np.float32]:
        """The boxes `T 4` of the predicted class's tube with the highest score; NaN at a frame
        without one.
        """
        tubes = [tube for tube in self.prediction.tubes if tube.label == self.prediction.label]
        nowhere = np.full((len(self.prediction.indices), 4), np.nan, np.float32)
        return boxes_at(tubes[0], self.prediction.indices) if tubes else nowhere


def boxes_at(tube: Tube, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """The boxes of a tube at some frames of its video, `T 4`; NaN at those without one."""
    boxes = np.full((len(indices), 4), np.nan, np.float32)
    places = np.searchsorted(tube.frames, indices).clip(0, len(tube.frames) - 1)
    known = tube.frames[places] == indices
    boxes[known] = tube.boxes[places[known]]
    return boxes


def in_the_middle(seen: Seen) -> Seen:
    """The same prediction with a centered box, of a quarter of the frame, in place of its tubes."""
    prediction = seen.prediction
    assert prediction.size is not None
    size = np.tile(prediction.size[::-1], 2).astype(np.float32)
    frames = np.arange(prediction.indices[0], prediction.indices[-1] + 1)
    boxes = np.tile(CENTER * size, (len(frames), 1))
    scores = zip(prediction.classes, prediction.frame_scores.mean(0).tolist(), strict=True)
    tubes = sorted(
        (Tube(name, frames, boxes, score=score) for name, score in scores),
        key=lambda tube: -tube.score,
    )
    points = np.tile(size[:2] / 2, (len(prediction.indices), 1)).astype(np.float32)
    return replace(seen, prediction=replace(prediction, tubes=tuple(tubes), points=points))


def frame_figures(points: Floats, boxes: Floats, truth: Floats) -> dict[str, Floats]:
    """For each frame with a true box: whether the point and the box's center are in one, whether
    there is a box, and how much it overlaps one.

    Args:
        points, boxes: `T 2` and `T 4`, NaN where there is none.
        truth: `T n 4`, NaN where there is none.
    """
    known = np.isfinite(truth).all(-1).any(-1)
    points = points[known]
    boxes = boxes[known]
    truth = truth[known]
    overlaps = np.nan_to_num(box_iou(np.nan_to_num(boxes)[:, None], np.nan_to_num(truth))).max(
        1, initial=0
    )
    return {
        "peak_in_box": _inside(points, truth),
        "center_in_box": _inside((boxes[:, :2] + boxes[:, 2:]) / 2, truth),
        "shown": np.isfinite(boxes).all(1).astype(float),
        "iou": overlaps,
        "iou_30": (overlaps >= 0.3).astype(float),
        "iou_50": (overlaps >= 0.5).astype(float),
    }


def _inside(points: Floats, boxes: Floats) -> Floats:
    """Whether points `T 2` lie in one of the boxes `T n 4`; a comparison with NaN is false."""
    inside = ((boxes[..., :2] <= points[:, None]) & (points[:, None] <= boxes[..., 2:])).all(-1)
    return np.asarray(inside.any(-1), np.float64)


def mean_figures(clips: Sequence[dict[str, Floats]]) -> dict[str, float]:
    """The shares of the frames of all clips."""
    return {name: float(np.concatenate([of[name] for of in clips]).mean()) for name in clips[0]}


def figures_of(clips: Sequence[Seen]) -> dict[str, float]:
    """`frame_figures` over all frames with a true box, and video-mAP of the tubes."""
    labels = {tube.label for seen in clips for tube in seen.truth}
    named = [(str(number), seen) for number, seen in enumerate(clips)]
    tubes = {
        name: [tube for tube in seen.prediction.tubes if tube.label in labels]
        for name, seen in named
    }
    frames = []
    for seen in clips:
        if seen.truth:
            assert seen.prediction.points is not None
            parts = (seen.prediction.points, seen.boxes, seen.true_boxes)
            frames.append(frame_figures(*(part.astype(np.float64) for part in parts)))
    return {
        **mean_figures(frames),
        **at_thresholds(
            "video_map", video_map(tubes, {name: list(seen.truth) for name, seen in named})
        ),
    }

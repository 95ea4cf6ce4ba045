"""Localization metrics: CorLoc, and mean average precision of boxes and tubes.

Predicted and true objects are records of the same type, keyed by video; the score of a true one is
ignored. Means leave out classes without true objects, and videos without either.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Box, Tube
from onlooker.report.events import THRESHOLDS, Floats, mean_ap

__all__ = [
    "at_thresholds",
    "cor_loc",
    "frame_map",
    "tube_iou",
    "video_map",
]


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of boxes `… 4`, broadcast against each other; 0 if both are empty."""
    a = np.asarray(a, dtype=np.float64)
    b = np.asarray(b, dtype=np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = sides.clip(min=0).prod(axis=-1)
    union = (
        (a[..., 2:] - a[..., :2]).prod(axis=-1)
        + (b[..., 2:] - b[..., :2]).prod(axis=-1)
        - intersection
    )
    iou: NDArray[np.float64] = np.divide(
        intersection, union, out=np.zeros_like(intersection), where=union > 0
    )
    return iou


def tube_iou(a: Tube, b: Tube) -> float:
    """IoU of the tubes' frames × mean IoU of their boxes over the frames that they share, as on
    UCF101-24.

    The definition of Saha et al. (*Deep learning for detecting multiple space-time action tubes in
    videos*, 2016) and of Weinzaepfel et al. (2015). A tube must have a box at every frame; a gap
    lowers its IoU.
    """
    shared, in_a, in_b = np.intersect1d(a.frames, b.frames, assume_unique=True, return_indices=True)
    if not len(shared):
        return 0.0
    in_time = len(shared) / (len(a.frames) + len(b.frames) - len(shared))
    return in_time * float(box_iou(a.boxes[in_a], b.boxes[in_b]).mean())


def frame_map(
    found: Mapping[str, Iterable[Box]],
    true: Mapping[str, Iterable[Box]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Floats:
    """frame-mAP: mean average precision of boxes, with every frame of every video as an image.

    Args:
        found, true: boxes, by videos.
        thresholds: L IoUs.

    Returns:
        `L`, the mean over classes at each threshold; NaN without true boxes.
    """
    guesses, truths = (
        {(video, t): here for video, boxes in side.items() for t, here in _by_frame(boxes).items()}
        for side in (found, true)
    )
    return mean_ap(guesses, truths, _box_overlaps, thresholds)


def video_map(
    found: Mapping[str, Iterable[Tube]],
    true: Mapping[str, Iterable[Tube]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Floats:
    """video-mAP: mean average precision of tubes by `tube_iou`; `L`, the mean over classes at each
    threshold.
    """
    return mean_ap(found, true, _tube_overlaps, thresholds)


def at_thresholds(name: str, values: Floats) -> dict[str, float]:
    """Values at `THRESHOLDS` as `name_20`, `name_50`, and the mean from .5 to .95, `name_50_95`."""
    if values.shape != (len(THRESHOLDS),):
        raise ValueError(
            f"values have shape {values.shape}, expected one at each of {len(THRESHOLDS)} thresholds"
        )
    return {
        f"{name}_20": float(values[0]),
        f"{name}_50": float(values[1]),
        f"{name}_50_95": float(values[1:].mean()),
    }


def cor_loc(
    found: Mapping[str, Iterable[Box]], true: Mapping[str, Iterable[Box]], threshold: float = 0.5
) -> float:
    """CorLoc: share of frames with a class whose best box of that class matches a true one,
    averaged over classes.

    Deselaers, Alexe and Ferrari (*Weakly supervised localization and learning with generic
    knowledge*, 2012). A frame without a box of the class is a miss; boxes of other classes do not
    matter.

    Returns:
        NaN without true boxes.
    """
    hits = defaultdict(list)
    for video, boxes in true.items():
        there = _by_frame(found.get(video, ()))
        for t, here in _by_frame(boxes).items():
            for label in dict.fromkeys(box.label for box in here):
                mine = [box for box in there.get(t, ()) if box.label == label]
                best = [max(mine, key=lambda box: box.score)] if mine else []
                overlaps = _box_overlaps(best, [box for box in here if box.label == label])
                hits[label].append(bool((overlaps >= threshold).any()))
    return float(np.mean([np.mean(each) for each in hits.values()])) if hits else float("nan")


def _by_frame(boxes: Iterable[Box]) -> dict[int, list[Box]]:
    frames = defaultdict(list)
    for box in boxes:
        frames[box.frame].append(box)
    return frames


def _box_overlaps(found: Sequence[Box], true: Sequence[Box]) -> Floats:
    a, b = (np.array([box.corners for box in side]).reshape(-1, 4) for side in (found, true))
    return box_iou(a[:, None], b[None])


def _tube_overlaps(found: Sequence[Tube], true: Sequence[Tube]) -> Floats:
    return np.array([[tube_iou(a, b) for b in true] for a in found]).reshape(len(found), len(true))

"""Localization metrics: the overlap of boxes, and mean average precision of tubes.

Predicted and true tubes are records of the same type, keyed by video; the score of a true one is
ignored. Means leave out classes without true tubes, and videos without either.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onlooker import Tube
from onlooker.measure.events import mean_ap

__all__ = [
    "at_thresholds",
    "tube_iou",
    "video_map",
]


# Of overlap: .2 as in earlier work, and .5 to .95 as in COCO.
THRESHOLDS = (0.2, *(percent / 100 for percent in range(50, 100, 5)))


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
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


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


def video_map(
    found: Mapping[str, Iterable[Tube]],
    true: Mapping[str, Iterable[Tube]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> NDArray[np.float64]:
    """video-mAP: mean average precision of tubes by `tube_iou`; `L`, the mean over classes at each
    threshold.
    """
    return mean_ap(found, true, overlaps=_tube_overlaps, thresholds=thresholds)


def at_thresholds(name: str, values: NDArray[np.float64]) -> dict[str, float]:
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


def _tube_overlaps(found: Sequence[Tube], true: Sequence[Tube]) -> NDArray[np.float64]:
    return np.array([[tube_iou(a, b) for b in true] for a in found]).reshape(len(found), len(true))

"""How good a model's answers are, and how often it looked at the right place: numbers ready for JSON, and a CSV."""

import csv
import io
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from onlooker.files import write_bytes
from onlooker.structures import Evaluation

CALIBRATION_BINS = 15


def wilson_interval(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share (Wilson 1927, without continuity correction): honest for few videos and near 0 or 1.

    Args:
        right: how many were right.
        total: of how many.
        z: normal quantile; the default gives 95 %.
    """
    if not 0 <= right <= total or total == 0:
        raise ValueError(f"{right} right of {total}, expected a share of at least one video")
    share = right / total
    shrunk = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (shrunk - half) / scale), min(1.0, (shrunk + half) / scale)


def _probabilities(scores: NDArray[np.float32], what: str) -> NDArray[np.float64]:
    """Scores checked to be probabilities, in double precision and summing to one exactly."""
    wide = np.asarray(scores, dtype=np.float64)
    sums = wide.sum(axis=-1)
    if not np.isfinite(wide).all() or wide.min(initial=0) < 0 or np.abs(sums - 1).max(initial=0) > 1e-2:
        raise ValueError(
            f"{what} are not probabilities: values {wide.min():.3g} to {wide.max():.3g}, sums {sums.min():.3g} to "
            f"{sums.max():.3g}; expected values in [0, 1] that sum to one: apply softmax to logits first"
        )
    return wide / sums[..., None]


def measure(evaluation: Evaluation) -> dict[str, Any]:
    """Every figure of a model's answers, as plain builtins.

    Args:
        evaluation: `B` videos, `K` classes.

    Returns:
        `videos`, `frames`, `classes`; `accuracy` of the videos with its 95 % `accuracy_interval` (Wilson);
        `frame_accuracy`: the share of all frames, of all videos together, whose most probable class is the video's;
        `top5_accuracy` (only where K > 5); `class_accuracy` by name (None for a class without videos) and its mean
        `mean_class_accuracy`; `log_loss` (nats); `calibration_error` (expected, 15 bins, Guo et al. 2017); `brier`
        (sum over classes, 0 to 2, Brier 1950); `majority_share`: what always saying the commonest class would reach;
        `confusion`: `K K` counts, truth down, prediction across; `skipped`: clips left out and why.

    Raises:
        ValueError: no videos, a video without frames, or scores that are not probabilities.
    """
    if not evaluation.names:
        raise ValueError("the evaluation has no videos: nothing to measure")
    count = len(evaluation.classes)
    scores = _probabilities(evaluation.scores, "scores")
    targets = np.asarray(evaluation.targets, dtype=np.int64)
    picked = scores.argmax(axis=1)
    right = int((picked == targets).sum())
    per_frame = _frames_right(evaluation)
    probabilities, truth = torch.from_numpy(scores), torch.from_numpy(targets)

    # torchmetrics wants two classes or more; a model of one class is always right.
    confusion = multiclass_confusion_matrix(torch.from_numpy(picked), truth, num_classes=max(count, 2)).numpy()
    confusion = confusion[:count, :count]
    shown = confusion.sum(axis=1)
    # Its macro average counts a class without videos as 0 as soon as it is predicted once, so the mean is taken here.
    recalls = [int(confusion[k, k]) / int(shown[k]) if shown[k] else None for k in range(count)]
    seen = [recall for recall in recalls if recall is not None]
    of_truth = scores[np.arange(len(targets)), targets]
    measured: dict[str, Any] = {
        "videos": len(targets),
        "frames": len(per_frame),
        "classes": list(evaluation.classes),
        "accuracy": right / len(targets),
        "accuracy_interval": list(wilson_interval(right, len(targets))),
        "frame_accuracy": float(per_frame.mean()),
        "mean_class_accuracy": sum(seen) / len(seen),
        "class_accuracy": dict(zip(evaluation.classes, recalls, strict=True)),
        "log_loss": float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean()),
        "calibration_error": float(
            multiclass_calibration_error(probabilities, truth, num_classes=max(count, 2), n_bins=CALIBRATION_BINS)
        )
        if count > 1
        else 0.0,
        "brier": float(((scores - np.eye(count)[targets]) ** 2).sum(axis=1).mean()),
        "majority_share": int(shown.max()) / len(targets),
        "confusion": confusion.tolist(),
        "skipped": [
            {"path": str(error.path), "found": error.found, "remedy": error.remedy} for error in evaluation.skipped
        ],
    }
    if count > 5:
        top5 = multiclass_accuracy(probabilities, truth, num_classes=count, top_k=5, average="micro")
        measured["top5_accuracy"] = float(top5)
    return measured


def _frames_right(evaluation: Evaluation) -> NDArray[np.bool_]:
    right = []
    for name, scores, target in zip(evaluation.names, evaluation.frame_scores, evaluation.targets, strict=True):
        if scores.ndim != 2 or not len(scores) or scores.shape[1] != len(evaluation.classes):
            raise ValueError(
                f"frame scores of {name} have shape {scores.shape}, expected T {len(evaluation.classes)} with T at "
                "least 1: one row of probabilities a frame"
            )
        right.append(scores.argmax(axis=1) == target)
    return np.concatenate(right)


def write_scores(path: Path | str, evaluation: Evaluation) -> None:
    """Write a CSV with a row a video: name, truth, predicted, and `p(class)` of every class."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "truth", "predicted", *(f"p({name})" for name in evaluation.classes)])
    for name, target, scores in zip(evaluation.names, evaluation.targets, evaluation.scores, strict=True):
        classes = evaluation.classes[int(target)], evaluation.classes[int(scores.argmax())]
        writer.writerow([name, *classes, *(f"{float(score):.6g}" for score in scores)])
    write_bytes(Path(path), text.getvalue().encode())


def _cells_in_boxes(boxes: NDArray[np.float64], grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which cells' centers lie in any of a frame's boxes: `B T n 4` to `B T h w`."""
    (h, w), (H, W) = grid, size
    if boxes.ndim != 4 or boxes.shape[-1] != 4:
        raise ValueError(f"boxes have shape {boxes.shape}, expected B T n 4 (x1 y1 x2 y2 in pixels, NaN where absent)")
    x, y = (np.arange(w) + 0.5) * W / w, (np.arange(h) + 0.5) * H / h
    x1, y1, x2, y2 = np.moveaxis(boxes[..., None, :], -1, 0)  # each B T n 1
    # A comparison with NaN is false: an absent box holds nothing.
    columns, rows = (x1 <= x) & (x <= x2), (y1 <= y) & (y <= y2)
    return (rows[..., :, None] & columns[..., None, :]).any(axis=2)


def _left_out(values: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    present = np.isfinite(boxes).all(axis=-1).any(axis=-1)
    return np.where(present, values, np.nan)


def peak_in_box(attention: ArrayLike, boxes: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """Whether the model looked at it: does the center of the highest cell lie in any of the frame's boxes?

    Where several cells share the peak it is the share of them inside, so a uniform map scores as `uniform_in_box`
    instead of as its first corner.

    Args:
        attention: `B T h w`.
        boxes: `B T n 4`, x1 y1 x2 y2 in pixels; a box with NaN is absent.
        size: height and width of the video in pixels.

    Returns:
        `B T`: 1 inside, 0 outside, NaN at a frame without any box. `np.nanmean` leaves those out.
    """
    maps, given = np.asarray(attention, dtype=np.float64), np.asarray(boxes, dtype=np.float64)
    if maps.ndim != 4 or maps.shape[:2] != given.shape[:2]:
        raise ValueError(
            f"attention has shape {maps.shape} and boxes {given.shape}, expected B T h w and B T n 4 of the same B T"
        )
    inside = _cells_in_boxes(given, (maps.shape[2], maps.shape[3]), size)
    peak = maps.max(axis=(2, 3), keepdims=True)
    highest = maps >= peak - 1e-6 * np.abs(peak)
    return _left_out((highest & inside).sum(axis=(2, 3)) / highest.sum(axis=(2, 3)), given)


def uniform_in_box(boxes: ArrayLike, grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    """What looking anywhere would score: the share of a grid's cells whose center lies in any of the frame's boxes.

    Args:
        boxes: `B T n 4`, x1 y1 x2 y2 in pixels; a box with NaN is absent.
        grid: `(h, w)` of the attention that it is compared with.
        size: height and width of the video in pixels.

    Returns:
        `B T`, NaN at a frame without any box.
    """
    given = np.asarray(boxes, dtype=np.float64)
    return _left_out(_cells_in_boxes(given, grid, size).mean(axis=(2, 3)), given)


def boxes_with_a_window(windows: ArrayLike, boxes: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """The share of a frame's boxes that have a window of their own; they are paired so that it is as high as can be.

    A window is on a box if the middle of each lies inside the other. Where two boxes overlap so much that one window is
    on both, it still counts for one of them only.

    Args:
        windows: `B T G 2 3`, G affine windows a frame: (x, y, 1) with x and y from -1 to 1 in the window is shown from
            the place window · (x, y, 1), which is -1 to 1 between the frame's edges (see `spatial_transform`).
        boxes: `B T n 4`, x1 y1 x2 y2 in pixels; a box with NaN is absent.
        size: height and width of the video in pixels.

    Returns:
        `B T`: the share of the boxes that are present; NaN at a frame without any. With as many windows as boxes it is
        the share of windows on a box of their own too; its mean is over frames, and `(shares == 1)` are the frames
        where all are.
    """
    affine, given = np.asarray(windows, dtype=np.float64), np.asarray(boxes, dtype=np.float64)
    fits = affine.ndim == 5 and affine.shape[3:] == (2, 3) and given.ndim == 4 and given.shape[3] == 4
    if not fits or affine.shape[:2] != given.shape[:2]:
        raise ValueError(
            f"windows have shape {affine.shape} and boxes {given.shape}, expected B T G 2 3 and B T n 4 of the same B T"
        )
    on = _on_each_other(affine, given, size)
    G, n = on.shape[2:]
    # Every way to give the fewer ones a partner among the others each.
    on = on if n >= G else on.swapaxes(2, 3)
    few = np.arange(on.shape[2])
    ways = itertools.permutations(range(on.shape[3]), len(few))
    most = np.max([on[:, :, few, list(way)].sum(axis=2) for way in ways], axis=0)
    count = np.isfinite(given).all(axis=3).sum(axis=2)
    return _left_out(most / np.maximum(count, 1), given)


def _on_each_other(
    windows: NDArray[np.float64], boxes: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which window is on which box: `B T G 2 3` and `B T n 4` to `B T G n`."""
    half = np.array([size[1], size[0]]) / 2
    first, last = boxes[:, :, None, :, :2] / half - 1, boxes[:, :, None, :, 2:] / half - 1  # B T 1 n 2
    middle = windows[..., None, :, 2]  # B T G 1 2
    in_box = ((first <= middle) & (middle <= last)).all(axis=-1)
    # The box's middle in the coordinates of the window, by Cramer's rule; a window without area holds nothing.
    x, y = np.moveaxis((first + last) / 2 - middle, -1, 0)  # B T G n
    a, b, c, d = np.moveaxis(windows[..., :2].reshape(*windows.shape[:3], 1, 4), -1, 0)
    area = np.abs(a * d - b * c)
    in_window = (area > 0) & (np.abs(d * x - b * y) <= area) & (np.abs(a * y - c * x) <= area)
    found: NDArray[np.bool_] = in_box & in_window
    return found

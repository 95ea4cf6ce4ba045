"""Where models looked, scored by true masks, which are not used in training."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import masks_to_boxes

from onlooker.data.samples import read_sample
from onlooker.localization import localize
from onlooker.localization.boxes import box_iou, cut_boxes
from onlooker.localization.maps import motion
from onlooker.localization.parameters import LocalizationParameters
from onlooker.recognizer import Recognizer
from onlooker.structures import Clip, ClipError, Prediction
from onlooker.video.reader import VideoReader
from onlooker_papers.grad_cam import grad_cam_prediction
from onlooker_papers.videolstm.real_places import CENTER, point_in_box

Masks = NDArray[np.bool_]
Floats = NDArray[np.float64]
# From a clip and T of its frames to the masks there, `T H W`.
Truth = Callable[[Clip, NDArray[np.int64]], Masks]

NOT_BLACK = "not-black"
# Names of the baselines without attention.
BASELINES = {
    "grad_cam": "Grad-CAM of the same model",
    "center": "a centered box",
    "moving": "the largest moving region",
}
_WHITE = 128  # threshold of masks, which are white on black
_BLACK = 48  # threshold of a compressed black background, with the artifacts of the codec
_HIT = 0.5  # minimum IoU of a box that counts as correct


def read_truth(given: str, clips: Path) -> Truth:
    """A function that reads the masks of a clip.

    Args:
        given: a folder with a clip of masks, white on black, for every clip, with the same names and sub-folders as the
            clips; or `not-black`: in the clips themselves, the object is drawn on black.
        clips: the folder of the clips.
    """
    if given == NOT_BLACK:
        return lambda clip, indices: VideoReader(clip.path).get(indices).pixels.max(-1) >= _BLACK
    folder = Path(given)
    return lambda clip, at: VideoReader(folder / clip.path.relative_to(clips)).get(at).pixels.max(-1) >= _WHITE


def score_places(answers: Iterable[tuple[Recognizer, Sequence[Clip]]], truth: Truth) -> dict[str, Any]:
    """How often the peak of attention, and the box, are on the mask.

    Args:
        answers: recognizers with attention, each with its test clips.
        truth: see `read_truth`.

    Returns:
        Shares of the frames with a mask: `peak_in_silhouette` (the most attended pixel, `Prediction.points`,
        is in the mask), `peak_in_box` (it is in the smallest box around the mask), `box_iou_50` (the box of the tube
        with the highest score of the predicted class has an IoU of .5 or more with that box; no box is a miss),
        `box_iou`, the mean, and the number of `frames`. Under `cell`, the same for the center of the map's highest
        cell; under `baselines`, without attention: `grad_cam` (maps for the predicted class of the same model,
        converted in the same way), `center` (a quarter of the frame, in its middle), `moving` (the largest moving
        object).

    Raises:
        ClipError: a clip, or its masks, cannot be read or do not fit.
    """
    rows: dict[str, list[Floats]] = {}
    for recognizer, clips in answers:
        for clip in clips:
            for name, row in _of_clip(recognizer, clip, truth).items():
                rows.setdefault(name, []).append(row)
    figures = {name: _shares(np.concatenate(parts)) for name, parts in rows.items()}
    return {**figures.pop("attention"), "cell": figures.pop("cell"), "baselines": figures}


def _of_clip(recognizer: Recognizer, clip: Clip, truth: Truth) -> dict[str, Floats]:
    """By method, for n frames: whether the point is in the mask and in its box, and the IoU of the boxes; `n 3`."""
    sample = read_sample(clip.path, recognizer.data)
    looked = recognizer.predict_sample(sample, clip.path)
    seen = localize(looked, sample.frames, recognizer.localization)
    indices, first = np.unique(seen.indices, return_index=True)
    masks = truth(clip, indices)
    if seen.size != masks.shape[1:]:
        raise ClipError(clip.path, f"frames of {seen.size} and masks of {masks.shape[1:]}", "give fitting ones")
    shown = masks.any(axis=(1, 2))
    if not shown.any():
        return {}
    cam = grad_cam_prediction(recognizer, looked, sample)
    assert seen.attention is not None
    assert seen.points is not None
    assert cam.points is not None
    height, width = masks.shape[1:]
    centered = CENTER * np.array([width, height] * 2)
    moving = cut_boxes(motion(VideoReader(clip.path).get(indices).pixels), LocalizationParameters())
    found: dict[str, tuple[Any, Any]] = {
        "attention": (seen.points[first], _surest(seen, indices)),
        "cell": (_peaks(seen.attention[first], (height, width)), _surest(seen, indices)),
        "grad_cam": (cam.points[first], _surest(cam, indices)),
        "center": ([[width / 2, height / 2]] * len(indices), [centered] * len(indices)),
        "moving": ([of.point for of in moving], [of.corners[0] if len(of) else [np.nan] * 4 for of in moving]),
    }
    true = masks_to_boxes(torch.from_numpy(masks[shown])).numpy() + np.array([0, 0, 1, 1])
    return {
        name: _hits(np.array(points, np.float64)[shown], np.array(boxes, np.float64)[shown], masks[shown], true)
        for name, (points, boxes) in found.items()
    }


def _hits(points: Floats, boxes: Floats, masks: Masks, true: Floats) -> Floats:
    """Whether points `n 2` are in masks `n H W` and in boxes `n 4`, and the IoU of boxes: `n 3`; NaN is nowhere."""
    x, y = np.nan_to_num(points).astype(int).T
    in_mask = masks[np.arange(len(masks)), y, x] & ~np.isnan(points[:, 0])
    return np.stack([in_mask, point_in_box(points, true[:, None]), box_iou(boxes, true)], 1)


def _peaks(maps: NDArray[np.float32], size: tuple[int, int]) -> Floats:
    """The center of the highest cell of maps `T h w`, x and y in pixels; NaN for a uniform map."""
    rows, columns = np.divmod(maps.reshape(len(maps), -1).argmax(1), maps.shape[2])
    points = np.stack([(columns + 0.5) * size[1] / maps.shape[2], (rows + 0.5) * size[0] / maps.shape[1]], 1)
    even = maps.max((1, 2)) <= 1.001 * maps.mean((1, 2))
    return np.where(even[:, None], np.nan, points)


def _surest(seen: Prediction, indices: NDArray[np.int64]) -> Floats:
    """The boxes `T 4` of the predicted class's tube with the highest score; NaN at a frame without one."""
    boxes = np.full((len(indices), 4), np.nan)
    if tube := next((tube for tube in seen.tubes or () if tube.label == seen.label), None):
        _, ours, theirs = np.intersect1d(indices, tube.frames, return_indices=True)
        boxes[ours] = tube.boxes[theirs]
    return boxes


def _shares(rows: Floats) -> dict[str, float]:
    in_mask, in_box, iou = rows.T
    return {
        "peak_in_silhouette": float(in_mask.mean()), "peak_in_box": float(in_box.mean()),
        "box_iou_50": float((iou >= _HIT).mean()), "box_iou": float(iou.mean()), "frames": len(rows),
    }  # fmt: skip

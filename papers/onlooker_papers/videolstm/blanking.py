"""Choose the parameters of boxes from clips and their labels alone, by blanking parts of the
frames.

Compared with one fixed rule (`run.train`), it costs much time and gains nothing on real clips: see
the answered questions in results/. The moving digit's figures and those of UCF101's boxes were made
with it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from onlooker.recognizer import Recognizer
from onlooker_papers.videolstm.boxes import BoxParameters, find_boxes

Pixels = NDArray[np.uint8]

CANDIDATES = tuple(
    BoxParameters(foreground=foreground, extent=extent, threshold=threshold)
    for extent in ("attention", "object")
    for foreground in ("none", "motion", "background", "contrast")
    for threshold in (0.05, 0.1, 0.2, 0.35)
    if extent == "attention" or foreground != "none"
)


def choose_spatial_parameters(
    recognizer: Recognizer,
    samples: torch.Tensor,
    frames: Sequence[Pixels],
    targets: Sequence[int],
) -> BoxParameters:
    """Choose the parameters with the smallest boxes that still contain everything that the label
    needs.

    Everything outside of a clip's boxes is blanked (RGB to the median color of these clips, flow to
    zero), then everything inside; `explanation_cost` combines the area of the boxes and the model's
    probabilities of the label.

    Args:
        recognizer: a trained model that attends.
        samples: `B T H W C`, uint8, clips that were not used in training.
        frames: of each clip `T H W C`, in which boxes and the foreground are found.
        targets: the true class of each clip.

    Raises:
        ValueError: a model that does not attend.
    """
    attention = recognizer.classify(samples).attention
    if attention is None:
        raise ValueError("the model does not attend: there is nothing to choose parameters for")
    flow = recognizer.data.flow_channels
    color = [
        float(np.rint(np.median(samples[..., c].numpy()))) for c in range(samples.shape[-1] - flow)
    ]
    blank = [*color, *[128] * flow]
    count = len(samples)
    size = (samples.shape[2], samples.shape[3])

    def label_probability(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        blanked = [
            blank_outside(clip, mask, blank)
            for clip, mask in zip(samples.numpy(), masks, strict=True)
        ]
        scores = recognizer.classify(torch.from_numpy(np.stack(blanked))).scores
        return recognizer.aggregate(scores)[np.arange(count), list(targets)].clip(0, 1)

    def criterion(parameters: BoxParameters) -> float:
        found = (
            find_boxes(*of_clip, parameters) for of_clip in zip(attention, frames, strict=True)
        )
        masks = np.stack(
            [box_mask([box and box.corners for box in of_clip], size) for of_clip in found]
        )
        area = masks.mean(axis=(1, 2, 3))
        return float(
            explanation_cost(area, label_probability(masks), label_probability(~masks)).mean()
        )

    return min(CANDIDATES, key=criterion)


def explanation_cost(area: ArrayLike, kept: ArrayLike, deleted: ArrayLike) -> NDArray[np.float64]:
    """How badly a region explains a class: area + (1 - kept) + deleted; lower is better.

    The best region is the smallest one that suffices for the class and that the class needs: the
    preservation and the deletion game of Fong & Vedaldi, *Interpretable explanations of black boxes
    by meaningful perturbation*, 2017, with the area on the scale of a probability. `area` penalizes
    boxes that are too large, `kept` boxes in the wrong place, `deleted` boxes around a part of the
    object, where the rest still shows the class. The measure of Dabkowski & Gal (*Real time image
    saliency for black box classifiers*, 2017), log(area) - log(kept), prefers such parts.

    Args:
        area: share of the frame that the region covers.
        kept: probability of the true class with only the region visible.
        deleted: probability of the true class with the region removed.
    """
    area, kept, deleted = (np.asarray(term, dtype=np.float64) for term in (area, kept, deleted))
    return area + (1 - kept) + deleted


def box_mask(
    corners: Sequence[NDArray[np.floating] | None], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """The pixels whose centers are in the box of their frame: `T` arrays `4`, in pixels of H W, to
    `T H W`.
    """
    mask = np.zeros((len(corners), *size), np.bool_)
    for inside, box in zip(mask, corners, strict=True):
        if box is not None:
            x1, y1, x2, y2 = np.rint(box).astype(int)
            inside[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    return mask


def blank_outside(samples: Pixels, mask: NDArray[np.bool_], blank: ArrayLike) -> Pixels:
    """Samples `T H W C` with the value `blank`, `C`, outside of a mask `T H W` (128 for channels of
    optical flow).
    """
    return np.where(mask[..., None], samples, np.asarray(blank, dtype=np.uint8))

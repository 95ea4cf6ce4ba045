"""Do classes differ by what stands in the frame, and where?

Examples are a lamp that is red or green, and a bridge that is up or down. If the camera is fixed,
one place of a single frame tells the class, whoever walks past. Then attention and heat should mark
that place instead of what moves.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier

_LEAST_SHARE = 0.5  # of the variance over frames at the best place, which classes explain


@torch.inference_mode()
def still_evidence(
    model: LinearClassifier, features: Mapping[int, Tensor], targets: NDArray[np.int64]
) -> Head | None:
    """What stands at each of N locations of some training clips; None if classes do not differ by
    it.

    The center of the head, `D N`, is the mean of features, with equal weights of classes. Its
    weight, `1 N`, from 0 to 1, is the share of the variance of class scores over frames that the
    classes explain at a location, beyond what they explain at half of the locations.

    The share is the adjusted correlation ratio: chance explains none of the variance, whatever the
    number of clips. Where the camera moves, or scenes differ between classes, it is as large
    everywhere.

    Args:
        model: with its layer of classes.
        features: of the clips by their positions, `T D h w`.
        targets: the classes of all clips.
    """
    directions = model.class_directions()[:, 0]  # of the mean: `K D`
    classes = targets[[*features]]
    means = torch.stack([_flat(model, clip).mean(0) for clip in features.values()])
    present = np.unique(classes)
    center = torch.stack([means[classes == label].mean(0) for label in present]).mean(0)
    scores = [directions @ (_flat(model, clip) - center) for clip in features.values()]
    total = torch.stack([clip.square().mean(0).sum(0) for clip in scores]).mean(0)
    clip_means = torch.stack([clip.mean(0) for clip in scores])
    overall = clip_means.mean(0)
    between = torch.zeros_like(total)
    for label in present:
        class_means = clip_means[classes == label]
        between += len(class_means) / len(classes) * (class_means.mean(0) - overall).square().sum(0)
    variance = (total - overall.square().sum(0)).clamp_min(1e-30)
    freedom = (len(classes) - 1) / max(1, len(classes) - len(present))
    explained = 1 - (1 - between / variance) * freedom
    share = (explained - explained.median().clamp_min(0)).clamp(0, 1)
    if share.max() < _LEAST_SHARE:
        return None
    return Head(share[None], center=center)


def _flat(model: LinearClassifier, clip: Tensor) -> Tensor:
    """Features `T D h w` as `T D N`, on the device and with the type of the model."""
    return clip.flatten(2).to(model.positions)

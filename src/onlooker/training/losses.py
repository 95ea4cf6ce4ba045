"""Training losses."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["frame_cross_entropy"]


def frame_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Cross entropy of every frame with the video's class, averaged (Li et al. 2016, Sharma et al. 2015).

    Args:
        logits: `B T K`.
        targets: `B`.
        smoothing: share of the target that is spread evenly over all classes.
        weights: `K`, of the classes; the mean is over clips, not over their weights, so that parts of a batch add up.
    """
    T = logits.shape[1]
    frames, truth = logits.float().flatten(0, 1), targets.repeat_interleave(T)
    if weights is None:
        return F.cross_entropy(frames, truth, label_smoothing=smoothing)
    return F.cross_entropy(frames, truth, weights, label_smoothing=smoothing, reduction="none").mean()

"""Training losses."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["frame_cross_entropy"]


def frame_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of every frame with the video's class, averaged (Li et al. 2016, Sharma et al. 2015).

    Args:
        logits: `B T K`.
        targets: `B`.
        smoothing: share of the target that is spread evenly over all classes.
    """
    T = logits.shape[1]
    return F.cross_entropy(logits.float().flatten(0, 1), targets.repeat_interleave(T), label_smoothing=smoothing)

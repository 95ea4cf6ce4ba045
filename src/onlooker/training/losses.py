"""What training makes small."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["frame_cross_entropy"]


def frame_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy at every time step against the video's class, averaged (Li et al. 2016, Sharma et al. 2015).

    Args:
        logits: `B T K`.
        targets: `B`.
        smoothing: share of the target spread evenly over all classes.
    """
    T = logits.shape[1]
    return F.cross_entropy(logits.float().flatten(0, 1), targets.repeat_interleave(T), label_smoothing=smoothing)


def doubly_stochastic(attention: Tensor) -> Tensor:
    """`Σ_i (1 - Σ_t a_ti)²`, averaged over videos: looking at every place once costs nothing (Xu et al. 2015).

    Maps sum to one over places at each frame; this asks that they also sum to one over time at each place, which they
    can only where there are as many frames as places. Sharma et al. 2015 weigh it with λ = 0, 1 or 10.

    Args:
        attention: `B T h w`.
    """
    away: Tensor = 1 - attention.float().sum(1)
    return away.square().sum((1, 2)).mean()

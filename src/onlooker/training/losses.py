"""Training losses."""

import torch.nn.functional as F
from torch import Tensor

from onlooker.config import TrainConfig
from onlooker.models.video_model import VideoModel

__all__ = ["check_regularization", "doubly_stochastic", "frame_cross_entropy"]


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


def doubly_stochastic(attention: Tensor) -> Tensor:
    """`Σ_i (1 - Σ_t a_ti)²`, averaged over videos; 0 for attention `B T h w` that covers each location once.

    Xu et al. 2015; Sharma et al. 2015 weight it with λ = 0, 1 or 10. It can be 0 only if there are as many frames as
    locations, because the map of each frame sums to one.
    """
    difference: Tensor = 1 - attention.float().sum(1)
    return difference.square().sum((1, 2)).mean()


def check_regularization(model: VideoModel, train: TrainConfig) -> None:
    """Raise a ValueError if attention is regularized in a model without attention."""
    if train.attention_regularization and not model.attends:
        raise ValueError(
            f"attention_regularization is {train.attention_regularization}, and this model does not attend; leave it "
            "out, or use one that does, such as alstm"
        )

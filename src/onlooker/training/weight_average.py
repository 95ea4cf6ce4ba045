"""The exponential moving average of a model's weights over the steps of training."""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from onlooker.models.video_model import VideoModel


class WeightAverage(nn.Module):
    """A copy of a model with `average ← d · average + (1 - d) · weight` of its trainable weights, after every step.

    d is at most `(1 + n) / (10 + n)` at step n, as in TensorFlow's ExponentialMovingAverage, so that the initial
    weights do not dominate the average of few steps. Running statistics of batch norm are averaged likewise, other
    buffers are copied, and frozen weights are shared with the model.

    Lightning's EMAWeightAveraging has no such warm-up, copies frozen weights, and stores them in checkpoints.

    Args:
        model: what is averaged; the average starts from its weights.
        decay: d, 0 to 1.
    """

    def __init__(self, model: VideoModel, decay: float) -> None:
        super().__init__()
        shared = {id(weight): weight for weight in model.parameters() if not weight.requires_grad}
        self.model, self.decay = copy.deepcopy(model, shared), decay

    @torch.no_grad()
    def update(self, model: VideoModel, steps: int) -> None:
        """Add the weights of the model after `steps` steps, at least 1."""
        averages, weights = list[Tensor](), list[Tensor]()
        for average, weight in zip(_tensors(self.model), _tensors(model), strict=True):
            if average is weight:
                continue
            if average.is_floating_point():
                averages.append(average)
                weights.append(weight)
            else:
                average.copy_(weight)
        get_ema_multi_avg_fn(min(self.decay, (1 + steps) / (10 + steps)))(averages, weights, None)


def _tensors(model: VideoModel) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]

"""Optimizers and learning-rate schedules."""

from collections.abc import Callable

import torch
from torch.nn import Parameter

from onlooker.config import TrainConfig
from onlooker.models.video_model import VideoModel

__all__ = ["PUBLISHED", "optimizer_of", "schedule_of"]

# The optimizers of the papers, with the constants of Keras, which they used.
PUBLISHED: dict[str, Callable[[list[Parameter], float], torch.optim.Optimizer]] = {
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr, alpha=0.9, eps=1e-7),
    "adadelta": lambda weights, lr: torch.optim.Adadelta(weights, lr, rho=0.95, eps=1e-7),
}


def optimizer_of(model: VideoModel, train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW without weight decay on biases and norms, or an optimizer of `PUBLISHED`."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if train.optimizer in PUBLISHED:
        return PUBLISHED[train.optimizer](trainable, train.lr)
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # Fused: one pass over the memory, which is what an update of a hundred million weights costs on a CPU.
    return torch.optim.AdamW(groups, train.lr, fused=True)


def schedule_of(
    optimizer: torch.optim.Optimizer, train: TrainConfig, steps: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The learning-rate schedule over `steps` batches; None: constant, also `auto` with an optimizer of `PUBLISHED`."""
    if train.schedule == "constant" or (train.schedule == "auto" and train.optimizer in PUBLISHED):
        return None
    if train.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    momentum = isinstance(optimizer, torch.optim.AdamW)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, train.lr, total_steps=steps, pct_start=0.15, cycle_momentum=momentum
    )

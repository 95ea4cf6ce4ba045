"""The optimizer and the learning-rate schedule; other packages can add optimizers."""

from collections.abc import Callable

import torch
from torch.nn import Parameter

from onlooker.config import TrainConfig
from onlooker.models.packages import load_packages
from onlooker.models.video_model import VideoModel
from onlooker.settings import suggestion

__all__ = ["optimizer_of", "register_optimizer", "schedule_of"]

_ADAMW = "adamw"

_registered: dict[str, Callable[[list[Parameter], float], torch.optim.Optimizer]] = {}  # by other packages


def register_optimizer(name: str, make: Callable[[list[Parameter], float], torch.optim.Optimizer]) -> None:
    """Add an optimizer of another package, in the function that it declares as entry point `onlooker.models`.

    Args:
        name: for `TrainConfig.optimizer`.
        make: an optimizer for these parameters with this learning rate, which is constant by default.
    """
    _registered[name] = make


def optimizer_of(model: VideoModel, train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW without weight decay on biases and norms, or an optimizer of another package; a ValueError for neither."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if train.optimizer != _ADAMW:
        load_packages()
        if train.optimizer not in _registered:
            raise ValueError(f"optimizer is {train.optimizer!r}; {suggestion(train.optimizer, [_ADAMW, *_registered])}")
        return _registered[train.optimizer](trainable, train.lr)
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # Fused: one pass over the memory, which dominates the cost of updating a hundred million weights on a CPU.
    return torch.optim.AdamW(groups, train.lr, fused=True)


def schedule_of(
    optimizer: torch.optim.Optimizer, train: TrainConfig, steps: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The learning-rate schedule over `steps` batches; None: constant, also `auto` unless the optimizer is AdamW."""
    if train.schedule == "constant" or (train.schedule == "auto" and train.optimizer != _ADAMW):
        return None
    if train.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    momentum = isinstance(optimizer, torch.optim.AdamW)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, train.lr, total_steps=steps, pct_start=0.15, cycle_momentum=momentum
    )

"""Optimizers and learning-rate schedules."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Parameter

from onlooker.config import TrainConfig
from onlooker.models.video_model import VideoModel

__all__ = ["PUBLISHED", "RMSpropInside", "optimizer_of", "schedule_of"]


class RMSpropInside(torch.optim.Optimizer):
    """RMSprop with ε inside the root, as in the code of Li et al. 2016.

    `v ← ρ v + (1 − ρ) g²`, then `w ← w − lr · g / √(v + ε)`, from v = 0; PyTorch's RMSprop divides by √v + ε. So
    gradients much smaller than √ε make smaller steps than lr.

    Args:
        weights: the parameters.
        lr: learning rate.
        decay: ρ.
        eps: ε.
    """

    def __init__(self, weights: list[Parameter], lr: float, decay: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__(weights, {"lr": lr, "decay": decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One update; returns the loss of `closure`, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if not self.state[weight]:
                    self.state[weight]["square"] = torch.zeros_like(weight)
                square = self.state[weight]["square"]
                square.lerp_(weight.grad.square(), 1 - group["decay"])
                weight.addcdiv_(weight.grad, (square + group["eps"]).sqrt_(), value=-group["lr"])
        return loss


# The optimizers of the papers: with the constants of Keras; `rmsprop-inside` with those of the code of Li et al. 2016.
# The loss there is the sum over 30 frames, here the mean: gradients divided by 30 take the same steps with ε / 30².
PUBLISHED: dict[str, Callable[[list[Parameter], float], torch.optim.Optimizer]] = {
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr, alpha=0.9, eps=1e-7),
    "rmsprop-inside": lambda weights, lr: RMSpropInside(weights, lr, decay=0.9, eps=1e-6 / 30**2),
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
    # Fused: one pass over the memory, which dominates the cost of updating a hundred million weights on a CPU.
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

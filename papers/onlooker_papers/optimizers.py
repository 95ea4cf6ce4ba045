"""The optimizers of the papers, by name for `TrainConfig.optimizer`: `rmsprop`, `rmsprop-inside` and `adadelta`."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Parameter

from onlooker.training.optimizers import register_optimizer

__all__ = ["OPTIMIZERS", "RMSpropInside", "register"]


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


# With the constants of Keras; `rmsprop-inside` with those of the code of Li et al. 2016.
# The loss there is the sum over 30 frames, here the mean: gradients divided by 30 take the same steps with ε / 30².
OPTIMIZERS: dict[str, Callable[[list[Parameter], float], torch.optim.Optimizer]] = {
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr, alpha=0.9, eps=1e-7),
    "rmsprop-inside": lambda weights, lr: RMSpropInside(weights, lr, decay=0.9, eps=1e-6 / 30**2),
    "adadelta": lambda weights, lr: torch.optim.Adadelta(weights, lr, rho=0.95, eps=1e-7),
}


def register() -> None:
    """Register these optimizers for training; their learning rate is constant unless a schedule is given."""
    for name, make in OPTIMIZERS.items():
        register_optimizer(name, make)

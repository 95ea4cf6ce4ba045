"""The optimizers of the papers, by name for `TrainConfig.optimizer`: `rmsprop` and `adadelta`."""

from collections.abc import Callable

import torch
from torch.nn import Parameter

from onlooker.training.optimizers import register_optimizer

__all__ = ["OPTIMIZERS", "register"]


# With the constants of Keras.
OPTIMIZERS: dict[str, Callable[[list[Parameter], float], torch.optim.Optimizer]] = {
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr, alpha=0.9, eps=1e-7),
    "adadelta": lambda weights, lr: torch.optim.Adadelta(weights, lr, rho=0.95, eps=1e-7),
}


def register() -> None:
    """Register these optimizers for training; their learning rate is constant unless a schedule is given."""
    for name, make in OPTIMIZERS.items():
        register_optimizer(name, make)

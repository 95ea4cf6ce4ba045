"""A learned initial state."""

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import State

INITS = ("zeros", "first-frame", "clip-mean")

__all__ = ["LearnedInit"]


class LearnedInit(nn.Module):
    """Predicts each part of the initial state from features: `tanh(W ∗ X)`.

    Parts that are maps come from a 3×3 convolution (the code of Li et al. 2016: H_0, C_0 = tanh(conv(mean over time of
    X))), vectors from the features averaged over locations (the code of Sharma et al. 2015).

    Args:
        num_features: D of the features.
        state: an example, for the shapes of the parts.
    """

    def __init__(self, num_features: int, state: State) -> None:
        super().__init__()
        if not all(part.numel() for part in state):
            raise ValueError("this cell has no state to learn; use init='zeros'")
        self.parts = nn.ModuleList(
            nn.Conv2d(num_features, part.shape[1], 3, padding=1)
            if part.ndim == 4
            else nn.Linear(num_features, part.shape[1])
            for part in state
        )

    def forward(self, features: Tensor) -> State:
        """Features `B D h w` to a state."""
        mean = features.mean((2, 3))
        return State(*(torch.tanh(part(features if isinstance(part, nn.Conv2d) else mean)) for part in self.parts))

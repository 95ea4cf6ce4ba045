"""The cell that remembers nothing: a single-frame model in the same frame as all the others."""

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import CellOutput, Grid, State


class Memoryless(nn.Module):
    """Gives each frame's features back, as they are; its state is empty.

    Args:
        num_features: D of the features.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_hidden = num_features

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing: two tensors `B 0`."""
        nothing = torch.zeros(batch_size, 0, device=device, dtype=dtype)
        return State(nothing, nothing)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """`N D h w`, unchanged."""
        return (features,)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """The frame's own features."""
        return CellOutput(projected[0]), state

    def forward(self, features: Tensor, state: State) -> tuple[CellOutput, State]:
        """The features `B D h w` themselves."""
        return self.recur(self.project(features), state)

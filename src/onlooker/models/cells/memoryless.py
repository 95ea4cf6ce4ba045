"""The cell without a state, for models that classify each frame independently."""

import torch
from torch import Tensor

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State, zeros

__all__ = ["Memoryless"]


class Memoryless(Cell):
    """Returns the features of each frame unchanged; its state is empty."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_hidden = num_features

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        return zeros((batch_size, 0), device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        return (features,)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        return CellOutput(projected[0]), state

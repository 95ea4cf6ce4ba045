"""A cell with an attention in front of it."""

import torch
from torch import Tensor

from onlooker.models.attention import Attention
from onlooker.models.cells.cell import Cell, CellOutput, Grid, State

__all__ = ["AttentiveCell"]

GLIMPSES = ("sum", "product", "scaled")


class AttentiveCell(Cell):
    """Computes `A_t` from the features and the previous hidden state, then runs a cell on the weighted features.

    ALSTM, ConvALSTM and the model of the HMDB-51 report are settings of this cell.

    Args:
        attention: gives a map `B h w` from features and hidden state.
        glimpse: `sum`: `Σ_i a_i x_i`, one vector (ALSTM); `product`: `A_t ⊙ X_t`, a map (ConvALSTM of Li et al. 2016);
            `scaled`: `h*w · A_t ⊙ X_t`, which keeps the scale of the features: a uniform map changes nothing.
    """

    def __init__(self, attention: Attention, cell: Cell, glimpse: str) -> None:
        super().__init__()
        check_glimpse(glimpse)
        self.attention, self.cell, self.glimpse = attention, cell, glimpse
        self.num_hidden = cell.num_hidden

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        return self.cell.initial_state(batch_size, (1, 1) if self.glimpse == "sum" else grid, device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        return features, self.attention.project(features)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        features, keys = projected
        attention = self.attention(keys, state.hidden)
        output, state = self.cell(apply_attention(features, attention, self.glimpse), state)
        return CellOutput(output.hidden, attention), state


def apply_attention(features: Tensor, attention: Tensor, glimpse: str) -> Tensor:
    """Features `B D h w` weighted by a map `B h w`: `B D h w`, or `B D 1 1` for `sum`."""
    attended = features * attention[:, None]
    if glimpse == "sum":
        return attended.sum((2, 3), keepdim=True)
    return attended * attention.shape[1:].numel() if glimpse == "scaled" else attended


def check_glimpse(glimpse: str) -> None:
    """Raise a ValueError unless it is one of `GLIMPSES`."""
    if glimpse not in GLIMPSES:
        raise ValueError(f"glimpse is {glimpse!r}, expected one of {', '.join(GLIMPSES)}")

"""The LSTM."""

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State, lstm_update, zeros


class LSTM(Cell):
    """LSTM cell (Hochreiter & Schmidhuber 1997, without peepholes) on features averaged over their places.

    Args:
        num_features: D of the features.
        hidden: units.
        forget_bias: initial bias of the forget gate; 1 lets an untrained network remember (Jozefowicz et al. 2015).
    """

    def __init__(self, num_features: int, hidden: int, forget_bias: float = 1.0) -> None:
        super().__init__()
        self.num_hidden = hidden
        self.from_features = nn.Linear(num_features, 4 * hidden)
        self.from_hidden = nn.Linear(hidden, 4 * hidden, bias=False)
        nn.init.xavier_uniform_(self.from_features.weight)
        nn.init.orthogonal_(self.from_hidden.weight)
        nn.init.zeros_(self.from_features.bias)
        nn.init.constant_(self.from_features.bias[hidden : 2 * hidden], forget_bias)

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, `B hidden`."""
        return zeros((batch_size, self.num_hidden), device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """`N D h w -> N 4*hidden`."""
        return (self.from_features(features.mean((2, 3))),)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """One step."""
        state = lstm_update(projected[0] + self.from_hidden(state.hidden), state.memory)
        return CellOutput(state.hidden), state

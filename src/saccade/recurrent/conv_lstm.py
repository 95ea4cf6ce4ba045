"""The ConvLSTM: an LSTM whose vectors are maps and whose matrices are convolutions, so it remembers where."""

import torch
from torch import Tensor, nn

from saccade.recurrent.cell import CellOutput, Grid, State, lstm_update


class ConvLSTM(nn.Module):
    """ConvLSTM cell (Shi et al. 2015) as in VideoLSTM: no peepholes (Li et al. 2016).

    The four gates are one convolution; the input's part runs over all frames at once (`project`).

    Args:
        num_features: D of the features.
        hidden: channels of the hidden map.
        kernel: side of the input-to-state and state-to-state kernels, odd.
        forget_bias: initial bias of the forget gate.
    """

    def __init__(self, num_features: int, hidden: int, kernel: int = 3, forget_bias: float = 1.0) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}, expected an odd number: the map must keep its size")
        self.num_hidden = hidden
        self.from_features = nn.Conv2d(num_features, 4 * hidden, kernel, padding=kernel // 2)
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, kernel, padding=kernel // 2, bias=False)
        nn.init.xavier_uniform_(self.from_features.weight)
        nn.init.orthogonal_(self.from_hidden.weight)
        assert self.from_features.bias is not None
        nn.init.zeros_(self.from_features.bias)
        nn.init.constant_(self.from_features.bias[hidden : 2 * hidden], forget_bias)

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, `B hidden h w`."""
        zeros = torch.zeros(batch_size, self.num_hidden, *grid, device=device, dtype=dtype)
        return State(zeros, zeros)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """`N D h w -> N 4*hidden h w`."""
        return (self.from_features(features),)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """One step."""
        state = lstm_update(projected[0] + self.from_hidden(state.hidden), state.memory)
        return CellOutput(state.hidden, None), state

    def forward(self, features: Tensor, state: State) -> tuple[CellOutput, State]:
        """One step on features `B D h w`."""
        return self.recur(self.project(features), state)

"""The LSTM, and the ConvLSTM: an LSTM of maps, with convolutions in place of matrix products."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State, zeros

__all__ = ["LSTM", "ConvLSTM"]

# number of weights above which a CPU spends most of a convolution on laying them out
_LARGE = 1 << 21


def lstm_update(gates: Tensor, memory: Tensor) -> State:
    """The update of an LSTM from its four gates before their activation, `B 4D …`: I, F, G, O.

    `C_t = σ(F) ⊙ C_{t-1} + σ(I) ⊙ tanh(G)`, `H_t = σ(O) ⊙ tanh(C_t)` (Hochreiter & Schmidhuber
    1997).
    """
    i, f, g, o = gates.chunk(4, 1)
    memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    return State(o.sigmoid() * memory.tanh(), memory)


class _GatedCell(Cell):
    """What LSTM and ConvLSTM share: two layers, `from_features` and `from_hidden`, give the four
    gates of a step.
    """

    def __init__(
        self, hidden: int, from_features: nn.Linear | nn.Conv2d, from_hidden: nn.Linear | nn.Conv2d
    ) -> None:
        super().__init__()
        self.num_hidden = hidden
        self.from_features = from_features
        self.from_hidden = from_hidden
        nn.init.xavier_uniform_(from_features.weight)
        nn.init.orthogonal_(from_hidden.weight)
        assert from_features.bias is not None
        nn.init.zeros_(from_features.bias)
        # An untrained network remembers if the forget gate starts open (Jozefowicz et al. 2015).
        nn.init.ones_(from_features.bias.chunk(4)[1])

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        state = lstm_update(projected[0] + self.from_hidden(state.hidden), state.memory)
        return CellOutput(state.hidden), state


class LSTM(_GatedCell):
    """LSTM cell (Hochreiter & Schmidhuber 1997, without peepholes) on features averaged over their
    locations.

    Args:
        num_features: D of the features.
        hidden: units.
    """

    def __init__(self, num_features: int, hidden: int) -> None:
        super().__init__(
            hidden, nn.Linear(num_features, 4 * hidden), nn.Linear(hidden, 4 * hidden, bias=False)
        )

    def initial_state(
        self, batch_size: int, grid: Grid, *, device: torch.device, dtype: torch.dtype
    ) -> State:
        return zeros((batch_size, self.num_hidden), device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        return (self.from_features(features.mean((2, 3))),)


class MapConv2d(nn.Conv2d):
    """A convolution that keeps the size of its maps.

    On a CPU, large weights are multiplied with patches of the maps: PyTorch would lay them out anew
    at every step.

    Args:
        in_channels, out_channels: D of its input and output.
        kernel: height and width of the kernel, odd.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        if self.weight.numel() < _LARGE or maps.device.type != "cpu":
            return super().forward(maps)
        h, w = maps.shape[2:]
        rows, columns = self.kernel_size
        padded = F.pad(
            maps.permute(0, 2, 3, 1), (0, 0, columns // 2, columns // 2, rows // 2, rows // 2)
        )
        patches = [padded[:, y : y + h, x : x + w] for y in range(rows) for x in range(columns)]
        weights = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(torch.cat(patches, -1), weights, self.bias).permute(0, 3, 1, 2)


class ConvLSTM(_GatedCell):
    """ConvLSTM cell (Shi et al. 2015) without peepholes, as in VideoLSTM (Li et al. 2016).

    Args:
        num_features: D of the features.
        hidden: channels of the hidden map.
        kernel: height and width of the input-to-state and state-to-state kernels, odd.
    """

    def __init__(self, num_features: int, hidden: int, kernel: int = 3) -> None:
        from_features = MapConv2d(num_features, 4 * hidden, kernel)
        super().__init__(hidden, from_features, MapConv2d(hidden, 4 * hidden, kernel, bias=False))

    def initial_state(
        self, batch_size: int, grid: Grid, *, device: torch.device, dtype: torch.dtype
    ) -> State:
        return zeros((batch_size, self.num_hidden, *grid), device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        return (self.from_features(features),)

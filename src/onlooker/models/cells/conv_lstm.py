"""The ConvLSTM: an LSTM of maps, with convolutions in place of matrix products."""

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State, lstm_update, zeros
from onlooker.ops.repeated_conv import RepeatedConv2d

__all__ = ["ConvLSTM"]


class ConvLSTM(Cell):
    """ConvLSTM cell (Shi et al. 2015) without peepholes, as in VideoLSTM (Li et al. 2016).

    Args:
        num_features: D of the features.
        hidden: channels of the hidden map.
        kernel: height and width of the input-to-state and state-to-state kernels, odd.
        forget_bias: initial bias of the forget gate.
        separable: depthwise separable convolutions (Chollet 2017), nearly a ninth of the work of 3×3 kernels.
    """

    def __init__(
        self, num_features: int, hidden: int, kernel: int = 3, forget_bias: float = 1.0, separable: bool = False
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}, expected an odd number: the map must keep its size")
        self.num_hidden = hidden
        dense = 1 if separable else kernel
        # With an attention in front, the input part runs at every step, too.
        of_features = RepeatedConv2d(num_features, 4 * hidden, dense)
        of_hidden = RepeatedConv2d(hidden, 4 * hidden, dense, bias=False)
        nn.init.xavier_uniform_(of_features.weight)
        nn.init.orthogonal_(of_hidden.weight)
        assert of_features.bias is not None
        nn.init.zeros_(of_features.bias)
        nn.init.constant_(of_features.bias[hidden : 2 * hidden], forget_bias)
        self.from_features: nn.Module = of_features
        self.from_hidden: nn.Module = of_hidden
        if separable:
            self.from_features = nn.Sequential(_depthwise(num_features, kernel), of_features)
            self.from_hidden = nn.Sequential(_depthwise(hidden, kernel), of_hidden)

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, `B hidden h w`."""
        return zeros((batch_size, self.num_hidden, *grid), device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """`N D h w -> N 4*hidden h w`."""
        return (self.from_features(features),)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """One step."""
        state = lstm_update(projected[0] + self.from_hidden(state.hidden), state.memory)
        return CellOutput(state.hidden), state


def _depthwise(channels: int, kernel: int) -> nn.Conv2d:
    """A depthwise convolution; it starts near the identity, so that training begins as with 1×1 kernels."""
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    nn.init.normal_(conv.weight, std=0.1)
    with torch.no_grad():
        conv.weight[:, 0, kernel // 2, kernel // 2] += 1
    return conv

"""The motion-based attention of VideoLSTM."""

import torch
from torch import Tensor, nn

from onlooker.models.attention import SoftAttention
from onlooker.models.cells.attentive import apply_attention
from onlooker.models.cells.cell import Cell, CellOutput, Grid, State, zeros
from onlooker.models.cells.lstm import ConvLSTM, MapConv2d, lstm_update

__all__ = ["MotionCell"]


class MotionCell(Cell):
    """A ConvLSTM on the optical flow gives the attention of a second one on RGB (Li et al. 2016):

        gates of M_t = W_f ∗ F_t + W_m ∗ M_{t-1} + W_e ∗ H_{t-1} + b
        Z_t = W_z ∗ tanh(W_xa ∗ X_t + W_ma ∗ M_t + b_a), A_t = softmax of Z_t over locations, all 1×1
        H_t = ConvLSTM(A_t ⊙ X_t, H_{t-1}), 3×3

    The map depends on the motion of the current frame; in ConvALSTM it depends on the previous state. `hidden` is H_t
    and M_t, concatenated, `memory` their two cell memories in the same order: each `B 2·hidden h w`.

    Args:
        num_features: D of the features of RGB and flow, X_t before F_t; half of them (rounded down) belong to the flow.
        hidden: channels of H_t and of M_t, and of the attention's inner map.
        glimpse: the input of the upper cell, as in `AttentiveCell`: `product` or `scaled`.
    """

    def __init__(self, num_features: int, hidden: int, glimpse: str) -> None:
        super().__init__()
        of_flow = num_features // 2
        of_rgb = self.num_attended = num_features - of_flow
        self.sizes, self.glimpse, self.num_hidden = (of_rgb, of_flow), glimpse, hidden
        self.lower = ConvLSTM(of_flow, hidden, kernel=1)
        self.from_upper = MapConv2d(hidden, 4 * hidden, 1, bias=False)
        nn.init.orthogonal_(self.from_upper.weight)
        self.attention = SoftAttention(of_rgb, hidden, hidden, hidden_ndim=4)
        self.upper = ConvLSTM(of_rgb, hidden)

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        return zeros((batch_size, 2 * self.num_hidden, *grid), device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        rgb, flow = features.split(self.sizes, 1)
        return rgb, self.attention.project(rgb), *self.lower.project(flow)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        rgb, keys, gates = projected
        (hidden, motion), (memory, motion_memory) = (part.chunk(2, 1) for part in state)
        gates = gates + self.lower.from_hidden(motion) + self.from_upper(hidden)
        motion, motion_memory = lstm_update(gates, motion_memory)
        attention = self.attention(keys, motion)
        output, (hidden, memory) = self.upper(apply_attention(rgb, attention, self.glimpse), State(hidden, memory))
        after = State(torch.cat((hidden, motion), 1), torch.cat((memory, motion_memory), 1))
        return CellOutput(output.hidden, attention), after

"""Motion-based attention of VideoLSTM: what moves says where to look at what is there."""

import torch
from torch import Tensor, nn

from onlooker.models.attention.conv import ConvAttention
from onlooker.models.cells.attentive import check_glimpse, glimpsed
from onlooker.models.cells.cell import CellOutput, Grid, State, lstm_update
from onlooker.models.cells.conv_lstm import ConvLSTM
from onlooker.ops.repeated_conv import RepeatedConv2d


class MotionCell(nn.Module):
    """Two ConvLSTMs: the lower one follows the flow, the upper one sees the picture where the lower one says (Li 2016).

    The lower one has 1×1 kernels and also hears what the upper one knew:

        gates of M_t = W_f ∗ F_t + W_m ∗ M_{t-1} + W_e ∗ H_{t-1} + b
        Z_t = W_z ∗ tanh(W_xa ∗ X_t + W_ma ∗ M_t + b_a), A_t = softmax of Z_t over places, all 1×1
        H_t = ConvLSTM(A_t ⊙ X_t, H_{t-1}), 3×3

    So the map is asked for by the motion of this very frame, where ConvALSTM asks with what it knew before. Its state
    is that of both: `hidden` is H_t with M_t behind it, `memory` likewise, each `B 2·hidden h w`.

    Args:
        num_features: D of the features of picture and flow, X_t before F_t; half of them (rounded down) are of the
            flow.
        hidden: channels of H_t and of M_t, and of the attention's inner map.
        glimpse: what the upper cell sees through A_t, as in `AttentiveCell`.
    """

    def __init__(self, num_features: int, hidden: int, glimpse: str) -> None:
        super().__init__()
        check_glimpse(glimpse)
        if glimpse == "sum":
            raise ValueError("glimpse is 'sum', one vector, and a ConvLSTM wants a map; use product or scaled")
        of_flow = num_features // 2
        of_picture = num_features - of_flow
        self.sizes, self.glimpse, self.num_hidden = (of_picture, of_flow), glimpse, hidden
        self.lower = ConvLSTM(of_flow, hidden, kernel=1)
        self.from_upper = RepeatedConv2d(hidden, 4 * hidden, 1, bias=False)
        nn.init.orthogonal_(self.from_upper.weight)
        self.attention = ConvAttention(of_picture, hidden, hidden)
        self.upper = ConvLSTM(of_picture, hidden)

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, `B 2·hidden h w`."""
        zeros = torch.zeros(batch_size, 2 * self.num_hidden, *grid, device=device, dtype=dtype)
        return State(zeros, zeros)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """From `N D h w`: X_t, and what attention and lower cell make of it and of F_t without a state."""
        picture, flow = features.split(self.sizes, 1)
        return picture, self.attention.project(picture), *self.lower.project(flow)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """Motion, then a look, then a step."""
        picture, keys, gates = projected
        (hidden, motion), (memory, motion_memory) = (part.chunk(2, 1) for part in state)
        gates = gates + self.lower.from_hidden(motion) + self.from_upper(hidden)
        motion, motion_memory = lstm_update(gates, motion_memory)
        attention = self.attention(keys, motion)
        output, (hidden, memory) = self.upper(glimpsed(picture, attention, self.glimpse), State(hidden, memory))
        after = State(torch.cat((hidden, motion), 1), torch.cat((memory, motion_memory), 1))
        return CellOutput(output.hidden, attention), after

    def forward(self, features: Tensor, state: State) -> tuple[CellOutput, State]:
        """One step on features `B D h w`."""
        return self.recur(self.project(features), state)

"""Attention, and the cells that attend: a map over the locations of a frame, which sums to one,
weighs their features.

Of an attention, `project` runs once over all frames: features `N D h w` to the input of the call,
`N … h w`. The call runs at every frame: this input and a hidden state `B D` or `B D h w` to a map
`B h w`. `hidden_ndim` is the number of dimensions of the state that it takes, 2 or 4.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State, zeros
from onlooker.models.cells.lstm import ConvLSTM, MapConv2d, lstm_update

__all__ = ["Attention", "AttentiveCell", "MotionCell"]

GLIMPSES = ("sum", "product", "scaled")


class Attention(Protocol):
    """The interface of an attention."""

    hidden_ndim: int

    def project(self, features: Tensor) -> Tensor:
        """What does not depend on the state."""

    def __call__(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """The map of a frame, `B h w`."""


class SoftAttention(nn.Module):
    """`e_i = w · tanh(W_x x_i + W_h h + b)`, then a softmax over the `h*w` locations.

    With a hidden vector h, this is the attention of ALSTM (Li et al. 2016, after Sharma et al.
    2015). With a hidden map it is the attention of ConvALSTM (Li et al. 2016): `Z_t = W_z ∗
    tanh(W_xa ∗ X_t + W_ha ∗ H_{t-1} + b_a)`, all 1×1.

    Args:
        num_features: D of the features.
        hidden: length of the hidden vector, or channels of the hidden map.
        units: width of the tanh layer.
        hidden_ndim: 2 for a hidden vector, 4 for a hidden map.
    """

    def __init__(self, num_features: int, hidden: int, units: int, *, hidden_ndim: int = 2) -> None:
        super().__init__()
        self.hidden_ndim = hidden_ndim
        self.from_features = nn.Conv2d(num_features, units, 1)
        is_vector = hidden_ndim == 2
        self.from_hidden = (
            nn.Linear(hidden, units, False)
            if is_vector
            else nn.Conv2d(hidden, units, 1, bias=False)
        )
        self.score = nn.Conv2d(units, 1, 1, bias=False)

    def project(self, features: Tensor) -> Tensor:
        return self.from_features(features)

    def forward(self, projected: Tensor, hidden: Tensor) -> Tensor:
        query = self.from_hidden(hidden)
        scores = self.score(
            (projected + (query[:, :, None, None] if query.ndim == 2 else query)).tanh()
        )
        return scores.flatten(1).softmax(1).unflatten(1, scores.shape[-2:])


class AttentionSpec(NamedTuple):
    """An attention that has a name.

    Args:
        build: `build(num_features, hidden, units, grid)`: D, channels of the hidden state, width of
            the attention's own layer, and `(h, w)`.
        package: the distribution that registers it; None: a program.
    """

    build: Callable[[int, int, int, Grid], Attention]
    package: str | None = "onlooker"


ATTENTIONS: dict[str, AttentionSpec] = {
    "soft": AttentionSpec(
        lambda num_features, hidden, units, grid: SoftAttention(num_features, hidden, units)
    ),
    "conv": AttentionSpec(
        lambda num_features, hidden, units, grid: SoftAttention(
            num_features, hidden, units, hidden_ndim=4
        )
    ),
}


class AttentiveCell(Cell):
    """Computes `A_t` from the features and the previous hidden state, then runs a cell on the
    weighted features.

    ALSTM and ConvALSTM are settings of this cell.

    Args:
        attention: gives a map `B h w` from features and hidden state.
        glimpse: `sum`: `Σ_i a_i x_i`, one vector (ALSTM); `product`: `A_t ⊙ X_t`, a map (ConvALSTM
            of Li et al. 2016); `scaled`: `h*w · A_t ⊙ X_t`, which keeps the scale of the features:
            a uniform map changes nothing.
    """

    def __init__(self, attention: Attention, cell: Cell, glimpse: str) -> None:
        super().__init__()
        if glimpse not in GLIMPSES:
            raise ValueError(f"glimpse is {glimpse!r}, expected one of {', '.join(GLIMPSES)}")
        self.attention = attention
        self.cell = cell
        self.glimpse = glimpse
        self.num_hidden = cell.num_hidden

    def initial_state(
        self, batch_size: int, grid: Grid, *, device: torch.device, dtype: torch.dtype
    ) -> State:
        return self.cell.initial_state(
            batch_size, (1, 1) if self.glimpse == "sum" else grid, device=device, dtype=dtype
        )

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


class MotionCell(Cell):
    """A ConvLSTM on the optical flow gives the attention of a second one on RGB (Li et al. 2016):

        gates of M_t = W_f ∗ F_t + W_m ∗ M_{t-1} + W_e ∗ H_{t-1} + b
        Z_t = W_z ∗ tanh(W_xa ∗ X_t + W_ma ∗ M_t + b_a), A_t = softmax of Z_t over locations
        H_t = ConvLSTM(A_t ⊙ X_t, H_{t-1})

    with kernels of 3×3 in the last line, of 1×1 in the others.

    The map depends on the motion of the current frame; in ConvALSTM it depends on the previous
    state. `hidden` is H_t and M_t, concatenated, `memory` their two cell memories in the same
    order: each `B 2·hidden h w`.

    Args:
        num_features: D of the features of RGB and flow, X_t before F_t; half of them (rounded down)
            belong to the flow.
        hidden: channels of H_t and of M_t, and of the attention's inner map.
        glimpse: the input of the upper cell, as in `AttentiveCell`: `product` or `scaled`.
    """

    def __init__(self, num_features: int, hidden: int, glimpse: str) -> None:
        super().__init__()
        flow_features = num_features // 2
        rgb_features = self.num_attended = num_features - flow_features
        self.sizes = (rgb_features, flow_features)
        self.glimpse = glimpse
        self.num_hidden = hidden
        self.lower = ConvLSTM(flow_features, hidden, kernel=1)
        self.from_upper = MapConv2d(hidden, 4 * hidden, 1, bias=False)
        nn.init.orthogonal_(self.from_upper.weight)
        self.attention = SoftAttention(rgb_features, hidden, hidden, hidden_ndim=4)
        self.upper = ConvLSTM(rgb_features, hidden)

    def initial_state(
        self, batch_size: int, grid: Grid, *, device: torch.device, dtype: torch.dtype
    ) -> State:
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
        output, (hidden, memory) = self.upper(
            apply_attention(rgb, attention, self.glimpse), State(hidden, memory)
        )
        after = State(torch.cat((hidden, motion), 1), torch.cat((memory, motion_memory), 1))
        return CellOutput(output.hidden, attention), after

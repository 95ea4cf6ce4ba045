"""Causal convolutions over time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State


class TemporalConv(Cell):
    """Causal dilated convolutions over time (Bai, Kolter & Koltun 2018, arXiv 1803.01271), and
    running statistics:

        v_t = SiLU(LN(W_v x_t))
        u_t = SiLU(W_u [v_{t-2}, v_{t-1}, v_t])
        z_t = SiLU(W_z [u_{t-4}, u_{t-2}, u_t])
        H_t = [mean_{t' ≤ t} z_t', max(0, max_{t' ≤ t} z_t')],  SiLU(x) = x σ(x)

    A short movement is detected within seven frames, and the maximum keeps it until the end. x_t
    are the features of all locations, concatenated; LN is layer normalization. It is trained with
    the loss of the last frame (`--loss last`), whose state depends on the whole clip.

    Mean and maximum never forget: begin a new state for a new scene. `hidden` is H_t, `B 2U`;
    `memory`, `B 6U+1`, holds the last two v, the last four u, and t.

    Args:
        num_features: D of the features.
        grid: `(h, w)` of the features.
    """

    def __init__(self, num_features: int, units: int, grid: Grid) -> None:
        super().__init__()
        self.num_hidden = 2 * units
        self.units = units
        self.from_features = nn.Linear(num_features * grid[0] * grid[1], units)
        self.first = nn.Linear(3 * units, units)
        self.second = nn.Linear(3 * units, units)
        self.norm = nn.LayerNorm(units)
        self.dropout = nn.Dropout(0.2)  # of v and u

    def initial_state(
        self, batch_size: int, grid: Grid, *, device: torch.device, dtype: torch.dtype
    ) -> State:
        sizes = self.num_hidden, 6 * self.units + 1
        return State(*(torch.zeros(batch_size, size, device=device, dtype=dtype) for size in sizes))

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        return (self.dropout(F.silu(self.norm(self.from_features(features.flatten(1))))),)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        (v,) = projected
        U = self.units
        last_v, last_u, count = state.memory.split((2 * U, 4 * U, 1), 1)
        last_v = torch.cat((last_v, v), 1)  # of t - 2 to t
        u = self.dropout(F.silu(self.first(last_v)))
        last_u = torch.cat((last_u, u), 1)  # of t - 4 to t
        z = F.silu(self.second(torch.cat(last_u.split(U, 1)[::2], 1)))
        count = count + 1
        mean, maximum = state.hidden.split(U, 1)
        hidden = torch.cat((mean + (z - mean) / count, torch.maximum(maximum, z)), 1)
        return CellOutput(hidden), State(
            hidden, torch.cat((last_v[:, U:], last_u[:, U:], count), 1)
        )

"""Motion-based attention compared with its equations as plain convolutions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker.models.cells import build_cell
from onlooker.models.cells.attentive import MotionCell
from onlooker.models.cells.cell import State, unroll

D = 6
HIDDEN = 4
GRID = (3, 5)


def lstm(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (gates[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
    memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(memory), memory


@torch.no_grad()
@pytest.mark.parametrize("glimpse", ["product", "scaled"])
def test_it_equals_the_equations_of_videolstm(glimpse: str) -> None:
    cell = MotionCell(D, HIDDEN, glimpse).double()
    features = torch.randn(2, 4, D, *GRID, dtype=torch.double)
    state = State(*torch.randn(2, 2, 2 * HIDDEN, *GRID, dtype=torch.double))
    (hidden, attention), last = unroll(cell, features, state)

    lower = cell.lower
    upper = cell.upper
    look = cell.attention
    H = state.hidden[:, :HIDDEN]
    M = state.hidden[:, HIDDEN:]
    C = state.memory[:, :HIDDEN]
    E = state.memory[:, HIDDEN:]
    for t in range(4):
        X = features[:, t, :3]
        flow = features[:, t, 3:]
        gates = F.conv2d(flow, lower.from_features.weight, lower.from_features.bias)
        gates = gates + F.conv2d(M, lower.from_hidden.weight) + F.conv2d(H, cell.from_upper.weight)
        M, E = lstm(gates, E)
        inner = F.conv2d(X, look.from_features.weight, look.from_features.bias) + F.conv2d(
            M, look.from_hidden.weight
        )
        Z = F.conv2d(torch.tanh(inner), look.score.weight)
        A = torch.exp(Z) / torch.exp(Z).sum((2, 3), keepdim=True)
        seen = A * X * (GRID[0] * GRID[1] if glimpse == "scaled" else 1)
        gates = F.conv2d(seen, upper.from_features.weight, upper.from_features.bias, padding=1)
        H, C = lstm(gates + F.conv2d(H, upper.from_hidden.weight, padding=1), C)
        torch.testing.assert_close(attention[:, t], A[:, 0])
        torch.testing.assert_close(hidden[:, t], H)
    torch.testing.assert_close(last.hidden, torch.cat((H, M), 1))
    torch.testing.assert_close(last.memory, torch.cat((C, E), 1))


@torch.no_grad()
def test_the_map_depends_on_the_flow_of_the_same_frame() -> None:
    torch.manual_seed(1)
    cell = MotionCell(D, HIDDEN, "scaled")
    features = torch.randn(1, D, *GRID)
    state = cell.initial_state(1, GRID, torch.device("cpu"), torch.float32)
    before = cell(features, state)[0].attention
    features[:, 3:, 1, 2] += 3  # of the flow, at one place
    after = cell(features, state)[0].attention
    changed = (after.log() - before.log()).flatten()
    # The softmax shifts all places alike; at this one the score itself changed.
    away = (changed - changed.median()).abs()
    assert away.argmax() == 1 * GRID[1] + 2
    assert away.topk(2).values[1] < 1e-4


def test_invalid_cells_and_glimpses_are_errors() -> None:
    for name, glimpse in (("lstm", "scaled"), ("convlstm", "sum")):
        message = f"attention 'motion' needs cell convlstm and glimpse product or scaled, not {name} and {glimpse}"
        with pytest.raises(ValueError, match=message):
            build_cell(name, D, HIDDEN, GRID, "motion", glimpse)

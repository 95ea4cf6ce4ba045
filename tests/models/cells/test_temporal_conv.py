"""Temporal convolutions compared with PyTorch's; they learn short movements at any time and place."""

import torch
import torch.nn.functional as F

from onlooker.models.cells.cell import unroll
from onlooker.models.cells.temporal_conv import TemporalConv

D = 3
U = 4
GRID = (2, 5)


def start(cell, B, grid=GRID):
    return cell.initial_state(B, grid, torch.device("cpu"), torch.float32)


@torch.no_grad()
def test_it_equals_two_dilated_convolutions_with_zero_padding():
    cell = TemporalConv(D, U, GRID).eval()
    features = torch.randn(2, 12, D, *GRID)
    torch.nn.init.normal_(cell.norm.weight)
    torch.nn.init.normal_(cell.norm.bias)
    hidden = unroll(cell, features, start(cell, 2))[0].hidden

    def convolved(seen, linear, dilation):
        """`B T U`, by `conv1d`: the linear layer's inputs are three frames, one after the other."""
        kernel = linear.weight.unflatten(1, (3, U)).movedim(1, 2)
        return F.silu(
            F.conv1d(F.pad(seen.mT, (2 * dilation, 0)), kernel, linear.bias, dilation=dilation).mT
        )

    rows = features.flatten(2) @ cell.from_features.weight.mT + cell.from_features.bias
    v = F.silu(F.layer_norm(rows, (U,), cell.norm.weight, cell.norm.bias))
    z = convolved(convolved(v, cell.first, 1), cell.second, 2)
    mean = z.cumsum(1) / torch.arange(1, 13)[:, None]
    torch.testing.assert_close(
        hidden, torch.cat((mean, z.cummax(1).values.clamp_min(0)), 2), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_the_state_stays_in_full_precision_where_layers_are_computed_in_half():
    cell = TemporalConv(D, U, GRID).eval()
    features = torch.randn(1, 20, D, *GRID)
    exact = unroll(cell, features, start(cell, 1))[0].hidden
    with torch.autocast("cpu", torch.bfloat16):
        (hidden, _), state = unroll(cell, features, start(cell, 1))
    assert hidden.dtype == state.hidden.dtype == state.memory.dtype == torch.float32
    torch.testing.assert_close(hidden, exact, atol=0.03, rtol=0.03)

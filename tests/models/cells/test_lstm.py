"""The LSTM cell compared with torch.nn.LSTM, and its initial weights."""

import pytest
import torch

from onlooker.models.cells.cell import State, unroll
from onlooker.models.cells.lstm import LSTM


def pair(D, hidden):
    """Our cell, and PyTorch's with the same weights."""
    torch.manual_seed(0)
    cell = LSTM(D, hidden).double()
    reference = torch.nn.LSTM(D, hidden, batch_first=True).double()
    with torch.no_grad():
        cell.from_features.bias.normal_()
        reference.weight_ih_l0.copy_(cell.from_features.weight)
        reference.weight_hh_l0.copy_(cell.from_hidden.weight)
        reference.bias_ih_l0.copy_(cell.from_features.bias)
        reference.bias_hh_l0.zero_()
    return cell, reference


@pytest.mark.parametrize(("D", "hidden"), [(6, 4), (1, 1), (3, 9)])
def test_it_equals_pytorchs_over_twenty_steps(D, hidden):
    cell, reference = pair(D, hidden)
    x = torch.randn(3, 20, D, dtype=torch.double)
    ours = x.clone().requires_grad_()
    theirs = x.clone().requires_grad_()
    h0, c0 = torch.randn(2, 3, hidden, dtype=torch.double)
    (got, _), state = unroll(cell, ours[..., None, None], State(h0, c0))
    expected, (h, c) = reference(theirs, (h0[None], c0[None]))
    assert torch.allclose(got, expected, atol=1e-12)
    assert torch.allclose(state.hidden, h[0], atol=1e-12)
    assert torch.allclose(state.memory, c[0], atol=1e-12)
    weights = torch.randn_like(got)
    (got * weights).sum().backward()
    (expected * weights).sum().backward()
    for a, b in (
        (ours, theirs),
        (cell.from_features.weight, reference.weight_ih_l0),
        (cell.from_features.bias, reference.bias_ih_l0),
        (cell.from_hidden.weight, reference.weight_hh_l0),
    ):
        assert torch.allclose(a.grad, b.grad, atol=1e-10)


@torch.no_grad()
def test_a_map_is_averaged_over_its_locations():
    cell, reference = pair(5, 3)
    maps = torch.randn(2, 7, 5, 4, 3, dtype=torch.double)
    start = cell.initial_state(2, (4, 3), torch.device("cpu"), torch.double)
    (got, _), _ = unroll(cell, maps, start)
    vectors = sum(maps[..., y, x] for y in range(4) for x in range(3)) / 12
    assert torch.allclose(got, reference(vectors)[0], atol=1e-12)


def test_initial_weights():
    cell = LSTM(30, 20)
    w = cell.from_hidden.weight
    assert torch.allclose(w.T @ w, torch.eye(20), atol=1e-5), "orthogonal"
    bound = (6 / (30 + 80)) ** 0.5
    assert bound * 0.95 < cell.from_features.weight.abs().max() <= bound, "Xavier-uniform"
    assert cell.from_features.bias.tolist() == [0] * 20 + [1] * 20 + [0] * 40, (
        "only the forget gate starts open"
    )

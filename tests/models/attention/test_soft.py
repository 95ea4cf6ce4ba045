"""Soft attention, with a hidden vector and with a hidden map, compared with its equation in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.models.cells.attentive import SoftAttention

vector_and_map = pytest.mark.parametrize("ndim", [2, 4])


def made(ndim, seed=0):
    torch.manual_seed(seed)
    return SoftAttention(5, 4, 3, hidden_ndim=ndim).double()


def hidden_of(ndim, *grid, B=1):
    return torch.randn(B, 4, *(grid if ndim == 4 else ())).double()


def attend(attention, features, hidden):
    return attention(attention.project(features), hidden)


def by_equation(attention, features, hidden):
    w_x, w_h, w = (
        layer.weight.numpy(force=True).reshape(layer.weight.shape[:2])
        for layer in (attention.from_features, attention.from_hidden, attention.score)
    )
    b = attention.from_features.bias.numpy(force=True)
    B, _, height, width = features.shape
    maps = np.zeros((B, height, width))
    for n in range(B):
        for y in range(height):
            for x in range(width):
                h = hidden[n] if hidden.ndim == 2 else hidden[n, :, y, x]
                maps[n, y, x] = (w @ np.tanh(w_x @ features[n, :, y, x] + w_h @ h + b)).item()
        maps[n] = np.exp(maps[n]) / np.exp(maps[n]).sum()
    return maps


@vector_and_map
@settings(max_examples=20, deadline=None)
@given(B=st.integers(1, 3), h=st.integers(1, 5), w=st.integers(1, 5), seed=st.integers(0, 999))
@torch.no_grad()
def test_it_equals_its_equation_and_sums_to_one(ndim, B, h, w, seed):
    attention = made(ndim, seed)
    rng = np.random.default_rng(seed)
    features = 3 * rng.normal(size=(B, 5, h, w))
    hidden = rng.normal(size=(B, 4, h, w)[:ndim])
    got = attend(attention, torch.tensor(features), torch.tensor(hidden))
    np.testing.assert_allclose(got, by_equation(attention, features, hidden), atol=1e-12)
    np.testing.assert_allclose(got.sum((1, 2)), np.ones(B), atol=1e-12)


@vector_and_map
@torch.no_grad()
def test_equal_scores_give_a_uniform_map(ndim):
    attention = made(ndim)
    attention.score.weight.zero_()
    got = attend(attention, torch.randn(2, 5, 3, 7).double(), hidden_of(ndim, 3, 7, B=2))
    np.testing.assert_allclose(got, np.full((2, 3, 7), 1 / 21), rtol=1e-14)


@vector_and_map
@pytest.mark.parametrize("scale", [1e4, 1e30])
@torch.no_grad()
def test_very_large_scores_stay_finite(ndim, scale):
    attention = made(ndim).float()
    attention.score.weight.mul_(scale)
    got = attend(attention, torch.randn(2, 5, 3, 3), hidden_of(ndim, 3, 3, B=2).float())
    assert torch.allclose(got.sum((1, 2)), torch.ones(2), atol=1e-6)


@torch.no_grad()
def test_a_uniform_hidden_map_is_a_hidden_vector():
    attention = made(4)
    soft = made(2)
    weights = attention.state_dict()
    soft.load_state_dict(
        {**weights, "from_hidden.weight": weights["from_hidden.weight"][..., 0, 0]}
    )
    features = torch.randn(2, 5, 3, 4).double()
    vector = hidden_of(2, B=2)
    got = attend(attention, features, vector[:, :, None, None].expand(-1, -1, 3, 4))
    assert torch.allclose(got, attend(soft, features, vector), atol=1e-14)

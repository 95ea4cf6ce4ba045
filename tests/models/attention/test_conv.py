"""Convolutional attention against its equation in NumPy, and against soft attention where the memory is even."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.models.attention import SoftAttention


def made(D=5, hidden=4, units=3, seed=0):
    torch.manual_seed(seed)
    return SoftAttention(D, hidden, units, hidden_ndim=4).double()


def by_equation(attention, features, hidden):
    w_xa, b_a = (p.numpy(force=True) for p in (attention.from_features.weight, attention.from_features.bias))
    w_ha, w_z = (p.numpy(force=True)[..., 0, 0] for p in (attention.from_hidden.weight, attention.score.weight))
    B, _, height, width = features.shape
    maps = np.zeros((B, height, width))
    for n in range(B):
        for y in range(height):
            for x in range(width):
                inner = w_xa[:, :, 0, 0] @ features[n, :, y, x] + w_ha @ hidden[n, :, y, x] + b_a
                maps[n, y, x] = (w_z @ np.tanh(inner)).item()
        maps[n] = np.exp(maps[n]) / np.exp(maps[n]).sum()
    return maps


@settings(max_examples=20, deadline=None)
@given(B=st.integers(1, 3), h=st.integers(1, 5), w=st.integers(1, 5), seed=st.integers(0, 999))
@torch.no_grad()
def test_it_equals_its_equation_and_sums_to_one(B, h, w, seed):
    attention, rng = made(seed=seed), np.random.default_rng(seed)
    features, hidden = 3 * rng.normal(size=(B, 5, h, w)), rng.normal(size=(B, 4, h, w))
    got = attention(attention.project(torch.tensor(features)), torch.tensor(hidden))
    np.testing.assert_allclose(got, by_equation(attention, features, hidden), atol=1e-12)
    np.testing.assert_allclose(got.sum((1, 2)), np.ones(B), atol=1e-12)


@torch.no_grad()
def test_equal_scores_make_an_even_map():
    attention = made()
    attention.score.weight.zero_()
    got = attention(attention.project(torch.randn(2, 5, 3, 7).double()), torch.randn(2, 4, 3, 7).double())
    np.testing.assert_allclose(got, np.full((2, 3, 7), 1 / 21), rtol=1e-14)


@torch.no_grad()
def test_an_even_memory_makes_it_soft_attention():
    attention, soft = made(), SoftAttention(5, 4, 3).double()
    weights = attention.state_dict()
    soft.load_state_dict({**weights, "from_hidden.weight": weights["from_hidden.weight"][..., 0, 0]})
    features, vector = torch.randn(2, 5, 3, 4).double(), torch.randn(2, 4).double()
    even = vector[:, :, None, None].expand(-1, -1, 3, 4)
    got, expected = attention(attention.project(features), even), soft(soft.project(features), vector)
    assert torch.allclose(got, expected, atol=1e-14)


@torch.no_grad()
def test_every_place_asks_with_its_own_memory():
    attention, features = made(), torch.randn(1, 5, 3, 3).double()
    hidden = torch.zeros(1, 4, 3, 3).double()
    before = attention(attention.project(features), hidden)[0]
    hidden[0, :, 1, 2] = torch.randn(4).double()
    ratio = attention(attention.project(features), hidden)[0] / before
    others = ratio.flatten()[torch.arange(9) != 5]
    assert torch.allclose(others, others[:1].expand(8), rtol=1e-12)
    assert (ratio[1, 2] - others[0]).abs() > 1e-3

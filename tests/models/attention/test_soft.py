"""Soft attention against its equation in NumPy, and where every place scores the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.models.attention import SoftAttention


def made(D=5, hidden=4, units=3, seed=0):
    torch.manual_seed(seed)
    return SoftAttention(D, hidden, units).double()


def by_equation(attention, features, hidden):
    w_x, b = (
        attention.from_features.weight.numpy(force=True)[:, :, 0, 0],
        attention.from_features.bias.numpy(force=True),
    )
    w_h, w = attention.from_hidden.weight.numpy(force=True), attention.score.weight.numpy(force=True)[0, :, 0, 0]
    B, _, height, width = features.shape
    maps = np.zeros((B, height, width))
    for n in range(B):
        for y in range(height):
            for x in range(width):
                maps[n, y, x] = w @ np.tanh(w_x @ features[n, :, y, x] + w_h @ hidden[n] + b)
        maps[n] = np.exp(maps[n]) / np.exp(maps[n]).sum()
    return maps


@settings(max_examples=20, deadline=None)
@given(B=st.integers(1, 3), h=st.integers(1, 5), w=st.integers(1, 5), seed=st.integers(0, 999))
@torch.no_grad()
def test_it_equals_its_equation_and_sums_to_one(B, h, w, seed):
    attention, rng = made(seed=seed), np.random.default_rng(seed)
    features, hidden = 3 * rng.normal(size=(B, 5, h, w)), rng.normal(size=(B, 4))
    got = attention(attention.project(torch.tensor(features)), torch.tensor(hidden))
    np.testing.assert_allclose(got, by_equation(attention, features, hidden), atol=1e-12)
    np.testing.assert_allclose(got.sum((1, 2)), np.ones(B), atol=1e-12)


@torch.no_grad()
def test_equal_scores_make_an_even_map():
    attention = made()
    attention.score.weight.zero_()
    got = attention(attention.project(torch.randn(2, 5, 3, 7).double()), torch.randn(2, 4).double())
    np.testing.assert_allclose(got, np.full((2, 3, 7), 1 / 21), rtol=1e-14)


@torch.no_grad()
def test_the_memory_moves_the_look():
    attention, features = made(), torch.randn(1, 5, 3, 3).double()
    looks = [attention(attention.project(features), torch.full((1, 4), value).double()) for value in (-1, 1)]
    assert (looks[0] - looks[1]).abs().max() > 1e-3


@torch.no_grad()
def test_it_follows_a_feature_wherever_it_lies():
    attention, features = made(), torch.randn(1, 5, 4, 6).double()
    hidden = torch.randn(1, 4).double()
    straight = attention(attention.project(features), hidden)
    mirrored = attention(attention.project(features.flip(-1)), hidden)
    assert torch.allclose(mirrored, straight.flip(-1), atol=1e-14)


@pytest.mark.parametrize("scale", [1e4, 1e30])
@torch.no_grad()
def test_very_large_scores_stay_finite(scale):
    attention = made().float()
    attention.score.weight.mul_(scale)
    got = attention(attention.project(torch.randn(2, 5, 3, 3)), torch.randn(2, 4))
    assert torch.allclose(got.sum((1, 2)), torch.ones(2), atol=1e-6)

"""The attention of the HMDB-51 report compared with its equation in NumPy; it has a fixed grid."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker_papers.hmdb10.attention import ContextAttention


def made(hidden=4, grid=(3, 2), seed=0):
    torch.manual_seed(seed)
    return ContextAttention(hidden, grid).double()


@settings(max_examples=20, deadline=None)
@given(B=st.integers(1, 3), h=st.integers(1, 5), w=st.integers(1, 5), seed=st.integers(0, 999))
@torch.no_grad()
def test_it_equals_its_equation_and_sums_to_one(B, h, w, seed):
    attention = made(grid=(h, w), seed=seed)
    rng = np.random.default_rng(seed)
    features = 5 * rng.normal(size=(B, 6, h, w))
    hidden = 3 * rng.normal(size=(B, 4, h, w))
    w_c = attention.context.weight.numpy(force=True)
    b_c = attention.context.bias.numpy(force=True)
    expected = np.zeros((B, h, w))
    for n in range(B):
        vector = np.array([hidden[n, k].sum() / (h * w) for k in range(4)])
        for y in range(h):
            for x in range(w):
                place = y * w + x
                expected[n, y, x] = (
                    features[n, :, y, x].sum() / 6 + w_c[place] @ vector + b_c[place]
                )
        expected[n] = np.exp(expected[n]) / np.exp(expected[n]).sum()
    got = attention(attention.project(torch.tensor(features)), torch.tensor(hidden))
    np.testing.assert_allclose(got, expected, atol=1e-12)
    np.testing.assert_allclose(got.sum((1, 2)), np.ones(B), atol=1e-12)


@torch.no_grad()
def test_equal_scores_give_a_uniform_map():
    attention = made()
    attention.context.weight.zero_()
    attention.context.bias.fill_(0.7)
    features = torch.randn(2, 6, 1, 1).double().expand(-1, -1, 3, 2)
    got = attention(attention.project(features), torch.randn(2, 4, 3, 2).double())
    np.testing.assert_allclose(got, np.full((2, 3, 2), 1 / 6), rtol=1e-14)

"""Soft attention compared with its equation in NumPy; glimpses in front of a cell, and uniform
attention.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from onlooker.models.cells.attentive import AttentiveCell, SoftAttention
from onlooker.models.cells.cell import State, unroll
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker_papers.hmdb10.attention import ContextAttention

D = 5
HIDDEN = 4
UNITS = 3

vector_and_map = pytest.mark.parametrize("ndim", [2, 4])


def soft(ndim=2):
    return SoftAttention(D, HIDDEN, UNITS, hidden_ndim=ndim)


def made_video(*grid, B=2, T=4):
    return torch.randn(B, T, D, *grid, dtype=torch.double)


def by_equation(attention, features, hidden):
    """a = softmax over places of an MLP of (x_i, h), and of (x_i, h_i) for a map (Li et al. 2016)."""
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
def test_soft_attention_equals_its_equation_and_sums_to_one(ndim, B, h, w, seed):
    torch.manual_seed(seed)
    attention = soft(ndim).double()
    features = 3 * torch.randn(B, D, h, w).double()
    hidden = torch.randn(B, HIDDEN, *(h, w)[: ndim - 2]).double()
    got = attention(attention.project(features), hidden)
    expected = by_equation(attention, features.numpy(), hidden.numpy())
    np.testing.assert_allclose(got, expected, atol=1e-12)
    np.testing.assert_allclose(got.sum((1, 2)), np.ones(B), atol=1e-12)


@torch.no_grad()
def test_context_attention_adds_a_layer_of_the_mean_state_to_the_mean_features():
    attention = ContextAttention(HIDDEN, (4, 3)).double()
    features = made_video(4, 3)[0]
    hidden = torch.randn(4, HIDDEN, 4, 3).double()
    scores = features.mean(1).flatten(1) + attention.context(hidden.mean((2, 3)))
    assert_close(attention(attention.project(features), hidden).flatten(1), scores.softmax(1))


GLIMPSE = {
    "sum": lambda A, X: (A * X).sum((2, 3), keepdim=True),
    "product": lambda A, X: A * X,
    "scaled": lambda A, X: 12 * A * X,
}


@pytest.mark.parametrize(
    ("attention", "cell", "glimpse"),
    [
        (soft(), LSTM(D, HIDDEN), "sum"),
        (soft(4), ConvLSTM(D, HIDDEN), "product"),
        (soft(4), ConvLSTM(D, HIDDEN), "scaled"),
        (ContextAttention(HIDDEN, (4, 3)), ConvLSTM(D, HIDDEN), "product"),
    ],
)
@torch.no_grad()
def test_a_cell_sees_the_glimpse_of_attention_with_the_state_before_the_frame(
    attention, cell, glimpse
):
    attentive = AttentiveCell(attention, cell, glimpse).double()
    video = made_video(4, 3)
    state = cell.initial_state(2, (4, 3), torch.device("cpu"), torch.double)
    state = State(*(torch.randn_like(part) for part in state))
    (hidden, maps), last = unroll(attentive, video, state)
    for t in range(4):
        A = attention(attention.project(video[:, t]), state.hidden)
        output, state = cell(GLIMPSE[glimpse](A[:, None], video[:, t]), state)
        assert_close(maps[:, t], A)
        assert_close(hidden[:, t], output.hidden)
    assert_close(last, state)


@pytest.mark.parametrize(
    ("grid", "dtype"),
    [((4, 4), torch.float32), ((8, 2), torch.float64), ((1, 1), torch.float32)],
)
@torch.no_grad()
def test_scaled_with_a_uniform_map_is_bitwise_the_plain_cell(grid, dtype):
    conv_lstm = ConvLSTM(D, HIDDEN).to(dtype)
    even = soft(4)
    even.score.weight.zero_()
    looking = AttentiveCell(even, conv_lstm, "scaled").to(dtype)
    state = plain = conv_lstm.initial_state(2, grid, torch.device("cpu"), dtype)
    # One frame a call on both sides: a convolution over another number of frames may round in
    # another way.
    for features in made_video(*grid).to(dtype).unbind(1):
        _, state = looking(features, state)
        _, plain = conv_lstm(features, plain)
        assert_close(state, plain, rtol=0, atol=0)

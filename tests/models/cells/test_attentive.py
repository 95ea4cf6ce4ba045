"""Attention in front of a cell: ALSTM, ConvALSTM and the report's model compared with NumPy;
uniform attention.
"""

import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid

from onlooker.models.cells.attentive import GLIMPSES, AttentiveCell, SoftAttention
from onlooker.models.cells.cell import State, unroll
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker_papers.hmdb10.attention import ContextAttention

D = 5
HIDDEN = 4
UNITS = 3


def run(cell, video):
    """Zero state; hidden states, attention."""
    state = cell.initial_state(
        len(video), tuple(video.shape[-2:]), torch.device("cpu"), video.dtype
    )
    with torch.no_grad():
        (hidden, attention), _ = unroll(cell, video, state)
    return hidden, attention


def made_video(*grid, B=2, T=4):
    return torch.randn(B, T, D, *grid, dtype=torch.double)


def conv_attention():
    return SoftAttention(D, HIDDEN, UNITS, hidden_ndim=4)


def even(attention):
    """The same score at every place."""
    torch.nn.init.zeros_(attention.score.weight)
    return attention


def weights(module):
    return {key: value.numpy(force=True) for key, value in module.state_dict().items()}


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def update(gates, C):
    i, f, g, o = np.split(gates, 4)
    C = sigmoid(f) * C + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(C), C


def same_conv(weight, x):
    """3×3 with zeros outside, as nine shifted products."""
    h, w = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return sum(
        np.einsum("oi,ihw->ohw", weight[:, :, dy, dx], padded[:, dy : dy + h, dx : dx + w])
        for dy in range(3)
        for dx in range(3)
    )


def conv_lstm_step(p, glimpse, H, C):
    gates = same_conv(p["cell.from_features.weight"], glimpse) + same_conv(
        p["cell.from_hidden.weight"], H
    )
    return update(gates + p["cell.from_features.bias"][:, None, None], C)


def test_alstm_equals_numpy():
    # Li et al. 2016, section 3: a = softmax over places of an MLP of (x_i, h), glimpse Σ a_i x_i,
    # LSTM.
    cell = AttentiveCell(SoftAttention(D, HIDDEN, UNITS), LSTM(D, HIDDEN), "sum").double()
    video = made_video(3, 4)
    p = weights(cell)
    hidden, attention = run(cell, video)
    for n, frames in enumerate(video.numpy()):
        h = c = np.zeros(HIDDEN)
        for t, X in enumerate(frames):
            places = X.reshape(D, -1).T
            inner = (
                places @ p["attention.from_features.weight"][:, :, 0, 0].T
                + p["attention.from_features.bias"]
            )
            inner = np.tanh(inner + p["attention.from_hidden.weight"] @ h)
            a = softmax(inner @ p["attention.score.weight"][0, :, 0, 0])
            glimpse = sum(a[i] * places[i] for i in range(12))
            gates = p["cell.from_features.weight"] @ glimpse + p["cell.from_hidden.weight"] @ h
            h, c = update(gates + p["cell.from_features.bias"], c)
            np.testing.assert_allclose(attention[n, t], a.reshape(3, 4), atol=1e-12)
            np.testing.assert_allclose(hidden[n, t], h, atol=1e-12)


@pytest.mark.parametrize("glimpse", ["product", "scaled"])
def test_convalstm_equals_numpy(glimpse):
    # Li et al. 2016: Z = W_z ∗ tanh(W_xa ∗ X + W_ha ∗ H + b_a), A = softmax Z, X̃ = A ⊙ X,
    # ConvLSTM.
    cell = AttentiveCell(conv_attention(), ConvLSTM(D, HIDDEN), glimpse).double()
    p = weights(cell)
    video = made_video(4, 3)
    hidden, attention = run(cell, video)
    w_xa, w_ha, w_z = (
        p[f"attention.{name}.weight"][..., 0, 0]
        for name in ("from_features", "from_hidden", "score")
    )
    for n, frames in enumerate(video.numpy()):
        H = C = np.zeros((HIDDEN, 4, 3))
        for t, X in enumerate(frames):
            inner = np.einsum("ud,dhw->uhw", w_xa, X) + np.einsum("ud,dhw->uhw", w_ha, H)
            inner = np.tanh(inner + p["attention.from_features.bias"][:, None, None])
            A = softmax(np.einsum("u,uhw->hw", w_z[0], inner))
            H, C = conv_lstm_step(p, A * X * (12 if glimpse == "scaled" else 1), H, C)
            np.testing.assert_allclose(attention[n, t], A, atol=1e-12)
            np.testing.assert_allclose(hidden[n, t], H, atol=1e-12)


def test_the_reports_model_equals_numpy():
    cell = AttentiveCell(ContextAttention(HIDDEN, (4, 3)), ConvLSTM(D, HIDDEN), "product").double()
    p = weights(cell)
    video = made_video(4, 3)
    hidden, attention = run(cell, video)
    for n, frames in enumerate(video.numpy()):
        H = C = np.zeros((HIDDEN, 4, 3))
        for t, X in enumerate(frames):
            context = (
                p["attention.context.weight"] @ H.reshape(HIDDEN, -1).mean(1)
                + p["attention.context.bias"]
            )
            A = softmax(X.mean(0) + context.reshape(4, 3))
            H, C = conv_lstm_step(p, A * X, H, C)
            np.testing.assert_allclose(attention[n, t], A, atol=1e-12)
            np.testing.assert_allclose(hidden[n, t], H, atol=1e-12)


def test_sum_with_equal_scores_is_the_spatial_mean():
    lstm = LSTM(D, HIDDEN).double()
    video = made_video(3, 7)
    looking, _ = run(
        AttentiveCell(even(SoftAttention(D, HIDDEN, UNITS)), lstm, "sum").double(), video
    )
    plain, _ = run(lstm, video.mean((3, 4), keepdim=True))
    assert torch.allclose(looking, plain, atol=1e-14)


@pytest.mark.parametrize(
    ("grid", "dtype"), [((4, 4), torch.float32), ((8, 2), torch.float64), ((1, 1), torch.float32)]
)
def test_scaled_with_a_uniform_map_is_bitwise_the_plain_cell(grid, dtype):
    conv_lstm = ConvLSTM(D, HIDDEN).to(dtype)
    video = made_video(*grid).to(dtype)
    looking = AttentiveCell(even(conv_attention()), conv_lstm, "scaled").to(dtype)
    state = plain = conv_lstm.initial_state(2, grid, torch.device("cpu"), dtype)
    # One frame a call on both sides: a convolution over another number of frames may round in
    # another way.
    for features in video.unbind(1):
        _, state = looking(features, state)
        _, plain = conv_lstm(features, plain)
        assert torch.equal(state.hidden, plain.hidden)
        assert torch.equal(state.memory, plain.memory)


def test_product_with_a_uniform_map_divides_by_the_number_of_locations():
    conv_lstm = ConvLSTM(D, HIDDEN).double()
    video = made_video(4, 4)
    looking, _ = run(AttentiveCell(even(conv_attention()), conv_lstm, "product").double(), video)
    assert torch.allclose(looking, run(conv_lstm, video / 16)[0], atol=1e-14)
    assert not torch.allclose(looking, run(conv_lstm, video)[0], atol=1e-3)


def test_one_hot_attention_selects_one_location():
    class Fixed(torch.nn.Module):
        def project(self, features):
            return features[:, :1]

        def forward(self, projected, hidden):
            look = torch.zeros_like(projected[:, 0])
            look[:, 1, 2] = 1
            return look

    lstm = LSTM(D, HIDDEN).double()
    video = made_video(3, 4)
    hidden, attention = run(AttentiveCell(Fixed(), lstm, "sum"), video)
    assert torch.allclose(hidden, run(lstm, video[..., 1:2, 2:3])[0], atol=1e-14)
    assert attention[:, :, 1, 2].eq(1).all()


def test_attention_uses_the_state_before_the_frame():
    cell = AttentiveCell(SoftAttention(D, HIDDEN, UNITS), LSTM(D, HIDDEN), "sum").double()
    video = made_video(2, 2)
    state = State(*torch.randn(2, 2, HIDDEN, dtype=torch.double))
    with torch.no_grad():
        output, _ = cell(video[:, 0], state)
        expected = cell.attention(cell.attention.project(video[:, 0]), state.hidden)
    assert torch.equal(output.attention, expected)


def test_an_unknown_glimpse_is_an_error():
    assert GLIMPSES == ("sum", "product", "scaled")
    with pytest.raises(ValueError, match="glimpse is 'peek', expected one of sum, product, scaled"):
        AttentiveCell(SoftAttention(D, HIDDEN, UNITS), LSTM(D, HIDDEN), "peek")

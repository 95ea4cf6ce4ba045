"""Cells and attention compared with their equations: the LSTM and temporal convolutions with
PyTorch's, the ConvLSTM and motion-based attention with those of the papers, soft attention in
NumPy; glimpses in front of a cell.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from onlooker.models.cells import lstm
from onlooker.models.cells.attentive import AttentiveCell, MotionCell, SoftAttention
from onlooker.models.cells.cell import State, unroll
from onlooker.models.cells.lstm import LSTM, ConvLSTM, MapConv2d
from onlooker.models.cells.temporal_conv import TemporalConv
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
    state = cell.initial_state(2, (4, 3), device=torch.device("cpu"), dtype=torch.double)
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
    state = plain = conv_lstm.initial_state(2, grid, device=torch.device("cpu"), dtype=dtype)
    # One frame a call on both sides: a convolution over another number of frames may round in
    # another way.
    for features in made_video(*grid).to(dtype).unbind(1):
        _, state = looking(features, state)
        _, plain = conv_lstm(features, plain)
        assert_close(state, plain, rtol=0, atol=0)


def update(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """`C = F ⊙ C + I ⊙ G`, `H = O ⊙ tanh(C)` with `I, F, O = σ(…)` and `G = tanh(…)`."""
    i, f, g, o = gates.chunk(4, 1)
    memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(memory), memory


@torch.no_grad()
@pytest.mark.parametrize("kernel", [None, 1, 3, 5])  # None: an LSTM; else a ConvLSTM
def test_at_a_single_location_it_equals_pytorchs_lstm(kernel: int | None) -> None:
    cell = LSTM(6, 4).double() if kernel is None else ConvLSTM(6, 4, kernel).double()
    middle = ... if kernel is None else (..., kernel // 2, kernel // 2)
    shape = (3, 4) if kernel is None else (3, 4, 1, 1)
    reference = torch.nn.LSTM(6, 4, batch_first=True).double()
    cell.from_features.bias.normal_()
    reference.weight_ih_l0.copy_(cell.from_features.weight[middle])
    reference.weight_hh_l0.copy_(cell.from_hidden.weight[middle])
    reference.bias_ih_l0.copy_(cell.from_features.bias)
    reference.bias_hh_l0.zero_()
    x = torch.randn(3, 20, 6, dtype=torch.double)
    h0, c0 = torch.randn(2, 3, 4, dtype=torch.double)
    (got, _), last = unroll(cell, x[..., None, None], State(h0.view(shape), c0.view(shape)))
    expected, (h, c) = reference(x, (h0[None], c0[None]))
    assert_close(got.flatten(2), expected, rtol=0, atol=1e-12)
    assert_close([part.flatten(1) for part in last], [h[0], c[0]], rtol=0, atol=1e-12)


@torch.no_grad()
def test_an_lstm_averages_a_map_over_its_locations() -> None:
    cell = LSTM(5, 3).double()
    maps = torch.randn(2, 7, 5, 4, 3, dtype=torch.double)
    vectors = sum(maps[..., y : y + 1, x : x + 1] for y in range(4) for x in range(3)) / 12
    start = cell.initial_state(2, (4, 3), device=torch.device("cpu"), dtype=torch.double)
    assert_close(unroll(cell, maps, start), unroll(cell, vectors, start))


@pytest.mark.parametrize(
    ("kernel", "grid"),
    [(1, (3, 4)), (3, (4, 5)), (3, (7, 7)), (5, (4, 6)), (5, (2, 1)), (7, (1, 3))],
)
@torch.no_grad()
def test_a_conv_lstm_equals_the_papers_equations(kernel: int, grid: tuple[int, int]) -> None:
    cell = ConvLSTM(3, 2, kernel).double()
    torch.nn.init.normal_(cell.from_features.bias)
    video = torch.randn(2, 4, 3, *grid, dtype=torch.double)
    H, C = torch.randn(2, 2, 2, *grid, dtype=torch.double)
    (hidden, attention), state = unroll(cell, video, State(H, C))
    assert attention is None
    for t in range(4):
        of_input = F.conv2d(video[:, t], cell.from_features.weight, padding=kernel // 2)
        of_state = F.conv2d(H, cell.from_hidden.weight, padding=kernel // 2)
        H, C = update(of_input + of_state + cell.from_features.bias[:, None, None], C)
        assert_close(hidden[:, t], H)
    assert_close(state, State(H, C))


def test_initial_weights() -> None:
    cell = ConvLSTM(30, 8)
    w = cell.from_hidden.weight.flatten(1)  # 32 rows of 72: the rows are orthonormal
    assert torch.allclose(w @ w.T, torch.eye(32), atol=1e-5), "orthogonal"
    bound = (6 / (9 * (30 + 32))) ** 0.5
    assert bound * 0.95 < cell.from_features.weight.abs().max() <= bound, "Xavier-uniform"
    forget_gate_open = [0] * 8 + [1] * 8 + [0] * 16
    assert cell.from_features.bias.tolist() == forget_gate_open
    assert cell.from_hidden.bias is None


@torch.no_grad()
@pytest.mark.parametrize("glimpse", ["product", "scaled"])
def test_motion_based_attention_equals_the_equations_of_videolstm(glimpse: str) -> None:
    cell = MotionCell(6, 4, glimpse).double()
    features = torch.randn(2, 4, 6, 3, 5, dtype=torch.double)
    state = State(*torch.randn(2, 2, 2 * 4, 3, 5, dtype=torch.double))
    (hidden, attention), last = unroll(cell, features, state)
    lower = cell.lower
    upper = cell.upper
    look = cell.attention
    H, M = state.hidden.chunk(2, 1)
    C, E = state.memory.chunk(2, 1)
    for t in range(4):
        X, flow = features[:, t].chunk(2, 1)
        gates = F.conv2d(flow, lower.from_features.weight, lower.from_features.bias)
        gates = (
            gates + F.conv2d(M, lower.from_hidden.weight) + F.conv2d(H, cell.from_upper.weight)
        )
        M, E = update(gates, E)
        inner = F.conv2d(X, look.from_features.weight, look.from_features.bias)
        Z = F.conv2d(
            torch.tanh(inner + F.conv2d(M, look.from_hidden.weight)), look.score.weight
        )
        A = torch.exp(Z) / torch.exp(Z).sum((2, 3), keepdim=True)
        seen = A * X * (3 * 5 if glimpse == "scaled" else 1)
        gates = F.conv2d(seen, upper.from_features.weight, upper.from_features.bias, padding=1)
        H, C = update(gates + F.conv2d(H, upper.from_hidden.weight, padding=1), C)
        assert_close(attention[:, t], A[:, 0])
        assert_close(hidden[:, t], H)
    assert_close(last, State(torch.cat((H, M), 1), torch.cat((C, E), 1)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_product_with_patches_has_the_outputs_and_gradients_of_the_convolution(
    kernel: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = MapConv2d(5, 6, kernel, bias=bias).double()
    maps = torch.randn(2, 5, 3, 4, dtype=torch.double, requires_grad=True)
    results = []
    for large in (0, 1 << 30):
        monkeypatch.setattr(lstm, "_LARGE", large)
        output = conv(maps)
        weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view_as(output)
        gradients = torch.autograd.grad((output * weights).sum(), [maps, *conv.parameters()])
        results.append([output, *gradients])
    assert_close(*results, rtol=1e-12, atol=1e-12)
    plain = F.conv2d(maps, conv.weight, conv.bias, padding=kernel // 2)
    assert_close(results[0][0], plain, rtol=1e-12, atol=1e-12)


def test_under_autocast_outputs_are_in_half_and_gradients_in_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lstm, "_LARGE", 0)
    conv = MapConv2d(32, 32, 3)
    maps = torch.randn(2, 32, 3, 4, requires_grad=True)
    exact = torch.autograd.grad(conv(maps).sum(), [maps, *conv.parameters()])
    with torch.autocast("cpu", torch.bfloat16):
        output = conv(maps)
    assert output.dtype == torch.bfloat16
    rough = torch.autograd.grad(output.float().sum(), [maps, *conv.parameters()])
    for ours, right in zip(rough, exact, strict=True):
        assert ours.dtype == torch.float
        assert (ours - right).norm() < 0.03 * right.norm()


GRID = (2, 5)


def start(cell, B, grid=GRID):
    return cell.initial_state(B, grid, device=torch.device("cpu"), dtype=torch.float32)


@torch.no_grad()
def test_it_equals_two_dilated_convolutions_with_zero_padding():
    cell = TemporalConv(D, HIDDEN, GRID).eval()
    features = torch.randn(2, 12, D, *GRID)
    torch.nn.init.normal_(cell.norm.weight)
    torch.nn.init.normal_(cell.norm.bias)
    hidden = unroll(cell, features, start(cell, 2))[0].hidden

    def convolved(seen, linear, dilation):
        """`B T HIDDEN`, by `conv1d`: the linear layer's inputs are three frames, one after the other."""
        kernel = linear.weight.unflatten(1, (3, HIDDEN)).movedim(1, 2)
        return F.silu(
            F.conv1d(
                F.pad(seen.mT, (2 * dilation, 0)), kernel, linear.bias, dilation=dilation
            ).mT
        )

    rows = features.flatten(2) @ cell.from_features.weight.mT + cell.from_features.bias
    v = F.silu(F.layer_norm(rows, (HIDDEN,), cell.norm.weight, cell.norm.bias))
    z = convolved(convolved(v, cell.first, 1), cell.second, 2)
    mean = z.cumsum(1) / torch.arange(1, 13)[:, None]
    torch.testing.assert_close(
        hidden, torch.cat((mean, z.cummax(1).values.clamp_min(0)), 2), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_the_state_stays_in_full_precision_where_layers_are_computed_in_half():
    cell = TemporalConv(D, HIDDEN, GRID).eval()
    features = torch.randn(1, 20, D, *GRID)
    exact = unroll(cell, features, start(cell, 1))[0].hidden
    with torch.autocast("cpu", torch.bfloat16):
        (hidden, _), state = unroll(cell, features, start(cell, 1))
    assert hidden.dtype == state.hidden.dtype == state.memory.dtype == torch.float32
    torch.testing.assert_close(hidden, exact, atol=0.03, rtol=0.03)

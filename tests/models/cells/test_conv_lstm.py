"""The ConvLSTM compared with the paper's equations in plain loops, and on a 1×1 grid with
torch.nn.LSTM.
"""

import numpy as np
import pytest
import torch
from scipy.special import expit as sigmoid

from onlooker.models.cells.cell import State, unroll
from onlooker.models.cells.lstm import ConvLSTM


def convolve(weight, x):
    """`weight` `O I k k` over one map `I h w`, zeros outside."""
    side = weight.shape[-1] // 2
    _, h, w = x.shape
    out = np.zeros((len(weight), h, w))
    for row in range(h):
        for column in range(w):
            for dy in range(-side, side + 1):
                for dx in range(-side, side + 1):
                    y = row + dy
                    z = column + dx
                    if 0 <= y < h and 0 <= z < w:
                        out[:, row, column] += weight[:, :, dy + side, dx + side] @ x[:, y, z]
    return out


def by_equation(cell, video, H, C):
    """`I, F, O = σ(W_x ∗ X + W_h ∗ H + b)`, `G = tanh(…)`, `C = F ⊙ C + I ⊙ G`, `H = O ⊙ tanh(C)`
    of one video.
    """
    n = cell.num_hidden
    parameters = (cell.from_features.weight, cell.from_hidden.weight, cell.from_features.bias)
    gates = {
        gate: [p.numpy(force=True)[k * n : (k + 1) * n] for p in parameters]
        for k, gate in enumerate("IFGO")
    }
    states = []
    for X in video:
        z = {
            g: convolve(w_x, X) + convolve(w_h, H) + b[:, None, None]
            for g, (w_x, w_h, b) in gates.items()
        }
        C = sigmoid(z["F"]) * C + sigmoid(z["I"]) * np.tanh(z["G"])
        H = sigmoid(z["O"]) * np.tanh(C)
        states.append(H)
    return np.stack(states), C


def made(D, hidden, kernel=3):
    torch.manual_seed(0)
    cell = ConvLSTM(D, hidden, kernel).double()
    torch.nn.init.normal_(cell.from_features.bias)
    return cell


@pytest.mark.parametrize(
    ("kernel", "grid"),
    [(1, (3, 4)), (3, (4, 5)), (3, (7, 7)), (5, (4, 6)), (5, (2, 1)), (7, (1, 3))],
)
@torch.no_grad()
def test_it_equals_the_papers_equations(kernel, grid):
    cell = made(3, 2, kernel)
    rng = np.random.default_rng(kernel)
    video = rng.normal(size=(2, 4, 3, *grid))
    H = rng.normal(size=(2, 2, *grid))
    C = rng.normal(size=(2, 2, *grid))
    (got, attention), state = unroll(
        cell, torch.tensor(video), State(torch.tensor(H), torch.tensor(C))
    )
    assert attention is None
    for n in range(2):
        hidden, memory = by_equation(cell, video[n], H[n], C[n])
        np.testing.assert_allclose(got[n], hidden, atol=1e-12)
        np.testing.assert_allclose(state.memory[n], memory, atol=1e-12)
        np.testing.assert_allclose(state.hidden[n], hidden[-1], atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@torch.no_grad()
def test_on_a_1x1_grid_it_is_an_lstm(kernel):
    cell = made(6, 4, kernel)
    reference = torch.nn.LSTM(6, 4, batch_first=True).double()
    middle = kernel // 2
    reference.weight_ih_l0.copy_(cell.from_features.weight[:, :, middle, middle])
    reference.weight_hh_l0.copy_(cell.from_hidden.weight[:, :, middle, middle])
    reference.bias_ih_l0.copy_(cell.from_features.bias)
    reference.bias_hh_l0.zero_()
    x = torch.randn(2, 15, 6, dtype=torch.double)
    (got, _), _ = unroll(
        cell, x[..., None, None], cell.initial_state(2, (1, 1), torch.device("cpu"), torch.double)
    )
    assert torch.allclose(got[..., 0, 0], reference(x)[0], atol=1e-12)


def test_initial_weights():
    cell = ConvLSTM(30, 8)
    w = cell.from_hidden.weight.flatten(1)  # 32 rows of 72: the rows are orthonormal
    assert torch.allclose(w @ w.T, torch.eye(32), atol=1e-5), "orthogonal"
    bound = (6 / (9 * (30 + 32))) ** 0.5
    assert bound * 0.95 < cell.from_features.weight.abs().max() <= bound, "Xavier-uniform"
    assert cell.from_features.bias.tolist() == [0] * 8 + [1] * 8 + [0] * 16, (
        "only the forget gate starts open"
    )
    assert cell.from_hidden.bias is None

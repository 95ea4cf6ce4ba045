"""The LSTM update compared with its equation, and with saturated gates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit as sigmoid

from onlooker.models.cells.lstm import lstm_update


@settings(max_examples=25, deadline=None)
@given(
    B=st.integers(1, 3),
    D=st.integers(1, 4),
    places=st.sampled_from([(), (1, 1), (3, 2)]),
    seed=st.integers(0, 999),
)
def test_it_equals_the_equation(B, D, places, seed):
    rng = np.random.default_rng(seed)
    gates = 3 * rng.normal(size=(B, 4 * D, *places))
    memory = 2 * rng.normal(size=(B, D, *places))
    i, f, g, o = (gates[:, n * D : (n + 1) * D] for n in range(4))
    c = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
    state = lstm_update(torch.tensor(gates), torch.tensor(memory))
    np.testing.assert_allclose(state.memory, c, atol=1e-12)
    np.testing.assert_allclose(state.hidden, sigmoid(o) * np.tanh(c), atol=1e-12)


@pytest.mark.parametrize(
    ("i", "f", "g", "o", "memory", "hidden"),
    [
        (-99, 99, 3, 99, 0.5, np.tanh(0.5)),  # keeps
        (-99, -99, 3, 99, 0, 0),  # forgets
        (99, -99, 99, 99, 1, np.tanh(1)),  # writes
        (99, 99, -99, -99, -0.5, 0),  # adds, and says nothing
    ],
)
def test_saturated_gates_have_their_known_effect(i, f, g, o, memory, hidden):
    state = lstm_update(
        torch.tensor([[i, f, g, o]], dtype=torch.double), torch.tensor([[0.5]], dtype=torch.double)
    )
    assert state.memory.item() == pytest.approx(memory, abs=1e-12)
    assert state.hidden.item() == pytest.approx(hidden, abs=1e-12)

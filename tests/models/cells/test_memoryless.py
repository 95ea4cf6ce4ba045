"""The memoryless cell gives back what it gets, whatever came before."""

import torch

from onlooker.models.cells.memoryless import Memoryless
from onlooker.models.cells.unroll import unroll


def test_every_frame_comes_back_as_it_is():
    cell, features = Memoryless(5), torch.randn(2, 3, 5, 4, 6)
    state = cell.initial_state(2, (4, 6), torch.device("cpu"), torch.float32)
    (hidden, attention, _), after = unroll(cell, features, state)
    assert torch.equal(hidden, features)
    assert attention is None
    assert all(torch.equal(a, b) for a, b in zip(after, state, strict=True))


def test_its_state_is_empty_and_it_learns_nothing():
    cell = Memoryless(5)
    state = cell.initial_state(3, (4, 6), torch.device("cpu"), torch.float64)
    assert [part.shape for part in state] == [(3, 0), (3, 0)]
    assert cell.num_hidden == 5
    assert list(cell.parameters()) == []

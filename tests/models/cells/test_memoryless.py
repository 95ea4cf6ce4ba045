"""The memoryless cell returns its input and has no state."""

import torch

from onlooker.models.cells.cell import Memoryless, unroll


def test_the_output_is_the_input():
    cell = Memoryless(5)
    features = torch.randn(2, 3, 5, 4, 6)
    state = cell.initial_state(2, (4, 6), torch.device("cpu"), torch.float32)
    (hidden, attention), after = unroll(cell, features, state)
    assert torch.equal(hidden, features)
    assert attention is None
    assert all(torch.equal(a, b) for a, b in zip(after, state, strict=True))

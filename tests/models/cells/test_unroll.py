"""The loop over time, with a cell of known outputs."""

import torch

from onlooker.models.cells.cell import CellOutput, State, unroll


class RunningSum:
    """Sums its inputs, and counts frames in its memory."""

    num_hidden = 1

    def __init__(self, looks):
        self.looks = looks
        self.projected = []
        self.steps = 0

    def project(self, features):
        self.projected.append(tuple(features.shape))
        return features, 10 * features

    def recur(self, projected, state):
        once, tenfold = projected
        assert torch.equal(10 * once, tenfold), "the parts are of one frame"
        self.steps += 1
        state = State(state.hidden + once, state.memory + 1)
        return CellOutput(state.hidden, once[:, 0] if self.looks else None), state


def numbered(B, T):
    """A different value for every video and frame."""
    return (100.0 * torch.arange(B)[:, None] + torch.arange(T))[:, :, None, None, None].expand(
        B, T, 1, 2, 3
    )


def test_frames_are_processed_in_order_and_videos_independently():
    features = numbered(3, 4)
    start = State(torch.ones(3, 1, 2, 3), torch.zeros(3))
    (hidden, attention), state = unroll(RunningSum(looks=True), features, start)
    assert torch.equal(hidden, features.cumsum(1) + 1)
    assert torch.equal(attention, features[:, :, 0])
    assert torch.equal(state.hidden, hidden[:, -1])
    assert state.memory.tolist() == [4, 4, 4]


def test_all_frames_are_projected_at_once():
    cell = RunningSum(looks=False)
    (_, attention), _ = unroll(cell, numbered(3, 4), State(torch.zeros(3, 1, 2, 3), torch.zeros(3)))
    assert cell.projected == [(12, 1, 2, 3)]
    assert cell.steps == 4
    assert attention is None

"""The only loop over time: run a cell over the frames of a video."""

import torch
from torch import Tensor

from onlooker.models.cells.cell import Cell, CellOutput, State

__all__ = ["unroll"]


def unroll(cell: Cell, features: Tensor, state: State) -> tuple[CellOutput, State]:
    """Run a cell over a video.

    Args:
        features: `B T D h w`.
        state: before the first frame.

    Returns:
        The output at every frame: hidden states `B T D` or `B T D h w`, attention `B T h w` or None; and the state
        after the last frame.
    """
    B, T = features.shape[:2]
    projected = [part.unflatten(0, (B, T)).unbind(1) for part in cell.project(features.flatten(0, 1))]
    outputs = []
    for step in zip(*projected, strict=True):
        output, state = cell.recur(step, state)
        outputs.append(output)
    hidden, attention = zip(*outputs, strict=True)
    return CellOutput(torch.stack(hidden, 1), None if attention[0] is None else torch.stack(attention, 1)), state

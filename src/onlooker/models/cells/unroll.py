"""The only loop over time."""

import torch
from torch import Tensor

from onlooker.models.cells.cell import Cell, State
from onlooker.ops.repeated_conv import repeated


def unroll(cell: Cell, features: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
    """Run a cell over a video.

    Args:
        cell: any cell.
        features: `B T D h w`.
        state: before the first frame.

    Returns:
        Hidden states `B T D` or `B T D h w`; attention `B T h w`, or None; the state after the last frame.
    """
    B, T = features.shape[:2]
    projected = [part.unflatten(0, (B, T)).unbind(1) for part in cell.project(features.flatten(0, 1))]
    hidden, attention = [], []
    with repeated(T):
        for step in zip(*projected, strict=True):
            output, state = cell.recur(step, state)
            hidden.append(output.hidden)
            attention.append(output.attention)
    looked = [a for a in attention if a is not None]
    return torch.stack(hidden, 1), torch.stack(looked, 1) if looked else None, state

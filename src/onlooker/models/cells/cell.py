"""The interface of a cell: one step in time, whose state is a value outside the module; and the
only loop over time.
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["State"]

Grid = tuple[int, int]


class State(NamedTuple):
    """The state of a cell: `hidden` and `memory` (the LSTM's H and C), `B D`, or `B D h w` for
    cells on maps.
    """

    hidden: Tensor
    memory: Tensor


class CellOutput(NamedTuple):
    """The output of a cell at one frame: `hidden` (`B D` or `B D h w`) and `attention` (`B h w`, or
    None).

    `unroll` returns the same with `T` after `B`.
    """

    hidden: Tensor
    attention: Tensor | None = None


class Cell(nn.Module):
    """One step in time: `cell(features, state) -> (output, state)`.

    `project` does not depend on the state and runs once over all frames, `recur` runs frame by
    frame. A new cell defines `initial_state` and these two methods, and needs an entry in
    `cells.CELLS`.

    `num_hidden` is the length of `hidden`; attention covers the first `num_attended` features
    (None: all).
    """

    num_hidden: int
    num_attended: int | None = None

    @abstractmethod
    def initial_state(
        self, batch_size: int, grid: Grid, *, device: torch.device, dtype: torch.dtype
    ) -> State:
        """The state before the first frame."""

    @abstractmethod
    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """Features `N D h w` to the input of `recur`, each part `N …`."""

    @abstractmethod
    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """One step from the projected features of one frame, each part `B …`."""

    def forward(self, features: Tensor, state: State) -> tuple[CellOutput, State]:
        """One step on features `B D h w`."""
        return self.recur(self.project(features), state)


def zeros(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> State:
    """A state whose two parts are zeros of one shape."""
    part = torch.zeros(shape, device=device, dtype=dtype)
    return State(part, part)


class Memoryless(Cell):
    """Returns the features of each frame unchanged; its state is empty."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_hidden = num_features

    def initial_state(
        self, batch_size: int, grid: Grid, *, device: torch.device, dtype: torch.dtype
    ) -> State:
        return zeros((batch_size, 0), device, dtype)

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        return (features,)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        return CellOutput(projected[0]), state


def unroll(cell: Cell, features: Tensor, state: State) -> tuple[CellOutput, State]:
    """Run a cell over a video.

    Args:
        features: `B T D h w`.
        state: before the first frame.

    Returns:
        The output at every frame: hidden states `B T D` or `B T D h w`, attention `B T h w` or
        None; and the state after the last frame.
    """
    B, T = features.shape[:2]
    projected = [
        part.unflatten(0, (B, T)).unbind(1) for part in cell.project(features.flatten(0, 1))
    ]
    outputs = []
    for step in zip(*projected, strict=True):
        output, state = cell.recur(step, state)
        outputs.append(output)
    hidden, attention = zip(*outputs, strict=True)
    return CellOutput(
        torch.stack(hidden, 1), None if attention[0] is None else torch.stack(attention, 1)
    ), state

"""What every cell is: one step in time, with its state outside of it."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Grid = tuple[int, int]


class State(NamedTuple):
    """What a cell remembers between two frames; a value, never kept inside the module.

    `hidden` and `memory` (the LSTM's H and C) are `B D` for cells of vectors, `B D h w` for cells of maps.
    """

    hidden: Tensor
    memory: Tensor


class CellOutput(NamedTuple):
    """The output of a cell at one frame: `hidden` (`B D` or `B D h w`), `attention` (`B h w`) and `evidence` (`B`).

    `attention` is None for a cell that does not attend, `evidence` for one that does not weigh frames. `unroll` returns
    the same record for a video, with `T` behind `B`.
    """

    hidden: Tensor
    attention: Tensor | None = None
    evidence: Tensor | None = None


class Cell(Protocol):
    """One step: `cell.recur(cell.project(features), state) -> (output, state)`.

    The step is cut in two so that the part that no state enters runs once over all frames (`project`), and only the
    rest runs frame by frame (`recur`). `forward(features, state)` is the two together.
    """

    num_hidden: int

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """The state before the first frame."""
        ...

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """Features `N D h w` to what `recur` takes, each `N …`."""
        ...

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """One step on what `project` made of one frame, each `B …`."""
        ...

    def __call__(self, features: Tensor, state: State) -> tuple[CellOutput, State]:
        """One step on features `B D h w`."""
        ...


def lstm_update(gates: Tensor, memory: Tensor) -> State:
    """The LSTM's update from its four gates before their non-linearity, stacked along dimension 1 as I, F, G, O.

    `C_t = σ(F) ⊙ C_{t-1} + σ(I) ⊙ tanh(G)`, `H_t = σ(O) ⊙ tanh(C_t)` (Hochreiter & Schmidhuber 1997). The order of
    the gates is that of `torch.nn.LSTM`.
    """
    i, f, g, o = gates.chunk(4, 1)
    memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    return State(o.sigmoid() * memory.tanh(), memory)

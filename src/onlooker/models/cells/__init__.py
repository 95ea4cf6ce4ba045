"""The table of recurrent cells; one step in time is `(features, state) -> (output, state)`."""

from collections.abc import Callable

import torch

from onlooker.models.attention import ATTENTIONS
from onlooker.models.cells.attentive import AttentiveCell
from onlooker.models.cells.cell import Cell, Grid
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.cells.memoryless import Memoryless
from onlooker.models.cells.mil import MILCell
from onlooker.models.cells.motion import MotionCell
from onlooker.models.cells.temporal_conv import TemporalConv

__all__ = ["CELLS", "MIL", "MOTION", "build_cell"]

MOTION = "motion"  # the attention of `MotionCell`, which has a second ConvLSTM
MIL = "mil"  # the attention of `MILCell`, over all frames at once
# name -> build(num_features, hidden, grid). A cell with a hidden state can have any attention that takes such a state.
CELLS: dict[str, Callable[[int, int, Grid], Cell]] = {
    "memoryless": lambda num_features, hidden, grid: Memoryless(num_features),
    "lstm": lambda num_features, hidden, grid: LSTM(num_features, hidden),
    "convlstm": lambda num_features, hidden, grid: ConvLSTM(num_features, hidden),
    "separable": lambda num_features, hidden, grid: ConvLSTM(num_features, hidden, separable=True),
    "tcn": TemporalConv,
}


def build_cell(
    name: str, num_features: int, hidden: int, grid: Grid, attention: str | None = None, glimpse: str = "scaled"
) -> Cell:
    """A cell by its name, with an attention in front of it if one is given.

    Args:
        name: one of `CELLS`.
        hidden: units or channels of its state.
        grid: `(h, w)` of the features.
        attention: one of `ATTENTIONS`, `motion`, `mil`; None: the cell gets the features of all locations.
        glimpse: the input of the cell, see `AttentiveCell`.

    Raises:
        ValueError: an unknown cell, attention or glimpse, no units, or an attention that does not take the state.
    """
    if name not in CELLS:
        raise ValueError(f"unknown cell {name!r}; there are {', '.join(CELLS)}")
    if hidden < 1:
        raise ValueError(f"hidden is {hidden}, expected at least 1")
    # A sum over locations leaves one location. The cell is built even if `motion` or `mil` replaces it below, because
    # published results depend on the order in which random numbers are drawn.
    cell = CELLS[name](num_features, hidden, (1, 1) if attention and glimpse == "sum" else grid)
    if attention is None:
        return cell
    if attention == MOTION:
        if name != "convlstm":
            raise ValueError(f"attention {MOTION!r} is that of two ConvLSTMs; use it with convlstm, not with {name}")
        return MotionCell(num_features, hidden, glimpse)
    if attention == MIL:
        if (name, glimpse) != ("memoryless", "sum"):
            raise ValueError(
                f"attention {MIL!r} sums over frames without another memory; use it with memoryless and sum, not "
                f"with {name} and {glimpse}"
            )
        return MILCell(num_features, hidden)
    state = cell.initial_state(1, grid, torch.device("cpu"), torch.float32).hidden
    if not state.numel():
        raise ValueError(f"a {name} cell cannot attend: it has no state to attend with; use lstm or convlstm")
    if attention not in ATTENTIONS:
        raise ValueError(f"unknown attention {attention!r}; there are {', '.join(ATTENTIONS)}")
    sizes = num_features, state.shape[1], hidden, grid
    built = ATTENTIONS[attention](*sizes)
    if built.hidden_ndim != state.ndim:
        fitting = [other for other, build in ATTENTIONS.items() if build(*sizes).hidden_ndim == state.ndim]
        fitting += [MOTION] if name == "convlstm" else []
        raise ValueError(
            f"attention {attention!r} does not take the state of a {name} cell; use {' or '.join(fitting) or 'none'}"
        )
    return AttentiveCell(built, cell, glimpse)

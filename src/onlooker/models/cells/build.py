"""The table of cells."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from onlooker.models.attention.build import ATTENTIONS, Attention, build_attention
from onlooker.models.cells.attentive import AttentiveCell
from onlooker.models.cells.cell import Cell, Grid
from onlooker.models.cells.conv_lstm import ConvLSTM
from onlooker.models.cells.lstm import LSTM
from onlooker.models.cells.memoryless import Memoryless
from onlooker.models.cells.mil import MILCell
from onlooker.models.cells.motion import MotionCell
from onlooker.models.cells.temporal_conv import TemporalConv

MOTION = "motion"  # the attention that a flow asks for: a cell of its own, with a second memory
MIL = "mil"  # the attention over all frames at once, a running sum that needs no other memory
# name -> build(num_features, hidden, grid). Which attentions can ask with its state, the state itself tells.
CELLS: dict[str, Callable[[int, int, Grid], Cell]] = {
    "memoryless": lambda num_features, hidden, grid: Memoryless(num_features),
    "lstm": lambda num_features, hidden, grid: LSTM(num_features, hidden),
    "convlstm": lambda num_features, hidden, grid: ConvLSTM(num_features, hidden),
    "separable": lambda num_features, hidden, grid: ConvLSTM(num_features, hidden, separable=True),
    "tcn": TemporalConv,
}


@dataclass(frozen=True)
class Look:
    """How an attentive cell looks: which attention, and what the cell gets to see through it."""

    attention: str
    glimpse: str


def build_cell(name: str, num_features: int, hidden: int, grid: Grid, look: Look | None = None) -> Cell:
    """A cell by its name, behind an attention where `look` is given.

    Args:
        name: one of `CELLS`.
        num_features: D of the features.
        hidden: units or channels of its state.
        grid: `(h, w)` of the features.
        look: the attention and its glimpse; None for a cell that sees everything.

    Raises:
        ValueError: no cell, attention or glimpse of that name, or an attention that cannot ask with this cell's state.
    """
    if name not in CELLS:
        raise ValueError(f"no cell is called {name!r}; there are {', '.join(CELLS)}")
    # Of the sum over an attention's places one place is left.
    cell = CELLS[name](num_features, hidden, (1, 1) if look and look.glimpse == "sum" else grid)
    if look is None:
        return cell
    if look.attention == MOTION:
        if name != "convlstm":
            raise ValueError(f"attention {MOTION!r} is that of two ConvLSTMs; use it with convlstm, not with {name}")
        return MotionCell(num_features, hidden, look.glimpse)
    if look.attention == MIL:
        if (name, look.glimpse) != ("memoryless", "sum"):
            raise ValueError(
                f"attention {MIL!r} sums over frames without another memory; use it with memoryless and sum, not "
                f"with {name} and {look.glimpse}"
            )
        return MILCell(num_features, hidden)
    state = cell.initial_state(1, grid, torch.device("cpu"), torch.float32).hidden
    if not state.numel():
        raise ValueError(f"a {name} cell cannot attend: it has no state to ask with; use lstm or convlstm")

    def build(attention: str) -> Attention:
        return build_attention(attention, num_features, state.shape[1], hidden, grid)

    attention = build(look.attention)
    if attention.hidden_ndim != state.ndim:
        fitting = [other for other in ATTENTIONS if build(other).hidden_ndim == state.ndim]
        fitting += [MOTION] if name == "convlstm" else []
        raise ValueError(
            f"attention {look.attention!r} cannot ask with the state of a {name} cell; "
            f"use {' or '.join(fitting) or 'none'}"
        )
    return AttentiveCell(attention, cell, look.glimpse)

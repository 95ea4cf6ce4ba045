"""The table of recurrent cells; one step in time is `(features, state) -> (output, state)`."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from onlooker.models.cells.attentive import ATTENTIONS, AttentiveCell, MotionCell
from onlooker.models.cells.cell import Cell, Grid, Memoryless
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.cells.temporal_conv import TemporalConv
from onlooker.models.encoders import load_packages


class CellSpec(NamedTuple):
    """A cell that has a name.

    Args:
        build: `build(num_features, hidden, grid)`: D, units or channels of the state, and `(h, w)`.
        package: the distribution that registers it; None: a program.
    """

    build: Callable[[int, int, Grid], Cell]
    package: str | None = "onlooker"


# A cell with a hidden state can have any attention that takes such a state.
CELLS: dict[str, CellSpec] = {
    "memoryless": CellSpec(lambda num_features, hidden, grid: Memoryless(num_features)),
    "lstm": CellSpec(lambda num_features, hidden, grid: LSTM(num_features, hidden)),
    "convlstm": CellSpec(lambda num_features, hidden, grid: ConvLSTM(num_features, hidden)),
    "tcn": CellSpec(TemporalConv),
}


def build_cell(
    name: str,
    num_features: int,
    hidden: int,
    *,
    grid: Grid,
    attention: str | None = None,
    glimpse: str = "scaled",
) -> Cell:
    """A cell by its name, with an attention in front of it if one is given.

    Args:
        name: one of `CELLS`.
        hidden: units or channels of its state.
        grid: `(h, w)` of the features.
        attention: one of `ATTENTIONS`, or `motion` (`MotionCell`); None: the cell gets the features
            of all locations.
        glimpse: the input of the cell, see `AttentiveCell`.

    Raises:
        ValueError: an unknown cell, attention or glimpse, no units, or an attention that does not
            take the state.
    """
    if name not in CELLS:
        load_packages()
    if name not in CELLS:
        raise ValueError(f"unknown cell {name!r}; there are {', '.join(CELLS)}")
    if hidden < 1:
        raise ValueError(f"hidden is {hidden}, expected at least 1")
    # A sum over locations leaves one location. The cell is built even if one with its own attention
    # replaces it below, because published results depend on the order in which random numbers are
    # drawn.
    cell_grid = (1, 1) if attention and glimpse == "sum" else grid
    cell = CELLS[name].build(num_features, hidden, cell_grid)
    if attention is None:
        return cell
    if attention == "motion":
        if name != "convlstm" or glimpse not in ("product", "scaled"):
            raise ValueError(
                f"attention {attention!r} needs cell convlstm and glimpse product or scaled, not {name} and {glimpse}"
            )
        return MotionCell(num_features, hidden, glimpse)
    if attention not in ATTENTIONS:
        load_packages()
    if attention not in ATTENTIONS:
        raise ValueError(f"unknown attention {attention!r}; there are {', '.join(ATTENTIONS)}")
    state = cell.initial_state(1, grid, device=torch.device("cpu"), dtype=torch.float32).hidden
    if not state.numel():
        raise ValueError(
            f"a {name} cell cannot attend: it has no state to attend with; use lstm or convlstm"
        )
    built = ATTENTIONS[attention].build(num_features, state.shape[1], hidden, grid)
    if built.hidden_ndim != state.ndim:
        fitting = "soft, for a vector" if state.ndim == 2 else "conv, for a map"
        raise ValueError(
            f"attention {attention!r} does not take the state of a {name} cell; use {fitting}"
        )
    return AttentiveCell(built, cell, glimpse)

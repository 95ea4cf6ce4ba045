"""Figures of images in a grid: contact sheets, a row of frames per clip."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.video.sampling import equally_spaced

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# The colors of the library's plots.
INK = "#1c2026"
FAINT = "#e4e7eb"
COLORS = ("#0072b2", "#d55e00", "#009e73")


def cells(rows: int, columns: int, inches: float) -> tuple["Figure", NDArray[np.object_]]:
    """A figure with empty cells without ticks and frames, and its `rows columns` axes."""
    from matplotlib.figure import Figure

    size = (columns * inches + 1.5, rows * inches + 0.4)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure, grid


def caption(axes: "Axes", text: str) -> None:
    """Text at the left of a row."""
    axes.set_ylabel(text, rotation=0, ha="right", va="center", color=INK, fontsize=10)


def sheet(rows: Sequence[tuple[str, NDArray[np.uint8]]], columns: int = 8) -> bytes:
    """A contact sheet as PNG: for each clip, a caption and frames from `equally_spaced`.

    Args:
        rows: the caption and the frames `T H W 3` of each clip.
        columns: maximum number of frames per clip.
    """
    figure, grid = cells(len(rows), min(columns, max(len(frames) for _, frames in rows)), 1.4)
    for line, (text, frames) in zip(grid, rows, strict=True):
        caption(line[0], text)
        for axes, index in zip(
            line, equally_spaced(len(frames), min(len(frames), columns)), strict=False
        ):
            axes.imshow(frames[index])
    return to_png(figure, dpi=160)


def to_png(figure: "Figure", dpi: int = 160) -> bytes:
    """The figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()

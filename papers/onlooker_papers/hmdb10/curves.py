"""The loss curves of the HMDB-51 report's system: training and validation, by model, over all draws
of the split.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onlooker.report.plots import plain
from onlooker_papers.sheet import COLORS, INK

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

Curves = dict[str, dict[str, list[float]]]  # of a training: `TrainedRun.curves`
_WORDS = {"report": "report", "convlstm": "ConvLSTM", "lstm": "LSTM", "convnet": "ConvNet"}


def loss_curves(models: Mapping[str, Sequence[Curves]]) -> "Figure":
    """One panel per model: the loss of each training, thin, and the mean over them, thick."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.3 * len(models) + 0.5, 2.9), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, (name, of) in zip(panels, models.items(), strict=True):
        for color, side in zip(COLORS, ("training", "validation"), strict=False):
            draws = [curves[side]["loss"] for curves in of]
            epochs = np.arange(1, len(draws[0]) + 1)
            axes.plot(epochs, np.transpose(draws), color=color, linewidth=0.7, alpha=0.35)
            marker = "o" if len(epochs) == 1 else ""
            axes.plot(
                epochs,
                np.mean(draws, axis=0),
                color=color,
                linewidth=2.2,
                marker=marker,
                label=side,
            )
        plain(
            axes,
            "epoch",
            "" if axes is not panels[0] else "cross entropy",
            title=_WORDS.get(name, name),
        )
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.set_ylim(bottom=0)
    panels[-1].legend(
        loc="upper right", frameon=False, fontsize=9, labelcolor=INK, handlelength=1.4
    )
    return figure

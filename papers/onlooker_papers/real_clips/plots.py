"""Figures of docs/real-clips.md: reliability diagrams, learning curves, events against false alarms."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from onlooker.drawing.plots import COLORS, FAINT, INK, QUIET

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["learning_curves", "reliability_diagrams", "trade_off"]

_COLUMNS = 3


def reliability_diagrams(calibration: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Accuracy against confidence in bins of equally many clips, per set, before and after temperature scaling.

    Args:
        calibration: the figures of `calibration.json`.
    """
    figure, panels = _panels(len(calibration))
    for axes, (name, of) in zip(panels, calibration.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="#9aa1ab", linewidth=1, linestyle=(0, (4, 3)))
        for color, (when, key) in zip(COLORS[1::-1], {"before": "before", "after": "error"}.items(), strict=True):
            confidence, accuracy, _ = np.array(of["reliability"][when]).T
            axes.plot(confidence, accuracy, "o-", color=color, markersize=4, label=f"{when}: {of[key]:.3f}")
        _style(axes, f"{name.replace('_', ' ')}, {of['clips']} clips", "confidence", "accuracy")
        axes.set_xlim(0, 1.02)
        axes.xaxis.set_major_formatter("{x:.0%}")
    return figure


def learning_curves(curves: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Test accuracy against training clips per class: mean and standard deviation of the draws, one panel per set.

    Args:
        curves: the figures of `learning-curves.json`.
    """
    figure, panels = _panels(len(curves))
    for axes, (name, of) in zip(panels, curves.items(), strict=False):
        points = [*of["curve"].values()]
        x, y, spread = (np.array([row[key] for row in points]) for key in ("per_class", "accuracy", "spread"))
        axes.fill_between(x, y - spread, y + spread, color=COLORS[0], alpha=0.2, linewidth=0)
        axes.plot(x, y, "o-", color=COLORS[0], markersize=4, label=of["head"])
        axes.set_xscale("log")
        axes.set_xticks(x, [f"{each:.3g}" for each in x])
        axes.minorticks_off()
        _style(axes, name.replace("_", " "), "training clips per class", "accuracy")
    return figure


def trade_off(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], chosen: Mapping[str, tuple[float, float]]
) -> "Figure":
    """Events found against false alarms per hour, on a logarithmic axis: a line per set, a dot for its threshold.

    Args:
        curves: by name, false alarms per hour and shares of events found, for all thresholds.
        chosen: by name, both values for the chosen threshold.
    """
    figure, (axes,) = _panels(1, (5.6, 3.4))
    for color, (name, (alarms, found)) in zip(COLORS, curves.items(), strict=False):
        axes.plot(alarms, found, color=color, linewidth=1.8, label=name.replace("_", " "))
        axes.scatter(*chosen[name], color=color, s=34, zorder=3)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:g}")
    _style(axes, "", "false alarms an hour", "events found", legend="lower right")
    return figure


def _panels(count: int, size: tuple[float, float] = (3.3, 3.1)) -> "tuple[Figure, list[Axes]]":
    """A figure of panels, each of this width and height in inches."""
    from matplotlib.figure import Figure

    columns, rows = min(count, _COLUMNS), -(-count // _COLUMNS)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", facecolor="white")
    panels = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels


def _style(
    axes: "Axes", title: str, x: str, y: str, legend: Literal["upper left", "lower right"] = "upper left"
) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=QUIET, labelsize=9, length=3)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    axes.set_xlabel(x, color=QUIET, fontsize=9.5)
    axes.set_ylabel(y, color=QUIET, fontsize=9.5)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc=legend)

"""Plots in one style: learning curves, calibration."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.files import printable

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "FAINT",
    "INK",
    "QUIET",
    "loss_and_accuracy",
    "plain",
    "to_png",
    "to_svg",
]

# Okabe & Ito 2008 without yellow, which is pale on white: distinguishable with any color vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#333333")
INK, QUIET, FAINT = "#1c2026", "#6b727c", "#e4e7eb"
_PERCENT = "{x:.0%}"


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plain(axes: "Axes", x: str, y: str = "", title: str = "") -> None:
    """Give axes this style: two gray lines, faint horizontal ones, a title at the left."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b9bfc7")
    axes.tick_params(colors=QUIET, labelsize=9, length=3)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=QUIET, fontsize=9.5)
    axes.set_ylabel(y, color=QUIET, fontsize=9.5)
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")


def _plain_text(name: str) -> str:
    """A name in which matplotlib does not interpret text between dollar signs as mathematics, which may fail."""
    return printable(name).replace("$", r"\$")


def _share_axis(axes: "Axes") -> None:
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(_PERCENT)


def _line(axes: "Axes", x: ArrayLike, y: "Sequence[float] | NDArray[np.float64]", k: int, name: str) -> None:
    marker = "o" if len(y) < 3 else ""
    axes.plot(x, y, color=COLORS[k % len(COLORS)], linewidth=1.8, marker=marker, label=_plain_text(name))


def loss_and_accuracy(curves: Mapping[str, Mapping[str, Sequence[float]]], x: str = "epoch", kept: int = 0) -> "Figure":
    """Learning curves: one panel per measure, one line per split or run.

    Args:
        curves: by line, then by measure: `{"training": {"loss": […], "accuracy": […]}, "validation": …}`, one value
            per epoch, NaN if there is none. Measures with "accuracy" in their names are drawn from 0 to 1.
        x: what is counted from 1.
        kept: the epoch whose weights are used; it is marked; 0: none.
    """
    measures = list(dict.fromkeys(name for line in curves.values() for name in line))
    figure = _figure(4.6 * len(measures), 3.3)
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for k, (name, line) in enumerate(curves.items()):
            if measure in line:
                _line(axes, np.arange(1, len(line[measure]) + 1), line[measure], k, name)
        plain(axes, x, "", measure)
        axes.set_xlim(1, max(2, *(len(line.get(measure, ())) for line in curves.values())))
        axes.locator_params(axis="x", nbins=8, integer=True)
        if "accuracy" in measure:
            _share_axis(axes)
        else:
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        if kept:
            axes.axvline(kept, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), label=f"kept: {x} {kept}")
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=9, labelcolor=INK, handlelength=1.4)
    return figure


def reliability(scores: ArrayLike, targets: ArrayLike, bins: ArrayLike) -> "Figure":
    """A reliability diagram: accuracy against confidence in bins (Guo et al. 2017).

    Args:
        scores: `B K` probabilities of each video.
        targets: `B` true classes.
        bins: `B`, the number of each video's bin.
    """
    probabilities, truth = np.asarray(scores, dtype=np.float64), np.asarray(targets)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    _, number = np.unique(np.asarray(bins), return_inverse=True)  # numbers without gaps
    count = np.bincount(number)
    mean_confidence, accuracy = (np.bincount(number, weights) / count for weights in (confidence, right))
    figure = _figure(4.4, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    upper.plot([0, 1], [0, 1], color="#9aa1ab", linewidth=1, linestyle=(0, (4, 3)))
    upper.vlines(mean_confidence, mean_confidence, accuracy, color=COLORS[1], linewidth=2.5, alpha=0.35)
    upper.scatter(mean_confidence, accuracy, s=26, color=COLORS[0], zorder=3)
    upper.set_xlim(0, 1.02)
    upper.set_ylim(-0.02, 1.02)
    plain(upper, "", "accuracy")
    upper.text(
        0.97, 0.05, "below the line: overconfident", ha="right", fontsize=9, color=QUIET, transform=upper.transAxes
    )
    lower.hist(confidence, 20, range=(0, 1), color="#9db8cc", rwidth=0.8)
    plain(lower, "confidence", "videos")
    for axis in (upper.xaxis, upper.yaxis, lower.xaxis):
        axis.set_major_formatter(_PERCENT)
    return figure


def to_png(figure: "Figure", dpi: int = 160) -> bytes:
    """The figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def to_svg(figure: "Figure") -> str:
    """The figure as SVG, with text as outlines and without a date: equal figures give equal text."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "onlooker"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()

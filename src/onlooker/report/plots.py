"""Plots of the report: learning curves, and events found by the rate of false alarms."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onlooker.base.records import NO_PICTURE
from onlooker.base.text import printable

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlooker.base.alarm_curve import AlarmCurve
    from onlooker.base.records import Prediction
    from onlooker.measure.timeline import Pair

__all__ = ["loss_and_accuracy", "plain"]

# Okabe & Ito 2008 without yellow, which is pale on white: distinguishable with any color vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#333333")
INK = "#1c2026"
QUIET = "#6b727c"
FAINT = "#e4e7eb"


def plain(axes: "Axes", x: str, y: str = "", *, title: str = "") -> None:
    """Give axes this style: two gray lines, faint horizontal ones, a title at the left."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b9bfc7")
    axes.tick_params(colors=QUIET, labelsize=9, length=3)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=QUIET, fontsize=9.5)
    axes.set_ylabel(y, color=QUIET, fontsize=9.5)
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")


def loss_and_accuracy(
    curves: Mapping[str, Mapping[str, Sequence[float]]], best_epoch: int = 0
) -> "Figure":
    """Learning curves: one panel per measure, one line per split or run.

    Args:
        curves: by line, then by measure: `{"training": {"loss": […], "accuracy": […]},
            "validation": …}`, one value per epoch, NaN if there is none. Measures with "accuracy"
            in their names are drawn from 0 to 1.
        best_epoch: the epoch whose weights are used, which is marked; 0: none.
    """
    from matplotlib.figure import Figure

    measures = list(dict.fromkeys(name for line in curves.values() for name in line))
    figure = Figure(figsize=(4.6 * len(measures), 3.3), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for k, (name, line) in enumerate(curves.items()):
            if measure in line:
                values = line[measure]
                label = plain_text(name)
                style = {
                    "color": COLORS[k % len(COLORS)],
                    "linewidth": 1.8,
                    "marker": "o" if len(values) < 3 else "",  # a line of one point is invisible
                }
                axes.plot(range(1, len(values) + 1), values, label=label, **style)
        plain(axes, "epoch", "", title=measure)
        axes.set_xlim(1, max(2, *(len(line.get(measure, ())) for line in curves.values())))
        axes.locator_params(axis="x", nbins=8, integer=True)
        if "accuracy" in measure:
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter("{x:.0%}")
        else:
            axes.set_ylim(bottom=0)
        if best_epoch:
            axes.axvline(
                best_epoch,
                color=QUIET,
                linewidth=1.2,
                linestyle=(0, (4, 3)),
                label=f"kept: epoch {best_epoch}",
            )
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=9, labelcolor=INK, handlelength=1.4)
    return figure


def found_by_alarms(curve: "AlarmCurve", marked_rate: float) -> "Figure":
    """The share of events found, by the false alarms an hour that this costs; a ring marks the
    `marked_rate`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.3), layout="constrained", facecolor="white")
    axes = figure.subplots()
    limit = max(20, *curve.alarms_per_hour)
    # Rates descend; between two of them, the share of the lower one holds.
    rates = [limit, *curve.alarms_per_hour]
    axes.step(rates, [curve.recall[0], *curve.recall], where="pre", color=COLORS[0], linewidth=1.8)
    if (place := curve.operating_point(marked_rate)) is not None:
        axes.scatter(
            curve.alarms_per_hour[place],
            curve.recall[place],
            s=64,
            facecolor="white",
            edgecolor=COLORS[1],
            linewidth=2,
            zorder=3,
        )
    plain(axes, "false alarms an hour", "", title="events found")
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(-0.5, limit)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.xaxis.set_major_formatter("{x:g}")
    return figure


def ethogram(pair: "Pair", classes: Sequence[str]) -> "Figure":
    """What goes on in a recording when: a row for each class, with a line of bars for the labels and
    one for what was found. Time that a model does not know is time without a picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(9.4, 0.8 + 0.34 * len(classes)), layout="constrained", facecolor="white"
    )
    axes = figure.subplots()
    height = 0.8 / len(pair)
    for line, (name, timeline) in enumerate(zip(("labeled", "found"), pair, strict=True)):
        for row, label in enumerate(classes):
            spans = [
                (bout.start, bout.end - bout.start)
                for bout in timeline.segments
                if bout.label == label
            ]
            axes.broken_barh(
                spans,
                (row - 0.4 + line * height, 0.85 * height),
                facecolor=COLORS[line % len(COLORS)],
                label=name if not row else None,
            )
    for number, (start, end) in enumerate(pair[1].unknown):
        axes.axvspan(start, end, color=FAINT, label=None if number else NO_PICTURE)
    plain(axes, "seconds")
    axes.set_xlim(0, pair[0].seconds)
    axes.set_yticks(range(len(classes)), [plain_text(name) for name in classes])
    axes.set_ylim(len(classes) - 0.5, -0.5)
    figure.legend(
        loc="outside upper right", ncols=len(pair), frameon=False, fontsize=9, labelcolor=INK
    )
    return figure


def plot(prediction: "Prediction", axes: "Axes | None" = None) -> "Axes":
    """The probabilities of the most probable classes of a video over time, and its events as areas.

    Args:
        axes: of matplotlib, to draw into; None: a new figure, which pyplot shows.
    """
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(7, 3), layout="constrained")[1]
    names = [name for name, _ in prediction.ranking if name in prediction.classes]
    colors = dict(zip(names, COLORS, strict=False))
    for name, color in colors.items():
        scores = prediction.frame_scores[:, prediction.classes.index(name)]
        axes.plot(prediction.times, scores, label=plain_text(name), color=color, linewidth=1.8)
    for event in prediction.segments:
        color = colors.get(event.label, QUIET)
        axes.axvspan(event.start, event.end, color=color, alpha=0.15, linewidth=0)
    plain(axes, "seconds", title=plain_text(f"{prediction.path.name}: {prediction.label}"))
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, handlelength=1.4)
    return axes


def plain_text(name: str) -> str:
    """A name as matplotlib shows it: it reads text between dollar signs as mathematics."""
    return printable(name).replace("$", r"\$")


def to_svg(figure: "Figure") -> str:
    """The figure as SVG, with text as outlines and without a date: equal figures give equal text."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "onlooker"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()

"""Table I of Shan & Atanasov 2017 as a chart: the published figures and every way to reproduce them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from onlooker.drawing.plots import COLORS, FAINT, INK, QUIET
from onlooker_papers.digits.augmented_mnist import VARIANTS

if TYPE_CHECKING:  # matplotlib takes a while to import; only who draws pays for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What an accuracy of table I can be of: the publication, our reproduction on four kinds of test videos, and a model
# that is trained and tested on digits and paths of its own.
MARKS = ("published", "same-videos", "same-paths", "same-digits", "new", "held-out")
_COLORS = (INK, COLORS[0], COLORS[4], COLORS[5], COLORS[1], COLORS[2])
_REACH = 0.36  # from the middle of a group to its outer marks, where 1 is the way to the next group


def accuracies(cells: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> "Figure":
    """Table I as a chart: a panel a model, a group of marks a variant, a mark a reading, with its per cent above it.

    A thin line carries the published value across its group. A reading that is missing or None has no mark, a group
    without any has a dash.

    Args:
        cells: shares from 0 to 1 by model, variant (of `VARIANTS`) and reading (of `MARKS`).

    Raises:
        ValueError: there is nothing to draw, a name is not known, or a value is no share.
    """
    _check(cells)
    groups = [group for row in cells.values() for group in row.values()]
    shown = [name for name in VARIANTS if any(name in row for row in cells.values())]
    used = [name for name in MARKS if any(group.get(name) is not None for group in groups)]
    if not used:
        raise ValueError("no accuracies given, expected at least one share for one model and variant")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 0.7 + 2.05 * len(cells)), layout="constrained", facecolor="white")
    panels = figure.subplots(len(cells), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (model, row) in zip(panels, cells.items(), strict=True):
        for place, variant in enumerate(shown):
            _marks(axes, place, row.get(variant, {}), used)
        _share_axes(axes, model)
    panels[-1].set_xticks(range(len(shown)), shown)
    panels[-1].set_xlim(-0.5, len(shown) - 0.5)
    # Of each reading the first mark there is stands for all of them.
    handles = {line.get_label(): line for axes in panels for line in reversed(axes.lines) if line.get_label() in used}
    figure.legend(
        [handles[name] for name in used], used, loc="outside upper center", ncols=len(used), frameon=False,
        fontsize=10, labelcolor=INK, handletextpad=0.3, columnspacing=1.8,
    )  # fmt: skip
    return figure


def _check(cells: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> None:
    given = [(m, v, r, share) for m, row in cells.items() for v, group in row.items() for r, share in group.items()]
    for model, variant, reading, share in given:
        if variant not in VARIANTS or reading not in MARKS:
            raise ValueError(
                f"{model}: {variant!r}, {reading!r}; expected a variant of {', '.join(VARIANTS)} "
                f"and a reading of {', '.join(MARKS)}"
            )
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"{model}, {variant}, {reading}: {share} is no share, expected 0 to 1; per cent / 100")


def _marks(axes: "Axes", place: int, group: Mapping[str, float | None], used: list[str]) -> None:
    """One variant's marks around x = `place`; each reading has its own place whether the others are there or not."""
    paper = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.4}  # parts a number from the line
    places = np.linspace(place - _REACH, place + _REACH, len(used)) if len(used) > 1 else [place]
    published = group.get("published")
    if published is not None:
        axes.hlines(published, places[0], places[-1], color=INK, linewidth=1, alpha=0.5, zorder=2)
    for x, reading in zip(places, used, strict=True):
        share = group.get(reading)
        if share is None:
            continue
        color = _COLORS[MARKS.index(reading)]
        axes.vlines(x, 0, share, color=color, linewidth=2.5, alpha=0.35)
        marker = "D" if reading == "published" else "o"
        axes.plot([x], [share], marker, color=color, markersize=6, label=reading, zorder=3, clip_on=False)
        axes.annotate(
            f"{100 * share:.1f}" if share < 0.9995 else "100", (x, share), xytext=(0, 5), textcoords="offset points",
            ha="center", va="bottom", fontsize=8, color=INK, zorder=4, bbox=paper,
        )  # fmt: skip
    if all(group.get(reading) is None for reading in used):
        axes.text(place, 0.02, "–", ha="center", va="bottom", fontsize=10, color=QUIET)


def _share_axes(axes: "Axes", title: str) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b9bfc7")
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(0, 1.12)  # room for the number above a mark at 100
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.tick_params(axis="y", colors=QUIET, labelsize=9, length=0)
    axes.tick_params(axis="x", labelcolor=INK, labelsize=10.5, length=0, pad=6)
    axes.set_title(title, loc="left", color=INK, fontsize=11.5, fontweight="bold")

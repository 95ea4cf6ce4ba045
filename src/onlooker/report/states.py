"""The page of recordings of states: figures, time budgets and ethograms."""

from collections.abc import Mapping, Sequence
from typing import Any

from onlooker.base.records import Segment
from onlooker.base.text import printable
from onlooker.measure.figures import HeldOutStates
from onlooker.report.page import Page, percent
from onlooker.report.plots import ethogram

_PANELS = 20  # recordings that are drawn


def agreement_text(agreement: Mapping[str, Any]) -> str:
    """What `scorer_agreement` found, in words."""
    count = agreement["recordings"]
    where = "1 recording" if count == 1 else f"{count} recordings"
    return (
        f"Two scorers agree with a kappa of {agreement['scorers']:.2f} in {where}, the model and the "
        f"first one with {agreement['model']:.2f}"
    )


def states_page(
    title: str,
    chains: Sequence[Mapping[str, Any]],
    *,
    true: Mapping[str, Sequence[Segment]],
    predicted: Mapping[str, Sequence[Segment]],
    seconds: Mapping[str, float],
    scorers: Sequence[Mapping[str, Any]] = (),
) -> Page:
    """The report of recordings: figures, time budgets, and an ethogram of each.

    Args:
        chains: what `chain_figures` returns.
        true, predicted, seconds: as there.
        scorers: what `scorer_agreement` returns; empty: no recording has two scorers.
    """
    page = Page(title, f"{len(seconds)} recordings, {sum(seconds.values()) / 60:.1f} min")
    for chain in chains:
        bouts = chain["bouts"]
        page.figures(
            [
                (percent(chain["accuracy"], 0), "of the time right", f"κ {chain['kappa']:.2f}"),
                (
                    f"{chain['segmental_f1']['50']:.0f}",
                    "F1@50 of bouts",
                    f"edit {chain['edit']:.0f}",
                ),
                (
                    f"{bouts['found']} of {bouts['true']}",
                    "bouts found",
                    f"{bouts['split']} split, {bouts['merged']} merged, {bouts['inserted']} inserted",
                ),
            ]
        )
    for agreement in scorers:
        page.text(f"{agreement_text(agreement)}.")
    page.heading("Time budget")
    columns = ("state", "labeled min", "found min", "bouts", "found", "median s", "found")
    rows = [
        (
            name,
            *(round(state[which]["minutes"], 2) for which in ("true", "predicted")),
            *(state[which]["bouts"] for which in ("true", "predicted")),
            *(
                state[which]["median"] and round(state[which]["median"], 1)
                for which in ("true", "predicted")
            ),
        )
        for chain in chains
        for name, state in chain["states"].items()
    ]
    page.table(rows, columns)
    page.heading("Ethograms")
    classes = [name for chain in chains for name in chain["classes"]]
    for name, length in list(seconds.items())[:_PANELS]:
        bouts_of_both = {"labeled": true[name], "found": predicted[name]}
        figure = ethogram(bouts_of_both, classes, length)
        page.figure(figure, f"`{printable(name)}`", wide=True)
    return page


def add_held_out(page: Page, states: HeldOutStates) -> None:
    """Add the ethograms of recordings that a model was not fitted to."""
    page.heading("States in recordings that it was not fitted to")
    for recording in states.recordings[:_PANELS]:
        bouts = {
            which: [Segment(label, start, end) for label, start, end in recording[which]]
            for which in ("labeled", "found")
        }
        figure = ethogram(bouts, states.classes, recording["seconds"])
        page.figure(figure, f"`{printable(recording['name'])}`", wide=True)

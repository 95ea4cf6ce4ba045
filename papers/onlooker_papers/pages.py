"""Functions that the pages of the papers share."""

from collections.abc import Mapping
from pathlib import Path

from onlooker.report.page import Page
from onlooker.report.plots import loss_and_accuracy, to_svg
from onlooker.run.record import read_curves


def add_curves(page: Page, runs: Mapping[str, Path], title: str) -> None:
    """Add plots of training and validation loss and accuracy per epoch, for the runs that exist."""
    curves = {
        name: found for name, folder in runs.items() if (found := read_curves(folder)) is not None
    }
    for split in ("training", "validation") if curves else ():
        image = to_svg(loss_and_accuracy({name: of[split] for name, of in curves.items()}))
        page.figure(image, f"{title}: {split} clips, per epoch.", wide=True)


def add_left_out(page: Page, clips: list[list[str]]) -> None:
    """Add a table of clips that could not be used: name, problem, what to do; nothing if there are
    none.
    """
    if clips:
        page.heading("Clips left out")
        page.table(clips, ["clip", "problem", "what to do"])

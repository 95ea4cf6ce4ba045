"""Functions that the pages of the papers share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def add_settings(page: Page, command: str, groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the command and, collapsed, all settings; nested names are joined by dots."""
    page.heading("Settings")
    page.text(f"`{command}`")
    for title, values in groups.items():
        with page.details(f"All settings: {title}"):
            page.table(
                [[name, str(value)] for name, value in _flat(values).items()], ["setting", "value"]
            )


def add_left_out(page: Page, clips: list[list[str]]) -> None:
    """Add a table of clips that could not be used: name, problem, what to do; nothing if there are
    none.
    """
    if clips:
        page.heading("Clips left out")
        page.table(clips, ["clip", "problem", "what to do"])


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else {prefix + name: value}
        )
    return flat

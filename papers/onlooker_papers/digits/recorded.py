"""The figures of the digit experiments as they are kept: one JSON file a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onlooker.evaluation.results import check_command, with_rows_anew, write_results
from onlooker.files import read_json
from onlooker_papers.digits.budget import Budget
from onlooker_papers.digits.honest import CEILINGS, best
from onlooker_papers.digits.published import PUBLISHED, READINGS

Figures = dict[str, Any]  # by table, then by row; `pretraining`, `paper` and `honest` have rows of two names

_ROWS_OF_TWO_NAMES = ("pretraining", "paper", "honest")


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Figures:
    """Figures of which the rows in `new` take the place of those in `old`."""
    found: Figures = {part: dict(rows) for part, rows in old.items()}
    for part, rows in new.items():
        known = found.setdefault(part, {})
        for name, row in rows.items():
            known[name] = {**known.get(name, {}), **row} if part in _ROWS_OF_TWO_NAMES else row
    return found


def recorded(folder: Path | None, command: str) -> Figures:
    """What `write_all` wrote into `folder`; nothing where it did not, or without a folder.

    Raises:
        ValueError: files of another command, whose rows are not to be mixed.
    """
    files: Figures = {}
    if folder is None:
        return files
    for name in ("pretraining", "digits-paper", "digits-honest", "glimpses"):
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        files[name] = check_command(path, command)["figures"]
    figures: Figures = {}
    if "pretraining" in files:
        figures["pretraining"] = files["pretraining"]
    if "digits-paper" in files:
        figures["paper"] = files["digits-paper"]["cells"]
    if "digits-honest" in files:
        of_honest = files["digits-honest"]
        figures |= {
            "honest": of_honest["models"],
            "memory": of_honest.get("memory_gb", {}),
            "hands": of_honest["hands"],
        }
    if "glimpses" in files:
        figures["glimpses"] = files["glimpses"]["runs"]
    return figures


def write_all(
    folder: Path, figures: Figures, budget: Budget, command: str, only: Sequence[str], new: Sequence[str]
) -> None:
    """Write a file for each table that there is.

    Args:
        folder: of the files.
        figures: of all rows.
        budget: that made them.
        command: that made them.
        only: the patterns that chose the cells; none: all of them.
        new: names of the cells that were asked for; files without such rows stay as they are.
    """

    def put(file: str, what: str, values: dict[str, Any], *parts: str) -> None:
        path, made_by = folder / f"{file}.json", command
        if only:
            if not {name.split("/")[0] for name in new} & set(parts):
                return
            # Which rows are younger than the others stays in the command.
            if path.exists():
                made_by = read_json(path)["command"]
            made_by = with_rows_anew(made_by, " ".join(f"'{pattern}'" for pattern in only))
        write_results(path, what, made_by, values, seeds=[0])

    if encoders := figures.get("pretraining"):
        put("pretraining", "encoders on Scaled MNIST: loss and accuracy on unseen digits", encoders, "pretraining")
    if figures.get("paper"):
        what = "Table I of Shan & Atanasov 2017: mean and spread over rounds, for four readings of the test videos"
        put("digits-paper", what, _paper(figures["paper"], budget), "paper")
    if figures.get("honest") or figures.get("hands"):
        what = "pairs of unseen digits on unseen paths, 55 classes: accuracy of the model that validation chose"
        put("digits-honest", what, _honest(figures), "honest", "memory", "hands")
    if both := figures.get("glimpses"):
        what = "two moving digits, one window against several, equally many training videos"
        put("glimpses", what, {name: found["accuracy"] for name, found in both.items()} | {"runs": both}, "glimpses")


def _paper(cells: Figures, budget: Budget) -> dict[str, Any]:
    frozen = {e: {"recipe": recipe, "passes": budget.passes[e][recipe]} for e, recipe in budget.frozen.items()}
    return {
        "rounds": dict(budget.rounds),
        "baselines": {**budget.baselines, "conv3d": budget.conv3d},
        "frames": budget.frames,
        "frozen": frozen,
        "readings": READINGS,
        "published": PUBLISHED,
        "cells": cells,
    }


def _honest(figures: Figures) -> dict[str, Any]:
    honest = figures.get("honest", {})
    chosen = {variant: best(models) for variant, models in honest.items() if not set(models) <= set(CEILINGS)}
    return {
        **{variant: honest[variant][model]["accuracy"] for variant, model in chosen.items()},
        "chosen": chosen,
        "models": honest,
        "memory_gb": figures.get("memory", {}),
        "hands": figures.get("hands", {}),
    }

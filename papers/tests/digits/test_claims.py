"""The table of claims follows the figures: each verdict changes when they do."""

import copy
from typing import Any

import pytest

from onlooker_papers.digits.claims import claims
from onlooker_papers.digits.published import PUBLISHED

VARIANTS = ("normal", "rotation", "scale", "rotation+scale")


def cell(accuracy: float) -> dict[str, Any]:
    return {"lstm-keras": {"same-videos": {"accuracy": accuracy, "loss": 1.0}}}


@pytest.fixture
def results() -> dict[str, Any]:
    """Everything as the paper has it."""
    cells: dict[str, Any] = {v: {e: cell(of[1]) for e, of in row.items()} for v, row in PUBLISHED.items()}
    cells["apart"] = {"lenet": cell(0.9)}
    frozen = {"training": {"accuracy": 0.5}, "unseen": {"accuracy": 0.4}, "gap": 0.1, "videos": 4, "epochs": 2}
    free = {**frozen, "training": {"accuracy": 0.9}, "gap": 0.5}
    honest = {
        "models": {v: {"lenet-lstm-two-stage": {"accuracy": 0.6 - 0.1 * (v == "scale")}} for v in VARIANTS},
        "overfitting": {"lenet-lstm-two-stage": frozen, "lenet-lstm-end-to-end": free},
        "hands": {f"lenet-lstm-{name}": {"accuracy": a} for name, a in (("two-stage", 0.4), ("end-to-end", 0.3))},
    }
    return {"digits-paper": {"cells": cells}, "digits-honest": honest}


def verdicts(results: dict[str, Any]) -> list[str]:
    return [row[-1] for row in claims(results).rows]


def test_the_papers_own_figures_confirm_its_claims(results: dict[str, Any]) -> None:
    assert verdicts(results) == ["confirmed"] * 5 + ["harder to memorize"]
    (first, *_) = claims(results).rows
    assert first[1] == first[2] == "lowest: `lenet` scale (96.3), `stn` scale (86.9), `dcn` scale (99.4)"


def test_other_figures_refute_them(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    cells, honest = other["digits-paper"]["cells"], other["digits-honest"]
    cells["normal"]["lenet"] = cell(0.5)
    cells["apart"]["lenet"] = cell(0.99)
    honest["models"]["rotation"]["lenet-lstm-two-stage"]["accuracy"] = 0.1
    honest["overfitting"]["lenet-lstm-two-stage"]["gap"] = 0.6
    honest["hands"]["lenet-lstm-end-to-end"]["accuracy"] = 0.5
    assert verdicts(other)[:4] == ["in part: `stn`, `dcn`", "refuted", "refuted", "refuted"]
    assert verdicts(other)[5] == "no harder to memorize"


def test_what_is_not_measured_is_neither(results: dict[str, Any]) -> None:
    results["digits-honest"] = {"models": {}}
    for row in results["digits-paper"]["cells"].values():
        row.pop("dcn", None)
    results["digits-paper"]["cells"].pop("apart")
    assert verdicts(results) == ["confirmed"] + ["not measured"] * 5

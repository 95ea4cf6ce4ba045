"""The table of claims follows the figures and their errors: each conclusion changes when they do."""

import copy
from typing import Any

import pytest

from onlooker_papers.digits.claims import claims
from onlooker_papers.digits.published import PUBLISHED

VARIANTS = ("normal", "rotation", "scale", "rotation+scale")
SAME = "no difference found"


def cell(accuracy: float, loss: float = 1.0, spread: float = 0.0) -> dict[str, Any]:
    figures = {"accuracy": accuracy, "accuracy_spread": spread, "loss": loss, "loss_spread": spread}
    return {"lstm-keras": {"same-videos": figures}, "rounds": {"lstm-keras": 100}}


def of_videos(accuracy: float, error: float, **others: Any) -> dict[str, Any]:
    return {"accuracy": accuracy, "accuracy_interval": [accuracy - 1.96 * error, accuracy + 1.96 * error], **others}


def few(training: float, unseen: float) -> dict[str, Any]:
    found = {"training": {"accuracy": training}, "unseen": {"accuracy": unseen, "loss": 3.0}}
    return {**found, "lowest": 2.0, "videos": 4, "epochs": 2}


@pytest.fixture
def results() -> dict[str, Any]:
    """Scaling is hardest, a frozen encoder better, and there is no error in rounds."""
    names = dict.fromkeys([*PUBLISHED, "apart"])
    accuracy = {v: {e: 0.9 + 0.05 * (e == "dcn") - 0.1 * (v == "scale") for e in PUBLISHED["normal"]} for v in names}
    cells = {v: {e: cell(a, loss=2 - a) for e, a in of.items()} for v, of in accuracy.items()}
    cells["apart"]["lenet"] = cell(0.8)
    honest = {
        "models": {v: {"lenet-lstm-two-stage": of_videos(0.6 - 0.1 * (v == "scale"), 0.01)} for v in VARIANTS},
        "overfitting": {"lenet-lstm-two-stage": few(0.95, 0.5), "lenet-lstm-end-to-end": few(1.0, 0.3)},
        "hands": {
            f"lenet-lstm-{name}": of_videos(a, 0.02, frames=30, per_seed=[a] * 3, epochs=20)
            for name, a in (("two-stage", 0.4), ("end-to-end", 0.3))
        },
    }
    return {"digits-paper": {"cells": cells}, "digits-honest": honest}


def conclusions(results: dict[str, Any]) -> list[str]:
    return [row[-1] for row in claims(results).rows]


def test_differences_beyond_two_standard_errors_confirm(results: dict[str, Any]) -> None:
    assert conclusions(results) == ["confirmed"] * 8 + ["harder to memorize"]


def test_both_measures_are_given_with_and_without_gesture(results: dict[str, Any]) -> None:
    results["digits-paper"]["cells"]["gesture"]["lenet"] = cell(0.7, loss=1.0, spread=0.1)
    rows = claims(results).rows
    assert [row[0].rsplit(": ", 1)[1] for row in rows[:4]] == [
        f"{measure}, {name} `gesture`" for measure in ("accuracy", "loss") for name in ("without", "with")
    ]
    assert rows[0][-1] == "confirmed"
    assert rows[1][-1] == "`lenet`: refuted; `stn`, `dcn`: confirmed"
    assert rows[1][2].startswith("`lenet` -10.0 ± 1.0 (gesture), `stn` +10.0 ± 0.0 (normal)")
    assert rows[0][1].startswith("`lenet` +0.5 (rotation+scale), `stn` +0.4 (normal), `dcn` +0.1")


def test_errors_over_rounds_leave_a_claim_open(results: dict[str, Any]) -> None:
    row = results["digits-paper"]["cells"]["scale"]
    for encoder in row:  # an error of the mean of 10 points
        figures = row[encoder]["lstm-keras"]["same-videos"]
        figures.update(accuracy_spread=1.0, loss_spread=1.0)
    assert conclusions(results)[:4] == [SAME] * 4


def test_other_figures_refute(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    cells, honest = other["digits-paper"]["cells"], other["digits-honest"]
    cells["apart"]["lenet"] = cell(0.99)
    honest["models"]["rotation"]["lenet-lstm-two-stage"] = of_videos(0.1, 0.01)
    honest["overfitting"]["lenet-lstm-end-to-end"] = few(1.0, 0.7)
    honest["hands"]["lenet-lstm-end-to-end"].update(of_videos(0.5, 0.02))
    assert conclusions(other)[4:7] == ["refuted"] * 3
    assert conclusions(other)[8] == "easier to memorize"


def test_a_training_that_does_not_fit_its_videos_shows_nothing(results: dict[str, Any]) -> None:
    results["digits-honest"]["overfitting"]["lenet-lstm-two-stage"] = few(0.3, 0.5)
    assert conclusions(results)[5] == "not shown: the training videos are not fitted"


@pytest.mark.parametrize(("setting", "value"), [("frames", 5), ("per_seed", [0.3]), ("epochs", 30)])
def test_rows_with_other_settings_are_not_compared(results: dict[str, Any], setting: str, value: Any) -> None:
    results["digits-honest"]["hands"]["lenet-lstm-end-to-end"][setting] = value
    assert conclusions(results)[6] == "not comparable (frames, seeds, epochs)"


def test_hands_within_their_errors_show_no_difference(results: dict[str, Any]) -> None:
    results["digits-honest"]["hands"]["lenet-lstm-end-to-end"].update(of_videos(0.36, 0.02))
    assert conclusions(results)[6] == SAME


def test_what_is_not_measured_is_neither(results: dict[str, Any]) -> None:
    results["digits-honest"] = {"models": {}}
    for row in results["digits-paper"]["cells"].values():
        row.pop("dcn", None)
    results["digits-paper"]["cells"].pop("apart")
    assert conclusions(results) == ["confirmed"] * 4 + ["not measured"] * 5

"""Mixup and averaged weights on real clips: validation chooses, and test clips are looked at for its choice alone."""

from pathlib import Path
from typing import Any

import pytest
from moving_squares import make_set

from onlooker.config import DataConfig, ModelConfig
from onlooker.files import read_json
from onlooker_papers.real_clips import mixup_ema, tables
from onlooker_papers.real_clips.mixup_ema import SETTINGS, Budget, Trial, reproduce, summary


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 clips as the set `basketball`, a tiny model and a single epoch."""
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path))
    monkeypatch.setattr(mixup_ema, "DATA", DataConfig(frames=3, size=32, translate=0.0, scale=0.0))
    monkeypatch.setattr(mixup_ema, "MODEL", ModelConfig("convalstm", "small", hidden=4))
    monkeypatch.setattr(mixup_ema, "BUDGETS", {"basketball": Budget(1, 1)})
    make_set(tmp_path / "clips" / "basketball")
    return tmp_path


def test_test_clips_are_looked_at_for_the_choice_of_validation_and_plain_alone(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, tested = {"plain": 0.5, "mixup": 0.6, "ema": 0.4}, []
    validation, test = Trial.validation, Trial.test

    def counted(trial: Trial) -> dict[str, Any]:
        tested.append((trial.setting, trial.seed))
        return test(trial)

    monkeypatch.setattr(mixup_ema, "SETTINGS", {setting: SETTINGS[setting] for setting in losses})
    monkeypatch.setattr(Trial, "validation", lambda trial: validation(trial) | {"loss": losses[trial.setting]})
    monkeypatch.setattr(Trial, "test", counted)
    figures = reproduce("basketball", tiny / "run", tiny / "results", (0, 1))
    assert figures["chosen"] == "ema"
    assert tested == [("plain", 0), ("plain", 1), ("ema", 0), ("ema", 1)]
    assert figures["validation"]["ema"]["loss_above_plain"] == pytest.approx([-0.1] * 3)
    assert reproduce("basketball", tiny / "run", tiny / "results", (0, 1)) == figures  # from its memos
    cell = read_json(tiny / "results" / "cells" / "mixup-ema" / "basketball.json")
    assert cell["settings"]["seed1 split-ema"]["training"]["ema"] == 0.999
    assert "mixup" not in cell["settings"]["seed1 split-plain"]["training"]
    table = tables.mixup_ema({"mixup-ema": {"basketball": figures}}).markdown()
    assert "| basketball | `mixup` | " in table
    assert [line.endswith("| – |") for line in table.splitlines()[2:6]] == [False, True, False, False]


def test_seeds_are_compared_in_pairs() -> None:
    plain = [{"accuracy": 0.2, "loss": 2.0}, {"accuracy": 0.4, "loss": 1.0}]
    better = [{"accuracy": 0.3, "loss": 1.5}, {"accuracy": 0.5, "loss": 0.5}]
    found = summary(better, plain)
    assert (found["accuracy"], found["loss"]) == pytest.approx((0.4, 1.0))
    assert found["accuracy_above_plain"] == pytest.approx([0.1] * 3)
    assert found["loss_above_plain"] == pytest.approx([-0.5] * 3)

"""The loggers of other programs get the curves of a training and the figures of its test, and nothing else changes."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import TINY, call, fails

from onlooker.run_record import read_curves, read_figures
from onlooker.training import loggers

BY_GRADIENT = ["--model", "convalstm", "--hidden", 4, *TINY]
Logged = dict[str, list[float]]


def read_csv(logs: Path) -> Logged:
    logged = Logged()
    for row in csv.DictReader((logs / "metrics.csv").open(encoding="utf-8")):
        logged.setdefault(row["name"], []).append(float(row["value"]))
    return logged


def read_tensorboard(logs: Path) -> Logged:
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard"
    )
    events = accumulators.EventAccumulator(str(logs / "tensorboard")).Reload()
    return {name: [each.value for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


READERS: dict[str, Callable[[Path], Logged]] = {"csv": read_csv, "tensorboard": read_tensorboard}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("model", ["convalstm", "linear"])
def test_curves_and_figures_are_logged(squares: Path, tmp_path: Path, name: str, model: str) -> None:
    if name != "csv":
        pytest.importorskip(name, reason=f"no {name}")
    words = BY_GRADIENT if model == "convalstm" else ["--frames", 4, "--size", 32]
    run = tmp_path / model
    call("train", squares, "--run", run, *words, "--logger", name)
    logged, curves, figures = READERS[name](run / "logs"), read_curves(run), read_figures(run)
    assert figures is not None
    assert logged["test_accuracy"] == [pytest.approx(figures["accuracy"])]
    assert logged["test_log_loss"] == [pytest.approx(figures["log_loss"])]
    assert (curves is None) == (model == "linear")
    if curves is not None:
        assert logged["validation_loss"] == pytest.approx(curves["validation"]["loss"])
        assert logged["training_accuracy"] == pytest.approx(curves["training"]["accuracy"])


def test_several_loggers_change_no_figure(squares: Path, trained: tuple[Path, str], tmp_path: Path) -> None:
    words = ["--model", "convalstm", "--hidden", 8, *TINY]
    call("train", squares, "--run", tmp_path / "run", *words, "--logger", "csv", "--logger", "csv")
    assert (tmp_path / "run" / "scores.csv").read_bytes() == (trained[0] / "scores.csv").read_bytes()


def test_a_missing_package_is_named_before_anything_is_written(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    message = fails("train", squares, "--run", tmp_path / "run", "--logger", "tensorboard")
    assert message == 'error: tensorboard is not installed; pip install "onlooker[tensorboard]"'
    assert not any(tmp_path.iterdir())
    message = fails("train", squares, "--run", tmp_path / "run", "--logger", "tensorbord")
    assert "logger is 'tensorbord'; did you mean tensorboard?" in message

"""TensorBoard gets the curves of a training and the figures of its test."""

from collections import defaultdict
from pathlib import Path
from unittest.mock import Mock

import pytest
from commands import TINY, call, fails

from onlooker.run.record import read_curves, read_figures
from onlooker.training import tensorboard

BY_GRADIENT = ["--model", "convalstm", "--hidden", 4, *TINY]


def test_curves_and_figures_are_logged(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Mock()
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: True)
    monkeypatch.setattr("onlooker.run.train.open_writer", lambda *_: writer)
    run = tmp_path / "run"
    call("train", squares, "--run", run, *BY_GRADIENT, "--tensorboard")
    curves = read_curves(run)
    figures = read_figures(run)
    logged = defaultdict[str, dict[int, float]](dict)
    for logging in writer.add_scalar.call_args_list:
        name, value, step = logging.args
        logged[name][step] = value
    assert logged["test_accuracy"] == {0: figures["accuracy"]}
    assert logged["test_log_loss"] == {0: figures["log_loss"]}
    assert logged["validation_loss"] == dict(enumerate(curves["validation"]["loss"], 1))
    assert logged["training_accuracy"] == dict(enumerate(curves["training"]["accuracy"], 1))


def test_the_writer_is_that_of_pytorch(tmp_path: Path) -> None:
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard"
    )
    writer = tensorboard.open_writer(tmp_path, {"lr": 0.1})
    tensorboard.log(writer, "training", {"loss": 0.5, "name": "text"}, 1)
    events = accumulators.EventAccumulator(str(tmp_path / "logs" / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("training_loss")] == [0.5]


def test_a_missing_package_is_named_before_anything_is_written(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    message = fails("train", squares, "--run", tmp_path / "run", "--tensorboard")
    assert message == 'error: tensorboard is not installed; pip install "onlooker[tensorboard]"'
    assert not any(tmp_path.iterdir())

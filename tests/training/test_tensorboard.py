"""TensorBoard gets the curves of a training and the figures of its test."""

from pathlib import Path

import pytest
from commands import TINY, call, fails

from onlooker.run.record import read_curves, read_figures
from onlooker.training import tensorboard

BY_GRADIENT = ["--model", "convalstm", "--hidden", 4, *TINY]
Logged = dict[str, list[float]]


class Writer:
    """With the methods of PyTorch's writer that are used."""

    def __init__(self) -> None:
        self.logged: Logged = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.logged.setdefault(name, []).append(value)
        assert step in (0, len(self.logged[name]))

    def flush(self) -> None:
        pass


def test_curves_and_figures_are_logged(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer()
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: True)
    monkeypatch.setattr("onlooker.run.train.open_writer", lambda *_: writer)
    run = tmp_path / "run"
    call("train", squares, "--run", run, *BY_GRADIENT, "--tensorboard")
    curves = read_curves(run)
    figures = read_figures(run)
    assert curves is not None
    assert figures is not None
    assert writer.logged["test_accuracy"] == [figures["accuracy"]]
    assert writer.logged["test_log_loss"] == [figures["log_loss"]]
    assert writer.logged["validation_loss"] == curves["validation"]["loss"]
    assert writer.logged["training_accuracy"] == curves["training"]["accuracy"]


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

"""Training from clips to a self-contained report."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import moving_squares
from kills import killed_in
from pages import self_contained

import onlooker
from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.run import train as train_module
from onlooker.run.evaluate import evaluate
from onlooker.run.record import read_curves
from onlooker.run.train import train_run

TINY = TrainConfig(epochs=2, batch=8, precision="32")
KEYS = {
    "videos",
    "frames",
    "classes",
    "recordings",
    "accuracy",
    "accuracy_interval",
    "frame_accuracy",
    "class_accuracy",
    "log_loss",
    "calibration_error",
    "majority_share",
    "confusion",
    "skipped",
    "perfect_calibration_error",
    "known_scenes",
}


def test_training_writes_a_self_contained_report(
    trained: tuple[Path, str], squares: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained[0], tmp_path / "run"))
    measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert set(measured) == KEYS
    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    assert measured["videos"] == len(split["test"])
    assert measured["frames"] == 4 * measured["videos"]
    assert measured["classes"] == sorted(moving_squares.WAYS)
    elements = self_contained(run / "report.html")
    assert elements["video"] == measured["videos"]
    assert elements["img"] == 1, "the curves"
    assert "<h1>squares</h1>" in (run / "report.html").read_text(encoding="utf-8")
    assert (
        len((run / "scores.csv").read_text(encoding="utf-8").splitlines()) == 1 + measured["videos"]
    )
    assert not list(run.rglob("*.part*"))
    curves = read_curves(run)
    assert curves is not None
    assert len(curves["training"]["loss"]) == 2

    # The run answers alone: a program can load it, and evaluating again finds the same.
    recognizer = onlooker.load(run)
    right = sum(
        recognizer.predict(squares / clip["path"]).label == clip["label"] for clip in split["test"]
    )
    assert right == round(measured["accuracy"] * measured["videos"])
    assert recognizer.data.normalization == "half"
    shutil.rmtree(run / "checkpoints")
    assert evaluate(run) == measured


def test_a_run_that_was_killed_while_reporting_continues(squares: Path, tmp_path: Path) -> None:
    data = DataConfig(frames=4, size=16, channels=1)
    model = ModelConfig("convnet", "conv4")
    run = tmp_path / "run"
    with killed_in(train_module, "write_report"):
        train_run(squares, run, model, data, TINY, quiet=True)
    resumed = train_run(squares, run, model, data, replace(TINY, epochs=9), resume=True, quiet=True)
    assert resumed == json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert resumed == train_run(squares, tmp_path / "other", model, data, TINY, quiet=True)

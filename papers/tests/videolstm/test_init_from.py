"""`motion` starts from the weights of its two streams, if they were trained on the same clips."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import moving_squares
import pytest
import torch

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.experiments.memo import fingerprint
from onlooker.recognizer import load
from onlooker.runs.train import train_run
from onlooker_papers.videolstm.init_from import init_from

DATA = DataConfig(frames=3, size=16, channels=1)
BOTH = replace(DATA, modality="both")
BRIEF = TrainConfig(epochs=1, batch=8, precision="32")
STILL = replace(BRIEF, lr=1e-30)  # which moves no weight
MOTION = ModelConfig("motion", "conv4", hidden=6)
MODELS = {"rgb": ModelConfig("convalstm", "conv4", hidden=6), "flow": ModelConfig("convlstm", "conv4", hidden=6)}


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> dict[str, Path]:
    """A run on each modality, from pixels."""
    folder = tmp_path_factory.mktemp("runs")
    train_run(squares, folder / "rgb", MODELS["rgb"], DATA, BRIEF, quiet=True)
    train_run(squares, folder / "flow", MODELS["flow"], replace(DATA, modality="flow"), BRIEF, quiet=True)
    return {modality: folder / modality for modality in MODELS}


def check_weights(run: Path, rgb: Path, flow: Path) -> None:
    """The weights of a motion run whose training moved nothing are those of its two runs."""
    model, seen, moved = (load(each, device="cpu").model for each in (run, rgb, flow))
    pairs: Any = [(model.encoder.rgb, seen.encoder), (model.encoder.flow, moved.encoder), (model.head, seen.head)]
    for part, source in pairs:
        expected = dict(source.named_parameters())
        for key, found in part.named_parameters():
            torch.testing.assert_close(found, expected[key], rtol=0, atol=1e-20)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, squares: Path, runs: dict[str, Path]) -> Path:
    """A motion run from pixels."""
    run = tmp_path_factory.mktemp("begun") / "motion"
    start = init_from(**runs)
    train_run(squares, run, MOTION, BOTH, STILL, quiet=True, initialize=start)
    return run


def test_motion_starts_from_both_runs(begun: Path, runs: dict[str, Path]) -> None:
    check_weights(begun, **runs)
    config = json.loads((begun / "config.json").read_text(encoding="utf-8"))
    assert config["initialized"] == {run.name: fingerprint(run) for run in runs.values()}
    alone = json.loads((runs["rgb"] / "config.json").read_text(encoding="utf-8"))
    assert alone["initialized"] == {}


def test_an_interrupted_run_continues_with_the_same_first_weights_or_not_at_all(
    begun: Path, squares: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    run, rgb = (Path(shutil.copytree(each, tmp_path / each.name)) for each in (begun, runs["rgb"]))
    # Before its first checkpoint, when only the two runs hold the weights.
    for name in ("model", "checkpoints"):
        shutil.rmtree(run / name)
    resumed: dict[str, Any] = {"quiet": True, "resume": True}
    start = init_from(rgb, runs["flow"])
    train_run(squares, run, MOTION, BOTH, STILL, **resumed, initialize=start)
    check_weights(run, **runs)
    assert (run / "evaluation.json").read_bytes() == (begun / "evaluation.json").read_bytes()
    with pytest.raises(ValueError, match=r"motion: its training started from .*, this one from random weights; give"):
        train_run(squares, run, MOTION, BOTH, STILL, **resumed)
    other = load(rgb, device="cpu")
    with torch.no_grad():
        next(other.model.parameters()).add_(1)
    other.save(rgb / "model")
    with pytest.raises(ValueError, match=r"motion: its training started from .*; give the same initial weights, or"):
        train_run(squares, run, MOTION, BOTH, STILL, **resumed, initialize=start)

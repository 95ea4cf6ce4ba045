"""Ensembles of runs (late fusion)."""

import json
import shutil
from pathlib import Path

import moving_squares
import numpy as np
import pytest
import torch

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.folder import find_clips
from onlooker.ensemble import Ensemble, choose_weights
from onlooker.recognizer import load
from onlooker.runs import ensemble as fuse_module
from onlooker.runs.ensemble import ensemble
from onlooker.runs.evaluate import evaluate
from onlooker.runs.features import StoreSettings, make_features
from onlooker.runs.localize import localize_clips
from onlooker.runs.predict import predict_clips
from onlooker.runs.train import train_run
from onlooker.structures import ClipError

TINY = TrainConfig(epochs=2, batch=8, precision="32")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> list[Path]:
    """A run on RGB with attention, and a run on flow."""
    folder = tmp_path_factory.mktemp("runs")
    for name, model, streams in (("rgb", "alstm", "rgb"), ("flow", "convnet", "flow")):
        data = DataConfig(frames=3, size=32, modality=streams)
        train_run(squares, folder / name, ModelConfig(model, hidden=8), data, TINY, quiet=True)
    return [folder / "rgb", folder / "flow"]


def test_weights_are_those_of_the_lowest_log_loss() -> None:
    chance = np.random.default_rng(0)
    targets = chance.integers(4, size=50)
    scores = [chance.dirichlet(np.ones(4), 50).astype(np.float32) for _ in range(3)]
    scores[1][np.arange(50), targets] += 1.0
    scores[1] /= scores[1].sum(1, keepdims=True)
    chosen = choose_weights(scores, targets)
    assert sum(chosen) == pytest.approx(1)

    def loss(weights: tuple[float, ...]) -> float:
        together = sum(w * s for w, s in zip(weights, scores, strict=True))
        return float(-np.log(together[np.arange(50), targets]).mean())

    tried = [(a / 20, b / 20, (20 - a - b) / 20) for a in range(21) for b in range(21 - a)]
    assert loss(chosen) == pytest.approx(min(map(loss, tried)), abs=1e-7)
    assert choose_weights([scores[0], scores[0]], targets) == (0.5, 0.5), "of equals the most even"


def test_ensemble_scores_are_the_weighted_sum(runs: list[Path], squares: Path, tmp_path: Path) -> None:
    measured = ensemble(runs, tmp_path / "both")
    assert measured["videos"] == 4
    assert len(measured["alone"]) == 2
    both = Ensemble.load(tmp_path / "both")
    clip = next(squares.glob("*/*.mp4"))
    seen, alone = both.predict(clip), [load(run).predict(clip) for run in runs]
    expected = sum(w * each.frame_scores for w, each in zip(measured["weights"], alone, strict=True))
    np.testing.assert_allclose(seen.frame_scores, expected, atol=1e-6)
    np.testing.assert_allclose(seen.scores, expected.mean(0), atol=1e-6)
    np.testing.assert_allclose(seen.attention, alone[0].attention, atol=1e-6)
    assert predict_clips(tmp_path / "both", [clip], overlay=tmp_path / "seen.mp4", json=tmp_path / "seen.json") == []
    assert json.loads((tmp_path / "seen.json").read_text())["label"] == seen.label
    assert localize_clips(tmp_path / "both", [clip], tmp_path / "localized") == []
    assert (tmp_path / "localized" / f"{clip.stem}.json").exists()
    with pytest.raises(ValueError, match=r"an ensemble; its test figures are in .*evaluation\.json, and `onlooker"):
        evaluate(tmp_path / "both")
    with pytest.raises(FileExistsError, match="exists already; choose a new folder by --run"):
        ensemble(runs, tmp_path / "both")
    with pytest.raises(ValueError, match=r"an ensemble; load it with onlooker\.Ensemble\.load"):
        load(tmp_path / "both")


def test_clips_may_be_moved_after_training(runs: list[Path], squares: Path, tmp_path: Path) -> None:
    moved = [Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]
    gone = Path(shutil.copytree(squares, tmp_path / "squares"))
    for run in moved:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        (run / "config.json").write_text(json.dumps({**config, "clips": str(gone)}), encoding="utf-8")
    shutil.rmtree(gone)
    with pytest.raises(ClipError, match=r"not found; if the clips were moved, give their folder by --clips"):
        ensemble(moved, tmp_path / "both")
    measured = ensemble(moved, tmp_path / "both", clips=squares)
    assert ensemble([moved[0], runs[1]], tmp_path / "one-moved")["weights"] == measured["weights"]


def test_runs_that_cannot_form_an_ensemble(runs: list[Path], squares: Path, tmp_path: Path) -> None:
    one, other = (load(run) for run in runs)
    with pytest.raises(ValueError, match="1 members and 1 weights, expected a weight each for two or more"):
        Ensemble([one], [1.0])
    with pytest.raises(ValueError, match=r"weights are 0.7, 0.7, expected none below 0 and a sum of 1"):
        Ensemble([one, other], [0.7, 0.7])
    data = DataConfig(frames=4, size=32)
    train_run(squares, tmp_path / "longer", ModelConfig("convnet", "conv4"), data, TINY, quiet=True)
    with pytest.raises(ValueError, match="members have other frames: 3 and 4; combine runs that agree"):
        ensemble([runs[0], tmp_path / "longer"], tmp_path / "both")
    seeded = TrainConfig(epochs=1, batch=8, precision="32", seed=1)
    train_run(
        squares, tmp_path / "split", ModelConfig("convnet", "conv4"), DataConfig(frames=3, size=32), seeded, quiet=True
    )
    with pytest.raises(ValueError, match=r"trained on another split than .*rgb; combine runs of one split"):
        ensemble([runs[0], tmp_path / "split"], tmp_path / "both")
    with pytest.raises(
        FileNotFoundError, match=r"no ensemble\.json; expected a folder that `onlooker ensemble` has written"
    ):
        Ensemble.load(runs[0])


def test_runs_on_stored_features_are_fused_without_decoding(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded")

    runs = []
    for streams in ("rgb", "flow"):
        store, data = tmp_path / f"store-{streams}", DataConfig(frames=3, size=16, modality=streams)
        settings = StoreSettings("conv4", data, pretrained=False)
        make_features([clip.path for clip in find_clips(squares)], store, settings, quiet=True)
        runs.append(tmp_path / streams)
        train_run(squares, runs[-1], ModelConfig("convnet", "conv4"), data, TINY, quiet=True, features=[store])
    monkeypatch.setattr(fuse_module, "read_clips", never)
    measured = ensemble(runs, tmp_path / "both")
    alone = [json.loads((run / "evaluation.json").read_text())["accuracy"] for run in runs]
    assert measured["alone"] == alone

"""Late fusion: the weights, and the row of a comparison, against fusion by hand."""

from pathlib import Path

import moving_squares
import numpy as np
import pytest

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.split import make_splits
from onlooker.recognizer import load
from onlooker.run.compare import compare, settings_of
from onlooker.run.record import RunRecord
from onlooker_papers.fusion import average_scores, choose_weights, fused_row

TINY = TrainConfig(epochs=1, batch=16, precision="32")


def test_weights_are_those_of_the_lowest_log_loss() -> None:
    chance = np.random.default_rng(0)
    targets = chance.integers(4, size=50)
    scores = [chance.dirichlet(np.ones(4), 50).astype(np.float32) for _ in range(2)]
    scores[1][np.arange(50), targets] += 1.0
    scores[1] /= scores[1].sum(1, keepdims=True)
    chosen = choose_weights(scores, targets)
    assert sum(chosen) == pytest.approx(1)

    def loss(weights: tuple[float, float]) -> float:
        together = sum(w * s for w, s in zip(weights, scores, strict=True))
        return float(-np.log(together[np.arange(50), targets]).mean())

    tried = [(a / 20, (20 - a) / 20) for a in range(21)]
    assert loss(chosen) == pytest.approx(min(map(loss, tried)), abs=1e-7)
    assert choose_weights([scores[0], scores[0]], targets) == (0.5, 0.5), "of equals the most even"


def test_the_row_of_a_comparison_equals_fusion_by_hand(tmp_path: Path) -> None:
    squares = moving_squares.make_set(tmp_path / "squares", clips=4)
    data = DataConfig(frames=3, size=16, channels=1)
    models = settings_of("lstm,convnet:flow", Settings(ModelConfig(encoder="conv4"), data, TINY))
    compare(squares, tmp_path / "out", models, splits=make_splits, seeds=(0, 1), jobs=1)
    folders = {name: tmp_path / "out" / name for name in models}
    row = fused_row(tmp_path / "out", folders, [0, 1])
    accuracies = []
    weights = []
    for seed in (0, 1):
        runs = [folder / f"split-seed{seed}" for folder in folders.values()]
        members = [load(run) for run in runs]
        split = RunRecord.read(runs[0]).split
        classes = members[0].classes
        targets = np.array([classes.index(clip.label) for clip in split.validation])
        chosen = [
            np.stack([member.predict(clip.path).scores for clip in split.validation])
            for member in members
        ]
        weights.append(choose_weights(chosen, targets))
        right = 0
        for clip in split.test:
            scores = average_scores(
                [member.predict(clip.path).scores for member in members], weights[-1]
            )
            right += classes[scores.argmax()] == clip.label
        accuracies.append(right / len(split.test))
    assert row["per_seed"] == pytest.approx(accuracies)
    assert row["accuracy"] == pytest.approx(np.mean(accuracies))
    assert list(row["weights"]) == ["lstm", "convnet-flow"]
    np.testing.assert_allclose(list(row["weights"].values()), np.mean(weights, axis=0))

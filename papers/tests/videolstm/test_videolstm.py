"""VideoLSTM's ablation on a moving target: a tiny run of the whole, and what its parts promise."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pages import self_contained

from onlooker.base.config import TrainConfig
from onlooker_papers.mnist import DigitSplit, split_mnist
from onlooker_papers.videolstm import ablation, reproduce
from onlooker_papers.videolstm.ablation import (
    ENSEMBLE,
    MEMBERS,
    SPECS,
    AblationBudget,
    Trial,
    ensemble,
    summary,
)
from onlooker_papers.videolstm.moving_target import TargetClips, data

TINY = AblationBudget(
    "tiny",
    12,
    (0, 1),
    {"validation": 6, "test": 8},
    TrainConfig(epochs=1, batch=6, patience=0),
)


@pytest.fixture(scope="module")  # 20 s: every model is trained
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videolstm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reproduce.BUDGETS, "tiny", TINY)
        reproduce.reproduce(folder / "run", budget="tiny", results=folder / "results")
    return folder


def test_clips_are_their_images_and_their_flow(splits: DigitSplit) -> None:
    clips = TargetClips(splits.test, 3, seed=0)
    frames, target, index = clips[1]
    assert (frames.shape, frames.dtype) == ((10, 64, 64, 3), torch.uint8)
    assert (target, index) == (int(clips.batch.targets[1]), 1)
    assert np.array_equal(frames[..., :1], clips.images[1])
    for streams, part in (("rgb", frames[..., :1]), ("flow", frames[..., 1:])):
        seen = clips.seen_as(streams)[1][0]
        assert torch.equal(seen, part)
        assert seen.shape[-1] == data(streams).in_channels
    # The flow is where the target is, and points the way it goes.
    moved = (clips.flow.astype(float) - 127.5) * (2 * data("flow").flow_limit / 255)  # B T H W 2
    for b in range(3):
        boxes = clips.batch.boxes[b, :, 0]
        way = (boxes[1:] - boxes[:-1])[:, :2].double()
        x1, y1, x2, y2 = boxes[4].int().tolist()
        inside = moved[b, 4, y1:y2, x1:x2]
        assert np.abs(inside).mean() > 2 * np.abs(moved[b, 4]).mean()
        assert np.dot(inside.mean((0, 1)), way[4].numpy()) > 0


@pytest.mark.slow
def test_the_page_and_the_results_have_every_model(run: Path) -> None:
    stored = json.loads((run / "results" / "moving-target.json").read_text())["figures"]
    names = {*(spec.name for spec in SPECS), ENSEMBLE}
    assert set(stored["accuracy"]) == names
    assert len(names) == len(SPECS) + 1
    best = stored["localized"]["motion-grounded"]
    assert stored["pointing_game"] == stored["models"]["motion-grounded"]["pointing"]
    assert stored["peak_in_box"] == best["peak_in_box"]
    assert 0 <= stored["pointing_game"] <= 1
    weights = stored["models"]["fused"]["weights"]
    assert list(weights) == ["motion", "convlstm-flow"]
    assert sum(weights.values()) == pytest.approx(1)
    page = (run / "run" / "report.html").read_text(encoding="utf-8")
    for words in (*names, "Where it looked"):
        assert words in page
    assert self_contained(run / "run" / "report.html")["img"] == 1, "looks"


@pytest.mark.slow
def test_finished_cells_are_not_computed_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", TINY)
    before = (run / "run" / "moving-target.json").read_bytes()
    trained: list[Any] = []
    monkeypatch.setattr(ablation, "fit", lambda *_, **__: trained.append(1))
    reproduce.reproduce(run / "run", budget="tiny")
    assert not trained
    assert (run / "run" / "moving-target.json").read_bytes() == before
    other = replace(TINY, training=replace(TINY.training, lr=1.0))
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", other)
    with pytest.raises(ValueError, match=r"made with other settings \(lr\)"):
        reproduce.reproduce(run / "run", budget="tiny")


@pytest.mark.slow
def test_figures_of_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    name = "motion-12-seed0"
    shutil.copy(run / "run" / f"{name}-localized.json", tmp_path)
    shutil.copy(run / "run" / "fused-12-seed0.json", tmp_path)
    for member, seed in (("motion", 1), ("convlstm-flow", 0)):
        shutil.copytree(run / "run" / f"{member}-12-seed{seed}", tmp_path / f"{member}-12-seed0")
    members = [Trial(tmp_path, spec, 12, 0, split_mnist(), TINY.counts) for spec in MEMBERS]
    with pytest.raises(ValueError, match=r"made with other settings \(weights\)"):
        members[0].localized()
    with pytest.raises(
        ValueError, match=r"fused-12-seed0.json: made with other settings \(members\."
    ):
        ensemble(members)


def test_a_summary_is_means_and_spread() -> None:
    found = summary([{"accuracy": 0.5, "pointing": 0.2}, {"accuracy": 0.7, "pointing": 0.4}])
    assert found["accuracy"] == pytest.approx(0.6)
    assert found["spread"] == pytest.approx(0.02**0.5)
    assert found["pointing"] == pytest.approx(0.3)
    assert summary([{"accuracy": 0.5}])["spread"] is None


def test_a_trial_measures_where_it_looked(tmp_path: Path) -> None:
    figures = Trial(
        tmp_path, ablation.MOTION, 6, 0, split_mnist(), TINY.counts, TINY.training
    ).train()
    assert set(figures) >= {"accuracy", "pointing", "validation", "parameters"}

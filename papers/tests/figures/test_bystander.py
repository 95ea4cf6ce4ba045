"""A second person who moves: points that are known, and a tiny run of the whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker.config import DataConfig
from onlooker_papers.figures import bystander, tables
from onlooker_papers.pointing import pointing
from onlooker_papers.results import assembled


def test_frames_without_an_event_do_not_count() -> None:
    boxes = np.tile(np.array([[0, 0, 4, 4], [2, 2, 8, 8]], np.float32), (1, 4, 1, 1))
    boxes[0, 0, 0] = np.nan
    points = np.array([[[1, 1], [1, 1], [3, 3], [6, 6]]], float)  # the target, both, the other one
    assert pointing(points, boxes) == {"target": pytest.approx(2 / 3), "other": pytest.approx(1 / 3)}


def test_the_second_person_never_does_what_a_label_says() -> None:
    assert not set(bystander.CLASSES) & set(bystander.OTHERS)
    about = {"boxes": [[t, 0, t + 1, 2] for t in range(8)], "bystander": [[9, 9, 10, 10]] * 8, "event": [2, 5]}
    boxes = bystander._boxes_of_both(about, 4)
    assert boxes.shape == (4, 2, 4)
    assert np.isfinite(boxes[:, 0, 0]).sum() == sum(2 <= index <= 5 for index in (0, 2, 5, 7))
    assert (boxes[:, 1] == (9, 9, 10, 10)).all()


def test_a_tiny_run_fills_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(bystander, "DATA", DataConfig(frames=4, size=32, modality="flow"))
    monkeypatch.setattr(bystander, "CLASSES", ("bend", "jump"))
    drawn = replace(bystander.FIGURES, frames=12, fps=6, size=(48, 64), people=3, background="plain")
    once = replace(bystander.TRAINING, epochs=1)
    found = bystander.reproduce(tmp_path / "run", tmp_path / "results", 2, 3, once, drawn)
    assert len(found["per_seed"]) == 2
    stored = assembled(tmp_path / "results", bystander.FILE)["figures"]
    table = tables.bystander({bystander.FILE: stored}).markdown()
    for words in ("attention", "Grad-CAM of the same model", "the largest moving region, without a model"):
        assert f"| {words} | " in table
    assert bystander.reproduce(tmp_path / "run", tmp_path / "results", 2, 3, once, drawn) == found

"""The report's system on J-HMDB: draws that keep source videos whole, the literal size, and a tiny run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from moving_squares import make_set

from onlooker.config import DataConfig
from onlooker.data.sets import read_set
from onlooker.data.split import make_splits
from onlooker.structures import Clip
from onlooker_papers.hmdb10 import on_jhmdb
from onlooker_papers.hmdb10.tables import on_jhmdb as table
from onlooker_papers.results import assembled


def test_ten_classes_are_divided_in_the_reports_proportions() -> None:
    clips = [Clip(Path(f"{label}/{n}.mp4"), label, f"{label}-{n // 4}") for label in "abcdefghijkl" for n in range(40)]
    chosen = on_jhmdb.ten_classes(clips)
    assert {clip.label for clip in chosen} == set("abcdefghij")
    draws = [on_jhmdb.Draw(Path(), chosen, number).split for number in range(2)]
    assert draws[0] != draws[1]
    for split in draws:
        sides = [{clip.recording for clip in side} for side in (split.training, split.validation, split.test)]
        assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
        assert [len(side) for side in (split.training, split.validation, split.test)] == pytest.approx(
            [400 * share / 1028 for share in (730, 220, 78)], abs=20
        )


def test_the_literal_size_is_about_a_hundred_thousand_parameters() -> None:
    clips = [Clip(Path(f"{label}.mp4"), label) for label in "abcdefghij"]
    draw = on_jhmdb.Draw(Path(), clips, 0)
    for name in ("report", "convlstm", "lstm"):
        net = draw.build(name)
        count = sum(weights.numel() for weights in net.parameters() if weights.requires_grad)
        assert 95_000 < count < 110_000, name


def test_a_tiny_run_fills_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = read_set(make_set(tmp_path / "squares", clips=12)).clips
    monkeypatch.setattr(on_jhmdb, "splits_of", lambda name: make_splits(clips))
    monkeypatch.setattr(on_jhmdb, "DATA", DataConfig(frames=4, size=48, translate=0.0, scale=0.0))
    torch.set_num_threads(1)
    once = replace(on_jhmdb.TRAINING, epochs=1)
    figures = on_jhmdb.reproduce(tmp_path / "run", tmp_path / "results", 2, once)
    assert (tmp_path / "run" / "report.html").exists()
    stored = assembled(tmp_path / "results", on_jhmdb.FILE)["figures"]
    assert stored["frame_accuracy"] == figures["frame_accuracy"]
    assert "| `lstm` | " in table({on_jhmdb.FILE: stored}).markdown()
    assert on_jhmdb.reproduce(tmp_path / "run", tmp_path / "results", 2, once) == figures

"""The size of the motion crop is decided by the lowest validation loss, as a mean over folds."""

from pathlib import Path
from typing import Any

import pytest

from onlooker.config import DataConfig
from onlooker_papers.real_clips import motion_crop
from onlooker_papers.results import assembled


def test_rows_have_the_epoch_with_the_lowest_loss_of_every_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(recipe: Any, run: Path, data: DataConfig, *_: Any, **__: Any) -> None:
        assert recipe.seeds == 1
        for fold in range(recipe.folds):
            folder = run / "motion" / f"fold{fold}-seed0"
            folder.mkdir(parents=True)
            rows = [(0.9, 0.2), (0.5 + fold / 10 - data.motion_crop / 10, 0.75), (0.7, 1.0)]
            lines = [f"{epoch},{loss},{accuracy}" for epoch, (loss, accuracy) in enumerate(rows)]
            (folder / "curves.csv").write_text("\n".join(["epoch,validation_loss,validation_accuracy", *lines]))

    monkeypatch.setattr(motion_crop, "compared", compared)
    motion_crop.measure(tmp_path / "run", tmp_path / "results", (0.0, 0.5))
    found = assembled(tmp_path / "results", motion_crop.FILE)["figures"]
    assert found["0"]["losses"] == pytest.approx([0.5, 0.6, 0.7])
    assert found["0.5"]["loss"] == pytest.approx(0.55)
    assert found["0.5"]["accuracy"] == 0.75

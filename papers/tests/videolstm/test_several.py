"""Several movers: points that are known to be on the target or not, and a tiny run of every model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker.data.digits import load_digits
from onlooker.localization.parameters import LocalizationParameters
from onlooker_papers.pointing import map_points, motion_points, pointing
from onlooker_papers.results import assembled
from onlooker_papers.videolstm import several, tables
from onlooker_papers.videolstm.ablation import TRAINING
from onlooker_papers.videolstm.target_clips import TargetClips


@pytest.fixture(scope="module")
def clips() -> TargetClips:
    return TargetClips(load_digits()[0], 40, 0, frames=6, movers=3)


def test_pointing_tells_the_target_from_other_movers(clips: TargetClips) -> None:
    centers = clips.batch.boxes.numpy().reshape(40, 6, 4, 2, 2).mean(3)  # B T k 2
    assert pointing(centers[:, :, 0], several.movers(clips)) == {"target": 1.0, "other": 0.0}
    other = pointing(centers[:, :, 1], several.movers(clips))
    assert other["other"] > 0.8
    assert other["target"] + other["other"] == pytest.approx(1)
    nowhere = pointing(np.full((40, 6, 2), np.nan), several.movers(clips))
    assert nowhere == {"target": 0.0, "other": 0.0}


def test_motion_finds_the_target_in_a_third_of_the_frames(clips: TargetClips) -> None:
    found = pointing(motion_points(clips.images), several.movers(clips))
    assert 0.2 < found["target"] < 0.47
    assert found["target"] + found["other"] > 0.8


def test_points_are_the_peaks_of_maps_and_smoothing_removes_a_jump(clips: TargetClips) -> None:
    maps = np.full((40, 6, 8, 8), 1e-3, np.float32)
    maps[:, :, 2, 5] = 1.0
    maps[:, 3] = 1e-3
    maps[:, 3, 6, 1] = 1.0  # at one frame elsewhere
    plain, smooth = (
        map_points(maps, clips.images),
        map_points(maps, clips.images, LocalizationParameters(smoothing=2.0)),
    )
    assert np.abs(plain[:, 0] - (44, 20)).max() <= 4
    assert np.abs(plain[:, 3] - (12, 52)).max() <= 4
    assert np.abs(smooth[:, 3] - (44, 20)).max() <= 4


def test_a_tiny_run_fills_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(several, "COUNTS", {"validation": 8, "test": 8})
    once = replace(TRAINING, epochs=1)
    names = ["convlstm-both"]
    figures = several.reproduce(tmp_path / "run", None, tmp_path / "results", 2, once, 16, names)
    assert list(figures) == ["motion", "convlstm-both"]
    stored = assembled(tmp_path / "results", several.FILE)["figures"]
    table = tables.several({several.FILE: stored}).markdown()
    assert "| `motion`, Grad-CAM | the same | – | " in table
    assert "| `convlstm-both`, attention" not in table
    assert tables.smoothed({several.FILE: stored}).markdown().count("\n| `") == 1
    assert several.reproduce(tmp_path / "run", None, tmp_path / "results", 2, once, 16, names) == figures
    with pytest.raises(ValueError, match="no model tcn; expected some of motion, convlstm-both, alstm-both"):
        several.reproduce(tmp_path / "run", None, tmp_path / "results", names=["tcn"])

"""Models tested on disturbed clips: undisturbed ones have the accuracy of the training run; sizes; tables."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from moving_squares import make_set

from onlooker.config import DataConfig
from onlooker.data.sets import read_set
from onlooker.data.split import make_splits
from onlooker_papers.hmdb10 import disturbed, on_jhmdb, sizes, tables
from onlooker_papers.hmdb10.disturbance import Disturbance
from onlooker_papers.results import assembled

ONCE = replace(on_jhmdb.TRAINING, epochs=1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clips = read_set(make_set(tmp_path / "squares", clips=12)).clips
    monkeypatch.setattr(on_jhmdb, "MODELS", {"report": 5, "convnet": 1})
    monkeypatch.setattr(on_jhmdb, "splits_of", lambda name: make_splits(clips))
    monkeypatch.setattr(on_jhmdb, "DATA", DataConfig(frames=4, size=48, translate=0.0, scale=0.0))
    torch.set_num_threads(1)
    return tmp_path


def test_whole_clips_have_the_accuracy_of_the_training_run(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"first run `python -m onlooker_papers\.hmdb10\.on_jhmdb`"):
        disturbed.reproduce(folder / "run", folder / "results", 2, ONCE)
    trained = on_jhmdb.reproduce(folder / "run", folder / "results", 2, ONCE)
    kinds = (Disturbance("whole"), disturbed.STILL, Disturbance("shake", 0.1))
    figures = disturbed.reproduce(folder / "run", folder / "results", 2, ONCE, kinds)
    for name in ("report", "convnet"):
        assert figures["disturbances"]["whole"][name]["each"] == pytest.approx(trained["models"][name]["each"])
        assert figures["disturbances"]["still"][name]["over_still"][0] == 0
    table = tables.disturbed({disturbed.FILE: assembled(folder / "results", disturbed.FILE)["figures"]}).markdown()
    assert "| camera shakes within 10 % of the frame | " in table
    assert disturbed.reproduce(folder / "run", folder / "results", 2, ONCE, kinds) == figures


def test_sizes_are_trainings_of_their_own(folder: Path) -> None:
    few = (sizes.Size(batch=5), sizes.Size(channels=8))
    trained = on_jhmdb.reproduce(folder / "run", folder / "results", 2, ONCE)
    figures = sizes.reproduce(folder / "run", folder / "results", 2, ONCE, few)
    assert list(figures) == ["5 channels, batch 15", "5 channels, batch 5", "8 channels, batch 15"]
    assert figures["8 channels, batch 15"]["parameters"] > figures["5 channels, batch 5"]["parameters"]
    report = figures["5 channels, batch 15"]
    assert report["over_report"][0] == 0
    assert report["each"] == trained["models"]["report"]["each"]
    table = tables.sizes({sizes.FILE: assembled(folder / "results", sizes.FILE)["figures"]}).markdown()
    assert table.count("\n| 5 | ") == 2
    results = {name: assembled(folder / "results", name)["figures"] for name in (on_jhmdb.FILE, sizes.FILE)}
    results[on_jhmdb.FILE]["models"] |= dict.fromkeys(("convlstm", "lstm"), results[on_jhmdb.FILE]["models"]["convnet"])
    compared = tables.differences({**results, "hmdb10": {"squares/": {"parameters": {"report": 1}}}})
    assert {len(row) for row in compared.rows} == {len(compared.columns)}
    batch = next(row for row in compared.rows if row[0] == "batch")
    assert batch[2:4] == ["15", "15"]
    assert str(batch[4]).startswith("5: ")
    assert sizes.reproduce(folder / "run", folder / "results", 2, ONCE, few) == figures

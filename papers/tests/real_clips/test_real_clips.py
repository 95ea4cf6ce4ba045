"""Comparisons on real clips: valid recipes, and rows of several sets in one results file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moving_squares import make_set

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.files import read_json
from onlooker.run.compare import settings_of
from onlooker_papers.real_clips import reproduce as module
from onlooker_papers.real_clips.recipes import MODEL, RECIPES, SAMPLES, SEEDS, ComparisonRecipe
from onlooker_papers.real_clips.reproduce import write_set

DATA = DataConfig(frames=3, size=16, channels=1)
GONE = {"mil-flow", "single-frame"}  # rows of models that are no longer in the library
TINY = TrainConfig(epochs=1, batch=16, precision="32")


def figures(**accuracies: float) -> dict[str, Any]:
    return {
        "accuracy": accuracies,
        "spread": dict.fromkeys(accuracies),
        "frame_accuracy": dict.fromkeys(accuracies, 0.25),
        "per_seed": {name: [value, value] for name, value in accuracies.items()},
        "modality": dict.fromkeys(accuracies, "rgb"),
        "majority": 0.125,
        "test_videos": 16,
        "splits": 1,
        "seeds": [0, 1],
        "weights": "from scratch",
        "skipped": [],
        "fused": {
            "accuracy": 0.75,
            "spread": None,
            "frame_accuracy": 0.25,
            "per_seed": [0.75, 0.75],
            "weights": {"motion": 0.5, "convlstm-flow": 0.5},
        },
    }


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_valid_and_their_rows_recorded(name: str) -> None:
    recipe = RECIPES[name]
    data = DataConfig(**{**SAMPLES, **recipe.data})
    shared = Settings(ModelConfig(**MODEL), data, TrainConfig(**recipe.training))
    models = settings_of(recipe.models, shared)
    recorded = read_json(Path(__file__).resolve().parents[3] / "results" / "real-clips.json")[
        "figures"
    ][name]
    assert {*models} | ({"fused"} if "motion" in models else set()) >= {
        *recorded["accuracy"]
    } - GONE
    assert (len(recorded["seeds"]), recorded["splits"]) == (len(SEEDS), 1)
    assert recorded["budget"] == {
        "epochs": recipe.training["epochs"],
        "frames": data.frames,
        "size": data.size,
        "channels": data.channels,
    }


def test_an_unknown_recipe_and_missing_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="there is no recipe 'hand'; there are surveillance, "):
        module.reproduce("hand", tmp_path / "run")
    monkeypatch.delenv("ONLOOKER_DATA", raising=False)
    with pytest.raises(
        ValueError,
        match=r"ONLOOKER_DATA is not set; set ONLOOKER_DATA to a folder that has clips/SET",
    ):
        module.reproduce("basketball", tmp_path / "run")
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"which has no folder clips; set ONLOOKER_DATA to a folder"
    ):
        module.reproduce("basketball", tmp_path / "run")


def test_several_sets_are_in_one_file(tmp_path: Path) -> None:
    write_set(tmp_path, "gestures", figures(lstm=0.5), data=DATA, training=TINY)
    write_set(
        tmp_path,
        "weizmann",
        figures(lstm=0.6, motion=0.7),
        data=DATA,
        training=replace(TINY, epochs=7),
    )
    write_set(tmp_path, "gestures", figures(lstm=0.7), data=DATA, training=TINY)
    stored = read_json(tmp_path / "real-clips.json")
    assert stored["command"] == " && ".join(
        f"python -m onlooker_papers.real_clips {n}" for n in ("gestures", "weizmann")
    )
    assert stored["seeds"] == [0, 1]
    gestures, weizmann = stored["figures"].values()
    assert gestures["accuracy"] == {"lstm": 0.7, "fused": 0.75}
    assert gestures["streams"] == {"lstm": "rgb"}
    assert gestures["budget"] == {"epochs": 1, "frames": 3, "size": 16, "channels": 1}
    assert weizmann["budget"]["epochs"] == 7
    assert list(weizmann["accuracy"]) == ["lstm", "motion", "fused"]


@pytest.mark.slow
def test_a_recipe_becomes_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path / "clips" / "squares", clips=4, frames=4)
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path))
    training = {"epochs": 1, "batch": 16, "precision": "32"}
    tiny = ComparisonRecipe(
        "squares",
        "motion,convlstm:flow",
        {"frames": 3, "size": 16, "channels": 1},
        training,
    )
    monkeypatch.setattr(module, "SEEDS", (0,))
    monkeypatch.setitem(module.RECIPES, "squares", tiny)
    found = module.reproduce("squares", tmp_path / "run", results=tmp_path / "results", jobs=1)
    stored = read_json(tmp_path / "results" / "real-clips.json")
    fused = {"fused": found["fused"]["accuracy"]}
    assert stored["figures"]["squares"]["accuracy"] == found["accuracy"] | fused
    assert stored["command"] == "python -m onlooker_papers.real_clips squares"
    cell = read_json(tmp_path / "results" / "cells" / "real-clips" / "squares.json")
    assert cell["settings"]["frames"] == 3
    assert (tmp_path / "run" / "squares" / "comparison.json").exists()

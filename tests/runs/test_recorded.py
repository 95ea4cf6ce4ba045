"""Results of several sets in one file, and rows that are added to a set's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onlooker.config import DataConfig, TrainConfig
from onlooker.runs.recorded import add_results

DATA = DataConfig(frames=3, size=16, channels=1)
TINY = TrainConfig(epochs=1, batch=16, precision="32")
FIRST = "onlooker compare hands --models lstm,motion --lr 0.01 --hflip --seeds 2 --results results.json"
MORE = "onlooker compare hands --seeds 2 --models single-frame --hflip --lr=0.01 --add --jobs 2 --results results.json"


def figures(**accuracies: float) -> dict[str, Any]:
    places = {name: {"peak_in_silhouette": 0.5, "peak_in_box": 0.6, "box_iou_50": 0.7} for name in accuracies}
    return {
        "accuracy": accuracies,
        "spread": dict.fromkeys(accuracies),
        "frame_accuracy": dict.fromkeys(accuracies, 0.25),
        "per_seed": {name: [value, value] for name, value in accuracies.items()},
        "modality": dict.fromkeys(accuracies, "rgb"),
        "places": {name: found for name, found in places.items() if name == "motion"},
        "ensemble_weights": {},
        "majority": 0.125,
        "test_videos": 16,
        "splits": 1,
        "seeds": [0, 1],
        "weights": "from scratch",
        "skipped": [],
    }


def read(path: Path) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return stored


def test_several_sets_stand_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    add_results(path, "gestures", figures(lstm=0.5), DATA, TINY, "onlooker compare gestures")
    add_results(path, "weizmann", figures(lstm=0.6), DATA, replace(TINY, epochs=7), "onlooker compare weizmann")
    add_results(path, "gestures", figures(lstm=0.7), DATA, TINY, "onlooker compare gestures --seeds 2")
    stored = read(path)
    assert stored["command"] == "onlooker compare gestures --seeds 2 && onlooker compare weizmann"
    assert set(stored) == {"what", "command", "date", "machine", "seeds", "figures"}
    assert list(stored["figures"]) == ["gestures", "weizmann"]
    gestures, weizmann = stored["figures"].values()
    assert (gestures["accuracy"], gestures["command"]) == ({"lstm": 0.7}, "onlooker compare gestures --seeds 2")
    assert weizmann["accuracy"] == {"lstm": 0.6}
    assert weizmann["budget"] == {"epochs": 7, "frames": 3, "size": 16, "channels": 1}


def test_rows_of_other_models_stay_where_some_are_added(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    add_results(path, "hands", {**figures(lstm=0.5, motion=0.6), "ensemble_weights": {"lstm": 1.0}}, DATA, TINY, FIRST)
    for _ in range(2):  # made twice, it stands there once
        add_results(path, "hands", figures(**{"single-frame": 0.3}), DATA, TINY, MORE, add=True)
    hands = read(path)["figures"]["hands"]
    assert hands["accuracy"] == {"lstm": 0.5, "motion": 0.6, "single-frame": 0.3}
    assert hands["per_seed"]["motion"] == [0.6, 0.6]
    assert (hands["places_of"], hands["peak_in_box"], hands["fused_weights"]) == ("motion", 0.6, {"lstm": 1.0})
    assert hands["command"] == f"{FIRST} && {MORE}"


@pytest.mark.parametrize(
    ("name", "training", "changed", "message"),
    [
        ("feet", TINY, {}, "has no rows of feet to add to"),
        (
            "hands",
            TINY,
            {"test_videos": 15, "skipped": ["a"]},
            r"\(differs: test_videos, skipped\); leave out",
        ),
        ("hands", replace(TINY, lr=0.5), {}, r"of other clips, seeds or settings \(differs: settings\)"),
        ("hands", replace(TINY, epochs=2), {}, r"\(differs: budget, settings\)"),
    ],
)
def test_rows_are_added_only_to_their_like(
    tmp_path: Path, name: str, training: TrainConfig, changed: dict[str, Any], message: str
) -> None:
    path = tmp_path / "results.json"
    add_results(path, "hands", figures(lstm=0.5), DATA, TINY, FIRST)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        add_results(path, name, {**figures(motion=0.6), **changed}, DATA, training, MORE, add=True)
    assert path.read_bytes() == before


def test_new_rows_of_what_is_fused_are_fused_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    add_results(path, "hands", {**figures(lstm=0.5, motion=0.6), "ensemble_weights": {"lstm": 1.0}}, DATA, TINY, FIRST)
    with pytest.raises(ValueError, match="hands has lstm fused, and new rows of lstm; fuse them anew, too"):
        add_results(path, "hands", figures(lstm=0.4), DATA, TINY, MORE, add=True)
    anew = {**figures(lstm=0.4, ensemble=0.7), "ensemble_weights": {"lstm": 0.5}}
    add_results(path, "hands", anew, DATA, TINY, MORE, add=True)
    hands = read(path)["figures"]["hands"]
    assert (hands["accuracy"]["fused"], hands["fused_weights"]) == (0.7, {"lstm": 0.5})

"""A comparison counts what it says, goes on where it was cut off, and never mixes settings."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import moving_squares
import pytest

from saccade.config import DataConfig, ModelConfig, TrainConfig
from saccade.data.folder import Split, find_clips, make_splits
from saccade.experiments import compare as compare_module
from saccade.experiments.compare import add_results, compare, table

DATA = DataConfig(frames=3, size=16, channels=1)
TINY = TrainConfig(epochs=1, batch=16, precision="32")
MODELS = [ModelConfig(name="convnet"), ModelConfig(name="lstm", hidden=8)]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("SACCADE_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


TWO_FOLDS = partial(make_splits, folds=2)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=4)
    (folder / "up" / "broken.mp4").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def splits(squares: Path) -> dict[str, Split]:
    """Of the clips that can be read, as a comparison makes them."""
    clips = [clip for clip in find_clips(squares) if clip.path.name != "broken.mp4"]
    return make_splits(clips, folds=2)


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, squares: Path, splits: dict[str, Split]
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("compared")
    return out, compare(squares, out, MODELS, TWO_FOLDS, (5, 6), DATA, TINY, jobs=1)


def test_every_cell_is_a_run_and_the_figures_are_theirs(
    compared: tuple[Path, dict[str, Any]], splits: dict[str, Split]
) -> None:
    out, figures = compared
    for model in ("convnet", "lstm"):
        by_seed, frames_by_seed = [], []
        for seed in (5, 6):
            right = videos = frames_right = frames = 0.0
            for fold in ("fold0", "fold1"):
                run = out / model / f"{fold}-seed{seed}"
                config = json.loads((run / "config.json").read_text(encoding="utf-8"))
                assert (config["model"]["name"], config["training"]["seed"]) == (model, seed)
                measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
                confusion = measured["confusion"]
                right += sum(confusion[k][k] for k in range(4))
                videos += sum(map(sum, confusion))
                frames_right += measured["frame_accuracy"] * measured["frames"]
                frames += measured["frames"]
            assert videos == 16
            assert frames == 48
            by_seed.append(right / videos)
            frames_by_seed.append(frames_right / frames)
        assert figures["per_seed"][model] == pytest.approx(by_seed)
        assert figures["accuracy"][model] == pytest.approx(mean(by_seed))
        assert figures["spread"][model] == pytest.approx(stdev(by_seed))
        assert figures["frame_accuracy"][model] == pytest.approx(mean(frames_by_seed))
    assert (figures["splits"], figures["seeds"]) == (2, [5, 6])
    (skipped,) = figures["skipped"]
    assert "broken.mp4: zero bytes" in skipped
    assert json.loads((out / "comparison.json").read_text(encoding="utf-8")) == figures
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "broken.mp4" in page
    assert all(name in page for name in ("majority class", "convnet", "lstm"))


def test_only_what_is_missing_is_computed(
    compared: tuple[Path, dict[str, Any]], squares: Path, splits: dict[str, Split], tmp_path: Path
) -> None:
    out = shutil.copytree(compared[0], tmp_path / "compared")
    lost = out / "lstm" / "fold1-seed5" / "evaluation.json"
    before = lost.read_bytes()
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("evaluation.json")}
    figures = compare(squares, out, MODELS, TWO_FOLDS, (5, 6), DATA, TINY, jobs=1)
    assert figures == compared[1]
    assert lost.read_bytes() == before
    assert len(times) == 7
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_nothing_is_computed_where_all_is_there(
    compared: tuple[Path, dict[str, Any]], squares: Path, splits: dict[str, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_module, "train", None)
    assert compare(squares, compared[0], MODELS, TWO_FOLDS, (5, 6), DATA, TINY, jobs=1) == compared[1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"training": replace(TINY, epochs=2)}, r"trained with another training \(epochs\); choose another --run"),
        ({"data": replace(DATA, size=24, frames=2)}, r"trained with another data \(frames, size\)"),
        ({"models": [MODELS[0], replace(MODELS[1], hidden=9)]}, r"lstm.fold0-seed5: .* another model \(hidden\)"),
        ({"models": [*MODELS, MODELS[0]]}, "models to compare: convnet is unknown or twice; there are convnet, lstm"),
        ({"models": [ModelConfig(name="magic")]}, "models to compare: magic is unknown or twice"),
        ({"seeds": ()}, "2 models and 0 seeds, expected at least one of each"),
    ],
)
def test_cells_of_other_settings_are_not_mixed_in(
    compared: tuple[Path, dict[str, Any]],
    squares: Path,
    splits: dict[str, Split],
    changed: dict[str, Any],
    message: str,
) -> None:
    given: dict[str, Any] = {
        "models": MODELS,
        "make_splits": TWO_FOLDS,
        "seeds": (5, 6),
        "data": DATA,
        "training": TINY,
    }
    with pytest.raises(ValueError, match=message):
        compare(squares, compared[0], **{**given, **changed})


def test_cells_of_another_split_are_not_mixed_in(
    compared: tuple[Path, dict[str, Any]], squares: Path, splits: dict[str, Split]
) -> None:
    turned = {"fold0": splits["fold1"], "fold1": splits["fold0"]}
    with pytest.raises(ValueError, match=r"fold0-seed5: trained with another split \(training, validation, test\)"):
        compare(squares, compared[0], MODELS, lambda clips: turned, (5, 6), DATA, TINY, jobs=1)


def test_the_majority_is_what_one_and_the_same_answer_can_reach(splits: dict[str, Split], compared: Any) -> None:
    labels = [clip.label for split in splits.values() for clip in split.test]
    assert compared[1]["test_videos"] == len(labels) == 16
    assert compared[1]["majority"] == pytest.approx(max(map(labels.count, labels)) / 16)


def figures(accuracy: float, spread: float | None = None) -> dict[str, Any]:
    return {
        "accuracy": {"lstm": accuracy},
        "spread": {"lstm": spread},
        "frame_accuracy": {"lstm": 0.25},
        "majority": 0.125,
        "seeds": [0, 1],
    }


def test_a_table_has_a_row_a_model_below_the_majority() -> None:
    columns, rows = table(figures(0.5, 0.0123))
    assert columns == ["model", "videos right", "± over seeds", "frames right"]
    assert rows == [["majority class", "12.5 %", "", ""], ["lstm", "50.0 %", "± 1.2", "25.0 %"]]
    assert table(figures(0.5))[1][1] == ["lstm", "50.0 %", "", "25.0 %"]


def test_results_of_several_sets_stand_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    add_results(path, "gestures", figures(0.5), DATA, TINY, "saccade compare gestures")
    add_results(path, "weizmann", figures(0.6), DATA, replace(TINY, epochs=7), "saccade compare weizmann")
    add_results(path, "gestures", figures(0.7), DATA, TINY, "saccade compare gestures --seeds 2")
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["command"] == "saccade compare gestures --seeds 2 && saccade compare weizmann"
    assert set(stored) == {"what", "command", "date", "machine", "seeds", "figures"}
    assert list(stored["figures"]) == ["gestures", "weizmann"]
    gestures, weizmann = stored["figures"].values()
    assert (gestures["accuracy"], gestures["command"]) == ({"lstm": 0.7}, "saccade compare gestures --seeds 2")
    assert weizmann["accuracy"] == {"lstm": 0.6}
    assert weizmann["budget"] == {"epochs": 7, "frames": 3, "size": 16, "channels": 1}

"""Comparisons: figures of their runs, resuming, and separation of settings."""

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

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.folder import find_clips
from onlooker.data.split import Split, make_splits
from onlooker.experiments.model_spec import ModelSpec, parse_specs
from onlooker.run_record import lock_run
from onlooker.runs import compare as compare_module
from onlooker.runs.compare import compare, table

DATA = DataConfig(frames=3, size=16, channels=1)
TINY = TrainConfig(epochs=1, batch=16, precision="32")
MODELS = [ModelSpec("convnet"), ModelSpec("lstm", settings={"hidden": 8}, label="lstm")]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("ONLOOKER_CACHE", str(tmp_path_factory.mktemp("cache")))
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
    """Splits of the readable clips, as a comparison makes them."""
    clips = [clip for clip in find_clips(squares) if clip.path.name != "broken.mp4"]
    return make_splits(clips, folds=2)


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, squares: Path, splits: dict[str, Split]
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("compared")
    return out, compare(squares, out, MODELS, TWO_FOLDS, (5, 6), DATA, TINY, jobs=1)


def test_every_cell_is_a_run_and_the_figures_are_means_over_runs(
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
    (out / "lstm" / "fold1-seed5.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("evaluation.json")}
    figures = compare(squares, out, MODELS, TWO_FOLDS, (5, 6), DATA, TINY, jobs=1)
    assert figures == compared[1]
    assert lost.read_bytes() == before
    assert len(times) == 7
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_nothing_is_computed_where_all_is_there(
    compared: tuple[Path, dict[str, Any]], squares: Path, splits: dict[str, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_module, "run_parallel", lambda tasks, *_, done: tasks and pytest.fail("computes"))
    assert compare(squares, compared[0], MODELS, TWO_FOLDS, (5, 6), DATA, TINY, jobs=1) == compared[1]


def test_one_process_computes_a_comparison_at_a_time(compared: tuple[Path, dict[str, Any]], squares: Path) -> None:
    with lock_run(compared[0]), pytest.raises(ValueError, match="another process computes it; wait until it ends, or"):
        compare(squares, compared[0], MODELS, TWO_FOLDS, (5, 6), DATA, TINY, jobs=1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"training": replace(TINY, epochs=2)}, r"made with other settings \(training.epochs\); choose another --run"),
        ({"data": replace(DATA, size=24, frames=2)}, r"made with other settings \(data.frames, data.size\)"),
        (
            {"models": [MODELS[0], replace(MODELS[1], settings={"hidden": 9})]},
            r"lstm.fold0-seed5.json: .*other settings \(model.hidden\)",
        ),
        ({"models": [*MODELS, MODELS[0]]}, "models to compare: convnet is listed twice"),
        ({"models": [ModelSpec("magic")]}, "unknown model 'magic'"),
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
        "splits": TWO_FOLDS,
        "seeds": (5, 6),
        "data": DATA,
        "training": TINY,
    }
    with pytest.raises(ValueError, match=message):
        compare(squares, compared[0], **{**given, **changed})


def test_the_majority_class_baseline(splits: dict[str, Split], compared: Any) -> None:
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


def test_a_table_has_one_row_per_model_below_the_majority_baseline() -> None:
    columns, rows = table(figures(0.5, 0.0123))
    assert columns == ["model", "videos correct", "± over seeds", "frames correct"]
    assert rows == [["majority class", "12.5 %", "", ""], ["lstm", "50.0 %", "± 1.2", "25.0 %"]]
    assert table(figures(0.5))[1][1] == ["lstm", "50.0 %", "", "25.0 %"]


SHARED = ModelConfig(encoder="conv4", hidden=8, attention_loss=True)
SEEN = DataConfig(frames=3, size=16, channels=1, flow="farneback")


@pytest.mark.parametrize(
    ("entries", "streams", "expected"),
    [
        ("convnet, motion", "rgb", {"convnet": "rgb", "motion": "both"}),
        ("lstm:flow,lstm,lstm:both", "rgb", {"lstm-flow": "flow", "lstm": "rgb", "lstm-both": "both"}),
        ("convlstm:flow,convlstm:rgb,motion", "flow", {"convlstm": "flow", "convlstm-rgb": "rgb", "motion": "both"}),
        ("motion:both,convnet:rgb", "rgb", {"motion": "both", "convnet": "rgb"}),
    ],
)
def test_a_model_has_the_modality_of_its_specification(entries: str, streams: str, expected: dict[str, str]) -> None:
    data = replace(SEEN, modality=streams)
    specs = parse_specs(entries, data)
    assert {each.name: each.data_config(data).modality for each in specs} == expected
    assert [each.model for each in specs] == [name.partition("-")[0] for name in expected]


def test_attention_settings_apply_only_to_models_with_attention() -> None:
    shared = replace(SHARED, glimpse="product")
    specs = parse_specs("convnet,alstm,convlstm:flow,convalstm,motion,lstm", SEEN)
    models = {each.name: each.model_config(shared) for each in specs}
    assert [name for name, model in models.items() if model.attention_loss] == ["alstm", "convalstm", "motion"]
    assert [name for name, model in models.items() if model.glimpse == "product"] == ["alstm", "convalstm", "motion"]


def test_folders_have_no_colons() -> None:
    assert ModelSpec("package:model", "flow").folder == "package-model-flow", "Windows has none in file names"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("convnet,convlstm:depth", "unknown model 'convlstm:depth'"),
        ("convnet,convnet:rgb", "models to compare: convnet is listed twice"),
        ("motion,motion:both", "models to compare: motion is listed twice"),
        ("motion:rgb,convnet", "motion takes RGB and optical flow, and modality is 'rgb'; give --modality both"),
    ],
)
def test_invalid_combinations_of_models(squares: Path, tmp_path: Path, entries: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ablation(squares, tmp_path, entries, ModelConfig(encoder="conv4"))


ABLATION = "convalstm,convlstm:flow,motion"


def ablation(squares: Path, out: Path, entries: str = ABLATION, shared: ModelConfig = SHARED) -> dict[str, Any]:
    specs = parse_specs(entries, SEEN)
    return compare(squares, out, specs, TWO_FOLDS, (0,), SEEN, TINY, jobs=1, model=shared)


def test_rgb_flow_and_both_are_compared_in_one_table(squares: Path, tmp_path: Path) -> None:
    out, figures = tmp_path, ablation(squares, tmp_path)
    assert list(figures["accuracy"]) == ["convalstm", "convlstm-flow", "motion"]
    assert figures["modality"] == {"convalstm": "rgb", "convlstm-flow": "flow", "motion": "both"}
    for name, streams in figures["modality"].items():
        config = json.loads((out / name / "fold1-seed0" / "config.json").read_text(encoding="utf-8"))
        assert config["data"]["modality"] == streams
        assert config["model"]["attention_loss"] == (name != "convlstm-flow")


@pytest.mark.slow
def test_models_with_and_without_attention_are_compared_on_pixels(squares: Path, tmp_path: Path) -> None:
    figures = ablation(squares, tmp_path / "out", "report,convnet", ModelConfig(encoder="conv4", hidden=8))
    assert list(figures["accuracy"]) == ["report", "convnet"]
    assert figures["modality"] == {"report": "rgb", "convnet": "rgb"}


def test_cells_of_another_split_are_not_mixed_in(
    compared: tuple[Path, dict[str, Any]], squares: Path, splits: dict[str, Split]
) -> None:
    turned = {"fold0": splits["fold1"], "fold1": splits["fold0"]}
    with pytest.raises(ValueError, match=r"fold0-seed5.json: made with other settings \(split\)"):
        compare(squares, compared[0], MODELS, lambda clips: turned, (5, 6), DATA, TINY, jobs=1)

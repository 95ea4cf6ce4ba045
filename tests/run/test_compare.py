"""Comparisons: figures of their runs, resuming, and separation of settings."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import moving_squares
import pytest
from clips import find_clips

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.sets import folder_name
from onlooker.data.split import Split, make_splits
from onlooker.report.summary import comparison_page, comparison_table
from onlooker.run import compare as compare_module
from onlooker.run.compare import compare, settings_of
from onlooker.run.record import RunRecord, lock_run

DATA = DataConfig(frames=3, size=16, channels=1)
TINY = TrainConfig(epochs=1, batch=16, precision="32")
SMALL = ModelConfig(hidden=8)
MODELS = settings_of("convnet,lstm", Settings(SMALL, DATA, TINY))
TWO_FOLDS = partial(make_splits, folds=2)
Compared = tuple[Path, dict[str, Any]]


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
def compared(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Compared:
    out = tmp_path_factory.mktemp("compared")
    return out, compare(squares, out, MODELS, splits=TWO_FOLDS, seeds=(5, 6), jobs=1)


def test_every_training_is_a_run_and_the_figures_are_means_over_runs(
    compared: Compared, splits: dict[str, Split]
) -> None:
    out, figures = compared
    for model in ("convnet", "lstm"):
        by_seed = []
        for seed in (5, 6):
            right = videos = 0
            for fold in ("fold0", "fold1"):
                run = out / model / f"{fold}-seed{seed}"
                settings = RunRecord.read(run).settings
                assert (settings.model.name, settings.training.seed) == (model, seed)
                measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
                confusion = measured["confusion"]
                right += sum(confusion[k][k] for k in range(4))
                videos += sum(map(sum, confusion))
            assert videos == 16
            by_seed.append(right / videos)
        assert figures["per_seed"][model] == pytest.approx(by_seed)
        assert figures["accuracy"][model] == pytest.approx(mean(by_seed))
        low, high = figures["interval"][model]
        assert low <= mean(by_seed) <= high
        assert figures["spread"][model] == pytest.approx(stdev(by_seed))
    assert (figures["splits"], figures["seeds"]) == (2, [5, 6])
    assert figures["recordings"] == figures["test_videos"] == 16
    labels = [clip.label for split in splits.values() for clip in split.test]
    assert figures["majority"] == max(map(labels.count, labels)) / 16
    assert comparison_table(figures).note == "95 % interval: over 16 clips."
    page = comparison_page("", {**figures, "notes": ["files are recordings"]}).write(
        out / "page"
    )
    assert "files are recordings" in page.read_text(encoding="utf-8")
    (skipped,) = figures["skipped"]
    assert "broken.mp4: zero bytes" in skipped
    assert json.loads((out / "comparison.json").read_text(encoding="utf-8")) == figures


def test_only_what_is_missing_is_computed(
    compared: Compared, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(compared[0], tmp_path / "compared")
    lost = out / "lstm" / "fold1-seed5" / "evaluation.json"
    before = lost.read_bytes()
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("evaluation.json")}
    assert compare(squares, out, MODELS, splits=TWO_FOLDS, seeds=(5, 6), jobs=1) == compared[1]
    assert lost.read_bytes() == before
    assert len(times) == 7
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    monkeypatch.setattr(
        compare_module, "run_parallel", lambda tasks, _: pytest.fail("computes")
    )
    assert compare(squares, out, MODELS, splits=TWO_FOLDS, seeds=(5, 6), jobs=1) == compared[1]


def test_a_finished_run_without_figures_of_frames_is_named(
    compared: Compared, squares: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared[0], tmp_path / "compared")
    file = out / "lstm" / "fold1-seed5" / "evaluation.json"
    figures = json.loads(file.read_text(encoding="utf-8"))
    for name in ("frames", "frame_accuracy"):
        file.write_text(json.dumps(figures | {name: None}), encoding="utf-8")
        with pytest.raises(
            ValueError, match=r"no figures of frames; remove that run"
        ) as caught:
            compare(squares, out, MODELS, splits=TWO_FOLDS, seeds=(5, 6), jobs=1)
        assert str(caught.value).startswith(f"{file}: ")


def test_one_process_computes_a_comparison_at_a_time(compared: Compared, squares: Path) -> None:
    with (
        lock_run(compared[0]),
        pytest.raises(ValueError, match="another process computes it; wait until it ends, or"),
    ):
        compare(squares, compared[0], MODELS, splits=TWO_FOLDS, seeds=(5, 6), jobs=1)


@pytest.mark.parametrize(
    ("model", "data", "training", "message"),
    [
        (
            SMALL,
            DATA,
            replace(TINY, epochs=2),
            r"\(training.epochs\); choose another --run, or remove all that",
        ),
        (SMALL, replace(DATA, size=24, frames=2), TINY, r"\(data.frames, data.size\)"),
        (replace(SMALL, hidden=9), DATA, TINY, r"\(model.hidden\)"),
    ],
)
def test_runs_of_other_settings_are_not_mixed_in(
    compared: Compared,
    squares: Path,
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    message: str,
) -> None:
    with pytest.raises(
        ValueError, match=f"lstm.fold0-seed5: made with other settings {message}"
    ):
        compare(
            squares,
            compared[0],
            settings_of("lstm", Settings(model, data, training)),
            splits=TWO_FOLDS,
            seeds=(5, 6),
        )


SHARED = ModelConfig(encoder="conv4", hidden=8, attention_loss=True)
SEEN = DataConfig(frames=3, size=16, channels=1)


@pytest.mark.parametrize(
    ("entries", "streams", "expected"),
    [
        ("convnet, motion", "rgb", {"convnet": "rgb", "motion": "both"}),
        (
            "lstm:flow,lstm,lstm:both",
            "rgb",
            {"lstm-flow": "flow", "lstm": "rgb", "lstm-both": "both"},
        ),
        (
            "convlstm:flow,convlstm:rgb,motion",
            "flow",
            {"convlstm": "flow", "convlstm-rgb": "rgb", "motion": "both"},
        ),
        ("motion:both,convnet:rgb", "rgb", {"motion": "both", "convnet": "rgb"}),
    ],
)
def test_a_model_has_the_modality_of_its_specification(
    entries: str, streams: str, expected: dict[str, str]
) -> None:
    models = settings_of(entries, Settings(SHARED, replace(SEEN, modality=streams), TINY))
    assert {name: of.data.modality for name, of in models.items()} == expected
    assert [of.model.name for of in models.values()] == [
        name.partition("-")[0] for name in expected
    ]


def test_attention_settings_apply_only_to_models_with_attention() -> None:
    models = settings_of(
        "convnet,alstm,convlstm:flow,convalstm,motion,lstm", Settings(SHARED, SEEN, TINY)
    )
    assert [name for name, of in models.items() if of.model.attention_loss] == [
        "alstm",
        "convalstm",
        "motion",
    ]


def test_folders_have_no_colons() -> None:
    assert folder_name("package:model-flow") == "package-model-flow", (
        "Windows has none in file names"
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("magic", "unknown model 'magic'"),
        ("convnet,convlstm:depth", "unknown model 'convlstm:depth'"),
        ("convnet,convnet:rgb", "models to compare: convnet is listed twice"),
        ("motion,motion:both", "models to compare: motion is listed twice"),
        (
            "motion:rgb,convnet",
            "motion takes RGB and optical flow, and modality is 'rgb'; give --modality both",
        ),
    ],
)
def test_invalid_combinations_of_models(
    squares: Path, tmp_path: Path, entries: str, message: str
) -> None:
    shared = Settings(ModelConfig(encoder="conv4"), SEEN, TINY)
    with pytest.raises(ValueError, match=message):
        compare(
            squares,
            tmp_path,
            settings_of(entries, shared),
            splits=TWO_FOLDS,
            seeds=(0,),
            jobs=1,
        )


def test_runs_of_another_split_are_not_mixed_in(
    compared: Compared, squares: Path, splits: dict[str, Split]
) -> None:
    turned = {"fold0": splits["fold1"], "fold1": splits["fold0"]}
    with pytest.raises(ValueError, match=r"fold0-seed5: made with other settings \(split\)"):
        compare(squares, compared[0], MODELS, splits=lambda clips: turned, seeds=(5, 6), jobs=1)

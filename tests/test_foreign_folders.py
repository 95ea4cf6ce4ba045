"""Damaged and hostile model folders and runs: every error names the file and the field."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moving_squares
import pytest
from eventful import untrained

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.base.files import write_json
from onlooker.base.records import ClipError
from onlooker.recognizer import load
from onlooker.run.evaluate import evaluate
from onlooker.run.record import RunRecord
from onlooker.run.train import train_run

MODEL = ModelConfig("convalstm", "conv4", hidden=8)
DATA = DataConfig(frames=4, size=16, channels=1)
TINY = TrainConfig(epochs=2, batch=8, precision="32")
DEEP: Any = [[[[]]]]


@pytest.fixture
def run(trained: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return untrained(classes=("a", "b")).save(tmp_path / "model")


def change(file: Path, field: str, value: Any) -> None:
    values = at = json.loads(file.read_text(encoding="utf-8"))
    *parents, last = (int(key) if key.isdecimal() else key for key in field.split("."))
    for key in parents:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    file.write_text(json.dumps(values), encoding="utf-8")


WRONG = (None, -1, 1e308, DEEP, ...)
NO_PATH = ([], {}, "attack", 10**9, float("nan"), 10**400)
FIELDS = {
    "model/recognizer.json": (
        *("data.frames", "data.size", "data.channels", "data.modality"),
        *("classes", "data", "model", "aggregation"),
    ),
    "model/config.json": ("hidden", "encoder", "size", "cell", "num_classes", "in_channels"),
    "config.json": (
        *("classes", "clips", "model", "data", "training"),
        *("model.hidden", "data.frames", "training.epochs"),
    ),
    "split.json": ("training", "test.0.path", "test.0.label"),
}


@pytest.mark.parametrize(
    ("file", "field"), [(file, field) for file, fields in FIELDS.items() for field in fields]
)
def test_a_wrong_value_is_refused_by_file_and_field(run: Path, file: str, field: str) -> None:
    of_model = file.startswith("model/")
    original = (run / file).read_text(encoding="utf-8")
    for value in (*WRONG, *NO_PATH) if of_model else WRONG:
        (run / file).write_text(original, encoding="utf-8")
        change(run / file, field, value)
        with pytest.raises(ValueError, match=file) as caught:
            load(run) if of_model else RunRecord.read(run)
        assert str(caught.value).startswith(str(run))
        assert field.split(".")[-1] in str(caught.value), value
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("field", "value"),
    [("hidden", 100_000), ("encoder", "vit_giant_patch14_224"), ("head_units", 10**8)],
)
def test_settings_of_a_giant_model_take_no_memory(model: Path, field: str, value: Any) -> None:
    change(model / "config.json", field, value)
    with pytest.raises(
        ValueError,
        match=r"(model.safetensors: .* by the settings in|model/)config.json|config\.json",
    ):
        load(model)


@pytest.mark.parametrize(
    "change_split",
    [lambda test: test.pop(), lambda test: test[0].update(label=test[-1]["label"])],
)
def test_a_split_that_was_changed(run: Path, change_split: Callable[[Any], Any]) -> None:
    values = json.loads((run / "split.json").read_text(encoding="utf-8"))
    change_split(values["test"])
    write_json(run / "split.json", values)
    for read in (RunRecord.read, evaluate):
        with pytest.raises(
            ValueError,
            match=r"split.json: damaged, or not the file that config.json was written with",
        ):
            read(run)


def test_a_run_without_its_settings(run: Path, squares: Path) -> None:
    (run / "config.json").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"run: no config.json, .* writes; restore it, or train again in another",
    ):
        evaluate(run)
    for make in (lambda: None, lambda: (run / "config.json").symlink_to(run / "nowhere")):
        make()
        for resume in (False, True):
            with pytest.raises(
                FileNotFoundError,
                match=r"run: a run without config.json; restore it, or choose a new",
            ):
                train_run(squares, run, MODEL, DATA, TINY, resume=resume, quiet=True)


def test_missing_training_clips_are_all_named(run: Path, tmp_path: Path) -> None:
    folder = moving_squares.make_set(tmp_path / "squares")
    change(run / "config.json", "clips", str(folder))
    gone = [clip.path for clip in RunRecord.read(run).split.training[:7]]
    for path in gone:
        path.unlink()
    with pytest.raises(
        ClipError, match=r"not found, like 6 more .*, …\); .* or train another run"
    ) as error:
        train_run(folder, run, MODEL, DATA, TINY, resume=True, quiet=True)
    assert error.value.path == gone[0]
    assert all(str(path) in error.value.found for path in gone[1:5])


def test_a_checkpoint_of_another_model_says_how_to_continue(run: Path, squares: Path) -> None:
    for name in ("hidden", "head_units"):
        change(run / "config.json", f"model.{name}", 12)
    with pytest.raises(
        ValueError,
        match=r"last.ckpt: not a checkpoint of this run .*; restore it, or remove .*",
    ) as e:
        train_run(squares, run, MODEL, DATA, TINY, resume=True, quiet=True)
    assert "\n" not in str(e.value)
    shutil.rmtree(run / "checkpoints")
    assert train_run(squares, run, MODEL, DATA, TINY, resume=True, quiet=True)["videos"] == 5


def test_a_run_is_resumed_and_evaluated_without_missing_test_clips(
    run: Path, squares: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(squares, tmp_path / "squares")
    change(run / "config.json", "clips", str(folder))
    split = RunRecord.read(run).split
    split.test[0].path.unlink()
    before = (run / "split.json").read_text(encoding="utf-8")
    for figures in (
        evaluate(run),
        train_run(folder, run, MODEL, DATA, TINY, resume=True, quiet=True),
    ):
        assert figures["videos"] == 4
        assert [Path(error["path"]) for error in figures["skipped"]] == [split.test[0].path]
    assert (run / "split.json").read_text(encoding="utf-8") == before
    for clip in split.test[1:]:
        clip.path.unlink()
    message = r"not found.*; the run was trained with it; give the folder"
    with pytest.raises(ClipError, match=message):
        evaluate(run)
    with pytest.raises(ClipError, match=message):
        train_run(folder, run, MODEL, DATA, TINY, resume=True, quiet=True)

"""Folders that somebody else made. Damaged and hostile models and runs: every error names the file
and the field. Names of any kind: not UTF-8, of 255 bytes, with control characters, formulas or
mathematical symbols.
"""

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import moving_squares
import pytest
from commands import call
from pages import self_contained

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.files import write_json
from onlooker.base.records import ClipError
from onlooker.data.split import Split
from onlooker.recognizer import load
from onlooker.run.evaluate import evaluate
from onlooker.run.record import RunRecord, read_curves, read_figures
from onlooker.run.results import distinct_names
from onlooker.run.train import train_run

MODEL = ModelConfig("convalstm", "conv4", hidden=8)
DATA = DataConfig(frames=4, size=16, channels=1)
TINY = TrainConfig(epochs=2, batch=8, precision="32")
DEEP: Any = [[[[]]]]


@pytest.fixture
def run(trained: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


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
        *("classes", "clips", "model", "data", "training", "set.classes", "set.divide"),
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
    [
        ("videos", "many"),
        ("classes", "ab"),
        ("accuracy", None),
        ("accuracy_interval", 0.5),
        ("confusion", [1, 2]),
        ("skipped.0", {"path": 3}),
        ("scenes", {"mixed": "much", "unseen": 0.5}),
        ("labels_to_check", [{"name": 3}]),
        ("events", 8),
        ("missing", ["Record"]),
        ("majority_share", ...),
    ],
)
def test_figures_that_cannot_be_used(run: Path, field: str, value: Any) -> None:
    values = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    write_json(run / "evaluation.json", values | {"skipped": [{}]})
    change(run / "evaluation.json", field, value)
    with pytest.raises(ValueError, match=r"evaluation.json: ") as caught:
        read_figures(run)
    assert str(caught.value).startswith(str(run))


def test_curves_without_epochs(run: Path) -> None:
    header, _ = (run / "curves.csv").read_text(encoding="utf-8").split("\n", 1)
    for text in (f"{header}\n", ""):
        (run / "curves.csv").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"curves.csv: no epochs in it; ") as caught:
            read_curves(run)
        assert str(caught.value).startswith(str(run))


def test_a_model_of_other_classes_than_its_run_is_not_evaluated(run: Path) -> None:
    record = run / "model" / "recognizer.json"
    classes = json.loads(record.read_text(encoding="utf-8"))["classes"]
    change(record, "classes", classes[::-1])
    message = f"the classes {', '.join(classes[::-1])}, config.json has {', '.join(classes)}; "
    with pytest.raises(ValueError, match=f"{message}restore the file") as caught:
        evaluate(run)
    assert str(caught.value).startswith(f"{record}: ")


@pytest.mark.parametrize("value", [None, 7, "one", [1]])
def test_notes_that_are_no_sentences(run: Path, value: Any) -> None:
    change(run / "config.json", "notes", value)
    with pytest.raises(ValueError, match=r"config.json: .*notes"):
        RunRecord.read(run)


def test_a_tier_that_is_no_name(run: Path) -> None:
    change(run / "split.json", "test.0.tier", 3)
    with pytest.raises(ValueError, match=r"split.json: .*tier"):
        RunRecord.read(run)


@pytest.mark.parametrize(
    ("field", "value"),
    [("hidden", 100_000), ("encoder", "vit_giant_patch14_224"), ("head_units", 10**8)],
)
def test_settings_of_a_giant_model_take_no_memory(run: Path, field: str, value: Any) -> None:
    change(run / "model" / "config.json", field, value)
    with pytest.raises(
        ValueError,
        match=r"(model.safetensors: .* by the settings in|model/)config.json|config\.json",
    ):
        load(run)


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
                train_run(
                    squares,
                    run,
                    Settings(MODEL, DATA, TINY),
                    resume=resume,
                    quiet=True,
                )


def test_missing_training_clips_are_all_named(run: Path, tmp_path: Path) -> None:
    folder = moving_squares.make_set(tmp_path / "squares")
    change(run / "config.json", "clips", str(folder))
    gone = [clip.path for clip in RunRecord.read(run).split.training[:7]]
    for path in gone:
        path.unlink()
    with pytest.raises(
        ClipError, match=r"not found, like 6 more .*, …\); .* or train another run"
    ) as error:
        train_run(folder, run, Settings(MODEL, DATA, TINY), resume=True, quiet=True)
    assert all(str(path) in str(error.value) for path in gone[:5])


def test_a_checkpoint_of_another_model_says_how_to_continue(run: Path, squares: Path) -> None:
    for name in ("hidden", "head_units"):
        change(run / "config.json", f"model.{name}", 12)
    with pytest.raises(
        ValueError,
        match=r"last.ckpt: not a checkpoint of this run .*; restore it, or remove .*",
    ) as e:
        train_run(squares, run, Settings(MODEL, DATA, TINY), resume=True, quiet=True)
    assert "\n" not in str(e.value)
    shutil.rmtree(run / "checkpoints")
    figures = train_run(squares, run, Settings(MODEL, DATA, TINY), resume=True, quiet=True)
    assert figures.videos == 5


def test_a_run_is_resumed_and_evaluated_without_missing_test_clips(
    run: Path, squares: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(squares, tmp_path / "squares")
    change(run / "config.json", "clips", str(folder))
    split = RunRecord.read(run).split
    split.test[0].path.unlink()
    before = (run / "split.json").read_text(encoding="utf-8")
    with pytest.raises(ClipError, match="no such file"):
        train_run(
            folder, run, Settings(MODEL, DATA, TINY), resume=True, strict=True, quiet=True
        )
    for figures in (
        evaluate(run),
        train_run(folder, run, Settings(MODEL, DATA, TINY), resume=True, quiet=True),
    ):
        assert figures.videos == 4
        assert [error.path for error in figures.skipped] == [split.test[0].path]
    assert (run / "split.json").read_text(encoding="utf-8") == before
    for clip in split.test[1:]:
        clip.path.unlink()
    message = r"not found.*; the run was trained with it; give the folder"
    with pytest.raises(ClipError, match=message):
        evaluate(run)
    with pytest.raises(ClipError, match=message):
        train_run(folder, run, Settings(MODEL, DATA, TINY), resume=True, quiet=True)


CLASSES = ["=cmd|' C calc'!A0", "$\\frac{$", "$a_b$", "esc\x1b[31m\nape"]
STEMS = [
    os.fsdecode(b"caf\xe9"),
    "a\x1b]0;title\x07",
    "new\nline",
    "l" * 250,
    "-+@",
    "[bold]$x$",
]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    squares = moving_squares.make_set(
        tmp_path_factory.mktemp("data") / "squares", clips=len(STEMS)
    )
    for name, way in zip(CLASSES, sorted(moving_squares.WAYS), strict=True):
        (squares / way).rename(squares / name)
        for number, stem in enumerate(STEMS):
            (squares / name / f"{number:02}.mp4").rename(squares / name / f"{stem}.mp4")
    return squares


@pytest.fixture(scope="module")
def named_run(named: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    train_run(named, run, Settings(MODEL, DATA, replace(TINY, epochs=1)), quiet=True)
    return run


def test_any_name_is_trained_on_and_reported(named: Path, named_run: Path) -> None:
    split = Split.from_dict(
        json.loads((named_run / "split.json").read_text(encoding="utf-8")), named
    )
    assert len(split.clips) == len(CLASSES) * len(STEMS)
    assert all(clip.path.exists() for clip in split.clips)
    self_contained(named_run / "report.html")
    with (named_run / "scores.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert any(cell.startswith("'=cmd") for cell in cells)
    labels = json.loads((named_run / "model" / "recognizer.json").read_text(encoding="utf-8"))[
        "classes"
    ]
    assert sorted(labels) == sorted(CLASSES)


def test_predictions_of_clips_with_any_name_are_safe_to_print(
    named: Path, named_run: Path, tmp_path: Path
) -> None:
    paths = [named / CLASSES[3] / f"{stem}.mp4" for stem in STEMS]
    output = call(
        "predict", named_run, *paths, "--json", tmp_path / "a.json", "--out", tmp_path / "out"
    ).output
    assert not set(output) & {"\x1b", "\x07", *map(chr, range(0x80, 0xA0))}
    assert "[bold]$x$.mp4" in output.replace("\n", "")
    lines = (tmp_path / "a.json").read_text(encoding="utf-8").splitlines()
    assert [Path(json.loads(line)["path"]) for line in lines] == paths
    assert len(list((tmp_path / "out").glob("*.mp4"))) == len(STEMS)


def test_a_clip_that_cannot_be_read_or_written_does_not_affect_others(
    named: Path, named_run: Path, tmp_path: Path
) -> None:
    good = named / CLASSES[0] / "-+@.mp4"
    long = tmp_path / ("l" * 300 + ".mp4")
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    (tmp_path / "drawn" / f"{long.stem}.mp4").parent.mkdir()
    words = ["--json", tmp_path / "a.json", "--out", tmp_path / "drawn"]
    result = call("predict", named_run, long, loop, good, *words, ok=False)
    assert "-+@.mp4" in result.stdout.replace("\n", "")
    assert result.stderr.count("error: ") == 2
    assert Path(json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["path"]) == good
    assert (tmp_path / "drawn" / "-+@.json").exists()


def test_names_for_results_fit_a_file_system(tmp_path: Path) -> None:
    paths = [
        tmp_path / ("ü" * 120) / f"{'x' * 200}{number}" / "clip.mp4" for number in range(2)
    ]
    paths += [tmp_path / "a" / f"{'y' * 240}{number}.mp4" for number in range(2)]
    names = distinct_names(paths)
    assert len(set(names)) == 4
    assert max(len(os.fsencode(name)) for name in names) <= 200
    assert distinct_names([tmp_path / "a" / "clip.mp4"]) == ["clip"]

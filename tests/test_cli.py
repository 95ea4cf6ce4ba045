"""The commands on a tiny set of clips, from training to export, one-line errors, and TensorBoard's
curves.
"""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import moving_squares
import pytest
from clips import find_clips
from commands import SAMPLE, TINY, call, fails
from pages import self_contained
from typer.testing import CliRunner

import onlooker
from onlooker.base.files import read_json
from onlooker.cli import app
from onlooker.cli import train as commands
from onlooker.data import stick_figures
from onlooker.data.split import make_splits
from onlooker.data.stick_figures import write_set
from onlooker.recognizer import load
from onlooker.report.summary import advice, first_line
from onlooker.run import train as runs
from onlooker.run.record import RunRecord, read_curves, read_figures
from onlooker.training import encoders, tensorboard

COMMANDS = (
    "reproduce",
    "generate",
    "demo",
    "train",
    "evaluate",
    "predict",
    "compare",
    "export",
    "watch",
    "models",
)
Trained = tuple[Path, str]
CHECK = "onlooker.run.check.check"
KEYS = {
    "videos",
    "frames",
    "classes",
    "recordings",
    "accuracy",
    "accuracy_interval",
    "mean_confidence",
    "frame_accuracy",
    "class_accuracy",
    "log_loss",
    "calibration_error",
    "majority_share",
    "confusion",
    "skipped",
    "perfect_calibration_error",
    "known_scenes",
}


def test_help_has_what_people_need_first_and_the_rest_under_headings() -> None:
    short = call("train", "--help").output
    assert all(words in short for words in ("--encoder", "rgb|flow|both", "--help-all"))
    assert "--hflip" not in short
    for command in ("train", "serve", "predict", "models", "demo"):
        assert "--help-all" in call(command, "--help").output
        assert "Usage" in call(command, "--help-all").output
    assert "--epochs" not in short, "the default model has no epochs"
    every = call("train", "--help-all").output
    first, others = every.split(" Gradient descent: augmentation of training clips ")
    assert "--encoder" in first
    assert all(
        words in others for words in ("--hflip", "--no-hflip", "Mirror half of the clips")
    )
    of_gradient = re.search(r"─ Gradient descent ─.*?╰", every, re.DOTALL)
    assert of_gradient is not None
    assert all(flag in of_gradient[0] for flag in ("--epochs", "--lr", "--batch"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("burnt\n twice"), "error: burnt twice"),
        (
            OSError(errno.EACCES, os.strerror(errno.EACCES), "a/loaf"),
            "error: a/loaf: permission denied; check the path, or choose another",
        ),
    ],
)
def test_an_error_is_one_line_unless_it_is_a_bug(
    error: Exception, said: str, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHECK, Mock(side_effect=error))
    assert fails("check", squares) == said
    monkeypatch.setattr(CHECK, Mock(side_effect=KeyError("bug")))
    with pytest.raises(KeyError, match="bug"):
        call("check", squares)


def test_an_error_that_an_interrupt_causes_is_not_reported(
    squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_a_lock(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("release unlocked lock") from None

    monkeypatch.setattr(CHECK, break_a_lock)
    result = call("check", squares, ok=False)
    assert result.exit_code == 130
    assert result.stderr.strip() == "stopped; run the same command to continue"


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("cp1252", ("export", "--help")), ("ascii", ("predict", "run", "클립.mp4"))],
)
def test_characters_that_the_terminal_cannot_show_are_no_error(
    encoding: str, words: tuple[str, ...]
) -> None:
    command = [str(Path(sys.executable).with_name("onlooker")), *words]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert b"Traceback" not in done.stderr
    assert done.returncode == (0 if "--help" in words else 1)
    assert (b"Usage" in done.stdout) == ("--help" in words)


def test_evaluating_again_gives_the_same_and_other_clips_have_a_report_of_their_own(
    trained: Trained, tmp_path: Path
) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    before = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").unlink()
    call("evaluate", run)
    assert (run / "evaluation.json").read_bytes() == before
    other = moving_squares.make_set(tmp_path / "others", clips=2, seed=1)
    assert " of 8 clips right" in call("evaluate", run, other).output
    assert (run / "evaluation-others" / "report.html").exists()
    assert (run / "evaluation.json").read_bytes() == before
    (other / "left").rename(other / "sideways")
    message = "classes sideways; the model knows down, left, right, up"
    assert message in fails("evaluate", run, other)


@pytest.mark.parametrize("command", [*COMMANDS, "check", "serve"])
def test_every_command_has_help(command: str) -> None:
    assert "Usage" in call(command, "--help").output


def test_models_and_encoders_are_listed() -> None:
    text = " ".join(call("models").output.replace("│", " ").split())
    for words in (
        "convalstm",
        "Li et al. 2016",
        "images of ImageNet",
        "--encoder resnet18 --pretrained",
    ):
        assert words in text


def test_a_run_is_not_overwritten_but_can_continue(
    trained: Trained, squares: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    message = fails("train", squares, "--run", run, *SAMPLE)
    assert (
        f"{run}: holds a run already; choose another --run, also to train with new clips; or continue an"
        in message
    )
    before = (run / "evaluation.json").read_bytes()
    shutil.rmtree(run / "model")
    (run / "evaluation.json").unlink()
    resumed = ["train", squares, "--run", run, "--resume"]
    message = fails(
        *resumed,
        "--epochs",
        9,
        "--model",
        "convnet",
        "--size",
        16,
        "--patience",
        0,
        "--lr",
        0.5,
    )
    assert (
        "model is convnet, the run has convalstm; epochs is 9, the run has 2; lr is 0.5, the run has 0.001: a"
        in message
    )
    assert "size" not in message
    message = fails(*resumed, "--classes", "left,right", "--no-scenes")
    assert (
        "classes is left,right, the run has ; scenes is False, the run has True: a" in message
    )
    call(*resumed, "--epochs", 2, "--normalization", "auto")
    assert (run / "evaluation.json").read_bytes() == before
    assert RunRecord.read(run).settings.model.name == "convalstm"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "train {tmp}/nowhere",
            "nowhere: no such folder; give a folder with one sub-folder per class",
        ),
        ("train {tmp}", "0 sub-folders; expected at least 2, each with the clips of one class"),
        (
            "train {squares} --run {tmp}/r --size 4",
            "size is 4, expected at least 8 and at most 4096. Height",
        ),
        (
            "train {squares} --run {tmp}/r --model magic",
            "unknown model 'magic'; there are linear",
        ),
        (
            "train {squares} --run {tmp}/r --encoder magic",
            "unknown encoder 'magic'; there are conv4",
        ),
        (
            "train {squares} --run {tmp}/r --model motion --modality rgb",
            "motion takes RGB and optical flow, and modality",
        ),
        ("train {squares} --run {tmp}/r --folds 1", "folds is 1, expected at least 2"),
        (
            "train {squares} --run {tmp}/r --folds 2 --strict --tensorboard",
            "--strict, --tensorboard and --background cannot be used with --folds; leave them out",
        ),
        (
            "train {squares} --run {tmp}/r --features --hflip --model lstm",
            "hflip has no effect with features; leave it out",
        ),
        ("train {squares} --run {tmp}/r --resume", "r: no run to resume; check --run"),
        (
            "train {squares} --run {tmp}/r --folds 2 --resume",
            "r: no cross-validation to resume; check --run",
        ),
        (
            "train {squares} --run {squares}",
            "holds files that are not a run's; choose a new folder",
        ),
        (
            "evaluate {run} {squares}/..",
            "squares; give that one, if its folders are the classes",
        ),
        (
            "evaluate {run} --classes a --divide",
            "--classes and --divide have no effect without",
        ),
        ("evaluate {run} {squares} --no-scenes", "--scenes has no effect in evaluate; leave"),
        (
            "evaluate {run} --recordings {tmp}/a.csv --divide",
            "--divide has no effect on events",
        ),
        (
            "evaluate {tmp}/nowhere",
            "nowhere: no such folder; expected one that `onlooker train` has finished",
        ),
        ("evaluate {run}/model", "model: no split.json, expected what `onlooker train` writes"),
        (
            "predict {tmp} a.mp4",
            "the folder holds no trained model; expected one that `onlooker train`",
        ),
        ("predict {run} a.mp4", "a.mp4: no such file; check the path"),
        (
            "predict {run}/config.json a.mp4",
            "config.json: a file, not a folder; expected one that `onlooker",
        ),
        (
            "predict {run} a.mp4 --threshold 1.5",
            "threshold is 1.5, expected at least 0 and at most 1, such as 0.8 for 80 %",
        ),
        (
            "predict {run} https://host/a.mp4",
            "https:/host/a.mp4: an address, not a file; download it",
        ),
        (
            "train {squares} --run {run}/config.json",
            "config.json: a file is in its place; choose another",
        ),
    ],
)
def test_errors_are_one_line(
    trained: Trained, squares: Path, tmp_path: Path, command: str, message: str
) -> None:
    given = [
        word.format(tmp=tmp_path, squares=squares, run=trained[0]) for word in command.split()
    ]
    assert message in fails(*given)


def test_a_threshold_is_checked_before_anything_is_printed(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    words = ["predict", str(trained[0]), "a.mp4", "--threshold", "80"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert result.output == (
        "error: threshold is 80, expected at least 0 and at most 1, such as 0.8 for 80 %\n"
    )


def test_a_refused_training_leaves_no_folder(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for clips, encoder in ((tmp_path / "nowhere", "conv4"), (squares, "conv44")):
        fails("train", clips, "--encoder", encoder, "--run", run)
        assert not run.exists()
    run.mkdir()
    fails("train", tmp_path / "nowhere", "--run", run)
    assert run.exists(), "it was there before"


def test_generated_folders_can_be_read_as_clips(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    said = call("generate", "figures", folder, "--clips", 1, "--seed", 3).output
    assert f"onlooker train {folder}" in said.replace("\n", "")
    clips = find_clips(folder)
    assert len(clips) == len({clip.label for clip in clips}) == 11
    assert all(clip.recording for clip in clips)
    assert read_json(folder / "truth.json")["seed"] == 3


def test_cross_validation_ends_with_a_final_model_of_all_clips(
    squares: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [
        "train",
        squares,
        "--run",
        run,
        "--model",
        "convnet",
        "--folds",
        2,
        "--patience",
        0,
        *TINY,
    ]
    assert f"final model, trained without a test split: {run / 'final'}" in call(*words).output
    split = RunRecord.read(run / "final").split
    assert len(split.training) + len(split.validation) == len(find_clips(squares))
    assert not split.test
    clip = find_clips(squares)[0].path
    assert clip.name in call("predict", run, clip).output
    assert f"final model, trained without a test split: {run / 'final'}" in call(*words).output
    assert "trained without a test split; name new clips" in fails("evaluate", run)
    assert "was trained on all of these clips" in fails("evaluate", run, squares)
    known = shutil.copytree(squares, tmp_path / "known")
    (known / "left" / "broken.mp4").write_text("no video")
    said = fails("evaluate", run, known)
    count = len(find_clips(squares))
    assert (
        f"known: the model was trained on {count} of these clips, and the other 1 cannot be read"
        in said
    )
    assert "holds a run of one split; choose another folder" in fails(
        *words[:2], "--run", run / "final", *words[4:]
    )


def test_comparing_models(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "compared"
    words = ["compare", squares, "--models", "convnet, lstm", "--seeds", 1, "--run", run]
    words += ["--folds", 0]
    result = call(*words, *TINY)
    figures = read_json(run / "comparison.json")
    assert list(figures["accuracy"]) == ["convnet", "lstm", "linear"]
    page = (run / "report.html").read_text(encoding="utf-8")
    for name in figures["accuracy"]:
        assert f">{name}</td>" in page
    rows = [
        [cell.strip() for cell in line.split("│")]
        for line in result.output.splitlines()
        if "│" in line
    ]
    accuracies = {"majority class": figures["majority"], **figures["accuracy"]}
    total = figures["test_videos"]
    assert [row[1:3] for row in rows] == [
        [name, f"{round(accuracy * total)} of {total} ({100 * accuracy:.0f} %)"]
        for name, accuracy in accuracies.items()
    ]
    assert "other settings (training.epochs); choose" in fails(*words, *TINY, "--epochs", 3)


def test_few_clips_are_cross_validated_by_compare_too(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Mock()
    monkeypatch.setattr("onlooker.run.compare.compare", compare)
    monkeypatch.setattr("onlooker.cli.train._print_comparison", Mock())
    clips = find_clips(squares)

    def asked(*options: object) -> tuple[list[str], list[int]]:
        call("compare", squares, "--run", tmp_path, *options)
        given = compare.call_args.kwargs
        return [*given["splits"](clips)], [*given["seeds"]]

    folds = [f"fold{i}" for i in range(5)]
    assert asked() == (folds, [0])
    assert asked("--seeds", 2) == (folds, [0, 1])
    assert asked("--folds", 2) == (folds[:2], [0, 1, 2])
    assert asked("--folds", 0) == (["split"], [0, 1, 2])
    assert [*make_splits([clip for clip in clips if clip.path.stem < "04"], None)] == folds[:4]
    monkeypatch.setattr("onlooker.data.split.FEW_CLIPS", 24)
    assert asked() == (["split"], [0, 1, 2])


def test_clips_of_a_list_that_are_missing_are_named(squares: Path, tmp_path: Path) -> None:
    clips = find_clips(squares)
    rows = [
        f"{clip.path},{clip.label},{'val' if clip.path.stem < '02' else 'train'}"
        for clip in clips
    ]
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(["path,label,split", "arm_0.mp4,left,train", *rows]))
    run = tmp_path / "run"
    words = ("train", listed, *TINY, "--epochs", 1, "--model", "alstm")
    result = call(*words, "--run", run)
    (left_out,) = (line for line in result.stderr.splitlines() if line.startswith("left out"))
    assert "arm_0.mp4: not found (line 2 of" in left_out
    assert "not found (line" in (run / "report.html").read_text(encoding="utf-8")
    assert "not found (line" in fails(*words, "--run", tmp_path / "strict", "--strict")
    # The run goes on and is evaluated with the list, wherever the commands are run.
    before = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").unlink()
    call("train", listed, "--run", run, "--resume")
    assert (run / "evaluation.json").read_bytes() == before
    assert "of 8 clips right" in call("evaluate", run).output


def test_the_demo_trains_once_and_writes_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "demo"
    clips = tmp_path / "demo-clips"
    monkeypatch.setattr(commands, "DEMO_ACTIONS", ("jump", "walk"))
    monkeypatch.setattr(commands, "DEMO_CLIPS", 3)
    figures = stick_figures.StickFigures(frames=24, size=(72, 96))
    monkeypatch.setattr(stick_figures, "write_set", partial(write_set, figures=figures))
    monkeypatch.setattr(encoders, "LEAST_SIDE", 1000)  # which is faster
    with monkeypatch.context() as patch:
        patch.setattr(runs, "train_run", Mock(side_effect=KeyboardInterrupt))
        assert (
            "stopped; run the same command to continue"
            in call("demo", "--run", run, ok=False).stderr
        )
    clip = clips / "jump" / "000.mp4"
    written = clip.stat().st_mtime_ns
    output = call("demo", "--run", run).output
    assert f"clips: {clips}; classify one: onlooker predict {run} " in output.replace("\n", "")
    assert clip.stat().st_mtime_ns == written
    measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert measured["videos"] == 6
    assert measured["cross_validated"]
    assert "encoder: small, by the size of the clips" in " ".join(output.split())
    assert (run / "report.html").exists()
    assert load(run).classes == ("jump", "walk")
    monkeypatch.setattr(runs, "train_run", Mock(side_effect=AssertionError("trains again")))
    assert "report: " in call("demo", "--run", run).output


def test_training_prints_the_accuracy_and_writes_a_self_contained_report(
    trained: Trained,
) -> None:
    run, output = trained
    assert f"report: {run / 'report.html'}" in output
    measured = read_json(run / "evaluation.json")
    figures = read_figures(run)
    assert f"test: {first_line(figures).text}\n" in output
    assert all(f"  - {step}\n" in output for step in advice(figures))
    assert set(measured) == KEYS
    test = RunRecord.read(run).split.test
    assert (measured["videos"], measured["frames"]) == (len(test), 4 * len(test))
    assert measured["classes"] == sorted(moving_squares.WAYS)
    elements = self_contained(run / "report.html")
    assert elements["video"] == measured["videos"]
    assert elements["img"] == 1, "the curves"
    title = f"<h1>squares: 4 classes, {len(test)} test clips</h1>"
    assert title in (run / "report.html").read_text(encoding="utf-8")
    assert (
        len((run / "scores.csv").read_text(encoding="utf-8").splitlines())
        == 1 + measured["videos"]
    )
    assert not list(run.rglob("*.part*"))
    recognizer = onlooker.load(run)
    right = sum(recognizer.predict(clip.path).label == clip.label for clip in test)
    assert right == round(measured["accuracy"] * measured["videos"])


BY_GRADIENT = ["--model", "convalstm", "--hidden", 4, *TINY]


def test_curves_and_figures_are_logged(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Mock()
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: True)
    monkeypatch.setattr("onlooker.run.train.open_writer", lambda *_: writer)
    run = tmp_path / "run"
    call("train", squares, "--run", run, *BY_GRADIENT, "--tensorboard")
    curves = read_curves(run)
    figures = read_figures(run)
    ((name, text),) = [shown.args for shown in writer.add_text.call_args_list]
    assert name == "settings"
    assert json.loads(text) == RunRecord.read(run).settings.to_dict()
    logged = defaultdict[str, dict[int, float]](dict)
    for logging in writer.add_scalar.call_args_list:
        name, value, step = logging.args
        logged[name][step] = value
    assert logged["test_accuracy"] == {0: figures.accuracy}
    assert logged["test_log_loss"] == {0: figures.log_loss}
    assert logged["validation_loss"] == dict(enumerate(curves["validation"]["loss"], 1))
    assert logged["training_accuracy"] == dict(enumerate(curves["training"]["accuracy"], 1))


def test_the_writer_is_that_of_pytorch(tmp_path: Path) -> None:
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard"
    )
    writer = tensorboard.open_writer(tmp_path)
    tensorboard.show_settings(writer, {"lr": 0.1})
    tensorboard.log(writer, "training", {"loss": 0.5, "name": "text"}, step=1)
    events = accumulators.EventAccumulator(str(tmp_path / "logs" / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("training_loss")] == [0.5]


def test_a_missing_package_is_named_before_anything_is_written(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    message = fails("train", squares, "--run", tmp_path / "run", "--tensorboard")
    assert message == 'error: tensorboard is not installed; pip install "onlooker[tensorboard]"'
    assert not any(tmp_path.iterdir())

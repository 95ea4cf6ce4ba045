"""The commands on a tiny set of clips, from training to export, and one-line errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import clips as painted
import moving_squares
import pytest
from clips import find_clips
from commands import SAMPLE, TINY, call, fails

from onlooker.report.summary import advice, first_line
from onlooker.video.reader import read

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


def test_help_is_fast() -> None:
    # Beside what every command line of typer with entry points imports: other work on the machine
    # slows down both.
    imports = [sys.executable, "-c", "import typer.rich_utils, importlib.metadata"]
    commands = {
        "help": [str(Path(sys.executable).with_name("onlooker")), "--help"],
        "imports": imports,
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(5):
        for name, command in commands.items():
            before = os.times()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            after = os.times()
            seconds[name].append(
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
            assert name == "imports" or all(each in done.stdout for each in COMMANDS)
    # 0.5 s where the imports take 0.3 s
    assert min(seconds["help"]) < 1.9 * min(seconds["imports"]), seconds


def test_a_mistyped_command_or_option_gets_a_suggestion() -> None:
    assert "Did you mean 'train'" in call("trian", ok=False).stderr
    assert "--epochs" in call("train", "clips", "--epoch", "3", ok=False).stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("words", [("export", "--help"), ("predict", "run", "클립.mp4")])
def test_characters_that_the_terminal_cannot_show_are_no_error(
    encoding: str, words: tuple[str, ...]
) -> None:
    command = [str(Path(sys.executable).with_name("onlooker")), *words]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert b"Traceback" not in done.stderr
    assert done.returncode == (0 if "--help" in words else 1)
    assert (b"Usage" in done.stdout) == ("--help" in words)


def test_choices_are_completed_in_the_shell() -> None:
    environment = {
        **os.environ,
        "_ONLOOKER_COMPLETE": "complete_bash",
        "COMP_WORDS": "onlooker train clips --modality ",
        "COMP_CWORD": "4",
    }
    command = [str(Path(sys.executable).with_name("onlooker"))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["rgb", "flow", "both"]


@pytest.mark.parametrize("command", [*COMMANDS, "check", "serve"])
def test_every_command_has_help(command: str) -> None:
    result = call(command, "--help")
    assert "Usage" in result.output


def test_models_and_encoders_are_listed() -> None:
    output = call("models").output
    assert "convalstm" in output
    assert "Li et al. 2016" in output
    text = " ".join(output.replace("│", " ").split())
    assert "images of ImageNet" in text
    assert "--encoder resnet18 --pretrained" in text


def test_training_prints_the_accuracy_and_writes_a_run(trained: Trained) -> None:
    run, output = trained
    assert f"report: {run / 'report.html'}" in output
    measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert f"test: {first_line(measured)}\n" in output
    assert all(f"  - {step}\n" in output for step in advice(measured))
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config["model"]["name"] == "convalstm"
    assert (config["model"]["hidden"], config["data"]["size"], config["training"]["epochs"]) == (
        8,
        16,
        2,
    )


def test_evaluating_again_gives_the_same(trained: Trained, squares: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    before = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").unlink()
    call("evaluate", run)
    assert (run / "evaluation.json").read_bytes() == before
    other = moving_squares.make_set(tmp_path / "others", clips=2, seed=1)
    output = call("evaluate", run, "--clips", other).output
    assert " of 8 (" in output
    assert (run / "evaluation-others" / "report.html").exists()
    assert (run / "evaluation.json").read_bytes() == before
    (other / "left").rename(other / "sideways")
    assert "classes sideways; the model knows down, left, right, up" in fails(
        "evaluate", run, "--clips", other
    )


def test_predicting_one_clip(trained: Trained, squares: Path, tmp_path: Path) -> None:
    path = squares / "left" / "00.mp4"
    out = tmp_path / "a" / "scores.json"
    drawn = tmp_path / "b" / "00.mp4"
    output = call("predict", trained[0], path, "--json", out, "--out", drawn.parent).output
    clip = json.loads(out.read_text(encoding="utf-8"))
    assert clip["path"] == str(path)
    assert clip["label"] == max(clip["scores"], key=clip["scores"].get)
    assert sum(clip["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert clip["indices"] == [1, 4, 7, 10]
    assert [len(clip[key]) for key in ("times", "frame_scores", "attention")] == [4, 4, 4]
    for tube in clip["tubes"]:
        assert tube["label"] in clip["scores"]
        assert len(tube["frames"]) == len(tube["boxes"]) > 0
    assert {segment["label"] for segment in clip["segments"]} <= set(clip["scores"])
    assert clip["label"] in output
    assert f"{100 * clip['score']:.0f} %" in output
    assert len(painted.all_frames(drawn)[0]) == 12


def test_broken_clips_are_named_and_others_predicted(
    trained: Trained, squares: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    good = [squares / way / "00.mp4" for way in moving_squares.WAYS]
    result = call(
        "predict",
        trained[0],
        *good,
        broken,
        "--out",
        tmp_path / "seen",
        "--json",
        tmp_path / "a.json",
        ok=False,
    )
    assert result.exit_code == 1
    assert f"error: {broken}: zero bytes; copy or record it again, or remove it" in result.stderr
    lines = (tmp_path / "a.json").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["path"] for line in lines] == [str(path) for path in good]
    # All are called 00.mp4, and none is drawn over another.
    files = {
        f"{way}-00{end}"
        for way in moving_squares.WAYS
        for end in (".mp4", ".json", "-segments.json")
    }
    assert {path.name for path in (tmp_path / "seen").iterdir()} == files


def test_features_are_computed_once_to_train(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    folder = Path(shutil.copytree(squares, tmp_path / "squares"))
    run = tmp_path / "run"
    (folder / "up" / "broken.mp4").write_bytes(b"")
    model = ["--model", "convalstm", "--hidden", 8]
    train = ["train", folder, "--features", "--run", run, "--encoder", "conv4", *SAMPLE, *model]
    assert "--hflip has no effect with --features; leave it out" in fails(*train, "--hflip")
    assert "frozen is false, and the encoder of stored features is; leave out --no-frozen" in fails(
        *train, "--no-frozen"
    )
    assert "--strict and --tensorboard cannot be used with --folds; leave them out" in fails(
        *train, "--folds", 2, "--strict"
    )
    result = call(*train, "--epochs", 2)
    assert "broken.mp4: zero bytes" in result.stderr
    assert f"report: {run / 'report.html'}" in result.output
    assert "00.mp4" in call("predict", run, folder / "left" / "00.mp4").output


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
        *resumed, "--epochs", 9, "--model", "convnet", "--size", 16, "--patience", 0, "--lr", 0.5
    )
    assert (
        "--model is convnet, the run has convalstm; --epochs is 9, the run has 2; --lr is 0.5, the run has 0.001: a"
        in message
    )
    assert "--size" not in message
    call(*resumed, "--epochs", 2, "--normalization", "auto")
    assert (run / "evaluation.json").read_bytes() == before
    assert (
        json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]["name"]
        == "convalstm"
    )


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
        ("train {squares} --run {tmp}/r --model magic", "unknown model 'magic'; there are linear"),
        (
            "train {squares} --run {tmp}/r --encoder magic",
            "unknown encoder 'magic'; there are conv4",
        ),
        (
            "train {squares} --run {tmp}/r --model motion --modality rgb",
            "motion takes RGB and optical flow, and modality",
        ),
        ("train {squares} --run {tmp}/r --folds 1", "folds is 1, expected at least 2"),
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
            "evaluate {run} --clips {squares}/..",
            "squares; give that one, if its folders are the classes",
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
    given = [word.format(tmp=tmp_path, squares=squares, run=trained[0]) for word in command.split()]
    assert message in fails(*given)


def test_generated_folders_can_be_read_as_clips(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    said = call("generate", "figures", folder, "--clips", 1, "--seed", 3).output
    assert f"onlooker train {folder}" in said.replace("\n", "")
    clips = find_clips(folder)
    assert len(clips) == len({clip.label for clip in clips}) == 11
    assert all(clip.recording for clip in clips)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert truth["seed"] == 3
    for clip in clips:
        facts = truth["clips"][clip.path.relative_to(folder).as_posix()]
        first, last = facts["event"]
        assert 0 <= first < last < len(facts["boxes"])
        assert read(clip.path, 100).indices[-1] == len(facts["boxes"]) - 1
    assert "not an empty folder" in fails("generate", "figures", folder)


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
    said = call(*words).output
    assert f"final model, trained without a test split: {run / 'final'}" in said
    split = json.loads((run / "final" / "split.json").read_text(encoding="utf-8"))
    assert len(split["training"]) + len(split["validation"]) == len(find_clips(squares))
    assert not split["test"]
    clip = find_clips(squares)[0].path
    assert clip.name in call("predict", run, clip).output
    assert f"final model, trained without a test split: {run / 'final'}" in call(*words).output
    assert "trained without a test split; give new clips with --clips" in fails("evaluate", run)
    assert "was trained on all of these clips" in fails("evaluate", run, "--clips", squares)
    assert "holds a run of one split; choose another folder" in fails(
        *words[:2], "--run", run / "final", *words[4:]
    )


def test_comparing_models(squares: Path, tmp_path: Path) -> None:
    words = [
        "compare",
        squares,
        "--models",
        "convnet, lstm",
        "--seeds",
        1,
        "--run",
        tmp_path / "compared",
        "--jobs",
        2,
    ]
    result = call(*words, *TINY)
    assert "majority class" in result.output
    figures = json.loads((tmp_path / "compared" / "comparison.json").read_text(encoding="utf-8"))
    assert list(figures["accuracy"]) == ["convnet", "lstm", "linear"]
    assert all(
        (tmp_path / "compared" / name / "split-seed0" / "report.html").exists()
        for name in figures["accuracy"]
    )
    page = (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    assert all(f">{name}</td>" in page for name in figures["accuracy"])
    rows = [
        [cell.strip() for cell in line.split("│")]
        for line in result.output.splitlines()
        if "│" in line
    ]
    percent = {name: f"{100 * accuracy:.1f} %" for name, accuracy in figures["accuracy"].items()}
    assert [row[1:3] for row in rows] == [
        ["majority class", f"{100 * figures['majority']:.1f} %"],
        *([name, share] for name, share in percent.items()),
    ]
    message = fails(*words, *TINY, "--epochs", 3)
    assert (
        "made with other settings (training.epochs); choose another --run, or remove all" in message
    )


def test_unreadable_clips_are_named_when_training(squares: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(squares, tmp_path / "squares")
    (folder / "up" / "00.mp4").write_text("text", encoding="utf-8")
    result = call("train", folder, "--run", tmp_path / "run", "--model", "convnet", *TINY)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("left out")]
    assert line.startswith(f"left out: {folder / 'up' / '00.mp4'}: not a video file")
    assert "; encode it again" in line
    message = fails(
        "train", folder, "--run", tmp_path / "strict", "--strict", "--model", "convnet", *TINY
    )
    assert "00.mp4: not a video file" in message
    # Nothing was learned yet: after mending the folder the same command works.
    (folder / "up" / "00.mp4").unlink()
    call("train", folder, "--run", tmp_path / "strict", "--strict", "--model", "convnet", *TINY)

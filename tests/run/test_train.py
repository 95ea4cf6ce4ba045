"""`onlooker train`: other files are not touched, training clips are not tested on, and runs are
resumed.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import moving_squares
import pytest
from commands import fails
from kills import killed_in

import onlooker
from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.files import NotWritableError, read_json, write_json
from onlooker.base.progress import progress_bar, reporting, showing, tracked
from onlooker.base.records import ClipError, Evaluation
from onlooker.data.clips import read_clips
from onlooker.data.sets import read_set
from onlooker.measure.figures import Figures
from onlooker.measure.metrics import fit_temperature
from onlooker.recognizer import load
from onlooker.report.page import Page
from onlooker.report.summary import first_line
from onlooker.run import evaluate as evaluate_module
from onlooker.run import preparation
from onlooker.run import record as folder_module
from onlooker.run import train as clips_module
from onlooker.run.evaluate import evaluate
from onlooker.run.record import RunRecord, lock_run
from onlooker.run.train import train_final, train_run
from onlooker.training import gradient
from onlooker.training.fitters import complete

DATA = DataConfig(frames=3, size=16, channels=1)
TINY = TrainConfig(epochs=1, batch=8, precision="32")
MODEL = ModelConfig("convnet", "conv4")
STATED = replace(DATA, normalization="half"), replace(TINY, loss="every")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train_run(squares, folder, Settings(MODEL, DATA, TINY), quiet=True)
    return folder


def test_the_report_of_a_training_needs_no_file_of_it(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate_module.summary_page
    shown = list[Any]()

    def recorded(figures: Figures, evaluation: Evaluation, **content: Any) -> Page:
        shown.append(content["curves"])
        return whole(figures, evaluation, **content)

    monkeypatch.setattr(evaluate_module, "summary_page", recorded)
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        for name in ("curves", "scenes"):
            patched.setattr(evaluate_module, f"read_{name}", Mock(side_effect=AssertionError))
        figures = train_run(squares, folder, Settings(MODEL, DATA, TINY), quiet=True)
    assert figures is not None
    assert figures.known_scenes is not None
    assert evaluate(folder) == figures
    trained, evaluated = shown
    assert trained == evaluated
    assert len(evaluated["training"]["loss"]) == 1


def test_the_temperature_is_chosen_on_validation_clips_if_there_are_enough(
    run: Path, tmp_path: Path
) -> None:
    assert load(run).decision.temperature == 1  # of 4 validation clips nothing can be said
    squares = moving_squares.make_set(tmp_path / "squares", clips=20)
    measured = train_run(squares, tmp_path / "run", Settings(MODEL, DATA, TINY), quiet=True)
    recognizer = load(tmp_path / "run")
    record = RunRecord.read(tmp_path / "run")
    chosen = recognizer.decision.temperature
    recognizer.decision = replace(recognizer.decision, temperature=1.0)
    samples, _ = read_clips(record.split.validation, recognizer.classes, recognizer.data)
    evaluation = recognizer.evaluate(samples)
    assert (
        chosen
        == pytest.approx(fit_temperature(evaluation.frame_scores, evaluation.targets), rel=1e-3)
        != 1
    )
    assert evaluate(tmp_path / "run") == measured  # with the stored temperature


def test_a_clip_that_was_removed_during_training_leaves_the_temperature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squares = moving_squares.make_set(tmp_path / "squares", clips=20)
    gone = ClipError("a.mp4", "removed while the model was trained", "restore it")
    monkeypatch.setattr(gradient, "fit_temperature", Mock(side_effect=gone))
    train_run(squares, tmp_path / "run", Settings(MODEL, DATA, TINY), quiet=True)
    assert load(tmp_path / "run").decision.temperature == 1


def test_a_run_that_was_killed_while_reporting_ends_as_others(tmp_path: Path) -> None:
    folder = moving_squares.make_set(tmp_path / "squares", clips=4)
    for label in ("left", "up"):
        (folder / label / f"broken-{label}.mp4").write_bytes(b"")
    with killed_in(clips_module, "write_report"):
        train_run(folder, tmp_path / "run", Settings(MODEL, DATA, TINY), quiet=True)
    others = replace(TINY, epochs=9)  # which the run does not have
    figures = train_run(
        folder,
        tmp_path / "run",
        Settings(MODEL, DATA, others),
        resume=True,
        quiet=True,
    )
    other = train_run(folder, tmp_path / "other", Settings(MODEL, DATA, TINY), quiet=True)
    assert figures == other
    assert [error.path.name for error in figures.skipped] == [
        "broken-left.mp4",
        "broken-up.mp4",
    ]


def test_a_run_that_was_moved_without_its_clips_is_evaluated_on_others_of_one_class(
    run: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    config = read_json(moved / "config.json")
    write_json(moved / "config.json", {**config, "clips": str(tmp_path / "gone")})
    new = moving_squares.make_set(tmp_path / "new", clips=2, seed=7)
    for other in ("down", "left", "right"):
        shutil.rmtree(new / other)
    assert load(moved).predict(new / "up" / "00.mp4").scores.shape == (4,)
    assert evaluate(moved, new)["videos"] == 2


def test_a_run_that_cannot_be_written_to_is_noticed_before_clips_are_read(
    run: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(folder: Path, remedy: str) -> None:
        raise NotWritableError(
            f"{folder}: cannot be written to (Read-only file system); {remedy}"
        )

    for module in (preparation, evaluate_module):
        monkeypatch.setattr(
            module, "read_clips", Mock(side_effect=AssertionError("reads clips"))
        )
    for module in (folder_module, evaluate_module):
        monkeypatch.setattr(module, "check_writable", refuses)
    with pytest.raises(
        NotWritableError,
        match=r"new: cannot be written to \(.*\); choose another folder with --run",
    ):
        train_run(squares, tmp_path / "new", Settings(MODEL, DATA, TINY), quiet=True)
    with pytest.raises(
        NotWritableError,
        match=r"run: cannot be written to \(.*\); copy the run to a folder that can",
    ):
        evaluate(run)


def test_the_final_model_is_continued_only_under_its_settings(
    squares: Path, tmp_path: Path
) -> None:
    clips = read_set(squares)

    def changed(**values: float) -> Settings:
        return settings._replace(training=replace(settings.training, **values))  # type: ignore[arg-type]

    settings = complete(Settings(MODEL, *STATED))
    final = train_final(clips, tmp_path, settings)
    assert RunRecord.read(final).settings == settings
    assert train_final(clips, tmp_path, settings) == final
    with pytest.raises(
        ValueError,
        match=r"final: made with other settings \(training.lr\); choose another --run, or",
    ):
        train_final(clips, tmp_path, changed(lr=0.5))
    with pytest.raises(
        ValueError, match=r"final: made with other settings \(split, training.seed\)"
    ):
        train_final(clips, tmp_path, changed(seed=5))


def test_a_second_training_of_a_run_is_refused(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    message = r"run: another process computes it; wait until it ends, or choose"
    with lock_run(run):
        for resume in (False, True):
            with pytest.raises(ValueError, match=message):
                train_run(
                    squares,
                    run,
                    Settings(MODEL, DATA, TINY),
                    resume=resume,
                    quiet=True,
                )
    assert not (run / "config.json").exists()


def options(settings: dict[str, Any]) -> list[object]:
    """The options of the command that are these arguments of `train`."""
    words = list[object]()
    for name, value in settings.items():
        flag = name.replace("_", "-")
        is_switch = isinstance(value, bool)
        words += (
            [f"--{flag}" if value else f"--no-{flag}"] if is_switch else [f"--{flag}", value]
        )
    return words


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": "lstm", "features": True, "translate": 0.2, "hflip": True},
            "hflip and translate have no effect with features; leave them out",
        ),
        (
            {"model": "lstm", "optimizer": "rmsprop", "weight_decay": 0.1},
            "weight_decay has no effect with optimizer rmsprop; leave it out",
        ),
        (
            {"modality": "flow", "channels": 1, "normalization": "half"},
            "channels and normalization have no effect with modality flow; leave them out",
        ),
        ({"lr": 0.1, "epochs": 3}, "epochs and lr have no effect in linear; leave them out"),
    ],
)
def test_what_has_no_effect_is_refused_in_python_and_by_the_command(
    squares: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        onlooker.train(squares, tmp_path / "run", **settings)
    place = ("--run", tmp_path / "run")
    assert message in fails("train", squares, *place, *options(settings))
    compared = {"models": settings.get("model", "linear"), **settings}
    compared.pop("model", None)
    assert message in fails("compare", squares, *place, *options(compared))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": "lstm", "epochs": 9},
            "epochs is 9, the run has 1; model is lstm, the run has",
        ),
        (
            {"divide": True},
            "divide is True, the run has False: a resumed run keeps its settings",
        ),
        ({"scenes": False}, "scenes is False, the run has True: a"),
        ({"fill": "rest"}, "fill is rest, the run has None: a"),
    ],
)
def test_a_run_continues_with_its_settings_in_python_and_by_the_command(
    run: Path, squares: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        onlooker.train(squares, run, resume=True, **dict(sorted(settings.items())))
    words = options(dict(sorted(settings.items())))
    said = fails("train", squares, "--run", run, "--resume", *words)
    assert all(part in said for part in message.split("; "))


def test_training_from_python(squares: Path, tmp_path: Path) -> None:
    settings: Any = {
        "model": "convnet",
        "encoder": "conv4",
        "frames": 3,
        "size": 16,
        "channels": 1,
        "epochs": 1,
        "batch": 8,
        "precision": "32",
        "quiet": True,
        "workers": 2,  # of other libraries
    }
    trained = onlooker.train(str(squares), run=tmp_path / "run", **settings)
    assert trained.path == tmp_path / "run"
    assert trained.figures.to_dict() == read_json(tmp_path / "run" / "evaluation.json")
    assert trained.figures["accuracy"] == trained.figures.accuracy, "as in earlier versions"
    assert str(trained) == f"{trained.path}: {first_line(trained.figures).text}"
    assert (
        onlooker.train(squares, trained.path, resume=True, quiet=True).figures
        == trained.figures
    )
    with_flow = onlooker.train(squares, tmp_path / "flow", **{**settings, "model": "motion"})
    assert RunRecord.read(with_flow.path).settings.data.modality == "both", "that of the recipe"
    with pytest.raises(
        TypeError,
        match=r"train has no setting epoch; did you mean epochs\? There are aggregation",
    ):
        onlooker.train(squares, epoch=3)


Stages = list[tuple[str, int, int]]


def test_parts_are_reported_once_they_are_done_and_only_within_the_block() -> None:
    stages: Stages = []
    others: Stages = []
    with reporting(lambda *stage: stages.append(stage)):
        items = tracked("ab", "reading clips", 2)
        assert (next(items), stages) == ("a", [("reading clips", 0, 2)])
        assert [*items] == ["b"]
        with reporting(lambda *stage: others.append(stage)):
            assert [*tracked("c", "encoding clips", 1)] == ["c"]
        with reporting(None):  # as in `predict` without `progress`
            assert [*tracked("d", "drawing clips", 1)] == ["d"]
    assert [*tracked("e", "drawing clips", 1)] == ["e"]
    assert others == [("encoding clips", number, 1) for number in range(2)]
    assert stages == [
        *(("reading clips", number, 2) for number in range(3)),
        *(("drawing clips", number, 1) for number in range(2)),
    ]


def test_a_log_gets_a_line_now_and_then_and_only_where_progress_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("onlooker.base.progress._LOG_INTERVAL", -1.0)
    with showing():
        assert [*tracked("ab", "reading clips", 2)] == ["a", "b"]
        with showing(False):
            assert [*tracked("c", "fitting", 1)] == ["c"]
    assert capsys.readouterr().err.splitlines() == [
        "reading clips: 1 of 2",
        "reading clips: 2 of 2",
    ]
    assert [*tracked("d", "fitting", 1)] == ["d"]
    assert capsys.readouterr().err == ""


def test_a_log_says_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 31.0, 40.0, 62.0, 93.0, 124.0])
    monkeypatch.setattr("onlooker.base.progress.monotonic", lambda: next(clock))
    with (
        showing(),
        progress_bar("watching", 29000, title="watching a.mp4", unit=" s") as update,
    ):
        for done in (3600, 3700, 3910, 28800, 28800):
            update(done)
    assert capsys.readouterr().err.splitlines() == [
        "watching a.mp4: 3600 of 29000 s",  # 3600 were in the cache
        "watching a.mp4: 3910 of 29000 s, about 42 min left",
        "watching a.mp4: 28800 of 29000 s",
        "watching a.mp4: 28800 of 29000 s",
    ]


def test_progress_of_train_counts_epochs_and_what_it_raises_ends_the_training(
    tmp_path: Path,
) -> None:
    squares = moving_squares.make_set(tmp_path / "squares", clips=5)
    stages = Stages()

    def note(stage: str, done: int, total: int) -> None:
        stages.append((stage, done, total))
        if (stage, done) == ("training", 2):
            raise KeyboardInterrupt

    settings = {
        "model": "convalstm",
        "hidden": 4,
        "frames": 4,
        "size": 16,
        "epochs": 3,
        "encoder": "conv4",
    }
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        onlooker.train(squares, tmp_path / "run", quiet=True, progress=note, **settings)
    assert [each for each in stages if each[0] == "training"] == [
        ("training", 1, 3),
        ("training", 2, 3),
    ]

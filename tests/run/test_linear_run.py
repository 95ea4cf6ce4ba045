"""Runs of the linear model: from clips and from features, resumed after a kill, compared, and
invalid settings. Its encoder is chosen by cross-validation, if the clips are large enough.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from clips import scene
from commands import call, fails
from kills import killed_in
from moving_squares import frames_of, make_set
from openings import counted_openings
from packaged_weights import put_lite0

import onlooker
from onlooker.base.config import (
    DataConfig,
    FitConfig,
    ModelConfig,
    SetConfig,
    Settings,
    TrainConfig,
)
from onlooker.base.files import read_csv, read_json
from onlooker.base.records import Clip, ClipError
from onlooker.data.sets import read_set, requested_splits
from onlooker.data.split import split_clips
from onlooker.measure.held_out import HeldOut
from onlooker.models.registry import configured
from onlooker.recognizer import load
from onlooker.report.summary import advice, first_line
from onlooker.run import record
from onlooker.run import train as train_module
from onlooker.run.compare import compare, settings_of, with_baseline
from onlooker.run.evaluate import evaluate
from onlooker.run.record import RunRecord, read_figures
from onlooker.run.train import train_final, train_run
from onlooker.training import encoders, eyes, fitters, linear, linear_fitter
from onlooker.training.background import background_of
from onlooker.training.eyes import cross_validated, encoder_trial
from onlooker.training.fitters import complete
from onlooker.training.linear import ClipStatistics
from onlooker.training.search import Trial
from onlooker.video.write import write

DATA = DataConfig(frames=6, size=32)
PICTURES = replace(DATA, eyes="pictures")  # where nothing is tested of motion
TRAIN = TrainConfig()
LINEAR = ModelConfig("linear", "conv4")


@pytest.fixture(scope="module")
def counted_run(
    tmp_path_factory: pytest.TempPathFactory, squares: Path
) -> tuple[Path, Counter[str], Counter[str]]:
    """A run, and how often its training has opened and decoded each clip."""
    folder = tmp_path_factory.mktemp("runs")
    read = Mock(wraps=record.read_json)
    with pytest.MonkeyPatch.context() as patched, counted_openings(squares) as (opens, decodes):
        patched.setattr(record, "read_json", read)
        patched.setattr("joblib.cpu_count", lambda: 1)
        patched.setenv("ONLOOKER_CACHE", str(folder / "cache"))
        train_run(squares, folder / "run", Settings(LINEAR, DATA, TRAIN), quiet=True)
        names = {call.args[0].name for call in read.call_args_list}
        assert "cross_validation.json" not in names, "it is for later commands"
    return folder / "run", opens, decodes


@pytest.fixture(scope="module")
def run(counted_run: tuple[Path, Counter[str], Counter[str]]) -> Path:
    return counted_run[0]


def scores(run: Path, classes: int = 4) -> np.ndarray:
    rows = (run / "scores.csv").read_text(encoding="utf-8").splitlines()[1:]
    return np.array([[float(value) for value in row.split(",")[-classes:]] for row in rows])


def test_a_clip_is_opened_and_decoded_once_and_again_only_to_be_drawn(
    counted_run: tuple[Path, Counter[str], Counter[str]],
) -> None:
    run, opens, decodes = counted_run
    report_clips = 4  # of tests
    assert len(opens) == 24
    strips = (run / "report.html").read_text(encoding="utf-8").count("data:image/jpeg")
    assert strips <= 4
    assert opens == decodes
    drawn = 24 + report_clips
    assert drawn <= sum(decodes.values()) <= drawn + strips, "some are drawn in a strip, too"
    assert max(decodes.values()) == 2


def test_a_run_is_complete_and_streams_equal_predictions(run: Path, squares: Path) -> None:
    figures = read_figures(run)
    assert (figures.videos, figures.cross_validated) == (24, True), "all of them"
    assert [*figures.class_accuracy] == figures.classes == ["down", "left", "right", "up"]
    assert figures.frame_accuracy is None
    assert figures.chosen.startswith("statistics ")
    trained = onlooker.TrainedRun.read(run)
    assert trained.figures == figures
    assert (trained.clips, trained.curves) == (str(squares.resolve()), None)
    assert trained.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert trained.conclusion == first_line(figures).text
    assert trained.model == run / "model"
    predictions = trained.predictions
    assert sorted(clip.truth for clip in predictions) == sorted(figures.classes * 6)
    assert np.mean([clip.correct for clip in predictions]) == figures.accuracy
    assert {*predictions[0].scores} == {*figures.classes}
    assert train_module.TrainedRun(run, None).predictions == []
    assert not (run / "curves.csv").exists()
    assert "Loss and accuracy per epoch" not in (run / "report.html").read_text(
        encoding="utf-8"
    )
    recognizer = load(run)
    clip = squares / "left" / "00.mp4"
    assert recognizer.predict(clip).attention.shape == (6, 4, 4)
    assert evaluate(run) == figures, "those of its cross-validation"
    assert {step.label for step in recognizer.watch(clip)} <= {*recognizer.classes, "nothing"}


def test_a_class_for_nothing_has_a_threshold(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name, label in (("left", "left"), ("up", "None")):
        (clips / label).symlink_to(squares / name)
    train_run(clips, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN))
    rows = (tmp_path / "run" / "scores.csv").read_text(encoding="utf-8").splitlines()[1:]
    events = [float(row.split(",")[-1]) for row in rows if row.split(",")[1] == "left"]
    threshold = load(tmp_path / "run").decision.threshold  # the table has six decimals
    assert len(events) == 6
    assert threshold == pytest.approx(min(events), abs=1e-6), "of six events none may be missed"
    assert "threshold: 0." in capsys.readouterr().err


def test_a_named_class_of_nothing_and_figures_of_the_answers_of_predict(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    run = tmp_path / "run"
    clips.mkdir()
    for name, label in (("left", "left"), ("up", "Normal"), ("right", "idle")):
        (clips / label).symlink_to(squares / name)
    with pytest.raises(
        ValueError,
        match="nothing is 'Calm', expected a class: Normal, idle, left; or '' for none",
    ):
        train_run(
            clips,
            run,
            Settings(LINEAR, PICTURES, replace(TRAIN, nothing="Calm")),
            quiet=True,
        )
    train_run(clips, run, Settings(LINEAR, PICTURES, replace(TRAIN, nothing="Normal")))
    assert (
        "Normal is the class in which nothing happens, so it is never reported"
        in capsys.readouterr().err
    )
    recognizer = load(run)
    assert recognizer.decision.nothing == "Normal"
    # an export, a stream and an evaluation have that of the run
    recognizer.decision = recognizer.decision.with_threshold(0.999)
    recognizer.save(run / "model")
    others = tmp_path / "others"
    for seed, label in enumerate(("Normal", "left"), 1):
        make_set(tmp_path / label, clips=6, seed=seed)
        shutil.copytree(tmp_path / label / "down", others / label)
    figures = evaluate(run, others)
    answers = [recognizer.predict(clip.path).label for clip in read_set(others).clips]
    assert [sum(row) for row in zip(*figures.confusion, strict=True)] == [
        answers.count(label) for label in figures.classes
    ]
    assert answers.count("Normal") == len(answers), "no event is that probable"
    assert {step.label for step in recognizer.watch(squares / "up" / "00.mp4")} == {"Normal"}
    train_run(
        clips,
        tmp_path / "other",
        Settings(LINEAR, PICTURES, replace(TRAIN, nothing="")),
        quiet=True,
    )
    assert load(tmp_path / "other").decision.threshold is None


@pytest.mark.usefixtures("no_event_layer")
def test_a_killed_run_starts_again_and_ends_the_same(
    run: Path, squares: Path, tmp_path: Path
) -> None:
    with killed_in(linear_fitter, "cross_validated"):
        train_run(squares, tmp_path / "cut", Settings(LINEAR, DATA, TRAIN), quiet=True)
    train_run(
        squares,
        tmp_path / "cut",
        Settings(LINEAR, DATA, TRAIN),
        quiet=True,
        resume=True,
    )
    np.testing.assert_array_equal(scores(tmp_path / "cut"), scores(run))


def test_a_resumed_run_refuses_settings_of_another_fitter(run: Path, squares: Path) -> None:
    settings = Settings(LINEAR, DATA, TRAIN)
    with pytest.raises(ValueError, match="epochs has no effect in linear; leave it out"):
        train_run(squares, run, settings, given={"epochs": 40}, resume=True)


@pytest.mark.usefixtures("no_event_layer")
def test_stored_features_give_the_same_scores(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "FEW", 0)  # no copies, for which frames are needed
    for name in ("stored", "frames"):
        training = replace(TRAIN, features=name == "stored", precision="32")
        train_run(squares, tmp_path / name, Settings(LINEAR, PICTURES, training), quiet=True)
    assert np.abs(scores(tmp_path / "stored") - scores(tmp_path / "frames")).max() < 0.05, (
        "but for half precision"
    )


def test_rgb_and_flow_have_an_encoder_each(squares: Path, tmp_path: Path) -> None:
    both = replace(DATA, modality="both", frames=4)
    figures = train_run(squares, tmp_path / "run", Settings(LINEAR, both, TRAIN), quiet=True)
    assert figures.accuracy >= 0.75
    assert load(tmp_path / "run").model.encoder.num_features == 128  # type: ignore[union-attr]


def test_the_baseline_of_a_comparison_uses_the_common_encoder() -> None:
    model = ModelConfig(
        encoder="small", pretrained=False, hidden=8, dropout=0.2, attention_loss=True
    )
    shared = Settings(model, DATA, TrainConfig(epochs=3, aggregation="product", seed=4))
    models = settings_of(with_baseline("alstm,convnet"), shared)
    assert list(models) == ["alstm", "convnet", "linear"]
    model, _, training = models["linear"]
    assert model == ModelConfig("linear", encoder="small", pretrained=False)
    assert training == FitConfig(seed=4)
    assert configured(models["linear"], 3).encoder is not None
    for there in ("linear,lstm", "lstm,linear:flow"):
        assert with_baseline(there) == there


def test_the_final_model_of_a_cross_validation_is_not_cross_validated(
    run: Path, squares: Path, tmp_path: Path
) -> None:
    final = train_final(read_set(squares), tmp_path, complete(Settings(LINEAR, DATA, TRAIN)))
    assert torch.equal(load(final).model.head.weight, load(run).model.head.weight)  # type: ignore[union-attr]
    figures = read_json(final / "cross_validation.json")
    assert set(figures) == {"chosen", "tried", "labels_to_check"}
    with pytest.raises(ClipError, match="trained without a test split"):
        evaluate(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--epochs 3 --lr 0.1", "epochs and lr have no effect in linear; leave them out"),
        ("--hflip", "hflip has no effect in linear; leave it out"),
        ("--hidden 8", "hidden has no effect in linear; leave it out"),
        ("--dropout 0.2", "dropout has no effect in linear; leave it out"),
        ("--aggregation mean", "aggregation has no effect in linear; leave it out"),
    ],
)
def test_settings_without_effect_are_errors(
    options: str, message: str, squares: Path, tmp_path: Path
) -> None:
    words = ["train", squares, "--model", "linear", "--run", tmp_path / "run", *options.split()]
    assert message in fails(*words)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes, each cut into four clips; two classes that have nothing to do with what
    happens.
    """
    folder = tmp_path_factory.mktemp("cut") / "clips"
    for number in range(12):
        for take in range(4):
            write(
                folder / "ab"[number % 2] / f"{number:02}-{take}.mp4",
                scene(number, T=8, side=64, mover=10, take=take),
                fps=8,
            )
    return folder


@pytest.mark.usefixtures("no_event_layer")
def test_the_accuracy_is_that_on_scenes_it_has_not_seen(
    cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = train_run(cut, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN))
    assert (
        "48 of 48 clips show the scene of another clip: splits keep them together, in 12 groups"
        in (capsys.readouterr().err)
    )
    assert figures.recordings == 12
    assert figures.scenes.unseen == figures.accuracy < 0.75 < 0.85 < figures.scenes.mixed
    line = first_line(figures).details
    assert "over 12 scenes" in line
    plain = "; if clips of one scene were both trained on and tested, it would seem to be "
    assert re.search(rf"{plain}\d+ %$", line)
    assert plain in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert evaluate(tmp_path / "run") == figures
    assert "48 of 48 clips show the scene of another clip" in " ".join(
        call("check", cut).stdout.split()
    )

    # The same scenes in other clips, and others.
    others = tmp_path / "others"
    for number in (0, 1, 20, 21):
        write(
            others / "ab"[number % 2] / f"{number}.mp4",
            scene(number, T=8, side=64, mover=10, take=9),
            fps=8,
        )
    of_others = evaluate(tmp_path / "run", others)
    assert "; 2 of 4 clips show a scene that it was trained on" in first_line(of_others).details
    assert (of_others.chosen, of_others.scenes) == (None, None), "those of the run alone"
    (tmp_path / "run" / "scenes.safetensors").unlink()  # a run of an earlier version
    assert "a scene that" not in first_line(evaluate(tmp_path / "run", others)).details


@pytest.mark.usefixtures("no_event_layer")
def test_one_named_recording_leaves_the_scenes_of_the_other_clips_together(
    cut: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(cut, clips)
    (clips / "recordings.csv").write_text("clip,recording\na/00-0.mp4,anna\n")
    figures = train_run(clips, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN), quiet=True)
    assert figures.recordings == 13, "47 clips of twelve scenes, and one of anna"
    assert figures.accuracy < 0.75 < figures.scenes.mixed
    checked = " ".join(call("check", clips).stdout.split())
    assert "47 of 48 clips show the scene of another clip" in checked
    assert "recordings.csv: 47 of 48 clips are not listed (a/00-1.mp4, " in checked


@pytest.mark.usefixtures("no_event_layer")
def test_clips_of_several_people_have_different_names_in_all_figures(
    squares: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    for number, person in enumerate(("anna", "ben", "eve")):
        for label, other in (("left", "right"), ("right", "left"), ("up", "down")):
            (clips / label / person).mkdir(parents=True)
            source = squares / (other if person == "eve" else label) / f"{number:02}.mp4"
            shutil.copyfile(source, clips / label / person / "1.mp4")
    figures = train_run(clips, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN), quiet=True)
    names = {clip.path.relative_to(clips).as_posix() for clip in read_set(clips).clips}
    rows = read_csv(tmp_path / "run" / "scores.csv")
    assert {row["name"] for row in rows} == names
    mistakes = {row["name"] for row in rows if row["truth"] != row["predicted"]}
    assert {clip.name for clip in figures.labels_to_check} == mistakes > set()
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert all(report.count(name) > 1 for name in mistakes)


def test_figures_are_of_what_predict_answers_however_long_a_clip_is(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(squares, clips)
    for path, frames in (
        ("clips/left/long.mp4", 60),
        ("others/left/1.mp4", 12),
        ("others/left/2.mp4", 59),
        ("others/left/3.mp4", 90),
        ("others/right/1.mp4", 100),
    ):
        moving = frames_of(Path(path).parent.name, frames, 40 + frames)
        write(tmp_path / path, np.stack(moving), fps=10)
    train_run(clips, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN))
    expected = "clips: up to 6 s: one answer; longer: recordings, in which events are found"
    assert expected in capsys.readouterr().err
    recognizer = load(tmp_path / "run")
    assert len(recognizer.predict(clips / "left" / "long.mp4").times) == DATA.frames

    evaluate(tmp_path / "run", tmp_path / "others")
    out = tmp_path / "run" / "evaluation-others"
    answers = {
        clip.name: recognizer.predict(clip.path) for clip in read_set(tmp_path / "others").clips
    }
    counts = [len(answer.times) == DATA.frames for answer in answers.values()]
    assert counts == [True, True, False, False], "two clips and two recordings"
    rows = read_csv(out / "scores.csv")
    assert {row["name"]: row["predicted"] for row in rows} == {
        name: answer.label for name, answer in answers.items()
    }
    np.testing.assert_allclose(
        scores(out), [answer.scores for answer in answers.values()], rtol=1e-4, atol=1e-6
    )


def test_background_gives_quiet_time_and_belongs_to_the_run(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = tmp_path / "quiet"
    for number in range(2):
        still = np.stack(frames_of(None, 300, 60 + 30 * number))
        write(quiet / f"{number}.mp4", still, fps=10)
    settings = Settings(LINEAR, PICTURES, TRAIN)
    run = tmp_path / "run"
    figures = train_run(squares, run, settings, background=[quiet], quiet=True)
    curve = load(run).decision.curve
    assert 60 * curve.hours > 0.5, "half of it is held out"
    assert RunRecord.read(run).background == (quiet / "0.mp4", quiet / "1.mp4")
    assert figures.missing == curve.missing(6)
    assert advice(figures)[0].command == "onlooker train CLIPS --background VIDEO"
    recognizer = load(run)
    halves = background_of([quiet / "0.mp4"], recognizer.model, recognizer.data, rate=10.0)
    pieces = [halves.read(piece) for piece in (*halves.fitted, *halves.held_out)]
    assert [(len(piece.features), piece.eyes) for piece in pieces] == [(150, {})] * 2
    with pytest.raises(ClipError, match=r"nowhere: no video there; give a video or a folder"):
        train_run(squares, tmp_path / "b", settings, background=[tmp_path / "nowhere"])
    other = Settings(ModelConfig("convalstm"), DATA, TRAIN)
    with pytest.raises(
        ValueError, match=r"background has no effect in convalstm; leave it out"
    ):
        train_run(squares, tmp_path / "c", other, background=[quiet])


def copied(folder: Path, recordings: int) -> Path:
    """A list of 20 clips and two copies of each with labels at random, the copies in this many other
    recordings.
    """
    random = np.random.default_rng(5)
    rows = []
    for number in range(20):
        clip = write(folder / f"{number}.mp4", scene(number, T=8, side=64, mover=10), fps=8)
        label = "ab"[random.integers(2)]
        rows.append(f"{clip.name},{label},own {number}")
        for copy in range(2):
            (folder / f"{number}-{copy}.mp4").write_bytes(clip.read_bytes())
            rows.append(f"{number}-{copy}.mp4,{label},other {len(rows) % recordings}")
    listed = folder / "clips.csv"
    listed.write_text("\n".join(["path,label,recording", *rows]) + "\n")
    return listed


@pytest.mark.slow
@pytest.mark.usefixtures("no_event_layer")
def test_shuffled_labels_of_copies_in_other_recordings_give_chance(tmp_path: Path) -> None:
    clips = copied(tmp_path / "clips", 60)
    apart = [
        Clip(clip.path, clip.label, str(i)) for i, clip in enumerate(read_set(clips).clips)
    ]
    leaking = train_run(
        clips,
        tmp_path / "leak",
        Settings(LINEAR, PICTURES, TRAIN),
        split=split_clips(apart),
        quiet=True,
    )
    assert leaking.accuracy > 0.9, "one copy tells the label of the others"
    figures = train_run(clips, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN), quiet=True)
    assert (figures.videos, figures.recordings) == (60, 20)
    assert 0.2 < figures.accuracy < 0.75
    models = {"linear": Settings(LINEAR, PICTURES, TRAIN)}
    compared = compare(
        read_set(clips),
        tmp_path / "compared",
        models,
        splits=requested_splits(read_set(clips), 2),
        seeds=[0],
        jobs=1,
    )
    assert 0.2 < compared["accuracy"]["linear"] < 0.8
    assert "60 clips are copies of another clip" in call("check", clips).stdout
    with pytest.raises(ClipError, match="the model was trained on all of these clips"):
        evaluate(tmp_path / "run", clips)


def test_recordings_that_all_share_copies_are_not_divided(tmp_path: Path) -> None:
    clips = copied(tmp_path / "clips", 3)
    message = "has 1 recording; .*; copies count as one recording"
    with pytest.raises(ValueError, match=message):
        train_run(clips, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN), quiet=True)
    assert "copies count as one recording" in " ".join(call("check", clips).stdout.split())


@pytest.mark.usefixtures("no_event_layer")
def test_clips_can_be_stated_to_be_independent(cut: Path, tmp_path: Path) -> None:
    asked = read_set(cut, requested=SetConfig(scenes=False))
    figures = train_run(asked, tmp_path / "run", Settings(LINEAR, PICTURES, TRAIN), quiet=True)
    assert figures.accuracy > 0.85
    assert figures.scenes is None
    assert "; 48 of 48 clips show a scene that it was trained on" in first_line(figures).details


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package of Lite0's weights."""
    folder = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patched:
        put_lite0(folder, patched)
    return folder


@pytest.fixture
def package(packages: Path, no_event_layer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(eyes, "FOLDS", 2)
    for module in (encoders, fitters):
        monkeypatch.setattr(module, "LITE0_SIZE", 32)
    monkeypatch.setattr(encoders, "LEAST_SIDE", 16)


def trial_with(clips: ClipStatistics, right: np.ndarray) -> Trial:
    """A test by which the true class of each of the clips has this probability."""
    scores = np.where(np.arange(2) == clips.y[:, None], right[:, None], 1 - right[:, None])
    return Trial.of(HeldOut(scores, clips.y, clips.groups))


@pytest.fixture
def clips(squares: Path, tmp_path: Path) -> Path:
    for label in ("left", "right"):
        shutil.copytree(squares / label, tmp_path / "clips" / label)
    return tmp_path / "clips"


def trained(clips: Path, run: Path, **settings: Any) -> tuple[RunRecord, Mapping[str, Any]]:
    onlooker.train(clips, run, frames=4, size=32, eyes="pictures", quiet=True, **settings)
    return read(run)


def read(run: Path) -> tuple[RunRecord, Mapping[str, Any]]:
    return RunRecord.read(run), read_json(run / "cross_validation.json")


@pytest.mark.parametrize(
    ("smallest", "encoder", "normalization"),
    [(16, "lite0", "lite0"), (1000, "small", "imagenet")],
)
def test_clips_get_the_encoder_for_their_size(
    smallest: int,
    encoder: str,
    normalization: str,
    package: None,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights with non-commercial terms only where clips are small."""
    monkeypatch.setattr(encoders, "LEAST_SIDE", smallest)
    encode = Mock(wraps=encoders.statistics_of)
    monkeypatch.setattr(encoders, "statistics_of", encode)
    writer = Mock()
    monkeypatch.setattr("onlooker.run.train.require_tensorboard", lambda: None)
    monkeypatch.setattr("onlooker.run.train.open_writer", lambda *_: writer)
    run = tmp_path / "run"
    words = ("train", clips, "--run", run, "--frames", 4, "--eyes", "pictures", "--tensorboard")
    output = " ".join(call(*words).output.split())
    record, figures = read(run)
    assert (record.settings.model.encoder, record.settings.model.pretrained) == (encoder, True)
    assert record.settings.data.normalization == normalization
    (shown,) = writer.add_text.call_args_list
    assert json.loads(shown.args[1]) == record.settings.to_dict()
    assert ("Apache-2.0" in output) == (encoder == "lite0")
    assert ("non-commercial" in output) == (encoder == "small")
    assert f"encoder: {encoder}, by the size of the clips" in output
    assert figures["chosen"].startswith("statistics ")
    assert encode.call_count == 1, "nothing is encoded twice"
    prediction = onlooker.load(run).predict(clips / "left" / "00.mp4")
    assert prediction.label in record.classes


def test_folds_have_the_encoder_for_clips_of_this_size(
    package: None, clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    call("train", clips, "--run", run, "--folds", 2, "--frames", 4)
    for part in ("linear/fold0-seed0", "linear/fold1-seed0", "final"):
        settings = RunRecord.read(run / part).settings
        assert (settings.model.encoder, settings.data.size) == ("lite0", 32)
        assert settings.data.normalization == "lite0"


def test_a_given_encoder_stays(package: None, clips: Path, tmp_path: Path) -> None:
    given, _ = trained(clips, tmp_path / "given", encoder="conv4")
    assert given.settings.model.encoder == "conv4"


def test_a_run_that_ended_before_its_model_was_saved_goes_on_with_its_encoder(
    package: None, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    settings = Settings(ModelConfig(encoder="auto"), DataConfig(frames=4, size=32))
    with monkeypatch.context() as patched:
        patched.setattr("onlooker.run.train._save", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_run(clips, run, settings, quiet=True)
    assert RunRecord.read(run).settings.model.encoder == "lite0"
    train_run(clips, run, settings, resume=True, quiet=True)
    assert RunRecord.read(run).settings.model.encoder == "lite0"


def test_clips_that_are_compared_are_of_all_classes_or_of_some_with_several_clips() -> None:
    few = [Clip(Path(str(i)), "rare" if i < 5 else "usual") for i in range(2005)]
    positions = encoders.compared(few)
    assert (np.diff(positions) > 0).all(), "in their order"
    labels = [few[position].label for position in positions]
    assert (labels.count("rare"), labels.count("usual")) == (5, 50)
    many = [Clip(Path(str(i)), str(i % 400)) for i in range(4000)]
    counts = Counter(many[position].label for position in encoders.compared(many))
    assert {*counts.values()} == {5}
    assert len(counts) == 20


def test_events_are_not_crowded_out_of_streams_by_clips_of_nothing() -> None:
    chosen = encoders._of_streams(np.array([0] * 1000 + [1] * 40), 0)
    assert {*range(1000, 1040)} < {*chosen}
    assert len({*chosen}) == len(chosen) == 90


def test_the_views_are_chosen_again_for_each_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyes, "FOLDS", 2)
    random = np.random.default_rng(0)
    y = np.arange(30) % 2
    noise = random.normal(size=(30, 2))
    signal = noise + 5 * y[:, None]
    weak, strong = (
        ClipStatistics(np.tile(x, 16), y, np.arange(30).astype(str), 2) for x in (noise, signal)
    )

    def scores(*encoded: ClipStatistics) -> np.ndarray:
        return cross_validated(encoded[0], encoded=encoded)[0].scores

    assert np.mean(scores(weak).argmax(1) == y) < 0.8
    assert (scores(weak, strong).argmax(1) == y).all()
    assert (scores(strong, weak).argmax(1) == y).all()
    # The rival misleads in one fold, which only the clips say that are held out there.
    _, held_out = next(strong.folds(eyes.FOLDS))
    misleading = strong._replace(x=strong.x.copy())
    misleading.x[held_out] = np.tile(noise + 5 * (1 - y[:, None]), 16)[held_out]
    fair = weak._replace(x=np.tile(noise + 0.3 * y[:, None], 16))
    assert not encoder_trial(misleading).is_clearly_better(encoder_trial(fair))
    found = scores(fair, misleading).argmax(1)
    assert np.mean(found[held_out] == y[held_out]) < 0.2
    # equal ones: the other one has to be clearly better
    shifted = weak._replace(x=weak.x + 1)
    np.testing.assert_array_equal(scores(weak, shifted), scores(weak))
    np.testing.assert_array_equal(scores(shifted, weak), scores(shifted))


def test_a_difference_that_may_be_chance_does_not_count() -> None:
    y = np.arange(40) % 2
    groups = np.repeat(np.arange(5), 8).astype(str)
    clips = ClipStatistics(np.zeros((40, 16)), y, groups, 2)

    usual = trial_with(clips, np.full(40, 0.6))
    better = trial_with(clips, np.full(40, 0.7))
    assert better.is_clearly_better(usual)
    assert not usual.is_clearly_better(better)
    assert not usual.is_clearly_better(usual)
    mixed = trial_with(clips, np.select([groups == "0", groups == "1"], [0.99, 0.5], 0.6))
    assert not mixed.is_clearly_better(usual), "the clips of one recording are one observation"
    assert mixed._replace(groups=np.arange(40).astype(str)).is_clearly_better(usual)

"""The default command on real clips has the figures that it writes; few labeled clips."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moving_squares import make_set

from onlooker import Clip
from onlooker.base.config import Settings
from onlooker.base.files import read_json
from onlooker.data.sets import read_set
from onlooker.data.split import make_splits
from onlooker.models.linear import LinearClassifier
from onlooker.training.linear import ClipStatistics
from onlooker.video.write import write
from onlooker_papers.real_clips import few_shot, frozen, own_clips, tables, unusual

WAYS = 5  # classes of an episode
PRINTED = ("accuracy", "accuracy_interval", "recordings", "majority_share", "videos")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`$ONLOOKER_DATA` with 32 clips as the set basketball, two of each recording, with a class in
    which nothing happens; encoded by random filters.
    """
    data = tmp_path_factory.mktemp("data")
    folder = make_set(data / "clips" / "basketball", clips=8)
    (folder / "down").rename(folder / "nothing")
    clips = sorted(folder.glob("*/*.mp4"))
    rows = [
        f"{clip.relative_to(folder)},{clip.parent.name}-{int(clip.stem) // 2}" for clip in clips
    ]
    (folder / "recordings.csv").write_text("\n".join(["clip,recording", *rows]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLOOKER_DATA", str(data))
        quick = {"encoder": "conv4", "frames": 4, "size": 32, "eyes": "pictures"}
        patch.setattr(own_clips, "KINDS", {"default": quick})
        yield data


def stored(results: Path) -> dict[str, Any]:
    return {
        name: read_json(results / f"{name}.json")["figures"]
        for name in ("own-clips", "calibration")
    }


def test_figures_are_those_that_the_command_writes(squares: Path) -> None:
    figures = own_clips.measure("basketball", squares / "runs", squares / "results")
    run = squares / "runs" / "basketball" / "default" / "split"
    command = read_json(run / "evaluation.json")
    assert command["cross_validated"]
    assert (command["recordings"], command["videos"]) == (16, 32)
    assert 0 < figures["printed"]["cpu_seconds"] < 600
    assert figures["printed"] == {name: command[name] for name in PRINTED} | {
        "which": "all, cross-validated",
        "cpu_seconds": figures["printed"]["cpu_seconds"],
    }
    assert figures["default"] == figures["splits"]["split"] == command["accuracy"]
    answers = own_clips.Answers.read(run)
    assert sum(answers.correct.values()) == command["accuracy"] * 32
    for path, recording in answers.recordings.items():
        assert recording == f"recording {path.parent.name}-{int(path.stem) // 2}"
    tests = stored(squares / "results")
    perfect, perfect_95 = command["perfect_calibration_error"]
    assert tests["calibration"]["basketball"] == {
        "error": command["calibration_error"],
        "perfect": perfect,
        "perfect_95": perfect_95,
        "clips": 32,
    }
    assert "all, cross-validated" in tables.own_clips(tests).markdown()
    assert "| basketball | " in tables.calibration(tests).markdown()
    modified = (run / "evaluation.json").stat().st_mtime_ns
    assert own_clips.measure("basketball", squares / "runs", squares / "results") == figures
    assert (run / "evaluation.json").stat().st_mtime_ns == modified, "a finished run is read"


def test_test_clips_of_official_splits_count_together(
    squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = make_splits(read_set(squares / "clips" / "basketball").clips, folds=2)
    monkeypatch.setattr(own_clips, "splits_of", lambda name: splits)
    monkeypatch.setitem(own_clips.SETS, "basketball", frozen.Source("basketball", "ucf101"))
    figures = own_clips.measure("basketball", squares / "official", squares / "results-official")
    runs = squares / "official" / "basketball" / "default"
    commands = [read_json(runs / fold / "evaluation.json") for fold in splits]
    assert [command["videos"] for command in commands] == [16, 16]
    accuracies = [command["accuracy"] for command in commands]
    assert figures["splits"] == dict(zip(splits, accuracies, strict=True))
    printed = figures["printed"]
    assert figures["default"] == printed["accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert (printed["recordings"], printed["videos"], printed["majority_share"]) == (16, 32, 0.25)
    low, high = printed["accuracy_interval"]
    assert low <= figures["default"] <= high
    of = stored(squares / "results-official")["calibration"]["basketball"]
    errors = [command["calibration_error"] for command in commands]
    assert of["error"] == pytest.approx(sum(errors) / 2)
    for fold, split in splits.items():
        answers = own_clips.Answers.read(runs / fold)
        assert [*answers.correct] == [clip.path.resolve() for clip in split.test]


def test_unusual_clips_are_counted_apart(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unusual, "ENCODER", "small")
    results = squares / "results-unusual"
    unusual.measure("basketball", squares / "features", results)
    figures = read_json(results / "calibration.json")["figures"]["basketball"]
    recognizer, split = unusual.recognizers("basketball", squares / "features")["split"]
    predictions = [recognizer.predict(clip.path) for clip in split.test]
    for group, is_unusual in (("unusual", True), ("usual", False)):
        right = [
            prediction.label == clip.label
            for prediction, clip in zip(predictions, split.test, strict=True)
            if prediction.unusual is is_unusual
        ]
        assert figures[group]["clips"] == len(right)
        assert figures[group]["wrong"] == (pytest.approx(1 - np.mean(right)) if right else None)
    assert figures["usual"]["clips"]
    noise = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3), np.uint8)
    write(squares / "noise.mp4", noise, fps=8)
    of = unusual.answers(recognizer, [Clip(squares / "noise.mp4", label="other")])
    assert (of.unusual.tolist(), of.correct.tolist()) == ([True], [False])


def test_figures_of_groups_are_those_of_a_naive_count() -> None:
    confidence = np.array([0.5, 0.9, 0.7])
    of = unusual.Answers(
        np.array([True, False, False]), np.array([False, True, False]), confidence=confidence
    )
    usual = of.where(~of.unusual)
    assert usual["clips"] == 2
    assert usual["wrong"] == 0.5
    assert usual["confidence"] == pytest.approx(0.8)
    assert usual["error"] == pytest.approx((0.1 + 0.7) / 2)
    assert of.where(np.zeros(3, bool)) == dict.fromkeys(usual, None) | {"clips": 0}


def answers(correct: str) -> own_clips.Answers:
    paths = [Path(f"{number}.mp4") for number in range(len(correct))]
    right = {path: letter == "1" for path, letter in zip(paths, correct, strict=True)}
    return own_clips.Answers({}, Settings(), right, {path: path.stem for path in paths}, 1.0)


def test_encoders_are_compared_on_the_same_clips() -> None:
    runs = [answers("1111"), answers("1100")]
    default = [answers("1010"), answers("1100")]
    difference, low, high = own_clips._difference(runs, default)
    assert difference == 0.25
    assert low < difference < high
    assert difference - low == pytest.approx(high - difference)
    assert own_clips._difference(default, default) == [0, 0, 0]
    with pytest.raises(ValueError, match="tested by different clips"):
        own_clips._difference([answers("11111")], [answers("1111")])


def directions(classes: int = 7, clips: int = 16, D: int = 8) -> ClipStatistics:
    """Clips of which each class is a direction, in recordings of two."""
    y = np.repeat(np.arange(classes), clips)
    x = np.eye(D)[y] + np.random.default_rng(0).normal(0, 0.1, (len(y), D))
    x = np.tile(x, len(LinearClassifier.names))
    return ClipStatistics(x, y, np.array([f"{i // 2}" for i in range(len(y))]), classes)


def test_an_episode_keeps_recordings_apart() -> None:
    clips = directions()
    support, query = few_shot.episode(clips, WAYS, 5, random=np.random.default_rng(1))
    assert not set(clips.groups[support]) & set(clips.groups[query])
    assert [*clips.y[support][::5]] == [*clips.y[query][::5]]
    assert len(set(clips.y[support])) == WAYS
    again, _ = few_shot.episode(clips, WAYS, 5, random=np.random.default_rng(1))
    assert [*again] == [*support]
    with pytest.raises(
        ValueError, match=r"class . has 16 clips, too few of other recordings than 11 random ones"
    ):
        few_shot.episode(clips, WAYS, 11, random=np.random.default_rng(0))


def test_the_head_tells_directions_and_not_noise() -> None:
    clips = directions()
    assert few_shot.episodes(clips, WAYS, 1, count=5)[0] > 0.6
    noise = np.random.default_rng(2).normal(size=clips.x.shape)
    mean, low, high = few_shot.episodes(clips._replace(x=noise), WAYS, 1, count=20)
    assert low < mean < high < 0.5

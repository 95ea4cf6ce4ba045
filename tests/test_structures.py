"""Records are validated when they are created; errors state the numbers that do not fit."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.structures import Box, ClipError, Evaluation, Frames, Prediction, Segment, Step, Tube

CLASSES = ("wave", "clap", "run")


def prediction(**changed: Any) -> Prediction:
    given = {
        "path": Path("clip.mp4"),
        "classes": CLASSES,
        "frame_scores": np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], np.float32),
        "scores": np.array([0.4, 0.5, 0.1], np.float32),
        "times": np.array([0.0, 0.5]),
        "indices": np.array([0, 5]),
        "attention": np.full((2, 2, 2), 0.25, np.float32),
    }
    return Prediction(**{**given, **changed})


def evaluation(**changed: Any) -> Evaluation:
    scores = np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], np.float32)
    given = {
        "names": ("a", "b"),
        "classes": CLASSES,
        "targets": np.array([1, 2]),
        "scores": scores,
        "frame_scores": (scores, scores),
    }
    return Evaluation(**{**given, **changed})


def test_a_clip_error_names_the_clip_the_problem_and_what_to_do() -> None:
    error = ClipError("a/b.mp4", "zero bytes", "copy it again")
    assert str(error) == "a/b.mp4: zero bytes; copy it again"
    assert (error.path, error.found, error.remedy) == (Path("a/b.mp4"), "zero bytes", "copy it again")


def test_a_clip_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(ClipError("a.mp4", "zero bytes", "copy it again")))
    assert isinstance(error, ClipError)
    assert (str(error), error.path) == ("a.mp4: zero bytes; copy it again", Path("a.mp4"))


@pytest.mark.parametrize(
    ("pixels", "times", "indices", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2), np.arange(2), r"pixels has shape \(2, 4, 4\), expected 4"),
        (np.zeros((2, 4, 4, 3)), np.zeros(2), np.arange(2), r"pixels are float64 \(2, 4, 4, 3\), expected uint8"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2), np.arange(2), r"uint8 \(2, 4, 4, 1\), expected uint8 T H W 3"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3), np.arange(2), "times has 3 entries for 2 frames"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2), np.arange(5), "indices has 5 entries for 2 frames"),
    ],
)
def test_inconsistent_frames(pixels: Any, times: Any, indices: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Frames(pixels, times, indices)


def test_the_label_of_a_step_is_its_most_probable_class() -> None:
    step = Step(3, 0.1, np.array([0.1, 0.2, 0.7], np.float32), CLASSES)
    assert (step.label, step.score) == ("run", pytest.approx(0.7))
    with pytest.raises(ValueError, match="scores has 2 entries"):
        Step(3, 0.1, np.array([0.1, 0.9], np.float32), CLASSES)


@pytest.mark.parametrize(
    ("when", "message"),
    [({"evidence": float("nan")}, "evidence is nan"), ({"happening": True}, "happening is set without evidence")],
)
def test_invalid_steps(when: dict[str, Any], message: str) -> None:
    assert Step(3, 0.1, np.ones(3, np.float32), CLASSES, evidence=-2.0, happening=False).happening is False
    with pytest.raises(ValueError, match=message):
        Step(3, 0.1, np.ones(3, np.float32), CLASSES, **when)


def test_a_prediction_is_its_steps() -> None:
    seen = prediction(evidence=np.array([-2, 0.5], np.float32))
    assert [(s.evidence, s.happening) for s in seen.steps] == [(-2, None), (0.5, None)]
    assert [s.evidence for s in prediction().steps] == [None, None]
    assert (seen.label, seen.score) == ("clap", 0.5)
    assert [(s.index, s.time, s.label) for s in seen.steps] == [(0, 0.0, "clap"), (5, 0.5, "wave")]
    assert seen.attention is not None
    assert all(np.array_equal(s.attention, a) for s, a in zip(seen.steps, seen.attention, strict=True))
    assert [s.attention for s in prediction(attention=None).steps] == [None, None]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"times": np.zeros(3)}, "frame_scores has 2 entries for 3 frames"),
        ({"scores": np.zeros(2)}, "scores has 2 entries"),
        ({"frame_scores": np.zeros((2, 4))}, "frame_scores have 4 columns for 3 classes"),
        ({"indices": np.zeros(1)}, "indices has 1 entries for 2 frames"),
        ({"attention": np.zeros((2, 4))}, r"attention has shape \(2, 4\), expected 3 dimensions"),
        ({"attention": np.zeros((3, 2, 2))}, "attention has 3 entries for 2 frames"),
    ],
)
def test_inconsistent_predictions(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prediction(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"targets": np.array([1])}, "targets has 1 entries"),
        ({"targets": np.array([1, 3])}, "targets from 1 to 3, expected 0 to 2"),
        ({"targets": np.array([-1, 0])}, "targets from -1 to 0, expected 0 to 2"),
        ({"scores": np.zeros((2, 4))}, "scores have 4 columns for 3 classes"),
        ({"frame_scores": (np.zeros((1, 3), np.float32),)}, "frame_scores of 1 videos for 2 names"),
    ],
)
def test_inconsistent_evaluations(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluation(**changed)


def test_the_best_class_of_a_step_and_of_a_video() -> None:
    step = Step(0, 0.0, np.array([0.2, 0.7, 0.1], np.float32), CLASSES)
    assert (step.label, step.score) == ("clap", pytest.approx(0.7))
    assert (prediction().label, prediction().score) == ("clap", pytest.approx(0.5))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"corners": (0, 0, 1)}, "a box of 3 numbers"),
        ({"corners": (2, 0, 1, 1)}, "a box ends before it begins"),
        ({"corners": (0, 0, float("nan"), 1)}, "a box is not finite"),
        ({"frame": -1}, "frame is -1"),
        ({"score": float("inf")}, "score is inf"),
    ],
)
def test_invalid_boxes(changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"label": "wave", "frame": 3, "corners": (0.0, 0.0, 1.0, 1.0)}
    assert Box(**given).score == 1
    with pytest.raises(ValueError, match=message):
        Box(**given | changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frames": np.array([3, 3])}, "frames of a tube are not ascending"),
        ({"frames": np.array([-1, 0])}, "frames of a tube are not ascending"),
        ({"frames": np.array([3])}, "boxes has 2 entries for 1 frames"),
        ({"boxes": np.zeros((2, 5), np.float32)}, r"boxes have shape \(2, 5\), expected T 4"),
        ({"boxes": np.full((2, 4), np.nan, np.float32)}, "a box is not finite"),
        ({"boxes": np.array([[0, 0, 1, 1], [0, 2, 1, 1]], np.float32)}, "a box ends before it begins"),
        ({"frames": np.zeros(0, np.int64), "boxes": np.zeros((0, 4), np.float32)}, "a tube without frames"),
        ({"score": float("nan")}, "score is nan"),
    ],
)
def test_invalid_tubes(changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"label": "wave", "frames": np.array([3, 5]), "boxes": np.zeros((2, 4), np.float32)}
    assert Tube(**given).score == 1
    with pytest.raises(ValueError, match=message):
        Tube(**given | changed)


@pytest.mark.parametrize(("start", "end"), [(1, 1), (2, 1), (-1, 1), (0, float("inf")), (float("nan"), 1)])
def test_invalid_segments(start: float, end: float) -> None:
    assert Segment("wave", 0, 1).score == 1
    with pytest.raises(ValueError, match="expected 0 <= start < end"):
        Segment("wave", start, end)


def test_a_printed_prediction_is_a_few_lines_without_arrays() -> None:
    scores = np.array([0.2, 0.7, 0.1], np.float32)
    tube = Tube("run", np.arange(2), np.array([[0, 10, 20, 30], [2, 12, 22, 32]], np.float32))
    segments = (Segment("run", 2.0, 3.0), Segment("clap", 0.0, 1.0), Segment("run", 0.5, 1.25))
    prediction = Prediction(
        Path("folder/a.mp4"),
        ("clap", "run", "wave"),
        np.tile(scores, (4, 1)),
        scores,
        np.arange(4) / 2,
        np.arange(4),
        tubes=(tube,),
        segments=segments,
    )
    assert str(prediction) == (
        "a.mp4: run 70.0 %, then clap 20.0 %\n"
        "  when: 0.5 to 1.2, 2.0 to 3.0 s\n"
        "  where: 1 11 21 31 (mean box, x1 y1 x2 y2)"
    )
    assert repr(prediction) == str(prediction)
    assert [label for label, _ in prediction.ranking] == ["run", "clap", "wave"]
    bare = Prediction(Path("b.mp4"), ("a",), np.ones((1, 1)), np.ones(1), np.zeros(1), np.zeros(1, int))
    assert str(bare) == "b.mp4: a 100.0 %"

"""Records and settings are validated when they are created; errors state the numbers that do not fit.
Settings survive JSON, and have descriptions. An answer is a class or nothing: by a class for it, or
by a threshold.
"""

import dataclasses
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from onlooker.base.answer import (
    answer_scores,
    nothing_class,
    nothing_name,
    perhaps_nothing,
    require_one_nothing,
)
from onlooker.base.config import (
    DataConfig,
    ModelConfig,
    SetConfig,
    SharedConfig,
    StreamConfig,
    TrainConfig,
)
from onlooker.base.decision import Decision
from onlooker.base.records import (
    Box,
    ClipError,
    Evaluation,
    Event,
    Frames,
    InputError,
    Prediction,
    Segment,
    Step,
    Tube,
)
from onlooker.data.transforms import NORMALIZATIONS
from onlooker.storage import StorageError

CLASSES = ("wave", "clap", "run")


def prediction(**changed: Any) -> Prediction:
    given = {
        "path": Path("clip.mp4"),
        "decision": Decision(CLASSES),
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
        "decision": Decision(CLASSES),
        "targets": np.array([1, 2]),
        "scores": scores,
        "frame_scores": (scores, scores),
    }
    return Evaluation(**{**given, **changed})


def test_a_clip_error_names_the_clip_the_problem_and_what_to_do_safely_for_a_terminal() -> None:
    error = ClipError("a\x1b[2J\n.mp4", "zero bytes \x07", "copy it again")
    for same in (error, pickle.loads(pickle.dumps(error))):
        assert str(same) == r"a\x1b[2J\n.mp4: zero bytes \x07; copy it again"
        assert (same.path, same.remedy) == (Path("a\x1b[2J\n.mp4"), "copy it again")


@pytest.mark.parametrize(
    "error",
    [
        InputError("class a has 1 clip", "add some"),
        InputError("class a has 1 clip", "add some", "clips: "),
        ClipError("a.mp4", "zero bytes", "copy it again"),
        StorageError("s3://a", "no such bucket", "check its name"),
    ],
)
def test_errors_have_their_fields_in_another_process(error: Exception) -> None:
    same = pickle.loads(pickle.dumps(error))
    assert (type(same), str(same), vars(same)) == (type(error), str(error), vars(error))


PIXELS = np.zeros((2, 4, 4, 3), np.uint8)
STEP = {
    "index": 3,
    "time": 0.1,
    "scores": np.array([0.1, 0.2, 0.7], np.float32),
    "decision": Decision(CLASSES),
}
FRAMES = {"pixels": PIXELS, "times": np.zeros(2), "indices": np.arange(2)}
BOX = {"label": "wave", "frame": 3, "corners": (0.0, 0.0, 1.0, 1.0)}
TUBE = {"label": "wave", "frames": np.array([3, 5]), "boxes": np.zeros((2, 4), np.float32)}
SEGMENT = {"label": "wave", "start": 0, "end": 1}


@pytest.mark.parametrize(
    ("make", "given", "changed", "message"),
    [
        (
            Frames,
            FRAMES,
            {"pixels": PIXELS[..., 0]},
            r"pixels has shape \(2, 4, 4\), expected 4",
        ),
        (
            Frames,
            FRAMES,
            {"pixels": PIXELS / 1},
            r"pixels are float64 \(2, 4, 4, 3\), expected uint8",
        ),
        (Frames, FRAMES, {"times": np.zeros(3)}, "times has 3 entries, expected 2"),
        (Step, STEP, {"scores": np.zeros(2)}, "scores has 2 entries"),
        (prediction, {}, {"scores": np.zeros(2)}, "scores has 2 entries"),
        (
            prediction,
            {},
            {"frame_scores": np.zeros((2, 4))},
            "frame_scores have 4 columns for 3 classes",
        ),
        (
            prediction,
            {},
            {"attention": np.zeros((2, 4))},
            r"attention has shape \(2, 4\), expected 3 dimensions",
        ),
        (evaluation, {}, {"scores": np.zeros((2, 4))}, "scores have 4 columns for 3 classes"),
        (evaluation, {}, {"thresholds": np.zeros(3)}, "thresholds has 3 entries, expected 2"),
        (Box, BOX, {"corners": (2, 0, 1, 1)}, "a box ends before it begins"),
        (
            Box,
            BOX,
            {"corners": (0, 0, float("nan"), 1)},
            r"a box or its score .* is not finite",
        ),
        (Box, BOX, {"score": float("inf")}, r"score \(inf\) is not finite"),
        (Tube, TUBE, {"frames": np.array([3, 3])}, "frames of a tube are not ascending"),
        (
            Tube,
            TUBE,
            {"frames": np.zeros(0, int), "boxes": np.zeros((0, 4))},
            "or there are none",
        ),
        (Tube, TUBE, {"boxes": np.zeros((2, 5))}, r"boxes have shape \(2, 5\), expected T 4"),
        (
            Tube,
            TUBE,
            {"boxes": np.full((2, 4), np.nan)},
            r"a box or its score .* is not finite",
        ),
        *(
            (Segment, SEGMENT, {"start": a, "end": b}, "expected 0 <= start < end")
            for a, b in [(1, 1), (2, 1), (-1, 1), (0, float("inf")), (float("nan"), 1)]
        ),
    ],
)
def test_invalid_records(
    make: Any, given: dict[str, Any], changed: dict[str, Any], message: str
) -> None:
    make(**given)
    with pytest.raises(ValueError, match=message):
        make(**{**given, **changed})


def test_a_time_belongs_to_the_event_that_contains_it() -> None:
    seen = replace(
        prediction(), segments=(Segment("wave", 2.0, 3.0), Segment("wave", 0.5, 1.0))
    )
    events = [seen.event_at(time) for time in (0.0, 0.5, 0.99, 1.0, 2.5)]
    assert [event and event.start for event in events] == [None, 0.5, 0.5, None, 2.0]


def test_plain_values_are_copies_also_of_the_events_of_a_stream() -> None:
    segments = (Segment("wave", 0.5, 1.0), Event("run", 2, 3, 0.5, "camera"))
    record = prediction(segments=segments)
    values = record.to_dict()
    assert json.loads(json.dumps(values["segments"])) == [
        {"label": "wave", "start": 0.5, "end": 1.0, "score": 1.0},
        {"label": "run", "start": 2, "end": 3, "score": 0.5},
    ]
    for segment in values["segments"]:
        segment.clear()
    assert record.segments == segments


def test_a_printed_prediction_is_a_few_lines_without_arrays() -> None:
    scores = np.array([0.2, 0.7, 0.1], np.float32)
    tube = Tube("run", np.arange(2), np.array([[0, 10, 20, 30], [2, 12, 22, 32]], np.float32))
    segments = (Segment("run", 2.0, 3.0), Segment("clap", 0.0, 1.0), Segment("run", 0.5, 1.25))
    prediction = Prediction(
        Path("folder/a.mp4"),
        Decision(("clap", "run", "wave")),
        np.tile(scores, (4, 1)),
        scores,
        np.arange(4) / 2,
        np.arange(4),
        tubes=(tube,),
        segments=segments,
    )
    # a recording has no class and no mean box
    assert str(prediction) == (
        "a.mp4: 3 events\n  clap 0.0 to 1.0 s\n  run 0.5 to 1.2 s\n  run 2.0 to 3.0 s"
    )
    assert str(replace(prediction, segments=segments[::2])) == (
        "a.mp4: run 70.0 %, then clap 20.0 %\n"
        "  when: 0.5 to 1.2, 2.0 to 3.0 s\n"
        "  where: 1 11 21 31 (mean box, x1 y1 x2 y2)"
    )
    assert repr(prediction) == str(prediction)
    bare = Prediction(
        Path("b.mp4"),
        Decision(("a",)),
        np.ones((1, 1)),
        np.ones(1),
        np.zeros(1),
        np.zeros(1, int),
    )
    assert str(bare) == "b.mp4: a 100.0 %"


CONFIGS = (DataConfig, ModelConfig, SetConfig, SharedConfig, StreamConfig, TrainConfig)


@pytest.mark.parametrize(
    ("config", "changed", "message"),
    [
        (
            DataConfig,
            {"size": 7},
            "size is 7, expected at least 8 and at most 4096. Height and width in pixels",
        ),
        (DataConfig, {"channels": 2}, r"channels is 2, expected 1 \(grayscale\) or 3 \(RGB\)"),
        (
            DataConfig,
            {"frames": 10_000, "size": 4096},
            "503,316.5 MB, at most 4,295.0 MB are possible; use fewer",
        ),
        (DataConfig, {"scale": 1.0}, "scale is 1.0, expected at least 0 and below 1"),
        (
            DataConfig,
            {"modality": "sound"},
            "modality is 'sound', expected rgb, flow or both. Model input",
        ),
        (DataConfig, {"hflip": 1}, "hflip is 1, expected true or false. Mirror half"),
        (ModelConfig, {"hidden": True}, "hidden is True, expected a whole number"),
        (
            ModelConfig,
            {"pretrained": "yes"},
            "pretrained is 'yes', expected true or false or none",
        ),
        (TrainConfig, {"batch": 0}, "batch is 0, expected at least 1"),
        (TrainConfig, {"lr": 0.0}, "lr is 0.0, expected above 0"),
        (TrainConfig, {"lr": float("nan")}, "lr is nan, expected above 0"),
        (
            TrainConfig,
            {"aggregation": "product", "loss": "last"},
            "aggregation is 'product' and loss is 'last'",
        ),
        (
            StreamConfig,
            {"rate": float("inf")},
            "rate is inf, expected a finite number. Frames per second",
        ),
    ],
)
def test_invalid_settings_are_errors(
    config: Any, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changed)


@pytest.mark.parametrize(
    ("settings", "aggregation"),
    [
        ({}, "mean"),
        ({"loss": "last"}, "last"),
        ({"aggregation": "product"}, "product"),
        ({"aggregation": "last"}, "last"),
    ],
)
def test_clips_are_scored_as_trained_unless_aggregation_is_given(
    settings: dict[str, Any], aggregation: str
) -> None:
    assert TrainConfig(**settings).resolved_aggregation == aggregation


def test_choices_are_the_names_in_the_tables_of_the_library() -> None:
    allowed = {
        field.name: set(get_args(field.type))
        for config in CONFIGS
        for field in dataclasses.fields(config)
    }
    assert allowed["normalization"] == {"auto", *NORMALIZATIONS}


@pytest.mark.parametrize("config", CONFIGS)
def test_settings_survive_json(config: Any) -> None:
    assert config.from_dict(json.loads(json.dumps(config().to_dict()))) == config()


@pytest.mark.parametrize(
    ("left_out", "added", "message"),
    [
        ((), {"speed": 0.2}, "TrainConfig has no setting speed; .*batch, .*lr.*, weight_decay"),
        (("epochs", "lr"), {}, "training has no epochs, lr$"),
    ],
    ids=["an unknown one lists those that exist", "missing ones are named"],
)
def test_a_file_with_other_settings_is_an_error(
    left_out: tuple[str, ...], added: dict[str, float], message: str
) -> None:
    known = TrainConfig().to_dict()
    assert TrainConfig.from_field({"training": known}, "training") == TrainConfig()
    changed = {name: value for name, value in known.items() if name not in left_out}
    with pytest.raises(ValueError, match=message):
        TrainConfig.from_field({"training": {**changed, **added}}, "training")


def answered(scores: list[float], decision: Decision) -> Prediction:
    """The prediction of a clip of one frame."""
    of_clip = np.array(scores, np.float32)
    one = {"times": np.zeros(1), "indices": np.zeros(1, int), "attention": None}
    return prediction(decision=decision, frame_scores=of_clip[None], scores=of_clip, **one)


@pytest.mark.parametrize(
    ("classes", "given", "position"),
    [
        (("fight", "None"), None, 1),
        (("NOTHING", "fight"), None, 0),
        (("a", "Background", "b"), None, 1),
        (("nothing new", "a"), None, None),
        (("Swipe", "No gesture"), None, 1),
        (("no_event", "fall"), None, 0),
        (("Idle", "walk"), None, 0),
        (("fall", "no-activity"), None, 1),
        (("Normal", "fall"), None, None),
        (("other", "fall"), None, None),
        (("north", "south"), None, None),
        (("idle", "none"), None, 1),
        (("Normal", "fall", "idle"), "Normal", 0),
        (("Normal", "fall", "idle"), "", None),
        (("Normal", "fall"), "gone", None),
    ],
)
def test_the_class_for_nothing_has_a_usual_name_or_is_given(
    classes: tuple[str, ...], given: str | None, position: int | None
) -> None:
    assert nothing_class(classes, given) == position
    expected = "nothing" if position is None else classes[position]
    assert nothing_name(classes, given) == expected


def test_nothing_is_one_class_that_exists() -> None:
    assert nothing_name(("nothing", "fall"), "") == "no event", (
        "the class of this name is an event"
    )
    for several in (("none", "fight", "Nothing"), ("none", "Nothing")):
        with pytest.raises(
            ValueError,
            match="none and Nothing mean the same, that nothing happens; make one class",
        ):
            require_one_nothing(several)
        require_one_nothing(several, "none")
        require_one_nothing(several, "")
    with pytest.raises(
        ValueError,
        match="nothing is 'gone', expected a class: Normal, fall; or '' for none of them",
    ):
        require_one_nothing(("Normal", "fall"), "gone")


def test_ambiguous_names_are_asked_about() -> None:
    names = ("Normal", "other", "NonViolence", "no_fall", "Not falling", "Doing other things")
    assert perhaps_nothing((*names, "fall", "north", "nodding", "NORTH")) == [*names]
    assert perhaps_nothing((*names, "nothing")) == []


def test_answers_of_clips_frames_and_records_are_one_decision() -> None:
    random = np.random.default_rng(0)
    names = ("none", "fall", "fight")
    scores = random.dirichlet(np.ones(3), (7, 5)).astype(np.float32)
    for nothing in (None, "fight", ""):
        for threshold in (None, 0.0, 0.4, 0.7):
            decision = Decision(names, threshold=threshold, nothing=nothing)
            answers = decision.decide(scores)
            labels = [decision.answer_names[k] for k in answers.ravel()]
            made = [answered([*of], decision) for of in scores.reshape(-1, 3)]
            assert [of.label for of in made] == labels
            expected = answer_scores(scores, answers).ravel()
            assert [of.score for of in made] == pytest.approx(expected.tolist())
    thresholds = np.array([0.1, np.nan, 0.9, np.nan, 0.4])
    decision = Decision(names)
    for t, threshold in enumerate((0.1, None, 0.9, None, 0.4)):
        one = decision.with_threshold(threshold)
        assert (decision.decide(scores, thresholds)[:, t] == one.decide(scores[:, t])).all()


@pytest.mark.parametrize(
    ("scores", "threshold", "ranking"),
    [
        ([0.6, 0.3, 0.1], None, [("none", 0.6), ("fall", 0.3), ("fight", 0.1)]),
        ([0.6, 0.3, 0.1], 0.3, [("fall", 0.3), ("none", 0.6), ("fight", 0.1)]),
        ([0.6, 0.3, 0.1], 0.31, [("none", 0.6), ("fall", 0.3), ("fight", 0.1)]),
        ([0.1, 0.3, 0.6], 0.61, [("none", 0.1), ("fight", 0.6), ("fall", 0.3)]),
    ],
)
def test_an_event_that_reaches_the_threshold_is_predicted(
    scores: list[float], threshold: float | None, ranking: list[tuple[str, float]]
) -> None:
    answer = answered(scores, Decision(("none", "fall", "fight"), threshold=threshold))
    assert answer.ranking == [(name, pytest.approx(score)) for name, score in ranking]
    assert (answer.label, answer.score) == answer.ranking[0]


@pytest.mark.parametrize(
    ("scores", "threshold", "text", "runner_up"),
    [
        ([0.6, 0.3, 0.1], None, "none 60 %", ("fall", pytest.approx(0.3))),
        ([0.04, 0.0, 0.96], 0.99, "none (best: fight 96 %, needs 99 %)", None),
        ([0.015, 0.0, 0.985], 0.99, "none (best: fight 98.5 %, needs 99 %)", None),
        ([0.6, 0.3, 0.1], 0.5, "none 60 %", ("fall", pytest.approx(0.3))),
        ([0.6, 0.3, 0.1], 0.2, "fall 30 %", None),
    ],
)
def test_no_runner_up_is_above_the_answer(
    scores: list[float],
    threshold: float | None,
    text: str,
    runner_up: tuple[str, float] | None,
) -> None:
    answer = answered(scores, Decision(("none", "fall", "fight"), threshold=threshold))
    assert (answer.answer, answer.runner_up) == (text, runner_up)

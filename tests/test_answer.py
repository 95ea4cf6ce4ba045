"""Predicting `nothing`: by a class, by a threshold, and in a stream where no event goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onlooker.base.answer import (
    answer_names,
    answer_scores,
    decide,
    nothing_class,
    nothing_name,
    perhaps_nothing,
    require_one_nothing,
)
from onlooker.base.records import Prediction


def prediction(
    scores: list[float], classes: tuple[str, ...], threshold: float | None
) -> Prediction:
    of_clip = np.array(scores, np.float32)
    return Prediction(
        Path("a.mp4"),
        classes,
        of_clip[None],
        of_clip,
        np.zeros(1),
        np.zeros(1, int),
        threshold=threshold,
    )


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
        position = nothing_class(names, nothing)
        answers = answer_names(names, nothing)
        for threshold in (None, 0.0, 0.4, 0.7):
            labels = [answers[k] for k in decide(scores, position, threshold).ravel()]
            made = [
                replace(prediction([*of], names, threshold), nothing=nothing)
                for of in scores.reshape(-1, 3)
            ]
            assert [of.label for of in made] == labels
            expected = answer_scores(scores, decide(scores, position, threshold)).ravel()
            assert [of.score for of in made] == pytest.approx(expected.tolist())
    thresholds = np.array([0.1, np.nan, 0.9, np.nan, 0.4])
    for t, threshold in enumerate((0.1, None, 0.9, None, 0.4)):
        assert (decide(scores, 0, thresholds)[:, t] == decide(scores[:, t], 0, threshold)).all()


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
    answer = prediction(scores, ("none", "fall", "fight"), threshold)
    assert answer.ranking == [(name, pytest.approx(score)) for name, score in ranking]
    assert (answer.label, answer.score) == answer.ranking[0]

"""Actors of a prediction, and times of its events."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from onlooker.base.records import Prediction, Segment, Tube
from onlooker.formats.annotations import Interval, of_prediction

CLASSES = ("jump", "wave")
BOXES = np.array([[10, 20, 30, 60], [12, 20, 32, 60]], np.float32)


def prediction(scores: tuple[float, float] = (0.2, 0.8)) -> Prediction:
    tubes = (
        Tube("wave", np.array([3, 4]), BOXES, 0.7),
        Tube("wave", np.array([4, 5]), BOXES + 50, 0.3),
        Tube("jump", np.array([4]), BOXES[1:], 0.1),  # the first thing again, as another class
    )
    segments = (Segment("wave", 0.5, 2.0, 0.8), Segment("jump", 0.0, 0.5, 0.2))
    of_frames = np.tile(np.float32(scores), (2, 1))
    return Prediction(
        Path("x/clip.mp4"),
        CLASSES,
        of_frames,
        np.float32(scores),
        np.array([0.0, 1.0]),
        np.array([0, 5]),
        size=(240, 320),
        tubes=tubes,
        segments=segments,
    )


def test_each_actor_has_one_tube_that_of_the_predicted_class_if_there_is_one() -> None:
    seen = prediction()
    assert seen.actors == seen.tubes[:2]
    other = prediction((0.8, 0.2))
    assert other.actors == (other.tubes[2], other.tubes[1])


def test_an_answer_of_nothing_has_no_box() -> None:
    seen = replace(prediction((0.25, 0.25)), threshold=0.3)
    assert seen.actors == ()
    assert of_prediction(replace(seen, segments=())) == {seen.path: []}


def test_a_file_has_the_times_of_all_events_in_their_order() -> None:
    expected = [Interval("jump", 0.0, 0.5, 0.2), Interval("wave", 0.5, 2.0, 0.8)]
    assert of_prediction(prediction()) == {Path("x/clip.mp4"): expected}

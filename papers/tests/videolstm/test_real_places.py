"""Points and boxes of real clips against true tubes, in pixels of the video."""

from pathlib import Path

import numpy as np
import pytest

from onlooker.base.decision import Decision
from onlooker.base.records import Prediction, Tube
from onlooker_papers.videolstm.real_places import (
    Seen,
    figures_of,
    frame_figures,
    in_the_middle,
    mean_figures,
)

CLASSES = ("Basketball", "Surfing")


def seen(box: tuple[float, float, float, float], scores: tuple[float, float] = (1.0, 0.0)) -> Seen:
    """A clip of 8 frames of 40×80 pixels, sampled at four, whose tube is the upper left quarter."""
    indices = np.array([0, 2, 4, 7])
    tubes = tuple(
        Tube(name, np.arange(8), np.tile(np.float32([0, 0, 40, 20]), (8, 1)), score)
        for name, score in sorted(zip(CLASSES, scores, strict=True), key=lambda pair: -pair[1])
        if score
    )
    prediction = Prediction(
        Path("clip"),
        Decision(CLASSES),
        np.tile(np.float32(scores), (4, 1)),
        np.float32(scores),
        indices / 8,
        indices,
        size=(40, 80),
        tubes=tubes,
        points=np.tile(np.float32([20, 10]), (4, 1)),
    )
    return Seen(prediction, [Tube("Basketball", np.arange(8), np.tile(np.float32(box), (8, 1)))])


def test_a_box_on_the_true_one_finds_it_and_elsewhere_does_not() -> None:
    there = figures_of([seen((0, 0, 40, 20))])
    assert (
        there["video_map_50"]
        == there["peak_in_box"]
        == there["center_in_box"]
        == there["iou_50"]
        == 1
    )
    elsewhere = figures_of([seen((60, 30, 80, 40))])
    assert elsewhere["video_map_20"] == elsewhere["peak_in_box"] == elsewhere["iou_30"] == 0
    assert elsewhere["shown"] == 1
    wrong = figures_of([seen((0, 0, 40, 20), (0.0, 1.0))])
    assert (wrong["video_map_20"], wrong["peak_in_box"]) == (0, 1), "the place, but not the class"
    center = figures_of([in_the_middle(seen((20, 10, 60, 30)))])
    assert center["video_map_50"] == center["peak_in_box"] == 1


def test_frames_without_a_true_box_are_left_out_and_those_without_a_predicted_one_are_misses() -> (
    None
):
    one = seen((0, 0, 40, 20))
    later = Seen(
        one.prediction,
        [Tube("Basketball", np.arange(4, 8), np.tile(np.float32((0, 0, 40, 20)), (4, 1)))],
    )
    assert np.isfinite(later.true_boxes).all(-1)[:, 0].tolist() == [False, False, True, True]
    boxes = later.boxes.astype(np.float64)
    boxes[3] = np.nan
    points = np.tile((5.0, 5.0), (4, 1))
    figures = frame_figures(points, boxes, later.true_boxes.astype(np.float64))
    assert {name: values.tolist() for name, values in figures.items()} == {
        "peak_in_box": [1, 1],
        "center_in_box": [1, 0],
        "shown": [1, 0],
        "iou": [1, 0],
        "iou_30": [1, 0],
        "iou_50": [1, 0],
    }
    assert mean_figures([figures, figures])["iou_50"] == pytest.approx(0.5)

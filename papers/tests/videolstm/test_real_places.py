"""Points and boxes of real clips against true tubes, in pixels of the video."""

import numpy as np

from onlooker.data.samples import Sample
from onlooker.localization.parameters import LocalizationParameters
from onlooker.structures import Tube
from onlooker_papers.videolstm.real_places import Seen, figures_of, point_in_box, true_boxes

CLASSES = ("Basketball", "Surfing")


def seen(box: tuple[float, float, float, float], scores: tuple[float, float] = (1.0, 0.0)) -> Seen:
    """A clip of 8 frames of 40×80 pixels, sampled at four, whose attention is on the upper left quarter."""
    attention = np.zeros((4, 4, 4), np.float32)
    attention[:, :2, :2] = 0.25
    pixels = np.zeros((4, 32, 32, 3), np.uint8)
    indices = np.array([0, 2, 4, 7])
    sample = Sample(pixels, indices / 8, indices, np.arange(4)[None], (40, 80), pixels)
    tube = Tube("Basketball", np.arange(8), np.tile(np.float32(box), (8, 1)))
    return Seen("clip", sample, np.tile(np.float32(scores), (4, 1)), {"attention": attention}, [tube])


def test_attention_on_the_box_finds_it_and_elsewhere_does_not() -> None:
    parameters = LocalizationParameters(onset=0.0)
    there = figures_of([seen((0, 0, 40, 20))], "attention", CLASSES, parameters)
    assert there["video_map_50"] == there["point_in_box"] == 1
    elsewhere = figures_of([seen((60, 30, 80, 40))], "attention", CLASSES, parameters)
    assert elsewhere["video_map_20"] == elsewhere["point_in_box"] == 0
    wrong = figures_of([seen((0, 0, 40, 20), (0.0, 1.0))], "attention", CLASSES, parameters)
    assert (wrong["video_map_20"], wrong["point_in_box"]) == (0, 1)  # the place, but not the class
    center = figures_of([seen((20, 10, 60, 30))], "center", CLASSES, parameters)
    assert center["video_map_50"] == center["point_in_box"] == 1


def test_frames_without_a_box_are_left_out() -> None:
    one = seen((0, 0, 40, 20))
    later = Tube("Basketball", np.arange(4, 8), np.tile(np.float32((0, 0, 40, 20)), (4, 1)))
    boxes = true_boxes(Seen(one.name, one.sample, one.scores, one.maps, [later]))
    assert np.isfinite(boxes).all(-1)[:, 0].tolist() == [False, False, True, True]
    inside = point_in_box(np.tile((5.0, 5.0), (4, 1)), boxes)
    assert np.isnan(inside[:2]).all()
    assert inside[2:].tolist() == [1, 1]

"""A prediction has tubes in pixels of its video, and segments in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onlooker.localization import localize
from onlooker.localization.parameters import LocalizationParameters
from onlooker.structures import Prediction

PARAMETERS = LocalizationParameters(foreground="contrast", threshold=0.05, closing=0.0)


def seen(attention: np.ndarray | None, size: tuple[int, int] | None = (120, 160)) -> Prediction:
    scores = np.full((6, 2), 0.1, np.float32)
    scores[:, 0] = [0.1, 0.9, 0.9, 0.9, 0.1, 0.1]
    scores[:, 1] = 1 - scores[:, 0]
    indices = np.arange(6) * 5
    return Prediction(
        Path("a.mp4"), ("wave", "rest"), scores, scores.mean(0), indices / 10, indices, attention, size=size
    )


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A bright 8×8 square in 32×32 frames, and a 4×4 map that attends to it."""
    frames, maps = np.full((6, 32, 32, 3), 20, np.uint8), np.full((6, 4, 4), 0.01, np.float32)
    for t in range(6):
        cell = min(t, 3)
        frames[t, 8:16, 8 * cell : 8 * cell + 8] = 220
        maps[t, 1, cell] = 1
    return frames, maps / maps.sum((1, 2), keepdims=True)


def test_tubes_are_in_pixels_of_the_video_and_segments_in_its_seconds() -> None:
    frames, maps = scene()
    found = localize(seen(maps), frames, PARAMETERS)
    (tube,) = (tube for tube in found.tubes if tube.label == "wave")
    assert tube.frames.tolist() == list(range(5, 16))  # one a frame of the video, also between those looked at
    # 160 / 32 = 5 pixels across and 120 / 32 = 3.75 pixels down for each of a sample's.
    np.testing.assert_allclose(tube.boxes[0], [8 * 5, 8 * 3.75, 16 * 5, 16 * 3.75])
    np.testing.assert_allclose(tube.boxes[-1], [24 * 5, 8 * 3.75, 32 * 5, 16 * 3.75])
    (segment,) = (one for one in found.segments if one.label == "wave")
    assert (segment.start, segment.end) == pytest.approx((0.25, 1.75))
    assert found.points is not None
    cells = np.minimum(np.arange(6), 3)
    assert (8 * 5 * cells < found.points[:, 0]).all()
    assert (found.points[:, 0] < 8 * 5 * (cells + 1)).all()
    assert ((found.points[:, 1] > 8 * 3.75) & (found.points[:, 1] < 16 * 3.75)).all()
    np.testing.assert_array_equal(found.at(np.array([2])).points, found.points[2:3])
    np.testing.assert_array_equal(found.scores, seen(maps).scores)


def test_tubes_and_segments_have_the_duration_of_the_evidence() -> None:
    frames, maps = scene()
    evidence = np.array([-9, -9, -9, 4, 3.9, -9], np.float32)
    found = localize(replace(seen(maps), evidence=evidence), frames, PARAMETERS)
    for label in ("wave", "rest"):
        (tube,) = (tube for tube in found.tubes if tube.label == label)
        assert tube.frames.tolist() == list(range(15, 21))
        (segment,) = (one for one in found.segments if one.label == label)
        assert (segment.start, segment.end) == pytest.approx((1.25, 2.25))
    assert found.at(np.array([3])).evidence == np.array([4], np.float32)
    with pytest.raises(ValueError, match="evidence"):
        replace(seen(maps), evidence=evidence[:3])


def test_without_attention_there_are_segments_and_no_tubes() -> None:
    found = localize(seen(None), scene()[0], PARAMETERS)
    assert found.tubes == ()
    assert found.segments


def test_boxes_need_the_size_of_the_video() -> None:
    frames, maps = scene()
    with pytest.raises(ValueError, match=r"give size, \(height, width\)"):
        localize(seen(maps, None), frames, PARAMETERS)

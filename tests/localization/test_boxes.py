"""Boxes of maps whose middle and extent are known, with and without a foreground."""

from dataclasses import replace

import numpy as np
import pytest

from saccade.localization.boxes import Candidates, blank_outside, box_mask, cut_boxes, find_boxes, label_boxes
from saccade.localization.parameters import LocalizationParameters

PLAIN = LocalizationParameters(threshold=0.5, closing=0)


def rectangle(*places: tuple[int, int, int, int, float], size: tuple[int, int] = (40, 60)) -> np.ndarray:
    weights = np.zeros((1, *size), np.float32)
    for x1, y1, x2, y2, weight in places:
        weights[0, y1:y2, x1:x2] = weight
    return weights


def test_a_rectangle_is_its_own_box() -> None:
    (found,) = cut_boxes(rectangle((10, 5, 22, 11, 1.0)), PLAIN)
    assert found.corners.tolist() == [[10, 5, 22, 11]]
    assert found.concentration.tolist() == [pytest.approx(1 - 12 * 6 / 2400)]


def test_several_boxes_come_with_their_shares_the_surest_first() -> None:
    weights = rectangle((0, 0, 4, 4, 1.0), (30, 20, 40, 30, 0.8), (50, 0, 52, 2, 0.4))
    (one,), (two,) = cut_boxes(weights, PLAIN), cut_boxes(weights, replace(PLAIN, most=5))
    assert one.corners.tolist() == [[30, 20, 40, 30]]
    assert two.corners.tolist() == [[30, 20, 40, 30], [0, 0, 4, 4]]  # the third is below half of the highest
    total = 16 + 80 + 1.6
    np.testing.assert_allclose(two.concentration, [80 / total - 100 / 2400, 16 / total - 16 / 2400], rtol=1e-5)


def test_gaps_are_closed_as_a_share_of_the_frame() -> None:
    weights = rectangle((10, 10, 14, 20, 1.0), (16, 10, 20, 20, 1.0))
    (apart,), (joined,) = cut_boxes(weights, PLAIN), cut_boxes(weights, replace(PLAIN, closing=0.05))
    assert len(apart) == 1
    assert joined.corners.tolist() == [[10, 10, 20, 20]]


def test_a_uniform_map_and_no_map_have_no_box() -> None:
    frames = np.zeros((2, 33, 47, 1), np.uint8)
    maps = np.stack((np.full((7, 7), 1 / 49), np.zeros((7, 7))))
    assert [len(here) for here in find_boxes(maps, frames, PLAIN)] == [0, 0]


def test_concentration_tells_a_sharp_map_from_a_flat_one() -> None:
    frames = np.zeros((3, 64, 64, 1), np.uint8)
    sharp = np.zeros((8, 8))
    sharp[3, 4] = 1
    maps = np.stack([share * sharp + (1 - share) / 64 for share in (1.0, 0.5, 0.02)])
    found = [float(here.concentration[0]) for here in find_boxes(maps, frames, PLAIN)]
    assert found[0] > found[1] > found[2] >= 0
    assert found[2] < 0.1


def test_a_box_is_at_the_middle_of_its_cell_in_any_frame() -> None:
    maps = np.zeros((1, 7, 7))
    maps[0, 2, 5] = 1
    x1, y1, x2, y2 = find_boxes(maps, np.zeros((1, 210, 350, 3), np.uint8), PLAIN)[0].corners[0]
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == (pytest.approx(275, abs=1), pytest.approx(75, abs=1))


def test_a_foreground_gives_the_things_size_and_its_absence_the_maps() -> None:
    frames = np.zeros((2, 64, 64, 1), np.uint8)
    frames[0, 20:31, 25:34] = 255
    frames[0, 50:, :10] = 255  # not attended to
    maps = np.zeros((2, 8, 8))
    maps[:, 3, 3] = 1
    seen = replace(PLAIN, foreground="contrast", threshold=0.05)
    found = find_boxes(maps, frames, seen)
    assert found[0].corners.tolist() == [[25, 20, 34, 31]]
    alone = find_boxes(maps, frames, replace(seen, foreground="none"))
    np.testing.assert_array_equal(found[1].corners, alone[1].corners)


def test_a_batch_of_frames_equals_each_alone() -> None:
    rng = np.random.default_rng(0)
    maps = rng.dirichlet(np.full(64, 0.2), 6).reshape(6, 8, 8)
    frames = rng.integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    seen = LocalizationParameters(foreground="contrast", most=3)
    together = find_boxes(maps, frames, seen)
    for t in range(6):
        (alone,) = find_boxes(maps[t : t + 1], frames[t : t + 1], seen)
        np.testing.assert_array_equal(alone.corners, together[t].corners)


def test_labels_and_scores_of_boxes() -> None:
    here = Candidates(np.array([[0, 0, 2, 2], [1, 1, 4, 4]], np.float32), np.array([0.5, 0.25], np.float32))
    none = Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    scores = np.array([[0.8, 0.195, 0.005], [0.1, 0.1, 0.8]], np.float32)
    found = label_boxes([here, none], scores, np.array([7, 9]), ("a", "b", "c"))
    assert [(box.label, box.frame, box.corners[2]) for box in found] == [
        ("a", 7, 2), ("a", 7, 4), ("b", 7, 2), ("b", 7, 4)
    ]  # fmt: skip
    assert [box.score for box in found] == pytest.approx([0.4, 0.2, 0.0975, 0.04875])


def test_blanking_keeps_the_boxes_and_nothing_else() -> None:
    samples = np.random.default_rng(0).integers(1, 100, (2, 5, 6, 3), dtype=np.uint8)
    mask = box_mask([np.array([[1.2, 0.0, 3.0, 2.0], [-4, 3, 2, 9]]), np.zeros((0, 4))], (5, 6))
    assert mask[0].sum() == 2 * 2 + 2 * 2
    assert not mask[1].any()
    blanked = blank_outside(samples, mask, [0, 128, 128])
    assert np.array_equal(blanked[mask], samples[mask])
    assert (blanked[~mask] == [0, 128, 128]).all()


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"frames are uint8 \(2, 8, 8, 1\) for 3 maps"):
        find_boxes(np.ones((3, 2, 2)), np.zeros((2, 8, 8, 1), np.uint8), PLAIN)
    with pytest.raises(ValueError, match=r"frame_scores have shape \(1, 2\) for 1 frames and 3 classes"):
        label_boxes(cut_boxes(rectangle(), PLAIN), np.ones((1, 2)), np.arange(1), ("a", "b", "c"))
    with pytest.raises(ValueError, match=r"corners have shape \(1, 4\) for 2 boxes"):
        Candidates(np.zeros((1, 4), np.float32), np.zeros(2, np.float32))

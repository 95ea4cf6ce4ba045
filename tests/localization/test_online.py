"""Localization of a stream: boxes without later frames."""

import numpy as np

from onlooker.localization import find_boxes
from onlooker.localization.boxes import Rectangles
from onlooker_papers.detection import box_iou


def scene(frames: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A bright square that moves to the right, and a noisy map that follows it."""
    chance = np.random.default_rng(0)
    pictures = np.full((frames, 48, 48, 3), 30, np.uint8)
    maps = chance.uniform(0, 0.01, (frames, 6, 6))
    for t in range(frames):
        pictures[t, 16:24, 3 * t : 3 * t + 8] = 210
        maps[t, 2, (3 * t + 4) // 8] += 1
    return pictures, (maps / maps.sum((1, 2), keepdims=True)).astype(np.float32)


def streamed(pictures: np.ndarray, maps: np.ndarray) -> list[Rectangles]:
    places = None
    found = []
    for picture, of_frame in zip(pictures, maps, strict=True):
        _, rectangles, places = find_boxes(places, of_frame, picture)
        found.append(rectangles)
    return found


def test_boxes_follow_what_moves_and_do_not_depend_on_later_frames() -> None:
    pictures, maps = scene()
    found = streamed(pictures, maps)
    assert not len(found[0].weights), "one frame does not move"
    expected = np.array([[3 * t, 16, 3 * t + 8, 24] for t in range(12)]) / 48
    overlaps = box_iou(np.stack([of.corners[0] for of in found[2:]]), expected[2:])
    assert (overlaps > 0.3).all(), overlaps
    for ours, theirs in zip(streamed(pictures[:5], maps[:5]), found[:5], strict=True):
        np.testing.assert_array_equal(ours.corners, theirs.corners)


def test_a_still_picture_has_an_even_map_and_no_box() -> None:
    pictures, maps = scene()
    heat, found, places = find_boxes(None, maps[0], pictures[0])
    heat, found, _ = find_boxes(places, maps[0], pictures[0])
    np.testing.assert_allclose(heat, 1 / 1200, rtol=1e-5)
    assert not len(found.weights)


def test_a_frame_of_another_size_is_a_first_one() -> None:
    pictures, maps = scene()
    *_, places = find_boxes(None, maps[0], pictures[0, :24])
    _, found, after = find_boxes(places, maps[1], pictures[1])
    assert not len(found.weights)
    assert (after.scene.earlier, after.paths) == (None, None)

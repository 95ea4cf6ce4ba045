"""Boxes of maps of known position and extent, with and without a foreground."""

import cv2
import numpy as np
import pytest

from onlooker_papers.videolstm.boxes import BoxParameters, contrast, cut_boxes, find_boxes, upsample

PLAIN = BoxParameters(threshold=0.5, closing=0)


def rectangle(
    *places: tuple[int, int, int, int, float], size: tuple[int, int] = (40, 60)
) -> np.ndarray:
    weights = np.zeros((1, *size), np.float32)
    for x1, y1, x2, y2, weight in places:
        weights[0, y1:y2, x1:x2] = weight
    return weights


def test_the_box_is_the_component_with_the_largest_share_of_attention() -> None:
    (box,) = cut_boxes(
        rectangle((0, 0, 4, 4, 1.0), (30, 20, 40, 30, 0.8), (50, 0, 52, 2, 0.4)), PLAIN
    )
    assert box is not None
    assert box.corners.tolist() == [30, 20, 40, 30]
    np.testing.assert_allclose(box.concentration, 80 / (16 + 80 + 1.6) - 100 / 2400, rtol=1e-5)


def test_gaps_are_closed_as_a_share_of_the_frame() -> None:
    weights = rectangle((10, 10, 14, 20, 1.0), (16, 10, 20, 20, 1.0))
    (apart,), (joined,) = (
        cut_boxes(weights, PLAIN),
        cut_boxes(weights, PLAIN._replace(closing=0.05)),
    )
    assert apart.corners.tolist() != joined.corners.tolist() == [10, 10, 20, 20]


def test_concentration_is_high_for_a_sharp_map_and_low_for_a_flat_one() -> None:
    frames = np.zeros((3, 64, 64, 1), np.uint8)
    sharp = np.zeros((8, 8))
    sharp[3, 4] = 1
    maps = np.stack([share * sharp + (1 - share) / 64 for share in (1.0, 0.5, 0.02)])
    found = [here.concentration for here in find_boxes(maps, frames, PLAIN)]
    assert found[0] > found[1] > found[2] >= 0
    assert found[2] < 0.1


def test_a_box_is_centered_on_its_cell_in_frames_of_any_size() -> None:
    maps = np.zeros((1, 7, 7))
    maps[0, 2, 5] = 1
    x1, y1, x2, y2 = find_boxes(maps, np.zeros((1, 210, 350, 3), np.uint8), PLAIN)[0].corners
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == (pytest.approx(275, abs=1), pytest.approx(75, abs=1))


def test_boxes_have_the_size_of_the_object_with_a_foreground_and_of_the_map_without() -> None:
    frames = np.zeros((2, 64, 64, 1), np.uint8)
    frames[0, 20:31, 25:34] = 255
    frames[0, 50:, :10] = 255  # not attended to
    maps = np.zeros((2, 8, 8))
    maps[:, 3, 3] = 1
    seen = PLAIN._replace(foreground="contrast", threshold=0.05)
    found = find_boxes(maps, frames, seen)
    assert found[0].corners.tolist() == [25, 20, 34, 31]
    alone = find_boxes(maps, frames, seen._replace(foreground="none"))
    np.testing.assert_array_equal(found[1].corners, alone[1].corners)


def walking(*ways: tuple[int, int, int, int]) -> np.ndarray:
    """Squares on gray, each given by its first x and y, its side and its speed in pixels per frame:
    `6 48 64 3`.
    """
    frames = np.full((6, 48, 64, 3), 60, np.uint8)
    for x, y, side, step in ways:
        for t in range(6):
            frames[t, y : y + side, x + step * t : x + step * t + side] = 230
    return frames


def test_the_attended_object_is_boxed_as_a_whole() -> None:
    # in steps that show all of each between three frames
    frames = walking((4, 4, 8, 5), (4, 30, 10, 5))
    maps = np.full((6, 12, 16), 1e-3, np.float32)
    for t in range(6):
        maps[t, 8, (4 + 5 * t) // 4] = 1  # a corner of the lower one
    maps /= maps.sum((1, 2), keepdims=True)
    parts = BoxParameters(foreground="background", threshold=0.2)
    things = parts._replace(extent="object")
    for t, found in enumerate(find_boxes(maps, frames, things)):
        np.testing.assert_allclose(found.corners, [4 + 5 * t, 30, 14 + 5 * t, 40], atol=1)
    of_parts = np.stack([found.corners for found in find_boxes(maps, frames, parts)])
    assert (of_parts[:, 3] < 39).all(), "the lower end of the thing is hardly attended to"


def test_attention_next_to_an_object_counts_for_the_nearest_object_that_is_not_tiny() -> None:
    frames = walking((4, 4, 8, 5), (4, 30, 10, 5))
    frames[:, 44:46, 60:62] = 60 + 160 * (np.arange(6) % 2 == 0)[:, None, None, None].astype(
        np.uint8
    )
    maps = np.zeros((6, 12, 16), np.float32)
    maps[:, 11, 15] = 1  # on the speck in the corner, far below the lower one
    things = BoxParameters(foreground="background", threshold=0.2, extent="object", closing=0.0)
    for t, found in enumerate(find_boxes(maps, frames, things)):
        np.testing.assert_allclose(found.corners, [4 + 5 * t, 30, 14 + 5 * t, 40], atol=1)


def test_without_motion_the_map_is_thresholded_without_a_foreground() -> None:
    frames = np.full((3, 48, 64, 3), 60, np.uint8)
    maps = np.full((3, 12, 16), 1e-3, np.float32)
    maps[:, 4:6, 4:7] = 1
    maps /= maps.sum((1, 2), keepdims=True)
    parts = BoxParameters(foreground="motion")
    things = parts._replace(extent="object")
    for one, other in zip(
        find_boxes(maps, frames, parts), find_boxes(maps, frames, things), strict=True
    ):
        np.testing.assert_array_equal(one.corners, other.corners)
    even = np.full((3, 12, 16), 1 / 192, np.float32)
    assert find_boxes(even, walking((4, 4, 8, 5))[:3], things) == [None, None, None]


def test_the_point_is_on_the_object_though_the_highest_cell_is_next_to_it() -> None:
    frames = walking((10, 20, 6, 5), (4, 2, 6, 5))
    maps = np.zeros((6, 6, 8), np.float32)  # cells of 8 pixels
    for t in range(6):
        column = (10 + 5 * t + 3) // 8
        # its center, at 28, is below the square that ends at 26
        maps[t, 3, column] = 0.6
        maps[t, 2, column] = 0.4
    for extent in ("attention", "object"):
        parameters = BoxParameters(foreground="background", extent=extent, threshold=0.2)
        for t, found in enumerate(find_boxes(maps, frames, parameters)):
            x, y = found.point
            assert 10 + 5 * t < x < 16 + 5 * t
            assert 20 < y < 26


def test_the_point_of_an_oscillating_object_is_at_its_current_position() -> None:
    frames = np.full((9, 48, 64, 3), 60, np.uint8)
    # in the middle it has come from a side and goes back there
    for t, x in enumerate((8, 16, 24, 16) * 2 + (8,)):
        frames[t, 10:34, x : x + 8] = 230
    even_on_both = np.zeros((9, 6, 8), np.float32)
    even_on_both[:, 1:4, 1:4] = 1 / 9
    found = find_boxes(
        even_on_both, frames, BoxParameters(foreground="motion", extent="object", threshold=0.2)
    )
    for t in (2, 4, 6):
        x, y = found[t].point
        assert (24, 8, 24)[t // 2 - 1] < x < (24, 8, 24)[t // 2 - 1] + 8
        assert 10 < y < 34


@pytest.mark.parametrize("extent", ["attention", "object"])
def test_points_equal_a_loop_over_pixels(extent: str) -> None:
    chance = np.random.default_rng(1)
    maps = chance.dirichlet(np.full(30, 0.3), 4).reshape(4, 5, 6).astype(np.float32)
    frames = chance.integers(0, 256, (4, 40, 48, 3), dtype=np.uint8)
    frames[:, 10:30, 12:40] //= 4
    parameters = BoxParameters(foreground="contrast", extent=extent, threshold=0.6, closing=0.1)
    large = upsample(maps, (40, 48))
    there = contrast(frames)

    def means(values: np.ndarray, side: int) -> np.ndarray:
        """Means over a neighborhood of each pixel, reflected at the border."""
        padded = np.pad(values.astype(np.float64), side // 2, mode="reflect")
        return np.array(
            [[padded[y : y + side, x : x + side].mean() for x in range(48)] for y in range(40)]
        )

    for t, found in enumerate(find_boxes(maps, frames, parameters)):
        # Cells are 8 pixels, and gaps of a tenth of 40 pixels are 4: the nearest odd numbers.
        attended = means(means(large[t], 9), 9)
        seen = (attended + 1e-6 * attended.max()) * (means(there[t], 5) + 4 / 255) ** 2
        heavy = (
            there[t]
            if extent == "object"
            else np.where(large[t] > large[t].mean(), large[t] * (there[t] + 4 / 255), 0)
        )
        heavy = cv2.morphologyEx(
            (heavy >= 0.6 * heavy.max()).astype(np.uint8),
            cv2.MORPH_CLOSE,
            np.ones((5, 5), np.uint8),
        )
        _, parts = cv2.connectedComponents(heavy, connectivity=8)
        x, y = found.point
        piece = parts[int(y), int(x)]
        assert piece > 0
        assert seen[int(y), int(x)] == pytest.approx(seen[parts == piece].max(), rel=1e-4)

"""The motion crop: its position, its pixels, and its inverse for maps, points and boxes."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from onlooker.video.motion_crop import Crop, motion_crop

FRACTION = 0.5


def square_at(places: list[tuple[int, int]], side: int = 8, size: tuple[int, int] = (60, 90)) -> np.ndarray:
    """A bright square on a textured wall, its upper left corner at x and y."""
    wall = np.random.default_rng(0).integers(60, 120, (*size, 3), np.uint8)
    frames = np.stack([wall] * len(places))
    for frame, (x, y) in zip(frames, places, strict=True):
        frame[y : y + side, x : x + side] = 230
    return frames


def centers(windows: np.ndarray, size: tuple[int, int] = (60, 90)) -> np.ndarray:
    return (windows[:, :2] + windows[:, 2:]) / 2 * [size[1], size[0]]


def test_the_crop_contains_the_moving_object_and_lies_inside_the_frame() -> None:
    places = [(5 + 4 * t, 20 + t) for t in range(18)]
    windows = motion_crop(square_at(places), FRACTION).boxes
    assert windows.min() >= 0
    assert windows.max() <= 1
    np.testing.assert_allclose((windows[:, 2:] - windows[:, :2]) * [90, 60], 30, rtol=1e-5)  # a square in pixels
    apart = np.abs(centers(windows) - (np.array(places) + 4))
    inner = slice(3, -4)  # where the window is not held by the border
    assert apart[inner].max() < 3
    inside = (windows * [90, 60, 90, 60])[:, :2] <= np.array(places)
    assert inside.all()
    assert ((windows * [90, 60, 90, 60])[:, 2:] >= np.array(places) + 8).all()


def test_without_motion_the_crop_is_central() -> None:
    still = square_at([(5, 5)] * 4)
    np.testing.assert_allclose(centers(motion_crop(still, FRACTION).boxes), [[45, 30]] * 4, rtol=1e-5)
    np.testing.assert_allclose(centers(motion_crop(still[:1], FRACTION).boxes), [[45, 30]], rtol=1e-5)
    noisy = still + np.random.default_rng(1).integers(0, 6, still.shape, np.uint8)
    np.testing.assert_allclose(centers(motion_crop(noisy, FRACTION).boxes), [[45, 30]] * 4, rtol=1e-5)


def test_during_a_pause_the_crop_stays_on_the_object() -> None:
    places = [(80 - 5 * t, 26) for t in range(4)] + [(65, 26)] * 60
    found = centers(motion_crop(square_at(places), FRACTION).boxes)
    assert np.abs(found[4:, 0] - 69).max() < 10  # and not back in the middle, 45
    assert abs(found[-1, 0] - 69) < 6


def test_centers_are_smoothed_over_time_weighted_by_motion() -> None:
    # One pixel block a frame is lit on black; its neighbors in time tell what moves.
    frames = np.zeros((5, 40, 40, 3), np.uint8)
    for t, x in enumerate((6, 12, 12, 20, 28)):
        frames[t, 16:22, x : x + 6] = 255
    windows = motion_crop(frames, 1.0).boxes  # the whole frame: its center cannot move
    np.testing.assert_allclose(windows, [[0, 0, 1, 1]] * 5, atol=1e-6)
    share, side = 0.5, 20
    grays = [cv2.blur(frame[..., 0].astype(np.float32), (3, 3)) for frame in frames]
    steps = [np.abs(b - a) for a, b in pairwise(grays)]
    both = [steps[0], *[np.minimum(a, b) for a, b in pairwise(steps)], steps[-1]]
    expected = []
    y, x = np.mgrid[:40, :40] + 0.5
    seen = []
    for moved in both:
        moved = np.where(moved > 8, moved, 0)
        best, where = 0.0, None
        for row in range(40):
            for column in range(40):
                part = moved[max(row - 10, 0) : row + 11, max(column - 10, 0) : column + 11]
                if part.sum() > best + 1e-3:
                    best, where = float(part.sum()), (row, column)
        if where is None:
            seen.append((0.0, 0.0, 0.0))
            continue
        rows, columns = slice(max(where[0] - 10, 0), where[0] + 11), slice(max(where[1] - 10, 0), where[1] + 11)
        part = moved[rows, columns]
        seen.append(
            (
                float((part * x[rows, columns]).sum() / part.sum()),
                float((part * y[rows, columns]).sum() / part.sum()),
                float((part > 0).mean()),
            )
        )
    for t in range(5):
        weights = [np.exp(-((t - u) ** 2) / 8) * e for u, (_, _, e) in enumerate(seen)]
        expected.append(
            [sum(w * place[k] for w, place in zip(weights, seen, strict=True)) / sum(weights) for k in (0, 1)]
        )
    expected = np.clip(expected, side / 2, 40 - side / 2)
    np.testing.assert_allclose(centers(motion_crop(frames, share).boxes, (40, 40)), expected, atol=0.05)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 21])
def test_a_crop_at_its_own_resolution_is_exact(channels: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 40, channels), np.uint8)
    windows = np.array([[4 / 40, 3 / 20, 14 / 40, 13 / 20], [30 / 40, 10 / 20, 1, 1]], np.float32)
    seen = Crop(windows, (20, 40)).cut(frames, 10)
    np.testing.assert_array_equal(seen[0], frames[0, 3:13, 4:14])
    np.testing.assert_array_equal(seen[1], frames[1, 10:20, 30:40])


def test_a_map_over_a_crop_becomes_a_map_over_the_frame() -> None:
    maps = np.full((2, 4, 4), 1e-3, np.float32)
    maps[0, 1, 2], maps[1, 3, 0] = 1, 1
    maps /= maps.sum((1, 2), keepdims=True)
    windows = np.array([[0.1, 0.2, 0.5, 0.8], [0.6, 0.4, 1.0, 1.0]], np.float32)
    large = Crop(windows, (480, 640)).to_frame(maps)
    assert large.shape == (2, round(8 / 0.6), round(8 / 0.4))
    np.testing.assert_allclose(large.sum((1, 2)), 1, rtol=1e-5)
    for of_frame, (column, row), (x1, y1, x2, y2) in zip(large, ((2, 1), (0, 3)), windows, strict=True):
        y, x = np.unravel_index(of_frame.argmax(), of_frame.shape)
        place = (x + 0.5) / large.shape[2], (y + 0.5) / large.shape[1]
        cell = x1 + (column + 0.5) / 4 * (x2 - x1), y1 + (row + 0.5) / 4 * (y2 - y1)
        np.testing.assert_allclose(place, cell, atol=0.05)
        outside = np.ones_like(of_frame, dtype=bool)
        rows, columns = (np.arange(n) + 0.5 for n in of_frame.shape)
        outside[np.ix_((rows >= y1 * len(rows)) & (rows <= y2 * len(rows)),
                       (columns >= x1 * len(columns)) & (columns <= x2 * len(columns)))] = False  # fmt: skip
        assert (of_frame[outside] == 0).all()
        assert of_frame[~outside].min() > 0
    assert Crop(windows, (9, 11)).to_frame(maps).shape == (2, 9, 11)

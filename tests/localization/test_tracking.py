"""The window that follows what moves: the camera's motion is removed, and the path is the best of all."""

import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.localization.boxes import box_iou, find_boxes
from onlooker.localization.maps import motion
from onlooker.localization.online import find_box, make_causal
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tracking import GRID, WINDOW, advance, contrast, follow, stable_motion, to_corners

PARAMETERS = LocalizationParameters(foreground="stable-motion", extent="window", threshold=0.1)
H, W = 120, 160


def scene(pan: float = 0, frames: int = 12, size: tuple[int, int] = (50, 24)) -> tuple[NDArray[np.uint8], np.ndarray]:
    """A figure of `size` that walks over a textured background, seen by a camera that pans; and its boxes `T 4`."""
    random = np.random.default_rng(0)
    wide = cv2.resize(random.integers(0, 255, (30, 120, 3), dtype=np.uint8), (4 * W, H), interpolation=cv2.INTER_CUBIC)
    figure = cv2.resize(random.integers(0, 255, (10, 5, 3), dtype=np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    video, boxes = [], []
    for t in range(frames):
        x, left = 30 + 8 * t, round(pan * t)
        picture = wide[:, left : left + W].copy()
        picture[40 : 40 + size[0], x : x + size[1]] = figure
        video.append(picture)
        boxes.append([x, 40, x + size[1], 40 + size[0]])
    return np.stack(video), np.array(boxes, float)


def attention(frames: int) -> NDArray[np.float32]:
    return np.full((frames, 3, 4), 1 / 12, np.float32)


def test_without_camera_motion_it_is_the_motion_of_gray_frames() -> None:
    video, _ = scene()
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video])
    inside = np.s_[:, 4:-4, 4:-4]  # the border is not compared
    np.testing.assert_allclose(stable_motion(video)[inside], motion(gray[..., None])[inside], atol=0.02)


def test_what_the_camera_moves_does_not_count() -> None:
    video, boxes = scene(pan=6)
    moves = stable_motion(video)
    inside = np.zeros(moves.shape, bool)
    for mask, (x1, y1, x2, y2) in zip(inside, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    plain = motion(video)
    assert plain[inside].mean() < 3 * plain[~inside].mean()
    assert moves[inside].mean() > 8 * moves[~inside].mean()


@pytest.mark.parametrize("frames", [1, 2])
def test_short_clips(frames: int) -> None:
    video = scene(frames=frames)[0]
    assert stable_motion(video).shape == (frames, H, W)
    assert stable_motion(video).any() == (frames > 1)
    assert stable_motion(np.zeros((2, 8, 8, 1), np.uint8)).shape == (2, 8, 8)  # no corners, gray


def test_contrast_is_that_of_the_equation() -> None:
    energy = np.random.default_rng(1).random(GRID).astype(np.float32)
    found, cells = contrast(energy), np.sqrt(energy)
    (h, w), (y, x) = WINDOW, (30, 40)

    def mean(h: int, w: int) -> float:
        return float(cells[y - h // 2 : y - h // 2 + h, x - w // 2 : x - w // 2 + w].mean())

    around = float(cv2.boxFilter(cells, -1, (2 * w, 2 * h), borderType=cv2.BORDER_REFLECT)[y, x])
    expected = (mean(h, w) - around) / np.sqrt(cells.mean() + 1e-4)
    assert found[y // 2, x // 2] == pytest.approx(expected, abs=1e-5)


def test_the_path_is_the_best_of_all() -> None:
    """Against every path through a few places."""
    random = np.random.default_rng(2)
    maps = random.random((4, 3, 3)).astype(np.float32)
    best = maps[0]
    for here in maps[1:]:
        best, _ = advance(best, here)
    places = [*itertools.product(range(3), repeat=2)]

    def value(path: tuple[tuple[int, int], ...]) -> float:
        moves = [np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in itertools.pairwise(path)]
        return float(sum(of[place] for of, place in zip(maps, path, strict=True))) - 0.02 * sum(moves)

    assert best.max() == pytest.approx(max(map(value, itertools.product(places, repeat=4))), abs=1e-5)


def test_the_path_that_is_returned_has_the_best_sum() -> None:
    energy = stable_motion(scene(pan=6)[0])
    places, maps = follow(energy), [contrast(frame) for frame in energy]
    best = maps[0]
    for here in maps[1:]:
        best, _ = advance(best, here)
    moves = np.hypot(*np.diff(places, axis=0).T).sum()
    assert sum(of[tuple(place)] for of, place in zip(maps, places, strict=True)) - 0.02 * moves == pytest.approx(
        best.max(), abs=1e-3
    )


@pytest.mark.parametrize("pan", [0, 6])
def test_the_box_follows_a_figure_also_if_the_camera_moves(pan: float) -> None:
    video, boxes = scene(pan)
    found = find_boxes(attention(len(video)), video, PARAMETERS)
    overlap = box_iou(np.stack([of.corners[0] for of in found]), boxes)
    assert (overlap[1:] > 0.5).mean() > 0.8, overlap
    points = np.stack([of.point for of in found])
    assert ((boxes[:, :2] <= points) & (points <= boxes[:, 2:])).all(1).mean() > 0.8
    assert all(0 < of.concentration[0] < 1 for of in found)


def test_a_component_that_fits_the_window_is_the_box() -> None:
    video, boxes = scene(size=(70, 40))  # larger than the window
    found = np.stack([of.corners[0] for of in find_boxes(attention(len(video)), video, PARAMETERS)])
    windows = to_corners(follow(stable_motion(video)), (H, W))
    assert box_iou(found, boxes)[1:-1].mean() > box_iou(windows, boxes)[1:-1].mean() + 0.05


def test_a_stream_finds_the_figure_without_later_frames() -> None:
    video, boxes = scene(pan=6)
    parameters, paths, last, found = make_causal(PARAMETERS), None, None, []
    for frame, of_frame in zip(video, attention(len(video)), strict=True):
        box, paths = find_box(last, of_frame, frame, parameters, paths)
        last = frame
        found.append(box.corners[0] if len(box) else np.zeros(4))
    assert (box_iou(np.stack(found), boxes)[2:] > 0.3).mean() > 0.8
    assert paths is not None
    assert paths.max() == 0
    assert paths.min() >= -3


def test_windows_are_cut_at_the_border() -> None:
    corners = to_corners(np.array([[0, 0], [29, 39]]), (H, W))
    assert corners.min() == 0
    assert corners[1, 2:].tolist() == [W, H]
    centered = to_corners(np.array([[15, 20]]), (H, W))[0]
    assert (centered[2:] - centered[:2]).tolist() == [WINDOW[1] * 2, WINDOW[0] * 2]


def test_nothing_moves_and_nothing_is_attended_to() -> None:
    still = np.zeros((3, H, W, 3), np.uint8)
    assert [len(of) for of in find_boxes(attention(3), still, PARAMETERS)] == [0, 0, 0]
    peak = attention(3)
    peak[:, 1, 1] = 1
    found = find_boxes(peak / peak.sum((1, 2), keepdims=True), still, PARAMETERS)
    assert all(len(of) == 1 for of in found)

"""Rectangles compared with a search over all of them, and boxes of generated figures before still
and moving scenes.
"""

import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.localization import find_boxes, link
from onlooker.localization.boxes import find_rectangles, heat_maps, is_even, peaks
from onlooker.localization.motion import moving
from onlooker_papers.detection import box_iou

H = 112
W = 112


def scene(
    pan: float = 0, actors: int = 1, frames: int = 16
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A textured scene seen by a camera that pans by some pixels a frame, in which figures walk;
    and their boxes `T n 4`, as shares.
    """
    chance = np.random.default_rng(0)
    wide = cv2.resize(
        chance.integers(40, 200, (28, 80, 3), dtype=np.uint8),
        (320, H),
        interpolation=cv2.INTER_CUBIC,
    )
    video = []
    true = []
    for t in range(frames):
        left = 100 + pan * t
        shift = np.float32([[1, 0, -left], [0, 1, 0]])
        frame = cv2.warpAffine(wide, shift, (W, H), flags=cv2.INTER_LINEAR)
        corners = []
        for actor in range(actors):
            x, y = ((12 + 4 * t), 14) if actor == 0 else ((96 - 3 * t), 82)
            frame[y : y + 26, x : x + 14] = (230, 60, 20)
            corners.append([x / W, y / H, (x + 14) / W, (y + 26) / H])
        video.append(frame)
        true.append(corners)
    return np.stack(video), np.array(true)


def even_attention(frames: int) -> NDArray[np.float32]:
    return np.full((frames, 7, 7), 1 / 49, np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_the_rectangle_is_the_best_of_all(seed: int) -> None:
    h = 6
    w = 7
    heat = (
        np.random.default_rng(seed).dirichlet(np.full(h * w, 0.2)).reshape(h, w).astype(np.float32)
    )
    gain = heat - 2 * heat.mean()
    sums = {
        (x1, y1, x2, y2): gain[y1:y2, x1:x2].sum()
        for y1, x1 in itertools.product(range(h), range(w))
        for y2, x2 in itertools.product(range(y1 + 1, h + 1), range(x1 + 1, w + 1))
    }
    best = max(sums, key=lambda box: sums[box])
    found = find_rectangles(heat)
    np.testing.assert_allclose(found.corners[0], np.divide(best, (w, h, w, h)), rtol=1e-6)
    assert found.weights[0] == pytest.approx(sums[best], rel=1e-5)


def test_an_even_map_has_no_rectangle_and_no_hottest_place() -> None:
    even = np.full((2, 30, 40), 1 / 1200, np.float32)
    assert is_even(even).all()
    assert len(find_rectangles(even[0]).weights) == 0
    assert np.isnan(peaks(even)).all()
    even[1, 5, 5] *= 2
    even[1, 19:22, 9:12] *= 1.9
    np.testing.assert_allclose(peaks(even)[1], [10.5 / 40, 20.5 / 30])


@pytest.mark.parametrize(("pan", "least"), [(0, 0.5), (2.5, 0.35)])
def test_boxes_are_on_what_walks_also_if_the_camera_moves(pan: float, least: float) -> None:
    video, true = scene(pan)
    heat = heat_maps(even_attention(len(video)), moving(video))
    (track,) = link([find_rectangles(each) for each in heat])
    assert (track.first, len(track.corners)) == (0, len(video)), "in every frame"
    overlap = box_iou(track.corners, true[:, 0])
    assert (overlap > least).mean() > 0.85, overlap
    # a plain figure moves at its edges
    points = peaks(heat)
    grown = true[:, 0] + np.array([-0.06, -0.06, 0.06, 0.06])
    assert ((grown[:, :2] <= points) & (points <= grown[:, 2:])).all(1).mean() > 0.9


@pytest.mark.parametrize("pan", [0, 2.5])
def test_a_stream_finds_it_without_later_frames(pan: float) -> None:
    video, true = scene(pan)
    places = None
    overlaps = []
    for frame, attention, (expected,) in zip(video, even_attention(len(video)), true, strict=True):
        _, found, places = find_boxes(places, attention, frame)
        overlaps.append(float(box_iou(found.corners[0], expected)) if len(found.weights) else 0.0)
    assert overlaps[0] == 0
    assert (np.array(overlaps[2:]) > 0.3).mean() > 0.85, overlaps


def test_two_actors_are_two_tracks() -> None:
    video, true = scene(actors=2)
    heat = heat_maps(even_attention(len(video)), moving(video))
    tracks = link([find_rectangles(each) for each in heat])
    assert len(tracks) == 2
    nearest = []
    for track in tracks:
        there = true[track.first : track.first + len(track.corners)]
        overlap = box_iou(track.corners[:, None], there).mean(0)
        assert sorted(overlap)[0] < 0.1 < 0.4 < sorted(overlap)[1]
        nearest.append(int(overlap.argmax()))
    assert sorted(nearest) == [0, 1]


def test_attention_chooses_between_two_actors() -> None:
    video, true = scene(actors=2)
    attention = np.full((len(video), 7, 7), 0.002, np.float32)
    attention[:, 4:] = 0.05  # the lower half
    heat = heat_maps(attention, moving(video))
    tracks = link([find_rectangles(each) for each in heat])
    assert box_iou(tracks[0].corners, true[:, 1]).mean() > 0.5

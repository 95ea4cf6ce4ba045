"""The best path through rectangles compared with all paths; tubes with every frame of their video."""

import itertools

import numpy as np
import pytest

from onlooker.localization import interpolate, label_tubes, link
from onlooker.localization.boxes import Rectangles


def rectangles(*found: tuple[float, float, float]) -> Rectangles:
    """Squares of a tenth of the frame at x and y, with their weights."""
    corners = np.array([[x, y, x + 0.1, y + 0.1] for x, y, _ in found], np.float32).reshape(-1, 4)
    return Rectangles(corners, np.array([weight for *_, weight in found], np.float32))


def test_the_path_is_the_best_of_all() -> None:
    chance = np.random.default_rng(0)
    frames = [rectangles(*chance.random((3, 3)).tolist()) for _ in range(5)]

    def value(path: tuple[int, ...]) -> float:
        at = [of.corners[j] for of, j in zip(frames, path, strict=True)]
        moved = sum(float(np.abs(a[:2] - b[:2]).sum()) for a, b in itertools.pairwise(at))
        return sum(float(of.weights[j]) for of, j in zip(frames, path, strict=True)) - 0.5 * moved

    best = max(itertools.product(range(3), repeat=5), key=value)
    track = link(frames)[0]
    assert track.weight == pytest.approx(value(best), abs=1e-5)
    np.testing.assert_allclose(
        track.corners, [of.corners[j] for of, j in zip(frames, best, strict=True)]
    )


def test_gaps_are_filled() -> None:
    frames = [rectangles((0.05 * t, 0, 0.5)) if t in (1, 2, 6) else rectangles() for t in range(8)]
    (track,) = link(frames)
    assert (track.first, len(track.corners)) == (1, 6)
    np.testing.assert_allclose(track.corners[:, 0], 0.05 * np.arange(1, 7), atol=1e-6)


def test_another_actor_has_at_least_half_of_the_weight() -> None:
    def tracks(weight: float) -> int:
        return len(link([rectangles((0.1, 0.1, 0.6), (0.7, 0.7, weight))] * 4))

    assert [tracks(weight) for weight in (0.2, 0.29, 0.31, 0.6)] == [1, 1, 2, 2]


def test_tubes_have_every_frame_of_the_video_and_each_class() -> None:
    tracks = link([rectangles((0.02 * t, 0, 0.5)) for t in range(6)])
    scores = np.array([[0.1, 0.5, 0.8, 0.8, 0.3, 0.1], [0.001] * 6], np.float32).T
    (tube,) = label_tubes(tracks, scores, np.arange(0, 12, 2), ("wave", "run"), (50, 100))
    assert (tube.label, tube.frames.tolist()) == ("wave", list(range(11)))
    np.testing.assert_allclose(tube.boxes[:, 0], np.arange(11), atol=1e-4)
    np.testing.assert_allclose(tube.boxes[0], [0, 0, 10, 5], atol=1e-4)
    assert tube.score == pytest.approx(scores[:, 0].mean() * tracks[0].weight / 6)


def test_boxes_between_and_beyond_known_ones() -> None:
    found = interpolate(np.array([0, 2, 3, 9]), [2, 4], np.array([[0, 0, 2, 2], [4, 0, 6, 2.0]]))
    assert found[:, 0].tolist() == [0, 0, 2, 4]

"""Disturbed clips: windows that are exact crops where they can be, bounded camera paths, noise and figures as asked."""

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker_papers.hmdb10.disturbance import WINDOW, Disturbance, camera_path, with_people


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 20, 40, 3), dtype=np.uint8)


def test_the_still_window_is_the_middle_of_the_frame(frames: NDArray[np.uint8]) -> None:
    seen = Disturbance("still")(frames, np.arange(5), 0)
    assert np.array_equal(seen, frames[:, 2:18, 4:36])
    assert np.array_equal(Disturbance("whole")(frames, np.arange(5), 0), frames)


def test_a_pan_goes_from_one_border_to_the_other(frames: NDArray[np.uint8]) -> None:
    ends = set()
    for seed in range(8):
        seen = Disturbance("pan", 0.2)(frames, np.arange(5), seed)
        assert np.array_equal(seen[2], frames[2, 2:18, 4:36])
        left, right = frames[0, 2:18, :32], frames[0, 2:18, 8:]
        ends |= {name for name, end in (("left", left), ("right", right)) if np.array_equal(seen[0], end)}
    assert ends == {"left", "right"}


def test_camera_paths_have_the_asked_extent() -> None:
    random = np.random.default_rng(0)
    _, sides = camera_path(Disturbance("zoom", 0.5), 11, random)
    assert max(sides[0], sides[-1]) / min(sides[0], sides[-1]) == pytest.approx(1.5)
    assert np.exp(np.log(sides).mean()) == pytest.approx(WINDOW)
    assert sides.max() <= 1
    centers, _ = camera_path(Disturbance("shake", 0.2), 200, random)
    assert 0.18 < np.ptp(centers[:, 0]) <= 0.2
    assert np.abs(np.diff(centers[:, 0])).mean() > 0.05  # from frame to frame, not a drift
    assert np.abs(centers - 0.5).max() <= (1 - WINDOW) / 2


def test_a_zoom_magnifies(frames: NDArray[np.uint8]) -> None:
    plain = np.zeros((2, 100, 100, 3), np.uint8)
    plain[:, 40:60, 40:60] = 255
    for seed in range(4):
        areas = (Disturbance("zoom", 0.5)(plain, np.arange(2), seed) > 127).mean((1, 2, 3))
        assert max(areas) / min(areas) == pytest.approx(1.5**2, rel=0.1)


def test_a_repeated_frame_stays_as_it_is(frames: NDArray[np.uint8]) -> None:
    indices = np.array([0, 1, 2, 3, 3])
    repeated = frames[indices]
    for kind, strength in (("pan", 0.2), ("zoom", 0.5), ("shake", 0.2), ("noise", 10.0)):
        seen = Disturbance(kind, strength)(repeated, indices, 3)
        assert np.array_equal(seen[3], seen[4]), kind
        assert not np.array_equal(seen[2], seen[3]), kind


def test_noise_has_the_asked_deviation() -> None:
    gray = np.full((3, 50, 50, 3), 128, np.uint8)
    seen = Disturbance("noise", 10.0)(gray, np.arange(3), 0)
    assert seen.std() == pytest.approx(10, rel=0.05)
    assert seen.mean() == pytest.approx(128, abs=0.5)


def test_people_cover_a_part_of_the_frame_and_move() -> None:
    gray = np.full((12, 90, 120, 3), 77, np.uint8)
    assert np.array_equal(with_people(gray, 0, 0), gray)
    covered = [(with_people(gray, count, 1) != 77).any(-1) for count in (1, 3)]
    assert 0.02 < covered[0].mean() < covered[1].mean() < 0.5
    assert not (covered[0] & ~covered[1]).any()
    assert (covered[0][0] != covered[0][-1]).any()


def test_impossible_disturbances_are_errors() -> None:
    with pytest.raises(ValueError, match="kind is 'rain', expected one of whole, still, pan"):
        Disturbance("rain")
    with pytest.raises(ValueError, match=r"strength of pan is 0\.3, expected 0 to 0\.2"):
        Disturbance("pan", 0.3)
    with pytest.raises(ValueError, match="strength of noise is -1, expected 0 to any"):
        Disturbance("noise", -1)
    with pytest.raises(ValueError, match=r"1\.5 people, expected a whole number"):
        Disturbance("people", 1.5)

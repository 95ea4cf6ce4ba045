"""Histograms of flow count what moves where; every row of the table is a figure of the file."""

import numpy as np
import pytest

from onlooker_papers.real_clips import tables
from onlooker_papers.real_clips.candidates import ROWS, directions, flow_statistics, motion_histograms


@pytest.mark.parametrize("degrees", [0, 30, 45, 100, 181, 330])
def test_a_vector_is_divided_between_the_two_nearest_directions(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    (shares,) = directions(np.full((1, 1, 1), 3 * np.cos(angle)), np.full((1, 1, 1), 3 * np.sin(angle)))[..., 0, 0]
    below, part = divmod(degrees, 45)
    expected = np.zeros(8)
    expected[int(below)] += 3 * (1 - part / 45)
    expected[int(below + 1) % 8] += 3 * part / 45
    np.testing.assert_allclose(shares, expected, atol=1e-5)


def moving(dx: int, dy: int) -> np.ndarray:
    """A textured square of 32 pixels that moves in the upper left quarter of 112×112 pixels."""
    texture = np.random.default_rng(0).integers(60, 255, (32, 32, 1), np.uint8)
    frames = np.zeros((4, 112, 112, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[12 + t * dy : 44 + t * dy, 12 + t * dx : 44 + t * dx] = texture
    return frames


@pytest.mark.parametrize(("step", "direction"), [((2, 0), 0), ((0, 2), 2), ((2, 2), 1)])
def test_flow_is_counted_in_its_direction_and_its_place(step: tuple[int, int], direction: int) -> None:
    histograms = motion_histograms(moving(*step))
    assert histograms.shape == (3, 25, 7, 7)
    by_direction = histograms[:, :8].mean((0, 2, 3))
    assert by_direction.argmax() == direction
    moved = histograms[:, :8].sum((0, 1))
    assert moved[:4, :4].sum() > 0.75 * moved.sum()  # estimated flow fades out around what moves
    still = histograms[:, 8].mean(0)
    assert still[1, 1] < 0.2 < 0.95 < still[5, 5]
    boundaries = histograms[:, 9:].sum((0, 1))
    assert boundaries[:4, :4].sum() > 0.5 * boundaries.sum()


def test_nothing_moves_in_a_still_clip() -> None:
    still = motion_histograms(np.repeat(moving(0, 0)[:1], 3, 0))
    assert still[:, 8].min() == 1
    assert np.delete(still, 8, 1).max() < 1e-3
    assert flow_statistics(moving(0, 0)).shape == (3 * 25 + 9 * 25,)


def test_the_table_has_a_row_for_every_choice() -> None:
    figures = {"candidates": {"hand_gestures": {"accuracy": dict.fromkeys(ROWS, 0.5), "clips": 9}}}
    table = tables.candidates(figures).markdown()
    assert "hand gestures (9 clips)" in table
    assert all(f"| {row} | 50.0 |" in table for row in ROWS)

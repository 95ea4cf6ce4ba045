"""Segments of scores of known rise and fall."""

import numpy as np
import pytest

from onlooker.localization.segments import find_segments, runs_above

TIMES = np.arange(8) / 4  # seconds
RISE = np.array([[0.1, 0.2, 0.8, 0.6, 0.1, 0.1, 0.5, 0.1]], np.float32).T


def test_runs_above_a_share_of_the_highest_score() -> None:
    assert runs_above(RISE[:, 0], 0.5) == [(2, 3), (6, 6)]
    assert runs_above(RISE[:, 0], 0.0) == [(0, 7)]
    assert runs_above(RISE[:, 0], 1.0) == [(2, 2)]
    assert runs_above(np.full(3, 0.4), 1.0) == [(0, 2)]


def test_segments_end_half_way_to_the_next_frame() -> None:
    first, second = find_segments(RISE, TIMES, ("wave",))
    assert (first.start, first.end, first.score) == (0.375, 0.875, pytest.approx(0.7))
    assert (second.start, second.end, second.score) == (1.375, 1.625, pytest.approx(0.5))


def test_every_probable_class_has_its_own_segments() -> None:
    scores = np.concatenate((RISE, 1 - RISE, np.full_like(RISE, 0.001)), axis=1)
    found = find_segments(scores, TIMES, ("a", "b", "c"))
    assert {segment.label for segment in found} == {"a", "b"}
    assert [segment.score for segment in found] == sorted((segment.score for segment in found), reverse=True)


def test_a_single_image_has_no_duration_and_padding_counts_once() -> None:
    assert find_segments(np.ones((1, 1)), np.zeros(1), ("a",)) == ()
    (seen,) = find_segments(np.ones((4, 1)), np.array([0, 1, 2, 2.0]), ("a",))
    assert (seen.start, seen.end) == (0.0, 2.5)

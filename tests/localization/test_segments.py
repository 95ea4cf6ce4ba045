"""Segments of scores whose rise and fall are known."""

from dataclasses import replace

import numpy as np
import pytest

from saccade.localization.parameters import LocalizationParameters
from saccade.localization.segments import find_segments, runs_above

HALF = LocalizationParameters(onset=0.5)
TIMES = np.arange(8) / 4  # seconds
RISE = np.array([[0.1, 0.2, 0.8, 0.6, 0.1, 0.1, 0.5, 0.1]], np.float32).T


def test_stretches_above_a_share_of_the_highest() -> None:
    assert runs_above(RISE[:, 0], 0.5) == [(2, 3), (6, 6)]
    assert runs_above(RISE[:, 0], 0.0) == [(0, 7)]
    assert runs_above(RISE[:, 0], 1.0) == [(2, 2)]
    assert runs_above(np.full(3, 0.4), 1.0) == [(0, 2)]


def test_segments_end_half_way_to_the_next_frame() -> None:
    first, second = find_segments(RISE, TIMES, ("wave",), HALF)
    assert (first.start, first.end, first.score) == (0.375, 0.875, pytest.approx(0.7))
    assert (second.start, second.end, second.score) == (1.375, 1.625, pytest.approx(0.5))
    assert len(find_segments(RISE, TIMES, ("wave",), replace(HALF, shortest=2))) == 1
    assert len(find_segments(RISE, TIMES, ("wave",), replace(HALF, score_smoothing=2.0))) == 1


def test_a_class_that_is_always_there_is_one_segment() -> None:
    (whole,) = find_segments(np.full((8, 1), 0.3, np.float32), TIMES, ("wave",), HALF)
    assert (whole.start, whole.end) == (0.0, 1.875)


def test_every_class_has_its_own_and_improbable_ones_none() -> None:
    scores = np.concatenate((RISE, 1 - RISE, np.full_like(RISE, 0.001)), axis=1)
    found = find_segments(scores, TIMES, ("a", "b", "c"), HALF)
    assert {segment.label for segment in found} == {"a", "b"}
    assert [segment.score for segment in found] == sorted((segment.score for segment in found), reverse=True)


def test_causal_smoothing_delays_and_knows_nothing_of_later() -> None:
    causal = replace(HALF, score_smoothing=1.0, causal=True)
    (late,) = find_segments(np.eye(8, dtype=np.float32)[:, 3:4], TIMES, ("a",), causal)
    assert late.start == 0.625


def test_a_single_picture_has_no_duration_and_padding_counts_once() -> None:
    assert find_segments(np.ones((1, 1)), np.zeros(1), ("a",), HALF) == ()
    (seen,) = find_segments(np.ones((4, 1)), np.array([0, 1, 2, 2.0]), ("a",), HALF)
    assert (seen.start, seen.end) == (0.0, 2.5)


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(8, 1\) for 7 times and 1 classes"):
        find_segments(RISE, TIMES[:7], ("a",), HALF)
    with pytest.raises(ValueError, match="times descend"):
        find_segments(RISE, TIMES[::-1], ("a",), HALF)

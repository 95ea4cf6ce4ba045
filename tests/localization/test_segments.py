"""Segments of scores of known rise and fall."""

from dataclasses import replace

import numpy as np
import pytest

from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import event_frames, evidence_scores, find_segments, runs_above

HALF = LocalizationParameters(onset=0.5)
TIMES = np.arange(8) / 4  # seconds
RISE = np.array([[0.1, 0.2, 0.8, 0.6, 0.1, 0.1, 0.5, 0.1]], np.float32).T


def test_runs_above_a_share_of_the_highest_score() -> None:
    assert runs_above(RISE[:, 0], 0.5) == [(2, 3), (6, 6)]
    assert runs_above(RISE[:, 0], 0.0) == [(0, 7)]
    assert runs_above(RISE[:, 0], 1.0) == [(2, 2)]
    assert runs_above(np.full(3, 0.4), 1.0) == [(0, 2)]


def test_segments_end_half_way_to_the_next_frame() -> None:
    first, second = find_segments(RISE, TIMES, ("wave",), HALF)
    assert (first.start, first.end, first.score) == (0.375, 0.875, pytest.approx(0.7))
    assert (second.start, second.end, second.score) == (1.375, 1.625, pytest.approx(0.5))


def test_every_probable_class_has_its_own_segments() -> None:
    scores = np.concatenate((RISE, 1 - RISE, np.full_like(RISE, 0.001)), axis=1)
    found = find_segments(scores, TIMES, ("a", "b", "c"), HALF)
    assert {segment.label for segment in found} == {"a", "b"}
    assert [segment.score for segment in found] == sorted((segment.score for segment in found), reverse=True)


def test_a_single_image_has_no_duration_and_padding_counts_once() -> None:
    assert find_segments(np.ones((1, 1)), np.zeros(1), ("a",), HALF) == ()
    (seen,) = find_segments(np.ones((4, 1)), np.array([0, 1, 2, 2.0]), ("a",), HALF)
    assert (seen.start, seen.end) == (0.0, 2.5)


def test_a_segment_ends_where_the_evidence_ends() -> None:
    evidence = np.log([0.001, 0.5, 1.0, 0.8, 0.001, 0.001, 0.02, 0.001]) + 7  # known up to a number
    told = evidence_scores(np.array([0.9, 0.1]), evidence)
    np.testing.assert_allclose(told[:, 0], 0.9 * np.exp(evidence - 7), rtol=1e-5)
    np.testing.assert_allclose(told[:, 1], told[:, 0] / 9, rtol=1e-5)
    surest = find_segments(told, TIMES, ("wave", "rest"), HALF)[0]
    assert (surest.label, surest.start, surest.end) == ("wave", 0.125, 0.875)
    assert event_frames(evidence, HALF).tolist() == [False, True, True, True, False, False, False, False]
    assert event_frames(evidence, replace(HALF, onset=0.01)).sum() == 4

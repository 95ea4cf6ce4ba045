"""Boxes linked across gaps; tubes trimmed by class scores."""

from dataclasses import replace

import numpy as np
import pytest

from onlooker_papers.videolstm.boxes import BoxParameters, Candidates
from onlooker_papers.videolstm.tubes import label_tubes, link

LINK = BoxParameters(gap=2, onset=0.5)


def candidates(*boxes: tuple[float, float, float]) -> Candidates:
    """Squares of 10 pixels at x and y, with their concentration."""
    corners = np.array([[x, y, x + 10, y + 10] for x, y, _ in boxes], np.float32).reshape(-1, 4)
    return Candidates(corners, np.array([share for *_, share in boxes], np.float32), corners[:, :2])


def test_short_gaps_are_filled_and_long_ones_end_a_track() -> None:
    frames = [candidates((2 * t, 0, 0.5)) if t in (0, 1, 4, 9) else candidates() for t in range(10)]
    tracks = sorted(link(frames, LINK), key=lambda track: track.first)
    assert [(track.first, len(track)) for track in tracks] == [(0, 5), (9, 1)]
    np.testing.assert_allclose(tracks[0].corners[:, 0], [0, 2, 4, 6, 8])


def test_tubes_are_trimmed_by_their_class_and_have_every_frame_of_the_video() -> None:
    tracks = link([candidates((2 * t, 0, 0.5)) for t in range(6)], LINK)
    scores = np.array([[0.1, 0.5, 0.8, 0.8, 0.3, 0.1], [0.001] * 6], np.float32).T
    (tube,) = label_tubes(tracks, scores, np.arange(0, 12, 2), ("wave", "run"), LINK)
    assert (tube.label, tube.frames.tolist()) == ("wave", [2, 3, 4, 5, 6])
    np.testing.assert_allclose(tube.boxes[:, 0], [2, 3, 4, 5, 6])
    assert tube.score == pytest.approx((0.5 + 0.8 + 0.8) / 3 * 0.5)
    (whole,) = label_tubes(
        tracks, scores, np.arange(0, 12, 2), ("wave", "run"), replace(LINK, onset=0.0)
    )
    assert whole.frames.tolist() == list(range(11))


def test_of_several_runs_the_one_with_the_largest_sum_becomes_the_tube() -> None:
    tracks = link([candidates((t, 0, 0.5)) for t in range(5)], LINK)
    scores = np.array([0.1, 0.4, 0.35, 0.1, 0.7], np.float32)[:, None]
    (tube,) = label_tubes(tracks, scores, np.arange(5), ("wave",), LINK)
    assert tube.frames.tolist() == [1, 2], "0.35 is half of the highest"
    (tube,) = label_tubes(
        tracks, scores + np.array([[0], [0], [0], [0], [0.2]]), np.arange(5), ("wave",), LINK
    )
    assert tube.frames.tolist() == [4], "and too little beside a higher one"

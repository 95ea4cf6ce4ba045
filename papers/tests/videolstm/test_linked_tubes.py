"""Boxes linked across gaps, and tubes of every class."""

import numpy as np
import pytest

from onlooker_papers.videolstm.boxes import Candidate
from onlooker_papers.videolstm.localization import label_tubes, link


def candidate(x: float, concentration: float = 0.5) -> Candidate:
    """A square of 10 pixels."""
    corners = np.array([x, 0, x + 10, 10], np.float32)
    return Candidate(corners, concentration, corners[:2])


def test_short_gaps_are_filled_and_long_ones_end_a_track() -> None:
    frames = [candidate(2 * t) if t in (0, 1, 7, 14) else None for t in range(15)]
    tracks = link(frames)
    assert [track.frames.tolist() for track in tracks] == [[*range(8)], [14]]
    np.testing.assert_allclose(tracks[0].corners[:, 0], range(0, 16, 2))
    assert link([None, None]) == []


def test_a_track_is_a_tube_of_every_probable_class() -> None:
    tracks = link([candidate(t, 0.2 * t) for t in range(1, 4)])
    tubes = label_tubes(tracks, np.array([0.8, 0.005, 0.195], np.float32), ("wave", "run", "bend"))
    assert [tube.label for tube in tubes] == ["wave", "bend"]
    assert tubes[0].frames.tolist() == [0, 1, 2]
    assert [tube.score for tube in tubes] == pytest.approx([0.8 * 0.4, 0.195 * 0.4])

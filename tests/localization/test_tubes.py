"""Linking compared with an exhaustive search, across gaps and online; tubes trimmed by class scores."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from onlooker.localization.boxes import Candidates
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tubes import OnlineTracks, box_iou, interpolate, label_tubes, link, update_tracks

LINK = LocalizationParameters(gap=2, onset=0.5)
CAUSAL = replace(LINK, causal=True)


def candidates(*boxes: tuple[float, float, float]) -> Candidates:
    """Squares of 10 pixels at x and y, with their concentration."""
    corners = np.array([[x, y, x + 10, y + 10] for x, y, _ in boxes], np.float32).reshape(-1, 4)
    return Candidates(corners, np.array([share for *_, share in boxes], np.float32), corners[:, :2])


def scattered(seed: int, T: int = 5, most: int = 4) -> list[Candidates]:
    rng = np.random.default_rng(seed)
    return [
        candidates(*[tuple(rng.uniform(0, (20, 20, 1))) for _ in range(rng.integers(1, most + 1))]) for _ in range(T)
    ]


def test_iou_of_boxes() -> None:
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [3, 3, 3, 3]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [3, 3, 3, 3]])
    np.testing.assert_allclose(box_iou(a, b), [1, 1 / 3, 0, 0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
def test_the_best_track_equals_an_exhaustive_search(seed: int, weight: float) -> None:
    frames = scattered(seed)

    def worth(path: tuple[int, ...]) -> float:
        total = sum(float(frames[t].concentration[i]) for t, i in enumerate(path))
        for t, (i, j) in enumerate(itertools.pairwise(path)):
            total += weight * float(box_iou(frames[t].corners[i], frames[t + 1].corners[j]))
        return total

    best = max(itertools.product(*(range(len(here)) for here in frames)), key=worth)
    expected = np.stack([frames[t].corners[i] for t, i in enumerate(best)])
    tracks = link(frames, replace(LINK, overlap_weight=weight))
    assert any(len(track) == 5 and np.array_equal(track.corners, expected) for track in tracks)
    # Every box is in one track.
    assert sum(map(len, tracks)) >= sum(map(len, frames))


@pytest.mark.parametrize("parameters", [LINK, CAUSAL])
def test_two_objects_that_cross_keep_their_tracks(parameters: LocalizationParameters) -> None:
    frames = [candidates((4 * t, 0, 0.5), (36 - 4 * t, 12, 0.4)) for t in range(10)]
    right, left = link(frames, parameters)
    assert right.corners[:, 0].tolist() == [4 * t for t in range(10)]
    assert left.corners[:, 0].tolist() == [36 - 4 * t for t in range(10)]


def test_short_gaps_are_filled_and_long_ones_end_a_track() -> None:
    frames = [candidates((2 * t, 0, 0.5)) if t in (0, 1, 4, 9) else candidates() for t in range(10)]
    tracks = sorted(link(frames, LINK), key=lambda track: track.first)
    assert [(track.first, len(track)) for track in tracks] == [(0, 5), (9, 1)]
    np.testing.assert_allclose(tracks[0].corners[:, 0], [0, 2, 4, 6, 8])
    assert [track.first for track in link(frames, replace(LINK, min_length=2))] == [0]
    online = sorted(link(frames, CAUSAL), key=lambda track: track.first)
    assert [(track.first, len(track)) for track in online] == [(0, 5), (9, 1)]
    np.testing.assert_allclose(online[0].corners[:, 0], [0, 2, 2, 2, 8])  # as last seen: what comes is not known


def test_online_tracks_do_not_depend_on_later_frames_and_do_not_grow() -> None:
    frames = [candidates((t % 5, 0, 0.5), (60, 60, 0.3)) for t in range(300)]
    state, seen = OnlineTracks(), []
    for here in frames:
        state = update_tracks(state, here, CAUSAL)
        seen.append([(track.number, track.corners.tolist()) for track in state.active])
    assert {len(now) for now in seen} == {2}
    assert [number for number, _ in seen[-1]] == [0, 1]
    assert state.active[0].age == state.active[0].boxes == 300
    again = OnlineTracks()
    for t in range(7):
        again = update_tracks(again, frames[t], CAUSAL)
    assert [(track.number, track.corners.tolist()) for track in again.active] == seen[6]


def test_tubes_are_trimmed_by_their_class_and_have_every_frame_of_the_video() -> None:
    tracks = link([candidates((2 * t, 0, 0.5)) for t in range(6)], LINK)
    scores = np.array([[0.1, 0.5, 0.8, 0.8, 0.3, 0.1], [0.001] * 6], np.float32).T
    (tube,) = label_tubes(tracks, scores, np.arange(0, 12, 2), ("wave", "run"), LINK)
    assert (tube.label, tube.frames.tolist()) == ("wave", [2, 3, 4, 5, 6])
    np.testing.assert_allclose(tube.boxes[:, 0], [2, 3, 4, 5, 6])
    assert tube.score == pytest.approx((0.5 + 0.8 + 0.8) / 3 * 0.5)
    (whole,) = label_tubes(tracks, scores, np.arange(0, 12, 2), ("wave", "run"), replace(LINK, onset=0.0))
    assert whole.frames.tolist() == list(range(11))
    assert not label_tubes(tracks, scores, np.arange(0, 12, 2), ("wave", "run"), replace(LINK, min_length=4))


def test_a_causal_tube_is_not_trimmed_by_later_scores() -> None:
    tracks = link([candidates((t, 0, 0.5)) for t in range(5)], LINK)
    scores = np.array([0.1, 0.4, 0.35, 0.1, 0.7], np.float32)[:, None]
    (tube,) = label_tubes(tracks, scores, np.arange(5), ("wave",), LINK)
    assert tube.frames.tolist() == [1, 2], "0.35 is half of the highest"
    (tube,) = label_tubes(tracks, scores + np.array([[0], [0], [0], [0], [0.2]]), np.arange(5), ("wave",), LINK)
    assert tube.frames.tolist() == [4], "and too little beside a higher one"
    for last in (0.0, 0.1, 0.9):
        scores[4] = last
        tubes = label_tubes(tracks, scores, np.arange(5), ("wave",), CAUSAL)
        begun = sorted(tube.frames.tolist() for tube in tubes)
        assert begun == [[1, 2], [4]][: 1 + (last > 0.5)], "what has ended stays, whatever follows"
    quiet = np.full((5, 1), 0.1, np.float32)
    assert not label_tubes(tracks, quiet, np.arange(5), ("wave",), CAUSAL)
    (whole,) = label_tubes(tracks, quiet, np.arange(5), ("wave",), CAUSAL, reference=0.1)
    assert whole.frames.tolist() == [0, 1, 2, 3, 4]


def test_boxes_between_and_beyond_known_ones() -> None:
    found = interpolate([0, 2, 3, 9], [2, 4], np.array([[0, 0, 2, 2], [4, 0, 6, 2.0]]))
    assert found[:, 0].tolist() == [0, 0, 2, 4]

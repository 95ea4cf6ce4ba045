"""Properties of boxes, tracks, tubes and segments for any attention, scores and parameters."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torchvision.ops import box_iou as reference_iou

from onlooker.localization.boxes import Candidates, box_iou, find_boxes
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import MIN_SCORE, find_segments, runs_above
from onlooker.localization.tubes import label_tubes, link

CLASSES = ("a", "b", "c")
SHARES = st.floats(0, 1, width=32)
PARAMETERS = st.builds(
    LocalizationParameters,
    threshold=st.floats(0.05, 0.95),
    closing=st.sampled_from((0.0, 0.05, 0.3)),
    gap=st.integers(0, 4),
    onset=SHARES,
)


@st.composite
def maps(draw: st.DrawFn) -> NDArray[np.float32]:
    """Attention `T h w` that sums to one over `h w`."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)))
    raw = draw(arrays(np.float32, shape, elements=SHARES)) + np.float32(1e-4)
    return raw / raw.sum((1, 2), keepdims=True)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Candidates, ...]:
    """A box or none in each of up to eight frames."""
    frames = []
    for _ in range(draw(st.integers(1, 8))):
        count = draw(st.integers(0, 1))
        corners = draw(arrays(np.float32, (count, 4), elements=st.integers(0, 40)))
        corners[:, 2:] += corners[:, :2] + 1
        shares = np.sort(draw(arrays(np.float32, count, elements=SHARES)))[::-1]
        frames.append(Candidates(corners, shares, corners[:, :2]))
    return tuple(frames)


SCORES = st.integers(1, 12).flatmap(lambda T: arrays(np.float32, (T, len(CLASSES)), elements=SHARES))


@given(arrays(np.float32, (6, 4), elements=st.integers(0, 50)), st.integers(-100, 100), st.sampled_from((0.5, 2, 64)))
def test_iou_equals_torchvision_and_is_symmetric_and_scale_invariant(
    corners: NDArray[np.float32], shift: int, scale: float
) -> None:
    corners[:, 2:] += corners[:, :2]
    iou = box_iou(corners[:, None], corners[None])
    expected = reference_iou(torch.from_numpy(corners), torch.from_numpy(corners)).nan_to_num().numpy()
    np.testing.assert_allclose(iou, expected, atol=1e-6)
    np.testing.assert_array_equal(iou, iou.T)
    assert ((iou >= 0) & (iou <= 1)).all()
    moved = (corners + shift) * np.float32(scale)
    np.testing.assert_allclose(box_iou(moved[:, None], moved[None]), iou, atol=1e-12)


@given(maps(), st.integers(8, 40), st.integers(8, 40), PARAMETERS, st.sampled_from(("none", "motion", "causal-motion")))
@settings(max_examples=50, deadline=None)
def test_boxes_lie_in_the_frame_and_their_point_in_them(
    attention: NDArray[np.float32], H: int, W: int, parameters: LocalizationParameters, foreground: str
) -> None:
    parameters = replace(parameters, foreground=foreground)
    frames = np.random.default_rng(H * W).integers(0, 256, (len(attention), H, W, 3), np.uint8)
    for boxes in find_boxes(attention, frames, parameters):
        assert len(boxes) <= 1
        assert (boxes.corners[:, :2] >= 0).all()
        assert (boxes.corners[:, 2:] <= (W, H)).all()
        assert (boxes.corners[:, :2] < boxes.corners[:, 2:]).all()
        assert ((boxes.points > boxes.corners[:, :2]) & (boxes.points < boxes.corners[:, 2:])).all()
        assert ((boxes.concentration >= 0) & (boxes.concentration <= 1)).all()
        assert (np.diff(boxes.concentration) <= 0).all()


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), PARAMETERS)
@settings(max_examples=50, deadline=None)
def test_uniform_attention_has_no_boxes(T: int, h: int, w: int, parameters: LocalizationParameters) -> None:
    uniform = np.full((T, h, w), 1 / (h * w), np.float32)
    assert not any(map(len, find_boxes(uniform, np.zeros((T, 24, 32, 3), np.uint8), parameters)))


@given(candidates(), PARAMETERS)
@settings(max_examples=50, deadline=None)
def test_every_box_is_in_exactly_one_track(frames: tuple[Candidates, ...], parameters: LocalizationParameters) -> None:
    tracks = link(frames, parameters)
    totals = [float(track.concentration.sum()) for track in tracks]
    assert totals == sorted(totals, reverse=True)
    used: list[tuple[int, tuple[float, ...]]] = []
    for track in tracks:
        assert track.first >= 0
        assert track.first + len(track) <= len(frames)
        own = [(t, tuple(box)) for t, box in enumerate(track.corners.tolist(), track.first)]
        known = [(t, box) for t, box in own if box in map(tuple, frames[t].corners.tolist())]
        times = [t for t, _ in known]
        assert {times[0], times[-1]} >= {track.first, track.first + len(track) - 1}  # it begins and ends with a box
        used += known
    assert {(t, tuple(box)) for t, boxes in enumerate(frames) for box in boxes.corners.tolist()} <= set(used)
    assert sum(map(len, tracks)) >= sum(map(len, frames))


@given(candidates(), st.data(), PARAMETERS)
@settings(max_examples=50, deadline=None)
def test_tubes_have_a_box_in_every_frame_and_scores_between_zero_and_one(
    frames: tuple[Candidates, ...], data: st.DataObject, parameters: LocalizationParameters
) -> None:
    T = len(frames)
    scores = data.draw(arrays(np.float32, (T, len(CLASSES)), elements=SHARES))
    indices = np.cumsum(data.draw(arrays(np.int64, T, elements=st.integers(0, 3))))  # 0: padding repeats a frame
    tracks = link(frames, parameters)
    tubes = label_tubes(tracks, scores, indices, CLASSES, parameters)
    assert [tube.score for tube in tubes] == sorted((tube.score for tube in tubes), reverse=True)
    every = np.concatenate([boxes.corners for boxes in frames])
    for tube in tubes:
        assert tube.label in CLASSES
        assert (np.diff(tube.frames) == 1).all()
        assert indices[0] <= tube.frames[0] <= tube.frames[-1] <= indices[-1]
        assert len(tube.boxes) == len(tube.frames)
        assert 0 <= tube.score <= 1 + 1e-6
        assert (tube.boxes >= every.min(0) - 1e-3).all()
        assert (tube.boxes <= every.max(0) + 1e-3).all()


@given(SCORES, PARAMETERS, st.lists(st.sampled_from((0.0, 0.04, 1.0)), min_size=12, max_size=12))
@settings(max_examples=50, deadline=None)
def test_segments_are_disjoint_and_within_the_clip(
    scores: NDArray[np.float32], parameters: LocalizationParameters, steps: list[float]
) -> None:
    times = np.cumsum(steps)[: len(scores)]
    segments = find_segments(scores, times, CLASSES, parameters)
    assert [each.score for each in segments] == sorted((each.score for each in segments), reverse=True)
    for name in CLASSES:
        own = sorted((each.start, each.end) for each in segments if each.label == name)
        assert all(start < end for start, end in own)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(own))
        assert not own or (own[0][0] >= 0 and own[-1][1] <= times[-1] + np.diff(times).max())
    assert all(0 <= each.score <= 1 + 1e-6 for each in segments)
    assert {each.label for each in segments} <= {
        name for name, own in zip(CLASSES, scores.T, strict=True) if own.max() >= MIN_SCORE
    }
    for twice, once in zip(find_segments(scores, 2 * times, CLASSES, parameters), segments, strict=True):
        assert (twice.start, twice.end) == (pytest.approx(2 * once.start), pytest.approx(2 * once.end))


def above(scores: NDArray[np.float32], onset: float) -> list[bool]:
    """Whether each frame is in a run."""
    inside = [False] * len(scores)
    for first, last in runs_above(scores, onset):
        inside[first : last + 1] = [True] * (last + 1 - first)
    return inside


@given(arrays(np.float32, st.integers(1, 12), elements=SHARES), SHARES, SHARES)
def test_a_lower_onset_keeps_every_frame(scores: NDArray[np.float32], a: float, b: float) -> None:
    low, high = (above(scores, onset) for onset in sorted((a, b)))
    assert all(kept for kept, needed in zip(low, high, strict=True) if needed)
    assert any(high)  # the maximum is in a run

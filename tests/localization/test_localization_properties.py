"""Properties of boxes, tracks and tubes for any attention, scores and parameters."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torchvision.ops import box_iou as reference_iou

from onlooker.localization import label_tubes, link
from onlooker.localization.boxes import GRID, Rectangles, find_rectangles
from onlooker_papers.detection import box_iou

CLASSES = ("a", "b", "c")
SHARES = st.floats(0, 1, width=32)


@given(
    arrays(np.float32, (6, 4), elements=st.integers(0, 50)),
    st.integers(-100, 100),
    st.sampled_from((0.5, 2, 64)),
)
def test_iou_equals_torchvision_and_is_symmetric_and_scale_invariant(
    corners: NDArray[np.float32], shift: int, scale: float
) -> None:
    corners[:, 2:] += corners[:, :2]
    iou = box_iou(corners[:, None], corners[None])
    expected = (
        reference_iou(torch.from_numpy(corners), torch.from_numpy(corners)).nan_to_num().numpy()
    )
    np.testing.assert_allclose(iou, expected, atol=1e-6)
    np.testing.assert_array_equal(iou, iou.T)
    assert ((iou >= 0) & (iou <= 1)).all()
    moved = (corners + shift) * np.float32(scale)
    np.testing.assert_allclose(box_iou(moved[:, None], moved[None]), iou, atol=1e-12)


@st.composite
def frames_of(draw: st.DrawFn) -> tuple[Rectangles, ...]:
    """Up to three rectangles in each of up to eight frames."""
    frames = []
    for _ in range(draw(st.integers(1, 8))):
        count = draw(st.integers(0, 3))
        corners = draw(arrays(np.float32, (count, 4), elements=st.sampled_from((0.0, 0.25, 0.4))))
        corners[:, 2:] += corners[:, :2] + np.float32(0.2)
        weights = np.sort(draw(arrays(np.float32, count, elements=SHARES)))[::-1]
        frames.append(Rectangles(corners, weights))
    return tuple(frames)


@given(arrays(np.float32, GRID, elements=SHARES))
@settings(max_examples=50, deadline=None)
def test_rectangles_lie_in_the_frame_apart_and_the_one_with_the_most_heat_is_first(
    heat: NDArray[np.float32],
) -> None:
    corners, weights = find_rectangles(heat)
    assert len(corners) <= 3
    assert ((corners >= 0) & (corners <= 1)).all()
    assert (corners[:, :2] < corners[:, 2:]).all()
    assert (np.diff(weights) <= 1e-5).all()
    assert not len(weights) or (weights >= 0.5 * weights[0] - 1e-5).all()


@given(frames_of())
@settings(max_examples=50, deadline=None)
def test_tracks_have_a_box_of_the_frame_at_both_ends_and_the_first_one_covers_all_frames_with_boxes(
    frames: tuple[Rectangles, ...],
) -> None:
    tracks = link(frames)
    occupied = [t for t, found in enumerate(frames) if len(found.weights)]
    assert bool(tracks) == bool(occupied)
    if tracks:
        assert (tracks[0].first, tracks[0].first + len(tracks[0].corners) - 1) == (
            occupied[0],
            occupied[-1],
        )
    for track in tracks:
        for t in (track.first, track.first + len(track.corners) - 1):
            assert track.corners[t - track.first].tolist() in frames[t].corners.tolist()


@given(frames_of(), st.data())
@settings(max_examples=50, deadline=None)
def test_tubes_have_a_box_in_every_frame_of_the_video(
    frames: tuple[Rectangles, ...], data: st.DataObject
) -> None:
    T = len(frames)
    scores = data.draw(arrays(np.float32, (T, len(CLASSES)), elements=SHARES))
    indices = np.cumsum(data.draw(arrays(np.int64, T, elements=st.integers(1, 3))))
    tubes = label_tubes(link(frames), scores, indices, CLASSES, (30, 40))
    assert [tube.score for tube in tubes] == sorted((tube.score for tube in tubes), reverse=True)
    for tube in tubes:
        assert tube.label in CLASSES
        assert (np.diff(tube.frames) == 1).all()
        assert indices[0] <= tube.frames[0] <= tube.frames[-1] <= indices[-1]
        assert 0 <= tube.score <= 1 + 1e-6
        assert (tube.boxes >= -1e-3).all()
        assert (tube.boxes <= np.array([40, 30] * 2) + 1e-3).all()

"""Rectangles and paths compared with a search over all of them, boxes of generated figures before
still and moving scenes; a prediction gets tubes in pixels of its video, actors, and times of its
events.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_files import by_video
from numpy.typing import NDArray

from onlooker.base.decision import Decision
from onlooker.base.records import Prediction, Segment, Tube
from onlooker.formats.annotations import of_prediction
from onlooker.localization import Track, find_boxes, interpolate, label_tubes, link, localize
from onlooker.localization.boxes import (
    GRID,
    Rectangles,
    find_rectangles,
    heat_maps,
    is_even,
    peaks,
)
from onlooker.localization.motion import moving
from onlooker_papers.detection import box_iou

H = 112
W = 112


def scene(
    pan: float = 0, actors: int = 1, frames: int = 16
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A textured scene seen by a camera that pans by some pixels a frame, in which figures walk;
    and their boxes `T n 4`, as shares.
    """
    chance = np.random.default_rng(0)
    wide = cv2.resize(
        chance.integers(40, 200, (28, 80, 3), dtype=np.uint8),
        (320, H),
        interpolation=cv2.INTER_CUBIC,
    )
    video = []
    true = []
    for t in range(frames):
        left = 100 + pan * t
        shift = np.float32([[1, 0, -left], [0, 1, 0]])
        frame = cv2.warpAffine(wide, shift, (W, H), flags=cv2.INTER_LINEAR)
        corners = []
        for actor in range(actors):
            x, y = ((12 + 4 * t), 14) if actor == 0 else ((96 - 3 * t), 82)
            frame[y : y + 26, x : x + 14] = (230, 60, 20)
            corners.append([x / W, y / H, (x + 14) / W, (y + 26) / H])
        video.append(frame)
        true.append(corners)
    return np.stack(video), np.array(true)


def even_attention(frames: int) -> NDArray[np.float32]:
    return np.full((frames, 7, 7), 1 / 49, np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_the_rectangle_is_the_best_of_all(seed: int) -> None:
    h = 6
    w = 7
    heat = (
        np.random.default_rng(seed)
        .dirichlet(np.full(h * w, 0.2))
        .reshape(h, w)
        .astype(np.float32)
    )
    gain = heat - 2 * heat.mean()
    sums = {
        (x1, y1, x2, y2): gain[y1:y2, x1:x2].sum()
        for y1, x1 in itertools.product(range(h), range(w))
        for y2, x2 in itertools.product(range(y1 + 1, h + 1), range(x1 + 1, w + 1))
    }
    best = max(sums, key=lambda box: sums[box])
    found = find_rectangles(heat)
    np.testing.assert_allclose(found.corners[0], np.divide(best, (w, h, w, h)), rtol=1e-6)
    assert found.weights[0] == pytest.approx(sums[best], rel=1e-5)


def test_a_small_hot_place_comes_before_a_dim_line_with_more_heat() -> None:
    heat = np.zeros((30, 40), np.float32)
    heat[20, :] = 1  # a line of trees
    heat[5:7, 10:12] = 4  # a bird
    found = find_rectangles(heat / heat.sum())
    bird = [10 / 40, 5 / 30, 12 / 40, 7 / 30]
    trees = [0, 20 / 30, 1, 21 / 30]
    np.testing.assert_allclose(found.corners, [bird, trees], atol=1e-6)
    assert found.weights[1] < found.weights[0] <= 1
    # a hand of somebody who moves as well is no bird
    heat[3:13, 8:16] = np.maximum(heat[3:13, 8:16], 1)
    left, top, right, bottom = find_rectangles(heat / heat.sum()).corners[0]
    assert (right - left) * (bottom - top) > 50 / 1200


def test_an_even_map_has_no_rectangle_and_no_hottest_place() -> None:
    even = np.full((2, 30, 40), 1 / 1200, np.float32)
    assert is_even(even).all()
    assert len(find_rectangles(even[0]).weights) == 0
    assert np.isnan(peaks(even)).all()
    even[1, 5, 5] *= 2
    even[1, 19:22, 9:12] *= 1.9
    np.testing.assert_allclose(peaks(even)[1], [10.5 / 40, 20.5 / 30])


@pytest.mark.parametrize(("pan", "least"), [(0, 0.5), (2.5, 0.35)])
def test_boxes_are_on_what_walks_also_if_the_camera_moves(pan: float, least: float) -> None:
    video, true = scene(pan)
    heat = heat_maps(even_attention(len(video)), moving(video))
    (track,) = link([find_rectangles(each) for each in heat])
    assert (track.start, len(track.corners)) == (0, len(video)), "in every frame"
    overlap = box_iou(track.corners, true[:, 0])
    assert (overlap > least).mean() > 0.85, overlap
    # a plain figure moves at its edges
    points = peaks(heat)
    grown = true[:, 0] + np.array([-0.06, -0.06, 0.06, 0.06])
    assert ((grown[:, :2] <= points) & (points <= grown[:, 2:])).all(1).mean() > 0.9


@pytest.mark.parametrize("pan", [0, 2.5])
def test_a_stream_finds_it_without_later_frames(pan: float) -> None:
    video, true = scene(pan)
    state = None
    overlaps = []
    for frame, attention, (expected,) in zip(
        video, even_attention(len(video)), true, strict=True
    ):
        _, found, state = find_boxes(state, attention, frame)
        overlaps.append(
            float(box_iou(found.corners[0], expected)) if len(found.weights) else 0.0
        )
    assert overlaps[0] == 0
    assert (np.array(overlaps[2:]) > 0.3).mean() > 0.85, overlaps


def tracks_of(video: NDArray[np.uint8], attention: NDArray[np.float32]) -> list[Track]:
    heat = heat_maps(attention, moving(video))
    return link([find_rectangles(each) for each in heat])


def test_two_actors_are_two_tracks() -> None:
    video, true = scene(actors=2)
    tracks = tracks_of(video, even_attention(len(video)))
    assert len(tracks) == 2
    nearest = []
    for track in tracks:
        there = true[track.start : track.start + len(track.corners)]
        overlap = box_iou(track.corners[:, None], there).mean(0)
        assert sorted(overlap)[0] < 0.1 < 0.4 < sorted(overlap)[1]
        nearest.append(int(overlap.argmax()))
    assert sorted(nearest) == [0, 1]


@pytest.mark.parametrize(("actor", "rows"), [(0, slice(0, 3)), (1, slice(4, 7))])
def test_attention_chooses_between_two_actors(actor: int, rows: slice) -> None:
    """One walks in the upper half, the other one in the lower half."""
    video, true = scene(actors=2)
    attention = np.full((len(video), 7, 7), 0.002, np.float32)
    attention[:, rows] = 0.05
    first = tracks_of(video, attention)[0]
    assert box_iou(first.corners, true[:, actor]).mean() > 0.5


def rectangles(*found: tuple[float, float, float]) -> Rectangles:
    """Squares of a tenth of the frame at x and y, with their weights."""
    corners = np.array([[x, y, x + 0.1, y + 0.1] for x, y, _ in found], np.float32).reshape(
        -1, 4
    )
    return Rectangles(corners, np.array([weight for *_, weight in found], np.float32))


def test_the_path_is_the_best_of_all() -> None:
    chance = np.random.default_rng(0)
    frames = [rectangles(*chance.random((3, 3)).tolist()) for _ in range(5)]

    def value(path: tuple[int, ...]) -> float:
        at = [of.corners[j] for of, j in zip(frames, path, strict=True)]
        moved = sum(float(np.abs(a[:2] - b[:2]).sum()) for a, b in itertools.pairwise(at))
        return (
            sum(float(of.weights[j]) for of, j in zip(frames, path, strict=True)) - 0.5 * moved
        )

    best = max(itertools.product(range(3), repeat=5), key=value)
    track = link(frames)[0]
    assert track.weight == pytest.approx(value(best), abs=1e-5)
    np.testing.assert_allclose(
        track.corners, [of.corners[j] for of, j in zip(frames, best, strict=True)]
    )


def test_gaps_are_filled() -> None:
    frames = [
        rectangles((0.05 * t, 0, 0.5)) if t in (1, 2, 6) else rectangles() for t in range(8)
    ]
    (track,) = link(frames)
    assert (track.start, len(track.corners)) == (1, 6)
    np.testing.assert_allclose(track.corners[:, 0], 0.05 * np.arange(1, 7), atol=1e-6)


def test_another_actor_has_at_least_half_of_the_weight() -> None:
    def tracks(weight: float) -> int:
        return len(link([rectangles((0.1, 0.1, 0.6), (0.7, 0.7, weight))] * 4))

    assert [tracks(weight) for weight in (0.2, 0.29, 0.31, 0.6)] == [1, 1, 2, 2]


def test_tubes_have_every_frame_of_the_video_and_each_class() -> None:
    tracks = link([rectangles((0.02 * t, 0, 0.5)) for t in range(6)])
    scores = np.array([[0.1, 0.5, 0.8, 0.8, 0.3, 0.1], [0.001] * 6], np.float32).T
    (tube,) = label_tubes(
        tracks, scores, indices=np.arange(0, 12, 2), classes=("wave", "run"), size=(50, 100)
    )
    assert (tube.label, tube.frames.tolist()) == ("wave", list(range(11)))
    np.testing.assert_allclose(tube.boxes[:, 0], np.arange(11), atol=1e-4)
    np.testing.assert_allclose(tube.boxes[0], [0, 0, 10, 5], atol=1e-4)
    assert tube.score == pytest.approx(scores[:, 0].mean() * tracks[0].weight / 6)


def test_boxes_between_and_beyond_known_ones() -> None:
    found = interpolate(
        np.array([0, 2, 3, 9]), [2, 4], np.array([[0, 0, 2, 2], [4, 0, 6, 2.0]])
    )
    assert found[:, 0].tolist() == [0, 0, 2, 4]


SHARES = st.floats(0, 1, width=32)


@st.composite
def frames_of(draw: st.DrawFn) -> tuple[Rectangles, ...]:
    """Up to three rectangles in each of up to eight frames."""
    frames = []
    for _ in range(draw(st.integers(1, 8))):
        count = draw(st.integers(0, 3))
        corners = draw(
            arrays(np.float32, (count, 4), elements=st.sampled_from((0.0, 0.25, 0.4)))
        )
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
        assert (tracks[0].start, tracks[0].start + len(tracks[0].corners) - 1) == (
            occupied[0],
            occupied[-1],
        )
    for track in tracks:
        for t in (track.start, track.start + len(track.corners) - 1):
            assert track.corners[t - track.start].tolist() in frames[t].corners.tolist()


def test_a_still_picture_and_a_frame_of_another_size_have_no_box() -> None:
    video, _ = scene(frames=2)
    (attention,) = even_attention(1)
    _, _, state = find_boxes(None, attention, video[0])
    heat, boxes, _ = find_boxes(state, attention, video[0])
    np.testing.assert_allclose(heat, 1 / 1200, rtol=1e-5)
    assert not len(boxes.weights)
    *_, state = find_boxes(None, attention, video[0, :24])
    _, boxes, after = find_boxes(state, attention, video[1])
    assert not len(boxes.weights), "a first frame"
    assert (after.motion.earlier, after.paths) == (None, None)


def seen(attention: np.ndarray | None, size: tuple[int, int] | None = (120, 160)) -> Prediction:
    scores = np.full((6, 2), 0.1, np.float32)
    scores[:, 0] = [0.1, 0.9, 0.9, 0.9, 0.1, 0.1]
    scores[:, 1] = 1 - scores[:, 0]
    indices = np.arange(6) * 5
    return Prediction(
        Path("a.mp4"),
        Decision(("wave", "rest")),
        scores,
        scores.mean(0),
        indices / 10,
        indices,
        attention,
        size=size,
    )


def square_and_maps() -> tuple[np.ndarray, np.ndarray]:
    """A bright 8×8 square in 32×32 frames, and a 4×4 map that attends to it."""
    frames = np.full((6, 32, 32, 3), 20, np.uint8)
    maps = np.full((6, 4, 4), 0.01, np.float32)
    for t in range(6):
        cell = min(t, 3)
        frames[t, 8:16, 8 * cell : 8 * cell + 8] = 220
        maps[t, 1, cell] = 1
    return frames, maps / maps.sum((1, 2), keepdims=True)


def test_tubes_are_in_pixels_of_the_video() -> None:
    frames, maps = square_and_maps()
    found = localize(seen(maps), frames)
    (tube,) = (tube for tube in found.tubes if tube.label == "wave")
    assert tube.frames.tolist() == list(range(26)), (
        "one a frame of the video, also between those looked at"
    )
    # 160 / 32 = 5 pixels across and 120 / 32 = 3.75 pixels down for each of a sample's.
    expected = [[8 * c * 5, 8 * 3.75, 8 * (c + 1) * 5, 16 * 3.75] for c in (0, 1, 2, 3, 3, 3)]
    overlaps = box_iou(tube.boxes[::5], np.array(expected))
    assert overlaps.mean() > 0.5, overlaps
    assert [each.label for each in found.actors] == ["rest"], (
        "the same boxes with another class are left out"
    )
    cells = np.minimum(np.arange(6), 3)
    assert (8 * 5 * cells <= found.points[:, 0]).all()
    assert (found.points[:, 0] <= 8 * 5 * (cells + 1)).all()
    assert ((found.points[:, 1] > 8 * 3.75) & (found.points[:, 1] < 16 * 3.75)).all()
    np.testing.assert_allclose(found.heat.sum((1, 2)), 1, rtol=1e-4)


def test_without_attention_there_are_no_tubes_and_the_events_stay() -> None:
    when = (Segment("rest", 0.5, 1.5, 0.6),)
    for maps in (None, square_and_maps()[1]):
        found = localize(replace(seen(maps), segments=when), square_and_maps()[0])
        assert bool(found.tubes) == (maps is not None)
        assert found.segments == when


def test_boxes_need_the_size_of_the_video() -> None:
    frames, maps = square_and_maps()
    with pytest.raises(ValueError, match=r"give size, \(height, width\)"):
        localize(seen(maps, None), frames)
    with pytest.raises(
        ValueError, match=r"frames are uint8 \(5, 32, 32, 3\), expected uint8 T H W C with T 6"
    ):
        localize(seen(maps), frames[:5])


def test_nothing_moves_and_nothing_is_drawn() -> None:
    frames, maps = square_and_maps()
    found = localize(seen(maps), np.repeat(frames[:1], 6, 0))
    assert found.tubes == found.actors == ()
    np.testing.assert_allclose(found.heat, 1 / 1200, rtol=1e-5)
    assert np.isnan(found.points).all()


def at(prediction: Prediction, places: np.ndarray) -> Prediction:
    """The prediction of some of its frames."""
    names = ("frame_scores", "times", "indices", "attention")
    return replace(prediction, **{name: getattr(prediction, name)[places] for name in names})


@pytest.mark.parametrize("moves", [0, 1])
def test_a_short_clip_has_the_same_boxes_without_the_repeated_last_frame(moves: int) -> None:
    """With a still camera, and with one that pans."""
    frames, maps = square_and_maps()
    texture = np.random.default_rng(0).integers(0, 120, (32, 64, 3), dtype=np.uint8)
    for t, frame in enumerate(frames):
        square = frame == 220
        frame[:] = np.where(square, frame, texture[:, 2 * moves * t : 2 * moves * t + 32])
    short = at(seen(maps), np.arange(4))
    padded = at(seen(maps), np.array([0, 1, 2, 3, 3, 3, 3, 3, 3, 3]))
    expected = localize(short, frames[:4])
    found = localize(padded, frames[padded.indices // 5])
    np.testing.assert_array_equal(found.heat[:4], expected.heat)
    np.testing.assert_array_equal(found.heat[4:], expected.heat[[3] * 6])
    for ours, theirs in zip(found.tubes, expected.tubes, strict=True):
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    assert np.isfinite(found.points).all(), "the last frame still moves"


CLASSES = ("jump", "wave")
BOXES = np.array([[10, 20, 30, 60], [12, 20, 32, 60]], np.float32)


def prediction(scores: tuple[float, float] = (0.2, 0.8)) -> Prediction:
    tubes = (
        Tube("wave", np.array([3, 4]), BOXES, 0.7),
        Tube("wave", np.array([4, 5]), BOXES + 50, 0.3),
        Tube("jump", np.array([3, 4]), BOXES, 0.1),  # the first thing again, as another class
    )
    segments = (Segment("wave", 0.5, 2.0, 0.8), Segment("jump", 0.0, 0.5, 0.2))
    of_frames = np.tile(np.float32(scores), (2, 1))
    return Prediction(
        Path("x/clip.mp4"),
        Decision(CLASSES),
        of_frames,
        np.float32(scores),
        np.array([0.0, 1.0]),
        np.array([0, 5]),
        size=(240, 320),
        tubes=tubes,
        segments=segments,
    )


def test_each_actor_has_one_tube_that_of_the_predicted_class_if_there_is_one() -> None:
    seen = prediction()
    assert seen.actors == seen.tubes[:2]
    other = prediction((0.8, 0.2))
    assert other.actors == (other.tubes[2], other.tubes[1])


def test_events_of_a_recording_that_share_a_frame_have_a_box_each() -> None:
    seen = prediction()
    first = Tube("wave", np.array([1, 2]), BOXES, 0.5)
    events = first, Tube("wave", np.array([2, 3]), BOXES[::-1], 0.4)
    assert replace(seen, tubes=events).actors == events


def test_an_answer_of_nothing_has_no_box() -> None:
    seen = replace(prediction((0.25, 0.25)), decision=Decision(CLASSES, threshold=0.3))
    assert seen.actors == ()
    assert by_video(of_prediction(replace(seen, segments=()))) == {seen.path: []}


def test_a_file_has_the_times_of_all_events_in_their_order() -> None:
    expected = [Segment("jump", 0.0, 0.5, 0.2), Segment("wave", 0.5, 2.0, 0.8)]
    assert by_video(of_prediction(prediction())) == {Path("x/clip.mp4"): expected}

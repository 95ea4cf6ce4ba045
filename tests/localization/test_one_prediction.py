"""A prediction gets tubes in pixels of its video; actors, and times of its events."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onlooker.base.records import Prediction, Segment, Tube
from onlooker.formats.annotations import Interval, of_prediction
from onlooker.localization import localize
from onlooker_papers.detection import box_iou


def seen(attention: np.ndarray | None, size: tuple[int, int] | None = (120, 160)) -> Prediction:
    scores = np.full((6, 2), 0.1, np.float32)
    scores[:, 0] = [0.1, 0.9, 0.9, 0.9, 0.1, 0.1]
    scores[:, 1] = 1 - scores[:, 0]
    indices = np.arange(6) * 5
    return Prediction(
        Path("a.mp4"),
        ("wave", "rest"),
        scores,
        scores.mean(0),
        indices / 10,
        indices,
        attention,
        size=size,
    )


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A bright 8×8 square in 32×32 frames, and a 4×4 map that attends to it."""
    frames = np.full((6, 32, 32, 3), 20, np.uint8)
    maps = np.full((6, 4, 4), 0.01, np.float32)
    for t in range(6):
        cell = min(t, 3)
        frames[t, 8:16, 8 * cell : 8 * cell + 8] = 220
        maps[t, 1, cell] = 1
    return frames, maps / maps.sum((1, 2), keepdims=True)


def test_tubes_are_in_pixels_of_the_video() -> None:
    frames, maps = scene()
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
    assert found.points is not None
    cells = np.minimum(np.arange(6), 3)
    assert (8 * 5 * cells <= found.points[:, 0]).all()
    assert (found.points[:, 0] <= 8 * 5 * (cells + 1)).all()
    assert ((found.points[:, 1] > 8 * 3.75) & (found.points[:, 1] < 16 * 3.75)).all()
    assert found.heat is not None
    np.testing.assert_allclose(found.heat.sum((1, 2)), 1, rtol=1e-4)
    np.testing.assert_array_equal(found.scores, seen(maps).scores)


def test_without_attention_there_are_no_tubes_and_the_events_stay() -> None:
    when = (Segment("rest", 0.5, 1.5, 0.6),)
    for maps in (None, scene()[1]):
        found = localize(replace(seen(maps), segments=when), scene()[0])
        assert bool(found.tubes) == (maps is not None)
        assert found.segments == when


def test_boxes_need_the_size_of_the_video() -> None:
    frames, maps = scene()
    with pytest.raises(ValueError, match=r"give size, \(height, width\)"):
        localize(seen(maps, None), frames)
    with pytest.raises(
        ValueError, match=r"frames are uint8 \(5, 32, 32, 3\), expected uint8 T H W C with T 6"
    ):
        localize(seen(maps), frames[:5])


def test_nothing_moves_and_nothing_is_drawn() -> None:
    frames, maps = scene()
    found = localize(seen(maps), np.repeat(frames[:1], 6, 0))
    assert found.tubes == found.actors == ()
    assert found.heat is not None
    np.testing.assert_allclose(found.heat, 1 / 1200, rtol=1e-5)
    assert np.isnan(found.points).all()


def at(prediction: Prediction, places: np.ndarray) -> Prediction:
    """The prediction of some of its frames."""
    names = ("frame_scores", "times", "indices", "attention")
    return replace(prediction, **{name: getattr(prediction, name)[places] for name in names})


@pytest.mark.parametrize("moves", [0, 1])
def test_a_short_clip_has_the_same_boxes_without_the_repeated_last_frame(moves: int) -> None:
    """With a still camera, and with one that pans."""
    frames, maps = scene()
    texture = np.random.default_rng(0).integers(0, 120, (32, 64, 3), dtype=np.uint8)
    for t, frame in enumerate(frames):
        square = frame == 220
        frame[:] = np.where(square, frame, texture[:, 2 * moves * t : 2 * moves * t + 32])
    short = at(seen(maps), np.arange(4))
    padded = at(seen(maps), np.array([0, 1, 2, 3, 3, 3, 3, 3, 3, 3]))
    expected = localize(short, frames[:4])
    found = localize(padded, frames[padded.indices // 5])
    assert expected.heat is not None
    assert found.heat is not None
    np.testing.assert_array_equal(found.heat[:4], expected.heat)
    np.testing.assert_array_equal(found.heat[4:], expected.heat[[3] * 6])
    for ours, theirs in zip(found.tubes, expected.tubes, strict=True):
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    assert found.points is not None
    assert np.isfinite(found.points).all(), "the last frame still moves"


CLASSES = ("jump", "wave")
BOXES = np.array([[10, 20, 30, 60], [12, 20, 32, 60]], np.float32)


def prediction(scores: tuple[float, float] = (0.2, 0.8)) -> Prediction:
    tubes = (
        Tube("wave", np.array([3, 4]), BOXES, 0.7),
        Tube("wave", np.array([4, 5]), BOXES + 50, 0.3),
        Tube("jump", np.array([4]), BOXES[1:], 0.1),  # the first thing again, as another class
    )
    segments = (Segment("wave", 0.5, 2.0, 0.8), Segment("jump", 0.0, 0.5, 0.2))
    of_frames = np.tile(np.float32(scores), (2, 1))
    return Prediction(
        Path("x/clip.mp4"),
        CLASSES,
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


def test_an_answer_of_nothing_has_no_box() -> None:
    seen = replace(prediction((0.25, 0.25)), threshold=0.3)
    assert seen.actors == ()
    assert of_prediction(replace(seen, segments=())) == {seen.path: []}


def test_a_file_has_the_times_of_all_events_in_their_order() -> None:
    expected = [Interval("jump", 0.0, 0.5, 0.2), Interval("wave", 0.5, 2.0, 0.8)]
    assert of_prediction(prediction()) == {Path("x/clip.mp4"): expected}

"""The mean average precisions: small cases by hand, slow versions, and COCO's own. A box is a tube of
one frame.
"""

import importlib.util
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from onlooker.base.records import Segment, Tube
from onlooker.measure.events import average_precision, segment_map, segment_overlaps
from onlooker.measure.timeline import Timeline
from onlooker_papers.detection import THRESHOLDS, at_thresholds, box_iou, tube_iou, video_map


def box(label: str, frame: int, x: float, score: float = 1.0, width: float = 10) -> Tube:
    return Tube(label, np.array([frame]), np.array([[x, 0, x + width, 10]], np.float32), score)


def tube(label: str, first: int, last: int, x: float = 0, score: float = 1.0) -> Tube:
    frames = np.arange(first, last + 1)
    return Tube(
        label, frames, np.tile(np.array([x, 0, x + 10, 10], np.float32), (len(frames), 1)), score
    )


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def slow_tube_iou(a: Tube, b: Tube) -> float:
    one, two = (dict(zip(t.frames.tolist(), t.boxes.tolist(), strict=True)) for t in (a, b))
    shared = one.keys() & two.keys()
    total = sum(overlap(one[t], two[t]) for t in shared)
    return total / len(shared) * len(shared) / len(one.keys() | two.keys()) if shared else 0.0


def slow_segment_iou(a: Segment, b: Segment) -> float:
    # In steps of a hundredth of a second, of which all times here are multiples.
    one, two = (set(range(round(100 * s.start), round(100 * s.end))) for s in (a, b))
    return len(one & two) / len(one | two)


def slow_map(found: Any, true: Any, iou: Callable[[Any, Any], float], threshold: float) -> float:
    """Precision and recall after each guess in turn, the surest first; nothing is vectorized."""
    answers = []
    for label in sorted({each.label for here in true.values() for each in here}):
        truths = [
            (video, each) for video, here in true.items() for each in here if each.label == label
        ]
        guesses = [
            (video, each) for video, here in found.items() for each in here if each.label == label
        ]
        taken: set[int] = set()
        points = []
        right = 0
        for n, (video, guess) in enumerate(sorted(guesses, key=lambda pair: -pair[1].score), 1):
            best = -1
            best_iou = threshold
            for i, (where, truth) in enumerate(truths):
                if i not in taken and where == video and iou(guess, truth) >= best_iou:
                    best = i
                    best_iou = iou(guess, truth)
            if best >= 0:
                taken.add(best)
                right += 1
            points.append((right / len(truths), right / n))
        area = 0.0
        before = 0.0
        for recall, _ in points:
            area += (recall - before) * max(p for r, p in points if r >= recall)
            before = recall
        answers.append(area)
    return sum(answers) / len(answers)


def random_boxes(rng: random.Random) -> tuple[dict[str, list[Tube]], dict[str, list[Tube]]]:
    def one(true: bool) -> Tube:
        x = rng.uniform(0, 20)
        y = rng.uniform(0, 20)
        w = rng.uniform(15, 30)
        h = rng.uniform(15, 30)
        corners = np.array([[x, y, x + w, y + h]], np.float32)
        frame = np.array([rng.randrange(3)])
        return Tube(rng.choice("abc"), frame, corners, 1.0 if true else rng.random())

    def of(most: int, true: bool) -> dict[str, list[Tube]]:
        return {f"v{v}": [one(true) for _ in range(rng.randrange(most))] for v in range(5)}

    return of(40, False), of(12, True)


def random_tubes(rng: random.Random) -> tuple[dict[str, list[Tube]], dict[str, list[Tube]]]:
    def one(true: bool) -> Tube:
        first = rng.randrange(4)
        length = rng.randrange(3, 12)
        corners = np.array(
            [[x, 0, x + 20, 10] for x in (rng.uniform(0, 12) for _ in range(length))], np.float32
        )
        return Tube(
            rng.choice("abc"),
            np.arange(first, first + length),
            corners,
            1.0 if true else rng.random(),
        )

    return tuple(
        {f"v{v}": [one(t) for _ in range(rng.randrange(8))] for v in range(6)}
        for t in (False, True)
    )  # type: ignore[return-value]


def random_segments(
    rng: random.Random,
) -> tuple[dict[str, list[Segment]], dict[str, list[Segment]]]:
    def one(true: bool) -> Segment:
        start = rng.randrange(500) / 100
        length = rng.randrange(100, 500) / 100
        return Segment(rng.choice("abc"), start, start + length, 1.0 if true else rng.random())

    return tuple(
        {f"v{v}": [one(t) for _ in range(rng.randrange(8))] for v in range(6)}
        for t in (False, True)
    )  # type: ignore[return-value]


def map_of_segments(
    found: dict[str, list[Segment]],
    true: dict[str, list[Segment]],
    thresholds: Sequence[float],
) -> np.ndarray:
    """`segment_map` of events by recording."""
    pairs = [(Timeline(true[name], 100), Timeline(found[name], 100)) for name in true]
    return segment_map(pairs, thresholds)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("make", "measured", "iou"),
    [
        (random_boxes, video_map, slow_tube_iou),
        (random_tubes, video_map, slow_tube_iou),
        (random_segments, map_of_segments, slow_segment_iou),
    ],
)
def test_each_map_equals_a_slow_version(make: Any, measured: Any, iou: Any, seed: int) -> None:
    found, true = make(random.Random(seed))
    values = measured(found, true, (0.2, 0.5, 0.75))
    expected = [slow_map(found, true, iou, threshold) for threshold in (0.2, 0.5, 0.75)]
    np.testing.assert_allclose(values, expected)
    assert 0 < values[1] < values[0] < 1


@pytest.mark.skipif(
    importlib.util.find_spec("pycocotools") is None, reason="torchmetrics needs pycocotools for it"
)
@pytest.mark.parametrize("seed", range(3))
def test_the_map_of_boxes_equals_torchmetrics(seed: int) -> None:
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    found, true = random_boxes(random.Random(seed))
    recalls = torch.linspace(0, 1, 100_001).tolist()  # COCO's are a hundredth apart
    metric = MeanAveragePrecision(iou_thresholds=list(THRESHOLDS), rec_thresholds=recalls)
    sides = []
    for side in (found, true):
        images = []
        for video in found:
            for t in range(3):
                here = [each for each in side[video] if each.frames[0] == t]
                images.append(
                    {
                        "boxes": torch.tensor([each.boxes[0].tolist() for each in here]).reshape(
                            -1, 4
                        ),
                        "labels": torch.tensor(
                            ["abc".index(each.label) for each in here], dtype=torch.int64
                        ),
                        "scores": torch.tensor([each.score for each in here]),
                    }
                )
        sides.append(images)
    metric.update(*sides)
    answers = metric.compute()
    ours = video_map(found, true)
    assert ours.mean() == pytest.approx(float(answers["map"]), abs=1e-4)
    assert ours[1] == pytest.approx(float(answers["map_50"]), abs=1e-4)


def test_average_precision_by_hand() -> None:
    assert average_precision([0.9, 0.8, 0.7], [True, False, True], 2) == pytest.approx(
        0.5 * 1 + 0.5 * 2 / 3
    )
    assert average_precision([0.9, 0.8], [False, True], 4) == pytest.approx(0.25 * 0.5)
    assert average_precision([], [], 3) == 0
    assert average_precision([0.9], [True], 1) == 1
    with pytest.raises(ValueError, match="0 true objects"):
        average_precision([0.5], [False], 0)


def test_equal_scores_have_no_order() -> None:
    right = [True, False, False, True]
    assert {average_precision([0.5] * 4, order, 2) for order in (right, right[::-1])} == {0.5}


def test_a_second_box_on_the_same_thing_is_wrong() -> None:
    true = {"v": [box("a", 0, 0), box("a", 0, 100)]}
    twice = {"v": [box("a", 0, 0, 0.9), box("a", 0, 1, 0.8), box("a", 0, 100, 0.7)]}
    assert video_map(twice, true, (0.5,))[0] == pytest.approx(0.5 + 0.5 * 2 / 3)
    # The surer one takes the nearer of two things, and leaves the other.
    close = {"v": [box("a", 0, 0), box("a", 0, 3)]}
    assert video_map({"v": [box("a", 0, 2, 0.9), box("a", 0, -1, 0.8)]}, close, (0.5,))[0] == 1


def test_frames_and_videos_are_kept_apart() -> None:
    true = {"v": [box("a", 0, 0)], "w": [box("a", 1, 0)]}
    assert video_map({"v": [box("a", 1, 0, 0.9)], "w": [box("a", 0, 0, 0.9)]}, true, (0.5,))[0] == 0
    elsewhere = {"x": [box("a", 0, 0, 2.0)], **true}
    assert video_map(elsewhere, true, (0.5,))[0] == pytest.approx(2 / 3)


def test_classes_without_truth_and_nothing_found() -> None:
    true = {"v": [tube("a", 0, 0), tube("b", 0, 0)], "w": []}
    assert video_map(true, true, (0.5,))[0] == 1
    assert video_map({"v": [*true["v"], tube("c", 0, 0)]}, true, (0.5,))[0] == 1
    assert video_map({"v": true["v"][:1]}, true, (0.5,))[0] == 0.5
    assert video_map({}, true, (0.5,))[0] == 0
    assert np.isnan(video_map(true, {"v": []}, (0.5,))).all()


def test_an_iou_of_exactly_the_threshold_is_enough() -> None:
    true = {"v": [box("a", 0, 0)]}
    half = {"v": [box("a", 0, 0, width=5)]}
    assert video_map(half, true, (0.5, 0.51)).tolist() == [1, 0]


def test_tube_iou_is_of_time_and_of_space() -> None:
    assert tube_iou(tube("a", 0, 9), tube("a", 0, 9)) == 1
    assert tube_iou(tube("a", 0, 9), tube("a", 5, 14)) == pytest.approx(1 / 3)
    assert tube_iou(tube("a", 0, 9), tube("a", 0, 9, x=5)) == pytest.approx(1 / 3)
    assert tube_iou(tube("a", 0, 9), tube("a", 5, 14, x=5)) == pytest.approx(1 / 9)
    assert tube_iou(tube("a", 0, 4), tube("a", 5, 9)) == 0


def test_segment_map_by_hand() -> None:
    np.testing.assert_allclose(
        segment_overlaps([Segment("a", 0, 2)], [Segment("a", 1, 3)]), [[1 / 3]]
    )
    assert segment_overlaps([Segment("a", 0, 2)], [Segment("a", 2, 3)]) == 0
    true = {"v": [Segment("a", 0, 2), Segment("a", 4, 6)]}
    found = {"v": [Segment("a", 0, 1.9, 0.9), Segment("a", 0.1, 2, 0.8), Segment("a", 4, 5, 0.7)]}
    np.testing.assert_allclose(map_of_segments(found, true, (0.5, 0.6)), [0.5 + 0.5 * 2 / 3, 0.5])


def test_errors_of_the_thresholds() -> None:
    values = np.linspace(1, 0, len(THRESHOLDS))
    assert at_thresholds("video_map", values) == {
        "video_map_20": 1.0,
        "video_map_50": pytest.approx(0.9),
        "video_map_50_95": pytest.approx(0.45),
    }
    with pytest.raises(ValueError, match=r"values have shape \(2,\)"):
        at_thresholds("video_map", values[:2])


def test_iou_of_boxes() -> None:
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [3, 3, 3, 3]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [3, 3, 3, 3]])
    np.testing.assert_allclose(box_iou(a, b), [1, 1 / 3, 0, 0])

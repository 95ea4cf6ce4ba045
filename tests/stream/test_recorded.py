"""A recording that was watched becomes one prediction, with all of its events."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onlooker.base.records import Box, ClipError, Event, Step
from onlooker.stream.events import Finder, highest_around, recorded

CLASSES = ("nothing", "run", "wave")
LENGTHS = (2, 4)
FINDER = Finder(CLASSES, LENGTHS, 0.5, nothing=0)


@pytest.mark.parametrize("frames", [1, 3, 40])
def test_the_highest_score_around_a_frame_is_that_of_the_windows_that_contain_it(
    frames: int,
) -> None:
    windows = np.random.default_rng(0).random((frames, 3, 2)).astype(np.float32)
    lengths = (2, 5, 7)
    naive = np.zeros((frames, 2), np.float32)
    for t in range(frames):
        for last in range(frames):
            for place, n in enumerate(lengths):
                if last - n < t <= last:
                    naive[t] = np.maximum(naive[t], windows[last, place])
    np.testing.assert_array_equal(highest_around(windows, lengths), naive)


def made(
    best: dict[int, tuple[int, int, float]], frames: int = 14, boxes: Sequence[int] = ()
) -> list[Step]:
    """Steps at 10 frames per second; `best`: the place, the class and the score of the window that
    ends at a frame.
    """
    steps = []
    for t in range(frames):
        windows = np.full((len(LENGTHS), len(CLASSES)), 0.01, np.float32)
        if t in best:
            place, k, score = best[t]
            windows[place, k] = score
        corners = (float(t), 0.0, t + 2.0, 4.0)
        steps.append(
            Step(
                3 * t,
                t / 10,
                np.full(3, 1 / 3, np.float32),
                CLASSES,
                np.full((2, 2), 0.25, np.float32),
                "a.mp4",
                boxes=(Box("", 3 * t, corners),) if t in boxes else (),
                point=(t, 1.0) if t in boxes else None,
                happening=False,
                pixels=np.full((8, 16, 3), t, np.uint8),
                heat=np.full((30, 40), 1 / 1200, np.float32),
                windows=windows,
            )
        )
    return steps


def test_the_steps_of_a_recording_become_one_prediction() -> None:
    steps = made({5: (1, 1, 0.75), 9: (0, 2, 0.9)}, boxes=(3, 4, 8, 12))
    prediction, live = recorded("a.mp4", iter(steps), FINDER)
    assert live == []
    found = [
        (each.label, each.start, pytest.approx(each.end), each.score)
        for each in prediction.segments
    ]
    assert found == [("wave", 0.8, 1.0, pytest.approx(0.9)), ("run", 0.2, 0.6, 0.75)], "best first"
    assert [(tube.label, tube.frames.tolist()) for tube in prediction.tubes] == [
        ("run", [9, 12]),
        ("wave", [24]),
    ]
    np.testing.assert_allclose(prediction.tubes[0].boxes, [[3, 0, 5, 4], [4, 0, 6, 4]])
    assert prediction.tubes[1].score == pytest.approx(0.9)
    np.testing.assert_allclose(prediction.scores, [0.1, 0.75, 0.9], rtol=1e-6)
    assert (prediction.label, prediction.score) == ("wave", pytest.approx(0.9))
    assert prediction.frame_scores[:, 1].tolist() == pytest.approx(
        [0.01] * 2 + [0.75] * 4 + [0.01] * 8
    )
    assert prediction.frame_scores[:, 2].tolist() == pytest.approx(
        [0.01] * 8 + [0.9] * 2 + [0.01] * 4
    )
    assert (prediction.path, prediction.classes, prediction.size) == (
        Path("a.mp4"),
        CLASSES,
        (8, 16),
    )
    assert prediction.times.tolist() == [t / 10 for t in range(14)]
    assert prediction.indices.tolist() == [3 * t for t in range(14)]
    assert prediction.points is not None
    assert np.flatnonzero(np.isfinite(prediction.points[:, 0])).tolist() == [3, 4, 8, 12]
    assert prediction.attention is not None
    assert prediction.heat is not None
    assert (prediction.attention.shape, prediction.heat.shape) == ((14, 2, 2), (14, 30, 40))
    assert prediction.event_at(0.3) == prediction.segments[1]
    assert prediction.event_at(0.7) is None


def test_events_of_nothing_and_below_the_threshold_are_none() -> None:
    prediction, _ = recorded("a.mp4", made({5: (1, 0, 0.9), 9: (0, 2, 0.45)}, boxes=(4, 9)), FINDER)
    assert (prediction.segments, prediction.tubes, prediction.label) == ((), (), "nothing")
    never = Finder(CLASSES, LENGTHS, 2.0, nothing=0)
    prediction, _ = recorded("a.mp4", made({9: (0, 2, 0.9)}), never)
    assert (prediction.segments, prediction.label) == ((), "nothing")


def test_events_while_it_played_are_told_also_those_of_the_last_step_again() -> None:
    steps = made({5: (1, 1, 0.75)})
    first = Event("run", 0.2, 0.6, 0.75, "a.mp4")
    last = Event("wave", 1.0, 1.3, 0.6, "a.mp4")
    steps[7] = replace(steps[7], events=(first,))
    again = replace(steps[-1], events=(last,), pixels=None)
    prediction, live = recorded("a.mp4", [*steps, again], FINDER)
    assert live == [first, last]
    assert len(prediction.times) == 14, "a frame less than the steps"


def test_a_model_without_attention_shows_no_places() -> None:
    steps = [replace(each, attention=None, heat=None) for each in made({5: (1, 1, 0.75)})]
    prediction, _ = recorded("a.mp4", steps, FINDER)
    assert (prediction.attention, prediction.heat, prediction.points, prediction.tubes) == (
        None,
        None,
        None,
        (),
    )
    assert len(prediction.segments) == 1


def test_a_recording_without_a_frame_is_an_error() -> None:
    with pytest.raises(ClipError, match=r"a.mp4: too short for this model; give a longer clip"):
        recorded("a.mp4", [], FINDER)

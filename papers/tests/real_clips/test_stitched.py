"""Events in stitched streams: their order, the segments of reports, and what dating them back changes."""

from itertools import pairwise

import numpy as np
import pytest

from onlooker.answer import best_event
from onlooker.localization.online import EventState, update_agreement
from onlooker.publish import EventTracker
from onlooker.structures import Segment, Step
from onlooker_papers.real_clips.stitched import best_threshold, lateness, segments_of, true_segments, with_pauses
from onlooker_papers.real_clips.streams import AGREEMENT, WINDOW, Part, Stream, stitch

CLASSES = ("fall", "fight", "nothing")


def parts() -> list[Part]:
    labels = ("nothing", "fall", "nothing", "fight", "nothing", "fall")
    return [Part(np.zeros((4 + i, 2, 1, 1), np.float16), label, label, str(i)) for i, label in enumerate(labels)]


def test_every_event_comes_once_between_clips_of_nothing() -> None:
    stream = with_pauses(parts(), np.random.default_rng(3))
    assert sorted(label for _, _, label in stream.events) == ["fall", "fall", "fight"]
    order = [parts()[stream.clip[t]].label for t in np.flatnonzero(stream.place == 0)]
    assert order[0] == order[-1] == "nothing"
    assert all("nothing" in pair for pair in pairwise(order))


def test_segments_are_the_frames_that_are_reported() -> None:
    scores = np.array([[0.1, 0.1, 0.8]] * 5 + [[0.7, 0.1, 0.2]] * 6 + [[0.1, 0.8, 0.1]] * 4 + [[0.1, 0.1, 0.8]] * 2)
    found = segments_of(scores, CLASSES, 0.5, rate=2.0)
    late = AGREEMENT - 1
    assert [(each.label, each.start, each.end) for each in found] == [
        ("fall", (5 + late) / 2, 11 / 2), ("fight", (11 + late) / 2, 15 / 2)
    ]  # fmt: skip
    assert [each.score for each in found] == pytest.approx([0.7, 0.8])
    back = segments_of(scores, CLASSES, 0.5, rate=2.0, late=(8, 8))
    assert [(each.start, each.end) for each in back] == [(0.0, 1.5), (2.5, 3.5)]
    assert segments_of(scores, CLASSES, 0.9, rate=2.0) == []


def answers(stream: Stream, late: int) -> np.ndarray:
    """A model that answers each event rightly, but begins and ends `late` frames after it."""
    scores = np.tile([0.1, 0.1, 0.8], (len(stream.clip), 1))
    for first, after, label in stream.events:
        scores[first + late : after + late] = np.eye(3)[CLASSES.index(label)] * 0.8 + 0.1 * (1 - np.eye(3)[0])
    return scores


def test_reports_of_a_late_model_match_when_they_are_dated_back() -> None:
    long = [Part(np.zeros((30, 2, 1, 1), np.float16), part.label, part.label, part.recording) for part in parts()]
    stream = stitch(long, [0, 1, 2, 3, 4])
    scores = answers(stream, WINDOW // 2)
    (fall, fight), true = segments_of(scores, CLASSES, 0.5, 1.0, lateness("dated", WINDOW)), true_segments(stream, 1.0)
    assert true == [Segment("fall", 30.0, 60.0), Segment("fight", 90.0, 120.0)]
    assert [(each.start, each.end) for each in (fall, fight)] == [(30.0, 60.0), (90.0, 120.0)]
    live = segments_of(scores, CLASSES, 0.5, 1.0)
    assert live[0].start == 30 + WINDOW // 2 + AGREEMENT - 1


def test_the_dated_segments_are_the_published_events() -> None:
    random = np.random.default_rng(5)
    scores = random.dirichlet(np.full(3, 0.3), 60).repeat(random.integers(1, 30, 60), 0)
    scores[-WINDOW:] = 0, 0, 1  # no event is ended by its stream
    tracker, events = EventTracker(WINDOW // 2, AGREEMENT), []
    state = EventState()
    for t, of_frame in enumerate(scores.astype(np.float32)):
        state = update_agreement(state, best_event(of_frame, CLASSES, 0.8), int(of_frame.argmax()), AGREEMENT)
        needed, happening = min(0.8, float(of_frame.max())), state.frames >= AGREEMENT
        events += tracker.add(Step(t, t / 4, of_frame, CLASSES, threshold=needed, happening=happening))
    ended = [(each.label, each.began, each.ended) for each in events if each.ended]
    found = segments_of(scores, CLASSES, 0.8, 4.0, lateness("dated", WINDOW))
    assert len(found) > 10
    assert ended == [(each.label, each.start, each.end) for each in found]


def test_the_threshold_separates_weak_answers_from_false_ones() -> None:
    frames = {"nothing": 80, "fall": 30, "fight": 30}
    long = [Part(np.zeros((frames[p.label], 2, 1, 1), np.float16), p.label, p.label, p.recording) for p in parts()]
    stream = stitch(long, [0, 1, 2, 3, 4])
    scores = np.tile([0.32, 0.08, 0.6], (len(stream.clip), 1))  # falls everywhere, weakly
    for first, after, label in stream.events:
        scores[first:after] = np.where(np.array(CLASSES) == label, 0.5, 0.25)
    threshold, reached = best_threshold([(stream, scores)], CLASSES, 1.0, (0, 0))
    assert 0.32 < threshold <= 0.5
    assert reached == 1.0

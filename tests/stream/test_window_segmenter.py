"""Scores of windows become events: by suppression, of a whole recording, frame by frame, and in a
short clip; a recording that was watched becomes one prediction, with all of its events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.base.decision import Decision
from onlooker.base.records import Box, ClipError, Event, Prediction, Segment, Step
from onlooker.stream.recordings import clip_events, collected, recorded
from onlooker.stream.segmenters import WindowSegmenter, windows
from onlooker.stream.segmenters.windows import WindowMemory, highest_around, suppress

CLASSES = ("clap", "nothing", "wave")
LENGTHS = (5, 7, 10, 14)
ALL_EVENTS = Decision(CLASSES, nothing="")
TWO_EVENTS = Decision(CLASSES)
RATE = 10
Row = tuple[int, int, int]  # the first frame of an event, the one after it, and its class


def iou(a: Segment, b: Segment) -> float:
    both = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    return both / (a.end - a.start + b.end - b.start - both)


def together(a: Segment, b: Segment) -> bool:
    """Whether two events cannot both be reported."""
    return iou(a, b) > (1e-6 if a.label == b.label else windows._OVERLAP)


def scores_of(frames: int, rows: Sequence[Row], highest: float = 0.9) -> np.ndarray:
    """Scores `T L K` that are highest for the windows that are the events, and lower the less a
    window is one.
    """
    scores = np.zeros((frames, len(LENGTHS), len(CLASSES)), np.float32)
    for t in range(frames):
        for place, n in enumerate(LENGTHS):
            for first, after, k in rows:
                window = Segment("", t + 1, n + t + 1)
                event = Segment("", n + first, n + after)
                overlap = iou(window, event)
                scores[t, place, k] = max(scores[t, place, k], highest * overlap**2)
    return scores


def times_of(frames: int) -> list[float]:
    return [t / RATE for t in range(frames)]


def as_rows(found: Sequence[Segment]) -> list[Row]:
    return [
        (round(RATE * each.start), round(RATE * each.end), CLASSES.index(each.label))
        for each in found
    ]


def are_near(found: Sequence[Segment], rows: Sequence[Row]) -> bool:
    """Whether events are those of the rows, with borders that are moved by less than a quarter."""
    return len(found) == len(rows) and all(
        each.label == CLASSES[k]
        and max(abs(RATE * each.start - first), abs(RATE * each.end - after))
        <= (after - first) / 4 + 1e-6
        for each, (first, after, k) in zip(found, rows, strict=True)
    )


def stepped(
    segmenter: WindowSegmenter, scores: np.ndarray
) -> tuple[list[tuple[float, Segment]], list[Segment | None], list[WindowMemory]]:
    """The events with the time when they were final (infinity: at the end); what went on, and was
    kept, each frame.
    """
    memory = segmenter.start
    final = list[tuple[float, Segment]]()
    ongoing = list[Segment | None]()
    memories = list[WindowMemory]()
    for time, of_frame in zip(times_of(len(scores)), scores, strict=True):
        step = segmenter.step(memory, time, of_frame)
        memory = step.memory
        final += [(time, each) for each in step.final]
        assert len(step.ongoing) <= 1
        ongoing.append(next(iter(step.ongoing), None))
        memories.append(memory)
    final += [(float("inf"), each) for each in segmenter.finish(memory)]
    return final, ongoing, memories


WINDOWS = st.builds(
    lambda start, length, label, score: Segment(
        str(label), start / 4, (start + length) / 4, score / 16
    ),
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(0, 2),
    st.integers(0, 16),
)


@given(st.lists(WINDOWS, max_size=25))
def test_suppression_keeps_the_best_windows_that_overlap_none_that_is_better(
    windows: list[Segment],
) -> None:
    kept = suppress(windows)
    expected = list[Segment]()
    left = list(windows)
    while left:
        best = max(left, key=lambda each: each.score)
        expected.append(best)
        left = [each for each in left if each is not best and not together(each, best)]
    assert kept == expected


@pytest.mark.parametrize(
    ("surer", "others", "decision", "expected"),
    [
        ([(20, 25, 2), (30, 37, 0), (40, 50, 2)], [(3, 17, 0)], ALL_EVENTS, [3, 0, 1, 2]),
        ([(8, 18, 1)], [(9, 19, 2)], ALL_EVENTS, [0]),
        ([(8, 18, 1)], [(9, 19, 2)], TWO_EVENTS, [1]),
    ],
    ids=["in the order of time", "the best of two", "nothing hides no event"],
)
def test_events_are_in_order_and_nothing_is_none(
    surer: list[Row], others: list[Row], decision: Decision, expected: list[int]
) -> None:
    scores = np.maximum(scores_of(60, surer), scores_of(60, others, 0.6))
    found = WindowSegmenter(decision, LENGTHS, 0.5).find(times_of(60), scores)
    assert are_near(found, [[*surer, *others][i] for i in expected])


@pytest.mark.parametrize("decision", [ALL_EVENTS, TWO_EVENTS])
def test_an_event_needs_the_threshold(decision: Decision) -> None:
    scores = np.maximum(scores_of(50, [(8, 18, 2)], 0.75), scores_of(50, [(28, 38, 2)], 0.5))
    for threshold, expected in ((0.4, 2), (0.5, 2), (0.51, 1), (0.75, 1), (0.76, 0), (2.0, 0)):
        found = WindowSegmenter(decision, LENGTHS, threshold).find(times_of(50), scores)
        assert len(found) == expected, threshold
        final, *_ = stepped(WindowSegmenter(decision, LENGTHS, threshold), scores)
        assert len(final) == expected, threshold


def test_a_window_that_begins_before_the_stream_is_no_event() -> None:
    scores = np.full((LENGTHS[0] - 1, len(LENGTHS), len(CLASSES)), 0.9, np.float32)
    segmenter = WindowSegmenter(ALL_EVENTS, LENGTHS, 0.5)
    assert segmenter.find(times_of(len(scores)), scores) == []
    assert stepped(segmenter, scores)[0] == []


def test_a_frame_lasts_as_long_as_the_others_of_its_window() -> None:
    times = [1.0, 1.5, 2.0, 2.5, 3.0]
    scores = np.zeros((5, len(LENGTHS), len(CLASSES)), np.float32)
    scores[4, 0, 0] = 0.9
    (found,) = WindowSegmenter(ALL_EVENTS, LENGTHS, 0.5).find(times, scores)
    assert (found.start, found.end) == (1.0, 3.5)


def test_borders_move_to_where_the_evidence_rises_and_falls() -> None:
    """By a quarter at most, to the mean of the windows that are half the same, by the squares of
    their scores.
    """
    segmenter = WindowSegmenter(ALL_EVENTS, LENGTHS, 0.5)
    scores = np.zeros((60, len(LENGTHS), len(CLASSES)), np.float32)
    scores[29, 2, 2] = 0.9  # frames 20 to 29
    scores[27, 1, 2] = 0.6  # 21 to 27
    scores[27, 1, 0] = 0.8  # of another class
    scores[21, 0, 2] = 0.4  # 17 to 21, hardly the same
    (found,) = segmenter.find(times_of(60), scores)
    weights = np.array([0.9, 0.6]) ** 2
    assert found.label == "wave"
    assert found.score == np.float32(0.9)
    assert found.start == pytest.approx(np.average([2.0, 2.1], weights=weights))
    assert found.end == pytest.approx(np.average([3.0, 2.8], weights=weights))
    scores = np.zeros((60, len(LENGTHS), len(CLASSES)), np.float32)
    scores[29, 2, 2] = 0.5
    scores[24, 0, 2] = scores[25, 0, 2] = 0.49  # 20 to 24 and 21 to 25
    (found,) = segmenter.find(times_of(60), scores)
    assert found.end == pytest.approx(2.75), "a quarter of its length earlier, at most"


def test_borders_do_not_move_into_other_events_of_the_class() -> None:
    segmenter = WindowSegmenter(ALL_EVENTS, LENGTHS, 0.5)
    scores = np.zeros((60, len(LENGTHS), len(CLASSES)), np.float32)
    scores[19, 2, 2] = 0.9  # frames 10 to 19
    scores[21, 2, 2] = 0.8  # 12 to 21
    scores[29, 2, 2] = 0.85  # 20 to 29
    first, second = segmenter.find(times_of(60), scores)
    assert first.start == pytest.approx(np.average([1.0, 1.2], weights=[0.81, 0.64]))
    assert 2.0 < first.end == second.start < 2.1, "moved outwards"
    assert second.end == pytest.approx(3.0)


@st.composite
def clear_cases(draw: st.DrawFn) -> tuple[int, list[Row]]:
    """Events that are apart."""
    rows = list[Row]()
    at = 0
    for _ in range(draw(st.integers(0, 4))):
        first = at + draw(st.integers(6, 20))
        at = first + draw(st.sampled_from(LENGTHS))
        rows.append((first, at, draw(st.sampled_from((0, 2)))))
    return at + draw(st.integers(0, 25)), rows


@given(clear_cases())
@settings(max_examples=25, deadline=None)
def test_a_stream_has_the_events_of_its_recording(case: tuple[int, list[Row]]) -> None:
    frames, rows = case
    scores = scores_of(frames, rows)
    segmenter = WindowSegmenter(TWO_EVENTS, LENGTHS, 0.5)
    at_once = segmenter.find(times_of(frames), scores)
    assert are_near(at_once, rows)
    final, ongoing, _ = stepped(segmenter, scores)
    assert sorted((each for _, each in final), key=lambda each: each.start) == at_once, (
        "each once, and unchanged"
    )
    for (time, event), (first, after, _) in zip(final, rows, strict=True):
        ripe = (after + (after - first) / 3) / RATE
        assert ripe <= time + 1e-9
        assert time == float("inf") or time - 1 / RATE < ripe + 1e-9, (
            "a third of its length after its end, not later"
        )
        if time == float("inf"):
            assert times_of(frames)[-1] < ripe, "an event is not kept until the end"
        now = ongoing[after - 1]
        assert now is not None
        assert as_rows([now]) == [(first, after, CLASSES.index(event.label))], (
            "it is known before it is final"
        )
    for time, now in zip(times_of(frames), ongoing, strict=True):
        over = [event for at, event in final if at <= time]
        assert now is None or not any(together(now, event) for event in over)


@given(st.integers(0, 1000), st.sampled_from([0.02, 0.4, 0.8]))
@settings(max_examples=10, deadline=None)
def test_whatever_the_scores_are_a_recording_has_the_events_of_its_stream(
    seed: int, threshold: float
) -> None:
    random = np.random.default_rng(seed)
    noise = random.uniform(size=(120, len(LENGTHS), len(CLASSES)))
    scores = noise ** random.integers(1, 6)
    segmenter = WindowSegmenter(TWO_EVENTS, LENGTHS, threshold)
    at_once = segmenter.find(times_of(len(scores)), scores)
    final, *_ = stepped(segmenter, scores)
    assert at_once == sorted((each for _, each in final), key=lambda e: (e.start, e.end))
    assert not any(
        a.label == b.label and iou(a, b) > 1e-6
        for number, a in enumerate(at_once)
        for b in at_once[:number]
    )


def test_events_of_one_class_do_not_overlap_and_those_of_two_may_touch() -> None:
    """Two events that share a frame of nineteen."""
    for second, expected in ((2, 1), (0, 2)):
        scores = np.zeros((40, len(LENGTHS), len(CLASSES)), np.float32)
        scores[19, 2, 2] = 0.9
        scores[28, 2, second] = 0.8
        segmenter = WindowSegmenter(TWO_EVENTS, LENGTHS, 0.5)
        assert len(segmenter.find(times_of(40), scores)) == expected
        memory = segmenter.start
        for time, of_frame in zip(times_of(28), scores[:28], strict=True):
            memory = segmenter.step(memory, time, of_frame).memory
        assert [event.label for event in memory.events] == ["wave"]
        memory = segmenter.step(memory, 2.8, scores[28]).memory
        new = segmenter.new_event_scores(memory)
        assert new[2, second] == (0 if expected == 1 else np.float32(0.8))
        touching = np.zeros_like(scores)
        touching[19, 2, 2] = 0.9
        touching[29, 2, second] = 0.8
        assert len(segmenter.find(times_of(40), touching)) == 2


def test_a_better_window_replaces_one_that_is_not_final() -> None:
    """An event whose first part already looks like one."""
    scores = np.maximum(scores_of(40, [(10, 15, 2)], 0.6), scores_of(40, [(10, 17, 2)], 0.9))
    final, ongoing, _ = stepped(WindowSegmenter(ALL_EVENTS, LENGTHS, 0.5), scores)
    assert are_near([each for _, each in final], [(10, 17, 2)])
    early = ongoing[14]
    assert (early.start, early.end) == (pytest.approx(1.0), pytest.approx(1.5))


def test_where_nothing_goes_on_no_window_of_a_new_event_is_probable() -> None:
    """Windows that overlap an event that is over still have high scores."""
    segmenter = WindowSegmenter(TWO_EVENTS, LENGTHS, 0.3)
    scores = np.random.default_rng(0).uniform(size=(300, len(LENGTHS), len(CLASSES))) ** 2
    _, ongoing, memories = stepped(segmenter, scores)
    paused = [t for t, event in enumerate(ongoing) if event is None]
    of_events = np.delete(scores[paused], 1, -1)
    assert of_events.max() > 0.9
    new = [segmenter.new_event_scores(memories[t]) for t in paused]
    assert np.delete(new, 1, -1).max() < 0.3
    before = next(t for t, each in enumerate(memories) if each.pending)
    np.testing.assert_array_equal(
        segmenter.new_event_scores(memories[before])[0], scores[before, 0]
    )


def test_any_stream_takes_constant_memory_and_no_event_is_changed_or_repeated() -> None:
    random = np.random.default_rng(0)
    segmenter = WindowSegmenter(TWO_EVENTS, LENGTHS, 0.3)
    scores = random.uniform(size=(5000, len(LENGTHS), len(CLASSES))) ** 2
    scores[2000:2500] = 0  # a pause
    final, _, memories = stepped(segmenter, scores)
    longest = LENGTHS[-1]
    assert len(memories[-1].times) == longest
    assert max(len(each.times) for each in memories) == longest
    assert max(len(each.pending) for each in memories) <= len(LENGTHS) * (longest // 3 + 2)
    assert max(len(each.events) for each in memories) <= longest
    assert memories[2400].pending == memories[2400].events == ()
    assert len(final) > 200
    found = [event for _, event in final]
    for number, event in enumerate(found):
        near = found[max(0, number - 40) : number]
        assert not any(
            iou(event, other) > (1e-6 if event.label == other.label else 3 * windows._OVERLAP)
            for other in near
        )


def prediction(
    times: Sequence[float],
    scores: tuple[float, ...] = (0.2, 0.1, 0.7),
    end: float = float("inf"),
    threshold: float | None = None,
) -> Prediction:
    return Prediction(
        Path("a.mp4"),
        Decision(CLASSES, threshold=threshold),
        np.tile(np.float32(scores), (len(times), 1)),
        np.float32(scores),
        np.array(times, float),
        np.arange(len(times)),
        end=end,
    )


def spans(found: Sequence[Segment]) -> list[tuple[float, float]]:
    return [(pytest.approx(each.start), pytest.approx(each.end)) for each in found]


def test_the_event_of_a_clip_is_all_of_it() -> None:
    (found,) = clip_events(prediction(times_of(6)), None, ())
    assert (found.label, found.score) == ("wave", pytest.approx(0.7))
    assert spans([found]) == [(0, 0.55)], (
        "half a frame before the first one would be before the clip"
    )
    assert spans(clip_events(prediction([1.0, 1.1, 1.4]), None, ())) == [(0.95, 1.55)]
    assert spans(clip_events(prediction(times_of(6), end=0.52), None, ())) == [(0, 0.52)], (
        "nothing lies after the end"
    )
    assert spans(clip_events(prediction([0, 1], end=2), None, ())) == [(0, 2)], "not 1.5"
    assert spans(clip_events(prediction(times_of(6), end=0.4), None, ())) == [(0, 0.5)], (
        "but the last frame does not"
    )


PARTS = {(4, 0): 3.1, (4, 1): 2.9}  # by the last frame of a window, and the place of its length


@pytest.mark.parametrize(
    ("scores", "lengths", "expected"),
    [
        ({**PARTS, (5, 2): 1.0}, (3, 4, 6), (0.15, 0.45)),
        ({**PARTS, (5, 2): 1.0, (5, 1): 3.2}, (3, 4, 6), (0.15, 0.55)),
        ({**PARTS, (5, 2): 1.3, (5, 1): 3.2}, (3, 4, 6), (0, 0.55)),
        ({**PARTS, (5, 2): -9.0}, (3, 4, 7), (0, 0.55)),
        ({(2, 0): 3.1, (4, 1): 1.0}, (3, 5), (0, 0.25)),
        ({(2, 0): 3.1, (4, 1): 1.0, (5, 1): 1.2}, (3, 5), (0, 0.55)),
    ],
    ids=[
        "frames 2 to 4",
        "the best of the parts",
        "not by enough",
        "how well all of it fits is not known",
        "better than nearly all frames",
        "not better than nearly all frames, which count as all",
    ],
)
def test_the_event_of_a_clip_is_a_part_that_is_clearly_better_than_all_of_it(
    scores: dict[tuple[int, int], float],
    lengths: tuple[int, ...],
    expected: tuple[float, float],
) -> None:
    whole = np.full((6, len(lengths)), -3.0)
    for place, score in scores.items():
        whole[place] = score
    assert spans(clip_events(prediction(times_of(6)), whole, lengths)) == [expected]


def test_a_window_that_begins_before_a_clip_is_no_part_of_it() -> None:
    """However low the scores of the others are; of a clip unlike all of the training, they may be."""
    whole = np.full((6, 2), -30.0)
    whole[2:, 0] = -50.0
    whole[5, 1] = -60.0
    (event,) = clip_events(prediction(times_of(6)), whole, (3, 6))
    assert (event.start, event.end) == (0, 0.25)
    assert type(event.start) is type(event.end) is float


@pytest.mark.parametrize(
    "seen", [prediction(times_of(6), (0.1, 0.8, 0.1)), prediction(times_of(6), threshold=0.75)]
)
def test_an_answer_of_nothing_has_no_event(seen: Prediction) -> None:
    assert clip_events(seen, None, ()) == clip_events(seen, np.full((6, 1), 9.0), (3,)) == ()


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.0, 0.0]])
def test_a_single_image_has_no_event(times: list[float]) -> None:
    assert clip_events(prediction(times), None, ()) == ()


def test_the_repeated_last_frame_of_a_short_clip_has_no_duration() -> None:
    seen = prediction([0.0, 0.1, 0.2, 0.2, 0.2, 0.2])
    lengths = (2, 3, 6)
    assert spans(clip_events(seen, None, ())) == [(0, 0.25)]
    whole = np.full((6, 3), -1.0)
    whole[5, 2] = 9.0
    whole[4, 0] = 7.0
    assert spans(clip_events(seen, whole, lengths)) == [(0, 0.25)], (
        "windows of repeated frames are no parts"
    )
    whole[2, 0] = 5.0
    assert spans(clip_events(seen, whole, lengths)) == [(0.05, 0.25)]


OTHERS = ("nothing", "run", "wave")
SHORT = (2, 4)
SEGMENTER = WindowSegmenter(Decision(OTHERS), SHORT, 0.5)


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


def steps_of(
    best: dict[int, tuple[int, int, float]], frames: int = 14, boxes: Sequence[int] = ()
) -> list[Step]:
    """Steps at 10 frames per second; `best`: the place, the class and the score of the window that
    ends at a frame.
    """
    steps = []
    for t in range(frames):
        windows = np.full((len(SHORT), len(OTHERS)), 0.01, np.float32)
        if t in best:
            place, k, score = best[t]
            windows[place, k] = score
        corners = (float(t), 0.0, t + 2.0, 4.0)
        steps.append(
            Step(
                3 * t,
                t / 10,
                np.full(3, 1 / 3, np.float32),
                Decision(OTHERS),
                np.full((2, 2), 0.25, np.float32),
                "a.mp4",
                boxes=(Box("", 3 * t, corners),) if t in boxes else (),
                point=(t, 1.0) if t in boxes else None,
                ongoing=(),
                pixels=np.full((8, 16, 3), t, np.uint8),
                heat=np.full((30, 40), 1 / 1200, np.float32),
                rows=windows[None],
            )
        )
    return steps


def predicted(
    path: str, steps: Iterable[Step], segmenter: WindowSegmenter
) -> tuple[Prediction, list[Segment]]:
    rows, live = collected(path, steps)
    return recorded(path, rows, segmenter, end=1.4), live


def test_the_steps_of_a_recording_become_one_prediction() -> None:
    steps = steps_of({5: (1, 1, 0.75), 9: (0, 2, 0.9)}, boxes=(3, 4, 8, 12))
    prediction, live = predicted("a.mp4", iter(steps), SEGMENTER)
    assert live == []
    found = [(each.label, each.start, each.end, each.score) for each in prediction.segments]
    near = partial(pytest.approx, abs=1e-3)
    assert found == [
        ("wave", near(0.8), near(1.0), near(0.9)),
        ("run", near(0.2), near(0.6), 0.75),
    ], "best first"
    assert [(tube.label, tube.frames.tolist()) for tube in prediction.tubes] == [
        ("run", [9, 10, 11, 12]),
        ("wave", [24]),
    ]
    boxes = prediction.tubes[0].boxes
    np.testing.assert_allclose(boxes[[0, -1]], [[3, 0, 5, 4], [4, 0, 6, 4]])
    np.testing.assert_allclose(boxes[1], [3 + 1 / 3, 0, 5 + 1 / 3, 4], rtol=1e-6)
    assert prediction.tubes[1].score == pytest.approx(0.9)
    np.testing.assert_allclose(prediction.event_scores, [0.1, 0.75, 0.9], rtol=1e-6)
    assert (prediction.label, prediction.score) == ("wave", pytest.approx(0.9))
    assert prediction.frame_scores[:, 1].tolist() == pytest.approx(
        [0.01] * 2 + [0.75] * 4 + [0.01] * 8
    )
    assert prediction.frame_scores[:, 2].tolist() == pytest.approx(
        [0.01] * 8 + [0.9] * 2 + [0.01] * 4
    )
    assert (prediction.path, prediction.classes, prediction.size) == (
        Path("a.mp4"),
        OTHERS,
        (8, 16),
    )
    assert prediction.times.tolist() == [t / 10 for t in range(14)]
    assert prediction.indices.tolist() == [3 * t for t in range(14)]
    assert np.flatnonzero(np.isfinite(prediction.points[:, 0])).tolist() == [3, 4, 8, 12]
    assert (prediction.attention.shape, prediction.heat.shape) == ((14, 2, 2), (14, 30, 40))
    assert prediction.event_at(0.3) == prediction.segments[1]
    assert prediction.event_at(0.7) is None


def test_events_of_nothing_and_below_the_threshold_are_none() -> None:
    prediction, _ = predicted(
        "a.mp4", steps_of({5: (1, 0, 0.9), 9: (0, 2, 0.45)}, boxes=(4, 9)), SEGMENTER
    )
    assert (prediction.segments, prediction.tubes, prediction.label) == ((), (), "nothing")
    never = WindowSegmenter(Decision(OTHERS), SHORT, 2.0)
    prediction, _ = predicted("a.mp4", steps_of({9: (0, 2, 0.9)}), never)
    assert (prediction.segments, prediction.label) == ((), "nothing")


def test_events_while_it_played_are_told_also_those_of_the_last_step_again() -> None:
    steps = steps_of({5: (1, 1, 0.75)})
    first = Event("run", 0.2, 0.6, 0.75, "a.mp4")
    last = Event("wave", 1.0, 1.3, 0.6, "a.mp4")
    steps[7] = replace(steps[7], events=(first,))
    again = replace(steps[-1], events=(last,), rows=steps[-1].rows[:0], pixels=None)
    prediction, live = predicted("a.mp4", [*steps, again], SEGMENTER)
    assert live == [first, last]
    assert len(prediction.times) == 14, "a frame less than the steps"


def test_a_model_without_attention_shows_no_places() -> None:
    steps = [replace(each, attention=None, heat=None) for each in steps_of({5: (1, 1, 0.75)})]
    prediction, _ = predicted("a.mp4", steps, SEGMENTER)
    assert (prediction.attention, prediction.heat, prediction.points, prediction.tubes) == (
        None,
        None,
        None,
        (),
    )
    assert len(prediction.segments) == 1


def test_a_recording_without_a_frame_is_an_error() -> None:
    with pytest.raises(ClipError, match=r"a.mp4: too short for this model; give a longer clip"):
        predicted("a.mp4", [], SEGMENTER)


def test_what_is_kept_of_a_frame_is_small_without_its_heat() -> None:
    steps = steps_of({5: (1, 1, 0.75), 9: (0, 2, 0.9)}, boxes=(3, 4, 8, 12))
    rows, _ = collected("a.mp4", steps, keeps_heat=False)
    assert rows.dtype.itemsize < 200, "8 hours at 5 frames a second in 30 MB"
    prediction = recorded("a.mp4", rows, SEGMENTER, end=1.4)
    assert prediction.heat is None
    whole, _ = predicted("a.mp4", steps, SEGMENTER)
    assert whole.heat is not None
    assert prediction.segments == whole.segments
    np.testing.assert_array_equal(prediction.attention, whole.attention)
    for tube, expected in zip(prediction.tubes, whole.tubes, strict=True):
        np.testing.assert_array_equal(tube.boxes, expected.boxes)

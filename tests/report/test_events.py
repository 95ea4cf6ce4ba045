"""Thresholds of events, of clips and of streams, and what they mean."""

import json
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from onlooker.base.records import Segment
from onlooker.report.events import (
    EventCurve,
    choose_threshold,
    event_curve,
    scores_by_chance,
)

NOTHING = 1


def test_the_threshold_is_the_highest_that_finds_the_share_of_events() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(3), 57)
    targets = random.integers(0, 3, 57)
    highest = scores[:, [0, 2]].max(1)
    events = targets != 1
    for share in (0.5, 0.9, 1.0):
        chosen = choose_threshold(scores, targets, NOTHING, share)
        assert chosen is not None
        found = [(highest[events] >= threshold).mean() for threshold in sorted({*highest})]
        best = max(t for t, f in zip(sorted({*highest}), found, strict=True) if f >= share)
        assert chosen.probability == best
        assert chosen.found == (highest[events] >= best).mean() >= share
        assert chosen.false_alarms == (highest[~events] >= best).mean()


def test_one_of_ten_events_may_be_missed_but_not_one_of_nine() -> None:
    scores = np.array([[p, 1 - p, 0] for p in (0.1, *[0.8] * 9)])
    targets = np.zeros(11, int)
    targets[-1] = 1
    with_nothing = np.concatenate([scores, [[0.2, 0.8, 0]]])
    ten = choose_threshold(with_nothing, targets, NOTHING)
    assert ten == (0.8, 0.9, 0.0)
    assert (
        str(ten)
        == "0.80 for an event, else nothing (90 % of events found, 0 % false alarms, on the clips of this choice)"
    )
    assert choose_threshold(np.delete(with_nothing, 1, 0), targets[1:], NOTHING) == (0.1, 1.0, 1.0)


@pytest.mark.parametrize(
    ("targets", "nothing"), [([0, 2, 0], NOTHING), ([1, 1, 1], NOTHING), ([0, 1, 2], None)]
)
def test_no_threshold_without_both_events_and_clips_of_nothing(
    targets: list[int], nothing: int | None
) -> None:
    assert choose_threshold(np.eye(3), np.array(targets), nothing) is None


def random_streams(seed: int) -> tuple[list[list[Segment]], list[list[Segment]]]:
    """Found and true events of three streams of 60 seconds."""
    random = np.random.default_rng(seed)
    found = list[list[Segment]]()
    true = list[list[Segment]]()
    for _ in range(3):
        starts = np.arange(0, 60, 6) + random.uniform(0, 3, 10)
        true.append(
            [
                Segment("ab"[random.integers(2)], t, t + random.uniform(1, 3))
                for t in starts
                if random.random() < 0.6
            ]
        )
        found.append(
            [
                Segment(
                    "ab"[random.integers(2)],
                    t,
                    t + random.uniform(0.5, 3),
                    float(random.integers(1, 100)) / 100,
                )
                for t in random.uniform(0, 57, 12)
            ]
        )
    return found, true


def touch(a: Segment, b: Segment) -> bool:
    return a.start < b.end and b.start < a.end


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_equals_a_naive_count_at_each_threshold(seed: int) -> None:
    found, true = random_streams(seed)
    curve = event_curve(found, true, [60] * 3)
    assert curve is not None
    hours = (180 - sum(event.end - event.start for here in true for event in here)) / 3600
    assert curve.hours == pytest.approx(hours)
    assert curve.thresholds == sorted({*curve.thresholds})
    every = [each.score for here in found for each in here]
    assert (curve.thresholds[0], curve.thresholds[-1]) == (min(every), max(every))
    delays = list[float]()
    pairs = Counter[tuple[str, ...]]()
    for i, threshold in enumerate(curve.thresholds):
        right = wrong = alarms = 0
        for reported, events in zip(found, true, strict=True):
            shown = [each for each in reported if each.score >= threshold]
            for event in events:
                labels = {each.label for each in shown if touch(each, event)}
                right += event.label in labels
                wrong += bool(labels) and event.label not in labels
            alarms += sum(not any(touch(each, event) for event in events) for each in shown)
        count = sum(map(len, true))
        assert curve.found[i] == pytest.approx(right / count)
        assert curve.misnamed[i] == pytest.approx(wrong / count)
        assert curve.alarms_per_hour[i] == pytest.approx(alarms / hours)
    for reported, events in zip(found, true, strict=True):
        for each in reported:
            for event in events:
                if touch(each, event) and each.label == event.label:
                    delays.append(each.start - event.start)
                elif touch(each, event):
                    pairs["a", "b"] += 1
    assert curve.late == pytest.approx(np.median(delays))
    assert curve.confused == (["a", "b"] if pairs else [])
    again = EventCurve.from_dict(json.loads(json.dumps(asdict(curve))))
    assert again == curve


def test_by_chance_equals_a_plain_loop_over_shifted_events() -> None:
    for reported, events in zip(*random_streams(7), strict=True):
        for event in events:
            scores = scores_by_chance(reported, event, 60)
            shifts = np.linspace(0, 60, len(scores), endpoint=False)
            for shift, score in zip(shifts, scores, strict=True):
                touching = [
                    each.score
                    for each in reported
                    if each.label == event.label
                    for turn in (-60, 0, 60)
                    if each.start + shift + turn < event.end
                    and event.start < each.end + shift + turn
                ]
                assert score == max(touching, default=-1)


def test_events_that_are_reported_always_find_as_much_by_chance() -> None:
    true = [[Segment("a", 10, 12), Segment("a", 50, 52)]]
    always = [[Segment("a", at, at + 9, 0.5) for at in range(0, 100, 10)]]
    curve = event_curve(always, true, [100])
    assert curve is not None
    assert (curve.found[0], curve.by_chance[0]) == (1, 1)
    once = event_curve([[Segment("a", 10, 12, 0.5), Segment("a", 50, 52, 0.5)]], true, [100])
    assert once is not None
    assert once.found[0] == 1
    assert once.by_chance[0] == pytest.approx(2 * 4 / 100, abs=0.02)


def test_the_pair_of_classes_that_is_confused_most_often_is_named() -> None:
    true = [[Segment(label, 10 * i, 10 * i + 5) for i, label in enumerate("abcabc")]]
    found = [[Segment(label, 10 * i, 10 * i + 5, 0.5) for i, label in enumerate("cbabba")]]
    curve = event_curve(found, true, [100])
    assert curve is not None
    assert curve.confused == ["a", "c"]


def test_there_is_no_curve_without_events_found_events_or_time_between_them() -> None:
    event = Segment("a", 0, 10)
    assert event_curve([[event]], [[]], [100]) is None
    assert event_curve([[]], [[event]], [100]) is None
    assert event_curve([[event]], [[event]], [10]) is None
    assert event_curve([[event]], [[event]], [11]) is not None


CURVE = EventCurve(
    [0.2, 0.4, 0.6, 0.8],
    [0.99, 0.9, 0.87, 0.5],
    [0.1, 0.05, 0.04, 0.0],
    [40.0, 12.0, 3.0, 1.0],
    0.31,
    0.5,
    ["a", "b"],
    [0.5, 0.4, 0.31, 0.1],
)


@pytest.mark.parametrize(
    ("allowed", "place"),
    [(100, 0), (40, 0), (39, 2), (12, 2), (3, 2), (2, 3), (1, 3), (0.5, None), (0, None)],
)
def test_the_threshold_is_the_highest_that_finds_nearly_all_that_can_be_found(
    allowed: float, place: int | None
) -> None:
    assert CURVE.point(allowed) == place
    assert CURVE.threshold(allowed) == (
        CURVE.thresholds[place] if place is not None else pytest.approx(2.0)
    )
    assert CURVE.threshold(0.5) > 1, "a score that no event has"


def test_a_curve_says_in_words_what_to_expect() -> None:
    assert CURVE.sentence(6) == (
        "finds 87 % of the events (31 % by chance) at 3 false alarms an hour, begins 0.3 s late in the median; "
        "names 4 % wrong, most often a and b (in streams made of the training clips, 30 min without events)"
    )
    assert (
        replace(CURVE, late=-0.31)
        .sentence(1)
        .startswith(
            "finds 50 % of the events (10 % by chance) at 1 false alarms an hour, begins 0.3 s early in the median (in"
        )
    )
    more = "99 % at 40 an hour"
    assert (
        CURVE.sentence(0.5)
        == f"finds no events at 0.5 false alarms an hour: a and b are confused; {more}"
    )
    assert (
        replace(CURVE, confused=[]).sentence(0)
        == f"finds no events at 0 false alarms an hour; {more}"
    )
    nothing = replace(CURVE, found=[0.0] * 4)
    assert nothing.sentence(100).startswith("finds no events at 100 false alarms an hour")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thresholds", None),
        ("thresholds", 0.5),
        ("thresholds", ["0.2", "0.4", "0.6", "0.8"]),
        ("found", [0.9]),
        ("misnamed", [0.1, 0.05, 0.04, True]),
        ("alarms_per_hour", [1.0] * 5),
        ("late", "0.3"),
        ("hours", None),
        ("confused", [1, 2]),
        ("confused", "ab"),
        ("by_chance", [0.1]),
    ],
)
def test_damaged_values_are_no_curve(name: str, value: object) -> None:
    values = asdict(CURVE)
    assert EventCurve.from_dict(values) == CURVE
    with pytest.raises(ValueError, match=r"expected|lists of different lengths"):
        EventCurve.from_dict({**values, name: value})
    del values[name]
    if name == "by_chance":  # of earlier versions
        assert "chance" not in EventCurve.from_dict(values).sentence(6)
        return
    with pytest.raises(KeyError):
        EventCurve.from_dict(values)

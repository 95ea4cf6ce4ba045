"""Thresholds of events, of clips and of streams, and what they mean."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import chi2

from onlooker.base.alarm_curve import AlarmCurve
from onlooker.base.decision import Decision
from onlooker.base.records import Segment
from onlooker.measure.events import (
    alarm_curve,
    calibrated_curve,
    choose_threshold,
    scores_by_chance,
    threshold_text,
)
from onlooker.measure.timeline import Pair, Timeline

NOTHING = 1


def test_the_threshold_is_the_highest_that_finds_the_share_of_events() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(3), 57)
    targets = random.integers(0, 3, 57)
    highest = scores[:, [0, 2]].max(1)
    events = targets != 1
    for share in (0.5, 0.9, 1.0):
        best = max(t for t in highest if (highest[events] >= t).mean() >= share)
        assert choose_threshold(scores, targets, nothing=NOTHING, min_found=share) == best


def test_one_of_ten_events_may_be_missed_but_not_one_of_nine() -> None:
    scores = np.array([[p, 1 - p, 0] for p in (0.1, *[0.8] * 9, 0.2)])
    targets = np.array([0] * 10 + [NOTHING])
    assert choose_threshold(scores, targets, nothing=NOTHING) == 0.8
    expected = "0.80 for an event, else nothing (90 % of events found, 0 % false alarms, on the"
    text = threshold_text(0.8, scores, targets, nothing=NOTHING)
    assert text == f"{expected} clips of this choice)"
    useless = threshold_text(0.1, scores, targets, nothing=NOTHING)
    assert "100 % false alarms" in useless
    assert useless.endswith("add clips in which nothing happens")
    assert choose_threshold(np.delete(scores, 1, 0), targets[1:], nothing=NOTHING) == 0.1


@pytest.mark.parametrize(
    ("targets", "nothing"), [([0, 2, 0], NOTHING), ([1, 1, 1], NOTHING), ([0, 1, 2], None)]
)
def test_no_threshold_without_both_events_and_clips_of_nothing(
    targets: list[int], nothing: int | None
) -> None:
    assert choose_threshold(np.eye(3), np.array(targets), nothing=nothing) is None


def pairs(
    true: Sequence[Sequence[Segment]],
    found: Sequence[Sequence[Segment]],
    seconds: Sequence[float],
) -> list[Pair]:
    return [
        (Timeline(events, length), Timeline(segments, length))
        for events, segments, length in zip(true, found, seconds, strict=True)
    ]


def random_streams(seed: int) -> tuple[list[list[Segment]], list[list[Segment]]]:
    """Found and true events of three streams of 60 seconds."""
    random = np.random.default_rng(seed)
    streams = range(3)

    def events(starts: NDArray[np.float64], shortest: float) -> list[Segment]:
        return [
            Segment(
                "ab"[random.integers(2)],
                start,
                start + random.uniform(shortest, 3),
                float(random.integers(1, 100)) / 100,
            )
            for start in starts
        ]

    found = [events(random.uniform(0, 57, 12), 0.5) for _ in streams]
    true = [events(np.arange(0, 60, 10) + random.uniform(0, 7, 6), 1) for _ in streams]
    return found, true


def touch(a: Segment, b: Segment) -> bool:
    return a.start < b.end and b.start < a.end


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_equals_a_naive_count_at_each_threshold(seed: int) -> None:
    found, true = random_streams(seed)
    curve = alarm_curve(pairs(true, found, [60] * 3))
    hours = (180 - sum(event.end - event.start for event in chain(*true))) / 3600
    assert curve.hours == pytest.approx(hours)
    assert curve.thresholds == sorted({*curve.thresholds})
    every = [event.score for event in chain(*found)]
    assert (curve.thresholds[0], curve.thresholds[-1]) == (min(every), max(every))
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
        assert curve.recall[i] == pytest.approx(right / count)
        assert curve.misnamed[i] == pytest.approx(wrong / count)
        assert curve.alarms_per_hour[i] == pytest.approx(alarms / hours)
        assert curve.alarms(i) == alarms
        reported = [
            (each, events)
            for each_stream, events in zip(found, true, strict=True)
            for each in each_stream
            if each.score >= threshold
        ]
        correct = [
            any(touch(each, event) and each.label == event.label for event in events)
            for each, events in reported
        ]
        assert curve.precision[i] == pytest.approx(np.mean(correct))
    assert curve.events == sum(map(len, true))
    touching = [
        (each, event)
        for reported, events in zip(found, true, strict=True)
        for each, event in product(reported, events)
        if touch(each, event)
    ]
    delays = [each.start - event.start for each, event in touching if each.label == event.label]
    assert curve.median_delay == pytest.approx(np.median(delays))
    errors = list[float]()
    for reported, events in zip(found, true, strict=True):
        for event in events:
            near = [
                each for each in reported if touch(each, event) and each.label == event.label
            ]
            if near:
                best = sorted(near, key=lambda each: -each.score)[0]
                errors += [abs(best.start - event.start), abs(best.end - event.end)]
    assert curve.border_error == pytest.approx(np.median(errors))
    assert curve.confused == (["a", "b"] if len(touching) > len(delays) else [])
    assert AlarmCurve.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve


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
    once = [[Segment("a", 10, 12, 0.5), Segment("a", 50, 52, 0.5)]]
    for found, by_chance in ((always, 1), (once, 2 * 4 / 100)):
        curve = alarm_curve(pairs(true, found, [100]))
        assert curve.recall[0] == 1
        assert curve.by_chance[0] == pytest.approx(by_chance, abs=0.02)


def test_the_pair_of_classes_that_is_confused_most_often_is_named() -> None:
    true = [[Segment(label, 10 * i, 10 * i + 5) for i, label in enumerate("abcabc")]]
    found = [[Segment(label, 10 * i, 10 * i + 5, 0.5) for i, label in enumerate("cbabba")]]
    assert alarm_curve(pairs(true, found, [100])).confused == ["a", "c"]


def test_there_is_no_curve_without_events_found_events_or_time_between_them() -> None:
    event = Segment("a", 0, 10)
    assert alarm_curve(pairs([[]], [[event]], [100])) is None
    assert alarm_curve(pairs([[event]], [[]], [100])) is None
    assert alarm_curve(pairs([[event]], [[event]], [10])) is None
    assert alarm_curve(pairs([[event]], [[event]], [11])) is not None
    assert calibrated_curve([]) is None
    assert calibrated_curve(pairs([[event]], [[]], [100])) is None


CURVE = AlarmCurve(
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
    assert CURVE.operating_point(allowed) == place
    no_event = pytest.approx(2.0)  # a score that no event has
    assert CURVE.threshold(allowed) == (no_event if place is None else CURVE.thresholds[place])


@pytest.mark.parametrize(
    ("changes", "allowed", "sentence"),
    [
        (
            {},
            6,
            "finds 87 % of the events, at most 13 false alarms an hour (2 in 30 min of quiet footage)",
        ),
        (
            {"events": 40},
            1,
            "finds 20 of 40 events, at most 6 false alarms an hour (none in 30 min of quiet footage)",
        ),
        (
            {},
            0.5,
            "finds no events at 0.5 false alarms an hour: a and b are confused; 99 % of the events at 40 an hour",
        ),
        (
            {"confused": []},
            0,
            "finds no events at 0 false alarms an hour; 99 % of the events at 40 an hour",
        ),
        ({"recall": [0.0] * 4}, 100, "finds no events at 100 false alarms an hour"),
    ],
)
def test_a_curve_says_in_words_what_to_expect(
    changes: dict[str, Any], allowed: float, sentence: str
) -> None:
    assert replace(CURVE, **changes).sentence(allowed).startswith(sentence)


def test_the_details_of_a_curve_have_chance_delay_and_confusions() -> None:
    assert CURVE.details(6) == (
        "by chance it would find 31 %; events begin 0.3 s late in the median; 4 % are named wrong, "
        "most often a and b; an event needs a score of 60 %; tested in streams that are made of the "
        "training clips"
    )
    assert "0.3 s early" in replace(CURVE, median_delay=-0.31).details(6)
    assert "chance" not in replace(CURVE, by_chance=[]).details(6)
    assert CURVE.details(0).startswith("tested in streams")
    exact = replace(CURVE, border_error=0.21)
    assert "; times are about right: half are off by 0.3 s at most; tested" in exact.details(6)


def measured_curve(alarms: Sequence[int], minutes: float, **changes: Any) -> AlarmCurve:
    """A curve with so many false alarms at each of four thresholds in some minutes."""
    curve = AlarmCurve(
        [0.02, 0.5, 0.8, 0.99],
        [0.95, 0.9, 0.7, 0.1],
        [0.0] * 4,
        [60 * count / minutes for count in alarms],
        0.0,
        minutes / 60,
        [],
        precision=[0.2, 0.85, 0.9, 1.0],
        events=40,
    )
    return replace(curve, **changes)


def test_hours_without_an_alarm_bound_the_rate_by_three_over_their_number() -> None:
    curve = measured_curve([9, 3, 1, 0], 9)
    assert curve.bound(3) == pytest.approx(3 / 0.15, rel=0.002)
    for point, count in enumerate((9, 3, 1, 0)):
        exact = chi2.ppf(0.95, 2 * (count + 1)) / 2 / 0.15
        assert curve.bound(point) == pytest.approx(exact)


def test_too_little_quiet_time_gives_the_best_f1_and_never_less_than_one_half() -> None:
    curve = measured_curve([9, 3, 1, 0], 9)
    assert not curve.enough_footage(6)
    assert curve.threshold(6) == 0.5
    best = replace(curve, precision=[0.99, 0.3, 0.9, 1.0])
    assert best.threshold(6) == 0.8, "the F1 score of .02 is higher"
    assert curve.sentence(6) == (
        "finds 36 of 40 events, at most 52 false alarms an hour (3 in 9 min of quiet footage)"
    )
    assert curve.missing(6) == (
        "Record 30 min in which nothing happens, to know of 6 false alarms an hour: there are 9 min "
        "of quiet footage."
    )
    few = measured_curve([0, 0, 0, 0], 1)
    assert few.threshold(6) == 0.5, "neither 2 % nor 99 % by a few seconds"


def test_with_enough_quiet_time_the_bound_keeps_to_the_rate() -> None:
    curve = measured_curve([9, 1, 0, 0], 30)
    assert curve.enough_footage(6)
    assert curve.missing(6) == ""
    assert curve.bound(1) > 6 > curve.bound(2)
    assert curve.threshold(6) == 0.8
    assert curve.threshold(10) == 0.5
    assert measured_curve([9, 1, 1, 1], 30).threshold(6) > 1
    assert measured_curve([0, 0, 0, 0], 600).threshold(6) == 0.5, "never .02"


def test_scores_are_the_probability_that_an_event_of_their_class_happens_there() -> None:
    """Scores that saturate: of those of .99, three quarters are right."""
    random = np.random.default_rng(0)
    probability = np.tile([0.9, 0.75, 0.5, 0.2], 100)
    shown = expit(3 * logit(probability) + 2)
    right = random.random(400) < probability
    true = [Segment("a", 10 * i, 10 * i + 4) for i in np.flatnonzero(right)]
    found = [Segment("a", 10 * i, 10 * i + 4, float(shown[i])) for i in range(400)]
    curve = calibrated_curve(pairs([true], [found], [4000]))
    assert curve is not None
    slope, offset = curve.calibration
    decision = Decision(("a", "b"), curve=curve)
    scores = decision.calibrated(torch.from_numpy(shown)).numpy()
    np.testing.assert_allclose(scores, expit(slope * logit(0.999 * shown) + offset))
    np.testing.assert_allclose(scores, probability, atol=0.08)
    assert 0.5 in curve.thresholds
    assert curve.thresholds[-1] == pytest.approx(scores.max())
    ends = decision.calibrated(torch.tensor([0.0, 1.0])).tolist()
    assert ends[0] == 0, "windows that begin before the stream have no score"
    assert ends[1] > scores.max()
    one = [Segment("a", 10, 14, 0.999999)]
    alone = calibrated_curve(pairs([one], [one], [100]))
    assert alone is not None
    assert alone.thresholds[-1] < 0.9999, "one event that is right is no certainty"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thresholds", None),
        ("thresholds", 0.5),
        ("thresholds", ["0.2", "0.4", "0.6", "0.8"]),
        ("found", [0.9]),
        ("found", []),
        ("misnamed", [0.1, 0.05, 0.04, True]),
        ("alarms_per_hour", [1.0] * 5),
        ("late", "0.3"),
        ("hours", None),
        ("confused", [1, 2]),
        ("confused", "ab"),
        ("by_chance", [0.1]),
        ("precision", [0.1]),
        ("events", 0.5),
        ("calibration", [1.0]),
        ("border_error", "0.3"),
        ("calibration", [0.0, 1.0]),
    ],
)
def test_damaged_values_are_no_curve(name: str, value: object) -> None:
    values = CURVE.to_dict()
    assert AlarmCurve.from_dict(values) == CURVE
    with pytest.raises(ValueError, match=r"expected|lists of different lengths"):
        AlarmCurve.from_dict({**values, name: value})
    del values[name]
    if name in (
        "by_chance",
        "precision",
        "events",
        "calibration",
        "border_error",
    ):  # earlier versions
        earlier = AlarmCurve.from_dict(values)
        assert earlier.threshold(6) == CURVE.threshold(6)
        assert "of the events" in earlier.sentence(6)
        return
    with pytest.raises(KeyError):
        AlarmCurve.from_dict(values)

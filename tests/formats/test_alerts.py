"""Which events are sent: of which classes, outside of quiet hours, and how often. Files have all."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from clips import Make
from commands import fails
from eventful import CLASSES, eventful
from receivers import Collected

from onlooker.base.config import StreamConfig
from onlooker.base.records import Event
from onlooker.formats.alerts import AlertRules
from onlooker.formats.publish import Publishers


def event(start: float, label: str = "wave", clock: str = "12:00", **fields: Any) -> Event:
    """An event that begins; the time of day is that of this computer."""
    hour, minute = map(int, clock.split(":"))
    at = datetime(2026, 3, 1, hour, minute).astimezone()
    source = fields.pop("source", "door")
    return Event(label, start, start + 1, 0.5, source, at=at, phase="begin", **fields)


def sent(rules: AlertRules, events: list[Event]) -> list[tuple[float, str | None]]:
    return [(each.start, each.phase) for each in events if rules.allow(each)]


@pytest.mark.parametrize(
    ("hours", "quiet"),
    [
        ("22:00-07:00", ["22:00", "23:59", "00:00", "6:59"]),
        ("12:00-13:30", ["12:00", "13:29"]),
        ("22:00-24:00, 0:00-07:00", ["22:00", "23:59", "00:00", "6:59"]),
        ("9:00-9:00", ["00:00", "6:59", "7:00", "12:00", "13:29", "13:30", "22:00", "23:59"]),
        ("", []),
    ],
)
def test_nothing_begins_in_quiet_hours_of_local_time(hours: str, quiet: list[str]) -> None:
    clocks = ["00:00", "6:59", "7:00", "12:00", "13:29", "13:30", "22:00", "23:59"]
    rules = AlertRules(StreamConfig(quiet_hours=hours))
    assert [clock for clock in clocks if not rules.allow(event(0, clock=clock))] == [
        clock for clock in clocks if clock in quiet
    ]


def test_two_events_of_a_class_that_go_on_may_both_be_withdrawn() -> None:
    rules = AlertRules(StreamConfig())
    first, second = event(0), event(1)
    for each in (first, second):
        assert rules.allow(each)
    for each in (first, second):
        assert rules.allow(replace(each, phase="withdrawn"))
    paused = AlertRules(StreamConfig(alert_pause=60))
    assert paused.allow(first)
    assert not paused.allow(second)
    assert not paused.allow(replace(second, phase="withdrawn"))
    assert paused.allow(replace(first, phase="withdrawn"))
    assert paused.allow(event(2)), "nothing has happened before"


@pytest.mark.parametrize(
    "hours", ["22-7", "25:00-7:00", "22:60-7:00", "night", "22:00-7:00-8:00"]
)
def test_other_hours_are_an_error(hours: str) -> None:
    with pytest.raises(
        ValueError, match=r"quiet_hours is '.*', expected times of the day as in"
    ):
        StreamConfig(quiet_hours=hours)


def test_classes_that_alert() -> None:
    rules = AlertRules(StreamConfig(alert_classes='wave, "sit, stand"'), ["wave", "sit, stand"])
    labels = ["wave", "clap", "sit, stand"]
    assert [label for label in labels if rules.allow(event(0, label))] == ["wave", "sit, stand"]


def test_a_class_alerts_once_in_a_while_in_each_source() -> None:
    rules = AlertRules(StreamConfig(alert_pause=60))
    events = [
        event(0),
        event(10),
        event(11, "clap"),
        event(12, source="yard"),
        event(59),
        event(61),  # a minute after the last one that was sent
        event(70),
        event(3),  # the stream has begun again
    ]
    assert [start for start, _ in sent(rules, events)] == [0, 11, 12, 61, 3]


def test_what_has_begun_ends_also_in_quiet_hours_and_what_has_not_does_not() -> None:
    rules = AlertRules(StreamConfig(quiet_hours="22:00-7:00", alert_pause=60))
    evening = event(0, clock="21:59")
    night = event(100, clock="22:00")
    late = datetime(2026, 3, 1, 22, 5).astimezone()
    phases = [
        evening,
        replace(evening, phase="end", at=late),
        night,
        replace(night, phase="end", at=late),
    ]
    assert sent(rules, phases) == [(0, "begin"), (0, "end")]
    assert rules._begun == set()


def test_an_event_that_was_none_delays_no_other() -> None:
    rules = AlertRules(StreamConfig(alert_pause=60))
    none = event(0)
    phases = [none, replace(none, phase="withdrawn"), event(5), event(6)]
    assert sent(rules, phases) == [(0, "begin"), (0, "withdrawn"), (5, "begin")]


def test_files_have_the_events_that_are_not_sent(tmp_path: Path) -> None:
    receiver = Collected()
    rules = AlertRules(StreamConfig(alert_classes="clap"))
    publishers = Publishers([receiver, tmp_path / "a.jsonl"], print, rules=rules)
    publishers.open(["door"])
    publishers.add([event(0), event(1, "clap")])
    publishers.close()
    assert [each.label for each in receiver.calls[1:-1]] == ["clap"]
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["wave", "clap"]


def test_watch_sends_what_its_settings_allow(make_clip: Make) -> None:
    path = make_clip(frames=30)
    recognizer = eventful()
    every = [each.label for step in recognizer.watch(path) for each in step.changes]
    assert "run" in every
    for classes, expected in (("run", [each for each in every if each == "run"]), ("clap", [])):
        receiver = Collected()
        assert [*recognizer.watch(path, StreamConfig(alert_classes=classes), sinks=[receiver])]
        assert [each.label for each in receiver.calls[1:-1]] == expected
    with pytest.raises(ValueError, match=r"'ruin', which is no class of .*did you mean run\?"):
        recognizer.watch(path, StreamConfig(alert_classes="ruin"))


def test_the_command_refuses_hours_and_classes_that_are_none(
    make_clip: Make, tmp_path: Path
) -> None:
    run = eventful(classes=CLASSES).save(tmp_path / "run")
    assert "expected times of the day" in fails("watch", run, "0", "--quiet-hours", "night")
    said = fails("watch", run, make_clip(), "--alert-classes", "ruin")
    assert "alert_classes has 'ruin', which is no class of events; did you mean run?" in said

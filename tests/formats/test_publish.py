"""Events of streams are sent when they are over, in order, until they are accepted."""

import hashlib
import hmac
import io
import json
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event as Signal
from threading import Thread, Timer
from typing import Any

import pytest
from commands import call
from eventful import eventful, untrained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ports import free_port
from receivers import Collected, Receiver
from waiting import wait_until

from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError, Event
from onlooker.cli.watch import watch_sources
from onlooker.formats import publish
from onlooker.formats.annotations import read_labels
from onlooker.formats.publish import Publishers, register_sink
from onlooker.stream.sources import Status


def event(number: int) -> Event:
    return Event("wave", float(number), number + 0.5, 0.5, "door")


def ended(receiver: Receiver) -> list[dict[str, Any]]:
    """What it got of events that are over."""
    return [each for each in receiver.got if each["state"] == "end"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_ANSWER", 60.0)  # of a receiver on a busy machine
    # as many as there are
    monkeypatch.setattr(publish, "_PAUSES", tuple(0.01 for _ in publish._PAUSES))
    monkeypatch.setattr(publish, "_CHECKING", 0.01)


def opened(
    *sinks: Any,
    on_lost: Callable[[ClipError], None] = print,
    on_reach: publish.OnReach = print,
    sources: Sequence[str] = ("door",),
) -> Publishers:
    publishers = Publishers(sinks, on_lost, on_reach)
    publishers.open(sources)
    return publishers


@contextmanager
def publishing(*sinks: Any) -> Iterator[tuple[Publishers, list[ClipError]]]:
    lost = list[ClipError]()
    publishers = opened(*sinks, on_lost=lost.append)
    yield publishers, lost
    publishers.close(60)


@pytest.mark.parametrize(
    ("answers", "starts", "reported"),
    [
        ((503, 429, 500), [0, 0, 0, 0, 1], ""),
        ((503,) * 10, [0] * 10 + [1], "answers 503 Service Unavailable; not sent: "),
        ((400,), [0, 1], "answers 400 "),
        ((302,), [0, 1], "answers 302 "),
    ],
    ids=["fails", "fails ten times", "refuses", "redirects"],
)
def test_an_event_is_sent_ten_times_unless_it_is_refused(
    answers: tuple[int, ...], starts: list[int], reported: str
) -> None:
    with (
        Receiver(answers=answers) as receiver,
        publishing(receiver.address + "?key=t0ken") as (publishers, lost),
    ):
        publishers.add([event(0), event(1)])
        publishers.close(60)
    assert [each["start"] for each in receiver.got] == starts
    assert len({each["id"] for each in receiver.got}) == 2
    assert [reported in str(error) for error in lost] == [True] * bool(reported)
    assert "t0ken" not in "".join(map(str, lost)), "what may be a key is never shown"


def test_an_address_that_no_host_can_have_is_reported() -> None:
    with publishing("http://a..b/events") as (publishers, lost):
        publishers.add([event(0)])
        publishers.close(60)
    assert [str(error).startswith("http://a..b/***: ") for error in lost] == [True]


def test_a_receiver_that_starts_while_the_command_ends_gets_all_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publish, "_PAUSES", (60,) * 9)  # which the end interrupts
    port = free_port()
    receivers = list[Receiver]()
    with publishing(f"http://127.0.0.1:{port}/events") as (publishers, lost):
        Timer(0.5, lambda: receivers.append(Receiver(port).__enter__())).start()
        publishers.add([event(0), event(1)])
        publishers.close(60)
    (receiver,) = receivers
    receiver.__exit__(None, None, None)
    assert [each["start"] for each in receiver.got] == [0, 1]
    assert lost == []


def test_what_is_not_sent_at_the_end_is_reported() -> None:
    with Receiver(answers=(503,) * 1000) as receiver:
        lost = list[ClipError]()
        publishers = opened(receiver.address, on_lost=lost.append)
        publishers.add([event(0), event(1)])
        began = time.monotonic()
        publishers.close(0.3)
        assert time.monotonic() - began < 60, "attempts would go on for hours"
    values = [str(error).partition("not sent: ")[2].rpartition(";")[0] for error in lost]
    assert [json.loads(text)["start"] for text in values] == [0, 1]


def test_several_addresses_are_closed_at_the_same_time_and_what_is_left_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publish, "_CHECKING", 60)
    lost = list[ClipError]()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        publishers = opened(*[address] * 4, on_lost=lost.append)
        publishers.add([event(0), event(1)])
        # an attempt whose answer would be waited for, for a minute
        wait_until(lambda: all(each._queue.qsize() == 1 for each in publishers._publishers))
        began = time.monotonic()
        publishers.close(0.3)
        assert time.monotonic() - began < 30
    said = "no answer; 2 events may not have been sent"
    # a sender that gives up later reports it as well
    assert sum(said in str(error) for error in lost) == 4


def test_what_cannot_be_reported_does_not_keep_later_events_from_being_sent() -> None:
    def report(_: ClipError) -> None:
        raise OSError("the terminal is closed")

    with Receiver(answers=(400,)) as receiver:
        publishers = opened(receiver.address, on_lost=report)
        publishers.add([event(0), event(1)])
        publishers.close(60)
        assert [each["start"] for each in receiver.got] == [0, 1]


def test_a_sink_that_fails_is_asked_again_and_delays_no_other() -> None:
    failing = Collected([KeyError("shelf"), PermissionError("the shelf is full")])
    other = Collected()
    with publishing(failing, other) as (publishers, lost):
        publishers.add([event(0), event(1)])
        publishers.close(60)
    assert failing.calls == [["door"], event(1), "closed"]
    assert other.calls == [["door"], event(0), event(1), "closed"]
    (error,) = map(str, lost)
    assert error.startswith("Collected: the shelf is full; not sent: {")


def test_a_sink_that_cannot_be_closed_is_reported_and_others_are_closed() -> None:
    class Stuck(Collected):
        def close(self) -> None:
            raise OSError("the lid is stuck")

    other = Collected()
    with publishing(other, Stuck(), other) as (_, lost):
        pass
    assert other.calls == [["door"]] * 2 + ["closed"] * 2
    assert ["cannot be closed (the lid is stuck)" in str(error) for error in lost] == [True]


def test_a_receiver_out_of_reach_is_named_before_any_event_and_when_it_is_back() -> None:
    port = free_port()
    changes = list[tuple[str, str]]()
    publishers = opened(
        f"http://127.0.0.1:{port}/t0ken", on_reach=lambda *change: changes.append(change)
    )
    wait_until(lambda: changes)
    with Receiver(port) as receiver:
        wait_until(lambda: len(changes) == 2)
        publishers.close(60)
        assert receiver.got == [], "what the path may trigger is not triggered"
    name = f"http://127.0.0.1:{port}/***"
    assert changes[0][0] == name
    assert changes[0][1].startswith("does not answer (")
    assert changes[1] == (name, "")


def test_a_receiver_that_answers_from_the_start_is_not_named() -> None:
    changes = list[object]()
    with Receiver() as receiver:
        publishers = opened(receiver.address, on_reach=lambda *change: changes.append(change))
        (publisher,) = publishers._publishers
        wait_until(lambda: publisher._reached)
        publishers.close(60)
    assert changes == []


def test_events_wait_for_a_receiver_out_of_reach_as_long_as_it_takes() -> None:
    class Away(Collected):
        tries = 0

        def send(self, event: Event, seconds: float) -> None:
            self.tries += 1
            if self.tries < 50:
                raise ConnectionError("away")
            super().send(event, seconds)

    sink = Away()
    changes = list[tuple[str, str]]()
    lost = list[ClipError]()
    publishers = opened(
        sink, on_lost=lost.append, on_reach=lambda *change: changes.append(change)
    )
    publishers.add([event(0), event(1)])
    wait_until(lambda: len(sink.calls) == 3)
    publishers.close(60)
    assert sink.calls == [["door"], event(0), event(1), "closed"]
    assert changes == [("Away", "away"), ("Away", "")]
    assert lost == []


def test_watch_names_a_receiver_that_is_out_of_reach(make_clip: Any) -> None:
    port = free_port()
    receivers = list[Receiver]()
    statuses = list[Status]()

    def note(status: Status) -> None:
        if status.source.startswith("http"):
            statuses.append(status)
            if status.state == "reconnecting":
                receivers.append(Receiver(port).__enter__())

    steps = [
        *eventful().watch(
            make_clip(frames=30), sinks=[f"http://127.0.0.1:{port}/x"], on_status=note
        )
    ]
    (receiver,) = receivers
    receiver.__exit__()
    assert [status.state for status in statuses] == ["reconnecting", "online"]
    assert [each["id"] for each in ended(receiver)] == [
        e.id for step in steps for e in step.events
    ]


@pytest.fixture
def schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(publish, "_SINKS", {**publish._SINKS})


def test_a_sink_of_three_methods_receives_the_events_of_watch(make_clip: Any) -> None:
    sink = Collected()
    path = make_clip(frames=30)
    steps = list(eventful().watch(path, sinks=[sink]))
    events = [event for step in steps for event in step.changes]
    assert len(events) > 2
    assert sink.calls == [[str(path)], *events, "closed"]
    assert [event.id for event in sink.calls[1:-1]] == [event.id for event in events]


def test_the_command_sends_events_to_a_registered_scheme(
    schemes: None, tmp_path: Path, make_clip: Any
) -> None:
    sink = Collected()

    def build(address: str) -> Collected:
        assert address == "SHELF://left/t0ken"
        return sink

    register_sink("shelf", build)
    run = eventful().save(tmp_path / "run")
    done = call("watch", run, make_clip(frames=30), "--json", "--events", "SHELF://left/t0ken")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    printed = [event["id"] for line in lines for event in line["events"]]
    sent = [event.id for event in sink.calls[1:-1] if event.phase == "end"]
    assert sent == printed != []
    with pytest.raises(ValueError, match="'mqtt' is registered already; choose another scheme"):
        register_sink("mqtt", build)


def test_an_installed_package_brings_a_kind_of_file(
    schemes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shelf.py").write_text(
        "class Labels:\n"
        "    def __init__(self, address): self.path = address\n"
        "    def open(self, sources): self.file = open(self.path, 'w')\n"
        "    def send(self, event, seconds): print(event.label, file=self.file)\n"
        "    def close(self): self.file.close()\n"
    )
    package = tmp_path / "shelf-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[onlooker.sinks]\n.labels = shelf:Labels\n")
    monkeypatch.syspath_prepend(tmp_path)
    with publishing(tmp_path / "door.labels") as (publishers, lost):
        publishers.add([event(0), event(1)])
    assert (tmp_path / "door.labels").read_text() == "wave\nwave\n"
    assert lost == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_whatever_ends_the_loop_over_steps_waits_for_their_events(
    error: type[BaseException], make_clip: Any
) -> None:
    sink = Collected([OSError("busy")] * 3)
    events = list[Event]()

    def end_after_an_event() -> None:
        for step in eventful().watch(make_clip(frames=30), sinks=[sink]):
            events.extend(step.changes)
            if events:
                raise error

    with pytest.raises(error):
        end_after_an_event()
    assert sink.calls[1:] == [*events, "closed"]


def test_a_lost_event_is_an_error_of_watch(make_clip: Any) -> None:
    path = make_clip(frames=30)
    expected = len(list(eventful().watch(path)))
    steps = list[Any]()
    with pytest.raises(ClipError, match=r"Collected: full; not sent: .*\"label\""):
        steps.extend(eventful().watch(path, sinks=[Collected([PermissionError("full")])]))
    errors = list[ClipError]()
    refusing = Collected([PermissionError("full")])
    assert len([*eventful().watch(path, sinks=[refusing], on_error=errors.append)]) == expected
    assert len(errors) == 1


def test_watch_refuses_sinks_before_it_opens_a_source() -> None:
    with pytest.raises(
        ValueError, match="this model finds no events to send; train the default"
    ):
        untrained().watch(0, sinks=[Collected()])
    with pytest.raises(ValueError, match=r"events is .ftp://host/\*\*\*., expected https"):
        eventful().watch(0, sinks=["ftp://host/path"])
    with pytest.raises(TypeError, match=r"sinks is .*, expected a list"):
        eventful().watch(0, sinks=[object()])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/x",
        "http://anna:secret@host/x",
        "file:///etc/passwd",
        "http://",
        "http://host:abc/",
        "http://h/a b",
        "mqtt://anna:secret@host/x",
        "mqtt://host",
        "mqtt://host/a/#",
        "mqtt://host/a+b",
        "mqtt://host:65536/a",
        "https://host:99999/a",
        "events.json",
        "clip.srt",
        "ftp://host/clip.vtt",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(
        ValueError, match=r"events is '.*', expected https://host/path, mqtt://host/topic or"
    ) as raised:
        Publishers([address], print)
    assert "secret" not in str(raised.value)


def test_an_event_has_plain_values() -> None:
    final = Event("wave", 0.12345, 2.0, 0.5, "door", (1.0, 2.0, 30.5, 40.0))
    values = final.to_dict()
    assert values == final.to_dict(), "with one id, whoever receives it"
    told = json.loads(json.dumps(values))
    assert datetime.fromisoformat(told.pop("at")).utcoffset() is not None
    assert told.pop("id") != event(0).to_dict()["id"]
    assert told == {
        "source": "door",
        "label": "wave",
        "start": 0.123,
        "end": 2.0,
        "began": 0.123,  # as in earlier versions
        "ended": 2.0,
        "score": 0.5,
        "box": [1, 2, 30.5, 40],
    }
    assert event(0).to_dict()["box"] is None


def test_watch_publishes_the_events_that_it_prints(tmp_path: Path, make_clip: Any) -> None:
    run = eventful().save(tmp_path / "run")
    path = make_clip(frames=30)
    steps = list(eventful().watch(path))
    with Receiver() as receiver:
        done = call("watch", run, path, "--json", "--events", receiver.address)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["label"], line["happening"]) for line in lines] == [
        (step.label, step.happening) for step in steps
    ]
    assert f"{path}: 30 frames" in done.stderr, "the last step again is no frame"
    expected = [event.to_dict() for step in steps for event in step.events]
    printed = [event for line in lines for event in line["events"]]
    names = ("source", "label", "start", "end")
    assert len(expected) > 1
    for events in (printed, ended(receiver)):
        assert [[event[name] for name in names] for event in events] == [
            [event[name] for name in names] for event in expected
        ]
    refused = call("watch", run, path, "--events", "ftp://host", ok=False)
    assert "expected https://host/path, mqtt" in refused.stderr


def test_the_event_of_a_file_ends_with_it_while_another_source_goes_on(
    tmp_path: Path, make_clip: Any
) -> None:
    run = eventful().save(tmp_path / "run")
    path = make_clip(frames=12)

    arrived = list[bool]()

    def end_after_the_event(silent: socket.socket, receiver: Receiver) -> None:
        connection, _ = silent.accept()
        with connection, suppress(AssertionError):
            wait_until(lambda: receiver.got, 60)
        arrived.append(bool(receiver.got))

    with Receiver() as receiver, socket.create_server(("127.0.0.1", 0)) as silent:
        other = Thread(target=end_after_the_event, args=(silent, receiver))
        other.start()
        watch_sources(
            run,
            [str(path), f"tcp://127.0.0.1:{silent.getsockname()[1]}"],
            StreamConfig(timeout=600, attempts=0),
            events=[receiver.address],
        )
        other.join()
    assert arrived == [True], "before the other source has ended"
    last = receiver.got[-1]
    assert last["source"] == str(path)
    assert last["end"] > 0.8, "it was not final before the end of the file"


def test_a_webhook_is_signed_with_a_secret_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONLOOKER_WEBHOOK_SECRET", "s3cret")
    with Receiver() as receiver, publishing(f"{receiver.address}/ü") as (publishers, lost):
        publishers.add([Event("winken – hallo", 0.0, 1.0, 0.5, "x\udcff.mp4")])
        publishers.close(60)
    assert lost == []
    assert (receiver.got[0]["source"], receiver.got[0]["label"]) == (
        "x\udcff.mp4",
        "winken – hallo",
    )
    expected = hmac.new(
        b"s3cret", json.dumps(receiver.got[0]).encode(), hashlib.sha256
    ).hexdigest()
    assert receiver.headers[0]["X-Onlooker-Signature"] == f"sha256={expected}"


def test_a_receiver_that_never_answers_delays_nobody_and_drops_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publish, "_WAITING", 20)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lost = list[ClipError]()
        publishers = opened(
            f"http://127.0.0.1:{silent.getsockname()[1]}/x", on_lost=lost.append
        )
        began = time.monotonic()
        for number in range(5000):
            publishers.add([event(number)])
        assert time.monotonic() - began < 60, "not for an answer that never comes"
        assert "20 events wait for it; new ones are dropped" in str(lost[0])
        monkeypatch.setattr(publish, "_ANSWER", 0.2)
        publishers.close(0.2)
    (told,) = (
        str(each)
        for each in lost
        if "events were dropped, while 20 others waited for it" in str(each)
    )
    assert 4979 <= int(told.split(": ")[1].split()[0]) <= 4980


def test_subtitles_hold_the_events_that_are_over(tmp_path: Path) -> None:
    path = tmp_path / "door.vtt"
    with publishing(str(path)) as (publishers, lost):
        assert path.read_text() == "WEBVTT\n", "complete from the start"
        for label, began, ended in (("wave", 0.5, 1.25), ("a <b>", 3600.0, 3723.5)):
            publishers.add([Event(label, began, ended, 0.5, "door")])
    before = path.read_text()
    assert before == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nwave\n\n01:00:00.000 --> 01:02:03.500\na &lt;b&gt;\n"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["door.vtt"]
    assert lost == []
    with publishing(str(path)) as (publishers, _):  # the camera is watched again
        publishers.add([Event("wave", 2.0, 3.0, 0.5, "door")])
    text = path.read_text()
    assert text.startswith(before), "nothing that was written is lost"
    assert "\n\nNOTE watched again at 20" in text
    assert text.endswith("\n\n00:00:02.000 --> 00:00:03.000\nwave\n")
    with pytest.raises(ValueError, match="watched several times, each from 0"):
        read_labels([path])


def test_subtitles_of_several_sources_or_in_another_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.vtt").write_text("notes")
    with pytest.raises(ValueError, match="holds something else than WebVTT"):
        opened(str(tmp_path / "other.vtt"))
    with pytest.raises(ValueError, match="holds the events of one source, not of 2"):
        opened(tmp_path / "new.vtt", sources=["door", "gate"])


@pytest.mark.parametrize("suffix", [".jsonl", ".NDJSON"])
def test_a_file_of_json_lines_is_whole_at_any_time_and_goes_on(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "new" / f"events{suffix}"
    events = [event(0), Event("winken\n–", 1.0, 2.0, 0.5, "x\udcff.mp4")]
    for times in (1, 2):
        with publishing(str(path)) as (publishers, lost):
            publishers.add(events)
        assert lost == []
        content = path.read_bytes()
        assert content.endswith(b"\n")
        lines = [json.loads(line) for line in content.splitlines()]
        assert lines == [each.to_dict() for each in events] * times
    path.write_bytes(content + b'{"torn')
    with publishing(path) as (publishers, _):
        publishers.add(events[:1])
    *before, torn, last = path.read_bytes().splitlines(keepends=True)
    assert (b"".join(before), torn) == (content, b'{"torn\n')
    assert json.loads(last)["label"] == "wave"


def test_a_line_that_a_full_disk_cuts_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    write_all = io.FileIO.write

    class Full(io.FileIO):
        def write(self, content: Any) -> int:
            return write_all(self, content[:10])

    with publishing(path) as (publishers, _):
        publishers.add([event(0)])
    content = path.read_bytes()
    sink = publish._JsonLines(str(path))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *_, **__: Full(path, "a"))
        with pytest.raises(OSError, match="no space left for this file"):
            sink.send(event(1), 1.0)
    assert path.read_bytes() == content


@pytest.mark.parametrize("text", ["notes\n", "[1]\n", "\n", '{"a": 1, \n"b": 2}'])
def test_a_file_of_something_else_gets_no_lines(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(text)
    with pytest.raises(
        ValueError, match="holds something else than JSON lines; choose another"
    ):
        opened(path)
    assert path.read_text() == text


@pytest.mark.parametrize("address", ["ftp://host/x", "events.json", "mqtt://host:65536/x"])
def test_a_wrong_address_is_refused_before_the_run_is_loaded(
    tmp_path: Path, address: str
) -> None:
    with pytest.raises(ValueError, match=r"events is '.*', expected .* or a file"):
        watch_sources(tmp_path / "gone", ["0"], StreamConfig(), events=[address])


def test_watch_loads_the_run_before_it_touches_a_file_of_events(
    tmp_path: Path, make_clip: Any
) -> None:
    path = tmp_path / "events.vtt"
    clip = make_clip(frames=8)
    path.write_text(before := "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nwave\n")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        watch_sources(tmp_path / "gone", [str(clip)], StreamConfig(), events=[str(path)])
    assert path.read_text() == before
    run = eventful().save(tmp_path / "run")
    with pytest.raises(
        FileExistsError,
        match=r"events\.vtt: holds events already; choose another file, or remove it",
    ):
        watch_sources(run, [str(clip)], StreamConfig(), events=[str(path)])
    assert path.read_text() == before, "those of a recording would be in it twice"
    path.write_text("WEBVTT\n")
    assert watch_sources(run, [str(clip)], StreamConfig(), events=[str(path)]) == []


class Broker:
    """As much of an MQTT broker as publishers need."""

    def __init__(self, port: int = 0) -> None:
        self.server = socket.create_server(("127.0.0.1", port))
        self.connections = list[socket.socket]()
        self.connects = list[bytes]()
        # topic, payload, whether it is retained
        self.got = list[tuple[str, str, bool]]()
        Thread(target=self._accept, daemon=True).start()

    @property
    def retained(self) -> dict[str, str]:
        return {topic: text for topic, text, retained in self.got if retained}

    def _accept(self) -> None:
        with suppress(OSError):  # when it is over
            while True:
                self.connections.append(self.server.accept()[0])
                Thread(target=self._serve, args=self.connections[-1:], daemon=True).start()

    def stop(self) -> None:
        """End, and every connection with it."""
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)  # else a thread accepts one more
        self.server.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while kind := file.read(1):
                size = shift = 0
                while (byte := file.read(1)[0]) & 128:
                    size = size | (byte & 127) << shift
                    shift = shift + 7
                self._answer(kind[0], file.read(size | byte << shift), connection)

    def _answer(self, kind: int, body: bytes, connection: socket.socket) -> None:
        if kind >> 4 == 1:  # connect
            self.connects.append(body)
            connection.sendall(b"\x20\x02\x00\x00")
        elif kind >> 4 == 3:  # publish
            end = 2 + struct.unpack(">H", body[:2])[0]
            payload = end + 2 * bool(kind & 6)
            text = body[payload:].decode("latin1")  # a picture is no text
            self.got.append((body[2:end].decode(), text, bool(kind & 1)))
            if kind & 6:
                connection.sendall(b"\x40\x02" + body[end:payload])


def test_an_mqtt_broker_that_starts_late_gets_sensors_and_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    monkeypatch.setenv("ONLOOKER_MQTT_PASSWORD", "t0ken")
    port = free_port()
    lost = list[ClipError]()
    changes = list[str]()
    publishers = opened(
        f"mqtt://anna@127.0.0.1:{port}/home/door",
        on_lost=lost.append,
        on_reach=lambda _, problem: changes.append(problem),
        sources=["0", "rtsp://cam/a", "clip.mp4"],
    )
    publishers.add([Event("wave", 1.0, 1.5, 0.9, "0")])
    publishers.add([Event("clap", 2.0, 3.0, 0.8, "rtsp://cam/a")])
    wait_until(lambda: changes)
    broker = Broker(port)
    publishers.close(60)
    broker.server.close()
    assert lost == []
    assert "refused" in changes[0]
    assert changes[1:] == [""]
    assert all(
        part in broker.connects[0]
        for part in (b"anna", b"t0ken", b"home/door/0/status", b"offline")
    )
    # all but events
    assert all(retained != ('"label"' in text) for _, text, retained in broker.got)
    topics = [topic for topic, *_ in broker.got if not topic.endswith(("config", "status"))]
    assert topics[0] == "home/door/0"
    assert re.fullmatch("home/door/rtsp-cam-a-[0-9a-f]{8}", topics[1])
    assert [topic for topic, *_ in broker.got[:4:3]] == [
        "homeassistant/binary_sensor/onlooker-home-door-0/config",
        "home/door/0/status",
    ]
    sensor = json.loads(broker.got[1][1])
    assert (sensor["state_topic"], sensor["availability_topic"]) == (
        topics[1],
        "home/door/0/status",
    )
    states = [
        (topic, json.loads(text).get("label"))
        for topic, text, _ in broker.got
        if topic in topics
    ]
    assert states == [(topics[0], "wave"), (topics[1], "clap")]
    template = "{% if value_json.state == 'begin' %}ON{% endif %}"
    assert (sensor["value_template"], sensor["off_delay"]) == (template, 2)
    assert [text for topic, text, _ in broker.got if topic == "home/door/0/status"] == [
        "online",
        "offline",
    ]


def test_a_message_that_is_confirmed_late_is_sent_once() -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    confirming = Signal()

    class Slow(Broker):
        def _answer(self, kind: int, body: bytes, connection: socket.socket) -> None:
            if kind >> 4 == 3 and kind & 6:
                confirming.wait(180)
            super()._answer(kind, body, connection)

    broker = Slow()
    sink = publish._Mqtt(f"mqtt://127.0.0.1:{broker.server.getsockname()[1]}/home")
    sink.open(["door"])
    wave = event(0)
    for _ in range(3):
        with pytest.raises(OSError, match="does not confirm it"):
            sink.send(wave, 0.05)
    confirming.set()
    sink.send(wave, 60)
    sink.send(replace(wave, phase="end"), 60)
    sink.close()
    broker.server.close()
    phases = [
        json.loads(text).get("state") for topic, text, _ in broker.got if topic == "home/door"
    ]
    assert phases == [None, "end"]


LABELS = ["wave", "a \"b\" \\ 'c'", "Über 🎉", "{{ x }}"]


def test_each_class_of_a_source_has_a_sensor_that_is_on_while_it_goes_on() -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    jinja2 = pytest.importorskip("jinja2", reason="needs jinja2, as Home Assistant has it")
    broker = Broker()
    address = f"mqtt://127.0.0.1:{broker.server.getsockname()[1]}/home"
    publishers = Publishers([address], print)
    publishers.open(["0", "door"], LABELS)
    wait_until(lambda: "online" in broker.retained.values())
    publishers.close(60)
    broker.server.close()
    sensors = [json.loads(text) for topic, text in broker.retained.items() if "config" in topic]
    assert len({sensor["unique_id"] for sensor in sensors}) == 2 * (1 + len(LABELS))
    for sensor in sensors:
        template = jinja2.Template(sensor["value_template"])
        for label in LABELS:
            results = list[str]()
            for phase in ("begin", "end", "begin", "withdrawn"):
                values = Event(label, 0.0, 1.0, 0.5, "door", phase=phase).to_dict()
                results.append(template.render(value_json=values))
            if "off_delay" in sensor:
                assert results == ["ON", "", "ON", ""]
            elif sensor["name"] in (f"0 {label}", f"door {label}"):
                assert results == ["ON", "OFF", "ON", "OFF"]
            else:
                assert results == [""] * 4


def test_watch_has_a_sensor_for_each_class_but_nothing(make_clip: Any) -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    broker = Broker()
    address = f"mqtt://127.0.0.1:{broker.server.getsockname()[1]}/home"
    path = make_clip(frames=30)
    recognizer = eventful(classes=("clap", "nothing", "wave"))
    assert [*recognizer.watch(path, sinks=[address])]
    broker.server.close()
    names = [
        json.loads(text)["name"] for topic, text in broker.retained.items() if "config" in topic
    ]
    assert names == [str(path), f"{path} clap", f"{path} wave"]


def test_the_picture_of_an_event_is_an_image_entity_that_changes_before_its_message(
    tmp_path: Path,
) -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"\xff\xd8 a picture")
    broker = Broker()
    address = f"mqtt://127.0.0.1:{broker.server.getsockname()[1]}/home"
    publishers = Publishers([address], print)
    publishers.open(["rtsp://cam/a"], has_pictures=True)
    shown = replace(event(0), source="rtsp://cam/a", snapshot=str(picture))
    gone = replace(shown, id="b", snapshot=str(tmp_path / "gone.jpg"))
    publishers.add([shown, gone])
    publishers.close(60)
    broker.server.close()
    (image,) = (
        json.loads(text)
        for topic, text in broker.retained.items()
        if topic.startswith("homeassistant/image/")
    )
    assert image["availability_topic"] in broker.retained
    assert "state_topic" not in image
    topic = image["image_topic"].removesuffix("/image")
    got = [(place, text) for place, text, _ in broker.got if place.startswith(topic)]
    events = [(place, "") if place == topic else (place, text) for place, text in got]
    status = image["availability_topic"]
    assert events == [
        (status, "online"),
        (f"{topic}/image", "\xff\xd8 a picture"),
        (topic, ""),
        (topic, ""),
        (status, "offline"),
    ]
    assert json.loads(got[2][1])["snapshot"] == str(picture)


def test_what_waits_while_a_broker_is_away_arrives_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    monkeypatch.setattr(publish, "_ANSWER", 0.3)  # after which the lost connection is seen
    first = Broker()
    port = first.server.getsockname()[1]
    lost = list[ClipError]()
    changes = list[str]()
    publishers = opened(
        f"mqtt://127.0.0.1:{port}/home",
        on_lost=lost.append,
        on_reach=lambda _, problem: changes.append(problem),
    )
    events = [
        replace(event(number), phase=phase) for number in range(6) for phase in ("begin", "end")
    ]
    publishers.add(events[:2])
    wait_until(lambda: len(messages(first)) == 2)
    first.stop()
    publishers.add(events[2:])
    wait_until(lambda: changes)
    second = Broker(port)
    publishers.close(60)
    second.stop()
    assert lost == []
    assert [bool(problem) for problem in changes] == [True, False]
    expected = [(each.id, each.phase) for each in events]
    assert messages(first) + messages(second) == expected


def messages(broker: Broker) -> list[tuple[str, str]]:
    """The ids and states of the events that a broker got."""
    texts = [text for topic, text, _ in broker.got if topic == "home/door"]
    return [(values["id"], values["state"]) for values in map(json.loads, texts)]


NAMES = st.one_of(
    st.text(max_size=12),
    st.text("aä-. /:門大", max_size=4),
    st.from_regex(r"rtsp://(cam|кам|摄像头)[/:]\w", fullmatch=True),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["home", "home/a", "küche", "k-che"]), NAMES), unique=True
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_stay_distinct_in_all_programs(names: list[tuple[str, str]]) -> None:
    """Each program knows its own source alone; topics and identifiers are of ASCII."""
    topics = list[str]()
    for base, name in names:
        sink = object.__new__(publish._Mqtt)
        sink._topic = base
        topics.append(sink._topic_of(name))
        assert re.fullmatch(r"[\w-]+", topics[-1].removeprefix(f"{base}/"), re.ASCII)
    identifiers = [publish._identifier(topic) for topic in topics]
    assert len({*topics}) == len({*identifiers}) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name, re.ASCII) for name in identifiers)
    assert publish._identifier("home/door/0") == "onlooker-home-door-0"


def test_programs_that_share_a_topic_have_a_status_each() -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    broker = Broker()
    address = f"mqtt://127.0.0.1:{broker.server.getsockname()[1]}/home"
    programs = [["0", "status"], ["rtsp://cam/a"], ["1", "clip.mp4", "clip-mp4"]]
    running = {tuple(sources): opened(address, sources=sources) for sources in programs}

    def states() -> dict[str, str]:
        """By its name, what Home Assistant shows for each sensor."""
        retained = broker.retained
        sensors = [json.loads(text) for topic, text in retained.items() if "config" in topic]
        return {
            sensor["name"]: retained.get(sensor["availability_topic"], "") for sensor in sensors
        }

    expected = {source: "online" for sources in programs for source in sources}
    wait_until(lambda: states() == expected)
    for sources in random.Random(0).sample([*running], 3):
        running[sources].close(60)
        expected.update(dict.fromkeys(sources, "offline"))
        wait_until(lambda: states() == expected)
    broker.server.close()


def test_a_program_of_an_earlier_version_waits_for_its_broker() -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    broker = Broker()
    address = f"mqtt://127.0.0.1:{broker.server.getsockname()[1]}/home"
    publisher = publish.open_publisher(address, ["door"], print)
    try:
        assert publisher._connected.wait(120)
    finally:
        publisher.close()
        broker.server.close()

"""Events of streams are sent when they begin and end, in order, until they are accepted."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby, pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from onlooker import publish
from onlooker.cli import app
from onlooker.config import DataConfig, StreamConfig
from onlooker.models.registry import create_model
from onlooker.publish import Event, EventTracker, Publisher
from onlooker.recognizer import Recognizer
from onlooker.runs.watch import watch_sources
from onlooker.structures import ClipError, Step


class Receiver(ThreadingHTTPServer):
    """Takes events, with the answers given in turn, then 204."""

    def __init__(self, port: int = 0, answers: tuple[int, ...] = ()) -> None:
        self.answers, self.got, self.headers = list(answers), list[dict[str, Any]](), list[dict[str, str]]()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/events"

    def __enter__(self) -> "Receiver":
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append(dict(self.headers))
        self.server.got.append(event)
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        self.send_header("Location", "/other")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def event(number: int) -> Event:
    return Event("door", "wave", float(number), None, 0.5)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_PAUSES", (0.01,) * 9)


@contextmanager
def publishing(address: str) -> Iterator[tuple[Publisher, list[ClipError]]]:
    lost = list[ClipError]()
    publisher = Publisher(address, lost.append)
    yield publisher, lost
    publisher.close(5)


def test_events_arrive_in_order() -> None:
    with Receiver() as receiver, publishing(receiver.address) as (publisher, lost):
        for number in range(5):
            publisher.add(event(number))
        publisher.close(5)
    assert [each["began"] for each in receiver.got] == [0, 1, 2, 3, 4]
    assert {each["event"] for each in receiver.got} == {"begins"}
    assert len({each["id"] for each in receiver.got}) == 5
    assert not lost


def test_an_address_that_fails_gets_the_same_event_again() -> None:
    with Receiver(answers=(503, 429, 500)) as receiver, publishing(receiver.address) as (publisher, lost):
        publisher.add(event(0))
        publisher.add(event(1))
        publisher.close(5)
    assert [each["began"] for each in receiver.got] == [0, 0, 0, 0, 1]
    assert len({each["id"] for each in receiver.got}) == 2
    assert not lost


def test_an_event_is_lost_after_ten_attempts() -> None:
    with Receiver(answers=(503,) * 10) as receiver, publishing(receiver.address + "?key=t0ken") as (publisher, lost):
        publisher.add(event(0))
        publisher.add(event(1))
        publisher.close(5)
    assert [each["began"] for each in receiver.got] == [0] * 10 + [1]
    (error,) = lost
    assert "answers 503 Service Unavailable; not sent: " in str(error)
    assert "t0ken" not in str(error), "what may be a key is never shown"


def test_an_address_that_is_not_there_yet_gets_all_events_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_PAUSES", (60, 60))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with publishing(f"http://127.0.0.1:{port}/events") as (publisher, lost):
        publisher.add(event(0))
        publisher.add(event(1))
        time.sleep(0.2)
        with Receiver(port) as receiver:
            publisher.close(5)
        assert [each["began"] for each in receiver.got] == [0, 1]
        assert lost == []


@pytest.mark.parametrize("status", [400, 302])
def test_a_refused_event_is_reported_and_the_next_one_sent(status: int) -> None:
    with Receiver(answers=(status,)) as receiver, publishing(receiver.address) as (publisher, lost):
        publisher.add(event(0))
        publisher.add(event(1))
        publisher.close(5)
    assert [each["began"] for each in receiver.got] == [0, 1]
    (error,) = lost
    assert f"answers {status} " in str(error)
    assert '"began": 0.0' in str(error)


def test_what_is_not_sent_at_the_end_is_reported() -> None:
    with Receiver(answers=(503,) * 1000) as receiver:
        lost: list[ClipError] = []
        publisher = Publisher(receiver.address, lost.append)
        publisher.add(event(0))
        publisher.add(event(1))
        began = time.monotonic()
        publisher.close(0.3)
        assert time.monotonic() - began < 2
    assert len(lost) == 2
    for number, text in enumerate(map(str, lost)):
        assert json.loads(text.partition("not sent: ")[2].rpartition(";")[0])["began"] == number


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/x",
        "http://anna:secret@host/x",
        "file:///etc/passwd",
        "http://",
        "http://host:abc/",
        "http://h/a b",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"publish is '.*', expected an address like https://host/path") as raised:
        Publisher(address, print)
    assert "secret" not in str(raised.value)


def test_names_of_any_letters_arrive() -> None:
    with Receiver() as receiver, publishing(f"{receiver.address}/ü") as (publisher, lost):
        publisher.add(Event("x\udcff.mp4", "winken – hallo", 0.0, None, 0.5))
        publisher.close(5)
    assert lost == []
    assert (receiver.got[-1]["source"], receiver.got[-1]["label"]) == ("x\udcff.mp4", "winken – hallo")


CLASSES = ("clap", "nothing", "wave")


def step(time: float, label: str, source: str = "a", happening: bool | None = None) -> Step:
    scores = np.full(3, 0.1, np.float32)
    scores[CLASSES.index(label)] = 0.8
    evidence = None if happening is None else 0.0
    return Step(int(time), time, scores, CLASSES, source=source, evidence=evidence, happening=happening)


def test_events_are_the_runs_of_equal_classes() -> None:
    random = np.random.default_rng(0)
    labels = [CLASSES[k] for k in random.integers(0, 3, 200)]
    tracker, begun, ended = EventTracker(), [], []
    for i, label in enumerate(labels):
        for each in tracker.add(step(i, label)):
            (begun if each.ended is None else ended).append(each)
    ended += tracker.end_all()
    runs, at = [], 0
    for label, of in groupby(labels):
        length = len(list(of))
        last = at + length == len(labels)
        runs += [] if label == "nothing" else [(label, at, at + length - last)]
        at += length
    assert [(each.label, each.began) for each in begun] == [(label, first) for label, first, _ in runs]
    assert [(each.label, each.began, each.ended) for each in ended] == runs
    assert {round(each.score, 5) for each in ended} == {0.8}


def test_streams_are_independent_and_a_pause_ends_an_event() -> None:
    tracker = EventTracker()
    assert [each.source for each in tracker.add(step(0, "wave", "a", True))] == ["a"]
    assert [each.source for each in tracker.add(step(0, "wave", "b", True))] == ["b"]
    assert tracker.add(step(1, "wave", "a", True)) == []
    (over,) = tracker.add(step(2, "wave", "a", False))
    assert (over.source, over.began, over.ended) == ("a", 0, 2)
    assert [each.source for each in tracker.end_all()] == ["b"]


def test_an_event_is_dated_back_by_the_lag_and_its_beginning_also_by_the_frames_that_had_to_agree() -> None:
    tracker, changes = EventTracker(lag=4, agreement=3), []
    for t in range(30):  # seconds and frames
        label = "wave" if 12 <= t < 20 else "clap" if t >= 24 else "nothing"
        changes += tracker.add(replace(step(t, label), threshold=0.5, happening=label != "nothing"))
    assert [(each.label, each.began, each.ended) for each in changes] == [
        ("wave", 6, None), ("wave", 6, 16), ("clap", 18, None)
    ]  # fmt: skip
    assert [(each.began, each.ended) for each in tracker.end_all()] == [(18, 29)]  # its stream ended it


def test_watch_publishes_the_events_of_a_clip(tmp_path: Path, make_clip: Any) -> None:
    torch.manual_seed(0)
    model = create_model("convalstm", 2, size=16, hidden=4)
    run = Recognizer(model, ("clap", "run"), DataConfig(size=16, normalization="half")).save(tmp_path / "run")
    path = make_clip(frames=12)
    with Receiver() as receiver:
        words = ["watch", str(run), str(path), "--json", "--publish", receiver.address]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    labels = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    changes = 1 + sum(a != b for a, b in pairwise(labels))
    events = [(each["event"], each["label"], each["source"]) for each in receiver.got]
    assert len(events) == 2 * changes
    assert events[0] == ("begins", labels[0], str(path))
    assert events[-1] == ("ends", labels[-1], str(path))
    done = CliRunner().invoke(app, [*words[:3], "--publish", "ftp://host"])
    assert (done.exit_code, "expected an address like https://host/path" in done.stderr) == (1, True)


def test_the_event_of_a_file_ends_with_it_while_another_source_goes_on(tmp_path: Path, make_clip: Any) -> None:
    torch.manual_seed(0)
    model = create_model("convalstm", 2, size=16, hidden=4)
    run = Recognizer(model, ("clap", "run"), DataConfig(size=16, normalization="half")).save(tmp_path / "run")
    path = make_clip(frames=12)
    with Receiver() as receiver, socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        watch_sources(run, [str(path), address], StreamConfig(timeout=3, attempts=0), publish=receiver.address)
        over = time.time()
    last = receiver.got[-1]
    assert (last["event"], last["source"]) == ("ends", str(path))
    assert over - datetime.fromisoformat(last["at"]).timestamp() > 1

"""Events of streams are sent when they are over, in order, until they are accepted."""

import asyncio
import hashlib
import hmac
import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from eventful import eventful
from ports import free_port
from typer.testing import CliRunner

from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.records import ClipError, Event
from onlooker.cli import app
from onlooker.formats import publish
from onlooker.formats.annotations import read_intervals
from onlooker.formats.publish import Publisher, open_publisher
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.run.watch import watch_sources


class Receiver(ThreadingHTTPServer):
    """Takes events, with the answers given in turn, then 204."""

    def __init__(self, port: int = 0, answers: tuple[int, ...] = ()) -> None:
        self.answers = list(answers)
        self.got = list[dict[str, Any]]()
        self.headers = list[dict[str, str]]()
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
    return Event("wave", float(number), number + 0.5, 0.5, "door")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    # as many as there are
    monkeypatch.setattr(publish, "_PAUSES", tuple(0.01 for _ in publish._PAUSES))


@contextmanager
def publishing(address: str) -> Iterator[tuple[Publisher, list[ClipError]]]:
    lost = list[ClipError]()
    publisher = open_publisher(address, ["door"], lost.append)
    yield publisher, lost
    publisher.close(5)


def test_events_arrive_in_order() -> None:
    with Receiver() as receiver, publishing(receiver.address) as (publisher, lost):
        for number in range(5):
            publisher.add(event(number))
        publisher.close(5)
    assert [each["began"] for each in receiver.got] == [0, 1, 2, 3, 4]
    assert {each["ended"] - each["began"] for each in receiver.got} == {0.5}
    assert len({each["id"] for each in receiver.got}) == 5
    assert not lost


def test_an_address_that_fails_gets_the_same_event_again() -> None:
    with (
        Receiver(answers=(503, 429, 500)) as receiver,
        publishing(receiver.address) as (publisher, lost),
    ):
        publisher.add(event(0))
        publisher.add(event(1))
        publisher.close(5)
    assert [each["began"] for each in receiver.got] == [0, 0, 0, 0, 1]
    assert len({each["id"] for each in receiver.got}) == 2
    assert not lost


def test_an_event_is_lost_after_ten_attempts() -> None:
    with (
        Receiver(answers=(503,) * 10) as receiver,
        publishing(receiver.address + "?key=t0ken") as (publisher, lost),
    ):
        publisher.add(event(0))
        publisher.add(event(1))
        publisher.close(5)
    assert [each["began"] for each in receiver.got] == [0] * 10 + [1], "ten, not more"
    (error,) = lost
    assert "answers 503 Service Unavailable; not sent: " in str(error)
    assert "t0ken" not in str(error), "what may be a key is never shown"


def test_an_address_that_is_not_there_yet_gets_all_events_when_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
        publisher = open_publisher(receiver.address, ["door"], lost.append)
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
        "mqtt://anna:secret@host/x",
        "mqtt://host",
        "mqtt://host/a/#",
        "mqtt://host/a+b",
        "clip.srt",
        "ftp://host/clip.vtt",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(
        ValueError, match=r"events is '.*', expected https://host/path, mqtt://host/topic or"
    ) as raised:
        open_publisher(address, ["door"], print)
    assert "secret" not in str(raised.value)


def test_names_of_any_letters_arrive() -> None:
    with Receiver() as receiver, publishing(f"{receiver.address}/ü") as (publisher, lost):
        publisher.add(Event("winken – hallo", 0.0, 1.0, 0.5, "x\udcff.mp4"))
        publisher.close(5)
    assert lost == []
    assert (receiver.got[-1]["source"], receiver.got[-1]["label"]) == (
        "x\udcff.mp4",
        "winken – hallo",
    )


def test_an_event_has_plain_values() -> None:
    values = Event("wave", 0.12345, 2.0, 0.5, "door", (1.0, 2.0, 30.5, 40.0)).to_dict()
    told = json.loads(json.dumps(values))
    assert {name: told[name] for name in ("source", "label", "began", "ended", "score", "box")} == {
        "source": "door",
        "label": "wave",
        "began": 0.123,
        "ended": 2.0,
        "score": 0.5,
        "box": [1, 2, 30.5, 40],
    }
    assert {*told} == {"id", "source", "label", "began", "ended", "score", "box", "at"}
    assert datetime.fromisoformat(told["at"]).utcoffset() is not None
    assert event(0).to_dict()["box"] is None
    assert event(0).to_dict()["id"] != event(0).to_dict()["id"]


def test_watch_publishes_the_events_of_a_clip(tmp_path: Path, make_clip: Any) -> None:
    run = eventful().save(tmp_path / "run")
    path = make_clip(frames=30)
    expected = [event for step in eventful().watch(path) for event in step.events]
    with Receiver() as receiver:
        words = ["watch", str(run), str(path), "--json", "--events", receiver.address]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(expected) > 1
    for told, true in zip(receiver.got, expected, strict=True):
        assert (told["source"], told["label"]) == (str(path), true.label)
        assert told["began"] == pytest.approx(true.start, abs=1e-3)
        assert told["ended"] == pytest.approx(true.end, abs=1e-3)
        assert told["score"] == pytest.approx(true.score, abs=1e-4)
    printed = [event for line in done.stdout.splitlines() for event in json.loads(line)["events"]]
    of = ("label", "began", "ended", "score", "box")
    assert [[each[name] for name in of] for each in printed] == [
        [each[name] for name in of] for each in receiver.got
    ]
    done = CliRunner().invoke(app, [*words[:3], "--events", "ftp://host"])
    assert (done.exit_code, "expected https://host/path, mqtt" in done.stderr) == (1, True)


def test_a_run_that_finds_no_events_has_none_to_send(tmp_path: Path, make_clip: Any) -> None:
    model = create_model("convalstm", 2, size=16, hidden=4)
    file = tmp_path / "events.vtt"
    run = Recognizer(model, ("clap", "run"), DataConfig(size=16, normalization="half")).save(
        tmp_path / "run"
    )
    done = CliRunner().invoke(
        app, ["watch", str(run), str(make_clip(frames=12)), "--events", str(file)]
    )
    assert done.exit_code == 1
    assert (
        "this model finds no events to send; train the default model, `onlooker train CLIPS`"
        in done.stderr
    )
    assert not file.exists()


def test_the_event_of_a_file_ends_with_it_while_another_source_goes_on(
    tmp_path: Path, make_clip: Any
) -> None:
    run = eventful().save(tmp_path / "run")
    path = make_clip(frames=12)
    with Receiver() as receiver, socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        watch_sources(
            run,
            [str(path), address],
            StreamConfig(timeout=3, attempts=0),
            events=[receiver.address],
        )
        over = time.time()
    last = receiver.got[-1]
    assert last["source"] == str(path)
    assert last["ended"] > 0.8, "it was not final before the end of the file"
    assert over - datetime.fromisoformat(last["at"]).timestamp() > 1


def test_a_webhook_is_signed_with_a_secret_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONLOOKER_WEBHOOK_SECRET", "s3cret")
    with Receiver() as receiver, publishing(receiver.address) as (publisher, lost):
        publisher.add(event(0))
        publisher.close(5)
    assert lost == []
    body = json.dumps(receiver.got[0]).encode()
    expected = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert receiver.headers[0]["X-Onlooker-Signature"] == f"sha256={expected}"


def test_a_receiver_that_never_answers_delays_nobody_and_drops_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publish, "_WAITING", 20)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lost = list[ClipError]()
        publisher = open_publisher(
            f"http://127.0.0.1:{silent.getsockname()[1]}/x", ["door"], lost.append
        )
        began = time.monotonic()
        for number in range(5000):
            publisher.add(event(number))
        assert time.monotonic() - began < 2
        assert "20 events wait for it; new ones are dropped" in str(lost[0])
        monkeypatch.setattr(publish, "_ANSWER", 0.2)
        publisher.close(0.2)
    (told,) = (
        str(each)
        for each in lost
        if "events were dropped, while 20 others waited for it" in str(each)
    )
    assert 4979 <= int(told.split(": ")[1].split()[0]) <= 4980


def test_subtitles_hold_the_events_that_are_over(tmp_path: Path) -> None:
    path = tmp_path / "door.vtt"
    lost = list[ClipError]()
    publisher = open_publisher(str(path), ["door"], lost.append)
    assert path.read_text() == "WEBVTT\n", "complete from the start"
    for label, began, ended in (("wave", 0.5, 1.25), ("a <b>", 3600.0, 3723.5)):
        publisher.add(Event(label, began, ended, 0.5, "door"))
    publisher.close(5)
    assert path.read_text() == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nwave\n\n01:00:00.000 --> 01:02:03.500\na &lt;b&gt;\n"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["door.vtt"]
    assert lost == []
    before = path.read_text()
    publisher = open_publisher(str(path), ["door"], lost.append)  # the camera is watched again
    publisher.add(Event("wave", 2.0, 3.0, 0.5, "door"))
    publisher.close(5)
    text = path.read_text()
    assert text.startswith(before), "nothing that was written is lost"
    assert "\n\nNOTE 00:00:00.000 is 20" in text
    assert text.endswith("\n\n00:00:02.000 --> 00:00:03.000\nwave\n")
    ((_, intervals),) = read_intervals(path).items()
    assert {(each.label, each.start) for each in intervals} == {
        ("wave", 0.5),
        ("a <b>", 3600.0),
        ("wave", 2.0),
    }
    (tmp_path / "other.vtt").write_text("notes")
    with pytest.raises(ValueError, match="holds something else than WebVTT"):
        open_publisher(str(tmp_path / "other.vtt"), ["door"], lost.append)
    with pytest.raises(ValueError, match="holds the events of one source, not of 2"):
        open_publisher(str(path), ["door", "gate"], lost.append)


def test_a_file_of_events_takes_constant_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_WAITING", 10**6)
    publisher = open_publisher(str(tmp_path / "door.vtt"), ["door"], list[ClipError]().append)
    for number in range(500):
        publisher.add(Event("wave", number, number + 1, 0.5, "door"))
    publisher.close(5)
    assert (tmp_path / "door.vtt").read_text().count("-->") == 500
    held = [value for value in vars(publisher).values() if isinstance(value, dict | list)]
    assert sum(map(len, held)) < 10, "events that are written are not held"


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
    """As much of an MQTT broker as a publisher needs."""

    def __init__(self, port: int) -> None:
        self.server = socket.create_server(("127.0.0.1", port))
        # topic, payload, whether it is retained
        self.connects = list[bytes]()
        self.got = list[tuple[str, str, bool]]()
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self.server.accept()
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
            self.got.append((body[2:end].decode(), body[payload:].decode(), bool(kind & 1)))
            if kind & 6:
                connection.sendall(b"\x40\x02" + body[end:payload])


def test_an_mqtt_broker_that_starts_late_gets_sensors_and_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    monkeypatch.setenv("ONLOOKER_MQTT_PASSWORD", "t0ken")
    port = free_port()
    lost = list[ClipError]()
    publisher = open_publisher(
        f"mqtt://anna@127.0.0.1:{port}/home/door", ["0", "rtsp://cam/a", "clip.mp4"], lost.append
    )
    publisher.add(Event("wave", 1.0, 1.5, 0.9, "0"))
    publisher.add(Event("clap", 2.0, 3.0, 0.8, "rtsp://cam/a"))
    time.sleep(0.2)
    broker = Broker(port)
    publisher.close(20)
    broker.server.close()
    assert lost == []
    assert all(
        part in broker.connects[0] for part in (b"anna", b"t0ken", b"home/door/status", b"offline")
    )
    # all but events
    assert all(retained != ('"label"' in text) for _, text, retained in broker.got)
    topics = ["home/door/0", "home/door/rtsp-cam-a", "home/door/clip-mp4"]
    assert [topic for topic, *_ in broker.got[:4]] == [
        *(
            f"homeassistant/binary_sensor/onlooker-{topic.replace('/', '-')}/config"
            for topic in topics
        ),
        "home/door/status",
    ]
    sensor = json.loads(broker.got[1][1])
    assert (sensor["state_topic"], sensor["availability_topic"]) == (topics[1], "home/door/status")
    states = [
        (topic, json.loads(text).get("label")) for topic, text, _ in broker.got if topic in topics
    ]
    assert states == [(topics[0], "wave"), (topics[1], "clap")]
    assert (sensor["value_template"], sensor["off_delay"]) == ("ON", 2)
    assert [text for topic, text, _ in broker.got if topic == "home/door/status"] == [
        "online",
        "offline",
    ]


def test_a_real_broker_keeps_the_sensor_and_no_event_for_a_subscriber_that_comes_later() -> None:
    amqtt = pytest.importorskip("amqtt.broker", reason="needs amqtt")
    paho = pytest.importorskip("paho.mqtt.client")
    port = free_port()
    got = dict[str, str]()
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()
    config = {"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}}
    broker = asyncio.run_coroutine_threadsafe(_started(amqtt, config), loop).result(20)
    with publishing(f"mqtt://127.0.0.1:{port}/home") as (publisher, lost):
        publisher.add(Event("wave", 1.0, 1.5, 0.9, "door"))
        publisher.close(10)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda *given: got.update({given[2].topic: given[2].payload.decode()})
    client.on_connect = lambda *_: client.subscribe("#", 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    until = time.monotonic() + 20
    while len(got) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    client.disconnect()
    asyncio.run_coroutine_threadsafe(broker.shutdown(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    assert lost == []
    assert got["home/status"] == "offline"
    assert "home/door" not in got
    assert (
        json.loads(got["homeassistant/binary_sensor/onlooker-home-door/config"])["name"] == "door"
    )


async def _started(amqtt: Any, config: dict[str, Any]) -> Any:
    broker = amqtt.Broker(config)
    await broker.start()
    return broker

"""The examples that use a model's answers live: a counter of repetitions, and a bridge from events to MQTT."""

import json
import runpy
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from ports import free_port

from onlooker.config import DataConfig
from onlooker.models.registry import create_model
from onlooker.publish import Event, Publisher
from onlooker.recognizer import Recognizer
from onlooker.structures import ClipError, Step

EXAMPLES = Path(__file__).parents[1] / "examples"
COUNTER, BRIDGE = EXAMPLES / "count_repetitions.py", EXAMPLES / "events_to_mqtt.py"


def test_the_examples_are_short() -> None:
    for path in (COUNTER, BRIDGE):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_a_repetition_is_counted_once_however_its_class_flickers() -> None:
    of_open = [0.1, 0.7, 0.55, 0.7, 0.3, 0.5, 0.65, 0.9, 0.2, 0.59, 0.1]
    steps = [Step(i, i / 5, np.array([p, 1 - p], np.float32), ("open", "closed")) for i, p in enumerate(of_open)]
    repetitions = runpy.run_path(str(COUNTER))["repetitions"]
    assert list(repetitions(steps, "open")) == [1 / 5, 6 / 5]
    assert list(repetitions(steps, "open", 0.8)) == [7 / 5]


def test_the_counter_reads_a_clip(
    tmp_path: Path, make_clip: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = create_model("lstm", 2, size=16, hidden=4)
    recognizer = Recognizer(model, ("open", "closed"), DataConfig(size=16, normalization="half"))
    run, clip = recognizer.save(tmp_path / "run"), make_clip(frames=6)
    first = next(iter(recognizer.watch(clip)))
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), first.label, str(first.score - 0.001)])
    runpy.run_path(str(COUNTER), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[0].split() == ["0.00", "s", "1"]
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "jump"])
    with pytest.raises(SystemExit, match=r"jump is no class of .*; its classes are open, closed"):
        runpy.run_path(str(COUNTER), run_name="__main__")


class Broker:
    """As much of an MQTT broker as one publisher with quality of service 1 needs."""

    def __init__(self, port: int) -> None:
        self.server = socket.create_server(("127.0.0.1", port))
        self.got: list[tuple[str, dict[str, Any]]] = []
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                while kind := file.read(1):
                    self._answer(kind[0] >> 4, file.read(_length(file)), connection)

    def _answer(self, kind: int, body: bytes, connection: socket.socket) -> None:
        if kind == 1:  # connect
            connection.sendall(b"\x20\x02\x00\x00")
        elif kind == 3:  # publish
            (size,) = struct.unpack(">H", body[:2])
            self.got.append((body[2 : 2 + size].decode(), json.loads(body[4 + size :])))
            connection.sendall(b"\x40\x02" + body[2 + size : 4 + size])


def _length(file: Any) -> int:
    value, shift = 0, 0
    while True:
        byte = file.read(1)[0]
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7


@contextmanager
def bridge(broker: int) -> Iterator[str]:
    port = free_port()
    words = [sys.executable, str(BRIDGE), f"127.0.0.1:{broker}", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_it_listens(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_until_it_listens(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, f"nothing listens on port {port}"
        time.sleep(0.05)


def test_events_reach_an_mqtt_broker_also_one_that_starts_late() -> None:
    pytest.importorskip("paho.mqtt", reason="the example needs paho-mqtt")
    port = free_port()
    lost = list[ClipError]()
    with bridge(port) as address:
        publisher = Publisher(address, lost.append)
        publisher.add(Event("0", "wave", 1.0, None, 0.9))
        publisher.add(Event("0", "a/b", 2.0, None, 0.8))
        time.sleep(0.5)
        broker = Broker(port)
        publisher.close(20)
        broker.server.close()
    assert lost == []
    assert [(topic, event["began"]) for topic, event in broker.got] == [("onlooker/wave", 1.0), ("onlooker/a-b", 2.0)]

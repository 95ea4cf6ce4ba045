"""Faulty senders."""

import io
import random
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import clips
import senders

from attacks import probes
from attacks.case import Kind, Make, Material, Target
from attacks.videos import tagged

STREAMS = "streams"


class Reopening(senders.Sender):
    """A sender that repeats its last answer for every further connection."""

    def __init__(
        self, *connections: Callable[[], Iterable[bytes]], hold: float = 0.0, times: int = 3
    ) -> None:
        super().__init__(*connections, *[connections[-1]] * times, hold=hold)


class Absent:
    """An address at which a sender starts after some seconds, or never (None)."""

    def __init__(self, seconds: float | None, chunks: Callable[[], Iterable[bytes]]) -> None:
        self._seconds = seconds
        self._chunks = chunks
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._port = server.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"

    def __enter__(self) -> "Absent":
        if self._seconds is not None:
            threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        return

    def _serve(self) -> None:
        time.sleep(self._seconds or 0)
        with (
            socket.create_server(("127.0.0.1", self._port)) as server,
            server.accept()[0] as connection,
        ):
            for chunk in self._chunks():
                connection.sendall(chunk)


def _video(first: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    return senders.transport_stream(30, first, size)


def _flood() -> Iterable[bytes]:
    """The same second fifty times, as fast as it can be sent; for some seconds would be more, the
    faster that is.
    """
    yield from [_video()] * 50


def _noise() -> Iterable[bytes]:
    rng = random.Random(0)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        yield rng.randbytes(188 * 100)


def _damaged() -> Iterable[bytes]:
    rng = random.Random(0)
    for chunk in senders.cut(_video() + _video(30)):
        data = bytearray(chunk)
        for _ in range(rng.choice((0, 0, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data)


def _sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        clips._silence(container, container.add_stream("aac", rate=48000))
    return file.getvalue()


def _tagged(matrix: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return tagged(Path(folder, "clip.ts"), matrix).read_bytes()


def _of(sender: Callable[[], Any], frames: int = 0) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        return Target(scratch, ("tcp://127.0.0.1",), more={"sender": sender, "frames": frames})

    return make


_SENDERS: dict[
    str, tuple[Callable[[], Any], int]
] = {  # and how many frames must arrive at least
    "ends": (lambda: senders.Sender(lambda: [_video()]), 25),
    "drops twice, and comes back": (
        lambda: Reopening(lambda: [_video()], lambda: [_video(30)], times=1),
        70,
    ),
    "drops within a packet": (
        lambda: Reopening(lambda: [_video()[:20_001]], lambda: [_video()]),
        25,
    ),
    # It listens again while the first new connection waits; later it would answer that one after it
    # was given up.
    "freezes": (lambda: Reopening(lambda: [_video()], hold=1.5, times=1), 40),
    "half open": (lambda: Reopening(list, lambda: [_video()], hold=3.0), 0),
    "says nothing": (lambda: senders.Sender(list, hold=8.0), 0),
    "floods": (lambda: senders.Sender(_flood), 1400),
    "sends noise": (lambda: senders.Sender(_noise), 0),
    "damages packets": (lambda: senders.Sender(_damaged), 1),
    "changes size": (
        lambda: senders.Sender(lambda: [_video(), _video(30, (96, 64)), _video(60, (32, 32))]),
        50,
    ),
    "changes size between connections": (
        lambda: Reopening(lambda: [_video()], lambda: [_video(30, (96, 64))], times=0),
        50,
    ),
    "sends only sound": (lambda: senders.Sender(lambda: [_sound()] * 3), 0),
    "sends a web page": (
        lambda: senders.Sender(lambda: [b"HTTP/1.0 200 OK\r\n\r\n<html></html>"]),
        0,
    ),
    "color matrix 10": (lambda: senders.Sender(lambda: [_tagged(10)]), 20),
    "color matrix 8": (lambda: senders.Sender(lambda: [_tagged(8)]), 20),
    "never there": (lambda: Absent(None, list), 0),
}


class _Http(senders.Sender):
    """A recording on a server, of which no frame can be decoded."""

    def __init__(self, data: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(data)}\r\n\r\n".encode()

        def talk(connection: socket.socket) -> Iterable[bytes]:
            connection.recv(4096)
            return [head + data]

        super().__init__(*[talk] * 3, scheme="http")


def _undecodable(material: Material, scratch: Path, rng: random.Random) -> Target:
    data = bytearray(material.whole(".mkv").read_bytes())
    start = data.find(b"\x1f\x43\xb6\x75") + 30  # a cluster: what follows are its frames
    data[start:] = bytes(0x55 for _ in range(len(data) - start))
    return Target(scratch, ("http://127.0.0.1",), more={"sender": lambda: _Http(bytes(data))})


def streams() -> Iterator[Kind]:
    for name, (sender, frames) in _SENDERS.items():
        quick = name in ("color matrix 10", "sends a web page")
        yield Kind(
            STREAMS,
            name,
            _of(sender, frames),
            probes.watch,
            slow=True,
            quick=quick,
            patience=15,
        )
    yield Kind(
        STREAMS,
        "recording that cannot be decoded",
        _undecodable,
        probes.watch,
        slow=True,
        patience=15,
    )

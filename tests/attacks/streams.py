"""Faulty senders: the faults of `fault_proxy`, and what is no stream at all."""

import random
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import senders
from fault_proxy import FAULTS, faulty

from attacks import probes
from attacks.case import Kind, Make, Material, Target
from attacks.videos import tagged

STREAMS = "streams"
BEFORE = ("half_open", "only_sound")  # faults before any frame, with which no connection begins


def _damaged() -> Iterable[bytes]:
    rng = random.Random(0)
    for chunk in senders.cut(senders.transport_stream(60)):
        data = bytearray(chunk)
        for _ in range(rng.choice((0, 0, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data)


def _tagged(matrix: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return tagged(Path(folder, "clip.ts"), matrix).read_bytes()


def _of(sender: Callable[[], Any], frames: int = 0) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        return Target(scratch, ("127.0.0.1",), more={"sender": sender, "frames": frames})

    return make


# and how many frames must arrive at least
_SENDERS: dict[str, tuple[Callable[[], Any], int]] = {
    **{
        name.replace("_", " "): (partial(faulty, [name]), 0 if name in BEFORE else 20)
        for name in FAULTS
    },
    "ends": (lambda: senders.Sender(lambda: [senders.transport_stream(30)]), 25),
    "damages packets": (lambda: senders.Sender(_damaged), 1),
    "sends a web page": (
        lambda: senders.Sender(lambda: [b"HTTP/1.0 200 OK\r\n\r\n<html></html>"]),
        0,
    ),
    "color matrix 10": (lambda: senders.Sender(lambda: [_tagged(10)]), 20),
    "color matrix 8": (lambda: senders.Sender(lambda: [_tagged(8)]), 20),
}


def _undecodable(material: Material, scratch: Path, rng: random.Random) -> Target:
    """A recording on a server, of which no frame can be decoded."""
    data = bytearray(material.whole(".mkv").read_bytes())
    start = data.find(b"\x1f\x43\xb6\x75") + 30  # a cluster: what follows are its frames
    data[start:] = bytes(0x55 for _ in range(len(data) - start))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(data)}\r\n\r\n"

    def talk(connection: socket.socket) -> Iterable[bytes]:
        connection.recv(4096)
        return [head.encode() + data]

    return _of(lambda: senders.Sender(*[talk] * 3, scheme="http"))(material, scratch, rng)


def streams() -> Iterator[Kind]:
    made = {name: _of(sender, frames) for name, (sender, frames) in _SENDERS.items()}
    made["recording that cannot be decoded"] = _undecodable
    for name, make in made.items():
        quick = name in ("color matrix 10", "sends a web page")
        yield Kind(STREAMS, name, make, probes.watch, slow=True, quick=quick, patience=15)

"""Senders on the loopback address: MPEG-TS over TCP, undamaged or with faults."""

import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Self

import clips

FPS = 25
PACKET = 188  # bytes of a packet of a transport stream
Chunks = Iterable[bytes]


def transport_stream(
    frames: int, first: int = 0, size: tuple[int, int] = (64, 48), codec: str = "mpeg2video"
) -> bytes:
    """Painted frames (`clips.paint`), numbered from `first`, a keyframe every fifth, 25 a second."""
    options = {"g": "5", "bf": "0", "b": "4000000"}
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.ts")
        clips.make_clip(path, frames, size, FPS, codec, options=options, first=first)
        return path.read_bytes()


def cut(stream: bytes, packets: int = 8) -> list[bytes]:
    """A stream in chunks of some packets."""
    return [
        stream[at : at + packets * PACKET] for at in range(0, len(stream), packets * PACKET)
    ]


def slowly(chunks: Chunks, seconds: float) -> Iterable[bytes]:
    """The same, with a wait after each."""
    for chunk in chunks:
        yield chunk
        time.sleep(seconds)


def rtsp(stream: bytes, seconds: float = 0.01) -> Callable[[socket.socket], None]:
    """One RTSP connection of a camera, which after PLAY sends MPEG-TS in interleaved RTP (TCP)."""
    lines = (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=test",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=video 0 RTP/AVP 33",
    )
    sdp = "".join(f"{line}\r\n" for line in (*lines, "a=control:track"))
    extra = {
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
        "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n",
        "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
    }

    def talk(connection: socket.socket) -> None:
        requests = connection.makefile("r", encoding="ascii", newline="\r\n")
        method = ""
        while method != "PLAY":
            method = requests.readline().partition(" ")[0]
            lines = list(iter(lambda: requests.readline().strip(), ""))
            number = next(line for line in lines if line.lower().startswith("cseq:"))
            answer = f"RTSP/1.0 200 OK\r\n{number}\r\nSession: 1\r\n{extra.get(method, '')}\r\n"
            connection.sendall((answer + (sdp if method == "DESCRIBE" else "")).encode())
        for number, piece in enumerate(slowly(cut(stream, 7), seconds)):
            stamp = int(number * seconds * 90000)
            packet = struct.pack("!BBHII", 0x80, 33, number, stamp, 1) + piece
            connection.sendall(struct.pack("!cBH", b"$", 0, len(packet)) + packet)

    return talk


class Sender:
    """A server whose connections each get the chunks of the next of `connections`, and are closed.

    Args:
        connections: for each connection what makes its chunks, or what talks to it. After the last,
        nobody is let in.
        hold: seconds for which a connection stays open after its last chunk, saying nothing.
        port: where it listens; 0: anywhere.
    """

    def __init__(
        self,
        *connections: Callable[..., Chunks | None],
        hold: float = 0.0,
        scheme: str = "tcp",
        port: int = 0,
    ) -> None:
        self._connections = connections
        self._hold = hold
        self._talks = scheme != "tcp"
        self._server = socket.create_server(("127.0.0.1", port))
        self.address = f"{scheme}://127.0.0.1:{self._server.getsockname()[1]}"
        self.over = False
        self._threads = [Thread(target=self._serve, daemon=True)]

    def _serve(self) -> None:
        with suppress(OSError):  # when it is over
            for chunks in self._connections:
                connection, _ = self._server.accept()
                thread = Thread(target=self._send, args=(connection, chunks), daemon=True)
                self._threads.append(thread)
                thread.start()
        self._server.close()

    def _send(self, connection: socket.socket, chunks: Callable[..., Chunks | None]) -> None:
        with connection, suppress(OSError):  # the receiver has gone
            for chunk in (chunks(connection) if self._talks else chunks()) or ():
                connection.sendall(chunk)
                if self.over:
                    return
            until = time.monotonic() + self._hold
            while time.monotonic() < until and not self.over:
                time.sleep(0.01)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(180)

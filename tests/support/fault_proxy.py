"""A simulated camera behind a bad network: each connection sends some frames, then has a fault."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import clips
import numpy as np
from senders import FPS, PACKET, Sender, cut, transport_stream

STREAM = transport_stream(60)  # FFmpeg reads a second of it before the first frame
GARBAGE = np.random.default_rng(0).bytes(188 * 50)


def with_sound(frames: int, seconds: int) -> bytes:
    """A stream of video and sound; the sound continues for some seconds after the last frame. No
    frames: sound only.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.ts")
        if frames:
            clips.make_clip(path, frames, fps=FPS, audio=seconds)
        else:
            clips.make_sound(path, seconds, "mpegts")
        return path.read_bytes()


# Made before any connection: on a busy machine, encoding would take longer than a source waits.
RESIZED = [transport_stream(20, 20, (96, 64)), transport_stream(20, 40, (32, 32))]
ONLY_SOUND = with_sound(0, 3)
SOUND_AFTER = with_sound(60, 3)
SOUND_LONG_AFTER = with_sound(60, 60)


def dropped(stream: bytes) -> Iterable[bytes]:
    """The connection ends within a packet."""
    return [stream[: len(stream) * 3 // 4 + 5]]


def frozen(stream: bytes, seconds: float = 0.5) -> Iterator[bytes]:
    """The connection stays open without data."""
    yield stream
    for _ in range(round(seconds * 100)):
        time.sleep(0.01)
        yield b""


def half_open(stream: bytes) -> Iterator[bytes]:
    """The connection is accepted and never answered."""
    return frozen(b"")


def flooded(stream: bytes) -> Iterable[bytes]:
    """Ten times the frames, and garbage, at full speed."""
    return [stream, GARBAGE, *[stream] * 10, GARBAGE]


def resized(stream: bytes) -> Iterable[bytes]:
    """The frames become larger, then smaller."""
    return [stream, *RESIZED]


def only_sound(stream: bytes) -> Iterable[bytes]:
    """Sound without video."""
    return [ONLY_SOUND]


def sound_after(stream: bytes) -> Iterator[bytes]:
    """The video stops and the sound continues."""
    yield SOUND_AFTER
    for chunk in cut(SOUND_LONG_AFTER[len(SOUND_LONG_AFTER) // 2 // PACKET * PACKET :], 3):
        yield chunk
        time.sleep(0.01)


FAULTS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    fault.__name__: fault
    for fault in (dropped, frozen, half_open, flooded, resized, only_sound, sound_after)
}


def faulty(faults: Sequence[str], stream: bytes = STREAM) -> Sender:
    """A sender that gives each connection a fault, by name in `FAULTS`, after the stream; the
    connection after them has none, and stays open.
    """
    connections = [partial(FAULTS[fault], stream) for fault in faults]
    return Sender(*connections, partial(frozen, stream, 60))

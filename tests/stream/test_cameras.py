"""Frames of live sources: streams on the loopback address that stop, restart, stall and send
garbage.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import clips
import cv2
import numpy as np
import pytest
from clips import Make, painted_number, painted_numbers
from senders import FPS, Sender, cut, rtsp, slowly, transport_stream

from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError
from onlooker.stream import sources as stream
from onlooker.stream.sources import Frame, LiveClock
from onlooker.video.reader import VideoReader

ALL = StreamConfig(drop="none", timeout=180, attempts=0)
STREAM = transport_stream(60)


class Source(stream.Source):
    """A source to iterate over, which reads inside `with`."""

    def __init__(
        self, source: int | str | Path, config: StreamConfig | None = None, hold: int = 0
    ) -> None:
        super().__init__(source, config or StreamConfig(), threading.Condition(), hold=hold)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        while not self.finished:
            with self.condition:
                self.condition.wait_for(lambda: self.ready)
            if (frame := self.poll()) is not None:
                return frame
        raise StopIteration


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Check that no thread or socket of a test remains."""
    handles = Path("/proc/self/fd")
    before = set(threading.enumerate())
    opened = len(os.listdir(handles)) if handles.exists() else 0
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(180)
    assert [thread.name for thread in set(threading.enumerate()) - before] == []
    if handles.exists():
        assert len(os.listdir(handles)) <= opened


def ascending(times: list[float]) -> bool:
    return all(a < b for a, b in pairwise(times))


def taken(source: Source) -> tuple[list[Frame], str]:
    """All frames, and the error after the last."""
    frames: list[Frame] = []
    try:
        frames.extend(source)
    except ClipError as error:
        return frames, str(error)
    return frames, ""


@pytest.mark.parametrize(("rate", "chosen"), [(0.0, range(60)), (5.0, [0, *range(3, 60, 5)])])
def test_a_stream_plays_to_its_end_also_at_a_lower_rate(
    rate: float, chosen: Sequence[int]
) -> None:
    config = replace(ALL, rate=rate)
    with Sender(lambda: [STREAM]) as sender, Source(sender.address, config) as source:
        indices, times, frames = zip(*source, strict=True)
        assert list(indices) == [*chosen]
        assert painted_numbers(frames) == list(indices)
        np.testing.assert_allclose(times, np.array(indices) / FPS, atol=1e-3)
        assert (source.name, source.dropped, source.reconnections) == (sender.address, 0, 0)
        assert (frames[0].shape, frames[0].dtype) == ((48, 64, 3), np.uint8)
        assert list(source) == []


@pytest.mark.parametrize("scheme", ["rtsp", "http", "https", "rtmp", "RTSP"])
def test_silence_is_a_timeout_in_every_protocol(scheme: str) -> None:
    with (
        Sender(lambda connection: (), hold=30, scheme=scheme) as sender,
        Source(sender.address, StreamConfig(timeout=0.5, attempts=0)) as source,
        pytest.raises(ClipError, match=rf"{scheme}://127.0.0.1:\d+.*: no answer within 0.5 s"),
    ):
        next(source)


def test_closing_does_not_wait_for_an_active_sender() -> None:
    def endless() -> Iterator[bytes]:
        yield from slowly(cut(STREAM, 10) * 50, 0.02)

    with Sender(endless) as sender:
        source = Source(sender.address, StreamConfig(timeout=600)).__enter__()
        next(source)
        begin = time.monotonic()
        source.close()
        assert time.monotonic() - begin < 60
        with pytest.raises(StopIteration):
            next(source)


def test_a_slow_reader_gets_the_newest_frame() -> None:
    config = StreamConfig(timeout=180, attempts=0)
    pieces = cut(STREAM, 10)
    with (
        Sender(lambda: slowly(pieces, 1.5 / len(pieces))) as sender,
        Source(sender.address, config) as source,
    ):
        indices = []
        for index, when, frame in source:
            assert painted_number(frame) == index
            assert when == pytest.approx(index / FPS, abs=1e-3)
            indices.append(index)
            time.sleep(0.25)
    assert 2 <= len(indices) <= 12
    assert indices[-1] == 59
    assert source.dropped == 60 - len(indices)


def test_frames_without_timestamps_have_the_times_of_their_arrival(make_clip: Make) -> None:
    images = make_clip("a.mjpeg", codec="mjpeg", frames=200).read_bytes()
    begin = time.monotonic()
    with Sender(lambda: [images]) as sender, Source(sender.address, ALL) as source:
        times = [seconds for _, seconds, _ in source]
    assert len(times) >= 199
    assert ascending(times)
    passed = time.monotonic() - begin
    # frames of one moment are a millisecond apart, at least
    assert times[-1] < passed + 1, (
        "FFmpeg's last one is 7.96, as it assumes 25 frames per second"
    )


def test_an_rtsp_camera() -> None:
    config = StreamConfig(drop="none", timeout=180, attempts=1, wait=0.05)
    with (
        Sender(rtsp(STREAM), rtsp(STREAM), scheme="rtsp") as sender,
        Source(f"{sender.address}/stream", config) as source,
    ):
        frames, error = taken(source)
    # The last frame of a connection is never told to be whole.
    assert [painted_number(frame) for _, _, frame in frames] == [*range(59), *range(59)]
    assert ascending([when for _, when, _ in frames])
    assert source.reconnections == 1
    assert "connection refused); 1 new connections" in error


@pytest.mark.parametrize(("share", "problem"), [(1, ""), (0.75, "connection broken")])
def test_a_file_on_a_server_is_read_once_also_if_it_breaks_off(
    make_clip: Make, share: float, problem: str
) -> None:
    # sound begins 2 s earlier
    pts = [2000 + 100 * i for i in range(60)]
    fast = {"movflags": "faststart"}
    path = make_clip(frames=60, pts=pts, audio=True, container_options=fast)
    content = path.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()

    def send(connection: socket.socket) -> list[bytes]:
        connection.recv(10_000)
        return [head + content[: round(share * len(content))]]

    config = StreamConfig(timeout=180, attempts=1, wait=0.01)
    with Sender(send, send, scheme="http") as sender, Source(sender.address, config) as source:
        frames, error = taken(source)
    assert problem in error
    assert bool(problem) == bool(error)
    _, times, pixels = zip(*frames, strict=True)
    numbers = painted_numbers(pixels)
    assert numbers == list(range(60 if share == 1 else len(numbers)))
    assert times == pytest.approx(VideoReader(path).times[: len(times)])
    assert source.reconnections == 0


def test_a_file_is_read_as_it_is(make_clip: Make) -> None:
    path = make_clip(frames=30)
    for given in (path, str(path)):
        with Source(given) as source:
            for ours, theirs in zip(source, VideoReader(path), strict=True):
                assert ours[:2] == theirs[:2]
                assert np.array_equal(ours[2], theirs[2])
    with Source(path, StreamConfig(rate=2)) as source:
        assert [index for index, _, _ in source] == [0, 5, 10, 15, 20, 25]
    with Source(path) as source:
        next(source)  # and no more: the thread ends all the same


def test_the_last_frame_of_a_silent_camera_is_held_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wake = threading.Event()

    def motion(_: int, clock: LiveClock) -> Iterator[stream._Arrival]:
        for second in (0.0, 0.1, 0.2):
            yield stream._Arrival(clock(second), lambda: clips.paint(0))
        wake.wait(180)
        yield stream._Arrival(clock(time.monotonic()), lambda: clips.paint(1))

    monkeypatch.setattr(stream, "_SILENT", 0.05)
    monkeypatch.setattr(stream, "_of_camera", motion)
    with Source(0, StreamConfig(rate=10, drop="none"), hold=4) as source:
        frames = list[Frame]()
        deadline = time.monotonic() + 60
        while len(frames) < 8 and time.monotonic() < deadline:
            if (frame := source.poll()) is not None:
                frames.append(frame)
            if len(frames) == 7:
                assert not source.ready or wake.is_set(), (
                    "a camera that stays silent costs nothing"
                )
                wake.set()
            time.sleep(0.01)
    assert [index for index, _, _ in frames] == [0, 1, 2, 2, 2, 2, 2, 3]
    assert ascending([when for _, when, _ in frames])
    assert [painted_number(pixels) for _, _, pixels in frames] == [0] * 7 + [1]


def test_no_camera_of_a_number() -> None:
    with (
        pytest.raises(ClipError, match="camera 97: no camera answers there"),
        Source("97") as source,
    ):
        next(source)


@pytest.mark.parametrize("name", ["3", "/dev/video3", Path("/dev/video3")])
def test_a_camera_is_read_by_its_number_or_device(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, name: str | Path
) -> None:
    # A file in the place of the camera: it is opened by OpenCV as a camera is, and it ends as one
    # that is unplugged.
    path = make_clip(frames=12)
    real = cv2.VideoCapture
    numbers = []

    def capture(number: int) -> cv2.VideoCapture:
        numbers.append(number)
        return real(str(path))

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    with Source(name, StreamConfig(drop="none", attempts=0)) as source:
        frames, error = taken(source)
    assert error.startswith(f"camera {name}: the camera sends no more frames; check its number")
    assert numbers == [3]
    assert ascending([when for _, when, _ in frames])
    assert [painted_number(frame) for _, _, frame in frames] == list(range(12))
    wrong = clips.paint(0)[-1, 0].astype(int) - frames[0][2][-1, 0]
    assert abs(wrong).max() < 30  # red is red


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "ftp://user:secret@host/clip.mp4",
            r"source is 'ftp://\*\*\*@host/clip.mp4', expected an address of rtsp",
        ),
        ("file:///etc/passwd", "expected an address of rtsp, .*, or a path"),
        ("rtsp://", "expected an address"),
        ("srt://127.0.0.1:1", "expected an address of .*; for others: ffmpeg -i ADDRESS"),
        (-1, "source is -1, expected a camera from 0 to 9999"),
        ("20261128", "a file or folder of this name is ./20261128"),
    ],
)
def test_invalid_sources(given: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Source(given)  # type: ignore[arg-type]


def test_the_clock_ignores_jumps() -> None:
    clock = LiveClock(leap=2)
    clock.connected(10)
    stamps = [5.0, 5.1, 5.2, 90000.0, 5.4, 5.5, None, 5.7, 5.6, 5.8, 6.8]
    expected = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 2.0]
    np.testing.assert_allclose([clock(stamp) for stamp in stamps], expected, atol=1e-6)
    clock.connected(10)
    assert clock(None) == pytest.approx(2.1)

"""Frames without times, of files, pipes and networks: the frame rate is asked for, and how fast they
are read is never their time, except of a camera.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from clips import make_images
from commands import call
from eventful import eventful
from senders import Sender

from onlooker.base.config import StreamConfig
from onlooker.stream import sources

ASSUMED = "the frame rate is unknown, and seconds are those of 25 frames per second; give --frame-rate N"
ARRIVAL = "the frame rate is unknown, and seconds are those of the arrival of frames; give --frame-rate N"
RAW = {"mjpeg": ("mjpeg", "yuvj420p", 10), "h264": ("libx264", "yuv420p", 1_000_000)}
RAW |= {"m4v": ("mpeg4", "yuv420p", 60_000)}


def raw(path: Path, form: str, frames: int, size: tuple[int, int] = (64, 48)) -> list[bytes]:
    """Painted frames without times, in a file; and in pieces of a frame each."""
    codec, pixels, rate = RAW[form]
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, options={"tune": "zerolatency"})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(clips.paint(number, size))))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    size = len(content) // frames + 1
    return [content[at : at + size] for at in range(0, len(content), size)]


@contextmanager
def pipe(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], pause: float = 0.0
) -> Iterator[str]:
    """A source that is standard input, in which a program writes these pieces."""
    end, start = os.pipe()
    monkeypatch.setattr(sources, "_PIPE", f"pipe:{end}")

    def write() -> None:
        with open(start, "wb", buffering=0) as stream:
            for piece in pieces:
                stream.write(piece)
                time.sleep(pause)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield "-"
    thread.join(180)
    os.close(end)


def watched(source: str | Path, **config: float | None) -> tuple[list[float], set[str]]:
    """The times of all frames, and what is said of the source when it is opened."""
    condition = threading.Condition()
    options = StreamConfig(timeout=180, attempts=0, drop="none", **config)
    opened = sources.Source(source, options, condition)
    opened.start()
    times = list[float]()
    said = set[str]()
    while not opened.finished:
        with condition:
            condition.wait_for(lambda: opened.ready)
        if (frame := opened.poll()) is not None:
            times.append(frame[1])
        said |= {status.reason for status in opened.changes if status.state == "online"}
    opened.close()
    return times, said


@pytest.mark.parametrize("seed", range(3))
def test_files_and_pipes_have_the_given_rate_or_that_which_is_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    form = [*RAW][seed]
    frames = int(chance.integers(30, 120))
    rate = float(chance.uniform(1, 60))
    path = tmp_path / f"film.{form}"
    pieces = raw(path, form, frames)
    with pipe(monkeypatch, pieces) as source:
        got = [watched(each) for each in (source, path)]
    for times, said in got:
        assert len(times) >= frames - 2  # the last one may lack its end
        np.testing.assert_allclose(times, np.arange(len(times)) / 25, atol=1e-6)
        assert said == {ASSUMED}
    with pipe(monkeypatch, pieces) as source:
        got = [watched(each, frame_rate=rate) for each in (source, path)]
    for times, said in got:
        np.testing.assert_allclose(times, np.arange(len(times)) / rate, atol=1e-6)
        assert said == {""}


def test_a_pipe_in_real_time_is_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so large that FFmpeg knows the format after two seconds
    pieces = 3 * raw(tmp_path / "film.mjpeg", "mjpeg", 20, (1280, 960))
    begin = time.monotonic()
    with pipe(monkeypatch, pieces, 0.045) as source:
        times, said = watched(source)
    passed = time.monotonic() - begin
    assert said == {ARRIVAL}
    assert 0 < times[-1] <= passed  # FFmpeg may hold the first frames for a while
    with pipe(monkeypatch, pieces) as source:
        times, said = watched(source, frame_rate=15)
    np.testing.assert_allclose(times, np.arange(len(times)) / 15, atol=1e-6)
    assert said == {""}


@pytest.mark.parametrize("form", RAW)
def test_a_network_without_times_is_timed_by_arrival_or_by_the_given_rate(
    tmp_path: Path, form: str
) -> None:
    pieces = raw(tmp_path / f"film.{form}", form, 40)
    begin = time.monotonic()
    with Sender(lambda: pieces, lambda: pieces) as sender:
        times, said = watched(sender.address)
        assert times[-1] < time.monotonic() - begin + 1
        assert said == {ARRIVAL}
        times, said = watched(sender.address, frame_rate=12)
    np.testing.assert_allclose(times, np.arange(len(times)) / 12, atol=1e-6)
    assert said == {""}


def test_images_without_a_rate_ask_for_it_too(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "images", [f"{number}.png" for number in range(4)])
    assert watched(folder) == (pytest.approx(np.arange(4) / 25), {ASSUMED})
    assert watched(folder, frame_rate=5) == (pytest.approx(np.arange(4) / 5), {""})
    (folder / "frame_rate.txt").write_text("10")
    assert watched(folder) == (pytest.approx(np.arange(4) / 10), {""})


def test_a_camera_and_a_file_with_times_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", frames=5)
    for rate in (None, 3.0):
        assert watched(path, frame_rate=rate) == (pytest.approx(np.arange(5) / 10), {""})
    frames = [sources._Arrival(place / 10, partial(clips.paint, place)) for place in range(5)]
    monkeypatch.setattr(sources, "_of_camera", lambda *_: iter(frames))
    assert watched("0", frame_rate=3.0) == (pytest.approx(np.arange(5) / 10), {""})


def test_watch_says_it_once(tmp_path: Path) -> None:
    run = eventful(frame_rate=10.0).save(tmp_path / "run")
    path = tmp_path / "film.mjpeg"
    raw(path, "mjpeg", 12)
    for json in ((), ("--json",)):
        said = call("watch", run, path, *json).stderr
        assert said.count(f"{path}: {ASSUMED}\n") == 1
        assert "unknown" not in call("watch", run, path, "--frame-rate", 10, *json).stderr

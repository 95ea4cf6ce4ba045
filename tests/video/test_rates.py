"""More frames per second than any camera has, in containers and raw video, are unknown: they are
asked for, and never believed. Pictures that are far apart have times.
"""

import struct
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from clips import Make

from onlooker.base.config import DataConfig
from onlooker.base.records import ClipError
from onlooker.data.clips import read_header, sample_rate, unknown_rates
from onlooker.data.findings import read_facts
from onlooker.video.rates import HIGHEST, LOWEST
from onlooker.video.reader import VideoReader

# file names with the format and codec of FFmpeg, and the highest rate that a file can state
KINDS = {
    "a.h264": ("h264", "libx264", 1e6),
    "a.m4v": ("m4v", "mpeg4", 65_000),
    "a.mp4": ("mp4", "libx264", 90_000),
    "a.mkv": ("matroska", "libx264", 90_000),
    "a.avi": ("avi", "mpeg4", 1e6),
    "a.ivf": ("ivf", "libvpx", 1e6),
}


def film(path: Path, rate: float, frames: int = 6) -> Path:
    """Painted frames in a file that states a rate."""
    form, codec, _ = KINDS[path.name]
    stated = Fraction(rate).limit_denominator(1000)
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25 if form == "avi" else stated)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(clips.paint(number))))
        container.mux(stream.encode(None))
    if form == "avi":  # whose writer rounds it
        content = bytearray(path.read_bytes())
        place = content.index(b"strh") + 28
        content[place : place + 8] = struct.pack("<II", stated.denominator, stated.numerator)
        path.write_bytes(content)
    return path


def chosen(reader: VideoReader) -> list[float]:
    return [float(time) for time in reader.get(lambda count: np.arange(count)).times]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", KINDS)
def test_an_impossible_rate_is_unknown(tmp_path: Path, name: str, seed: int) -> None:
    chance = np.random.default_rng(seed)
    highest = KINDS[name][2]
    rate = round(1.01 * HIGHEST * (highest / HIGHEST / 1.01) ** chance.random())
    if seed == 0 and name == "a.h264":  # which has no other clock
        rate = round(1 / chance.uniform(1.1, 100) * LOWEST, 3) or 0.001
    path = film(tmp_path / name, rate)
    reader = VideoReader(path)
    assert reader.assumes_rate, rate
    times = np.arange(6) / 25
    for got in (reader.times, [time for _, time, _ in reader], chosen(VideoReader(path))):
        np.testing.assert_allclose(got, times)
    assert (reader.timing.assumes_rate, reader.seconds) == (True, pytest.approx(6 / 25))
    assert (read_header(path).timing.assumes_rate, read_facts(path).rate) == (True, 0)
    assert sample_rate([path], DataConfig()) is None
    assert unknown_rates([path, path]) == [path]
    (tmp_path / "frame_rate.txt").write_text("12.5")
    reader = VideoReader(path)
    np.testing.assert_allclose(reader.times, np.arange(6) / 12.5)
    np.testing.assert_allclose([time for _, time, _ in reader], np.arange(6) / 12.5)
    assert not (reader.assumes_rate)
    assert not (reader.timing.assumes_rate)
    assert not read_header(path).timing.assumes_rate
    assert unknown_rates([path]) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["a.h264", "a.mp4", "a.mkv", "a.avi"])
def test_a_possible_rate_is_believed(tmp_path: Path, name: str, seed: int) -> None:
    slow = [] if name == "a.h264" else [1 / 15, 0.01]
    rate = float(np.random.default_rng(seed).choice([0.2, 1, 7.5, 30, 240, 480, *slow]))
    path = film(tmp_path / name, rate)
    (tmp_path / "frame_rate.txt").write_text("12.5")
    reader = VideoReader(path)
    assert not (reader.assumes_rate)
    assert not (reader.timing.assumes_rate)
    np.testing.assert_allclose(reader.times, np.arange(6) / rate, atol=1e-3)
    np.testing.assert_allclose([time for _, time, _ in reader], reader.times, atol=1e-9)


def test_unchanged_frames_that_are_left_out_are_no_low_rate(make_clip: Make) -> None:
    for name in ("a.mp4", "a.mkv"):
        path = make_clip(name, frames=4, pts=[0, 100, 200, 90_000])
        assert VideoReader(path).times[-1] == pytest.approx(90)
    two = make_clip("two.mp4", frames=2, pts=[0, 60_000])
    assert VideoReader(two).times[-1] == pytest.approx(60)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ivf"])
def test_a_picture_every_15_seconds(tmp_path: Path, name: str) -> None:
    reader = VideoReader(film(tmp_path / name, 1 / 15, frames=40))
    assert not reader.assumes_rate
    np.testing.assert_allclose(reader.times, 15 * np.arange(40), atol=0.01)
    np.testing.assert_allclose([time for _, time, _ in reader], reader.times, atol=1e-9)
    assert reader.seconds == pytest.approx(600, abs=0.1)


@pytest.mark.parametrize("text", ["0.05", "1001", "9999", "0"])
def test_an_impossible_rate_that_is_stated_is_an_error(tmp_path: Path, text: str) -> None:
    path = film(tmp_path / "a.h264", 1e6)
    (tmp_path / "frame_rate.txt").write_text(text)
    with pytest.raises(
        ClipError, match=rf"a.h264: .*frame_rate.txt says '{text}'; write .*\(0.1 to 1000\)"
    ):
        _ = VideoReader(path).times

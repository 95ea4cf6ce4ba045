"""Random access equals sequential decoding, bit for bit, for many codecs and containers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import clips
import numpy as np
import pytest
from clips import painted_numbers

from onlooker.video import video_file
from onlooker.video.reader import VideoReader, read
from onlooker.video.sampling import equally_spaced

Make = Callable[..., Path]
CASES = {
    "h264 B-frames": ("a.mp4", {"options": {"g": "30", "bf": "3"}}),
    "h264 B-pyramid, one group": ("a.mkv", {"options": {"bf": "5", "b-pyramid": "normal"}}),
    "h264 open groups": (
        "a.mp4",
        {"options": {"bf": "3", "x264-params": "open-gop=1:keyint=24:scenecut=0"}},
    ),
    "h264 intra refresh": ("a.mp4", {"options": {"x264-params": "intra-refresh=1:keyint=24"}}),
    "h264 baseline": ("a.mov", {"options": {"g": "12", "bf": "0"}}),
    "h264 10 bit": ("a.mp4", {"options": {"g": "30"}, "pix_fmt": "yuv420p10le"}),
    "h264 in avi": ("a.avi", {"codec": "libx264", "options": {"bf": "2"}}),
    "h264 in a transport stream": ("a.ts", {"codec": "libx264"}),
    "h264 with sound": ("a.mp4", {"audio": True}),
    "h264 variable rate": (
        "a.mp4",
        {"pts": [i * i * 3 + 40 * i for i in range(120)], "options": {"g": "20"}},
    ),
    "h264 decoded with threads": (
        "a.mp4",
        {"size": (640, 360), "options": {"bf": "3", "preset": "ultrafast"}},
    ),
    "hevc open groups": (
        "a.mp4",
        {"codec": "libx265", "options": {"x265-params": "keyint=24:log-level=none"}},
    ),
    "mpeg4": ("a.avi", {}),
    "mpeg4 B-frames in avi": ("a.avi", {"options": {"bf": "2"}}),
    "mpeg4 B-frames in mp4": ("a.mp4", {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}}),
    "mpeg2 B-frames": (
        "a.mkv",
        {"codec": "mpeg2video", "fps": 25, "options": {"bf": "2", "g": "15"}},
    ),
    "mpeg program stream": ("a.mpg", {"codec": "mpeg2video", "fps": 25}),
    "mjpeg": ("a.avi", {"codec": "mjpeg"}),
    "vp8 hidden frames": (
        "a.webm",
        {"codec": "libvpx", "options": {"g": "30", "auto-alt-ref": "1"}},
    ),
    "vp9": ("a.webm", {"options": {"g": "30", "deadline": "realtime", "cpu-used": "8"}}),
    "vp9 hidden frames": ("a.webm", {"options": {"g": "40", "auto-alt-ref": "1", "cpu-used": "5"}}),
    "gif": ("a.gif", {}),
}


@pytest.fixture(params=CASES)
def clip(request: pytest.FixtureRequest, make_clip: Make) -> Path:
    name, settings = CASES[request.param]
    return make_clip(name, **{"frames": 120, **settings})


Count = Callable[[ModuleType, str], list[Any]]


def test_equal_to_sequential_decoding(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, times = clips.all_frames(clip)
    assert painted_numbers(reference) == list(range(120))
    streamed = list(VideoReader(clip))
    assert [number for number, _, _ in streamed] == list(range(120))
    np.testing.assert_array_equal([pixels for _, _, pixels in streamed], reference)
    for cores in (1, 2):
        monkeypatch.setattr(video_file, "free_cores", lambda cores=cores: cores)
        for count in (1, 7, 30, 120, 130):
            frames = VideoReader(clip).get(equally_spaced(120, count))
            assert frames.indices.tolist() == equally_spaced(120, count).tolist()
            np.testing.assert_array_equal(frames.pixels, [reference[i] for i in frames.indices])
            assert frames.times == pytest.approx([streamed[i][1] for i in frames.indices])
    if clip.suffix == ".avi":  # which stores a rate, no times
        times = [i / 10 for i in range(120)]
    assert [time for _, time, _ in streamed] == pytest.approx(times)


def test_indexed_files_are_not_decoded_as_a_whole(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Mock(side_effect=AssertionError("decoded the whole file"))
    monkeypatch.setattr(video_file, "decode_file", whole)
    for name, settings in CASES.values():
        without_times = settings.get("codec") in ("libvpx", "libx264") or name == "a.mpg"
        b_frames_in_avi = name == "a.avi" and "options" in settings
        if not (without_times or b_frames_in_avi or "intra" in str(settings)):
            read(make_clip(name, **{**settings, "frames": 60, "pts": None}), 7)


def test_frames_cut_off_by_an_edit_list_are_not_counted(make_clip: Make, tmp_path: Path) -> None:
    whole = make_clip("whole.mp4", frames=60, options={"g": "20", "bf": "2"})
    cut = clips.remux(whole, tmp_path / "cut.mp4", earlier=2.5)  # it then says: begin at zero
    reference, _ = clips.all_frames(cut)
    assert clips.painted_number(reference[0]) == 25
    frames = read(cut, 7)
    assert frames.indices.tolist() == equally_spaced(35, 7).tolist()
    np.testing.assert_array_equal(frames.pixels, [reference[i] for i in frames.indices])


def test_only_what_is_needed_is_decoded(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, count_items: Count
) -> None:
    monkeypatch.setattr(video_file, "free_cores", lambda: 1)
    decoded = count_items(video_file, "decode_runs")
    read(make_clip("a.avi", frames=600), 5)
    assert 5 <= len(decoded) <= 5 * 12  # at most a group of 12 for each frame


@pytest.mark.parametrize(
    ("suffix", "options", "demuxed"),
    [
        (".mp4", {}, 120 + 7 * 10),  # from the keyframe before each frame
        (".avi", {}, 120 + 7 * 10),
        (".mkv", {}, 120 + 7 * 10),
        (".mp4", {"movflags": "frag_keyframe+empty_moov"}, 120 + 7 * 10),
        (".mkv", {"live": "1"}, 120 + 120),  # without an index: every seek ends at the first packet
    ],
)
def test_only_needed_packets_are_read_again(
    suffix: str,
    options: dict[str, str],
    demuxed: int,
    make_clip: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count_items: Count,
) -> None:
    whole = make_clip("a.mp4", frames=120, codec="mpeg4", options={"g": "10"})
    clip = clips.remux(whole, tmp_path / f"remuxed{suffix}", options=options)
    expected, _ = clips.all_frames(clip)
    monkeypatch.setattr(video_file, "free_cores", lambda: 1)
    monkeypatch.setattr(video_file, "decode_file", None)
    packets = count_items(video_file, "read_packets")
    frames = read(clip, 7)
    np.testing.assert_array_equal(frames.pixels, [expected[i] for i in frames.indices])
    assert frames.times == pytest.approx(frames.indices / 10)
    assert 0 < len(packets) <= demuxed


def test_a_wrong_packet_count_costs_a_second_decoding(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip("a.mp4", frames=25)
    decode_file = Mock(wraps=video_file.decode_file)
    monkeypatch.setattr(video_file, "decode_file", decode_file)
    for packets in (0, 10, 24, 25, 400):
        monkeypatch.setattr(
            video_file, "index_packets", lambda *_, packets=packets: (None, packets)
        )
        video = VideoReader(clip)
        decode_file.reset_mock()
        frames = video.get(partial(equally_spaced, count=5))
        assert painted_numbers(frames.pixels) == equally_spaced(25, 5).tolist()
        assert decode_file.call_count == (1 if packets == 25 else 2)
        assert len(video) == 25
        decode_file.reset_mock()
        assert video.get([24, 3]).times == pytest.approx([2.4, 0.3])
        # given indices do not depend on the count, and it is known now
        assert decode_file.call_count == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "images"])
def test_a_reader_is_reusable_and_knows_length_times_and_size(
    make_clip: Make, tmp_path: Path, name: str
) -> None:
    if name == "images":
        path = clips.make_images(tmp_path / name, (f"{number}.png" for number in range(20)))
    else:
        path = make_clip(name, codec="libvpx" if name == "a.webm" else "libx264")
    rate = 25 if name == "images" else 10
    video = VideoReader(path)
    assert (len(video), video.size) == (20, (48, 64))
    assert video.times == pytest.approx(np.arange(20) / rate)
    for _ in range(2):
        frames = video.get(partial(equally_spaced, count=4))
        assert painted_numbers(frames.pixels) == [2, 7, 12, 17]
        assert [number for number, _, _ in video] == list(range(20))
    mixed = video.get([19, 3, 3, 17])
    assert painted_numbers(mixed.pixels) == [19, 3, 3, 17]
    assert mixed.times == pytest.approx(np.array([19, 3, 3, 17]) / rate)
    assert video.get([0], size=16).pixels.shape == (1, 16, 16, 3)
    assert video.size == (48, 64)  # before resizing
    for indices, wrong in (([3, 20], "frame 20"), ([-1, 3], "frame -1")):
        for reader in (video, VideoReader(path)):
            with pytest.raises(IndexError, match=f"{name}: {wrong} asked for, expected 0 to 19"):
                reader.get(indices)
    with pytest.raises(ValueError, match="no frame indices, expected at least one"):
        video.get([])

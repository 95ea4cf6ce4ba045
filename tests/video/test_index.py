"""Random access equals sequential decoding, bit for bit, for many codecs and containers; a part of a
recording equals a clip that was cut there, at the same cost.
"""

from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from clips import Make, all_frames, make_images, painted_number, painted_numbers, remux

from onlooker.base.config import DataConfig
from onlooker.base.records import Clip, ClipError
from onlooker.data.clips import read_clips
from onlooker.data.split import fingerprint
from onlooker.video import video_file
from onlooker.video.flow import read_flow
from onlooker.video.reader import VideoReader, is_video, read
from onlooker.video.sampling import equally_spaced

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
    "h264 with sound": ("a.mp4", {"audio": 1}),
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
    "vp9 hidden frames": (
        "a.webm",
        {"options": {"g": "40", "auto-alt-ref": "1", "cpu-used": "5"}},
    ),
    "gif": ("a.gif", {}),
}


@pytest.fixture(params=CASES)
def clip(request: pytest.FixtureRequest, make_clip: Make) -> Path:
    name, settings = CASES[request.param]
    return make_clip(name, **{"frames": 120, **settings})


Count = Callable[[ModuleType, str], list[Any]]


def test_equal_to_sequential_decoding(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, times = all_frames(clip)
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


def test_frames_cut_off_by_an_edit_list_are_not_counted(
    make_clip: Make, tmp_path: Path
) -> None:
    whole = make_clip("whole.mp4", frames=60, options={"g": "20", "bf": "2"})
    cut = remux(whole, tmp_path / "cut.mp4", earlier=2.5)  # it then says: begin at zero
    reference, _ = all_frames(cut)
    assert painted_number(reference[0]) == 25
    frames = read(cut, 7)
    assert frames.indices.tolist() == equally_spaced(35, 7).tolist()
    np.testing.assert_array_equal(frames.pixels, [reference[i] for i in frames.indices])


@pytest.mark.parametrize(
    ("suffix", "options", "demuxed"),
    [
        (".mp4", {}, 120 + 7 * 10),  # from the keyframe before each frame
        (".avi", {}, 120 + 7 * 10),
        (".mkv", {}, 120 + 7 * 10),
        (".mp4", {"movflags": "frag_keyframe+empty_moov"}, 120 + 7 * 10),
        (
            ".mkv",
            {"live": "1"},
            120 + 120,
        ),  # without an index: every seek ends at the first packet
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
    clip = remux(whole, tmp_path / f"remuxed{suffix}", options=options)
    expected, _ = all_frames(clip)
    monkeypatch.setattr(video_file, "free_cores", lambda: 1)
    monkeypatch.setattr(video_file, "decode_file", None)
    packets = count_items(video_file, "read_packets")
    frames = read(clip, 7)
    np.testing.assert_array_equal(frames.pixels, [expected[i] for i in frames.indices])
    assert frames.times == pytest.approx(frames.indices / 10)
    assert 0 < len(packets) <= demuxed


@pytest.mark.parametrize("packets", [0, 10, 24, 25, 400])
def test_a_wrong_packet_count_gives_the_right_frames(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, packets: int
) -> None:
    monkeypatch.setattr(video_file, "index_packets", lambda *_: (None, packets))
    video = VideoReader(make_clip("a.mp4", frames=25))
    frames = video.get(partial(equally_spaced, count=5))
    assert painted_numbers(frames.pixels) == equally_spaced(25, 5).tolist()
    assert len(video) == 25
    assert video.get([24, 3]).times == pytest.approx([2.4, 0.3])


@pytest.mark.parametrize(
    ("name", "rate", "settings"),
    [("a.mp4", 10, {}), ("a.webm", 10, {"codec": "libvpx"}), ("images", 25, None)],
)
def test_a_reader_is_reusable_and_knows_length_times_and_size(
    make_clip: Make, tmp_path: Path, name: str, rate: int, settings: dict[str, str] | None
) -> None:
    if settings is None:
        path = make_images(tmp_path / name, (f"{number}.png" for number in range(20)))
    else:
        path = make_clip(name, **settings)
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
            with pytest.raises(
                IndexError, match=f"{name}: {wrong} asked for, expected 0 to 19"
            ):
                reader.get(indices)
    with pytest.raises(ValueError, match="no frame indices, expected at least one"):
        video.get([])
    part = VideoReader(f"{path}#t={5 / rate},{10 / rate}")
    assert painted_numbers(pixels for _, _, pixels in part) == list(range(5, 10))
    assert part.get([0, 4]).times == pytest.approx([0, 4 / rate])


PART_CASES = {
    "B-frames": ("a.mp4", {"options": {"g": "30", "bf": "3"}}),
    "open groups": (
        "a.mp4",
        {"options": {"bf": "3", "x264-params": "open-gop=1:keyint=24:scenecut=0"}},
    ),
    "avi": ("a.avi", {}),
    "avi with B-frames": ("a.avi", {"options": {"bf": "2"}}),
    "transport stream": ("a.ts", {"codec": "libx264"}),
    "gif": ("a.gif", {}),
}


@pytest.mark.parametrize("case", PART_CASES)
def test_equal_to_the_frames_between_two_times(case: str, make_clip: Make) -> None:
    name, settings = PART_CASES[case]
    clip = make_clip(name, **{"frames": 120, **settings})
    reference, _ = all_frames(clip)
    reader = VideoReader(f"{clip}#t=3.45,7.2")  # 7.2 is the time of frame 72, which is excluded
    assert painted_numbers(reader.get(np.arange).pixels) == list(range(35, 72))
    assert len(reader) == 37
    frames = reader.get([36, 0, 5])
    assert frames.indices.tolist() == [36, 0, 5]
    assert frames.times == pytest.approx([3.65, 0.05, 0.55])  # since 3.45
    np.testing.assert_array_equal(frames.pixels, [reference[35 + i] for i in frames.indices])
    numbers, seconds, pixels = zip(*reader, strict=True)
    assert numbers == tuple(range(37))
    assert seconds == pytest.approx([i / 10 + 0.05 for i in range(37)])
    np.testing.assert_array_equal(pixels, reference[35:72])
    with pytest.raises(IndexError, match=r"#t=3.45,7.2: frame -1 asked for, expected 0 to 36"):
        reader.get([-1])


def test_equal_to_a_clip_that_was_cut(make_clip: Make, tmp_path: Path) -> None:
    whole = make_clip(
        "whole.mp4", frames=90, options={"g": "30", "keyint_min": "30", "bf": "3"}
    )
    cut = remux(whole, tmp_path / "cut.mp4", slice(30, 60))
    part = f"{whole}#t=3,6"
    mine = read(f"{whole}#t=0:03,0:06", 7)
    theirs = read(cut, 7)
    np.testing.assert_array_equal(mine.pixels, theirs.pixels)
    np.testing.assert_array_equal(mine.indices, theirs.indices)
    assert mine.times == pytest.approx(theirs.times)
    flows = [read_flow(VideoReader(path), np.arange).pixels for path in (part, cut)]
    np.testing.assert_array_equal(*flows)
    assert is_video(part)
    assert fingerprint(Path(part)) != fingerprint(whole)


def test_a_late_part_costs_as_much_as_an_early_one(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, count_items: Count
) -> None:
    clip = make_clip("a.mp4", frames=900, options={"g": "30", "bf": "2"})
    index = Mock(wraps=video_file.index_packets)
    monkeypatch.setattr(video_file, "free_cores", lambda: 1)
    monkeypatch.setattr(video_file, "decode_file", None)
    monkeypatch.setattr(video_file, "index_packets", index)
    decoded = count_items(video_file, "decode_runs")
    for start in (0, 40, 85):
        decoded.clear()
        reader = VideoReader(f"{clip}#t={start},{start + 5}")
        assert len(reader.get(np.arange)) == len(list(reader)) == 50
        assert len(decoded) <= 2 * (50 + 30)
    assert index.call_count == 1, "all parts of a file share its index"


@pytest.mark.parametrize("name", ["a.h264", "a.ts"])
def test_the_parts_of_a_file_without_an_index_are_decoded_in_one_pass(
    name: str, make_clip: Make, tmp_path: Path, count_items: Count
) -> None:
    clip = make_clip(name, codec="libx264", frames=200)
    decoded = count_items(video_file, "decode_file")
    seconds = VideoReader(clip).seconds / 20
    parts = [
        Clip(Path(f"{clip}#t={i * seconds:.3f},{(i + 1) * seconds:.3f}"), "run")
        for i in range(20)
    ]
    decoded.clear()
    data = DataConfig(size=64, frames=3)
    samples, errors = read_clips(parts, ["run"], data, cache=tmp_path / "cache")
    assert not errors
    # for the times, for the frames, and for parts that threads ask for out of order
    assert len(decoded) <= 3 * 200
    assert len(samples) == 20
    backward = [VideoReader(part.path).get(np.arange).pixels for part in reversed(parts)]
    forward = [[pixels for _, _, pixels in VideoReader(part.path)] for part in parts]
    for frames in (backward[::-1], forward):
        assert painted_numbers(chain(*frames)) == list(range(200))


def test_an_index_that_is_contradicted_midway(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = video_file.decode_frames

    def fail(*arguments: Any, **places: Any) -> object:
        for number, each in enumerate(decode(*arguments, **places)):
            if number == 4:
                raise video_file.IndexContradictedError
            yield each

    monkeypatch.setattr(video_file, "decode_frames", fail)
    part = VideoReader(f"{make_clip('a.mp4', frames=60)}#t=2,3")
    assert painted_numbers(pixels for _, _, pixels in part) == list(range(20, 30))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("7,9", r"a.mp4#t=7,9: outside the recording, which is 6.00 s long; correct the times"),
        ("5,6.6", "outside the recording"),
        (
            "3,2",
            r"a.mp4#t=3,2: no frame between these times; give a start, and an end after it",
        ),
        ("3.01,3.09", "no frame between these times"),
    ],
)
def test_times_that_cannot_be_read(times: str, message: str, make_clip: Make) -> None:
    with pytest.raises(ClipError, match=message):
        read(f"{make_clip('a.mp4', frames=60)}#t={times}")


def test_times_that_can_be_read(make_clip: Make, tmp_path: Path) -> None:
    clip = make_clip("a.mp4", frames=60)
    sizes = {"5,6.4": 10, "5": 10, ",1": 10, "npt:0:05,00:00:06": 10, "0,6": 60}  # 6.4: rounded
    assert {times: len(VideoReader(f"{clip}#t={times}")) for times in sizes} == sizes
    make_clip("c.mp4", frames=7).rename(tmp_path / "b.mp4#t=1,2")  # a file of that very name
    assert len(VideoReader(tmp_path / "b.mp4#t=1,2")) == 7


def test_a_recording_that_was_truncated(make_clip: Make) -> None:
    clip = make_clip("a.avi", frames=200)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert painted_numbers(read(f"{clip}#t=2,4", 20).pixels) == list(range(20, 40))
    with pytest.raises(
        ClipError, match=r"a.avi#t=18,19: outside the recording, which is \d\.\d+ s long"
    ):
        read(f"{clip}#t=18,19")

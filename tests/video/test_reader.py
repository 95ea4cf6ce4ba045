"""Reading: degenerate videos, upright frames, display times, and the errors for files that are not
videos.
"""

import gc
import os
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Make, damage, make_clip, make_images, paint, painted_numbers

from onlooker.base.records import ClipError
from onlooker.video.container import _DEMUXERS
from onlooker.video.decode import Converter
from onlooker.video.reader import SUFFIXES, VideoReader, is_video, read
from onlooker.video.resize import Pixels, resize, shrink
from onlooker.video.sampling import equally_spaced
from onlooker.video.transcode import transcode


@pytest.mark.parametrize(
    ("name", "size"), [("a.webm", (65, 49)), ("a.gif", (33, 21)), ("a.avi", (31, 47))]
)
def test_odd_size(make_clip: Make, name: str, size: tuple[int, int]) -> None:
    frames = read(make_clip(name, frames=9, size=size), 3)
    assert frames.pixels.shape == (3, size[1], size[0], 3)
    assert painted_numbers(frames.pixels) == [1, 4, 7]


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda pixels: pixels),
        ((-1, 0, 0, 1), lambda pixels: pixels[:, :, ::-1]),
        ((1, 0, 0, -1), lambda pixels: pixels[:, ::-1]),
        ((-1, 0, 0, -1), lambda pixels: pixels[:, ::-1, ::-1]),
        ((0, 1, 1, 0), lambda pixels: pixels.swapaxes(1, 2)),
        ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1, (1, 2))),
        ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1, (1, 2))),
        ((0, -1, -1, 0), lambda pixels: pixels.swapaxes(1, 2)[:, ::-1, ::-1]),
    ],
)
def test_all_eight_orientations_of_a_display_matrix(
    make_clip: Make, matrix: tuple[int, ...], shown: Callable[[Pixels], Pixels]
) -> None:
    clip = make_clip(frames=3)
    upright = shown(read(clip, 3).pixels)
    data = bytearray(clip.read_bytes())
    start = data.find(b"tkhd") + 44  # a point x y is shown at ax + cy, bx + dy
    a, b, c, d = (65536 * value for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    clip.write_bytes(data)
    np.testing.assert_array_equal(read(clip, 3).pixels, upright)
    np.testing.assert_array_equal([pixels for _, _, pixels in VideoReader(clip)], upright)
    (*_, facts) = transcode(clip)
    assert (facts.height, facts.width) == upright.shape[1:3]
    assert facts.playable == (a * d > b * c)  # a rotation: not every browser mirrors


@pytest.mark.parametrize(
    ("sizes", "default", "chosen"),
    [
        ([(64, 48), (160, 120)], [True, True], 1),
        ([(160, 120), (64, 48)], [True, True], 0),
        ([(64, 48), (160, 120)], [True, False], 0),
        ([(160, 120), (64, 48)], [False, True], 1),
    ],
)
def test_the_main_one_of_two_video_streams(
    tmp_path: Path, sizes: list[tuple[int, int]], default: list[bool], chosen: int
) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=10) for _ in sizes]
        for stream, size, is_default in zip(streams, sizes, default, strict=True):
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.disposition = av.stream.Disposition(is_default)  # 1: the default
        for number, (stream, size) in enumerate(zip(streams, sizes, strict=True)):
            frame = av.VideoFrame.from_ndarray(paint(number + 1, size), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    width, height = sizes[chosen]
    pixels = read(path, 1).pixels
    assert pixels.shape == (1, height, width, 3)
    assert painted_numbers(pixels) == [chosen + 1]


def test_samples_are_equally_spaced_in_time_and_a_frame_lasts_until_the_next_one(
    make_clip: Make,
) -> None:
    """As many frames of a file that leaves out unchanged ones as of its twin that repeats them."""
    changes = [0, 3, 4, 5, 6, 30, 31, 32, 59]  # of 60 frames at 20 per second
    clip = make_clip(pts=[50 * place for place in changes], frames=len(changes))
    shown = np.searchsorted(changes, np.arange(60), side="right") - 1
    reader = VideoReader(clip)
    assert reader.seconds == pytest.approx(3, abs=0.02)
    for count in (1, 4, 16, 60):
        frames = reader.get(partial(equally_spaced, count=count))
        expected = equally_spaced(60, count)
        assert frames.indices.tolist() == shown[expected].tolist()
        assert frames.times == pytest.approx(expected / 20, abs=0.02)
        assert painted_numbers(frames.pixels) == frames.indices.tolist()
    assert [index for index, _, _ in reader] == list(range(len(changes)))
    part = VideoReader(f"{clip}#t=1,1.6")  # which begins while the frame of .3 s is shown
    assert part.times == pytest.approx([0, 0.5, 0.55], abs=0.02)
    assert part.get(partial(equally_spaced, count=4)).indices.tolist() == [0, 0, 0, 1]


LATE = [2000 + 100 * i for i in range(30)]


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_times_are_those_of_players_where_sound_begins_before_the_picture(
    make_clip: Make, name: str
) -> None:
    clip = make_clip(name, frames=30, pts=LATE, audio=1, codec="libx264")
    times = 2 + np.arange(30) / 10
    # AAC begins with a block of silence
    assert VideoReader(clip).times == pytest.approx(times, abs=0.03)
    assert [seconds for _, seconds, _ in VideoReader(clip)] == pytest.approx(times, abs=0.03)
    assert VideoReader(clip).seconds == pytest.approx(5, abs=0.03)
    part = VideoReader(f"{clip}#t=3.95,4.45")
    assert part.times == pytest.approx(0.05 + np.arange(5) / 10, abs=0.03)
    assert [seconds for _, seconds, _ in part] == pytest.approx(part.times)
    assert painted_numbers(part.get(np.arange).pixels) == list(range(20, 25))


@pytest.mark.parametrize("audio", [True, False])
def test_the_copy_of_a_late_video_has_its_times_in_every_player(
    make_clip: Make, tmp_path: Path, audio: bool
) -> None:
    clip = make_clip(frames=30, pts=LATE, audio=audio)
    copy = tmp_path / "copy.mp4"
    (facts,) = transcode(clip, copy)
    assert facts.playable == audio  # some players begin at 0, others at the first time stamp
    assert facts.seconds == pytest.approx(5 if audio else 3, abs=0.05)
    expected = VideoReader(clip).times
    assert expected[0] == pytest.approx(2 if audio else 0, abs=0.03)  # from the first of all
    times = VideoReader(copy).times
    assert times[0] == 0
    assert times[-30:] == pytest.approx(expected, abs=1e-3)


def test_frames_that_change_size_are_scaled_to_the_first(
    make_clip: Make, tmp_path: Path
) -> None:
    # Program streams can be put one after the other.
    parts = [
        make_clip("part.mpg", frames=10, size=size, codec="mpeg2video", fps=25).read_bytes()
        for size in ((64, 48), (128, 96))
    ]
    both = tmp_path / "both.mpg"
    both.write_bytes(b"".join(parts))
    # The decoder loses the frame that it holds when the size changes.
    numbers = [*range(9), *range(10)]
    streamed = [pixels for _, _, pixels in VideoReader(both)]
    assert {pixels.shape for pixels in streamed} == {(48, 64, 3)}
    assert painted_numbers(streamed) == painted_numbers(read(both, 19).pixels) == numbers


def test_all_that_can_be_read_is_found_by_its_suffix(make_clip: Make, tmp_path: Path) -> None:
    no_video = {"m4a", "m4b", "isma", "ism", "heif", "heic", "avif", "mka", "mks", "ogg", "mpo"}
    for name in _DEMUXERS.split(","):
        with suppress(ValueError):  # another name of a format
            suffixes = av.ContainerFormat(name, "r").extensions - no_video
            assert {f".{suffix}" for suffix in suffixes} <= SUFFIXES, name
    for suffix, codec in {
        "MTS": "mpeg2video",
        "mjpeg": "mjpeg",
        "3gp": "mpeg4",
        "ogv": "libvpx",
        "wmv": "wmv2",
    }.items():
        path = make_clip(f"clip.{suffix}", frames=5, size=(176, 144), codec=codec)
        assert is_video(path)
        assert len(VideoReader(path)) == 5, suffix
    (tmp_path / "notes.txt").write_text("no video")
    for path in (tmp_path, tmp_path / "missing.mp4", tmp_path / "notes.txt"):
        assert not is_video(path)


def test_broken_packets_are_skipped(make_clip: Make) -> None:
    clip = make_clip(frames=200, size=(160, 128), options={"g": "20"})
    data = bytearray(clip.read_bytes())
    start = data.find(b"mdat")
    data[start + 3000 : start + 3400] = b"\xff" * 400
    clip.write_bytes(data)
    frames = list(VideoReader(clip))
    assert 100 < len(frames) <= 200
    assert [index for index, _, _ in frames] == list(range(len(frames)))
    assert painted_numbers(pixels for _, _, pixels in frames[-50:]) == list(range(150, 200))
    assert len(read(clip, 30)) == 30


def test_more_memory_than_allowed_is_an_error(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.video.decode.MAX_BYTES", 100_000)
    with pytest.raises(
        ClipError,
        match=r"clip.mp4: 30 frames of 64x48 pixels are 0.0 GB; at most 0.0 GB are read",
    ):
        read(make_clip(), 30)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.ts", "images"])
def test_frames_are_resized_as_they_are_decoded(
    make_clip: Make, tmp_path: Path, name: str
) -> None:
    if name == "images":
        clip = make_images(tmp_path / name, (f"{number}.png" for number in range(6)))
    else:
        clip = make_clip(name, frames=6, codec="libx264" if name == "clip.ts" else None)
    chosen = np.array([4, 1, 1, 5])
    plain = VideoReader(clip).get(chosen)
    square = VideoReader(clip).get(chosen, size=16)
    smaller = VideoReader(clip).get(chosen, shorter_side=20)
    np.testing.assert_array_equal(square.pixels, resize(plain.pixels, 16, 3))
    np.testing.assert_array_equal(smaller.pixels, [shrink(frame, 20) for frame in plain.pixels])
    for resized in (square, smaller):
        np.testing.assert_array_equal(resized.indices, chosen)
        np.testing.assert_array_equal(resized.times, plain.times)


def error_of(path: Path) -> str:
    """The error of `read`, `get` and iteration for a file that cannot be read."""
    messages = set()
    for reader in (
        read,
        lambda path: VideoReader(path).get(np.arange),
        lambda path: list(VideoReader(path)),
    ):
        with pytest.raises(ClipError) as caught:
            reader(path)
        assert caught.value.path == path
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        messages.add(str(caught.value))
    (message,) = messages
    return message


def holds(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def is_damaged(kind: str) -> Callable[[Path], object]:
    return lambda path: damage(make_clip(path), kind, 0)


def is_encrypted(path: Path) -> None:
    key = "76a6c65c5ea762046bd749a2e632ccbb"
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": key,
        "encryption_kid": key,
    }
    make_clip(path, container_options=options)


def is_a_playlist(path: Path) -> None:
    target = make_clip(path.with_name("target.mp4"))
    path.write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{target}\n")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file; check the path"),
        (Path.mkdir, "a folder without numbered images; give a video file"),
        (os.mkfifo, "not a regular file"),
        (is_a_playlist, "not a video file"),
        (is_damaged("zero bytes"), "zero bytes; copy or record it again"),
        (is_damaged("text"), "not a video file, or a damaged one (invalid data found"),
        (
            is_damaged("audio only"),
            "no video stream, only audio; give a file with a video stream",
        ),
        (is_damaged("missing moov"), "download or copy it again: its end may be missing"),
        (
            is_encrypted,
            "an encrypted video (DRM); only programs that have its key can play it",
        ),
        (
            holds(b"version https://git-lfs.github.com/spec/v1\n"),
            "not a video file but a pointer of Git LFS to the video; run `git lfs pull`",
        ),
        (
            holds(b"/annex/objects/SHA256E-s1--0.mp4\n"),
            "not a video file but a pointer of git-annex to the video; run `git annex get`",
        ),
        (
            holds(b"\n<!DOCTYPE html><title>Log in"),
            "but a web page or a message; download or copy it again, maybe logged in",
        ),
        (
            holds(b'<?xml version="1.0"?><Error>AccessDenied'),
            "but a web page or a message; download",
        ),
        (holds(b"Salted__01234567"), "but an encrypted file; decrypt it"),
        (holds(b"PK\x03\x04"), "but an archive; unpack it"),
        (
            holds(b"\xff\xd8\xff\xe0\0\x10JFIF"),
            "but an image; for an image sequence, give the folder of the images",
        ),
        (
            holds(bytes(1000)),
            "zeros, of a download or copy that has not ended; download or copy it again",
        ),
    ],
    ids=[
        "nothing",
        "a folder",
        "a pipe",
        "a playlist",
        "zero bytes",
        "text",
        "sound alone",
        "no end",
        "encrypted",
        "Git LFS",
        "git-annex",
        "a login page",
        "an answer of a bucket",
        "a salted file",
        "an archive",
        "an image",
        "zeros",
    ],
)
def test_what_is_no_video_is_told_what_to_do(
    tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "clip.mp4"
    write(path)
    found = error_of(path)
    assert found.startswith(f"{path}: ")
    assert message in found


def test_a_converted_frame_is_freed_without_the_garbage_collector(make_clip: Make) -> None:
    path = make_clip("clip.mp4")
    gc.collect()
    gc.disable()
    try:
        before = decoded_frames()
        with av.open(str(path)) as container:
            Converter("clip")(next(container.decode(video=0)))
        assert decoded_frames() == before
    finally:
        gc.enable()


def decoded_frames() -> int:
    return sum(type(each) is av.VideoFrame for each in gc.get_objects())

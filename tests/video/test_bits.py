"""Pixels of 16 bits are read by the bits that their clip uses."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from commands import call
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.base.progress import showing
from onlooker.video import video_file
from onlooker.video.decode import Converter
from onlooker.video.reader import VideoReader

BITS = (8, 10, 12, 14, 16)
FRAMES = 20
RATE = 10
FORMATS = {"gray16le": 1, "rgb48le": 3}


def filmed(bits: int, channels: int, seed: int, bright: int) -> NDArray[np.uint16]:
    """`T 8 16 C`: a dark scene, as a camera of some bits sees it, into which light falls in some
    frames from `bright` on.
    """
    random = np.random.default_rng(seed)
    dark = random.integers(0, 200, (FRAMES, 8, 16, channels))
    dark[bright : bright + 3, 2:4] = random.integers(
        1 << (bits - 1), 1 << bits, (1, 16, channels)
    )
    dark[bright, 2, 0] = (1 << bits) - 1
    return dark.astype(np.uint16)


def write_images(folder: Path, values: NDArray[np.uint16], suffix: str) -> Path:
    folder.mkdir()
    (folder / "frame_rate.txt").write_text(str(RATE))
    for number, image in enumerate(values):
        cv2.imwrite(str(folder / f"{number}.{suffix}"), image[..., ::-1])
    return folder


def write_video(path: Path, values: NDArray[np.uint16], pix_fmt: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(RATE), options={"g": "4"})
        stream.height, stream.width = values.shape[1:3]
        stream.pix_fmt = pix_fmt
        for image in values:
            squeezed = image if FORMATS[pix_fmt] == 3 else image[..., 0]
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(squeezed), format=pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(BITS),
    st.sampled_from(["png", "tif", "gray16le.mkv", "rgb48le.mkv"]),
    st.sampled_from([1, 3]),
    st.integers(0, 1000),
    # three bright frames: at least one is among those that decide
    st.integers(0, FRAMES - 3),
    st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=4),
)
def test_all_frames_of_a_clip_are_scaled_by_the_bits_that_it_uses(
    bits: int, kind: str, channels: int, seed: int, bright: int, chosen: list[int]
) -> None:
    pix_fmt, _, container = kind.partition(".")
    channels = FORMATS.get(pix_fmt, channels)
    values = filmed(bits, channels, seed, bright)
    expected = np.rint(values / ((1 << bits) - 1) * 255).repeat(3 // channels, -1)
    with TemporaryDirectory() as name:
        clip = Path(name, "clip")
        clip = (
            write_video(clip.with_suffix(".mkv"), values, pix_fmt)
            if container
            else write_images(clip, values, kind)
        )
        few = VideoReader(clip).get(chosen).pixels
        part = VideoReader(f"{clip}#t=0.5,1.5").get([0, 9, 3]).pixels
        each = [pixels for _, _, pixels in VideoReader(clip)]
    assert np.array_equal(few, expected[chosen])
    assert np.array_equal(part, expected[[5, 14, 8]])
    assert np.array_equal(each, expected)


def test_live_frames_are_scaled_by_the_bits_of_those_so_far() -> None:
    convert = Converter("http://camera")
    values = [np.full((2, 2), value, np.uint16) for value in (1023, 4095, 1023, 65535, 1023)]
    frames = [VideoFrame.from_ndarray(value, format="gray16le") for value in values]
    assert [convert(frame).max() for frame in frames] == [255, 255, 64, 255, 4]


def tiff(values: NDArray[np.uint16], orientation: int) -> bytes:
    """An image `H W 3` in TIFF, uncompressed."""
    height, width, channels = values.shape
    tags = {
        256: width,
        257: height,
        262: 2,
        273: 8,
        274: orientation,
        277: channels,
        278: height,
    }
    tags |= {258: 8 + values.nbytes, 259: 1, 279: values.nbytes}
    counts = {258: channels}
    entries = [struct.pack("<HHII", t, 3, counts.get(t, 1), tags[t]) for t in sorted(tags)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    head = struct.pack("<2sHI", b"II", 42, 8 + values.nbytes + 6)
    return head + values.tobytes() + struct.pack("<3H", 16, 16, 16) + directory


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_color_of_16_bits_becomes_upright(tmp_path: Path, orientation: int, turns: int) -> None:
    upright = filmed(12, 3, 0, 0)[0]
    (tmp_path / "1.tif").write_bytes(tiff(np.rot90(upright, turns), orientation))
    (shown,) = VideoReader(tmp_path).get([0]).pixels
    assert np.array_equal(shown, np.rint(upright / 4095 * 255))


def test_gray_of_16_bits_with_transparency(tmp_path: Path) -> None:
    gray = filmed(12, 1, 0, 0)[0]
    rows = np.concatenate([gray, np.full_like(gray, 65535)], -1).astype(">u2").tobytes()
    lines = b"".join(b"\0" + rows[start : start + 64] for start in range(0, len(rows), 64))
    header = struct.pack(">IIBBBBB", 16, 8, 16, 4, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(lines), b"IEND": b""}
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    ]
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    (shown,) = VideoReader(tmp_path).get([0]).pixels
    assert np.array_equal(shown, np.rint(gray / 4095 * 255).repeat(3, -1))


def test_threads_of_one_clip_say_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_file, "free_cores", lambda: 4)
    clip = write_video(tmp_path / "a.mkv", filmed(12, 1, 0, 0), "gray16le")
    with showing():
        for _ in range(2):
            VideoReader(clip).get(range(FRAMES))
    assert capsys.readouterr().err.count("uses 12 are read") == 1


def test_pictures_of_12_bits_are_not_dark_which_is_said_once(tmp_path: Path) -> None:
    for seed, name in enumerate(("a/1", "a/2", "b/1", "b/2")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_images(tmp_path / name, 8 * filmed(12, 1, seed, 0) & 4095, "png")
    done = call("check", tmp_path)
    assert "dark" not in done.output
    said = "pixels of 16 bits whose clip uses 12 are read as 12 bits: 4095 is white"
    assert done.stderr.count(said) == 1

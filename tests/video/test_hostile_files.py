"""Unusual and hostile files: valid ones are read, all others are errors of that file only."""

import os
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path
from threading import Condition
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from attacks.case import Material
from attacks.hostile import TABLES, build, fragments, one_byte_packets, parse, with_table
from attacks.images import COUNT, page_at_zeros, sequence
from attacks.videos import tagged
from clips import Make, painted_numbers
from fuzz.mutations import limits

from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError
from onlooker.stream import sources as stream
from onlooker.video import decode
from onlooker.video.clock import AHEAD
from onlooker.video.reader import VideoReader, read


@pytest.mark.parametrize("matrix", range(3, 19))
def test_clips_of_every_color_matrix_are_read(tmp_path: Path, matrix: int) -> None:
    path = tagged(tmp_path / "tagged.mkv", matrix, frames=6)
    assert painted_numbers(read(path, 6).pixels) == list(range(6))
    assert painted_numbers(frame for _, _, frame in VideoReader(path)) == list(range(6))


@pytest.mark.parametrize(
    "error", [ValueError("no such plane"), RuntimeError("bad state"), MemoryError()]
)
def test_any_error_of_a_source_names_it(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(stream.VideoReader, "__iter__", Mock(side_effect=error))
    condition = Condition()
    source = stream.Source(make_clip("a.mp4"), StreamConfig(), condition)
    source.start()
    with condition:
        condition.wait_for(lambda: source.ready, timeout=180)
    with pytest.raises(
        ClipError, match=rf"a\.mp4: {str(error) or 'MemoryError'}; check what it sends"
    ):
        source.poll()
    assert source.finished


def test_a_disk_that_fails_is_an_error_of_the_file(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip("a.mp4")
    monkeypatch.setattr(
        decode, "read_packets", Mock(side_effect=OSError(5, "Input/output error"))
    )
    with pytest.raises(
        ClipError, match=r"a\.mp4: cannot be decoded \(input/output error\); encode it again"
    ):
        list(VideoReader(path))


@pytest.mark.parametrize(
    ("suffix", "write", "found"),
    [
        (".tif", page_at_zeros, "0003.tif: several images in one file"),
        (".png", os.mkfifo, "0003.png is not a regular file"),
        (".png", lambda path: path.symlink_to("/dev/zero"), "0003.png is not a regular file"),
        (".png", lambda path: path.symlink_to("/proc/kmsg"), "0003.png is not a regular file"),
        (".png", lambda path: path.symlink_to(path.name), "0003.png is not a regular file"),
        (".png", Path.mkdir, "0003.png is not a regular file"),
    ],
)
def test_a_file_that_is_not_an_image_is_an_immediate_error(
    tmp_path: Path, suffix: str, write: Callable[[Path], object], found: str
) -> None:
    folder = sequence(tmp_path / "images", suffix)
    (folder / f"0003{suffix}").unlink()
    write(folder / f"0003{suffix}")
    with pytest.raises(ClipError) as error:
        read(folder, COUNT)
    assert error.value.found == found
    assert error.value.path == folder


CLAIMS = {
    "40 million samples": with_table(TABLES["40 million samples"]),
    "40 million empty samples": with_table(TABLES["40 million empty samples"]),
    "2 billion samples": with_table(TABLES["2 billion samples"]),
    "a fragment of 40 million samples": fragments(40_000_000, 0),
    "a fragment of 2 billion samples": fragments(2**31 - 1, 0),
    "a fragment of 4 billion sized samples": fragments(2**32 - 1, None),
    "300,000 packets of one byte": one_byte_packets(300_000),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_files_that_claim_millions_of_samples_take_little_memory(
    make_clip: Make, tmp_path: Path, name: str
) -> None:
    make_clip("whole/clip.mp4", frames=24, options={"g": "8"})
    path = CLAIMS[name](Material(tmp_path), tmp_path, random.Random(0)).path
    message = (
        rf"[\d,]+ samples claimed in {path.stat().st_size:,} bytes; at most one per byte and "
        "10,000,000 in all are read; cut it into parts, or remove it if its tables are damaged"
    )
    if "one byte" in name:
        message = (
            r"no frame could be decoded; encode it again \(ffmpeg -i IN OUT.mp4\), or remove it"
        )
    with limits(60, 1), pytest.raises(ClipError, match=f"^{re.escape(str(path))}: {message}$"):
        read(path, 4)


def sound_of(samples: int) -> list[tuple[bytes, bytes]]:
    """The boxes of a track of uncompressed sound, as QuickTime writes them."""
    return [
        (b"hdlr", bytes(4) + b"mhlrsoun"),
        (b"hdlr", bytes(4) + b"dhlrurl "),
        (b"stts", struct.pack(">IIII", 0, 1, samples, 1)),
        (b"stsz", struct.pack(">III", 0, 1, samples)),
    ]


def test_the_limit_of_samples_is_not_for_uncompressed_sound(make_clip: Make) -> None:
    path = make_clip("a.mov")
    boxes = parse(path.read_bytes())
    claim = (b"stsz", struct.pack(">III", 0, 1, 10**9))
    path.write_bytes(build([*boxes, (b"trak", build(sound_of(10**9)))]))
    assert len(read(path, 20)) == 20
    # of the track before, it says nothing about the next one
    path.write_bytes(build([*boxes, (b"trak", build(sound_of(9))), (b"trak", build([claim]))]))
    with pytest.raises(ClipError, match="1,000,000,000 samples claimed"):
        read(path, 20)


def test_decoding_of_a_file_of_broken_packets_ends(
    make_clip: Make,
    monkeypatch: pytest.MonkeyPatch,
    count_items: Callable[[ModuleType, str], list[Any]],
) -> None:
    path = make_clip("a.mp4", frames=60, options={"g": "5", "bf": "0"})
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat") + 4
    stop = data.find(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    monkeypatch.setattr(decode, "MAX_BROKEN", 3)
    packets = count_items(decode, "read_packets")
    with pytest.raises(ClipError, match="no frame could be decoded"):
        list(VideoReader(path))
    assert len(packets) == 3 + AHEAD

"""Small video files with absurd claims: boxes of an mp4 are rewritten, and the sizes of their
parents are corrected.
"""

import os
import random
import re
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import clips

from attacks import probes
from attacks.case import Kind, Make, Material, Target

GROUP = "hostile videos"
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"udta", b"edts")
MILLION = 1_000_000

Boxes = list[tuple[bytes, "bytes | Boxes"]]


def parse(data: bytes) -> Boxes:
    """The boxes of an mp4, those of `_PARENTS` as lists."""
    boxes: Boxes = []
    while len(data) >= 8:
        size, name = struct.unpack(">I4s", data[:8])
        inside = data[8:size]
        boxes.append((name, parse(inside) if name in _PARENTS else inside))
        data = data[size:]
    return boxes


def build(boxes: Boxes) -> bytes:
    whole = b""
    for name, inside in boxes:
        content = build(inside) if isinstance(inside, list) else inside
        whole += struct.pack(">I4s", len(content) + 8, name) + content
    return whole


def replaced(boxes: Boxes, changes: dict[bytes, Callable[[bytes], bytes]]) -> Boxes:
    """The boxes with the contents of some of them changed."""
    return [
        (
            name,
            replaced(inside, changes)
            if isinstance(inside, list)
            else changes.get(name, bytes)(inside),
        )
        for name, inside in boxes
    ]


def _table(*numbers: int) -> Callable[[bytes], bytes]:
    return lambda _: struct.pack(f">{len(numbers)}I", *numbers)


def _claims(samples: int, size: int = 1) -> dict[bytes, Callable[[bytes], bytes]]:
    """One chunk that claims `samples` samples of one size."""
    return {
        b"stsz": _table(0, size, samples),
        b"stts": _table(0, 1, samples, 1),
        b"stsc": _table(0, 1, 1, samples, 1),
        b"stco": lambda old: struct.pack(">II", 0, 1) + old[8:12],
        b"ctts": _table(0, 0),
        b"stss": _table(0, 1, 1),
    }


TABLES: dict[str, dict[bytes, Callable[[bytes], bytes]]] = {
    "40 million samples": _claims(40 * MILLION),
    "40 million empty samples": _claims(40 * MILLION, 0)
    | {b"stsz": _table(0, 0, 40 * MILLION)},
    "2 billion samples": _claims(2**31 - 1),
    "a time table of 2 billion": {b"stts": _table(0, 2**31 - 1, 1, 1)},
    "40 million offsets of times": {b"ctts": _table(0, 1, 40 * MILLION, 0)},
    "times before the big bang": {b"ctts": _table(0x1000000, 1, 24, 2**32 - 2**30)},
    "chunks of the future": {b"stco": _table(0, 3, 2**32 - 1, 2**31, 2**30)},
    "a chunk count of 2 billion": {
        b"stco": lambda old: struct.pack(">II", 0, 2**31 - 1) + old[8:]
    },
    "an edit list of 2 billion": {
        b"elst": lambda old: struct.pack(">II", 0, 2**31 - 1) + old[8:]
    },
    "a time scale of zero": {b"mdhd": lambda old: old[:12] + bytes(4) + old[16:]},
    "a duration without end": {b"mdhd": lambda old: old[:16] + b"\xff" * 4 + old[20:]},
    "frames of 30000x30000": {
        b"stsd": lambda old: old[:40] + struct.pack(">HH", 30000, 30000) + old[44:]
    },
}


def of_bytes(
    content: Callable[[Material, random.Random], bytes],
    suffix: str = ".mp4",
    refuse: bool = False,
) -> Make:
    """A file of the bytes that a function makes."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / f"attack{suffix}"
        path.write_bytes(content(material, rng))
        return Target(path, refuse=refuse)

    return make


def with_table(changes: dict[bytes, Callable[[bytes], bytes]]) -> Make:
    return of_bytes(
        lambda material, _: build(replaced(parse(material.whole(".mp4").read_bytes()), changes))
    )


def one_byte_packets(count: int) -> Make:
    """All samples are there, of one byte each. (The tables come after the data, which stay where
    they were.)
    """
    return with_table(
        _claims(count) | {b"mdat": lambda old: (old * (count // len(old) + 1))[:count]}
    )


def fragments(count: int, flags: int | None) -> Make:
    """A fragment (`trun`) that claims `count` samples; with flags of 0 without a size or time of
    each.
    """

    def claim(old: bytes) -> bytes:
        return (
            (old[:4] if flags is None else struct.pack(">I", flags))
            + struct.pack(">I", count)
            + old[8:]
        )

    return of_bytes(lambda *_: build(replaced(parse(_fragmented()), {b"trun": claim})))


def _fragmented() -> bytes:
    """Painted frames in a fragmented mp4."""
    fragmented = {"movflags": "frag_keyframe+empty_moov"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        clips.make_clip(path, 24, options={"g": "8"}, container_options=fragmented)
        return path.read_bytes()


def _flipped_fragments(_: Material, rng: random.Random) -> bytes:
    data = bytearray(_fragmented())
    places = [match.start() for match in re.finditer(rb"trun|tfhd|tfdt|mfhd", data)]
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.choice(places) + rng.randrange(4, 20)] = rng.choice(
            (0, 1, 127, 255, rng.randrange(256))
        )
    return bytes(data)


def _nested(*_: object) -> bytes:
    """Boxes nested 10000 deep."""
    inside = b""
    for _ in range(10_000):
        inside = struct.pack(">I4s", len(inside) + 8, b"moov") + inside
    return struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 512, b"isom") + inside


def _gif_claims(material: Material, _: random.Random) -> bytes:
    """Frames of 8191x8191 of one color: 67 million pixels each in a file of some kilobytes."""
    data = material.whole(".gif").read_bytes()
    return data[:6] + struct.pack("<HH", 8191, 8191) + data[10:]


def _avi_text(material: Material, _: random.Random) -> bytes:
    data = material.whole(".avi").read_bytes()
    at = data.find(b"LIST", 200)
    return data[:at] + b"strn" + struct.pack("<I", 2**31 - 8) + data[at:]


_PLAYLISTS: dict[str, bytes] = {
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "list of files": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "page": b"<html><script>alert(1)</script></html>",
}


def _special(name: str) -> Make:
    """A path that is not a regular file."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / "attack.mp4"
        place(path, name)
        return Target(path, refuse=True)

    return make


SPECIAL = ("pipe", "link to /dev/zero", "link to nothing", "link to itself", "folder")


def place(path: Path, name: str) -> None:
    """Create a special file (pipe, device, link, folder) at a path."""
    path.unlink(missing_ok=True)
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    else:
        targets = {
            "link to /dev/zero": "/dev/zero",
            "link to itself": path.name,
            "link to nothing": "not-there",
        }
        path.symlink_to(targets[name])


def hostile() -> Iterator[Kind]:
    made: Sequence[tuple[str, Make, float]] = [
        *((name, with_table(changes), 0) for name, changes in TABLES.items()),
        ("1.5 million packets of one byte", one_byte_packets(1_500_000), 0),
        ("a fragment of 40 million samples", fragments(40 * MILLION, 0), 0),
        ("a fragment of 2 billion samples", fragments(2**31 - 1, 0), 0),
        ("a fragment of 4 billion sized samples", fragments(2**32 - 1, None), 0),
        ("fragments flipped", of_bytes(_flipped_fragments), 40),
        ("boxes nested 10000 deep", of_bytes(_nested, refuse=True), 0),
        ("gif of 8191x8191", of_bytes(_gif_claims, ".gif"), 0),
        ("avi with a text of 2 GB", of_bytes(_avi_text, ".avi"), 0),
        *(
            (name, of_bytes(lambda *_, text=text: text, refuse=True), 0)
            for name, text in _PLAYLISTS.items()
        ),
        *((name, _special(name), 0) for name in SPECIAL),
    ]
    for name, make, share in made:
        yield Kind(GROUP, f"{name}, read", make, probes.read, share * 0.7)
        quick = name in ("40 million samples", "a fragment of 40 million samples", "playlist")
        yield Kind(GROUP, f"{name}, predicted", make, probes.predict, share * 0.3, quick=quick)

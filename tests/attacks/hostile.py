"""Small video files with absurd claims: boxes of an mp4 are rewritten, and the sizes of their parents are corrected."""

import random
import struct
from collections.abc import Callable, Sequence
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
    result: Boxes = []
    for name, inside in boxes:
        if isinstance(inside, list):
            result.append((name, replaced(inside, changes)))
        else:
            result.append((name, changes[name](inside) if name in changes else inside))
    return result


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
    "40 million empty samples": _claims(40 * MILLION, 0) | {b"stsz": _table(0, 0, 40 * MILLION)},
    "2 billion samples": _claims(2**31 - 1),
    "a time table of 2 billion": {b"stts": _table(0, 2**31 - 1, 1, 1)},
    "40 million offsets of times": {b"ctts": _table(0, 1, 40 * MILLION, 0)},
    "times before the big bang": {b"ctts": _table(0x1000000, 1, 24, 2**32 - 2**30)},
    "chunks of the future": {b"stco": _table(0, 3, 2**32 - 1, 2**31, 2**30)},
    "a chunk count of 2 billion": {b"stco": lambda old: struct.pack(">II", 0, 2**31 - 1) + old[8:]},
    "an edit list of 2 billion": {b"elst": lambda old: struct.pack(">II", 0, 2**31 - 1) + old[8:]},
    "a time scale of zero": {b"mdhd": lambda old: old[:12] + bytes(4) + old[16:]},
    "a duration without end": {b"mdhd": lambda old: old[:16] + b"\xff" * 4 + old[20:]},
    "frames of 30000x30000": {b"stsd": lambda old: old[:40] + struct.pack(">HH", 30000, 30000) + old[44:]},
}


def with_table(changes: dict[bytes, Callable[[bytes], bytes]]) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / "attack.mp4"
        path.write_bytes(build(replaced(parse(material.whole(".mp4").read_bytes()), changes)))
        return Target(path)

    return make


def one_byte_packets(count: int) -> Make:
    """All samples are there, of one byte each."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        boxes = parse(material.whole(".mp4").read_bytes())
        boxes = replaced(boxes, _claims(count) | {b"mdat": lambda old: (old * (count // len(old) + 1))[:count]})
        path = scratch / "attack.mp4"
        # The table comes after the data, which therefore stay where they were.
        path.write_bytes(build(boxes))
        return Target(path)

    return make


def fragments(count: int, flags: int | None) -> Make:
    """A fragment (`trun`) that claims `count` samples; with flags of 0 without a size or time of each."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / "attack.mp4"
        _fragmented(path)

        def claim(old: bytes) -> bytes:
            head = old[:4] if flags is None else struct.pack(">I", flags)
            return head + struct.pack(">I", count) + old[8:]

        path.write_bytes(build(replaced(parse(path.read_bytes()), {b"trun": claim})))
        return Target(path)

    return make


def _fragmented(path: Path) -> None:
    import av
    from av.video.frame import VideoFrame

    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(24):
            container.mux(stream.encode(VideoFrame.from_ndarray(clips.paint(number), format="rgb24")))
        container.mux(stream.encode(None))


def _flipped_fragments(material: Material, scratch: Path, rng: random.Random) -> Target:
    path = scratch / "attack.mp4"
    _fragmented(path)
    data = bytearray(path.read_bytes())
    places = [at for name in (b"trun", b"tfhd", b"tfdt", b"mfhd") for at in _find(data, name)]
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.choice(places) + rng.randrange(4, 20)] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    path.write_bytes(data)
    return Target(path)


def _find(data: bytes | bytearray, name: bytes) -> list[int]:
    places, at = [], data.find(name)
    while at >= 0:
        places.append(at)
        at = data.find(name, at + 1)
    return places


def _nested(depth: int) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / "attack.mp4"
        inside = b""
        for _ in range(depth):
            inside = struct.pack(">I4s", len(inside) + 8, b"moov") + inside
        path.write_bytes(struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 512, b"isom") + inside)
        return Target(path, refuse=True)

    return make


def _bytes(suffix: str, content: Callable[[Material], bytes], refuse: bool = False) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / f"attack{suffix}"
        path.write_bytes(content(material))
        return Target(path, refuse=refuse)

    return make


def _gif_claims(material: Material) -> bytes:
    """Frames of 8191x8191 of one color: 67 million pixels each in a file of some kilobytes."""
    data = bytearray(material.whole(".gif").read_bytes())
    data[6:10] = struct.pack("<HH", 8191, 8191)
    return bytes(data)


def _avi_text(material: Material) -> bytes:
    data = material.whole(".avi").read_bytes()
    at = data.find(b"LIST", 200)
    return data[:at] + b"strn" + struct.pack("<I", 2**31 - 8) + data[at:]


def _playlist(text: str) -> Make:
    return _bytes(".mp4", lambda _: text.encode(), refuse=True)


_PLAYLISTS: dict[str, str] = {
    "playlist": "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "list of files": "ffconcat version 1.0\nfile '/etc/passwd'\n",
    "session description": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "page": "<html><script>alert(1)</script></html>",
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
    import os

    path.unlink(missing_ok=True)
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    else:
        targets = {"link to /dev/zero": "/dev/zero", "link to itself": path.name, "link to nothing": "not-there"}
        path.symlink_to(targets[name])


def hostile() -> list[Kind]:
    made: Sequence[tuple[str, Make, float]] = [
        *((name, with_table(changes), 0) for name, changes in TABLES.items()),
        ("1.5 million packets of one byte", one_byte_packets(1_500_000), 0),
        ("a fragment of 40 million samples", fragments(40 * MILLION, 0), 0),
        ("a fragment of 2 billion samples", fragments(2**31 - 1, 0), 0),
        ("a fragment of 4 billion sized samples", fragments(2**32 - 1, None), 0),
        ("fragments flipped", _flipped_fragments, 40),
        ("boxes nested 10000 deep", _nested(10_000), 0),
        ("gif of 8191x8191", _bytes(".gif", _gif_claims), 0),
        ("avi with a text of 2 GB", _bytes(".avi", _avi_text), 0),
        *((name, _playlist(text), 0) for name, text in _PLAYLISTS.items()),
        *((name, _special(name), 0) for name in SPECIAL),
    ]
    kinds = []
    for name, make, share in made:
        kinds.append(Kind(GROUP, f"{name}, read", make, probes.read, share * 0.7))
        quick = name in ("40 million samples", "a fragment of 40 million samples", "playlist")
        kinds.append(Kind(GROUP, f"{name}, predicted", make, probes.predict, share * 0.3, quick=quick))
    return kinds

"""Image sequences with one damaged, hostile or special file, and unusual but valid sequences."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import clips
import numpy as np
from PIL import Image

from attacks import probes
from attacks.case import Kind, Make, Material, Target
from attacks.hostile import SPECIAL, place
from attacks.videos import DAMAGES, copied

GROUP = "image sequences"
Write = Callable[[Path], object]
COUNT = 6
BAD = "0003"


def sequence(folder: Path, suffix: str = ".png", mode: str = "RGB") -> Path:
    """A folder of numbered frames."""
    folder.mkdir(parents=True)
    for number in range(COUNT):
        _image(number, mode).save(folder / f"{number:04}{suffix}")
    return folder


def _image(number: int, mode: str = "RGB") -> Image.Image:
    image = Image.fromarray(clips.paint(number))
    if mode.startswith("I"):
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


def _with(write: Write, suffix: str = ".png", refuse: bool = True) -> Make:
    """A sequence whose frame `BAD` is written by the given function."""
    return _changed(suffix, lambda file, _: (file.unlink(), write(file)), refuse)


def _damaged(suffix: str, kind: str) -> Make:
    def damage(file: Path, rng: random.Random) -> None:
        data = bytearray(file.read_bytes())
        DAMAGES[kind][0](data, rng)
        file.write_bytes(data)

    return _changed(suffix, damage, False)


def _changed(
    suffix: str, change: Callable[[Path, random.Random], object], refuse: bool
) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        folder = sequence(scratch / "attack", suffix)
        change(folder / f"{BAD}{suffix}", rng)
        return Target(folder, ("attack", BAD), refuse)

    return make


def _tiff(pages: int, end: int) -> bytes:
    """A gray TIFF of pages of one pixel; `end`: where the last page says that another one is."""
    tags = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
    ]
    tags += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]
    size = 2 + 12 * len(tags) + 4
    data = b"II*\x00" + struct.pack("<I", 16) + b"\x80" + bytes(7)
    for number in range(pages):
        data += struct.pack("<H", len(tags))
        data += b"".join(
            struct.pack("<HHI", *tag[:3]) + struct.pack("<I", tag[3]) for tag in tags
        )
        data += struct.pack("<I", end if number == pages - 1 else 16 + size * (number + 1))
    return data


def page_at_zeros(path: Path) -> None:
    image = io.BytesIO()
    _image(3).save(image, "TIFF")
    data = bytearray(image.getvalue())
    at = struct.unpack("<I", data[4:8])[0]
    at += 2 + 12 * struct.unpack("<H", data[at : at + 2])[0]
    data[at : at + 4] = struct.pack("<I", len(data))
    path.write_bytes(bytes(data) + bytes(64))


def _jpeg_with(exif: bytes) -> Write:
    def write(path: Path) -> None:
        plain = io.BytesIO()
        _image(3).save(plain, "JPEG")
        body = b"Exif\x00\x00" + exif
        path.write_bytes(
            plain.getvalue()[:2]
            + b"\xff\xe1"
            + struct.pack(">H", len(body) + 2)
            + body
            + plain.getvalue()[2:]
        )

    return write


def _exif(kind: int, count: int, value: int) -> bytes:
    """Orientation, of some type."""
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHIII", 1, 274, kind, count, value, 0)


def _png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A black gray PNG of one bit per pixel, which is small whatever its size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + extra
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


_EXIF = {
    "random": bytes(random.Random(0).randrange(256) for _ in range(200)),
    "of a wrong type": _exif(2, 4, 0x41414141),
    "a fraction": _exif(5, 1, 8),
    "a double beyond its end": _exif(12, 3, 0xFFFFFF),
    "an endless count": _exif(3, 0xFFFFFFFF, 1),
    "a value of 99": _exif(3, 1, 99),
    "a page at itself": b"II*\x00\x08\x00\x00\x00" + struct.pack("<HI", 0, 8),
    "empty": b"",
    "cut off": b"II*\x00\x08\x00\x00\x00\xff\xff",
    "no values": b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHII", 1, 274, 3, 0, 0),
}


def _copy(mode: str, digits: int = 4) -> Make:
    """A sequence of unusual but valid images."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        folder = sequence(scratch / "attack", ".png", mode)
        for path in list(folder.iterdir()):
            path.rename(folder / f"{path.stem.rjust(digits, '0')}.png")
        return Target(folder, truth=COUNT, more="numbers")

    return make


def _trained(make: Make) -> Make:
    """The same sequence among the clips of a folder."""

    def folder(material: Material, scratch: Path, rng: random.Random) -> Target:
        clips_folder = copied(material, scratch / "clips")
        target = make(material, clips_folder / "left", rng)
        return Target(clips_folder, target.names, target.refuse, target.truth)

    return folder


def images() -> Iterator[Kind]:
    made: list[tuple[str, Make]] = [
        ("TIFF with a page at zeros", _with(page_at_zeros, ".tif")),
        (
            "TIFF whose page follows itself",
            _with(lambda path: path.write_bytes(_tiff(1, 16)), ".tif"),
        ),
        *(
            (f"JPEG with EXIF {n}", _with(_jpeg_with(exif), ".jpg", refuse=False))
            for n, exif in _EXIF.items()
        ),
        *((name, _with(lambda path, name=name: place(path, name))) for name in SPECIAL),
        ("PNG of 16000x4000", _with(lambda path: path.write_bytes(_png(16000, 4000)))),
        ("PNG of 200000x200000", _with(lambda path: path.write_bytes(_png(200_000, 16)[:40]))),
        (
            "PostScript",
            _with(
                lambda path: path.write_bytes(
                    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
                )
            ),
        ),
        ("an animation", _with(lambda path: _image(3).save(path, "GIF"))),
        ("zero bytes", _with(lambda path: path.touch())),
        ("another size", _with(lambda path: _image(3).resize((32, 32)).save(path))),
    ]
    yield from (Kind(GROUP, f"{name}, read", make, probes.read) for name, make in made)
    also = ("TIFF with a page at zeros", "JPEG with EXIF a fraction", "pipe")
    yield from (
        Kind(GROUP, f"{n}, predicted", make, probes.predict, quick=n in also)
        for n, make in made
    )
    slow = ("TIFF with a page at zeros", "JPEG with EXIF random", "pipe", "link to /dev/zero")
    yield from (
        Kind(GROUP, f"{n}, trained", _trained(m), probes.train, slow=True)
        for n, m in made
        if n in slow
    )
    for mode in ("L", "1", "P", "RGBA", "LA", "I;16"):
        yield Kind(GROUP, f"png of mode {mode}, read", _copy(mode), probes.read)
    yield Kind(GROUP, "numbers of 240 digits, read", _copy("RGB", 240), probes.read)
    for suffix in (".png", ".jpg", ".tif", ".bmp"):
        for name, (_, share) in DAMAGES.items():
            make = _damaged(suffix, name)
            yield Kind(
                GROUP,
                f"{suffix[1:]} {name}, read",
                make,
                probes.read,
                share * 0.6,
                quick=suffix == ".tif",
            )
            yield Kind(
                GROUP,
                f"{suffix[1:]} {name}, predicted",
                make,
                probes.predict,
                share * 0.2,
                quick=False,
            )

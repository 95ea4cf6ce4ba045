"""Image sequences with one damaged, hostile or special file, and unusual but valid sequences."""

import io
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
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


def sequence(folder: Path, suffix: str = ".png", mode: str = "RGB", digits: int = 4) -> Path:
    """A folder of numbered frames."""
    folder.mkdir(parents=True)
    for number in range(COUNT):
        _image(number, mode).save(folder / f"{number:0{digits}}{suffix}")
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


def page_at_zeros(path: Path) -> None:
    """A TIFF whose next page is where its file has only zeros."""
    _tiff(path, lambda data: (data + bytes(64), len(data)))


def _page_at_itself(path: Path) -> None:
    _tiff(path, lambda data: (data, struct.unpack("<I", data[4:8])[0]))


def _tiff(path: Path, change: Callable[[bytes], tuple[bytes, int]]) -> None:
    """A TIFF that is changed, and where it then says that its next page is."""
    image = io.BytesIO()
    _image(3).save(image, "TIFF")
    changed, page = change(image.getvalue())
    data = bytearray(changed)
    first = struct.unpack("<I", data[4:8])[0]
    at = first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0]
    data[at : at + 4] = struct.pack("<I", page)
    path.write_bytes(data)


def _write_jpeg(path: Path, exif: bytes) -> None:
    _image(3).save(path, "JPEG", exif=b"Exif\x00\x00" + exif)


def _exif(kind: int, count: int, value: int) -> bytes:
    """Orientation, of some type."""
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHIII", 1, 274, kind, count, value, 0)


def _claim_size(path: Path) -> None:
    """A PNG of 200000 by 200000 pixels, by its header."""
    image = io.BytesIO()
    _image(3).save(image, "PNG")
    path.write_bytes(image.getvalue()[:16] + struct.pack(">II", 200_000, 200_000) + bytes(16))


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
        folder = sequence(scratch / "attack", ".png", mode, digits)
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
            _with(_page_at_itself, ".tif", refuse=False),
        ),
        *(
            (
                f"JPEG with EXIF {n}",
                _with(partial(_write_jpeg, exif=exif), ".jpg", refuse=False),
            )
            for n, exif in _EXIF.items()
        ),
        *((name, _with(lambda path, name=name: place(path, name))) for name in SPECIAL),
        ("PNG of 16000x4000", _with(lambda path: Image.new("1", (16000, 4000)).save(path))),
        ("PNG of 200000x200000", _with(_claim_size)),
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

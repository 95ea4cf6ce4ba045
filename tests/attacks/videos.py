"""Damaged video files (more damages, of all containers: `test_predict`), and unusual but valid ones."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import clips

from attacks import probes
from attacks.case import Kind, Make, Material, Probe, Target
from attacks.material import SUFFIXES

DAMAGED = "damaged videos"
UNUSUAL = "unusual clips"
Damage = Callable[[bytearray, random.Random], None]


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def _flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 3, 10, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_header(data: bytearray, rng: random.Random) -> None:
    """Flip bits in the metadata of a file: at its start, or for an mp4 at its end."""
    start = max(data.rfind(b"moov"), 0)
    for _ in range(rng.choice((1, 2, 5))):
        at = start + rng.randrange(min(len(data) - start, 1500))
        data[at] = rng.choice((0, 255, data[at] ^ 1 << rng.randrange(8)))


def _zero(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    length = min(rng.choice((4, 64, 512, 4096)), len(data) - start)
    data[start : start + length] = bytes(length)


def _remove(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 4, 64, 512))]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.choice((1, 188, 1000))]


def _claim(data: bytearray, rng: random.Random) -> None:
    """Write an absurdly large number into the file."""
    at = (
        rng.randrange(4, min(len(data), 3000))
        if rng.random() < 0.5
        else rng.randrange(len(data) - 4)
    )
    data[at : at + 4] = rng.choice(
        (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x02\x62\x5a\x00")
    )


DAMAGES: dict[str, tuple[Damage, float]] = {
    "truncated": (_truncate, 10),
    "bits flipped": (_flip_bits, 16),
    "header flipped": (_flip_header, 18),
    "range zeroed": (_zero, 8),
    "bytes removed": (_remove, 5),
    "bytes repeated": (_repeat, 3),
    "claims": (_claim, 10),
}


def _damaged(suffix: str, damage: Damage) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / f"attack{suffix}"
        data = bytearray(material.whole(suffix).read_bytes())
        damage(data, rng)
        path.write_bytes(data)
        return Target(path)

    return make


def damaged() -> Iterator[Kind]:
    for suffix in SUFFIXES:
        for name, (damage, share) in DAMAGES.items():
            make = _damaged(suffix, damage)
            share = share * (2 if suffix == ".mp4" else 1)
            title = f"{suffix[1:]} {name}"
            quick = suffix == ".mp4" or name in ("truncated", "header flipped")
            yield Kind(DAMAGED, f"{title}, read", make, probes.read, share * 0.6, quick=quick)
            quick = suffix == ".mp4"
            yield Kind(
                DAMAGED, f"{title}, predicted", make, probes.predict, share * 0.4, quick=quick
            )


def lossless(
    path: Path, size: tuple[int, int], pix_fmt: str = "yuv420p", codec: str = "ffv1"
) -> Path:
    """A clip of 3 frames in a codec without a minimum frame size."""
    return clips.make_clip(path, 3, size, codec=codec, pix_fmt=pix_fmt)


def tagged(path: Path, matrix: int, frames: int = 24) -> Path:
    """An H.264 clip that says it has the color matrix of this number."""
    return clips.make_clip(path, frames, codec="libx264", options={"g": "8"}, matrix=matrix)


_PTS = [0, 1, 2, 100, 101, 500, 3000, 3600000, 3600001]

Write = Callable[[Material, Path], object]
# suffix, frames, whether they carry numbers, how it is written
_VALID: dict[str, tuple[str, int, bool, Write]] = {
    "one frame": (".mp4", 1, True, lambda _, path: clips.make_clip(path, 1)),
    "two frames": (".mkv", 2, True, lambda _, path: clips.make_clip(path, 2)),
    "variable rate": (".mp4", 9, True, lambda _, path: clips.make_clip(path, 9, pts=_PTS)),
    "rotated by 90": (".mp4", 8, False, lambda _, path: clips.make_clip(path, 8, rotation=90)),
    "rotated by 180": (
        ".mp4",
        8,
        False,
        lambda _, path: clips.make_clip(path, 8, rotation=180),
    ),
    "rotated by 45": (".mp4", 8, False, lambda _, path: clips.make_clip(path, 8, rotation=45)),
    "1000 a second": (".mp4", 8, True, lambda _, path: clips.make_clip(path, 8, fps=1000)),
    "one an hour": (
        ".mkv",
        4,
        True,
        lambda _, path: clips.make_clip(path, 4, pts=[3600000 * i for i in range(4)]),
    ),
    "with sound": (".mp4", 8, True, lambda _, path: clips.make_clip(path, 8, audio=True)),
    "63x47": (".mkv", 3, False, lambda _, path: lossless(path, (63, 47))),
    "1x1": (".mkv", 3, False, lambda _, path: lossless(path, (1, 1), pix_fmt="yuv444p")),
    "2x2": (".mkv", 3, False, lambda _, path: lossless(path, (2, 2))),
    "3x300": (
        ".mov",
        3,
        False,
        lambda _, path: lossless(path, (3, 300), codec="png", pix_fmt="rgb24"),
    ),
    "10 bits": (
        ".mkv",
        3,
        False,
        lambda _, path: lossless(path, (64, 48), pix_fmt="yuv420p10le"),
    ),
    "gray": (".mkv", 3, False, lambda _, path: lossless(path, (64, 48), pix_fmt="gray")),
    "rgb": (".mkv", 3, False, lambda _, path: lossless(path, (64, 48), pix_fmt="bgr0")),
    "gif of 7x5": (".gif", 8, False, lambda _, path: clips.make_clip(path, 8, (7, 5))),
}
_THIN = {"8191x7": (8191, 7), "7x8191": (7, 8191), "16384x2": (16384, 2), "2x16384": (2, 16384)}
_MATRICES = (0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 200)


def _valid(suffix: str, count: int, numbered: bool, write: Write) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / f"attack{suffix}"
        write(material, path)
        return Target(path, truth=count, more="numbers" if numbered else None)

    return make


def _write(write: Callable[..., object], _: Material, path: Path, **settings: Any) -> object:
    return write(path, **settings)


def unusual() -> Iterator[Kind]:
    for name, (suffix, count, numbered, write) in _VALID.items():
        make = _valid(suffix, count, numbered, write)
        yield Kind(UNUSUAL, f"{name}, read", make, probes.read)
        yield Kind(
            UNUSUAL,
            f"{name}, predicted",
            make,
            probes.predict,
            quick=name in ("one frame", "1x1"),
        )
        yield Kind(UNUSUAL, f"{name}, localized", make, probes.locate, quick=name == "1x1")
    for name, size in _THIN.items():
        write_thin = partial(_write, lossless, size=size, pix_fmt="rgb24", codec="png")
        make = _valid(".mov", 3, False, write_thin)
        yield Kind(UNUSUAL, f"{name}, read", make, probes.read)
        yield Kind(UNUSUAL, f"{name}, localized", make, probes.locate, quick=name == "16384x2")
        train = _in_folder(f"attack {name}.mov", write_thin)
        yield Kind(
            UNUSUAL, f"{name}, trained", train, probes.train, slow=True, quick=name == "8191x7"
        )
    for matrix in _MATRICES:
        write_tagged = partial(_write, tagged, matrix=matrix)
        make = _valid(".mkv", 24, matrix not in (0, 8), write_tagged)
        # and the matrices that are in the quick set
        some: dict[str, tuple[Probe, tuple[int, ...]]] = {
            "read": (probes.read, (8, 10, 14, 17)),
            "predicted": (probes.predict, (10,)),
            "localized": (probes.locate, (8,)),
            "watched": (probes.watch, (10,)),
        }
        yield from (
            Kind(UNUSUAL, f"color matrix {matrix}, {name}", make, probe, quick=matrix in quick)
            for name, (probe, quick) in some.items()
        )
        train = _in_folder(f"attack {matrix}.mkv", write_tagged)
        yield Kind(UNUSUAL, f"color matrix {matrix}, trained", train, probes.train, slow=True)


def copied(material: Material, folder: Path) -> Path:
    """The folder of good clips, by hard links."""
    for clip in material.squares.glob("*/*.mp4"):
        target = folder / clip.relative_to(material.squares)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(clip)
    return folder


def _in_folder(name: str, write: Write) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        folder = copied(material, scratch / "clips")
        for label in ("left", "right"):
            for number in range(4):  # enough that some are test clips, which are drawn
                write(material, folder / label / f"{number} {name}")
        return Target(folder, truth=1)

    return make

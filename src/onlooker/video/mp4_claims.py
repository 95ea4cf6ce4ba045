"""How many samples an mp4 claims, counted before FFmpeg opens it: a few bytes can claim gigabytes of index.

FFmpeg allocates dozens of bytes for each sample that a table (`stsz`) or a fragment (`trun`) claims, whether or not the
file has any data for it.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from onlooker.structures import ClipError

MAX_SAMPLES = 10_000_000  # of a file: 24 hours at 115 frames per second

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"edts", b"udta"})
_ENCRYPTED = {int.from_bytes(name, "big") for name in (b"encv", b"drmi")}  # formats of a track
_MAX_DEPTH = 10  # FFmpeg refuses deeper boxes


def check_samples(path: Path) -> None:
    """Raise a ClipError if a file is an mp4 that claims more samples than it has bytes, or than `MAX_SAMPLES`."""
    stat = path.stat()
    claimed = _claimed(path, stat.st_size, stat.st_mtime_ns)
    if claimed > min(stat.st_size, MAX_SAMPLES):
        limit = f"at most one per byte and {MAX_SAMPLES:,} in all are read"
        remedy = f"{limit}; cut it into parts, or remove it if its tables are damaged"
        raise ClipError(path, f"{claimed:,} samples claimed in {stat.st_size:,} bytes", remedy)


@lru_cache(maxsize=256)
def _claimed(path: Path, size: int, _changed: int) -> int:
    """The samples of the largest track, or of all fragments."""
    tracks, fragments, sound, by_chunk = [0], 0, False, False
    with path.open("rb") as file:
        for name, start in _leaves(file, 0, size, 0):
            file.seek(start)
            _, one, two, three = struct.unpack(">IIII", file.read(16).ljust(16, b"\0"))
            if name == b"hdlr":
                sound = two == int.from_bytes(b"soun", "big")
            elif name == b"stts":
                by_chunk = sound and (one, three) == (1, 1)  # uncompressed sound, of which FFmpeg indexes chunks
            elif name in (b"stsz", b"stz2"):
                tracks.append(0 if by_chunk else two)
            elif name == b"cmov":
                remedy = "copy it into a new file (ffmpeg -i old.mov -c copy new.mov) if you trust it, or remove it"
                raise ClipError(path, "its index is compressed, and may claim any number of samples", remedy)
            elif name == b"stsd" and three in _ENCRYPTED:
                remedy = "only programs that have its key can play it; give a file without copy protection"
                raise ClipError(path, "an encrypted video (DRM)", remedy)
            elif name == b"trun":
                fragments += one
    return max(*tracks, fragments)


def _leaves(file: BinaryIO, start: int, end: int, depth: int) -> Iterator[tuple[bytes, int]]:
    """Name and position of the content of every box without boxes, as far as FFmpeg would read them."""
    while end - start >= 8:
        file.seek(start)
        size, name, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        head, size = (16, large) if size == 1 else (8, size or end - start)
        if size < head:
            return
        if name not in _CONTAINERS:
            yield name, start + head
        elif depth < _MAX_DEPTH:
            yield from _leaves(file, start + head, min(start + size, end), depth + 1)
        start += size

"""A folder of numbered pictures is a clip too: people keep their frames so.

Pictures of 16 bits are scaled to 8 by the range of their type, never by what is in them: equal light stays equal from
frame to frame. Transparency is dropped, as it is from videos.

Frames that a damaged video has lost have no names, and reading goes on without them. A picture has one: whoever reads
its name can save it again or take it out, so a clip with a picture that cannot be read is one that cannot be read.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from onlooker.structures import ClipError, Frames
from onlooker.video.container import check_size
from onlooker.video.decode import Change, Choose, Collector

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
# Whatever the name says: left free, Pillow would hand a file that turns out to be EPS to Ghostscript, a program.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
RATE = 25.0  # frames a second: pictures do not say when they were taken


def pictures(folder: Path) -> list[Path]:
    """The numbered pictures of a folder in natural order (9 before 10), by the digits at the end of their names."""
    found = []
    for path in folder.iterdir():
        number = re.search(r"(\d+)$", path.stem)
        if number and path.suffix.lower() in PICTURE_SUFFIXES:
            found.append((int(number[1]), path.name, path))
    return [path for _, _, path in sorted(found)]


def pick(folder: Path, choose: Choose, change: Change | None = None) -> Frames:
    """The pictures that `choose` asks for, changed where asked; those that it does not ask for are not opened.

    Raises:
        ClipError: naming the folder, if it has no numbered pictures; and the picture, if one cannot be read, or is of
            another size than the first.
    """
    paths = _pictures(folder)
    indices = choose(len(paths))
    collector, chosen = Collector(folder, indices, change), np.unique(indices).tolist()
    for index, pixels in zip(chosen, _read(paths[index] for index in chosen), strict=True):
        collector.put(index, pixels)
    return collector.frames(np.arange(len(paths)) / RATE)


def stream(folder: Path) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """All pictures, one by one: index, seconds at 25 pictures a second, `H W 3`; the errors are those of `pick`."""
    for index, pixels in enumerate(_read(_pictures(folder))):
        yield index, index / RATE, pixels


def _pictures(folder: Path) -> list[Path]:
    try:
        paths = pictures(folder)
    except OSError as error:
        raise ClipError(folder, f"the folder cannot be read ({error.strerror})", "allow reading it") from error
    if not paths:
        found = "a folder without numbered pictures"
        raise ClipError(folder, found, "give a video file, or number the pictures (0001.jpg, 0002.jpg, ...)")
    return paths


def _read(paths: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    """Pictures of one clip, `H W 3` each."""
    first: tuple[str, str] | None = None
    for path in paths:
        pixels = _load(path)
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        first = first or (path.name, size)
        if size != first[1]:
            found = f"{path.name} has {size} pixels, and {first[0]} {first[1]}"
            raise ClipError(path.parent, found, "a clip has one size: scale or cut its pictures alike")
        yield pixels


def _load(path: Path) -> NDArray[np.uint8]:
    """`H W 3`, upright."""
    try:
        # Opened here, because Pillow 13 maps a gray TIFF into memory by its name, and mixes up one turned on its side.
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as picture:
            check_size(path, *picture.size)
            pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
            upright = ImageOps.exif_transpose(picture)
            deep = upright.mode.startswith(("I", "F"))  # more than 8 bits, which Pillow would clip
            upright = upright if deep else upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        found = f"{path.name} cannot be read as a picture ({', '.join(_FORMATS)})"
        raise ClipError(path.parent, found, "save it again, or remove it") from error
    if pages > 1:
        raise ClipError(
            path.parent, f"{path.name}: {pages} pictures in one file", "save each of them as a file of its own"
        )
    if deep:
        upright = _eight_bits(path, upright)
    return np.asarray(upright)


def _eight_bits(path: Path, picture: Image.Image) -> Image.Image:
    values = np.asarray(picture)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or low < 0 or high > 65535:
        found = f"{path.name}: {values.dtype} pixels from {low:g} to {high:g}, which do not say what is black"
        raise ClipError(path.parent, found, "save it with 8 or 16 bits a channel")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")

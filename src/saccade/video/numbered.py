"""A folder of numbered pictures is a clip too: people keep their frames so.

Pictures of 16 bits are scaled to 8 by the range of their type, never by what is in them: equal light stays equal from
frame to frame. Transparency is dropped, as it is from videos.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from saccade.structures import ClipError, Frames
from saccade.video.container import check_size
from saccade.video.decode import Change, Choose, Collector

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
    """The pictures that `choose` asks for, changed where asked; a broken picture is left out as if it were not there.

    Raises:
        ClipError: naming the folder, if it has no numbered pictures or none can be read; naming the picture, if it is
            whole but of a kind that is not read.
    """
    paths = _pictures(folder)
    first = paths[0]
    while paths:
        indices = choose(len(paths))
        collector, size, broken = Collector(folder, indices, change), None, set()
        for index in np.unique(indices).tolist():
            if (pixels := _load(paths[index], size)) is None:
                broken.add(paths[index])
                continue
            size = size or (pixels.shape[1], pixels.shape[0])
            collector.put(index, pixels)
        if not broken:
            return collector.frames(np.arange(len(paths)) / RATE)
        # Which of the others are broken is not known either: look at all once.
        paths = [path for path in paths if path not in broken and _load(path, None) is not None]
    raise _nothing(first)


def stream(folder: Path) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """All pictures, one by one: index, seconds at 25 pictures a second, `H W 3`, in the size of the first."""
    size: tuple[int, int] | None = None
    index = 0
    paths = _pictures(folder)
    for path in paths:
        if (pixels := _load(path, size)) is not None:
            size = size or (pixels.shape[1], pixels.shape[0])
            yield index, index / RATE, pixels
            index += 1
    if not index:
        raise _nothing(paths[0])


def _pictures(folder: Path) -> list[Path]:
    try:
        paths = pictures(folder)
    except OSError as error:
        raise ClipError(folder, f"the folder cannot be read ({error.strerror})", "allow reading it") from error
    if not paths:
        found = "a folder without numbered pictures"
        raise ClipError(folder, found, "give a video file, or number the pictures (0001.jpg, 0002.jpg, ...)")
    return paths


def _nothing(first: Path) -> ClipError:
    found = f"no frame could be decoded: {first.name} cannot be read as a picture ({', '.join(_FORMATS)})"
    return ClipError(first.parent, found, "save the pictures again, or remove the folder")


def _load(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8] | None:
    """`H W 3`, upright, of `size` (width, height) if given; None for a file that is no whole picture."""
    try:
        # Opened here, because Pillow 13 maps a grey TIFF into memory by its name, and mixes up one turned on its side.
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as picture:
            check_size(path, *picture.size)
            pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
            upright = ImageOps.exif_transpose(picture)
            deep = upright.mode.startswith(("I", "F"))  # more than 8 bits, which Pillow would clip
            upright = upright if deep else upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if pages > 1:
        raise ClipError(path, f"{pages} pictures in one file", "save each of them as a file of its own")
    if deep:
        upright = _eight_bits(path, upright)
    return np.asarray(upright if size in (None, upright.size) else upright.resize(size))


def _eight_bits(path: Path, picture: Image.Image) -> Image.Image:
    values = np.asarray(picture)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or low < 0 or high > 65535:
        found = f"{values.dtype} pixels from {low:g} to {high:g}, which do not say what is black and what is white"
        raise ClipError(path, found, "save it with 8 or 16 bits a channel")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")

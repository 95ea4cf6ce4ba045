"""A folder of numbered pictures is a clip too: people keep their frames so."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from saccade.structures import ClipError, Frames
from saccade.video.container import check_size
from saccade.video.decode import Choose, Collector, nothing

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
RATE = 25.0  # frames a second: pictures do not say when they were taken


def pictures(folder: Path) -> list[Path]:
    """The numbered pictures of a folder in natural order (9 before 10), by the digits at the end of their names."""
    found = []
    for path in folder.iterdir():
        number = re.search(r"(\d+)$", path.stem)
        if number and path.suffix.lower() in PICTURE_SUFFIXES:
            found.append((int(number[1]), path.name, path))
    return [path for _, _, path in sorted(found)]


def pick(folder: Path, choose: Choose) -> Frames:
    """The pictures that `choose` asks for; a broken picture is left out as if it were not there.

    Raises:
        ClipError: naming the folder, if it has no numbered pictures or none can be read.
    """
    paths = _pictures(folder)
    while paths:
        indices = choose(len(paths))
        collector, size, broken = Collector(folder, indices), None, set()
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
    raise nothing(folder)


def stream(folder: Path) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """All pictures, one by one: index, seconds at 25 pictures a second, `H W 3`, in the size of the first."""
    size: tuple[int, int] | None = None
    index = 0
    for path in _pictures(folder):
        if (pixels := _load(path, size)) is not None:
            size = size or (pixels.shape[1], pixels.shape[0])
            yield index, index / RATE, pixels
            index += 1
    if not index:
        raise nothing(folder)


def _pictures(folder: Path) -> list[Path]:
    try:
        paths = pictures(folder)
    except OSError as error:
        raise ClipError(folder, f"the folder cannot be read ({error.strerror})", "allow reading it") from error
    if not paths:
        found = "a folder without numbered pictures"
        raise ClipError(folder, found, "give a video file, or number the pictures (0001.jpg, 0002.jpg, ...)")
    return paths


def _load(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8] | None:
    """`H W 3`, upright, of `size` (width, height) if given; None for a file that is no whole picture."""
    try:
        with Image.open(path) as picture:
            check_size(path, *picture.size)
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return np.asarray(upright if size in (None, upright.size) else upright.resize(size))

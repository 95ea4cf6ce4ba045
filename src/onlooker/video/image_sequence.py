"""Image sequences: a folder of numbered images is a clip too.

Images of 16 bits are converted to 8 bits by the bit depth of their sequence (`bits`). Transparency
is dropped, as it is from videos.

A sequence with an unreadable image is an error: the image has a name, so its owner can save it
again or remove it. The frames that a damaged video has lost have no names, so reading a video
continues without them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from onlooker.base.files import is_regular
from onlooker.base.records import ClipError
from onlooker.video.bits import SAMPLED, WIDE, bits_of, to_bytes
from onlooker.video.container import accessing, check_size
from onlooker.video.decode import FrameStore
from onlooker.video.rates import stated_rate
from onlooker.video.sampling import Timing, equally_spaced, even_timing

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
# Whatever the suffix: otherwise Pillow would pass a file that turns out to be EPS to Ghostscript,
# another program.
_IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
_WIDE_COLOR = ";16"  # part of Pillow's modes of 16-bit color, such as RGB;16B
_NUMBER = re.compile(r"((?<![\d.])\d+\.\d+(?!\d|\.\d)|\d+)")
# A date with or without a time, or a time of day; a date and a time in digits, with the number of a
# frame in its second (Motion); or seconds since 1970 with or without a fraction.
_TIME_STAMP = re.compile(
    r"(?<!\d)(?:(?:(?:19|20)\d\d([-_.]?)[01]\d\1[0-3]\d|\d\d([-:.h])\d\d[-:.m]\d\d)(?:[-_.,t hms:]+\d{2,})*"
    r"|(?:(?:19|20)?\d\d)?(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"[-_t ]?(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:[-_.,]\d{2,})*"
    r"|1\d{9}(?:[-_.]?\d{3,9}|\.\d+)?)(?!\d)"
)
# names of series that accompany the images of a scene; Motion's ...m.jpg show what moves
_COMPANION = re.compile(r"flow|depth|mask|[\d*] \([\d*]+\)$|[\d*]-?m$")
_MAX_SERIES = 4  # in an error


class ImageSequence:
    """A folder of numbered images as a video, with the methods of `VideoFile`; see `VideoReader`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def images(self) -> list[Path]:
        """The files, in order; errors: see `find_images`."""
        return find_images(self.folder)

    @cached_property
    def timing(self) -> Timing:
        return even_timing(len(self.images), stated_rate(self.folder))

    @property
    def assumes_rate(self) -> bool:
        """Whether no frame rate is stated."""
        return stated_rate(self.folder) is None

    def fill(self, store: FrameStore) -> None:
        wanted = store.choose(self.timing).tolist()
        for index, image in zip(wanted, self._read(self.images[i] for i in wanted), strict=True):
            store.put(index, image)

    def between(
        self, start: int, after: int | None
    ) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        times = self.timing.times.tolist()
        for index, pixels in enumerate(self._read(self.images[start:after]), start):
            yield index, times[index], pixels

    def _read(self, paths: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
        """Some of the images, upright RGB, `H W 3` each; all of one size."""
        first_image: tuple[str, str] | None = None
        for path in paths:
            pixels = _load(path)
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            first_image = first_image or (path.name, size)
            if size != first_image[1]:
                what = f"{path.name} has {size} pixels, and {' '.join(first_image)}"
                raise ClipError(
                    path.parent,
                    what,
                    "all images of a clip need one size: scale or crop them alike",
                )
            yield pixels if pixels.dtype == np.uint8 else to_bytes(pixels, self._bits)

    @property
    def _bits(self) -> int:
        """The bit depth of the images of 16 bits."""
        places = np.unique(equally_spaced(len(self.images), SAMPLED)).tolist()
        images = [self.images[place] for place in places]
        with accessing(self.folder):
            return _bits_of_images(*((image, image.stat().st_mtime_ns) for image in images))


def find_images(folder: Path) -> list[Path]:
    """The images of a sequence in the natural order of their names (9 before 10).

    Images of other series are left out (`left_out_images`) if they go with a scene (optical flow,
    depth, masks, copies such as `0001 (1).jpg`), or if there is one of them.

    Raises:
        ClipError: the folder cannot be read, has no numbered images, or several series, such as
            the images of two cameras.
    """
    every_series = _find_series(numbered_images(folder))
    if not every_series:
        remedy = "give a video file, or number the images (0001.jpg, 0002.jpg, ...)"
        raise ClipError(folder, "a folder without numbered images", remedy)
    series = {
        name: images for name, images in every_series.items() if len(images) > 1
    } or every_series
    names = sorted(name for name in series if len(series) == 1 or not _COMPANION.search(name))
    if len(names) != 1:
        shown = ", ".join(f"{name} ({len(series[name])})" for name in sorted(series)[:_MAX_SERIES])
        problem = (
            f"images of {len(series)} series: {shown}{', ...' if len(series) > _MAX_SERIES else ''}"
        )
        raise ClipError(
            folder, problem, "give each series a folder of its own; a clip is one series"
        )
    return series[names[0]]


def numbered_images(folder: Path) -> list[Path]:
    """The images of a folder with a number in their names, unsorted; errors: see `find_images`."""
    return [path for path in _all_images(folder) if _NUMBER.search(path.stem)]


def left_out_images(folder: Path) -> list[Path]:
    """The images of a folder that are no part of its sequence; none of a clip that cannot be read."""
    try:
        return sorted({*_all_images(folder)} - {*find_images(folder)})
    except ClipError:
        return []


def _all_images(folder: Path) -> list[Path]:
    with accessing(folder):
        return [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
        ]


def _find_series(images: Sequence[Path]) -> dict[str, list[Path]]:
    """Images by what their names have in common, such as `img_*` and `flow_x_*`; each series in
    natural order.
    """
    several_suffixes = len({path.stem for path in images}) < len(images)  # 0001.jpg and 0001.png
    names = {path: (path.name if several_suffixes else path.stem).casefold() for path in images}
    groups = defaultdict[tuple[str, ...], list[Path]](list)
    parts = {path: _NUMBER.split(_TIME_STAMP.sub("*", name)) for path, name in names.items()}
    for path in images:
        groups[tuple(parts[path][::2])].append(path)
    series = defaultdict[str, list[Path]](list)
    for texts, group in groups.items():
        values = [
            len({parts[path][place] for path in group}) for place in range(1, 2 * len(texts) - 1, 2)
        ]
        for path in group:
            if max(values, default=len(group)) == len(group):  # a number tells all frames apart
                parts[path][1::2] = "*" * len(values)
            # without time stamps, the number that changes most counts
            elif not any("*" in text for text in texts):
                parts[path][2 * values.index(max(values)) + 1] = "*"
            series["".join(parts[path])].append(path)
    return {
        name: sorted(group, key=lambda path: _natural(names[path]))
        for name, group in series.items()
    }


def _natural(name: str) -> list[Any]:
    """A key that sorts the numbers in names by their values."""
    return [Decimal(part) if place % 2 else part for place, part in enumerate(_NUMBER.split(name))]


@lru_cache(64)  # all parts of a recording have the same
def _bits_of_images(*images: tuple[Path, int]) -> int:
    """The bit depth of images; each is given with the time of its last change."""
    bits = 0
    for image, _ in images:
        with suppress(ClipError):  # an error of the frames that are asked for, if it is one of them
            values = _load(image)
            if values.dtype == np.uint16:
                bits = max(bits, bits_of(values))
    return bits or WIDE


def _load(path: Path) -> NDArray[Any]:
    """`H W 3`, upright; of more than 8 bits, `H W` or `H W 3` of type uint16."""
    if not is_regular(path):  # a pipe would wait for a writer, a device never ends
        raise ClipError(
            path.parent, f"{path.name} is not a regular file", "save it as an image, or remove it"
        )
    try:
        # Opened here: Pillow 13 memory-maps a gray TIFF given by name, and mixes up one that is
        # rotated.
        with path.open("rb") as file, Image.open(file, formats=_IMAGE_FORMATS) as image:
            check_size(path.parent, *image.size)
            # counting them may take minutes
            several = image.format == "TIFF" and getattr(image, "is_animated", False)
            deep = image.mode.startswith(("I", "F"))  # more than 8 bits, which Pillow would clip
            # of color, Pillow reads the upper 8 bits
            if not deep and any(_WIDE_COLOR in str(tile) for tile in image.tile):
                file.seek(0)
                data = np.frombuffer(file.read(), np.uint8)
                color = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
                assert color is not None
                pixels = cv2.cvtColor(color, cv2.COLOR_BGR2RGB)
            else:
                upright = ImageOps.exif_transpose(image)
                pixels = np.asarray(upright if deep else upright.convert("RGB"))
    except ClipError:
        raise
    # damaged tags make Pillow raise many types of errors: TypeError, KeyError, ...
    except Exception as error:
        what = f"{path.name} cannot be read as an image ({', '.join(_IMAGE_FORMATS)})"
        raise ClipError(path.parent, what, "save it again, or remove it") from error
    if several:
        raise ClipError(
            path.parent,
            f"{path.name}: several images in one file",
            "save each of them as its own file",
        )
    if not deep:
        return pixels
    low = pixels.min()
    high = pixels.max()
    if pixels.dtype.kind == "f" or low < 0 or high > 65535:
        what = f"{path.name}: {pixels.dtype} pixels from {low:g} to {high:g}, in which black and white are not defined"
        raise ClipError(path.parent, what, "save it with 8 or 16 bits per channel")
    return pixels.astype(np.uint16)

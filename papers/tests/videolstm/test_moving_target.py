"""Moving target: one digit moves among still ones, and everything that is said of it is so."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onlooker_papers.mnist import Digits, load_digits
from onlooker_papers.videolstm.moving_target import MovingTarget, TargetBatch


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()[0]


@pytest.fixture(scope="module")
def made(digits: Digits) -> TargetBatch:
    return MovingTarget(digits).batch(200, seed=3)


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


def test_only_the_target_moves_and_only_in_its_event(made: TargetBatch) -> None:
    steps = made.boxes.diff(dim=1).abs().amax(-1) > 0  # B T-1 k
    assert not steps[:, :, 1:].any()
    stepped = steps[:, :, 0]
    within = made.moving[:, :-1] & made.moving[:, 1:]
    assert not (stepped & ~within).any()
    # A step of two pixels or more shows, unless it is there and back at a border.
    assert stepped[within].float().mean() > 0.98
    assert torch.equal(made.labels[:, 0], made.targets)
    assert (made.labels[:, 1:] != made.targets[:, None]).all()


def test_the_event_is_one_run_of_the_asked_length(made: TargetBatch) -> None:
    begins = made.moving.int().diff(dim=1, prepend=torch.zeros(200, 1, dtype=torch.int32)) == 1
    assert (begins.sum(1) == 1).all()
    share = (made.moving.sum(1) - 1) / 19
    assert share.min() >= 0.3 - 0.5 / 19
    assert share.max() <= 0.6 + 0.5 / 19
    assert share.std() > 0.05
    # Early and late alike.
    middle = (made.moving * torch.arange(20)).sum(1) / made.moving.sum(1)
    assert abs(middle.mean() - 9.5) < 0.6


def test_targets_are_all_classes_alike_or_those_asked_for(digits: Digits) -> None:
    moving = MovingTarget(digits, frames=2, event=(1, 1))
    counts = torch.bincount(moving.batch(2000, seed=1).targets, minlength=10)
    assert counts.min() > 140
    others = torch.bincount(moving.batch(2000, seed=1).labels[:, 1:].flatten(), minlength=10)
    assert others.min() > 500
    asked = moving.batch(targets=[3, 1, 4])
    assert asked.targets.tolist() == [3, 1, 4]
    shown = digits.labels[asked.indices.numpy()]
    assert np.array_equal(shown, asked.labels.numpy())


def test_equal_seeds_give_equal_videos_and_others_do_not(digits: Digits) -> None:
    moving = MovingTarget(digits)
    first, again, other = (moving.batch(5, seed=seed).video for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

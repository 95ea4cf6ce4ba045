"""Moving target: one digit moves among still ones, and everything that is said of it is so."""

from typing import Any

import numpy as np
import pytest
import torch

from onlooker.data.digits import Digits, load_digits
from onlooker_papers.videolstm.moving_target import MovingTarget, TargetBatch


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()[0]


@pytest.fixture(scope="module")
def made(digits: Digits) -> TargetBatch:
    return MovingTarget(digits).batch(200, seed=3)


def test_a_video_is_its_digits_where_they_are_joined_by_the_maximum(digits: Digits, made: TargetBatch) -> None:
    moving = MovingTarget(digits)
    for b in range(20):
        small = moving._images[made.indices[b]].numpy()
        for t in (0, 7, 19):
            canvas = np.zeros((64, 64), np.uint8)
            for image, box in zip(small, made.boxes[b, t].tolist(), strict=True):
                rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
                top, left = int(box[1]) - rows[0], int(box[0]) - columns[0]
                assert box == [left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1]
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


def test_digits_begin_next_to_each_other_and_nothing_of_a_frame_tells_the_target(digits: Digits) -> None:
    moving = MovingTarget(digits)
    corners, _ = moving._paths(2000, torch.Generator().manual_seed(0))
    start = corners[:, :, 0]
    away = (start[:, :, None] - start[:, None]).abs().amax(-1) + 20 * torch.eye(4, dtype=torch.int64)
    assert away.min() >= 20 - 1  # a pixel of rounding
    # The target begins where any other does.
    means = start.double().mean(0)
    assert (means - means.mean(0)).abs().max() < 1.5
    assert corners.min() >= 0
    assert corners.max() <= 64 - 20


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 29}, "side is 29, expected 1 to the 28 pixels of a digit"),
        ({"num_digits": 10}, "num_digits is 10, expected 1 to 9: that many squares of 20 pixels fit"),
        ({"canvas": 19}, "num_digits is 4, expected 1 to 0"),
        ({"frames": 1}, "frames is 1, expected at least 2: nothing moves in one frame"),
        ({"speed": (0.0, 2.0)}, r"speed is \(0.0, 2.0\), expected \(slowest, fastest\)"),
        ({"event": (0.5, 1.2)}, r"event is \(0.5, 1.2\), expected \(shortest, longest\)"),
    ],
)
def test_settings_that_make_no_video(digits: Digits, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MovingTarget(digits, **settings)


def test_what_cannot_be_asked_of_a_batch(digits: Digits) -> None:
    with pytest.raises(ValueError, match="size is None, expected at least 1 video"):
        MovingTarget(digits).batch()
    with pytest.raises(ValueError, match=r"targets have shape \(2,\) for 3 videos"):
        MovingTarget(digits).batch(3, targets=[1, 2])
    fours = Digits(digits.images[digits.labels == 4], digits.labels[digits.labels == 4])
    with pytest.raises(ValueError, match=r"digits show the classes \[4\], expected at least two"):
        MovingTarget(fours)


def test_several_movers_differ_by_their_direction_alone(digits: Digits) -> None:
    made = MovingTarget(digits, frames=10, event=(1, 1), movers=3).batch(300, seed=5)
    steps = made.boxes.diff(dim=1)[..., :2]  # B T-1 k 2
    assert not steps[:, :, 0, 1].any()
    assert not steps[:, :, 1:3, 0].any()
    assert not steps[:, :, 3].any()
    speeds = steps[:, :, :3].abs().amax(-1).mean((0, 1))
    assert speeds.min() > 1.5
    assert (speeds - speeds[0]).abs().max() < 0.3  # none is faster
    assert made.moving.all()
    signs = steps[:, 0, 0, 0].sign()
    assert abs(signs.mean()) < 0.2
    with pytest.raises(ValueError, match="movers is 5, expected 1 to the 4 digits of a video"):
        MovingTarget(digits, movers=5)

"""The 3-D convolutional baseline of the digit experiments."""

import pytest
import torch
from torch import Tensor

from onlooker.models.video_model import count_parameters
from onlooker_papers.digits.conv3d import Conv3dNet, train_conv3d


def squares(seed: int) -> tuple[Tensor, Tensor]:
    """Squares that go right (class 0) or left (class 1): no single frame tells which."""
    chance = torch.Generator().manual_seed(seed)
    videos = torch.zeros(40, 10, 1, 32, 32, dtype=torch.uint8)
    targets = torch.arange(40) % 2
    rows = torch.randint(0, 24, (40,), generator=chance)
    for video, target, row in zip(videos, targets, rows, strict=True):
        for t in range(10):
            left = 2 * t if target == 0 else 2 * (9 - t)
            video[t, 0, row : row + 8, left : left + 8] = 255
    return videos, targets


def test_its_parameters_are_what_its_layers_have() -> None:
    convolutions = 343 * 32 + 27 * 32 * 64 + 8 * 64 * 128 + 32 + 64 + 128
    dense = (128 * 41 * 6 * 6) * 256 + 256 + 256 * 256 + 256 + 256 * 100 + 100
    assert count_parameters(Conv3dNet(50, 64)) == convolutions + dense == 48_589_348
    assert Conv3dNet(10, 26)(torch.zeros(2, 10, 1, 26, 26)).shape == (2, 100)


def test_it_learns_what_only_motion_tells_and_a_round_depends_on_its_number_alone() -> None:
    learn, new = squares(0), squares(1)
    tests = {"same": learn, "new": new}
    first, again, other = (train_conv3d(*learn, tests, number, epochs=12, batch=10, seed=3) for number in (0, 0, 1))
    for name in tests:
        assert min(first[name]["accuracy"], other[name]["accuracy"]) > 0.9, name
        assert first[name]["loss"] == pytest.approx(again[name]["loss"])
    assert first["same"]["loss"] != pytest.approx(other["same"]["loss"])


def test_pooling_needs_something_to_pool() -> None:
    with pytest.raises(ValueError, match="9 frames of 64 pixels, expected at least 10 of 26"):
        Conv3dNet(9, 64)

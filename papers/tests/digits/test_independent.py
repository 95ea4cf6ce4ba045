"""Digits that turn and shrink each for itself."""

import numpy as np
import pytest
import torch

from onlooker.data.digits import Digits
from onlooker_papers.digits.independent import IndependentDigits

_BAR = np.zeros((1, 28, 28), np.uint8)
_BAR[0, 4:24, 12:16] = 255  # upright, 4 × 20 pixels
BARS = Digits(_BAR, np.zeros(1, np.int64))


def spans(variant: str) -> torch.Tensor:
    """Width and height of each digit's box: `B T k 2`."""
    boxes = IndependentDigits(BARS, variant=variant, frames=20).batch(30, seed=1).boxes
    return boxes[..., 2:] - boxes[..., :2]


def test_digits_of_a_frame_turn_apart_and_hold_a_setting() -> None:
    found = spans("rotation")
    assert (found[:, :5] == found[:, :1]).all(), "five frames of one setting"
    assert (found[:, 5] != found[:, 0]).any()
    first, second = found[:, ::5].unbind(2)
    assert (first - second).abs().mean() > 3, "one transform for both would leave them alike"
    assert 19 <= found.max() <= 24


def test_a_digit_shrinks_about_its_own_center() -> None:
    found = spans("scale")
    height = found[..., 1]
    assert 0.4 * 20 - 1 <= height.min() < 10
    assert 18 < height.max() <= 20
    assert torch.allclose(found[..., 0] / height, torch.tensor(0.2), atol=0.15)


def test_other_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="variant is 'gesture', expected rotation, scale or rotation\\+scale"):
        IndependentDigits(BARS, variant="gesture")

"""Generated samples are new in every batch, equal for equal indices, and labeled with the visible
digits.
"""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from onlooker_papers.digits.data.moving_mnist import PAIRS, DigitPairs, MovingDigits
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.mnist import Digits


@pytest.fixture
def digits() -> MovingDigits:
    """One image per class, a full square of brightness 20·class + 50."""
    labels = np.arange(10, dtype=np.int64)
    images = np.ascontiguousarray(
        np.broadcast_to((20 * labels + 50).astype(np.uint8)[:, None, None], (10, 28, 28))
    )
    return MovingDigits(Digits(images, labels), frames=3)


def test_equal_indices_give_equal_videos(digits: MovingDigits) -> None:
    pairs = DigitPairs(digits, 100, seed=4)
    first, again = (pairs.__getitems__([3, 50, 7]) for _ in range(2))
    for (frames, target, index), (frames_again, target_again, index_again) in zip(
        first, again, strict=True
    ):
        assert torch.equal(frames, frames_again)
        assert (target, index) == (target_again, index_again)


def test_another_order_or_seed_gives_other_videos(digits: MovingDigits) -> None:
    def stacked(seed: int, indices: list[int]) -> torch.Tensor:
        return torch.stack(
            [frames for frames, _, _ in DigitPairs(digits, 100, seed).__getitems__(indices)]
        )

    first = stacked(0, [1, 2, 3])
    assert not torch.equal(first, stacked(0, [3, 2, 1]))
    assert not torch.equal(first, stacked(0, [3, 2, 1]).flip(0))
    assert not torch.equal(first, stacked(1, [1, 2, 3]))  # training and validation


def test_the_label_is_the_pair_of_visible_digits(digits: MovingDigits) -> None:
    samples = DigitPairs(digits, 200, seed=0).__getitems__(list(range(200)))
    for frames, target, _ in samples:
        low, high = (int(name) for name in PAIRS[target].split("+"))
        assert set(frames.unique().tolist()) <= {0, 20 * low + 50, 20 * high + 50}
        assert 20 * high + 50 in frames
    assert len({target for _, target, _ in samples}) > 40


def test_it_works_with_a_data_loader(digits: MovingDigits) -> None:
    pairs = DigitPairs(digits, 10, seed=0)
    assert len(pairs) == 10
    batches = list(DataLoader(pairs, 4))
    assert [tuple(frames.shape) for frames, _, _ in batches] == [(4, 3, 64, 64, 1)] * 2 + [
        (2, 3, 64, 64, 1)
    ]
    assert batches[0][0].dtype == torch.uint8
    assert torch.cat([index for _, _, index in batches]).tolist() == list(range(10))
    assert len(list(pairs)) == 10


def test_one_digit_has_its_own_label(digits: MovingDigits) -> None:
    alone = MovingDigits(digits.digits, num_digits=1, frames=2)
    for frames, target, _ in DigitPairs(alone, 50, seed=0).__getitems__(list(range(50))):
        assert set(frames.unique().tolist()) == {0, 20 * target + 50}


def test_single_digits_are_the_frames_of_scaled_mnist_in_8_bits() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28)).astype(np.uint8)
    scaled = ScaledDigits(Digits(images, np.arange(10, dtype=np.int64)))
    singles = SingleDigits(scaled, seed=3)
    assert len(singles) == 10
    samples = singles.__getitems__([7, 2])
    seed = int(np.random.SeedSequence([3, 7, 2]).generate_state(1)[0])
    pictures, labels = scaled.batch(torch.tensor([7, 2]), seed=seed)
    for (frames, target, index), picture, label, expected in zip(
        samples, pictures, labels, [7, 2], strict=True
    ):
        assert (frames.shape, frames.dtype) == ((1, 64, 64, 1), torch.uint8)
        assert (target, index) == (label, expected)
        level = frames[0, :, :, 0] / 255 - scaled.level / 255
        assert (level - picture[0]).abs().max() <= 0.5 / 255 + 1e-6
    again = singles.__getitems__([7, 2])
    assert all(torch.equal(a[0], b[0]) for a, b in zip(samples, again, strict=True))
    assert not torch.equal(samples[0][0], SingleDigits(scaled, seed=4).__getitems__([7, 2])[0][0])

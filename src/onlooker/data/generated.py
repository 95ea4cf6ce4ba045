"""Generated videos as samples for training: new ones in every batch of every epoch."""

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.data.moving_mnist import MovingDigits, pair_label

__all__ = ["DigitPairs", "Sample"]

Sample = tuple[Tensor, int, int]


class DigitPairs(Dataset[Sample]):
    """Moving digits and their class: `(frames T H W 1 uint8, target, index)`.

    Two digits are labeled with their unordered pair (55 classes), one with itself (10 classes).

    A batch is made at once, from a seed that is a function of `seed` and of the indices in it. In a new order every
    batch is new, and the same order gives the same videos again.

    Args:
        digits: how videos are made.
        length: videos in an epoch.
        seed: keeps apart what must not meet, such as training and validation.

    Raises:
        ValueError: videos of more digits, which have no name here.
    """

    def __init__(self, digits: MovingDigits, length: int, seed: int) -> None:
        if digits.num_digits > 2:
            raise ValueError(
                f"videos of {digits.num_digits} digits, expected 1 or 2: only single digits and pairs have names"
            )
        self.digits, self.length, self.seed = digits, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"video {index} of {self.length}")
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        """A whole batch at once; PyTorch's DataLoader calls this where it is defined."""
        seed = int(np.random.SeedSequence([self.seed, *indices]).generate_state(1)[0])
        batch = self.digits.batch(len(indices), seed=seed)
        frames = batch.video.movedim(2, -1)
        targets = pair_label(batch.labels) if self.digits.num_digits == 2 else batch.labels[:, 0]
        return list(zip(frames, targets.tolist(), indices, strict=True))

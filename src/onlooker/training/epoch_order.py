"""The order of the samples of each epoch."""

from collections.abc import Iterator, Sized

import torch
from torch.utils.data import Sampler

__all__ = ["EpochOrder"]


class EpochOrder(Sampler[int]):
    """A new random order for every pass through the data, which depends only on the seed and the pass.

    Args:
        data: the samples; `set_epoch`, if they have it, is called before every epoch.
        parts: epochs per pass. The parts of a pass are equally long; the samples left over wait for the next pass.

    Raises:
        ValueError: fewer than one part, or more than there are samples.
    """

    def __init__(self, data: Sized, seed: int, parts: int = 1) -> None:
        if not 1 <= parts <= len(data):
            raise ValueError(f"parts is {parts}, expected from 1 to the {len(data)} samples")
        self.data, self.seed, self.parts, self.epoch = data, seed, parts, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning."""
        self.epoch = epoch
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.data) // self.parts

    def __iter__(self) -> Iterator[int]:
        number, part = divmod(self.epoch, self.parts)
        generator = torch.Generator().manual_seed(self.seed * 100_003 + number)
        order = torch.randperm(len(self.data), generator=generator).tolist()
        return iter(order[part * len(self) : (part + 1) * len(self)])

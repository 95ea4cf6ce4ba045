"""The clips of each training step: a random order for every epoch, whose batches several processes share."""

from collections.abc import Iterator, Sized

import torch
from torch.utils.data import Sampler


class EpochOrder(Sampler[int]):
    """A random order for every pass through the data, which depends only on the seed and the pass.

    Args:
        data: the samples; `set_epoch`, if they have it, is called before every epoch.
        parts: epochs per pass. The parts of a pass are equally long; the samples left over wait for the next pass.
    """

    def __init__(self, data: Sized, seed: int, parts: int = 1) -> None:
        self.data, self.seed, self.parts, self.epoch = data, seed, parts, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, and its samples if they have one."""
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


class SharedBatches(Sampler[list[int]]):
    """The part of each batch that belongs to one of several processes: every n-th clip of it.

    PyTorch's DistributedSampler repeats clips where their number is not a multiple; here, steps are those of one
    process. A process without a clip of the last batch gets the first clip of that batch, with a weight of 0.

    Args:
        order: of an epoch, the same in all processes.
        batch: clips of a batch in all processes together.
        rank, processes: the number of this process, and how many there are.
    """

    def __init__(self, order: EpochOrder | range, batch: int, rank: int, processes: int) -> None:
        self.sampler, self.batch, self.rank, self.processes = order, batch, rank, processes

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        for first in range(0, len(order), self.batch):
            batch = order[first : first + self.batch]
            yield batch[self.rank :: self.processes] or batch[:1]

    def weight(self, number: int) -> float:
        """The weight of the mean loss of this process in a batch; 0: none of its clips belongs to it.

        DDP averages gradients over the processes; with these weights, the average is the gradient of the batch's loss.
        """
        whole = min(self.batch, len(self.sampler) - number * self.batch)
        own = len(range(self.rank, whole, self.processes))
        return own * self.processes / whole

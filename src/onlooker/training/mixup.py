"""Mixup: training on mixed pairs of clips, with the losses of both classes (Zhang et al. 2018)."""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor


class Mixup(NamedTuple):
    """Which clips of a batch are mixed, and in which shares: `share · x + (1 - share) · x[partners]`.

    Args:
        share: λ, one for the batch as in the authors' code.
        partners: `B`, a permutation.
    """

    share: float
    partners: Tensor

    @classmethod
    def draw(cls, alpha: float, clips: int, random: np.random.Generator) -> Self:
        """λ from Beta(alpha, alpha), or 1 - λ if that is larger, and random pairs of `clips` clips.

        1 - λ with the inverse permutation gives the same mixed clips as λ, so taking the larger one excludes no mixed
        clip. The class with the larger share of a mixed clip is then always that of the clip itself.
        """
        share = float(random.beta(alpha, alpha))
        return cls(max(share, 1 - share), torch.from_numpy(random.permutation(clips)))

    def mix(self, clips: Tensor) -> Tensor:
        """The mixed clips of a batch `B …`."""
        return clips.lerp(clips[self.partners], 1 - self.share)

"""Heads: linear layers on standardized statistics."""

from typing import cast

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn


class Head(nn.Module):
    """A linear layer on standardized statistics x, and their distance from training:

        logits = weight · (x - center) / scale + bias,   distance = Σ ((x - center) / scale)²

    The distance sums over the statistics that have a weight or a center. A record of NumPy arrays
    with the same names is `training.regression.LinearLayer`: `Head(**layer._asdict())`.

    Args:
        weight: `K M` for K outputs and M statistics.
        bias: `K`; None: zeros.
        center, scale: `M`, or one row for each number of frames, `W M`; None: zeros and ones.
        motion_gain: multiplies the logits of motion that are added.
        motion_factor: brings squared distances of motion to the scale of pictures; 0: motion does
            not count.
        limit: the novelty limit, a distance; None: unknown.
    """

    center: Tensor
    scale: Tensor
    motion_factors: Tensor  # gain, and factor of distances

    def __init__(
        self,
        weight: ArrayLike | Tensor,
        bias: ArrayLike | Tensor | None = None,
        *,
        center: ArrayLike | Tensor | None = None,
        scale: ArrayLike | Tensor | None = None,
        motion_gain: float = 1.0,
        motion_factor: float = 0.0,
        limit: float | None = None,
    ) -> None:
        super().__init__()
        weights = _copied(weight)
        zeros = torch.zeros(weights.shape[1:])
        self.weight = nn.Parameter(weights)
        self.bias = nn.Parameter(torch.zeros(len(weights)) if bias is None else _copied(bias))
        self.register_buffer("center", zeros if center is None else _copied(center))
        self.register_buffer("scale", zeros + 1 if scale is None else _copied(scale))
        self.register_buffer("motion_factors", torch.tensor((motion_gain, motion_factor)))
        self.limit = limit

    def forward(self, standardized: Tensor) -> Tensor:
        """Standardized statistics `… M` to logits `… K`."""
        return F.linear(standardized, self.weight, self.bias)

    def standardized(self, statistics: Tensor, rows: Tensor | None = None) -> Tensor:
        """(x - center) / scale; with `rows`, `…`, by these rows of center and scale."""
        if rows is None:
            return (statistics - self.center) / self.scale
        return (statistics - self.center[rows]) / self.scale[rows]

    def distances(self, standardized: Tensor) -> Tensor:
        """Distances `…` of standardized statistics `… M`."""
        has_center = self.center.reshape(-1, self.center.shape[-1]).any(0)
        counted = self.weight.any(0) | has_center
        return standardized.square() @ counted.to(standardized.dtype)

    def with_motion(self, logits: Tensor, motion: Tensor | None) -> Tensor:
        """The sum of logits `… K` and the first K outputs of motion, `… K+1`
        (`motion_memory.motion_layer`).
        """
        return logits if motion is None else logits + self.motion_factors[0] * motion[..., :-1]

    def farther(self, distances: Tensor, motion: Tensor | None) -> Tensor:
        """The larger one of distances `…` and the distances of motion, `… K+1`."""
        if motion is None:
            return distances
        return distances.maximum(self.motion_factors[1] * motion[..., -1])


class Heads(nn.ModuleDict):
    """The heads of a model by name."""

    def __getitem__(self, name: str) -> Head:
        return cast(Head, super().__getitem__(name))

    def outputs(self, name: str) -> int:
        """The number of outputs of a head; 0: there is none of this name."""
        return len(self[name].weight) if name in self else 0


def _copied(values: ArrayLike | Tensor) -> Tensor:
    return torch.as_tensor(values).detach().to(torch.get_default_dtype(), copy=True)

"""Heads: linear layers on standardized statistics."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

EVENT_HEADS = ("event", "window", "low_rate_event", "low_rate_window")
STATES_BY = "state_"  # before the name of an eye: its head of states
OF_PICTURES = (*EVENT_HEADS, "state", "static_scene")  # besides `clip`; they are not trainable
FACTORS = "_factors"  # after the name of an eye: a buffer


class Head(nn.Module):
    """A linear layer on standardized statistics x, and their distance from training:

        logits = weight · (x - center) / scale + bias,   distance = Σ ((x - center) / scale)²

    The distance sums over the statistics that have a weight or a center. A record of NumPy arrays
    with the same names is `training.regression.LinearLayer`: `Head(**layer._asdict())`.

    Args:
        weight: `K M` for K outputs and M statistics.
        bias: `K`; None: zeros.
        center, scale: `M`, or one row for each number of frames, `W M`; None: zeros and ones.
        factors: for each other eye, a gain that multiplies its logits, which are added, and a factor
            that brings its squared distances to the scale of pictures; 0: they do not count.
        limit: the novelty limit, a distance; None: unknown.
    """

    center: Tensor
    scale: Tensor

    def __init__(
        self,
        weight: ArrayLike | Tensor,
        bias: ArrayLike | Tensor | None = None,
        *,
        center: ArrayLike | Tensor | None = None,
        scale: ArrayLike | Tensor | None = None,
        factors: Mapping[str, tuple[float, float]] = MappingProxyType({}),
        limit: float | None = None,
    ) -> None:
        super().__init__()
        weights = _copied(weight)
        zeros = torch.zeros(weights.shape[1:])
        self.weight = nn.Parameter(weights)
        self.bias = nn.Parameter(torch.zeros(len(weights)) if bias is None else _copied(bias))
        self.register_buffer("center", zeros if center is None else _copied(center))
        self.register_buffer("scale", zeros + 1 if scale is None else _copied(scale))
        for eye, values in factors.items():
            self.set_factors(eye, *values)
        self.limit = limit

    def set_factors(self, eye: str, gain: float = 1.0, factor: float = 0.0) -> None:
        """Let logits and distances of an eye count."""
        self.register_buffer(eye + FACTORS, torch.tensor((gain, factor)).to(self.center))

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

    def with_eyes(
        self, logits: Tensor, distances: Tensor, by_eyes: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The logits `… K` and distances `…` of all eyes together: logits are added, each multiplied
        by the gain of its eye, and the largest distance counts.

        Args:
            logits: `… K`, of pictures.
            distances: `…`, of pictures, without a unit (see the class).
            by_eyes: of each other eye, by its name: its K logits, then its squared distance,
                `… K+1` (`motion_memory.motion_layer`).
        """
        for eye, outputs in by_eyes.items():
            gain, factor = getattr(self, eye + FACTORS)
            logits = logits + gain * outputs[..., :-1]
            distances = distances.maximum(factor * outputs[..., -1])
        return logits, distances


class Heads(nn.ModuleDict):
    """The heads of a model by name."""

    def __getitem__(self, name: str) -> Head:
        return cast(Head, super().__getitem__(name))

    def outputs(self, name: str) -> int:
        """The number of outputs of a head; 0: there is none of this name."""
        return len(self[name].weight) if name in self else 0


def _copied(values: ArrayLike | Tensor) -> Tensor:
    return torch.as_tensor(values).detach().to(torch.get_default_dtype(), copy=True)

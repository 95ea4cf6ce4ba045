"""Heads: linear layers on standardized statistics."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn


class HeadShapes(NamedTuple):
    """The shapes of the parts of a head; None for a part that it lacks."""

    weight: tuple[int, ...]
    bias: tuple[int, ...] | None
    center: tuple[int, ...] | None
    scale: tuple[int, ...] | None

    def zeros(self) -> "Head":
        """A head of these shapes, with scales of one and zeros elsewhere."""
        weight, bias, center = (None if shape is None else torch.zeros(shape) for shape in self[:3])
        scale = None if self.scale is None else torch.ones(self.scale)
        return Head(cast(Tensor, weight), bias, center=center, scale=scale)


class Head(nn.Module):
    """A linear layer on standardized statistics x, and their distance from training:

        logits = weight · (x - center) / scale + bias,   distance = Σ ((x - center) / scale)²

    The distance sums over the statistics that have a weight or a center. A record of NumPy arrays
    with the same names is `training.regression.LinearLayer`: `Head(**layer._asdict())`.

    Args:
        weight: `K M` for K outputs and M statistics.
        bias: `K`.
        center, scale: `M`, or one row for each number of frames, `W M`; None: zeros and ones.
        motion_gain, motion_factor: multiply the logits of motion that are added, and squared
            distances of motion, for distances as large as those of pictures; 0: motion counts for
            none.
        limit: novelty limit, a distance; None: unknown.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    center: Tensor
    scale: Tensor
    motion_factors: Tensor

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
        self.weight = nn.Parameter(_copied(weight))
        self.register_parameter("bias", None if bias is None else nn.Parameter(_copied(bias)))
        self.register_buffer("center", None if center is None else _copied(center))
        self.register_buffer("scale", None if scale is None else _copied(scale))
        self.register_buffer("motion_factors", torch.tensor((motion_gain, motion_factor)))
        self.limit = limit

    def forward(self, standardized: Tensor) -> Tensor:
        """Standardized statistics `… M` to logits `… K`."""
        return F.linear(standardized, self.weight, self.bias)

    def standardized(self, statistics: Tensor, rows: Tensor | None = None) -> Tensor:
        """(x - center) / scale; with `rows`, the rows of center and scale to use, `…`."""
        center = self.center
        scale = self.scale
        if rows is not None:
            center = center[rows]
            scale = scale[rows]
        return (statistics - center) / scale

    def distances(self, standardized: Tensor) -> Tensor:
        """Distances `…` of standardized statistics `… M`."""
        has_center = self.center.reshape(-1, self.center.shape[-1]).any(0)
        counted = self.weight.any(0) | has_center
        return standardized.square() @ counted.to(standardized.dtype)

    def with_motion(self, logits: Tensor, motion: Tensor | None) -> Tensor:
        """The sum of logits `… K` and those of motion, `… K+1` (`motion_memory.motion_layer`)."""
        return logits if motion is None else logits + self.motion_factors[0] * motion[..., :-1]

    def farther(self, distances: Tensor, motion: Tensor | None) -> Tensor:
        """The larger one of distances `…` and those of motion, `… K+1`."""
        if motion is None:
            return distances
        return distances.maximum(self.motion_factors[1] * motion[..., -1])

    def completed(self, name: str, shapes: HeadShapes) -> "Head":
        """This head, with a center of zeros and a scale of ones where they are missing, and one
        bias for all where several are expected.

        Raises:
            ValueError: a part has another shape.
        """
        blank = shapes.zeros()
        if self.bias is not None and self.bias.shape == (1,) and shapes.bias is not None:
            self.bias = nn.Parameter(self.bias.detach().repeat(shapes.bias))
        for part in ("center", "scale"):
            if getattr(self, part) is None:
                setattr(self, part, getattr(blank, part))
        for part, expected in shapes._asdict().items():
            values = getattr(self, part)
            shape = None if values is None else tuple(values.shape)
            if shape != expected:
                raise ValueError(f"{part} of the head {name} is {shape}, expected {expected}")
        return self


class Heads(nn.ModuleDict):
    """The heads of a model by name."""

    def __getitem__(self, name: str) -> Head:
        return cast(Head, super().__getitem__(name))

    def outputs(self, name: str) -> int:
        """The number of outputs of a head; 0: there is none of this name."""
        return len(self[name].weight) if name in self else 0

    def discard(self, names: Sequence[str]) -> None:
        """Remove the heads with these names, if there are any."""
        for name in names:
            if name in self:
                del self[name]


def _copied(values: ArrayLike | Tensor) -> Tensor:
    return torch.as_tensor(values).detach().to(torch.get_default_dtype(), copy=True)

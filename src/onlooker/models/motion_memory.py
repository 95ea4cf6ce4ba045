"""Motion words in the memory of a stream, and linear layers on the Fisher vectors of windows.

A row of motion words, `1+F`, is the number of blocks that ended since the frame before and their
sums (`base.fisher`). The row of a window is the sum of the rows of its frames. Memory holds the
roots of rows in 8 bits; files are rounded in the same way.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker.base.fisher import PARTS, fisher_vector

_LEVELS = 127  # of the root of a motion word, on either side of zero
_SMALLEST = 1e-30  # unit of levels

Layer = Callable[[Tensor], Tensor]


def motion_roots(motion: Tensor) -> tuple[Tensor, Tensor]:
    """The signed roots of motion words `… 1+F` as whole numbers `… F`; and the number of blocks
    and the units of the parts, `… 5`.
    """
    words = motion[..., 1:].unflatten(-1, (PARTS, -1))
    roots = words.sign() * words.abs().sqrt()
    units = (roots.abs().amax(-1, keepdim=True) / _LEVELS).clamp_min(_SMALLEST)
    levels = (roots / units).round().flatten(-2)
    return levels, torch.cat((motion[..., :1], units[..., 0]), -1)


def motion_rows(roots: Tensor, units: Tensor) -> Tensor:
    """Motion words `… 1+F` from their roots and units (`motion_roots`)."""
    exact = roots.unflatten(-1, (PARTS, -1)) * units[..., 1:, None]
    return torch.cat((units[..., :1], (exact * exact.abs()).flatten(-2)), -1)


def rounded_motion(motion: Tensor) -> Tensor:
    """Motion words `… 1+F`, rounded as in the memory of a stream."""
    return motion_rows(*motion_roots(motion))


def window_sums(rows: Tensor, lengths: Sequence[int]) -> Iterator[Tensor]:
    """For each length, the rows of the windows that end at each frame of videos, or as much of them
    as there is: `B T 1+F`.
    """
    # as `models.windows.windowed`
    exact = torch.float32 if rows.device.type == "mps" else torch.float64
    sums = F.pad(rows.to(exact).cumsum(1), (0, 0, 1, 0))
    ends = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    for n in lengths:
        yield (sums[:, 1:] - sums[:, (ends - n).clamp_min(0)]).to(rows.dtype)


def newest_sums(rows: Tensor, lengths: Sequence[int]) -> Iterator[Tensor]:
    """For each length, the row of the window that ends with the last frame of rows `B T 1+F`: `B 1+F`."""
    return (rows[:, -n:].sum(1) for n in lengths)


def motion_outputs(sums: Iterable[Tensor], layer: Layer) -> Tensor:
    """The outputs of a layer on the Fisher vectors of L windows, `… 1+F` each: `… L outputs`; zeros
    where there are no blocks.
    """
    return torch.stack([layer(fisher_vector(row)).where(row[..., :1] > 0, 0) for row in sums], -2)


def motion_layer(vectors: Tensor, *, head: Layer, center: Tensor, unit: float = 1.0) -> Tensor:
    """The logits of Fisher vectors `… F`, and their squared distances from a center as multiples of
    a unit: `… K+1`. The center is not subtracted from the vectors of the logits.
    """
    distances = (vectors - center).square().sum(-1, keepdim=True) / unit
    return torch.cat((head(vectors), distances), -1)

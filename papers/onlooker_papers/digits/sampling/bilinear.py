"""Bilinear interpolation at learned locations.

At an integer coordinate the gradient is the one to the right and below. NaN coordinates give NaN,
and never read outside the planes.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def padded(side: int) -> int:
    """The height or width of planes for `sample`: the next power of two.

    `grid_sample` takes coordinates divided by the size. Division by a power of two is exact: an
    integer coordinate stays one.
    """
    return 1 << (side - 1).bit_length()


def pad_planes(planes: Tensor) -> Tensor:
    """`… H W` with zeros on the right and below, up to `padded`."""
    height, width = planes.shape[-2:]
    below = padded(height) - height
    right = padded(width) - width
    return F.pad(planes, (0, right, 0, below)) if below or right else planes.contiguous()


def normalize(coordinates: Tensor, side: int) -> Tensor:
    """Convert coordinates in pixels to those of `sample`, for planes of `side` pixels before
    padding.
    """
    return (2 * coordinates + 1) / padded(side) - 1


def sample(planes: Tensor, grid: Tensor) -> Tensor:
    """Bilinear interpolation, zero outside: planes `P C H W` and grid `P h w 2` (x, y) to `P C h
    w`.

    The kernel is fastest where x and y are contiguous: a grid `P 2 h w`, permuted.
    """
    return F.grid_sample(planes, grid, align_corners=False)


def wide_dtype(*tensors: Tensor) -> torch.dtype:
    """float32, or float64 if a tensor has it: half precision cannot represent coordinates."""
    return functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)

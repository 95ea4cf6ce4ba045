"""Bilinear interpolation at learned locations.

At an integer coordinate the gradient is the one to the right and below. NaN coordinates give NaN,
and never read outside the planes.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

# interpolation and padding mode of torch.ops.aten
_BILINEAR = 0
_ZEROS = 0

Backward = TypeVar("Backward", bound=Callable[..., Any])


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
    return torch.ops.aten.grid_sampler_2d(planes, grid, _BILINEAR, _ZEROS, False)


def sample_backward(
    gradient: Tensor, planes: Tensor, grid: Tensor, needs_planes: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of `sample` with respect to its planes (if needed) and its grid, `P h w 2`."""
    needs = [needs_planes, True]
    return torch.ops.aten.grid_sampler_2d_backward(
        gradient, planes, grid, _BILINEAR, _ZEROS, False, needs
    )


def wide_dtype(*tensors: Tensor) -> torch.dtype:
    """float32, or float64 if a tensor has it: half precision cannot represent coordinates."""
    return functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)


def without_autocast(backward: Backward) -> Backward:
    """Decorate a backward pass so that autocast does not change it."""

    @functools.wraps(backward)
    def run(ctx: Any, *gradients: Tensor) -> Any:
        with torch.autocast(gradients[0].device.type, enabled=False):
            return backward(ctx, *gradients)

    return cast(Backward, run)

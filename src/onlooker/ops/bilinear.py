"""Reading between pixels: what all deformable layers stand on.

A gradient at a whole coordinate is that to its right and below, as `floor` says. What is not a number stays so, and
never reads outside the planes.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 2  # of zeros around planes: from one pixel outside, everything that is read is zero
_BILINEAR, _ZEROS = 0, 0  # as torch.ops.aten counts modes of interpolation and of padding

Backward = TypeVar("Backward", bound=Callable[..., Any])


class Spots(NamedTuple):
    """Places between pixels of planes `H W` that are stored row after row.

    Args:
        pixel: `… S`, int32, the one above and to the left; never in the last row or column.
        dy, dx: `… S`, how far below and to the right of it, 0 to 1.
    """

    pixel: Tensor
    dy: Tensor
    dx: Tensor


def locate(y: Tensor, x: Tensor, height: int, width: int) -> Spots:
    """Coordinates to spots in planes with a `MARGIN` of zeros; what lies beyond is clipped.

    Args:
        y, x: `… S`, pixels, (0, 0) is the center of the first pixel. Overwritten.
        height, width: H and W of the planes without it.
    """
    # A coordinate on the last pixel belongs to the one before it, so that all four neighbors exist.
    y.clamp_(-MARGIN, height - 1 + MARGIN)
    x.clamp_(-MARGIN, width - 1 + MARGIN)
    top = y.floor().clamp_(max=height - 2 + MARGIN)
    left = x.floor().clamp_(max=width - 2 + MARGIN)
    row = width + 2 * MARGIN
    pixel = top.int().mul_(row).add_(left.int()).add_(MARGIN * (row + 1))
    # Whatever is not a number became some integer.
    pixel.clamp_(0, (height + 2 * MARGIN - 1) * row - 2)
    return Spots(pixel, y.sub_(top), x.sub_(left))


def sampled(side: int) -> int:
    """The side that planes must have for `sample`: the next power of two.

    `grid_sample` wants coordinates from -1 to 1, divided by the side. Division by a power of two is exact: a whole
    coordinate remains one, and its gradient on the right side of it.
    """
    return 1 << (side - 1).bit_length()


def squared(planes: Tensor) -> Tensor:
    """`… H W` with zeros on the right and below, up to the sides that `sample` wants."""
    height, width = planes.shape[-2:]
    if (height, width) == (sampled(height), sampled(width)):
        return planes.contiguous()
    return F.pad(planes, (0, sampled(width) - width, 0, sampled(height) - height))


def line(coordinates: Tensor, side: int) -> Tensor:
    """Coordinates in pixels to those of `sample`, for a plane that was `side` pixels wide."""
    return (2 * coordinates + 1) / sampled(side) - 1


def sample(planes: Tensor, grid: Tensor) -> Tensor:
    """Bilinear reading, zero outside: planes `P C H W` and grid `P h w 2` (x, y) to `P C h w`.

    The kernel is fastest where each of x and y lies contiguous: a grid `P 2 h w`, permuted.
    """
    return torch.ops.aten.grid_sampler_2d(planes, grid, _BILINEAR, _ZEROS, False)


def sample_backward(gradient: Tensor, planes: Tensor, grid: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """The gradients of `sample` to its planes (if wanted), and to its grid, `P h w 2`."""
    return torch.ops.aten.grid_sampler_2d_backward(gradient, planes, grid, _BILINEAR, _ZEROS, False, [wanted, True])


def wide(*tensors: Tensor) -> torch.dtype:
    """float32, or float64 where a tensor is that: coordinates in half precision would miss their pixels."""
    return functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)


def without_autocast(backward: Backward) -> Backward:
    """A backward pass in the precision of its tensors, whatever it is called within."""

    @functools.wraps(backward)
    def run(ctx: Any, *gradients: Tensor) -> Any:
        with torch.autocast(gradients[0].device.type, enabled=False):
            return backward(ctx, *gradients)

    return cast(Backward, run)

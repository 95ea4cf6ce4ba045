"""A straightforward deformable convolution, as a peer of the library's and for second derivatives."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker_papers.digits.sampling.taps import taps_of

MARGIN = 2  # of zeros around planes: from one pixel outside, all samples are zero


class SamplePoints(NamedTuple):
    """Points in planes `H W` that are stored row by row.

    Args:
        pixel: `… S`, int32, index of the pixel above and to the left; never in the last row or
        column.
        dy, dx: `… S`, distance from it, 0 to 1.
    """

    pixel: Tensor
    dy: Tensor
    dx: Tensor


def locate(y: Tensor, x: Tensor, height: int, width: int) -> SamplePoints:
    """Coordinates to points in planes with a `MARGIN` of zeros, clipped to it.

    Args:
        y, x: `… S`, pixels, (0, 0) is the center of the first pixel. Overwritten.
        height, width: H and W of the planes without the margin.
    """
    # A coordinate on the last pixel belongs to the one before it, so that all four neighbors exist.
    y.clamp_(-MARGIN, height - 1 + MARGIN)
    x.clamp_(-MARGIN, width - 1 + MARGIN)
    top = y.floor().clamp_(max=height - 2 + MARGIN)
    left = x.floor().clamp_(max=width - 2 + MARGIN)
    row = width + 2 * MARGIN
    pixel = top.int().mul_(row).add_(left.int()).add_(MARGIN * (row + 1))
    # A NaN coordinate has become an arbitrary integer.
    pixel.clamp_(0, (height + 2 * MARGIN - 1) * row - 2)
    return SamplePoints(pixel, y.sub_(top), x.sub_(left))


def deformable_conv2d_by_autograd(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int = 0,
    mask: Tensor | None = None,
) -> Tensor:
    """The same as `deformable_conv2d` by autograd: slow, keeps all intermediate values, can be
    differentiated twice.
    """
    taps = taps_of(input, offset, weight, padding, mask)
    everywhere = slice(0, taps.locations)
    y, x = (
        taps.offsets(offset)[:, :, axis] + line for axis, line in enumerate(taps.lattice(offset))
    )
    y, x = (
        where.clamp(-MARGIN, side - 1 + MARGIN)
        for where, side in zip((y, x), taps.size, strict=True)
    )
    spots = locate(y.detach().clone(), x.detach().clone(), *taps.size)
    dy = spots.dy + (y - y.detach())
    dx = spots.dx + (x - x.detach())
    planes = F.pad(input, (MARGIN,) * 4).flatten(2)
    row = taps.size[1] + 2 * MARGIN
    pixel, dy, dx = (part.reshape(len(y), 1, -1) for part in (spots.pixel, dy, dx))
    columns = interpolate(planes, pixel, dy, dx, row).view(*planes.shape[:2], taps.taps, -1)
    if mask is not None:
        columns = columns * taps.mask(mask, everywhere)
    out = weight.flatten(1) @ columns.flatten(1, 2)
    out = out.view(len(input), len(weight), *taps.out_size)
    return out if bias is None else out + bias[:, None, None]


def interpolate(planes: Tensor, pixel: Tensor, dy: Tensor, dx: Tensor, row: int) -> Tensor:
    """Bilinear interpolation: planes `… HW` of row length `row` at locations `… S` that broadcast
    to them, to `… S`.
    """
    index = pixel.long().expand(*planes.shape[:-1], -1)
    upper, lower = (
        torch.lerp(
            planes[..., shift:].gather(-1, index), planes[..., shift + 1 :].gather(-1, index), dx
        )
        for shift in (0, row)
    )
    return torch.lerp(upper, lower, dy)

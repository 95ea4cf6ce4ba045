"""A straightforward deformable convolution, as a peer of the library's and for second derivatives."""

import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker_papers.digits.sampling.bilinear import MARGIN, locate
from onlooker_papers.digits.sampling.taps import taps_of


def deformable_conv2d_by_autograd(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int = 0,
    mask: Tensor | None = None,
) -> Tensor:
    """The same as `deformable_conv2d` by autograd: slow, keeps all intermediate values, can be differentiated twice."""
    taps = taps_of(input, offset, weight, padding, mask)
    everywhere = slice(0, taps.locations)
    y, x = taps.coordinates(offset, taps.lattice(offset), everywhere)
    y, x = (where.clamp(-MARGIN, side - 1 + MARGIN) for where, side in zip((y, x), taps.size, strict=True))
    spots = locate(y.detach().clone(), x.detach().clone(), *taps.size)
    dy, dx = spots.dy + (y - y.detach()), spots.dx + (x - x.detach())
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
    """Bilinear interpolation: planes `… HW` of row length `row` at locations `… S` that broadcast to them, to `… S`."""
    index = pixel.long().expand(*planes.shape[:-1], -1)
    upper, lower = (
        torch.lerp(planes[..., shift:].gather(-1, index), planes[..., shift + 1 :].gather(-1, index), dx)
        for shift in (0, row)
    )
    return torch.lerp(upper, lower, dy)

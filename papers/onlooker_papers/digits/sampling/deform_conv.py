"""Deformable convolution (Dai et al. 2017): kernel taps sample the input at learned offsets.

`ByPlanes` samples each channel with PyTorch's grid sampler: for few channels, and on any device. `ByRows` is for
many channels on a CPU: the channels of a pixel are a row of a table, so bilinear interpolation is a weighted sum of
four rows, an embedding bag, which is vectorized. The derivatives with respect to y and x are embedding bags with other
weights, and so is the gradient of the table, once the samples are sorted by pixel.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from onlooker_papers.digits.sampling.bilinear import (
    MARGIN,
    locate,
    pad_planes,
    padded,
    sample,
    sample_backward,
    wide_dtype,
    without_autocast,
)
from onlooker_papers.digits.sampling.taps import Taps, taps_of

_MANY = 16  # number of channels from which `ByRows` is faster on a CPU
PLANES_CHUNK = 1 << 18  # columns per thread of `ByPlanes` at a time
ROWS_CHUNK = 1 << 15  # samples of `ByRows` at a time, at least: PyTorch sorts fewer by a slower method


class DeformableConv2d(nn.Module):
    """`y(p) = Σ_n w(p_n) · x(p + p_n + Δp_n)` (equation 1b of Shan & Atanasov 2017), zero outside the map.

    The offsets Δp_n come from a convolution with 2 channels per tap, which starts at zero: the layer starts as an
    ordinary convolution.

    Args:
        in_channels, out_channels: C of input and output.
        kernel_size: height and width of the kernel.
        padding: zeros on each side.
        modulated: multiply each tap by a predicted sigmoid, which starts at one half (Zhu et al. 2019).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, padding: int = 0, modulated: bool = False
    ) -> None:
        super().__init__()
        self.padding, self.taps, self.modulated = padding, kernel_size**2, modulated
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding)
        self.offsets = nn.Conv2d(in_channels, self.taps * (3 if modulated else 2), kernel_size, padding=padding)
        nn.init.zeros_(self.offsets.weight)
        assert self.offsets.bias is not None
        nn.init.zeros_(self.offsets.bias)

    def forward(self, features: Tensor) -> Tensor:
        """`N C H W -> N O H' W'`."""
        offset, mask = self.offsets(features).tensor_split((2 * self.taps,), 1)
        mask = mask.sigmoid() if self.modulated else None
        return deformable_conv2d(features, offset, self.conv.weight, self.conv.bias, padding=self.padding, mask=mask)


def deformable_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int = 0,
    mask: Tensor | None = None,
) -> Tensor:
    """`torchvision.ops.deform_conv2d` with stride 1, faster, with less memory; half precision is computed in float32.

    Args:
        input: `N C H W`.
        offset: `N 2·K H' W'`, pixels: Δy, Δx for each of the K = kh·kw taps.
        weight: `O C kh kw`.
        bias: `O`.
        padding: zeros on each side.
        mask: `N K H' W'`, factors of the taps (version 2, Zhu et al. 2019).

    Returns:
        `N O H' W'`.

    Raises:
        ValueError: the shapes do not fit.
    """
    taps = taps_of(input, offset, weight, padding, mask)
    dtype = wide_dtype(input, offset)
    many = input.device.type == "cpu" and dtype == torch.float32 and taps.channels >= _MANY
    method = ByRows if many else ByPlanes
    with torch.autocast(input.device.type, enabled=False):
        tensors = (None if t is None else t.to(dtype) for t in (input, offset, weight, mask))
        out = method.apply(*tensors, taps).to(input.dtype)
    return out if bias is None else out + bias.to(out.dtype)[:, None, None]


class ByPlanes(torch.autograd.Function):
    """Saves only its inputs: the columns, K times as large, are computed again for the gradients."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, taps: Taps) -> Tensor:
        """`N O H' W'`."""
        ctx.save_for_backward(input, offset, weight, mask)
        ctx.taps = taps
        out = input.new_empty(len(input), len(weight), taps.locations)
        kernels, lattice = weight.flatten(1), taps.normalized_lattice(offset)
        for n, location in taps.chunks(len(input), PLANES_CHUNK * torch.get_num_threads()):
            samples = sample(pad_planes(input[n]), taps.grid(offset[n], lattice, location))
            if mask is not None:
                samples *= taps.mask(mask[n], location)
            out[n, :, location] = kernels @ samples.flatten(1, 2)
        return out.view(len(input), len(weight), *taps.out_size)

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all five arguments."""
        input, offset, weight, mask = ctx.saved_tensors
        taps: Taps = ctx.taps
        gradient = gradients[0].reshape(len(input), len(weight), taps.locations)
        kernels, lattice = weight.flatten(1), taps.normalized_lattice(offset)
        by_input, by_offset, by_weight = torch.zeros_like(input), torch.empty_like(offset), torch.zeros_like(kernels)
        by_mask = None if mask is None else torch.empty_like(mask)
        for n, location in taps.chunks(len(input), PLANES_CHUNK * torch.get_num_threads()):
            planes, grid = pad_planes(input[n]), taps.grid(offset[n], lattice, location)
            samples = sample(planes, grid)
            part = gradient[n, :, location]
            by_samples = (kernels.mT @ part).view(samples.shape)
            if mask is not None and by_mask is not None:
                factor = taps.mask(mask[n], location)
                by_mask[n].view(-1, taps.taps, taps.locations)[..., location] = (by_samples * samples).sum(1)
                samples *= factor
                by_samples *= factor
            by_weight += (part @ samples.flatten(1, 2).mT).sum(0)
            by_planes, by_grid = sample_backward(by_samples, planes, grid, ctx.needs_input_grad[0])
            # The grid has x before y, in units of half a side.
            for axis, side in enumerate(taps.size):
                target = taps.offsets(by_offset[n])[..., axis, location]
                torch.mul(by_grid[..., 1 - axis], 2 / padded(side), out=target)
            if ctx.needs_input_grad[0]:
                by_input[n] += by_planes[..., : taps.size[0], : taps.size[1]]
        return by_input, by_offset, by_weight.view(weight.shape), by_mask, None


class ByRows(torch.autograd.Function):
    """Saves only its inputs: the columns, K times as large, are computed again for the gradients."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, taps: Taps) -> Tensor:
        """`N O H' W'`."""
        ctx.save_for_backward(input, offset, weight, mask)
        ctx.taps = taps
        out = input.new_empty(len(input), len(weight), taps.locations)
        kernels = _kernels(weight)
        lattice = taps.lattice(offset)
        for n, location in taps.chunks(len(input), ROWS_CHUNK * taps.channels):
            reads = _Reads(input[n], taps.coordinates(offset[n], lattice, location), taps)
            bags = reads.weights(reads.y, reads.x)
            if mask is not None:
                bags *= reads.mask(mask[n], location)
            columns = reads.sum(bags).view(len(out[n]), -1, kernels.shape[1])
            out[n, :, location] = kernels @ columns.mT
        return out.view(len(input), len(weight), *taps.out_size)

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all five arguments."""
        input, offset, weight, mask = ctx.saved_tensors
        taps: Taps = ctx.taps
        gradient = gradients[0].reshape(len(input), len(weight), taps.locations)
        kernels = _kernels(weight)
        by_input, by_offset, by_kernels = torch.zeros_like(input), torch.empty_like(offset), torch.zeros_like(kernels)
        by_mask = None if mask is None else torch.empty_like(mask)
        lattice = taps.lattice(offset)
        for n, location in taps.chunks(len(input), ROWS_CHUNK * taps.channels):
            reads = _Reads(input[n], taps.coordinates(offset[n], lattice, location), taps)
            bags = reads.weights(reads.y, reads.x)
            part = gradient[n, :, location]
            by_columns = part.mT @ kernels
            by_rows = by_columns.view(-1, taps.channels)
            factor = None if mask is None else reads.mask(mask[n], location)
            if by_mask is not None:
                reads.put(by_mask[n].view(-1, taps.taps, taps.locations)[..., location], reads.sum(bags), by_rows)
            if factor is not None:
                bags *= factor
            columns = reads.sum(bags).view(by_columns.shape)
            by_kernels += (part @ columns).sum(0)
            for axis in (0, 1):
                slope = reads.slope(axis)
                if factor is not None:
                    slope *= factor
                target = by_offset[n].view(-1, taps.taps, 2, taps.locations)[:, :, axis, location]
                reads.put(target, reads.sum(slope), by_rows)
            if ctx.needs_input_grad[0]:
                by_input[n] += reads.spread(bags, by_rows)
        by_weight = by_kernels.view(len(weight), *taps.kernel, taps.channels).permute(0, 3, 1, 2)
        return by_input, by_offset, by_weight, by_mask, None


class _Reads:
    """R samples at some locations of some images, ordered by image, location and tap.

    Args:
        input: `n C H W`.
        coordinates: y and x, each `n K l`. Overwritten.
    """

    def __init__(self, input: Tensor, coordinates: tuple[Tensor, Tensor], taps: Taps) -> None:
        self.taps, self.images = taps, len(input)
        padded = F.pad(input, (MARGIN,) * 4).permute(0, 2, 3, 1)
        self.table = padded.reshape(-1, taps.channels).contiguous()
        spots = locate(*coordinates, *taps.size)
        first = torch.arange(self.images, dtype=torch.int32) * (len(self.table) // max(1, self.images))
        self.pixel = self.order(spots.pixel + first[:, None, None])
        below, right = self.order(spots.dy), self.order(spots.dx)
        self.y, self.x = (1 - below, below), (1 - right, right)
        self.row = taps.size[1] + 2 * MARGIN
        self.shifts = (0, 1, self.row, self.row + 1)
        self.corners = torch.empty(len(self.pixel), 4, dtype=torch.int32)
        for corner, shift in enumerate(self.shifts):
            torch.add(self.pixel, shift, out=self.corners[:, corner])

    def order(self, values: Tensor) -> Tensor:
        """`n … K·L` to `R`: the taps of a location are consecutive."""
        return values.view(self.images, self.taps.taps, -1).mT.flatten()

    def mask(self, mask: Tensor, location: slice) -> Tensor:
        """`n K H' W'` to `R 1`."""
        return self.order(self.taps.mask(mask, location))[:, None]

    def weights(self, y: tuple[Tensor, Tensor], x: tuple[Tensor, Tensor]) -> Tensor:
        """Weights of the four pixels, `R 4`, from factors of upper and lower, left and right ones."""
        bags = torch.empty(len(self.pixel), 4)
        for corner in range(4):
            torch.mul(y[corner // 2], x[corner % 2], out=bags[:, corner])
        return bags

    def slope(self, axis: int) -> Tensor:
        """The weights of the derivative with respect to y (axis 0) or x: `R 4`."""
        one = torch.ones_like(self.pixel, dtype=torch.float32)
        rise = (-one, one)
        return self.weights(rise, self.x) if axis == 0 else self.weights(self.y, rise)

    def sum(self, weights: Tensor) -> Tensor:
        """The weighted sum of four rows of the table for each sample: `R C`."""
        return F.embedding_bag(self.corners, self.table, mode="sum", per_sample_weights=weights)

    def put(self, target: Tensor, values: Tensor, gradient: Tensor) -> None:
        """Fill `target` (`n K L`) with the products of `values` and `gradient` (`R C`), summed over the channels."""
        target.copy_(values.mul_(gradient).sum(1).view(self.images, -1, self.taps.taps).mT)

    def spread(self, weights: Tensor, gradient: Tensor) -> Tensor:
        """The adjoint of `sum`, `R C` to images `n C H W`."""
        low, high = (int(end) for end in self.pixel.aminmax())
        pixel, order = torch.sort(self.pixel - low)
        count = high - low + 1
        ends = torch.bincount(pixel, minlength=count).cumsum(0)
        starts = F.pad(ends, (1, 0))
        table = torch.zeros_like(self.table)
        for corner, shift in enumerate(self.shifts):
            table[low + shift : low + shift + count] += F.embedding_bag(
                order,
                gradient,
                starts,
                mode="sum",
                per_sample_weights=weights[:, corner].index_select(0, order),
                include_last_offset=True,
            )
        whole = table.view(self.images, -1, self.row, self.taps.channels)
        return whole[:, MARGIN:-MARGIN, MARGIN:-MARGIN].permute(0, 3, 1, 2)


def _kernels(weight: Tensor) -> Tensor:
    """`O C kh kw` to `O K·C`."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)

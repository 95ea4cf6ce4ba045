"""Deformable convolution (Dai et al. 2017): kernel taps sample the input at learned offsets."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from onlooker_papers.digits.sampling.bilinear import (
    pad_planes,
    padded,
    sample,
    sample_backward,
    wide_dtype,
    without_autocast,
)
from onlooker_papers.digits.sampling.taps import Taps, taps_of

CHUNK = 1 << 18  # columns per thread at a time


class DeformableConv2d(nn.Module):
    """`y(p) = Σ_n w(p_n) · x(p + p_n + Δp_n)` (equation 1b of Shan & Atanasov 2017), zero outside
    the map.

    The offsets Δp_n come from a convolution with 2 channels per tap, which starts at zero: the
    layer starts as an ordinary convolution.

    Args:
        in_channels, out_channels: C of input and output.
        kernel_size: height and width of the kernel.
        padding: zeros on each side.
        modulated: multiply each tap by a predicted sigmoid, which starts at one half (Zhu et al.
            2019).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int = 0,
        modulated: bool = False,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.taps = kernel_size**2
        self.modulated = modulated
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding)
        self.offsets = nn.Conv2d(
            in_channels, self.taps * (3 if modulated else 2), kernel_size, padding=padding
        )
        nn.init.zeros_(self.offsets.weight)
        assert self.offsets.bias is not None
        nn.init.zeros_(self.offsets.bias)

    def forward(self, features: Tensor) -> Tensor:
        """`N C H W -> N O H' W'`."""
        offset, mask = self.offsets(features).tensor_split((2 * self.taps,), 1)
        mask = mask.sigmoid() if self.modulated else None
        return deformable_conv2d(
            features, offset, self.conv.weight, self.conv.bias, padding=self.padding, mask=mask
        )


def deformable_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int = 0,
    mask: Tensor | None = None,
) -> Tensor:
    """`torchvision.ops.deform_conv2d` with stride 1, faster, with less memory; half precision is
    computed in float32.

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
    with torch.autocast(input.device.type, enabled=False):
        tensors = (None if t is None else t.to(dtype) for t in (input, offset, weight, mask))
        out = _DeformableConv.apply(*tensors, taps).to(input.dtype)
    return out if bias is None else out + bias.to(out.dtype)[:, None, None]


class _DeformableConv(torch.autograd.Function):
    """Saves only its inputs: the columns, K times as large, are computed again for the gradients."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, taps: Taps
    ) -> Tensor:
        """`N O H' W'`."""
        ctx.save_for_backward(input, offset, weight, mask)
        ctx.taps = taps
        out = input.new_empty(len(input), len(weight), taps.locations)
        kernels = weight.flatten(1)
        lattice = taps.normalized_lattice(offset)
        for n, location in taps.chunks(len(input), CHUNK * torch.get_num_threads()):
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
        kernels = weight.flatten(1)
        lattice = taps.normalized_lattice(offset)
        by_input = torch.zeros_like(input)
        by_offset = torch.empty_like(offset)
        by_weight = torch.zeros_like(kernels)
        by_mask = None if mask is None else torch.empty_like(mask)
        for n, location in taps.chunks(len(input), CHUNK * torch.get_num_threads()):
            planes = pad_planes(input[n])
            grid = taps.grid(offset[n], lattice, location)
            samples = sample(planes, grid)
            part = gradient[n, :, location]
            by_samples = (kernels.mT @ part).view(samples.shape)
            if mask is not None and by_mask is not None:
                factor = taps.mask(mask[n], location)
                by_mask[n].view(-1, taps.taps, taps.locations)[..., location] = (
                    by_samples * samples
                ).sum(1)
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

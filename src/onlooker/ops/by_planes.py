"""Deformable convolution channel by channel: for few channels, for groups of them, and for any device."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from onlooker.ops.bilinear import sample, sample_backward, sampled, without_autocast
from onlooker.ops.taps import Taps

CHUNK = 1 << 18  # columns that each thread works on at a time


class ByPlanes(torch.autograd.Function):
    """Saves its inputs alone: the columns, K times as large, are read again for the gradients."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, taps: Taps) -> Tensor:
        """`N O H' W'`."""
        ctx.save_for_backward(input, offset, weight, mask)
        ctx.taps = taps
        out = input.new_empty(len(input), len(weight), *taps.out_size)
        kernels, lattice = taps.weight(weight), taps.lines(offset)
        for n, place in taps.chunks(len(input), CHUNK * torch.get_num_threads()):
            samples = sample(taps.planes(input[n]), taps.grid(offset[n], lattice, place))
            if mask is not None:
                samples *= taps.mask(mask[n], place)
            taps.outputs(out[n])[..., place] = kernels @ taps.columns(samples)
        return out

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all five arguments."""
        input, offset, weight, mask = ctx.saved_tensors
        taps: Taps = ctx.taps
        gradient = gradients[0].contiguous()
        kernels, lattice = taps.weight(weight), taps.lines(offset)
        by_input, by_offset, by_weight = torch.zeros_like(input), torch.empty_like(offset), torch.zeros_like(kernels)
        by_mask = None if mask is None else torch.empty_like(mask)
        for n, place in taps.chunks(len(input), CHUNK * torch.get_num_threads()):
            planes, grid = taps.planes(input[n]), taps.grid(offset[n], lattice, place)
            samples = sample(planes, grid)
            part = taps.outputs(gradient[n])[..., place]
            by_samples = (kernels.mT @ part).view(samples.shape)
            if mask is not None and by_mask is not None:
                factor = taps.mask(mask[n], place)
                taps.masks(by_mask[n])[..., place] = (by_samples * samples).sum(1)
                samples *= factor
                by_samples *= factor
            by_weight += (part @ taps.columns(samples).mT).sum(0)
            by_planes, by_grid = sample_backward(by_samples, planes, grid, ctx.needs_input_grad[0])
            # The grid counts x before y, and in shares of half a side.
            for axis, side in enumerate(taps.size):
                target = taps.moves(by_offset[n])[..., axis, place]
                torch.mul(by_grid[..., 1 - axis], 2 / sampled(side), out=target)
            if ctx.needs_input_grad[0]:
                by_input[n] += by_planes[..., : taps.size[0], : taps.size[1]].reshape(-1, *input.shape[1:])
        return by_input, by_offset, by_weight.view(weight.shape), by_mask, None

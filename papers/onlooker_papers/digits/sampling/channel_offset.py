"""The offset layer of Shan & Atanasov 2017 (after F. Lau): one offset field per channel."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from onlooker_papers.digits.sampling.bilinear import (
    normalize,
    pad_planes,
    padded,
    sample,
    sample_backward,
    wide_dtype,
    without_autocast,
)

CHUNK = 1 << 17  # elements worked on at a time

_hardtanh_backward = torch.ops.aten.hardtanh_backward.grad_input


class ChannelOffset(nn.Module):
    """A 3×3 convolution predicts an offset for every channel and location (Shan & Atanasov 2017).

    The convolution from C to 2C channels, `(Δy, Δx)` of each channel in turn, has no bias; its weights start from
    N(0, 0.01).

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        nn.init.normal_(self.offsets.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """`N C H W -> N C H W`."""
        return channel_offset(features, self.offsets(features))


def channel_offset(features: Tensor, offsets: Tensor) -> Tensor:
    """Bilinear sampling with an offset per channel: `out[n, c, i, j] = features[n, c, i + Δy, j + Δx]`.

    Coordinates are clipped to the border; offsets that reach the border or beyond get no gradient, as in `grid_sample`.
    Half precision is computed in float32.

    Args:
        features: `N C H W`.
        offsets: `N 2C H W`, pixels: channel 2c is Δy and 2c + 1 is Δx of feature channel c.

    Returns:
        `N C H W`.

    Raises:
        ValueError: the shapes do not fit.
    """
    N, C, H, W = features.shape
    if tuple(offsets.shape) != (N, 2 * C, H, W):
        raise ValueError(f"offsets are {tuple(offsets.shape)}, expected {(N, 2 * C, H, W)} for {C} channels")
    dtype = wide_dtype(features, offsets)
    with torch.autocast(features.device.type, enabled=False):
        return _ChannelOffset.apply(features.to(dtype), offsets.to(dtype)).to(features.dtype)


class _ChannelOffset(torch.autograd.Function):
    """Saves only its two inputs, and samples again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(features, offsets)
        planes, moves = _planes(features, offsets)
        out = torch.empty_like(planes)
        lines = _lines(moves, features.shape[2:])
        for part in _chunks(planes):
            grid, _ = _grid(moves[part], lines, features.shape[2:])
            out[part] = sample(pad_planes(planes[part]), grid).view(out[part].shape)
        return out.view(features.shape)

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        features, offsets = ctx.saved_tensors
        planes, moves = _planes(features, offsets)
        gradient = gradients[0].reshape(len(planes), 1, 1, -1)
        by_features, by_offsets = torch.empty_like(planes), torch.empty_like(moves)
        H, W = features.shape[2:]
        lines = _lines(moves, (H, W))
        for part in _chunks(planes):
            grid, raw = _grid(moves[part], lines, (H, W))
            needed = ctx.needs_input_grad[0]
            by_planes, by_grid = sample_backward(gradient[part], pad_planes(planes[part]), grid, needed)
            if needed:
                by_features[part] = by_planes[..., :H, :W]
            # The grid has x before y, in units of half the side length.
            for axis, side in enumerate((H, W)):
                slope = by_offsets[part, axis]
                torch.mul(by_grid[:, 0, :, 1 - axis], 2 / padded(side), out=slope)
                _hardtanh_backward(slope, raw[:, axis], *_ends(side), grad_input=slope)
        return by_features.view(features.shape), by_offsets.view(offsets.shape)


def _planes(features: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """`N C H W` and `N 2C H W` to `P 1 H W` and `P 2 S`, S = HW."""
    H, W = features.shape[2:]
    return features.reshape(-1, 1, H, W), offsets.reshape(-1, 2, H * W)


def _chunks(planes: Tensor) -> list[slice]:
    step = max(1, CHUNK // planes[0].numel()) if len(planes) else 1
    return [slice(first, first + step) for first in range(0, len(planes), step)]


def _lines(moves: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The coordinates without offsets, y and x, each `S`."""
    y, x = (normalize(torch.arange(side, dtype=moves.dtype, device=moves.device), side) for side in size)
    return y.repeat_interleave(size[1]), x.repeat(size[0])


def _ends(side: int) -> tuple[float, float]:
    """The coordinates of the first and the last pixel; exact, see `padded`."""
    return 1 / padded(side) - 1, (2 * side - 1) / padded(side) - 1


def _grid(moves: Tensor, lines: tuple[Tensor, Tensor], size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Offsets `P 2 S` to the clipped grid `P 1 S 2` (x, y), and the one before clipping, `P 2 S` (y, x)."""
    raw, clipped = torch.empty_like(moves), torch.empty_like(moves)
    for axis, side in enumerate(size):
        torch.add(lines[axis], moves[:, axis], alpha=2 / padded(side), out=raw[:, axis])
        torch.clamp(raw[:, axis], *_ends(side), out=clipped[:, 1 - axis])
    # One long row, because the kernel is fastest if x and y are contiguous.
    return clipped.mT[:, None], raw

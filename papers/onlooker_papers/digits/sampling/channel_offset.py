"""The offset layer of Shan & Atanasov 2017 (after F. Lau): one offset field per channel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.sampling.bilinear import (
    normalize,
    pad_planes,
    padded,
    sample,
    wide_dtype,
)


class ChannelOffset(nn.Module):
    """A 3×3 convolution predicts an offset for every channel and location (Shan & Atanasov 2017).

    The convolution from C to 2C channels, `(Δy, Δx)` of each channel in turn, has no bias; its
    weights start from N(0, 0.01).

    Args:
        channels: C.
        literal: the offsets of a channel are read as the authors' code does; see `channel_offset`.
    """

    def __init__(self, channels: int, literal: bool = False) -> None:
        super().__init__()
        self.literal = literal
        self.offsets = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        nn.init.normal_(self.offsets.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """`N C H W -> N C H W`."""
        return channel_offset(features, self.offsets(features), self.literal)


def channel_offset(features: Tensor, offsets: Tensor, literal: bool = False) -> Tensor:
    """Bilinear sampling with an offset per channel: `out[n, c, i, j] = features[n, c, i + Δy, j +
    Δx]`.

    Coordinates are clipped to the border; offsets that reach the border or beyond get no gradient,
    as in `grid_sample`. Half precision is computed in float32.

    Args:
        features: `N C H W`.
        offsets: `N 2C H W`, pixels: channel 2c is Δy and 2c + 1 is Δx of feature channel c.
        literal: as the authors' code, which reshapes `N 2C H W` to `N*C H W 2`: Δy and Δx of a
            pixel are neighbors in one plane of offsets, in 2c for the upper half of the map and in
            2c + 1 for the lower half.

    Returns:
        `N C H W`.

    Raises:
        ValueError: the shapes do not fit.
    """
    N, C, H, W = features.shape
    if tuple(offsets.shape) != (N, 2 * C, H, W):
        raise ValueError(
            f"offsets are {tuple(offsets.shape)}, expected {(N, 2 * C, H, W)} for {C} channels"
        )
    dtype = wide_dtype(features, offsets)
    with torch.autocast(features.device.type, enabled=False):
        moves = offsets.to(dtype).reshape(N * C, 2, H * W)
        if literal:
            moves = moves.reshape(N * C, H * W, 2).mT
        y, x = (
            normalize(torch.arange(side, dtype=dtype, device=features.device), side)
            for side in (H, W)
        )
        axes = []
        for axis, (side, line) in enumerate(((H, y.repeat_interleave(W)), (W, x.repeat(H)))):
            points = torch.add(line, moves[:, axis], alpha=2 / padded(side))
            # From the first to the last pixel. `hardtanh` has no gradient at the ends; `clamp` has
            # one.
            axes.append(F.hardtanh(points, 1 / padded(side) - 1, (2 * side - 1) / padded(side) - 1))
        # One long row, because the kernel is fastest if x and y are contiguous.
        grid = torch.stack(axes[::-1], 1).mT[:, None]
        planes = pad_planes(features.to(dtype).reshape(N * C, 1, H, W))
        return sample(planes, grid).reshape(N, C, H, W).to(features.dtype)

"""Deformable convolution (Dai et al. 2017): kernel taps sample the input at learned offsets."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onlooker_papers.digits.sampling.bilinear import (
    normalize,
    pad_planes,
    padded,
    sample,
    wide_dtype,
)

# Samples per thread at a time: about as many as fit a core's cache.
_CHUNK = 1 << 18


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
        *,
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
            features, offset, self.conv.weight, bias=self.conv.bias, padding=self.padding, mask=mask
        )


def deformable_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    padding: int = 0,
    mask: Tensor | None = None,
) -> Tensor:
    """`torchvision.ops.deform_conv2d` with stride 1, faster; half precision is computed in float32.

    Images are sampled a few at a time, because larger intermediate values leave the cache.

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
    N, C, *size = input.shape
    kernel = weight.shape[2:]
    out_size = [side + 2 * padding - k + 1 for side, k in zip(size, kernel, strict=True)]
    K = math.prod(kernel)
    for name, given, channels in (("offset", offset, 2 * K), ("mask", mask, K)):
        if given is not None and tuple(given.shape) != (N, channels, *out_size):
            raise ValueError(f"{name} is {tuple(given.shape)}, expected {(N, channels, *out_size)}")
    samples_per_image = C * K * math.prod(out_size)
    images = math.ceil(_CHUNK * torch.get_num_threads() / samples_per_image)
    dtype = wide_dtype(input, offset)
    with torch.autocast(input.device.type, enabled=False):
        places, unit = (part.to(offset.device, dtype) for part in _lattice(size, kernel, padding))
        kernels = weight.to(dtype).flatten(1)
        planes = input.to(dtype).mT.split(images)
        moves = offset.to(dtype).reshape(N, K, 2, -1).split(images)
        factors: Sequence[Tensor | None] = [None] * len(planes)
        if mask is not None:
            factors = mask.to(dtype).reshape(N, 1, K, -1).split(images)
        parts = []
        for plane, move, factor in zip(planes, moves, factors, strict=True):
            # Beyond 3 everything is outside; the sampler cannot compute with infinity.
            points = torch.addcmul(places, move, unit).clamp(-3, 3).movedim(2, -1)
            # An offset has y before x, the sampler takes x before y: planes are transposed.
            samples = sample(pad_planes(plane), points)  # n C K L
            if factor is not None:
                samples = samples * factor
            parts.append(kernels @ samples.flatten(1, 2))
        out = torch.cat(parts).unflatten(2, out_size).to(input.dtype)
    return out if bias is None else out + bias.to(out.dtype)[:, None, None]


def _lattice(size: Sequence[int], kernel: Sequence[int], padding: int) -> tuple[Tensor, Tensor]:
    """Where the taps of a kernel sample planes without offsets, `K 2 L`, y and x; and a pixel, `2 1`.

    Both in the coordinates of `sample`: K taps, L places of the output.
    """
    lines = []
    for side, taps in zip(size, kernel, strict=True):
        first = torch.arange(side + 2 * padding - taps + 1) - padding
        lines.append(normalize(torch.arange(taps)[:, None] + first, side))
    (y, x) = lines
    whole = (*kernel, y.shape[1], x.shape[1])
    axes = (y[:, None, :, None].expand(whole), x[:, None].expand(whole))
    unit = torch.tensor([2 / padded(side) for side in size])
    return torch.stack([axis.flatten(2).flatten(0, 1) for axis in axes], 1), unit[:, None]

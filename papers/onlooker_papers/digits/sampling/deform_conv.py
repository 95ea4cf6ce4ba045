"""Deformable convolution (Dai et al. 2017): kernel taps sample the input at learned offsets."""

import math

import torch
from torch import Tensor, nn

from onlooker_papers.digits.sampling.bilinear import normalize, sample, wide_dtype


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
    """`torchvision.ops.deform_conv2d` with stride 1, faster on a CPU; half precision is computed in float32.

    The samples of all taps are one call of the grid sampler, K times as large as the input.

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
    (N, _, *size), (O, _, *kernel) = input.shape, weight.shape  # noqa: E741
    extent = [side + 2 * padding - k + 1 for side, k in zip(size, kernel, strict=True)]
    K = math.prod(kernel)
    for name, given, channels in (("offset", offset, 2 * K), ("mask", mask, K)):
        if given is not None and tuple(given.shape) != (N, channels, *extent):
            raise ValueError(f"{name} is {tuple(given.shape)}, expected {(N, channels, *extent)}")
    dtype = wide_dtype(input, offset)
    with torch.autocast(input.device.type, enabled=False):
        moves = offset.to(dtype).reshape(N, *kernel, 2, *extent)
        (tap_y, tap_x), (out_y, out_x) = (
            [torch.arange(count, dtype=dtype, device=input.device) for count in counts] for counts in (kernel, extent)
        )
        y = tap_y[:, None, None, None] + out_y[:, None] - padding + moves[:, :, :, 0]
        x = tap_x[:, None, None] + out_x - padding + moves[:, :, :, 1]
        grid = torch.stack((normalize(x, size[1]), normalize(y, size[0])), 1).reshape(N, 2, K, -1)
        # Beyond 3 everything is outside; the sampler cannot compute with infinity.
        samples = sample(input.to(dtype), grid.clamp(-3, 3).permute(0, 2, 3, 1))
        if mask is not None:
            samples = samples * mask.to(dtype).reshape(N, 1, K, -1)
        out = (weight.to(dtype).flatten(1) @ samples.flatten(1, 2)).reshape(N, O, *extent).to(input.dtype)
    return out if bias is None else out + bias.to(out.dtype)[:, None, None]

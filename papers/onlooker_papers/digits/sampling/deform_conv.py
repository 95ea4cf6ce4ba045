"""Deformable convolution (Dai et al. 2017): kernel taps sample the input at learned offsets."""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from onlooker_papers.digits.sampling.bilinear import normalize, pad_planes, padded, wide_dtype

CHUNK = 1 << 18  # samples per thread at a time, which fit into a cache


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

    The samples at all taps are K times as large as the input. They are made in chunks (some images,
    or some locations of a large one), and made again for the gradients.

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
    N, C, *sides = input.shape
    kernel = weight.shape[2:]
    extent = [side + 2 * padding - k + 1 for side, k in zip(sides, kernel, strict=True)]
    K = math.prod(kernel)
    L = math.prod(extent)
    for name, given, channels in (("offset", offset, 2 * K), ("mask", mask, K)):
        if given is not None and tuple(given.shape) != (N, channels, *extent):
            raise ValueError(f"{name} is {tuple(given.shape)}, expected {(N, channels, *extent)}")
    size = CHUNK * torch.get_num_threads()
    images = math.ceil(size / (C * K * L))
    locations = math.ceil(L / max(1, C * K * L // size))

    dtype = wide_dtype(input, offset)
    with torch.autocast(input.device.type, enabled=False):
        moves = offset.to(dtype).reshape(N, K, 2, L)
        if mask is not None:
            moves = torch.cat((moves, mask.to(dtype).reshape(N, K, 1, L)), 2)
        lattice = _lattice(sides, kernel, extent, padding).to(moves)
        scale = 2 / moves.new_tensor([padded(side) for side in sides])
        convolve = partial(_convolve, weight.to(dtype).flatten(1), scale[:, None])
        again = partial(checkpoint, convolve, use_reentrant=False, preserve_rng_state=False)
        rows = []
        for planes, of_images in zip(
            input.to(dtype).split(images), moves.split(images), strict=True
        ):
            of_locations = zip(
                lattice.split(locations, -1), of_images.split(locations, -1), strict=True
            )
            rows.append(torch.cat([again(planes, *part) for part in of_locations], -1))
        out = torch.cat(rows).unflatten(-1, extent).to(input.dtype)
    return out if bias is None else out + bias.to(out.dtype)[:, None, None]


def _lattice(
    sides: Sequence[int], kernel: Sequence[int], extent: Sequence[int], padding: int
) -> Tensor:
    """The coordinates of taps without offsets, y before x: `K 2 L`."""
    y, x = (
        normalize(torch.arange(k)[:, None] + torch.arange(out) - padding, side)
        for side, k, out in zip(sides, kernel, extent, strict=True)
    )
    whole = (*kernel, *extent)
    axes = (y[:, None, :, None].expand(whole), x[None, :, None, :].expand(whole))
    return torch.stack(axes, 2).flatten(3).flatten(0, 1)


def _convolve(
    kernels: Tensor, scale: Tensor, planes: Tensor, lattice: Tensor, moves: Tensor
) -> Tensor:
    """Kernels `O C·K` on samples of planes `n C H W`: `n O l`.

    Args:
        scale: of pixels to coordinates, `2 1`.
        lattice: taps without offsets, `K 2 l`.
        moves: `n K 2 l`, offsets in pixels, y before x; or `n K 3 l`, with factors.
    """
    points = torch.addcmul(lattice, moves[:, :, :2], scale)
    # Beyond 3 everything is outside; the sampler cannot compute with infinity.
    grid = F.hardtanh(points, -3, 3).mT
    # The sampler takes x before y: planes are transposed instead.
    samples = F.grid_sample(pad_planes(planes).mT.contiguous(), grid, align_corners=False)
    if moves.shape[2] == 3:
        samples = samples * moves[:, None, :, 2]
    return kernels @ samples.flatten(1, 2)

"""Deformable convolution (Dai et al. 2017): the taps of a kernel are read where the network says."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.ops.bilinear import MARGIN, interpolate, locate, wide
from onlooker.ops.by_planes import ByPlanes
from onlooker.ops.by_rows import ByRows
from onlooker.ops.taps import Pair, taps_of

_MANY = 16  # channels from which on a processor is faster row by row


class DeformableConv2d(nn.Module):
    """A convolution whose taps move: y(p) = Σ_n w(p_n) · x(p + p_n + Δp_n) (equation 1b of Shan & Atanasov 2017).

    The offsets Δp_n come from a convolution of the same kernel size with 2 channels a tap, which starts at zero: at
    first the layer is an ordinary convolution. Taps outside the map read zero.

    Args:
        in_channels, out_channels: C of what comes in and goes out.
        kernel_size: height and width of the kernel.
        padding: zeros on each side.
        modulated: multiply each tap by a sigmoid of its own, which starts at one half (Zhu et al. 2019).
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
        says = self.offsets(features)
        offset, mask = says[:, : 2 * self.taps], None
        if self.modulated:
            mask = says[:, 2 * self.taps :].sigmoid()
        return deformable_conv2d(features, offset, self.conv.weight, self.conv.bias, padding=self.padding, mask=mask)


def deformable_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution, with the arguments and the layout of `torchvision.ops.deform_conv2d`.

    Half precision is computed in float32.

    Args:
        input: `N C H W`.
        offset: `N 2·G·K H' W'`, pixels: for each of G groups of channels and K taps, Δy and then Δx.
        weight: `O C/g kh kw`, for g groups of an ordinary grouped convolution; K = kh·kw.
        bias: `O`.
        stride, padding, dilation: of the convolution, one number or (vertical, horizontal).
        mask: `N G·K H' W'`, multiplied to the taps (version 2, Zhu et al. 2019).

    Returns:
        `N O H' W'`.

    Raises:
        ValueError: the shapes do not fit.
    """
    taps = taps_of(input, offset, weight, stride, padding, dilation, mask)
    grouped = taps.offset_groups > 1 or taps.weight_groups > 1
    dtype = wide(input, offset)
    plain = input.device.type == "cpu" and dtype == torch.float32
    way = ByRows if plain and not grouped and taps.channels >= _MANY else ByPlanes
    with torch.autocast(input.device.type, enabled=False):
        given = (None if t is None else t.to(dtype) for t in (input, offset, weight, mask))
        out = way.apply(*given, taps).to(input.dtype)
    return out if bias is None else out + bias.to(out.dtype)[:, None, None]


def deformable_conv2d_by_autograd(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """The same as `deformable_conv2d`, written down plainly: slow, keeps everything, can be differentiated twice."""
    taps = taps_of(input, offset, weight, stride, padding, dilation, mask)
    everywhere = slice(0, taps.places)
    y, x = taps.coordinates(offset, taps.lattice(offset), everywhere)
    y, x = (where.clamp(-MARGIN, side - 1 + MARGIN) for where, side in zip((y, x), taps.size, strict=True))
    spots = locate(y.detach().clone(), x.detach().clone(), *taps.size)
    dy, dx = spots.dy + (y - y.detach()), spots.dx + (x - x.detach())
    planes = F.pad(input, (MARGIN,) * 4).reshape(len(y), taps.channels // taps.offset_groups, -1)
    row = taps.size[1] + 2 * MARGIN
    pixel, dy, dx = (part.reshape(len(y), 1, -1) for part in (spots.pixel, dy, dx))
    columns = interpolate(planes, pixel, dy, dx, row).view(*planes.shape[:2], taps.taps, -1)
    if mask is not None:
        columns = columns * taps.mask(mask, everywhere)
    out = taps.weight(weight) @ taps.columns(columns)
    out = out.view(len(input), len(weight), *taps.out_size)
    return out if bias is None else out + bias[:, None, None]

"""The geometry of a deformable convolution."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from onlooker_papers.digits.sampling.bilinear import normalize, pad_planes, padded

Pair = int | tuple[int, int]


@dataclass(frozen=True)
class Taps:
    """The geometry of one call, and views of its tensors.

    G groups of offsets, g groups of weights, K taps, L locations of the output.
    """

    size: tuple[int, int]
    out_size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    channels: int
    offset_groups: int
    weight_groups: int

    @property
    def taps(self) -> int:
        """K."""
        return self.kernel[0] * self.kernel[1]

    @property
    def locations(self) -> int:
        """L."""
        return self.out_size[0] * self.out_size[1]

    def planes(self, input: Tensor) -> Tensor:
        """`N C H W` to the planes of `sample`, `NG C/G H W`."""
        return pad_planes(input.reshape(-1, self.channels // self.offset_groups, *self.size))

    def offsets(self, offset: Tensor) -> Tensor:
        """`N 2·G·K H' W'` to a view `NG K 2 L` of it."""
        return offset.view(-1, self.taps, 2, self.locations)

    def masks(self, mask: Tensor) -> Tensor:
        """`N G·K H' W'` to a view `NG K L` of it."""
        return mask.view(-1, self.taps, self.locations)

    def lattice(self, offset: Tensor) -> tuple[Tensor, Tensor]:
        """The coordinates without offsets in pixels: y and x, each `K L`, of the offsets' type."""
        axes = []
        for axis in (0, 1):
            out = torch.arange(self.out_size[axis], dtype=offset.dtype, device=offset.device)
            tap = torch.arange(self.kernel[axis], dtype=offset.dtype, device=offset.device)
            axes.append(tap[:, None] * self.dilation[axis] + out * self.stride[axis] - self.padding[axis])
        whole = (*self.kernel, *self.out_size)
        y, x = axes[0][:, None, :, None].expand(whole), axes[1][None, :, None, :].expand(whole)
        return y.reshape(self.taps, -1), x.reshape(self.taps, -1)

    def normalized_lattice(self, offset: Tensor) -> tuple[Tensor, Tensor]:
        """`lattice` in the coordinates of `sample`."""
        y, x = self.lattice(offset)
        return normalize(y, self.size[0]), normalize(x, self.size[1])

    def grid(self, offset: Tensor, lattice: tuple[Tensor, Tensor], locations: slice) -> Tensor:
        """The coordinates of `locations` for `sample`: `NG K l 2`, x and y."""
        offsets = offset.reshape(-1, self.taps, 2, self.locations)[..., locations]
        grid = offset.new_empty(len(offsets), 2, self.taps, offsets.shape[-1])
        for axis, side in enumerate(self.size):
            scale = 2 / padded(side)
            torch.add(lattice[axis][:, locations], offsets[:, :, axis], alpha=scale, out=grid[:, 1 - axis])
        # Beyond 3 everything is outside; the sampler cannot compute with infinity.
        return grid.clamp_(-3, 3).permute(0, 2, 3, 1)

    def coordinates(self, offset: Tensor, lattice: tuple[Tensor, Tensor], locations: slice) -> tuple[Tensor, Tensor]:
        """The coordinates of `locations` in pixels: y and x, each `NG K l`."""
        offsets = offset.reshape(-1, self.taps, 2, self.locations)[..., locations]
        return offsets[:, :, 0] + lattice[0][:, locations], offsets[:, :, 1] + lattice[1][:, locations]

    def mask(self, mask: Tensor, locations: slice) -> Tensor:
        """`N G·K H' W'` to `NG 1 K l`."""
        return mask.reshape(-1, 1, self.taps, self.locations)[..., locations]

    def weight(self, weight: Tensor) -> Tensor:
        """`O C/g kh kw` to `g O/g C/g·K`."""
        return weight.reshape(self.weight_groups, len(weight) // self.weight_groups, -1)

    def columns(self, samples: Tensor) -> Tensor:
        """`NG C/G K l` to `N g C/g·K l`."""
        return samples.view(-1, self.weight_groups, self.channels // self.weight_groups * self.taps, samples.shape[-1])

    def outputs(self, out: Tensor) -> Tensor:
        """`N O H' W'` to `N g O/g L`."""
        return out.view(len(out), self.weight_groups, -1, self.locations)

    def chunks(self, count: int, size: int) -> Iterator[tuple[slice, slice]]:
        """Chunks of about `size` columns, which fit into a cache: whole images, or some locations of a large one."""
        columns = self.channels * self.taps * self.locations
        images = math.ceil(size / columns)
        locations = math.ceil(self.locations / max(1, columns // size))
        for n, location in itertools.product(range(0, count, images), range(0, self.locations, locations)):
            yield slice(n, n + images), slice(location, location + locations)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def taps_of(
    input: Tensor, offset: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair, mask: Tensor | None
) -> Taps:
    """The geometry of one call of `deformable_conv2d`, whose arguments these are.

    Raises:
        ValueError: the shapes do not fit.
    """
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    if input.ndim != 4 or weight.ndim != 4:
        raise ValueError(
            f"input is {tuple(input.shape)} and weight {tuple(weight.shape)}, expected N C H W and O C/groups kh kw"
        )
    N, C, H, W = input.shape
    O, per_group, kh, kw = weight.shape  # noqa: E741
    groups = C // per_group
    if groups * per_group != C or not groups or O % groups:
        raise ValueError(f"weight is {tuple(weight.shape)}, which {C} channels of input cannot be grouped for")
    extent = [
        (side + 2 * pad - gap * (k - 1) - 1) // step + 1
        for side, k, step, pad, gap in zip((H, W), (kh, kw), stride, padding, dilation, strict=True)
    ]
    if min(extent) < 1:
        raise ValueError(f"a kernel of {kh}×{kw} does not fit into {H}×{W} pixels with padding {padding}")
    offset_groups = offset.shape[1] // (2 * kh * kw) if offset.ndim == 4 else 0
    if not offset_groups or C % offset_groups or tuple(offset.shape) != (N, 2 * offset_groups * kh * kw, *extent):
        raise ValueError(
            f"offset is {tuple(offset.shape)}, expected {(N, 2 * kh * kw, *extent)} or, for G groups that divide {C} "
            "channels, G times as many channels"
        )
    if mask is not None and tuple(mask.shape) != (N, offset_groups * kh * kw, *extent):
        raise ValueError(f"mask is {tuple(mask.shape)}, expected {(N, offset_groups * kh * kw, *extent)}")
    return Taps((H, W), (extent[0], extent[1]), (kh, kw), stride, padding, dilation, C, offset_groups, groups)

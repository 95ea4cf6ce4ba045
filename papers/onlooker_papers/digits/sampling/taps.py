"""The geometry of a deformable convolution."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from onlooker_papers.digits.sampling.bilinear import normalize, padded


@dataclass(frozen=True)
class Taps:
    """The geometry of one call, and views of its tensors: K taps, L locations of the output."""

    size: tuple[int, int]
    out_size: tuple[int, int]
    kernel: tuple[int, int]
    padding: int
    channels: int

    @property
    def taps(self) -> int:
        """K."""
        return self.kernel[0] * self.kernel[1]

    @property
    def locations(self) -> int:
        """L."""
        return self.out_size[0] * self.out_size[1]

    def offsets(self, offset: Tensor) -> Tensor:
        """`N 2·K H' W'` to a view `N K 2 L` of it."""
        return offset.view(-1, self.taps, 2, self.locations)

    def lattice(self, offset: Tensor) -> tuple[Tensor, Tensor]:
        """The coordinates without offsets in pixels: y and x, each `K L`, of the offsets' type."""
        axes = []
        for axis in (0, 1):
            out = torch.arange(self.out_size[axis], dtype=offset.dtype, device=offset.device)
            tap = torch.arange(self.kernel[axis], dtype=offset.dtype, device=offset.device)
            axes.append(tap[:, None] + out - self.padding)
        whole = (*self.kernel, *self.out_size)
        y = axes[0][:, None, :, None].expand(whole)
        x = axes[1][None, :, None, :].expand(whole)
        return y.reshape(self.taps, -1), x.reshape(self.taps, -1)

    def normalized_lattice(self, offset: Tensor) -> tuple[Tensor, Tensor]:
        """`lattice` in the coordinates of `sample`."""
        y, x = self.lattice(offset)
        return normalize(y, self.size[0]), normalize(x, self.size[1])

    def grid(self, offset: Tensor, lattice: tuple[Tensor, Tensor], locations: slice) -> Tensor:
        """The coordinates of `locations` for `sample`: `N K l 2`, x and y."""
        offsets = offset.reshape(-1, self.taps, 2, self.locations)[..., locations]
        grid = offset.new_empty(len(offsets), 2, self.taps, offsets.shape[-1])
        for axis, side in enumerate(self.size):
            scale = 2 / padded(side)
            torch.add(
                lattice[axis][:, locations], offsets[:, :, axis], alpha=scale, out=grid[:, 1 - axis]
            )
        # Beyond 3 everything is outside; the sampler cannot compute with infinity.
        return grid.clamp_(-3, 3).permute(0, 2, 3, 1)

    def mask(self, mask: Tensor, locations: slice) -> Tensor:
        """`N K H' W'` to `N 1 K l`."""
        return mask.reshape(-1, 1, self.taps, self.locations)[..., locations]

    def chunks(self, count: int, size: int) -> Iterator[tuple[slice, slice]]:
        """Chunks of about `size` columns, which fit into a cache: whole images, or some locations
        of a large one.
        """
        columns = self.channels * self.taps * self.locations
        images = math.ceil(size / columns)
        locations = math.ceil(self.locations / max(1, columns // size))
        for n, location in itertools.product(
            range(0, count, images), range(0, self.locations, locations)
        ):
            yield slice(n, n + images), slice(location, location + locations)


def taps_of(
    input: Tensor, offset: Tensor, weight: Tensor, padding: int, mask: Tensor | None
) -> Taps:
    """The geometry of one call of `deformable_conv2d`, whose arguments these are.

    Raises:
        ValueError: the shapes do not fit.
    """
    (N, C, *size) = input.shape
    (_, _, *kernel) = weight.shape
    extent = [side + 2 * padding - k + 1 for side, k in zip(size, kernel, strict=True)]
    K = math.prod(kernel)
    for name, given, channels in (("offset", offset, 2 * K), ("mask", mask, K)):
        if given is not None and tuple(given.shape) != (N, channels, *extent):
            raise ValueError(f"{name} is {tuple(given.shape)}, expected {(N, channels, *extent)}")
    return Taps((size[0], size[1]), (extent[0], extent[1]), (kernel[0], kernel[1]), padding, C)

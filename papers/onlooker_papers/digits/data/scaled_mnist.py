"""Scaled MNIST: single digits, smaller and off center, to pre-train the digit encoders (Shan &
Atanasov 2017).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from onlooker_papers.mnist import Digits


@dataclass(frozen=True, eq=False)
class ScaledDigits:
    """Digits at `size` × `size`, zoomed out and shifted at random, minus the training mean, divided
    by 255.

    Transforms are those of Keras' `ImageDataGenerator(zoom_range=zoom, width_shift_range=shift,
    height_shift_range=shift)`: for each image and axis a factor z uniform in `zoom` and a shift t
    uniform in ± `shift` · `size` pixels; pixel p shows the image at z · (p - center) + center + t,
    bilinearly, and beyond the border its nearest pixel. So a factor of 2 shows the digit at half
    its size, and the shift is in pixels of the image before scaling. The center is the middle of
    the image, as in Keras since 2018; in Keras 2.0, of the authors' code, it is one pixel to the
    right and below, and pixels are not interpolated (`literal`).

    Args:
        digits: where the digits come from.
        size: H and W, to which the 28×28 pixels are enlarged bilinearly.
        zoom: smallest and largest factor; 1 keeps the size.
        shift: largest shift, as a share of the side.
        mean: gray level (0 to 255) to subtract, `training.level` of the training digits. None: that
        of these digits.
        literal: as the authors' code with Keras 2.0: enlarged by a Lanczos filter, the center has
            index size/2 + 1/2, and a pixel shows the nearest one.
    """

    digits: Digits
    size: int = 64
    zoom: tuple[float, float] = (1.0, 2.5)
    shift: float = 0.2
    mean: float | None = None
    literal: bool = False

    def __len__(self) -> int:
        return len(self.digits)

    @cached_property
    def level(self) -> float:
        """The gray level that is subtracted, 0 to 255."""
        if self.mean is not None:
            return self.mean
        # Enlarging is linear: the mean of all enlarged digits is the mean of the enlarged average.
        average = torch.from_numpy(self.digits.images.mean(0, dtype="float64"))
        return self._enlarge(average[None, None]).mean().item()

    def batch(self, indices: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
        """Make the digits `indices` (`N`): equal arguments give equal images.

        Args:
            indices: `N`, int64, which digits.
            seed: seed of the transforms.

        Returns:
            Images `N 1 H W`, float32, and their classes `N`, int64.
        """
        chosen = indices.cpu().numpy()
        images = torch.from_numpy(self.digits.images[chosen])
        zooms, shifts = self.transforms(len(images), seed)
        return self.place(images, zooms, shifts), torch.from_numpy(self.digits.labels[chosen])

    def transforms(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Random factors `N 2` (x, y) and shifts `N 2` (x, y; pixels), on the CPU."""
        chance = torch.Generator().manual_seed(seed)
        small, large = self.zoom
        zooms = small + (large - small) * torch.rand(count, 2, generator=chance)
        shifts = (2 * torch.rand(count, 2, generator=chance) - 1) * (self.shift * self.size)
        return zooms, shifts

    def place(self, images: Tensor, zooms: Tensor, shifts: Tensor) -> Tensor:
        """Images of `images` (`N 28 28`, uint8) under given factors and shifts (`N 2`, x and y): `N
        1 H W`.
        """
        enlarged = self._enlarge(images[:, None].float())
        if self.literal:
            shifts = shifts + 1 - zooms
        # In the coordinates of grid_sample.
        axis = (torch.arange(self.size, device=images.device) * 2 + 1) / self.size - 1
        lines = axis * zooms[..., None] + shifts[..., None] * (2 / self.size)  # N 2 size
        N = len(images)
        side = self.size
        grid = torch.stack(
            (lines[:, 0, None].expand(N, side, side), lines[:, 1, :, None].expand(N, side, side)),
            -1,
        )
        mode = "nearest" if self.literal else "bilinear"
        seen = F.grid_sample(enlarged, grid, mode, padding_mode="border", align_corners=False)
        return seen.sub_(self.level).div_(255)

    def _enlarge(self, images: Tensor) -> Tensor:
        if self.literal:
            sides = (self.size, self.size)
            enlarged = [
                Image.fromarray(of).resize(sides, Image.Resampling.LANCZOS)
                for of in images[:, 0].numpy()
            ]
            return torch.from_numpy(np.stack(list(map(np.asarray, enlarged))))[:, None]
        return F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)


class SingleDigits(Dataset[tuple[Tensor, int, int]]):
    """Each digit of a data set as a video of one frame, with a new zoom and shift in every batch
    (Scaled MNIST).

    Args:
        digits: makes the images; the level that `ScaledDigits` subtracts is added again, for 8
        bits.
        seed: different for data sets that must not share transforms, such as training and
            validation.
    """

    def __init__(self, digits: ScaledDigits, seed: int) -> None:
        self.digits = digits
        self.seed = seed

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"digit {index} of {len(self)}")
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int, int]]:
        """A whole batch at once."""
        seed = int(np.random.SeedSequence([self.seed, *indices]).generate_state(1)[0])
        images, labels = self.digits.batch(torch.tensor(indices), seed=seed)
        levels = images.mul_(255).add_(self.digits.level).round_().clamp_(0, 255).to(torch.uint8)
        return list(zip(levels[..., None], labels.tolist(), indices, strict=True))

"""Moving target: several digits on a canvas, one of them moves, and its class is the label.

A single frame gives only a hint at the moving digit (the others stay in the cells of a grid, and
the moving one leaves its cell), so a model must use motion. The boxes are known, so localization
can be scored. The task tests a claim of VideoLSTM (Li et al. 2016), that
motion tells where to look, and is small enough for a laptop.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker_papers.digits.data.canvas import ink_boxes, paste
from onlooker_papers.digits.data.moving_mnist import bounce, random_stream
from onlooker_papers.mnist import Digits


@dataclass(frozen=True, eq=False)
class TargetBatch:
    """Videos of a moving target with their ground truth. `k` is the number of digits; the first one
    moves.

    Args:
        video: `B T 1 H W`, uint8.
        targets: `B`, int64, the class of the digit that moves.
        boxes: `B T k 4`, float32, `x1 y1 x2 y2` in pixels: the smallest rectangle around the ink of
        each digit.
        indices: `B k`, int64, which image of the data set each digit is.
    """

    video: Tensor
    targets: Tensor
    boxes: Tensor
    indices: Tensor


@dataclass(frozen=True)
class MovingTarget:
    """Videos of still digits, among which one moves.

    The canvas is divided into cells of a digit's size. Each digit starts in a different cell, at a
    random position in it. The target moves in a random direction at a constant speed, and is
    reflected at the borders of the canvas; it may pass over other digits (combined by the pixel
    maximum). The other digits have any of the other classes and do not move.

    Args:
        digits: the data set of digits.
        num_digits: digits in a video (k).
        side: height and width of a digit's square, to which the 28×28 pixels are averaged; at most
        28.
        canvas: height and width of a frame, in pixels.
        frames: frames in a video (T).
        speed: slowest and fastest speed, in pixels per frame.
    """

    digits: Digits
    num_digits: int = 4
    side: int = 20
    canvas: int = 64
    frames: int = 20
    speed: tuple[float, float] = (2.0, 4.0)

    def batch(self, size: int, seed: int = 0) -> TargetBatch:
        """Make `size` videos. Equal arguments give equal videos; every class is equally probable.

        Raises:
            ValueError: a class has no image.
        """
        by_digits = random_stream(seed, "digits")
        by_paths = random_stream(seed, "paths")
        labels = self._labels(size, by_digits)
        indices = self.digits.draw(labels, by_digits)
        patches = self._images[indices][:, :, None]  # B k 1 p p
        corners = self._paths(len(labels), by_paths)
        video = torch.empty(len(labels), self.frames, self.canvas, self.canvas, dtype=torch.uint8)
        paste(patches, corners, video)
        ink = ink_boxes(patches)  # B k 1 4
        boxes = (ink + corners.repeat(1, 1, 1, 2)).transpose(1, 2)
        return TargetBatch(video[:, :, None], labels[:, 0], boxes, indices)

    @property
    def _cells(self) -> int:
        """The number of cells along a side of the canvas."""
        return self.canvas // self.side

    @cached_property
    def _images(self) -> Tensor:
        """All digits at the size `side`: `N side side`, uint8."""
        full = torch.from_numpy(self.digits.images)
        return (
            F.interpolate(full[:, None].float(), (self.side,) * 2, mode="area")[:, 0]
            .round_()
            .to(torch.uint8)
        )

    def _labels(self, size: int, generator: torch.Generator) -> Tensor:
        """`B k` classes; the first one is the target, and all others differ from it."""
        present = self.digits.classes
        wanted = present[torch.randint(len(present), (size,), generator=generator)]
        # Another class is one of the following ones, cyclically.
        place = torch.searchsorted(present, wanted)
        further = torch.randint(
            1, len(present), (len(wanted), self.num_digits - 1), generator=generator
        )
        return torch.cat((wanted[:, None], present[(place[:, None] + further) % len(present)]), 1)

    def _paths(self, size: int, generator: torch.Generator) -> Tensor:
        """Upper left corners `B k T 2`, int64."""
        k = self.num_digits
        cells = torch.rand(size, self._cells**2, generator=generator).argsort(1)[:, :k]
        cell = self.canvas / self._cells
        start = torch.stack((cells % self._cells, cells // self._cells), -1) * cell  # B k 2
        start = start + torch.rand(size, k, 2, generator=generator, dtype=torch.float64) * (
            cell - self.side
        )

        direction = torch.rand(size, generator=generator, dtype=torch.float64) * (2 * torch.pi)
        slow, fast = self.speed
        speed = slow + (fast - slow) * torch.rand(size, generator=generator, dtype=torch.float64)
        velocity = torch.stack((direction.cos(), direction.sin()), -1) * speed[:, None]
        target = bounce(start[:, :1], velocity[:, None], self.frames, self.canvas - self.side)
        others = start[:, 1:, None].expand(-1, -1, self.frames, -1)
        return torch.cat((target, others), 1).round().long()

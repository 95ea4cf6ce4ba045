"""Moving target: several digits on a canvas, one of them moves, and its class is the label.

A single frame gives only a hint at the moving digit (the others stay in the cells of a grid, and
the moving one leaves its cell), so a model must use motion. The boxes and the time of the motion
are known, so localization can be scored. The task tests a claim of VideoLSTM (Li et al. 2016), that
motion tells where to look, and is small enough for a laptop.
"""

from collections.abc import Sequence
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
        labels: `B k`, int64, the classes of all digits.
        boxes: `B T k 4`, float32, `x1 y1 x2 y2` in pixels: the smallest rectangle around the ink of
        each digit.
        moving: `B T`, bool, the frames of the event: those before or after a step of the target.
        indices: `B k`, int64, which image of the data set each digit is.
    """

    video: Tensor
    targets: Tensor
    labels: Tensor
    boxes: Tensor
    moving: Tensor
    indices: Tensor


@dataclass(frozen=True)
class MovingTarget:
    """Videos of still digits, among which one moves for a part of the time.

    The canvas is divided into cells of a digit's size. Each digit starts in a different cell, at a
    random position in it. The target moves in a random direction at a constant speed, is reflected
    at the borders of the canvas, and stops; it may pass over other digits or stop on one (combined
    by the pixel maximum). The other digits have any of the other classes and do not move.

    Args:
        digits: the data set of digits.
        num_digits: digits in a video (k).
        side: height and width of a digit's square, to which the 28×28 pixels are averaged; at most
        28.
        canvas: height and width of a frame, in pixels.
        frames: frames in a video (T).
        speed: slowest and fastest speed, in pixels per frame.
        event: shortest and longest duration of the motion, as a share of the T - 1 steps; `(1, 1)`:
            the whole video.
    """

    digits: Digits
    num_digits: int = 4
    side: int = 20
    canvas: int = 64
    frames: int = 20
    speed: tuple[float, float] = (2.0, 4.0)
    event: tuple[float, float] = (0.3, 0.6)

    def batch(
        self,
        size: int | None = None,
        *,
        seed: int = 0,
        targets: Tensor | Sequence[int] | None = None,
    ) -> TargetBatch:
        """Make `size` videos. Equal arguments give equal videos.

        Args:
            size: number of videos (B); may be left out if `targets` are given.
            seed: the random seed.
            targets: `B` classes of the digits that move; None: every class is equally probable.

        Raises:
            ValueError: neither `size` nor `targets`, or a class has no image.
        """
        by_digits = random_stream(seed, "digits")
        by_paths = random_stream(seed, "paths")
        labels = self._labels(size, targets, by_digits)
        indices = self.digits.draw(labels, by_digits)
        patches = self._images[indices][:, :, None]  # B k 1 p p
        corners, moving = self._paths(len(labels), by_paths)
        video = torch.empty(len(labels), self.frames, self.canvas, self.canvas, dtype=torch.uint8)
        paste(patches, corners, video)
        ink = ink_boxes(patches)  # B k 1 4
        boxes = (ink + corners.repeat(1, 1, 1, 2)).transpose(1, 2)
        return TargetBatch(video[:, :, None], labels[:, 0], labels, boxes, moving, indices)

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

    def _labels(
        self, size: int | None, targets: Tensor | Sequence[int] | None, generator: torch.Generator
    ) -> Tensor:
        """`B k` classes; the first one is the target, and all others differ from it."""
        present = self.digits.classes
        if targets is None:
            if not size:
                raise ValueError(f"size is {size}, expected at least 1 video")
            wanted = present[torch.randint(len(present), (size,), generator=generator)]
        else:
            wanted = torch.as_tensor(targets, dtype=torch.int64)
        # Another class is one of the following ones, cyclically.
        place = torch.searchsorted(present, wanted)
        further = torch.randint(
            1, len(present), (len(wanted), self.num_digits - 1), generator=generator
        )
        return torch.cat((wanted[:, None], present[(place[:, None] + further) % len(present)]), 1)

    def _paths(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Upper left corners `B k T 2`, int64, and the frames of the event, `B T`."""
        k = self.num_digits
        steps = self.frames - 1
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
        short, long = self.event
        share = short + (long - short) * torch.rand(size, generator=generator, dtype=torch.float64)
        length = (share * steps).round().clamp_(min=1)  # of the event, in steps
        first = (
            torch.rand(size, generator=generator, dtype=torch.float64) * (steps - length + 1)
        ).floor()

        # B 1 T 2, no stop
        straight = bounce(start[:, :1], velocity[:, None], self.frames, self.canvas - self.side)
        # B T
        moved = (
            (torch.arange(self.frames) - first[:, None])
            .clamp_(min=0)
            .minimum(length[:, None])
            .long()
        )
        target = straight.gather(2, moved[:, None, :, None].expand(-1, -1, -1, 2))
        corners = torch.cat((target, start[:, 1:, None].expand(-1, -1, self.frames, -1)), 1)
        changes = moved.diff(dim=1) > 0  # B T-1
        moving = F.pad(changes, (1, 0)) | F.pad(changes, (0, 1))
        return corners.round().long(), moving

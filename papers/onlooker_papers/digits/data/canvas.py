"""Patches pasted onto canvases and joined by the pixel maximum; and the boxes around their ink."""

import math

import torch
from torch import Tensor


def paste(patches: Tensor, corners: Tensor, video: Tensor) -> None:
    """Fill `video` (n F H W, uint8) with patches on black, joined by the pixel maximum.

    Args:
        patches: `n k F p p`, levels of any type; or `n k 1 p p`, the same in all frames.
        corners: `n k F 2`, int64, x and y of their upper left corners; patches are inside the
            canvas.
    """
    count = math.prod(patches.shape[:3])
    strip = Strip(count, video.shape[-1])
    strip.patches(patches.shape[-1]).copy_(patches.flatten(0, 2))
    strip.join(torch.arange(count).view(patches.shape[:3]), corners, video)


class Strip:
    """Memory for patches, each in an image as wide as the canvas, stored row by row, all 0.

    Reading y·canvas + x elements earlier shifts a patch by (x, y), so a frame is one contiguous
    copy. The memory begins with one empty image, because these reads may begin before the first
    patch.
    """

    def __init__(self, count: int, canvas: int) -> None:
        self.count = count
        self.canvas = canvas
        self.levels = torch.zeros((1 + count) * canvas**2, dtype=torch.uint8)

    def patches(self, side: int) -> Tensor:
        """A view of all patches with this side: `count side side`."""
        size = self.canvas**2
        return self.levels.as_strided((self.count, side, side), (size, self.canvas, 1), size)

    def join(self, numbers: Tensor, corners: Tensor, video: Tensor) -> None:
        """Fill `video` (n F H W) with patches, given their indices (n k F or n k 1), at `corners`
        (n k F 2).
        """
        size = self.canvas**2
        images = runs(self.levels, size)
        first = (1 + numbers) * size - corners[..., 1] * self.canvas - corners[..., 0]  # n k F
        torch.index_select(images, 0, first[:, 0].flatten(), out=video.view(-1, size))
        for other in range(1, first.shape[1]):
            layer = images.index_select(0, first[:, other].flatten())
            torch.maximum(video, layer.view(video.shape), out=video)


def runs(values: Tensor, length: int) -> Tensor:
    """All runs of `length` consecutive values, as overlapping rows, without a copy."""
    return values.as_strided((len(values) - length + 1, length), (1, 1))


def ink_boxes(layers: Tensor) -> Tensor:
    """The smallest rectangles around all pixels above 0 of layers `… h h`, whole numbers from 0 to
    255 of any type.

    `… 4`, float32, `x1 y1 x2 y2`; NaN where every pixel is 0.
    """
    profiles = torch.empty(*layers.shape[:-2], 2, layers.shape[-1])
    profile(layers, profiles)
    return profile_boxes(profiles)


def profile(layers: Tensor, profiles: Tensor) -> None:
    """Fill `profiles` (… 2 h) with the column and row sums of layers (… h h)."""
    levels = layers.float()
    torch.sum(levels, -2, out=profiles[..., 0, :])
    torch.sum(levels, -1, out=profiles[..., 1, :])


def profile_boxes(profiles: Tensor) -> Tensor:
    """The `ink_boxes` of layers with these profiles."""
    # Cumulative sums from both ends are above 0 from the first ink on.
    side = profiles.shape[-1]
    before = torch.ones(side, side).triu()
    sums = (profiles @ torch.cat((before, before.T), 1)).unflatten(-1, (2, side))  # … 2 2 side
    # … 2 2: columns and rows from the first ink on, and up to the last
    counts = sums.clamp_(max=1).sum(-1)
    boxes = torch.cat((side - counts[..., 0], counts[..., 1]), -1)
    return boxes.where(counts[..., :1, 1] > 0, torch.nan)

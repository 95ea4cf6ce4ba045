"""Moving digits on a canvas that is rotated, scaled and deformed (elastic deformation); and their
boxes.

Only pixels where a digit is visible are computed: a patch just large enough for it is resampled,
then moved to its position as one contiguous copy.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker_papers.digits.data.canvas import Strip, profile, profile_boxes, runs

_BORDER = 1  # dark pixels around a digit, so that everything sampled beyond its edge is dark
PIXELS = 1 << 18  # resampled at once; they fit the cache of a CPU
_SLACK = 0.01  # pixels by which a patch is larger than necessary, for rounding errors


@dataclass(frozen=True, eq=False)
class Scenes:
    """`n` scenes: `F` frames of a video, with `k` moving digits and one transform of the canvas.

    Args:
        images: `B k h h`, the digits of each video.
        ink: `B k 4`, their `ink_boxes`.
        of: `n`, int64, the video that each scene belongs to.
        positions: `n k F 2`, int64, x and y of the upper left corner of each digit.
        angles: `n`, radians, clockwise on the screen.
        scales: `n`.
        fields: `n 2 H W`, displacements in pixels, applied after rotation and scale; None: none.
    """

    images: Tensor
    ink: Tensor
    of: Tensor
    positions: Tensor
    angles: Tensor
    scales: Tensor
    fields: Tensor | None = None

    def matrices(self, factors: Tensor, sense: int) -> Tensor:
        """Rotations by the angles (`sense`: 1 or -1), times `n` factors: `n 2 2`."""
        cos = factors * self.angles.cos()
        sin = factors * self.angles.sin() * sense
        return torch.stack((cos, -sin, sin, cos), -1).view(-1, 2, 2)


def draw_scenes(scenes: Scenes, video: Tensor, boxes: Tensor) -> None:
    """Fill `video` (n F H W, uint8) and `boxes` (n F k 4, NaN where nothing is visible).

    The layer of each digit is resampled and rounded, then the layers are joined by the pixel
    maximum.
    """
    canvas = video.shape[-1]
    low, sides = reach(scenes, canvas)
    n, k, frames = low.shape[:3]
    # Scenes of similar size are grouped, because the largest one sets the patch size of its group.
    order = sides.argsort(descending=True)
    groups = _groups(sides[order].tolist(), PIXELS // (k * frames))
    largest = torch.tensor(
        [canvas - side for part, side in groups for _ in range(part.start, part.stop)]
    )
    corners = (low[order].floor().long() + 1).clamp_(min=0).minimum(largest[:, None, None, None])
    squares = Squares.of(scenes, order, corners, side=groups[0][1], canvas=canvas)
    strip = Strip(n * k * frames, canvas)
    profiles = torch.zeros(n, k, frames, 2, groups[0][1])
    for part, side in groups:
        levels = squares.levels(part, side)
        strip.patches(side).view(n, k, frames, side, side)[part].copy_(levels)
        profile(levels, profiles[part, ..., :side])
    place = order.argsort()
    numbers = torch.arange(n * k * frames).view(n, k, frames)
    strip.join(numbers[place], corners[place], video)
    found = profile_boxes(profiles) + corners.repeat(1, 1, 1, 2)
    boxes.copy_(found[place].transpose(1, 2))


def _groups(sides: list[int], pixels: int) -> list[tuple[slice, int]]:
    """Divide scenes, sorted by decreasing side, into groups of this number of pixels; each with its
    largest side.
    """
    groups = []
    first = 0
    while first < len(sides):
        part = slice(first, min(first + max(1, pixels // sides[first] ** 2), len(sides)))
        groups.append((part, sides[first]))
        first = part.stop
    return groups


def reach(scenes: Scenes, canvas: int) -> tuple[Tensor, Tensor]:
    """The region in which transformed digits are visible: less than a pixel beyond their ink.

    Returns:
        `n k F 2`, x and y; nothing is visible to the left of x or above y. `n`, int64, the side of
        a square that starts at the first pixel after x and y and contains everything on the canvas.
    """
    center = (canvas - 1) / 2
    first, last = scenes.ink.nan_to_num(0.0)[scenes.of, :, None].split(2, -1)  # n k 1 2
    matrices = scenes.matrices(scenes.scales, 1)[:, None].mT  # n 1 2 2
    half = ((last - first + 1) / 2) @ matrices.abs()  # n k 1 2
    middle = ((first + last - 1) / 2 + scenes.positions - center) @ matrices + center  # n k F 2
    low = high = torch.zeros(1, 1, 1, 2)
    if scenes.fields is not None:
        flat = scenes.fields.flatten(2)
        # n 1 1 2
        low = flat.amin(-1)[:, None, None]
        high = flat.amax(-1)[:, None, None]
    sides = (2 * (half + _SLACK) + high - low).amax((1, 2, 3))
    return middle - half - high - _SLACK, sides.ceil().long().clamp_(max=canvas)


@dataclass(frozen=True, eq=False)
class Squares:
    """Square patches of the transformed layer of each digit: the digits, and where each pixel is
    sampled.

    Pixel p shows the layer at R(-angle)·(p + field(p) - center) / scale + center, 0 beyond the
    canvas. Coordinates are those of grid_sample: an image is [-1, 1].

    Args:
        images: `n k h h`, the digits as floats, with a dark border, plus half a level, so that
        truncation rounds.
        shift: `n k 2 F`, where the upper left pixel is sampled; with fields, an offset to
        `sources`.
        steps: `n 2 2 side`, the distance of each column and row from the first; None with fields.
        sources: with fields, `n 2 H W`, where all pixels are sampled, relative to the center of the
        canvas.
        first: with fields, `n k 2 F`, int64, the index of the upper left pixel in `sources`.
    """

    images: Tensor
    shift: Tensor
    steps: Tensor | None = None
    sources: Tensor | None = None
    first: Tensor | None = None

    @classmethod
    def of(
        cls, scenes: Scenes, order: Tensor, corners: Tensor, *, side: int, canvas: int
    ) -> "Squares":
        """Patches of the scenes in this order, whose upper left corners are `corners` (n k F 2,
        int64, x and y).

        Small tensors are computed once for all patches, because with few pixels the cost is the
        number of operations. `side` is that of the largest patch.
        """
        center = (canvas - 1) / 2
        images = F.pad(scenes.images.float(), (_BORDER,) * 4).add_(0.5)
        images, unit = images[scenes.of[order]], 2 / images.shape[-1]
        matrices = scenes.matrices(unit / scenes.scales, -1)
        shift = (center + _BORDER + 0.5 - scenes.positions[order].mT) * unit - 1
        if scenes.fields is None:
            matrices = matrices[order]
            shift += (matrices[:, None, ..., None] * (corners.mT - center)[:, :, None]).sum(3)
            steps = matrices[..., None] * torch.arange(side)
            return cls(images, shift, steps)
        by_x, by_y = (matrices[:, :, axis, None, None] for axis in (0, 1))  # n 2 1 1
        fields = scenes.fields
        axis = torch.arange(canvas) - center
        sources = (by_x * (fields[:, :1] + axis)).addcmul_(by_y, fields[:, 1:] + axis[:, None])
        planes = 2 * order[:, None] + torch.arange(2)  # n 2
        first = (
            planes[:, None, :, None] * canvas**2
            + (corners[..., 1] * canvas + corners[..., 0])[:, :, None]
        )
        return cls(images, shift, sources=sources, first=first)

    def levels(self, part: slice, side: int) -> Tensor:
        """The patches of some scenes, with this side: `n k F side side`, int32, levels from 0 to
        255.
        """
        images = self.images[part]
        shift = self.shift[part, ..., None, None]
        # x and y are separate planes, which grid_sample reads faster.
        grid = shift.new_empty(*shift.shape[:4], side, side)
        if self.steps is not None:
            steps = self.steps[part, ..., :side]
            square = steps[:, :, 0, None, :] + steps[:, :, 1, :, None]  # n 2 side side
            torch.add(square[:, None, :, None], shift, out=grid)
        elif self.sources is not None and self.first is not None:
            canvas = self.sources.shape[-1]
            rows = self.first[part, ..., None] + torch.arange(0, side * canvas, canvas)
            torch.index_select(
                runs(self.sources.flatten(), side), 0, rows.flatten(), out=grid.view(-1, side)
            )
            grid += shift
        levels = F.grid_sample(
            images.flatten(0, 1)[:, None],
            grid.view(len(images) * images.shape[1], 2, 1, -1).permute(0, 2, 3, 1),
            padding_mode="border",
            align_corners=False,
        )
        return levels.view(*shift.shape[:2], shift.shape[3], side, side).to(torch.int32)


def elastic_fields(
    count: int,
    canvas: int,
    generator: torch.Generator,
    *,
    alpha: float,
    sigma: float,
    window: int,
) -> Tensor:
    """Elastic deformation: random smooth displacements (Simard, Steinkraus, Platt 2003).

    Noise, uniform in [-1, 1], is convolved with a Gaussian density truncated to `window` × `window`
    pixels, zero beyond the canvas, and multiplied by `alpha`. The density is not normalized to sum
    to one over the window: with the paper's 300, 10 and 7, displacements have a standard
    deviation of 1.8 pixels; normalized it would be 25, which leaves nothing of a digit.

    Returns:
        `count 2 H W`, float32, pixels, on the CPU.
    """
    return smooth(elastic_noise(count, canvas, generator), alpha=alpha, sigma=sigma, window=window)


def elastic_noise(count: int, canvas: int, generator: torch.Generator) -> Tensor:
    """The input of `smooth`: noise `count 2 H W`, uniform in [-1, 1]."""
    return torch.empty(count, 2, canvas, canvas).uniform_(-1, 1, generator=generator)


def smooth(noise: Tensor, *, alpha: float, sigma: float, window: int) -> Tensor:
    """The convolution of `elastic_fields`, for noise of the same shape."""
    half = window // 2
    offset = np.arange(-half, half + 1)
    density = (np.exp(-(offset**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)).astype(
        np.float32
    )
    # All planes are filtered as one tall image; rows of zeros separate them.
    rows = F.pad(noise, (0, 0, 0, half))
    image = rows.view(-1, rows.shape[-1]).numpy()
    fields = cv2.sepFilter2D(
        image, cv2.CV_32F, density, alpha * density, borderType=cv2.BORDER_CONSTANT
    )
    return torch.from_numpy(fields).view(rows.shape)[:, :, : noise.shape[2]]

"""Digits drawn on canvases: turned, scaled and deformed, put in their places, joined, and boxed.

Work is done where a digit can be seen and nowhere else: a patch just large enough for it is resampled, then moved to
its place as one contiguous copy.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

_RIM = 1  # dark pixels around a digit, so that all that is read beyond its edge is dark
_PIXELS = 1 << 18  # that are resampled at a time: what is made of them fits a processor's cache
_SLACK = 0.01  # pixels by which a patch is made larger than it must be, for rounding errors


@dataclass(frozen=True, eq=False)
class Scenes:
    """`n` scenes: `F` frames of a video each, in which `k` digits move, and the canvas is transformed in one way.

    All but the images is on the CPU.

    Args:
        images: `n k h h`, the digits.
        ink: `n k 4`, their `ink_boxes`.
        positions: `n k F 2`, int64, x and y of the upper left corner of each digit.
        angles: `n`, radians, clockwise as seen.
        scales: `n`.
        fields: `n 2 H W`, displacements in pixels, after turning and scaling; None: there are none.
    """

    images: Tensor
    ink: Tensor
    positions: Tensor
    angles: Tensor
    scales: Tensor
    fields: Tensor | None = None

    def __getitem__(self, some: Tensor) -> "Scenes":
        """The scenes of these indices."""
        fields = None if self.fields is None else self.fields.index_select(0, some)
        images = self.images.index_select(0, some.to(self.images.device))
        return Scenes(images, self.ink[some], self.positions[some], self.angles[some], self.scales[some], fields)

    def matrices(self, factors: Tensor, sense: int) -> Tensor:
        """A turn by the angles in this sense, and `n` factors: `n 2 2`."""
        cos, sin = factors * self.angles.cos(), factors * self.angles.sin() * sense
        return torch.stack((cos, -sin, sin, cos), -1).view(-1, 2, 2)


def draw_scenes(scenes: Scenes, video: Tensor, boxes: Tensor) -> None:
    """Fill `video` (n F H W, uint8) and `boxes` (n F k 4, NaN where nothing is seen).

    Each digit's own layer is resampled and rounded, then the layers are joined by the pixel maximum.
    """
    canvas = video.shape[-1]
    low, sides = reach(scenes, canvas)
    scenes = replace(scenes, images=readable(scenes.images))
    # Scenes of like size together: the largest decides on how many pixels work is done.
    order = sides.argsort(descending=True)
    frames, found = torch.empty_like(video), torch.empty_like(boxes)
    first = 0
    while first < len(order):
        side = int(sides[order[first]])
        part = slice(first, first + max(1, _PIXELS // (low[0, ..., 0].numel() * side**2)))
        some = order[part]
        corners = (low[some].floor().long() + 1).clamp_(0, canvas - side)
        patches = resample(scenes[some], corners, side, canvas)
        corners = corners.to(video.device)
        paste(patches, corners, frames[part])
        found[part] = (ink_boxes(patches) + corners.repeat(1, 1, 1, 2)).transpose(1, 2)
        first = part.stop
    # To read in an order is a copy of whole scenes; to write in an order would be one of single bytes.
    place = order.argsort().to(video.device)
    torch.index_select(frames, 0, place, out=video)
    torch.index_select(found, 0, place, out=boxes)


def reach(scenes: Scenes, canvas: int) -> tuple[Tensor, Tensor]:
    """Where something of the transformed digits can be seen.

    A pixel shows something of a digit only if it comes from less than a pixel beyond its ink.

    Returns:
        `n k F 2`, x and y, above and to the left of which there is nothing; `n`, int64, the side of a square from the
        first pixel after them that holds everything on the canvas.
    """
    centre = (canvas - 1) / 2
    first, last = scenes.ink.nan_to_num(0.0)[:, :, None].split(2, -1)  # n k 1 2
    matrices = scenes.matrices(scenes.scales, 1)[:, None].mT  # n 1 2 2
    half = ((last - first + 1) / 2) @ matrices.abs()  # n k 1 2
    middle = ((first + last - 1) / 2 + scenes.positions - centre) @ matrices + centre  # n k F 2
    least = most = torch.zeros(1, 1, 1, 2)
    if scenes.fields is not None:
        flat = scenes.fields.flatten(2)
        least, most = flat.amin(-1)[:, None, None], flat.amax(-1)[:, None, None]  # n 1 1 2
    sides = (2 * (half + _SLACK) + most - least).amax((1, 2, 3))
    return middle - half - most - _SLACK, sides.ceil().long().clamp_(max=canvas)


def readable(images: Tensor) -> Tensor:
    """Digits `… h h` as `resample` reads them: floats, a dark rim, everywhere half a level more.

    To cut off what follows the point is then to round.
    """
    return F.pad(images.float(), (_RIM,) * 4).add_(0.5)


def resample(scenes: Scenes, corners: Tensor, side: int, canvas: int) -> Tensor:
    """Squares of each digit's own layer, transformed.

    The pixel p shows the layer at R(-angle)·(p + field(p) - centre) / scale + centre, 0 beyond the canvas.

    Args:
        scenes: what is seen; images as `readable` makes them.
        corners: `n k F 2`, int64, x and y of the upper left corners of the squares, within the canvas.
        side: their height and width.
        canvas: H and W.

    Returns:
        `n k F side side`, int32, levels from 0 to 255.
    """
    n, k, frames = corners.shape[:3]
    device, padded = scenes.images.device, scenes.images.shape[-1]
    # A pixel, and what leads there from the canvas's centre, in the units of grid_sample: a picture is [-1, 1].
    unit = 2 / padded
    shift = ((canvas - 1) / 2 + _RIM + 0.5 - scenes.positions.mT) * unit - 1  # n k 2 F
    shift, corners = shift[..., None, None].to(device), corners.to(device)
    matrices = scenes.matrices(unit / scenes.scales, -1).to(device)
    if scenes.fields is None:
        by_column, by_row = _affine_sources(matrices, corners, side, canvas)
        terms = by_column, by_row + shift
    else:
        terms = _deformed_sources(matrices, scenes.fields.to(device), corners, side), shift
    # x and y lie apart, which grid_sample reads faster.
    grid = torch.empty(n * k, 2, 1, frames * side * side, device=device)
    torch.add(*terms, out=grid.view(n, k, 2, frames, side, side))
    levels = F.grid_sample(
        scenes.images.flatten(0, 1)[:, None], grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )
    return levels.view(n, k, frames, side, side).to(torch.int32)


def _affine_sources(matrices: Tensor, corners: Tensor, side: int, canvas: int) -> tuple[Tensor, Tensor]:
    """Where the pixels of squares come from, counted from the centre of the canvas: the sum of two terms.

    Returns:
        One of the column and one of the row, `n k 2 F 1 side` and `n k 2 F side 1`.
    """
    pixels = corners.mT[:, :, :, None, :, None] + (torch.arange(side, device=corners.device) - (canvas - 1) / 2)
    by_x, by_y = (matrices[:, None, :, axis, None, None] for axis in (0, 1))  # n 1 2 1 1
    return (by_x * pixels[:, :, 0])[..., None, :], (by_y * pixels[:, :, 1])[..., None]  # of n k 2 1 F side


def _deformed_sources(matrices: Tensor, fields: Tensor, corners: Tensor, side: int) -> Tensor:
    """The same after displacements (n 2 H W): `n k 2 F side side`."""
    canvas = fields.shape[-1]
    axis = torch.arange(canvas, device=fields.device) - (canvas - 1) / 2
    x, y = fields[:, :1] + axis, fields[:, 1:] + axis[:, None]
    by_x, by_y = (matrices[:, :, axis, None, None] for axis in (0, 1))  # n 2 1 1
    sources = (by_x * x).addcmul_(by_y, y)
    # Rows of the canvas, from the first pixel of a square to its last: one contiguous copy.
    length = (side - 1) * canvas + side
    plane = torch.arange(2 * len(fields), device=fields.device).view(-1, 1, 2, 1) * canvas**2  # n 1 2 1
    start = plane + (corners[..., 1] * canvas + corners[..., 0])[:, :, None]  # n k 2 F
    rows = _windows(sources.flatten(), length).index_select(0, start.flatten())
    return rows.as_strided((len(rows), side, side), (length, canvas, 1)).view(*start.shape, side, side)


def paste(patches: Tensor, corners: Tensor, video: Tensor) -> None:
    """Fill `video` with patches on black, joined by the pixel maximum.

    A patch as part of a picture as wide as the canvas, stored row after row, moves by (x, y) when one reads from
    y·canvas + x earlier on: a frame is one contiguous copy, whose start is all that a place decides.

    Args:
        patches: `n k F p p`, levels of any type; or `n k 1 p p`, if all frames show the same.
        corners: `n k F 2`, int64, x and y of their upper left corners; a patch does not leave the canvas.
        video: `n F H W`, uint8.
    """
    canvas, side = video.shape[-1], patches.shape[-1]
    size, margin = canvas**2, (canvas - side) * (canvas + 1)
    count = math.prod(patches.shape[:3])
    strip = torch.zeros(margin + count * size, dtype=torch.uint8, device=video.device)
    strip.as_strided((count, side, side), (size, canvas, 1), margin).copy_(patches.flatten(0, 2))
    windows = _windows(strip, size)
    first = torch.arange(count, device=video.device).view(patches.shape[:3]) * size + margin
    first = first - corners[..., 1] * canvas - corners[..., 0]  # n k F
    for digit in range(corners.shape[1]):
        layer = windows.index_select(0, first[:, digit].flatten()).view(video.shape)
        torch.maximum(video, layer, out=video) if digit else video.copy_(layer)


def _windows(values: Tensor, length: int) -> Tensor:
    """All runs of `length` consecutive values, without a copy: a table whose rows overlap."""
    return values.as_strided((len(values) - length + 1, length), (1, 1))


def ink_boxes(layers: Tensor) -> Tensor:
    """The smallest rectangles around all pixels above 0.

    Args:
        layers: `… h h`, whole numbers from 0 to 255 of any type.

    Returns:
        `… 4`, float32, `x1 y1 x2 y2`; NaN where every pixel is 0.
    """
    # A sum is above 0 where a pixel is.
    levels = layers.flatten(0, -3).float()
    profiles = torch.stack((levels.sum(-2), levels.sum(-1)), -1)  # … h 2
    # The largest number among those of the pixels with ink, counted from either side. Layers come last, for speed.
    side = layers.shape[-1]
    number = torch.arange(1.0, side + 1, device=layers.device)[:, None, None]
    inked = profiles.permute(1, 2, 0).contiguous().sign_()  # h 2 …
    ends = torch.stack((side - (inked * number.flip(0)).amax(0), (inked * number).amax(0)))  # 2 2 …
    boxes = ends.where(ends[1] > 0, torch.nan).flatten(0, 1).T
    return boxes.reshape(*layers.shape[:-2], 4)

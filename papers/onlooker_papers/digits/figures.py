"""The images of the digit experiments (figures 3 to 5 of Shan & Atanasov 2017), made from our own data and models.

Videos, windows and displacements are drawn in pixels of their frames: (0, 0) is the outer corner of the first pixel, as
in boxes. Frames of 64 × 64 stand on whole dots, 2, 3 or 6 a pixel at 160 dots an inch, so that `curves.to_png` with
`dpi=160` or `dpi=320` shows each of their pixels as a clean square.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from onlooker.data.moving_mnist import Batch
from onlooker.drawing.overlay import RIMS
from onlooker.drawing.plots import COLORS, FAINT, INK, QUIET
from onlooker.ops.spatial_transformer import spatial_transform, window_corners

if TYPE_CHECKING:  # matplotlib takes a while to import; only who draws pays for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOTES = {
    "normal": "as they move",
    "rotation": "canvas turned",
    "scale": "canvas shrunk",
    "rotation+scale": "both",
    "gesture": "both, then elastic",
}
_RIMS = tuple("#{:02x}{:02x}{:02x}".format(*rim) for rim in RIMS)
_EDGE = 0.1  # inches of white around a figure
_BETWEEN = 0.05  # inches between the views of one frame


def variants(batches: Mapping[str, Batch], every: int = 5, columns: int = 10, with_boxes: bool = True) -> "Figure":
    """Figure 3: of each variant the first video, a row each, with the true box of every digit.

    Batches of one seed and size show the same digits on the same paths in all variants, which makes the rows easy to
    compare.

    Args:
        batches: by the name of the variant.
        every: frames from one column to the next; at `frames_per_setting` each column shows another transform.
        columns: how many frames are shown, at most.
        with_boxes: whether the boxes are drawn; a digit that cannot be seen has none.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not batches or every < 1 or columns < 1:
        raise ValueError(
            f"{len(batches)} variants, every {every} frames, in {columns} columns; expected at least one of each"
        )
    shown = {name: list(range(0, batch.video.shape[1], every))[:columns] for name, batch in batches.items()}
    longest = max(shown.values(), key=len)
    cell, gap, left, top = 0.8, 0.05, 1.35, 0.3
    figure = _sheet(left + len(longest) * (cell + gap) - gap, top + len(batches) * (cell + gap) - gap)
    for column, t in enumerate(longest):
        middle = left + column * (cell + gap) + cell / 2
        _words(figure, middle, top - 0.05, f"frame {t}" if column == 0 else f"{t}", va="bottom", ha="center")
    for row, (name, batch) in enumerate(batches.items()):
        y = top + row * (cell + gap)
        _label(figure, y + cell / 2, name, _NOTES.get(name, ""))
        for column, t in enumerate(shown[name]):
            axes = _cell(figure, left + column * (cell + gap), y, cell, cell)
            _show(axes, batch.video[0, t, 0], 0, 255)
            if with_boxes:
                _outline_boxes(axes, batch.boxes[0, t])
    return figure


def windows(rows: Mapping[str, tuple[Tensor, Tensor]], size: int = 32, together: bool = False) -> "Figure":
    """Figure 4: frames with the outline of each window, and below them what is seen through it.

    A dot marks the window's upper left corner, so that a turned or mirrored view can be told. Where a window leaves its
    frame, a border around the frame shows how far, up to half of the frame's side; what a window covers there has its
    color.

    Args:
        rows: by title, frames `N 1 H W` as the encoder takes them, and the windows that it says, `N 2 3`, or `N G 2 3`
            for G windows a frame: see `spatial_transform`. An `STN` gives them by `windows(frames)`.
        size: height and width of what is seen.
        together: whether a last column has the averages of what the windows see, each of which is on one thing.

    Raises:
        ValueError: there is nothing to draw, or frames and windows do not fit.
    """
    if not rows:
        raise ValueError("0 rows of frames, expected at least one")
    for title, (frames, thetas) in rows.items():
        gray = frames.ndim == 4 and frames.shape[1] == 1
        affine = thetas.ndim in (3, 4) and thetas.shape[-2:] == (2, 3)
        if not (gray and affine and len(frames) == len(thetas) and frames.numel() and thetas.numel()):
            raise ValueError(
                f"{title}: frames are {tuple(frames.shape)} and windows {tuple(thetas.shape)}, "
                "expected N 1 H W and N 2 3, or N G 2 3"
            )
    cell, gap, left, heading = 1.2, 0.1, 1.45, 0.35
    several = {title: thetas[:, None] if thetas.ndim == 3 else thetas for title, (_, thetas) in rows.items()}
    below = {title: _arranged(thetas.shape[1], cell)[1] for title, thetas in several.items()}
    columns = max(len(frames) for frames, _ in rows.values()) + together
    height = sum(heading + cell + gap + depth + 2 * gap for depth in below.values()) - 2 * gap
    figure = _sheet(left + columns * (cell + gap) - gap, height)
    y = 0.0
    for title, (frames, _) in rows.items():
        thetas = several[title].detach().float().cpu()
        images = frames.detach().float().cpu()
        low, high = (0.0, 255.0) if frames.dtype == torch.uint8 else (images.min().item(), images.max().item())
        _words(figure, left, y + heading - 0.09, title, va="bottom", size=12, color=INK, weight="bold")
        one = thetas.shape[1] == 1
        _label(figure, y + heading + cell / 2, "frame", "and its window" if one else "and its windows", 11)
        note = f"{size} × {size} pixels" if one else f"{size} × {size} each"
        _label(figure, y + heading + cell + gap + below[title] / 2, "what it sees", note, 11)
        corners = window_corners(thetas, *images.shape[-2:]).numpy()
        border = _border(corners, *images.shape[-2:])
        views = spatial_transform(images, thetas, (size, size))[:, :, 0]  # N G h w
        for column, image in enumerate(images):
            x = left + column * (cell + gap)
            axes = _cell(figure, x, y + heading, cell, cell)
            _show(axes, image[0], low, high, border)
            for window, rim in zip(corners[column], _rims(thetas.shape[1]), strict=True):
                _outline(axes, window, rim)
            _views(figure, x, y + heading + cell + gap, cell, views[column], low, high)
        if together:
            x = left + len(images) * (cell + gap)
            _words(figure, x + cell / 2, y + heading + cell - 0.05, "on average", 11, ha="center", va="bottom")
            average = views.mean(0)
            _views(figure, x, y + heading + cell + gap, cell, average, low, average.max().item())
        y += heading + cell + gap + below[title] + 2 * gap
    return figure


def deformation(image: Tensor, fields: Mapping[str, Tensor]) -> "Figure":
    """Figure 5: a image, a field of displacements, and what the field makes of it; a row a field.

    A pixel p of the result shows the image at p + field(p). The third column draws the result's straight grid where
    it lies in the image: there the result looks for its pixels.

    Args:
        image: `H W`, uint8, square.
        fields: by name, `2 H W`: x and y displacements in pixels, as `elastic_fields` makes them. A name may have a
            second line.

    Raises:
        ValueError: there is no field, or one does not fit the image.
    """
    side = image.shape[-1]
    if image.shape != (side, side) or image.dtype != torch.uint8 or not fields:
        raise ValueError(
            f"{len(fields)} fields for a image of {image.dtype} {tuple(image.shape)}, "
            "expected at least one, and a square H W of uint8"
        )
    for name, field in fields.items():
        if field.shape != (2, side, side):
            raise ValueError(f"{name}: the field is {tuple(field.shape)}, expected 2 {side} {side} as the image is")
    cell, gap, left, top = 2.4, 0.1, 1.75, 0.35
    names = ("image", "displacements", "where the result looks", "result")
    figure = _sheet(left + len(names) * (cell + gap) - gap, top + len(fields) * (cell + gap) - gap)
    for column, name in enumerate(names):
        _words(figure, left + column * (cell + gap), top - 0.08, name, va="bottom", size=12, color=INK, weight="bold")
    for row, (name, field) in enumerate(fields.items()):
        y = top + row * (cell + gap)
        moved = field.detach().float().cpu()
        length = moved.norm(dim=0)
        first, _, rest = name.partition("\n")
        note = f"{rest}\nmoved by {length.mean():.1f} pixels\non average,\n{length.max():.1f} at most".lstrip()
        _label(figure, y + cell / 2, first, note, 11)
        drawn = [_cell(figure, left + column * (cell + gap), y, cell, cell) for column in range(len(names))]
        _show(drawn[0], image, 0, 255)
        _arrows(drawn[1], moved)
        _show(drawn[2], image, 0, 255)
        _bent_grid(drawn[2], moved)
        _show(drawn[3], deformed(image, moved), 0, 255)
    return figure


def deformed(image: Tensor, field: Tensor) -> Tensor:
    """What displacements make of a image: the pixel p shows it at p + field(p), bilinearly, rounded; 0 beyond it.

    Args:
        image: `H W`, uint8.
        field: `2 H W`, x and y in pixels.

    Returns:
        `H W`, uint8.
    """
    H, W = image.shape
    straight = F.affine_grid(torch.eye(2, 3)[None], [1, 1, H, W], align_corners=False)
    grid = straight + (field * torch.tensor([2 / W, 2 / H])[:, None, None]).permute(1, 2, 0)
    sampled = F.grid_sample(image[None, None].float(), grid, align_corners=False)
    return sampled[0, 0].add(0.5).floor().to(torch.uint8)


def _sheet(width: float, height: float) -> "Figure":
    """A white figure for cells and words that are placed by hand, in inches, from its upper left corner."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width + 2 * _EDGE, height + 2 * _EDGE), facecolor="white")


def _cell(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    across, down = figure.get_size_inches()
    place = ((left + _EDGE) / across, 1 - (top + height + _EDGE) / down, width / across, height / down)
    axes = figure.add_axes(place)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _words(figure: "Figure", left: float, top: float, text: str, size: float = 9, **style: Any) -> None:
    across, down = figure.get_size_inches()
    style = {"color": QUIET, **style}
    figure.text((left + _EDGE) / across, 1 - (top + _EDGE) / down, text, fontsize=size, **style)


def _label(figure: "Figure", middle: float, name: str, note: str, size: float = 10) -> None:
    """A row's name at the left edge, and a note of any number of lines below it, together centerd on `middle`."""
    line = size * 1.35 / 72
    lines = note.split("\n") if note else []
    top = middle - line * (1 + len(lines)) / 2
    _words(figure, 0, top, name, size, va="top", color=INK, weight="bold")
    for k, text in enumerate(lines, 1):
        _words(figure, 0, top + k * line, text, size - 1, va="top")


def _show(axes: "Axes", image: Tensor, low: float, high: float, border: float = 0) -> None:
    """A gray image `H W` in pixel coordinates, unsmoothed, with `border` pixels of nothing around it."""
    H, W = image.shape
    axes.set_facecolor(FAINT)
    axes.imshow(image.cpu().numpy(), cmap="gray", vmin=low, vmax=high, extent=(0, W, H, 0), interpolation="none")
    axes.set_xlim(-border, W + border)
    axes.set_ylim(H + border, -border)


def _outline_boxes(axes: "Axes", boxes: Tensor) -> None:
    from matplotlib.patches import Rectangle

    for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        if not math.isnan(x1):
            rim = _RIMS[1 - k % 2]
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=rim, linewidth=0.8))


def _rims(count: int) -> list[str]:
    return [_RIMS[k % len(_RIMS)] for k in range(count)]


def _border(corners: NDArray[np.float32], height: int, width: int) -> float:
    """How much of the surroundings is shown, in quarters of the frame: what the windows need, at most a half."""
    outside = max(-corners.min(), (corners[..., 0] - width).max(), (corners[..., 1] - height).max())
    quarter = max(height, width) / 4
    return quarter * min(math.ceil((outside - 0.5) / quarter), 2) if outside > 0.5 else 0.0


def _outline(axes: "Axes", corners: NDArray[np.float32], rim: str) -> None:
    from matplotlib.patches import Polygon

    # Behind the frame, which hides it: the tint is seen only where the window leaves the frame.
    axes.add_patch(Polygon(corners, closed=True, facecolor=rim, alpha=0.3, linewidth=0, zorder=-1))
    axes.add_patch(Polygon(corners, closed=True, fill=False, edgecolor=rim, linewidth=1.8, joinstyle="miter"))
    axes.plot(*corners[0], "o", color=rim, markersize=5)


def _arranged(count: int, cell: float) -> tuple[float, float, int]:
    """Side of each of `count` equal squares in rows of a cell's width, height of all, and how many are in a row."""
    across = math.ceil(math.sqrt(count))
    side = (cell - _BETWEEN * (across - 1)) / across
    return side, math.ceil(count / across) * (side + _BETWEEN) - _BETWEEN, across


def _views(figure: "Figure", left: float, top: float, cell: float, seen: Tensor, low: float, high: float) -> None:
    """What G windows show (`G h w`), in the place of one cell, each with its window's color around it."""
    side, _, across = _arranged(len(seen), cell)
    for k, (view, rim) in enumerate(zip(seen, _rims(len(seen)), strict=True)):
        x, y = left + k % across * (side + _BETWEEN), top + k // across * (side + _BETWEEN)
        axes = _cell(figure, x, y, side, side)
        _show(axes, view, low, high)
        for spine in axes.spines.values():
            spine.set(visible=True, edgecolor=rim, linewidth=1.8)


def _arrows(axes: "Axes", field: Tensor, every: int = 4) -> None:
    """Displacements as they are, in pixels, at every fourth pixel; deeper color for longer ones."""
    side = field.shape[-1]
    at = np.arange(every // 2, side, every)
    x, y = np.meshgrid(at + 0.5, at + 0.5)
    across, down = field[:, at][:, :, at].numpy()
    axes.quiver(
        x, y, across, down, np.hypot(across, down), cmap="viridis_r", angles="xy", scale_units="xy", scale=1,
        width=0.007, headwidth=4, headlength=4.5, headaxislength=4, minlength=0,
    )  # fmt: skip
    axes.set_xlim(0, side)
    axes.set_ylim(side, 0)
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=FAINT)


def _bent_grid(axes: "Axes", field: Tensor, every: int = 4) -> None:
    """The straight grid through every fourth pixel of the result, where the displacements put it in the image."""
    side = field.shape[-1]
    centers = np.arange(side) + 0.5
    x, y = field[0].numpy() + centers, field[1].numpy() + centers[:, None]
    for k in (*range(0, side - 1, every), side - 1):
        axes.plot(x[k], y[k], color=COLORS[4], linewidth=0.9)
        axes.plot(x[:, k], y[:, k], color=COLORS[4], linewidth=0.9)

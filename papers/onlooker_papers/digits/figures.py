"""Windows on frames, and deformed images: figures 2, 4 and 5 of Shan & Atanasov 2017, made from our
own data and models.

Windows and displacements are drawn in pixels of their frames: (0, 0) is the outer corner of the
first pixel, as in boxes.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from onlooker.report.overlay import BOX_COLORS
from onlooker.report.plots import FAINT, INK
from onlooker_papers.digits.sampling.spatial_transformer import spatial_transform
from onlooker_papers.sheet import caption, cells

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BOX_COLORS = tuple("#{:02x}{:02x}{:02x}".format(*rim) for rim in BOX_COLORS)


def windows(rows: Mapping[str, tuple[Tensor, Tensor]], size: int = 32) -> "Figure":
    """Figure 4: frames with the outline of each window, and below them the views through it.

    A dot marks the window's upper left corner, so that a rotated or mirrored view can be
    recognized. If a window extends beyond its frame, a border around all frames shows how far, up
    to half of the frame's side; so all rows have the same scale.

    Args:
        rows: by title, frames `N 1 H W` as the encoder takes them, and their windows, `N 2 3`, or
            `N G 2 3` for G windows per frame: see `spatial_transform`. An `STN` gives them by
            `windows(frames)`.
        size: height and width of a view.
    """
    several = {title: thetas.reshape(len(thetas), -1, 2, 3) for title, (_, thetas) in rows.items()}
    columns = max(len(frames) for frames, _ in rows.values())
    figure, grid = cells(sum(1 + thetas.shape[1] for thetas in several.values()), columns, 1.2)
    outlines = {
        title: window_corners(several[title].detach().float().cpu(), *frames.shape[-2:]).numpy()
        for title, (frames, _) in rows.items()
    }
    border = max(
        _border(outlines[title], *frames.shape[-2:]) for title, (frames, _) in rows.items()
    )
    first = 0
    for title, (frames, _) in rows.items():
        thetas = several[title].detach().float().cpu()
        images = frames.detach().float().cpu()
        low, high = (
            (0.0, 255.0)
            if frames.dtype == torch.uint8
            else (images.min().item(), images.max().item())
        )
        views = spatial_transform(images, thetas, (size, size))[:, :, 0]  # N G h w
        caption(grid[first, 0], title)
        for column, image in enumerate(images):
            _show(grid[first, column], image[0], low, high, border)
            for k, window in enumerate(outlines[title][column]):
                _outline(grid[first, column], window, _rim(k))
                _view(grid[first + 1 + k, column], views[column, k], low, high, _rim(k))
        caption(grid[first + 1, 0], f"what it sees\n{size} × {size} pixels")
        first += 1 + thetas.shape[1]
    return figure


def deformation(image: Tensor, fields: Mapping[str, Tensor]) -> "Figure":
    """Figure 5: an image, a field of displacements, and the deformed image; one row per field.

    A pixel p of the result shows the image at p + field(p).

    Args:
        image: `H W`, uint8, square.
        fields: by name, `2 H W`: x and y displacements in pixels, as `elastic_fields` makes them.
    """
    figure, grid = cells(len(fields), 3, 2.4)
    for axes, name in zip(grid[0], ("image", "displacements", "result"), strict=True):
        axes.set_title(name, color=INK, fontsize=12, fontweight="bold")
    for row, (name, field) in zip(grid, fields.items(), strict=True):
        displacements = field.detach().float().cpu()
        length = displacements.norm(dim=0)
        caption(
            row[0], f"{name}\n{length.mean():.1f} pixels on average,\n{length.max():.1f} at most"
        )
        _show(row[0], image, 0, 255)
        _arrows(row[1], displacements)
        _show(row[2], deformed(image, displacements), 0, 255)
    return figure


def deformed(image: Tensor, field: Tensor) -> Tensor:
    """Deform an image: pixel p shows the image at p + field(p), bilinearly, rounded; 0 beyond the
    image.

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


def _show(axes: "Axes", image: Tensor, low: float, high: float, border: float = 0) -> None:
    """A gray image `H W` in pixel coordinates, with an empty border of `border` pixels."""
    H, W = image.shape
    axes.set_facecolor(FAINT)
    axes.imshow(
        image.cpu().numpy(),
        cmap="gray",
        vmin=low,
        vmax=high,
        extent=(0, W, H, 0),
        interpolation="none",
    )
    axes.set_xlim(-border, W + border)
    axes.set_ylim(H + border, -border)


def _view(axes: "Axes", view: Tensor, low: float, high: float, rim: str) -> None:
    _show(axes, view, low, high)
    axes.spines[:].set(visible=True, edgecolor=rim, linewidth=1.8)


def _rim(window: int) -> str:
    return _BOX_COLORS[window % len(_BOX_COLORS)]


def _border(corners: NDArray[np.float32], height: int, width: int) -> float:
    """The width of the border, in quarters of the frame: as much as the windows need, at most half
    of the frame.
    """
    outside = max(-corners.min(), (corners[..., 0] - width).max(), (corners[..., 1] - height).max())
    quarter = max(height, width) / 4
    return quarter * min(math.ceil((outside - 0.5) / quarter), 2) if outside > 0.5 else 0.0


def _outline(axes: "Axes", corners: NDArray[np.float32], rim: str) -> None:
    from matplotlib.patches import Polygon

    # Behind the frame, so that the tint is visible only where the window extends beyond the frame.
    axes.add_patch(Polygon(corners, closed=True, facecolor=rim, alpha=0.3, linewidth=0, zorder=-1))
    axes.add_patch(
        Polygon(corners, closed=True, fill=False, edgecolor=rim, linewidth=1.8, joinstyle="miter")
    )
    axes.plot(*corners[0], "o", color=rim, markersize=5)


def _arrows(axes: "Axes", field: Tensor, every: int = 4) -> None:
    """Displacements in pixels, to scale, at every fourth pixel; longer ones have a deeper color."""
    side = field.shape[-1]
    at = np.arange(every // 2, side, every)
    x, y = np.meshgrid(at + 0.5, at + 0.5)
    across, down = field[:, at][:, :, at].numpy()
    axes.quiver(
        x,
        y,
        across,
        down,
        np.hypot(across, down),
        cmap="viridis_r",
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.007,
        headwidth=4,
        headlength=4.5,
        headaxislength=4,
        minlength=0,
    )
    axes.set_xlim(0, side)
    axes.set_ylim(side, 0)
    axes.spines[:].set(visible=True, edgecolor=FAINT)


def window_corners(theta: Tensor, height: int, width: int) -> Tensor:
    """The corners of windows in images of `height` × `width`.

    Args:
        theta: `… 2 3`, as `STN.windows` gives them.
        height, width: H and W.

    Returns:
        `… 4 2`, float32 on the CPU, x and y in pixels: upper left, upper right, lower right, lower
        left.
    """
    ends = torch.tensor([[-1.0, 1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, 1]])
    corners = (theta.detach().float().cpu() @ ends).transpose(-1, -2)  # from -1 to 1
    return (corners + 1) / 2 * torch.tensor([float(width), float(height)])

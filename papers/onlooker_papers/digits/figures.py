"""Figures 3 to 5 of Shan & Atanasov 2017, made from our own data and models.

Windows and displacements are drawn in pixels of their frames: (0, 0) is the outer corner of the
first pixel, as in boxes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from onlooker.base.files import write_bytes
from onlooker.data.transforms import to_video
from onlooker.models.encoders import Encoder
from onlooker.models.video_model import VideoModel
from onlooker.report.overlay import boxes, enlarge
from onlooker_papers.digits.data.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.data.moving_mnist import Batch
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.digits.data.scenes import elastic_fields
from onlooker_papers.digits.layers import architectures, modules
from onlooker_papers.digits.pretraining import DATA
from onlooker_papers.digits.published import FRAMES
from onlooker_papers.digits.sampling.spatial_transformer import spatial_transform
from onlooker_papers.mnist import DigitSplit
from onlooker_papers.sheet import FAINT, INK, caption, cells, sheet, to_png

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 8  # frames in a row
_ORANGE = (213, 94, 0)
FRAMES_PER_SETTING = AugmentedDigits.frames_per_setting
_BOX_COLORS = ("#d55e00", "#56b4e9", "#009e73", "#e69f00", "#cc79a7")


def write_images(
    folder: Path, splits: DigitSplit, *, stn: VideoModel, layers: Mapping[str, Any]
) -> list[tuple[bytes, str]]:
    """Write `figure-1.png` to `figure-5.png`.

    Test digits are shown, by the spatial transformer `stn`; `layers` are those of the encoders, by
    name. Returns each image with its caption.
    """
    batches = {
        name: AugmentedDigits(splits.test, variant=name).batch(labels=[[3, 7]], seed=4)
        for name in VARIANTS
    }
    single = SingleDigits(ScaledDigits(splits.test), seed=2).__getitems__(list(range(SHOWN)))
    alone = {"Scaled MNIST": _windows(stn, torch.stack([frames[0] for frames, _, _ in single]))}
    pairs = {
        f"{name}:\none window for two": _windows(
            stn, batch.video[0, :: FRAMES // SHOWN][:SHOWN].movedim(1, -1)
        )
        for name, batch in batches.items()
        if name != "gesture"
    }
    made = {
        "figure-1": (
            to_png(architectures(layers)),
            "Figure 1: layers with weights, their outputs, and their trainable parameters.",
        ),
        "figure-2": (to_png(modules()), "Figure 2: the structure of both attention modules."),
        "figure-3": (
            sheet([(name, _with_boxes(batch)) for name, batch in batches.items()], columns=10),
            "Figure 3: the variants, a frame of each setting, with the true boxes.",
        ),
        "figure-4": (
            to_png(windows(alone | pairs)),
            "Figure 4: the window of the pre-trained spatial transformer, and its output: single digits, and pairs.",
        ),
        "figure-5": (
            to_png(_deformation(batches["rotation+scale"])),
            "Figure 5: elastic deformation with the parameters of the paper, and with a wider window.",
        ),
    }
    for name, (image, _) in made.items():
        write_bytes(folder / f"{name}.png", image)
    return list(made.values())


class Windowed(Protocol):
    """An encoder that samples windows of its frames."""

    def windows(self, frames: Tensor) -> Tensor:
        """The maps from a window to the frame, `N … 2 3`."""


def seen(encoder: Encoder | None, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames `N 1 H W` and their windows, as `figures.windows` takes them."""
    with torch.inference_mode():
        return frames, cast(Windowed, encoder).windows(frames)


def _windows(model: VideoModel, frames: Tensor) -> tuple[Tensor, Tensor]:
    """`seen` for `N H W 1`, uint8."""
    return seen(model.encoder, to_video(frames, DATA.normalization))


def _with_boxes(batch: Batch) -> NDArray[np.uint8]:
    """A frame of each setting of the first video, with the boxes of its digits."""
    frames = batch.video[0, ::FRAMES_PER_SETTING, 0, :, :, None].expand(-1, -1, -1, 3).numpy()
    corners = batch.boxes[0, ::FRAMES_PER_SETTING].numpy()
    return np.stack(
        [
            boxes(enlarge(frame), of_frame, color=_ORANGE, size=frame.shape[:2])
            for frame, of_frame in zip(frames, corners, strict=True)
        ]
    )


def _deformation(batch: Batch) -> "Figure":
    image = batch.video[0, 0, 0]
    fields = {
        f"window {window} × {window}\n{words}": elastic_fields(
            1,
            image.shape[-1],
            torch.Generator().manual_seed(3),
            alpha=AugmentedDigits.alpha,
            sigma=AugmentedDigits.sigma,
            window=window,
        )[0]
        for window, words in ((AugmentedDigits.window, "as published"), (61, "smooth"))
    }
    return deformation(image, fields)


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
            _show(grid[first, column], image[0], low=low, high=high, border=border)
            for k, window in enumerate(outlines[title][column]):
                _outline(grid[first, column], window, _rim(k))
                _view(
                    grid[first + 1 + k, column], views[column, k], low=low, high=high, rim=_rim(k)
                )
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
        _show(row[0], image, low=0, high=255)
        _arrows(row[1], displacements)
        _show(row[2], deformed(image, displacements), low=0, high=255)
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


def _show(axes: "Axes", image: Tensor, *, low: float, high: float, border: float = 0) -> None:
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


def _view(axes: "Axes", view: Tensor, *, low: float, high: float, rim: str) -> None:
    _show(axes, view, low=low, high=high)
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

"""The sampler of spatial transformers (Jaderberg et al. 2015): a picture seen through affine windows."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["cell_centers", "spatial_transform", "window_corners"]


def spatial_transform(image: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
    """Sample each picture bilinearly where an affine map says (equation 1 of Jaderberg et al. 2015).

    Coordinates run from -1 to 1 from the outer edge of the first pixel to that of the last (`align_corners=False`), in
    the picture and in the output alike; so the identity shows the whole picture at any size. Outside, all is zero.
    Under autocast, places and samples are computed in float32 all the same: bfloat16 would round the places of a
    picture of 64 pixels to a quarter of a pixel.

    Args:
        image: `N C H W`.
        theta: `N 2 3`: an output point (x, y, 1) shows the point theta · (x, y, 1) of the picture. Or `N G 2 3`: G
            windows on each picture.
        size: height and width of the output.

    Returns:
        `N C *size`, or `N G C *size`.

    Raises:
        ValueError: the shapes do not fit.
    """
    N, several = len(image), theta.ndim == 4
    if image.ndim != 4 or theta.ndim not in (3, 4) or len(theta) != N or tuple(theta.shape[-2:]) != (2, 3):
        raise ValueError(
            f"image is {tuple(image.shape)} and theta {tuple(theta.shape)}, expected N C H W and N 2 3: one matrix "
            "each, or N G 2 3"
        )
    wide = torch.promote_types(image.dtype, torch.float32)
    with torch.autocast(image.device.type, enabled=False):
        windows = theta.to(wide).reshape(-1, 2, 3)
        grid = F.affine_grid(windows, [len(windows), image.shape[1], *size], align_corners=False)
        # The windows of a picture as one tall output, which spares a copy of the picture for each.
        seen = F.grid_sample(image.to(wide), grid.reshape(N, -1, size[1], 2), align_corners=False).to(image.dtype)
    return seen.unflatten(2, (-1, size[0])).transpose(1, 2) if several else seen


def cell_centers(h: int, w: int) -> Tensor:
    """The centers of a grid's cells, `h*w 2`: x and y from -1 to 1 between the map's edges."""
    y, x = ((torch.arange(n) * 2 + 1) / n - 1 for n in (h, w))
    return torch.stack((x.expand(h, w), y[:, None].expand(h, w)), -1).flatten(0, 1)


def window_corners(theta: Tensor, height: int, width: int) -> Tensor:
    """Where the corners of windows lie in pictures of `height` × `width`.

    Args:
        theta: `… 2 3`, as `spatial_transform` takes it.
        height, width: H and W.

    Returns:
        `… 4 2`, float32 on the CPU, x and y in pixels: the window's upper left, upper right, lower right and lower left
        corner.
    """
    ends = torch.tensor([[-1.0, 1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, 1]])
    seen = (theta.detach().float().cpu() @ ends).transpose(-1, -2)  # from -1 to 1
    return (seen + 1) / 2 * torch.tensor([float(width), float(height)])

"""The sampler of spatial transformers (Jaderberg et al. 2015)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def spatial_transform(
    image: Tensor, theta: Tensor, size: tuple[int, int], *, literal: bool = False
) -> Tensor:
    """Sample affine windows of images bilinearly (equation 1 of Jaderberg et al. 2015), zero
    outside.

    Coordinates run from -1 to 1 between the outer edges of image and output
    (`align_corners=False`), so the identity shows the whole image at any size. Autocast is off: in
    an image of 64 pixels, bfloat16 would round coordinates to a quarter of a pixel.

    Args:
        image: `N C H W`.
        theta: `N 2 3`: an output point (x, y, 1) shows the point theta · (x, y, 1) of the image. Or
            `N G 2 3`: G windows per image.
        size: height and width of the output.
        literal: as the authors' code of Shan & Atanasov 2017: output points include both ends of
            [-1, 1], coordinate x reads the image at index (x + 1) / 2 · W, and is zero outside the
            first and last pixel.

    Returns:
        `N C *size`, or `N G C *size`.
    """
    N = len(image)
    several = theta.ndim == 4
    wide = torch.promote_types(image.dtype, torch.float32)
    with torch.autocast(image.device.type, enabled=False):
        windows = theta.to(wide).reshape(-1, 2, 3)
        grid = F.affine_grid(windows, [len(windows), image.shape[1], *size], align_corners=literal)
        sides = grid.new_tensor(image.shape[:-3:-1])  # W, H
        if literal:
            grid = grid + 1 / sides  # by half a pixel
        # The windows of an image as one tall output, which needs no copies of the image.
        grid = grid.reshape(N, -1, size[1], 2)
        sampled = F.grid_sample(image.to(wide), grid, align_corners=False)
        if literal:
            index = ((grid + 1) * sides - 1) / 2
            sampled = sampled * ((index >= 0) & (index < sides - 1)).all(-1)[:, None]
        sampled = sampled.to(image.dtype)
    return sampled.unflatten(2, (-1, size[0])).transpose(1, 2) if several else sampled


def cell_centers(h: int, w: int) -> Tensor:
    """The centers of a grid's cells, `h*w 2`: x and y from -1 to 1 between the map's edges."""
    y, x = ((torch.arange(n) * 2 + 1) / n - 1 for n in (h, w))
    return torch.stack((x.expand(h, w), y[:, None].expand(h, w)), -1).flatten(0, 1)

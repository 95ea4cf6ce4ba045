"""The sampler of spatial transformers (Jaderberg et al. 2015): a picture seen through an affine window."""

import torch.nn.functional as F
from torch import Tensor


def spatial_transform(image: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
    """Sample each picture bilinearly where an affine map says (equation 1 of Jaderberg et al. 2015).

    Coordinates run from -1 to 1 from the outer edge of the first pixel to that of the last (`align_corners=False`), in
    the picture and in the output alike; so the identity shows the whole picture at any size. Outside, all is zero.

    Args:
        image: `N C H W`.
        theta: `N 2 3`: an output point (x, y, 1) shows the point theta · (x, y, 1) of the picture.
        size: height and width of the output.

    Returns:
        `N C *size`.

    Raises:
        ValueError: the shapes do not fit.
    """
    if image.ndim != 4 or tuple(theta.shape) != (len(image), 2, 3):
        raise ValueError(
            f"image is {tuple(image.shape)} and theta {tuple(theta.shape)}, expected N C H W and N 2 3: one matrix each"
        )
    grid = F.affine_grid(theta, [len(image), image.shape[1], *size], align_corners=False)
    return F.grid_sample(image, grid, align_corners=False)

"""LeNet on frames that are warped first: by an affine transform, or by an explicit field of displacements."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.encoders.lenet import LeNet
from onlooker_papers.digits.encoders.stn import make_localization
from onlooker_papers.digits.encoders.vector import init_xavier

POINTS = 5  # control points along each side


def warp(images: Tensor, field: Tensor) -> Tensor:
    """Bilinear warp: pixel p of the result shows the image at p + field(p); border pixels extend beyond the frame.

    Autocast is off, as in `spatial_transform`.

    Args:
        images: `N C H W`.
        field: `N 2 H W`, x and y displacements in pixels.

    Raises:
        ValueError: the shapes do not fit.
    """
    N, _, H, W = images.shape
    if tuple(field.shape) != (N, 2, H, W):
        raise ValueError(
            f"images are {tuple(images.shape)} and field {tuple(field.shape)}, expected N C H W and N 2 H W"
        )
    wide = torch.promote_types(images.dtype, torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        grid = identity(H, W).to(images.device, wide) + field.to(wide).permute(0, 2, 3, 1) * _per_pixel(H, W).to(field)
        sampled = F.grid_sample(images.to(wide), grid, padding_mode="border", align_corners=False)
    return sampled.to(images.dtype)


def identity(H: int, W: int) -> Tensor:
    """The centers of all pixels, `H W 2`, x and y from -1 to 1 between the frame's edges."""
    return F.affine_grid(torch.eye(2, 3)[None], [1, 1, H, W], align_corners=False)[0]


def _per_pixel(H: int, W: int) -> Tensor:
    """The size of a pixel in the units of `identity`, x and y."""
    return torch.tensor([2 / W, 2 / H])


def enlarge(control: Tensor, H: int, W: int) -> Tensor:
    """Bicubic interpolation of displacements from control points (corner to corner) to pixels: `N D h w -> N D H W`."""
    return F.interpolate(control, (H, W), mode="bicubic", align_corners=True)


class WarpedLeNet(LeNet):
    """`LeNet` on a frame that is warped by a field of displacements, which a localization network predicts from it.

    The localization network is that of `STN` with another last layer, which is initialized to zero (no displacement).
    `affine`: 6 numbers, which are added to the identity (Jaderberg et al. 2015). `field`: the displacements of control
    points from corner to corner of the frame, enlarged to all pixels by bicubic interpolation, which is a free-form
    deformation (Rueckert et al. 1999).

    Args:
        in_channels: C of the frames.
        size: their height and width, a multiple of 4, at least 28.
        points: control points along each side; 0: an affine transform.

    Raises:
        ValueError: frames that are too small, or a single control point.
    """

    def __init__(self, in_channels: int = 1, size: int = 64, points: int = POINTS) -> None:
        super().__init__(in_channels, size)
        if points < 0 or points == 1:
            raise ValueError(f"points is {points}, expected 0 (an affine transform) or at least 2 a side")
        self.points = points
        self.localization = make_localization(in_channels, size)
        self.displacements = nn.Linear(50, 2 * points**2 or 6)
        init_xavier(*self.localization)
        nn.init.zeros_(self.displacements.weight)
        nn.init.zeros_(self.displacements.bias)

    def field(self, frames: Tensor) -> Tensor:
        """Displacements in pixels, `N C H W -> N 2 H W`."""
        H, W = frames.shape[-2:]
        numbers = self.displacements(self.localization(frames))
        numbers = numbers.to(torch.promote_types(numbers.dtype, torch.float32))
        if self.points:
            control = numbers.view(-1, 2, self.points, self.points)
            return enlarge(control, H, W)
        centers = torch.cat((identity(H, W), torch.ones(H, W, 1)), 2).to(numbers)
        moved = torch.einsum("nij,hwj->nihw", numbers.view(-1, 2, 3), centers)
        return moved / _per_pixel(H, W).to(numbers)[:, None, None]

    def transform(self, frames: Tensor) -> Tensor:
        """The warped frames, `N C H W`."""
        return warp(frames, self.field(frames))

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N 500 1 1`."""
        return super().forward(self.transform(frames))

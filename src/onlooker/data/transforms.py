"""From stored bytes to model input: normalization, and augmentation in training."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["to_video"]

# name -> mean and standard deviation of pixel values in [0, 1]. `half` needs no statistics of the
# data; pretrained encoders except `lite0` use `imagenet`; `mnist` only subtracts the mean of its
# training digits.
NORMALIZATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "half": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "mnist": ((0.1307, 0.1307, 0.1307), (1.0, 1.0, 1.0)),
    "lite0": ((127 / 255,) * 3, (128 / 255,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
_FLOW = (0.5, 0.25)  # mean and standard deviation of displacements in 8 bits


def to_video(frames: Tensor, normalization: str, flow_channels: int = 0) -> Tensor:
    """Frames `… H W C` uint8 to a video `… C H W`, float, normalized.

    Args:
        frames: RGB or gray, once or of several views, followed by channels of optical flow, if any.
        normalization: of RGB or gray, one of `NORMALIZATIONS`.
        flow_channels: how many of the last channels are flow; no displacement becomes 0, the
            largest 2.
    """
    image_channels = frames.shape[-1] - flow_channels
    mean, std = (
        torch.tensor(
            [*_repeated(colors, image_channels), *[flow] * flow_channels], device=frames.device
        )
        for colors, flow in zip(NORMALIZATIONS[normalization], _FLOW, strict=True)
    )
    return ((frames.float() / 255 - mean) / std).movedim(-1, -3)


def _repeated(colors: tuple[float, float, float], channels: int) -> tuple[float, ...]:
    """A value for each channel: those of RGB, or of gray, for every view."""
    return colors * (channels // 3) if channels % 3 == 0 else colors[:1] * channels


def augment(
    video: Tensor,
    *,
    translate: float,
    scale: float,
    hflip: bool,
    flow_channels: int = 0,
    degrees: float = 0.0,
) -> Tensor:
    """Augment each video of `B T C H W` at random, all of its frames alike.

    Displacements are scaled, mirrored and rotated together with the frames.

    Args:
        video: float, H = W if rotated.
        translate: maximum translation, as a fraction of the side; outside the frame the border is
            repeated.
        scale: the side of the part that is shown is between `1 - scale` and `1 + scale` of the
            frame's.
        hflip: mirror each video with probability 0.5.
        flow_channels: how many of the last channels are flow: x, y, x, y, …
        degrees: maximum rotation, in degrees.
    """
    if not (translate or scale or hflip or degrees):
        return video
    B, T = video.shape[:2]
    random = torch.rand(B, 4)
    theta = torch.zeros(B, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + scale * (2 * random[:, 0] - 1)
    theta[:, :, 2] = 2 * translate * (2 * random[:, 1:3] - 1)
    if hflip:
        theta[:, 0, 0] *= torch.where(random[:, 3] < 0.5, -1.0, 1.0)
    if degrees:
        angle = math.radians(degrees) * (2 * torch.rand(B, 1)[:, 0] - 1)
        rotation = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), 1).view(
            B, 2, 2
        )
        theta[:, :, :2] = theta[:, :, :2] @ rotation
    flat = video.flatten(1, 2)  # one transform per video: the sampler treats frames as channels
    grid = F.affine_grid(theta, list(flat.shape), align_corners=False).to(video)
    moved = F.grid_sample(flat, grid, padding_mode="border", align_corners=False).unflatten(
        1, (T, -1)
    )
    if flow_channels:
        # The sampler maps from the new image to the old one, displacements the other way.
        back = theta[:, :, :2].inverse().to(video)
        fields = moved[:, :, -flow_channels:].unflatten(2, (-1, 2))
        moved[:, :, -flow_channels:] = torch.einsum("bij,btfjhw->btfihw", back, fields).flatten(
            2, 3
        )
    return moved

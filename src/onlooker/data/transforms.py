"""Bytes to what a model sees: normalized, and in training moved a little."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# name -> mean and deviation that pixel values in [0, 1] are normalized with. `half` needs nothing known of the data;
# `imagenet` is what pretrained encoders were trained on; `mnist` subtracts the mean of its training digits, no more.
NORMALIZATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "half": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "mnist": ((0.1307, 0.1307, 0.1307), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
_OF_FLOW = (0.5, 0.25)  # mean and deviation of displacements in 8 bits


def to_video(frames: Tensor, normalization: str, flow_channels: int = 0) -> Tensor:
    """Frames `… H W C` uint8 to a video `… C H W`, float, normalized.

    Args:
        frames: pictures, with optical flow behind their channels or without.
        normalization: of the pictures, one of `NORMALIZATIONS`.
        flow_channels: how many of the channels, the last, are flow; no displacement becomes 0, the strongest 2.

    Raises:
        ValueError: no normalization of that name.
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"no normalization is called {normalization!r}; there are {', '.join(NORMALIZATIONS)}")
    of_picture = frames.shape[-1] - flow_channels
    mean, std = (
        torch.tensor([*of_colors[:of_picture], *[of_flow] * flow_channels], device=frames.device)
        for of_colors, of_flow in zip(NORMALIZATIONS[normalization], _OF_FLOW, strict=True)
    )
    return ((frames.float() / 255 - mean) / std).movedim(-1, -3)


def to_features(maps: Tensor) -> Tensor:
    """Stored maps `… h w D` in half precision to features `… D h w`, float, with the channels still last in memory."""
    return maps.float().movedim(-1, -3)


def augment(
    video: Tensor,
    translate: float,
    scale: float,
    hflip: bool,
    flow_channels: int = 0,
    degrees: float = 0.0,
    speed: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Each video of `B T C H W` moved and hurried by its own chance, all of its frames alike.

    Displacements are zoomed, mirrored, turned and hurried with the picture that they are of.

    Args:
        video: what to move, H = W.
        translate: largest translate, as a share of the side; pixels from outside repeat the border.
        scale: largest change of scale: the factor is between `1 - scale` and `1 + scale`.
        hflip: mirror half of the videos.
        flow_channels: how many of the channels, the last, are flow: x, y, x, y, …
        degrees: largest angle, in degrees, to either side.
        speed: largest change of speed: a time step is between `1 - speed` and `1 + speed` frames. A slower video is a
            part of the clip, somewhere in it; of a faster one the first and last frames are repeated.
        generator: where the chance comes from, on the CPU.

    Raises:
        ValueError: a video to degrees that is not square.
    """
    if speed:
        video = _hurried(video, speed, flow_channels, generator)
    if not (translate or scale or hflip or degrees):
        return video
    B, T, _, H, W = video.shape
    if degrees and H != W:
        raise ValueError(f"frames of {H}×{W} pixels cannot be turned, expected square ones")
    chance = torch.rand(B, 4, generator=generator)
    theta = torch.zeros(B, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + scale * (2 * chance[:, 0] - 1)
    theta[:, :, 2] = 2 * translate * (2 * chance[:, 1:3] - 1)
    if hflip:
        theta[:, 0, 0] *= torch.where(chance[:, 3] < 0.5, -1.0, 1.0)
    if degrees:
        angle = math.radians(degrees) * (2 * torch.rand(B, 1, generator=generator)[:, 0] - 1)
        turned = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), 1).view(B, 2, 2)
        theta[:, :, :2] = theta[:, :, :2] @ turned
    flat = video.flatten(1, 2)  # one transform a video: its frames are channels to the sampler
    grid = F.affine_grid(theta, list(flat.shape), align_corners=False).to(video)
    moved = F.grid_sample(flat, grid, padding_mode="border", align_corners=False).unflatten(1, (T, -1))
    if flow_channels:
        # The sampler goes from the new picture to the old one, displacements go the other way.
        back = theta[:, :, :2].inverse().to(video)
        fields = moved[:, :, -flow_channels:].unflatten(2, (-1, 2))
        moved[:, :, -flow_channels:] = torch.einsum("bij,btfjhw->btfihw", back, fields).flatten(2, 3)
    return moved


def _hurried(video: Tensor, speed: float, flow_channels: int, generator: torch.Generator | None) -> Tensor:
    """Videos `B T C H W` at another speed each, of as many frames; see `augment`."""
    B, T = video.shape[:2]
    chance = torch.rand(2, B, 1, generator=generator)
    step = 1 + speed * (2 * chance[0] - 1)
    start = chance[1] * (T - 1) * (1 - step)  # before the clip if it is too short for this speed
    chosen = (start + step * torch.arange(T)).round().long().clamp(0, T - 1)
    hurried = video[torch.arange(B)[:, None], chosen.to(video.device)]
    if flow_channels:
        hurried[:, :, -flow_channels:] *= step[..., None, None, None].to(video)
    return hurried

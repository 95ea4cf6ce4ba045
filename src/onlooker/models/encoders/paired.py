"""Two encoders side by side, one for RGB and one for optical flow."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Paired"]


class Paired(nn.Module):
    """The features of RGB and optical flow, concatenated.

    Args:
        rgb, flow: encoders of the first channels, and of the last `flow_channels`, with equal grids.
    """

    def __init__(self, rgb: Any, flow: Any, flow_channels: int) -> None:
        super().__init__()
        self.rgb, self.flow, self.flow_channels = rgb, flow, flow_channels
        self.num_features: int = rgb.num_features + flow.num_features

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return self.rgb.grid(height, width)

    def forward(self, frames: Tensor) -> Tensor:
        rgb, flow = frames.tensor_split((frames.shape[1] - self.flow_channels,), 1)
        # Convolutions are fastest with channels last in memory; a slice of the channels is not contiguous.
        parts = (part.contiguous(memory_format=torch.channels_last) for part in (rgb, flow))
        return torch.cat([encoder(part) for encoder, part in zip((self.rgb, self.flow), parts, strict=True)], 1)

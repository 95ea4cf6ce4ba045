"""TSM on MobileNetV2: a 2-D network whose blocks get some channels from the neighboring frames.

Lin, Gan & Han 2019, *TSM: Temporal Shift Module for Efficient Video Understanding* (arXiv
1811.08383).
"""

from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.mobilenetv2 import InvertedResidual

__all__ = ["TSM", "shift"]

_PART = 8  # one of this many channels is shifted, in each direction

State = list[Tensor]


def shift(x: Tensor, frames: int) -> Tensor:
    """Take an eighth of the channels from the previous frame: `N D h w`, N = B*T, to the same; zeros
    before the first frame (section 4, online models).
    """
    x = x.unflatten(0, (-1, frames))
    part = x.shape[2] // _PART
    moved = x.clone()
    moved[:, 1:, :part] = x[:, :-1, :part]
    moved[:, :1, :part] = 0
    return moved.flatten(0, 1)


class TSM(nn.Module):
    """torchvision's MobileNetV2 with shifted channels inside its ten residual blocks, before their
    expansion.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        network = mobilenet_v2(num_classes=num_classes, dropout=0.5)
        self.layers = network.features
        self.classifier = network.classifier
        self.to(memory_format=torch.channels_last)

    @property
    def shifted(self) -> list[InvertedResidual]:
        """The blocks with shifted channels, in their order."""
        return [
            layer
            for layer in self.layers
            if isinstance(layer, InvertedResidual) and layer.use_res_connect
        ]

    def frame_logits(self, video: Tensor) -> Tensor:
        """`B T C H W -> B T K`."""
        x = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        T = video.shape[1]
        shifted = self.shifted
        for layer in self.layers:
            x = x + layer.conv(shift(x, T)) if layer in shifted else layer(x)
        return cast(Tensor, self.classifier(x.mean((2, 3)))).unflatten(0, (-1, T))

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One frame `B C H W` of a stream to its logits `B K`, and the channels that the next frame
        gets.
        """
        x = frame
        given = iter(state or [])
        shifted = self.shifted
        kept: State = []
        for layer in self.layers:
            if layer not in shifted:
                x = layer(x)
                continue
            part = x.shape[1] // _PART
            kept.append(x[:, :part])
            before = next(given, torch.zeros_like(kept[-1]))
            x = x + layer.conv(torch.cat((before, x[:, part:]), 1))
        return self.classifier(x.mean((2, 3))), kept

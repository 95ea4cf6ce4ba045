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


def shift(x: Tensor, frames: int, causal: bool = False) -> Tensor:
    """Shift an eighth of the channels back in time and an eighth forward: `N D h w`, N = B*T, to
    the same.

    The first eighth comes from the next frame, the second from the previous frame; zeros beyond the
    ends (section 3). If `causal`, one eighth comes from the previous frame, and none from the next
    (section 4, online models).
    """
    x = x.unflatten(0, (-1, frames))
    part = x.shape[2] // _PART
    moved = x.clone()
    past = slice(part) if causal else slice(part, 2 * part)
    moved[:, 1:, past] = x[:, :-1, past]
    moved[:, :1, past] = 0
    if not causal:
        moved[:, :-1, :part] = x[:, 1:, :part]
        moved[:, -1:, :part] = 0
    return moved.flatten(0, 1)


class TSM(nn.Module):
    """torchvision's MobileNetV2 with shifted channels inside its ten residual blocks, before their
    expansion.

    Args:
        num_classes: K.
        causal: shift from earlier frames only, so that `step` works.
    """

    def __init__(self, num_classes: int, causal: bool = False) -> None:
        super().__init__()
        network = mobilenet_v2(num_classes=num_classes, dropout=0.5)
        self.layers = network.features
        self.classifier = network.classifier
        self.causal = causal
        self.to(memory_format=torch.channels_last)

    @property
    def shifted(self) -> list[InvertedResidual]:
        """The blocks with shifted channels, in their order."""
        return [
            layer
            for layer in self.layers
            if isinstance(layer, InvertedResidual) and layer.use_res_connect
        ]

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B K`, the mean of the frames' logits."""
        return self.frame_logits(video).mean(1)

    def frame_logits(self, video: Tensor) -> Tensor:
        """`B T C H W -> B T K`."""
        x = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        T = video.shape[1]
        shifted = self.shifted
        for layer in self.layers:
            x = x + layer.conv(shift(x, T, self.causal)) if layer in shifted else layer(x)
        return cast(Tensor, self.classifier(x.mean((2, 3)))).unflatten(0, (-1, T))

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One frame `B C H W` of a stream to its logits `B K`, and the channels that the next frame
        gets.

        Raises:
            ValueError: the model sees later frames.
        """
        if not self.causal:
            raise ValueError(
                "this model shifts channels of later frames, too; build it with causal=True"
            )
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

"""The deformable encoder of Shan & Atanasov 2017: convolutions that move with what they see, then 500 numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from onlooker.models.encoders.wide_linear import WideLinear
from onlooker.ops.channel_offset import ChannelOffset
from onlooker.ops.deform_conv import DeformableConv2d

__all__ = ["DCN"]

OFFSETS = ("channel", "tap", "modulated")
_FRAMES = 16  # that are recomputed together


class DCN(nn.Module):
    """Two 5×5 convolutions to 20 and 50 channels ("same", ReLU, no pooling) that deform; fully connected 500, ReLU.

    With `Linear(500, 10)` on top, 64×64 gray frames and `offset="channel"` it has the published 102,483,280 parameters.

    Args:
        in_channels: C of the frames.
        size: their height and width.
        offset: `channel`: behind each convolution, every channel is read at places of its own (the authors' code, see
            `ChannelOffset`). `tap`: the taps of the convolutions move (the paper's equation 1b, see
            `DeformableConv2d`). `modulated`: they also have a factor each (Zhu et al. 2019).
        checkpoint: compute the convolutions a second time for the gradients, 16 frames at a time, instead of keeping
            what lies between them. Costs a sixth more time, and with it end-to-end training of 16 videos of 10 frames
            stays below 4 GB.

    Raises:
        ValueError: `offset` is none of these.
    """

    num_features = 500

    def __init__(self, in_channels: int = 1, size: int = 64, offset: str = "channel", checkpoint: bool = True) -> None:
        super().__init__()
        if offset not in OFFSETS:
            raise ValueError(f"offset is {offset!r}, expected one of {', '.join(OFFSETS)}")
        self.checkpoint = checkpoint
        layers: list[nn.Module] = []
        for channels, width in ((in_channels, 20), (20, 50)):
            if offset == "channel":
                conv = nn.Conv2d(channels, width, 5, padding=2)
                layers += [conv, nn.ReLU(), ChannelOffset(width)]
            else:
                deformable = DeformableConv2d(channels, width, 5, padding=2, modulated=offset == "modulated")
                conv = deformable.conv
                layers += [deformable, nn.ReLU()]
            _start(conv)
        self.layers = nn.Sequential(*layers)
        self.fc = WideLinear(50 * size**2, self.num_features)
        _start(self.fc)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """One vector a frame: `(1, 1)`."""
        return 1, 1

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N 500 1 1`."""
        return F.relu(self.fc(self.maps(frames).flatten(1)))[:, :, None, None]

    def maps(self, frames: Tensor) -> Tensor:
        """What the fully connected layer sees: `N C H W -> N 50 H W`."""
        if not (self.checkpoint and torch.is_grad_enabled()):
            return self.layers(frames)
        return torch.cat([recompute(self.layers, part, use_reentrant=False) for part in frames.split(_FRAMES)])


def _start(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)

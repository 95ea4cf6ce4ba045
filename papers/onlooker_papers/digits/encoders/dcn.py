"""The deformable convolutional network of Shan & Atanasov 2017."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from onlooker_papers.digits.encoders.vector import VectorEncoder, WideLinear, init_xavier
from onlooker_papers.digits.sampling.channel_offset import ChannelOffset
from onlooker_papers.digits.sampling.deform_conv import DeformableConv2d

OFFSETS = ("channel", "literal", "tap", "modulated")
_FRAMES = 16  # recomputed at once


class DCN(VectorEncoder):
    """Two deformable 5×5 convolutions to 20 and 50 channels ("same", ReLU, no pooling); fully
    connected 500, ReLU.

    With `Linear(500, 10)` on top, 64×64 gray frames and `offset="channel"` it has the published
    102,483,280 parameters.

    The convolutions of more than 32 frames are recomputed for the gradients, 16 frames at a time
    (activation checkpointing). It takes a sixth more time, and end-to-end training of 16 videos of
    10 frames then needs less than 4 GB.

    Args:
        in_channels: C of the frames.
        size: their height and width.
        offset: `channel`: after each convolution, a learned offset per channel (`ChannelOffset`),
            as the authors meant it; `literal`: as their code runs it, with the offsets in another
            order. `tap`: a learned offset per kernel tap (the paper's equation 1b,
            `DeformableConv2d`). `modulated`: also a factor per tap (Zhu et al. 2019).

    Raises:
        ValueError: `offset` is none of these.
    """

    num_features = 500

    def __init__(self, in_channels: int = 1, size: int = 64, offset: str = "channel") -> None:
        super().__init__()
        if offset not in OFFSETS:
            raise ValueError(f"offset is {offset!r}, expected one of {', '.join(OFFSETS)}")
        layers: list[nn.Module] = []
        for channels, width in ((in_channels, 20), (20, 50)):
            if offset in ("channel", "literal"):
                conv = nn.Conv2d(channels, width, 5, padding=2)
                layers += [conv, nn.ReLU(), ChannelOffset(width, offset == "literal")]
            else:
                deformable = DeformableConv2d(
                    channels, width, 5, padding=2, modulated=offset == "modulated"
                )
                conv = deformable.conv
                layers += [deformable, nn.ReLU()]
            init_xavier(conv)
        self.layers = nn.Sequential(*layers)
        self.fc = WideLinear(50 * size**2, self.num_features)
        init_xavier(self.fc)

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N 500 1 1`."""
        return F.relu(self.fc(self.maps(frames).flatten(1)))[:, :, None, None]

    def maps(self, frames: Tensor) -> Tensor:
        """The input of the fully connected layer: `N C H W -> N 50 H W`."""
        if not torch.is_grad_enabled() or len(frames) <= 2 * _FRAMES:
            return self.layers(frames)
        return torch.cat(
            [recompute(self.layers, part, use_reentrant=False) for part in frames.split(_FRAMES)]
        )

"""A small convolutional network that trains on few clips on a laptop; its output is a map."""

import math

from torch import Tensor, nn

_WIDTHS = (16, 32, 64, 64)


class Conv4(nn.Module):
    """Four convolutions with batch norm and ReLU: a frame to a map of an eighth of its height and width.

    The four-block network of few-shot learning (Vinyals et al. 2016) in half the time: the first block has 5×5 kernels
    with stride 2, the next two pool before they normalize, and the last one does not pool.
    """

    num_features = _WIDTHS[-1]

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block, width in enumerate(_WIDTHS):
            kernel, stride = (5, 2) if block == 0 else (3, 1)
            layers.append(nn.Conv2d(in_channels, width, kernel, stride, kernel // 2, bias=False))
            if block in (1, 2):
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            in_channels = width
        self.layers = nn.Sequential(*layers)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return math.ceil(height / 8), math.ceil(width / 8)

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames)

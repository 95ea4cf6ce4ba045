"""A residual network that is small enough for a laptop, with pretraining on images."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from onlooker.models.encoders.backbone import filters_for, loading

FOLDER = Path(__file__).with_name("weights")  # safetensors in half precision, one file per name

STEM = 16
STAGES = ((48, 2), (96, 2), (160, 2))  # channels and residual blocks after each halving of the map
LAST = 256  # channels of the last convolution


class Small(nn.Module):
    """A residual network of 17 convolutions: a frame to a map of a sixteenth of its height and
    width.

    Its features are the maps of four depths, concatenated; earlier maps are average-pooled to the
    size of the last one. Edges and textures show what moves at least as well as objects do.

    The basic blocks of ResNet (He et al. 2016, arXiv 1512.03385), narrow enough for a laptop: 65
    million multiply-adds for 64×64 pixels, 199 million for 112×112, 1.6 million weights.

    Args:
        in_channels: C of the frames.
    """

    num_features = sum(width for width, _ in STAGES) + LAST
    last_features = LAST

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        layers = [convolution(in_channels, STEM, 3, stride=2)]
        channels = STEM
        for width, blocks in STAGES:
            residuals = [Residual(width) for _ in range(blocks)]
            layers.append(nn.Sequential(convolution(channels, width, 3, stride=2), *residuals))
            channels = width
        self.layers = nn.Sequential(*layers, convolution(channels, LAST, 1))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return math.ceil(height / 16), math.ceil(width / 16)

    def forward(self, frames: Tensor) -> Tensor:
        stem, *layers = self.layers
        maps = [stem(frames)]
        for layer in layers:
            maps.append(layer(maps[-1]))
        strides = (4, 2, 1, 1)  # from each map to the last one
        pooled = (
            F.avg_pool2d(features, stride, ceil_mode=True, count_include_pad=False)
            for features, stride in zip(maps[1:], strides, strict=True)
        )
        return torch.cat([*pooled], 1)


class Residual(nn.Module):
    """`relu(x + f(x))`, with f two 3×3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        # every block starts as the identity (Goyal et al. 2017, arXiv 1706.02677)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.relu(features + self.norm(self.second(self.first(features))))


def convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1
) -> nn.Sequential:
    """A convolution that keeps the size of the map (divided by the stride), batch norm, and ReLU."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels), nn.ReLU())


def load_packaged(encoder: nn.Module, name: str, in_channels: int) -> None:
    """Load the weights of this package into an encoder of that name.

    The first filters are for RGB, and adapted by `filters_for`.

    Raises:
        RuntimeError: the file is missing or damaged.
    """
    path = FOLDER / f"{name}.safetensors"
    remedy = "install onlooker again, or use random weights (--no-pretrained; in Python pretrained=False)"
    with loading(str(path), name, remedy):
        weights = load_file(path)
        key = next(iter(encoder.state_dict()))
        weights[key] = filters_for(weights[key].float(), in_channels)
        encoder.load_state_dict(weights)

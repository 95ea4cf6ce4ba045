"""Encoders of single frames, `forward(frames: N C H W) -> N D h w`, and the table of them."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

from onlooker.models.encoders.backbone import Backbone
from onlooker.models.encoders.conv4 import Conv4
from onlooker.models.encoders.dcn import DCN
from onlooker.models.encoders.glimpses import Glimpses
from onlooker.models.encoders.lenet import LeNet
from onlooker.models.encoders.stn import STN

__all__ = ["ENCODERS", "Encoder", "Windowed", "build_encoder"]


class Encoder(Protocol):
    """The interface of an encoder; `num_features` is D."""

    num_features: int

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """`(h, w)` for frames of that height and width."""
        ...

    def __call__(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D h w`."""
        ...


@runtime_checkable
class Windowed(Protocol):
    """An encoder that samples windows of a frame (`stn`, `stn:N`)."""

    def windows(self, frames: Tensor) -> Tensor:
        """Frames of one clip `N C H W` to affine windows `N 2 3` or `N G 2 3`, see `spatial_transform`."""
        ...


# name -> build(in_channels, size, pretrained). Also: `stn:N` with N glimpses, any timm network by its name, and
# `NAME:vector` for the vector before its classifier.
ENCODERS: dict[str, Callable[[int, int, bool], Encoder]] = {
    "conv4": lambda in_channels, size, pretrained: Conv4(in_channels),
    "lenet": lambda in_channels, size, pretrained: LeNet(in_channels, size),
    "vgg16": lambda in_channels, size, pretrained: Backbone("vgg16", in_channels, pretrained),
    "vgg16:vector": lambda in_channels, size, pretrained: Backbone("vgg16", in_channels, pretrained, vector=True),
    "stn": lambda in_channels, size, pretrained: STN(in_channels, size),
    "stn:2": lambda in_channels, size, pretrained: Glimpses(in_channels, 2),
    "dcn": lambda in_channels, size, pretrained: DCN(in_channels, size),
    "dcn:tap": lambda in_channels, size, pretrained: DCN(in_channels, size, "tap"),
    "dcn:modulated": lambda in_channels, size, pretrained: DCN(in_channels, size, "modulated"),
}


def build_encoder(name: str, in_channels: int, size: int, pretrained: bool = False) -> Encoder:
    """An encoder by its name.

    Args:
        name: one of `ENCODERS`, `stn:N` with N glimpses, any timm network, or `NAME:vector` of a timm network.
        in_channels: C of the frames.
        size: height and width of the frames.
        pretrained: load ImageNet weights (timm networks only).

    Raises:
        ValueError: no encoder of that name, or pretrained weights of one that has none.
    """
    base, _, kind = name.partition(":")
    glimpses = int(kind) if base == "stn" and kind.isdecimal() else None
    if pretrained and (glimpses is not None or (name in ENCODERS and base != "vgg16")):
        remedy = "use a timm network such as vgg16, or none (--no-pretrained; in Python pretrained=False)"
        raise ValueError(f"{name} has no pretrained weights; {remedy}")
    if name in ENCODERS:
        return ENCODERS[name](in_channels, size, pretrained)
    if glimpses is not None:
        return Glimpses(in_channels, glimpses)
    if kind not in ("", "vector"):
        raise ValueError(f"encoder {name!r} ends in {kind!r}, expected NAME or NAME:vector, or stn:N for N glimpses")
    try:
        return Backbone(base, in_channels, pretrained, size, vector=bool(kind))
    except ValueError as error:
        known = f"{', '.join(ENCODERS)} and every timm network"
        raise ValueError(f"no encoder is called {name!r}; there are {known} ({error})") from error

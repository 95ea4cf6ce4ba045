"""The encoders of this paper, one vector per frame, and their names for `create_model` and the
commands.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from onlooker.models.encoders import Encoder
from onlooker.models.registry import register_encoder
from onlooker_papers import PACKAGE
from onlooker_papers.digits.encoders.dcn import DCN
from onlooker_papers.digits.encoders.glimpses import Glimpses
from onlooker_papers.digits.encoders.lenet import LeNet
from onlooker_papers.digits.encoders.stn import STN

_MAX_GLIMPSES = 9


def _build(
    in_channels: int, size: int, pretrained: bool, *, kind: Callable[..., Encoder], **settings: Any
) -> Encoder:
    return kind(in_channels, size, **settings)


def _build_glimpses(in_channels: int, size: int, *, glimpses: int) -> Encoder:
    return Glimpses(in_channels, glimpses)


ENCODERS = {
    "lenet": partial(_build, kind=LeNet),
    "stn": partial(_build, kind=STN),
    "stn:literal": partial(_build, kind=STN, literal=True),
    "dcn": partial(_build, kind=DCN),
    "dcn:literal": partial(_build, kind=DCN, offset="literal"),
    "dcn:tap": partial(_build, kind=DCN, offset="tap"),
    "dcn:modulated": partial(_build, kind=DCN, offset="modulated"),
    **{
        f"stn:{count}": partial(_build, kind=_build_glimpses, glimpses=count)
        for count in range(1, _MAX_GLIMPSES + 1)
    },
}


def register_encoders() -> None:
    """Register the encoders in the library: `stn:N` has N glimpses."""
    for name, build in ENCODERS.items():
        register_encoder(name, build, package=PACKAGE)

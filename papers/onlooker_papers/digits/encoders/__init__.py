"""The encoders of this paper, one vector per frame, and their names for `create_model` and the
commands.
"""

from functools import partial

from onlooker.models.encoders import ENCODERS, Encoder
from onlooker_papers.digits.encoders.dcn import DCN
from onlooker_papers.digits.encoders.glimpses import Glimpses
from onlooker_papers.digits.encoders.lenet import LeNet
from onlooker_papers.digits.encoders.stn import STN

_MAX_GLIMPSES = 9


def _build_glimpses(in_channels: int, size: int, glimpses: int) -> Encoder:
    return Glimpses(in_channels, glimpses)


def register_encoders() -> None:
    """Register the encoders in the library: `stn:N` has N glimpses."""
    ENCODERS.update(
        {
            "lenet": LeNet,
            "stn": STN,
            "stn:literal": partial(STN, literal=True),
            "dcn": DCN,
            "dcn:literal": partial(DCN, offset="literal"),
            "dcn:tap": partial(DCN, offset="tap"),
            "dcn:modulated": partial(DCN, offset="modulated"),
            **{
                f"stn:{count}": partial(_build_glimpses, glimpses=count)
                for count in range(1, _MAX_GLIMPSES + 1)
            },
        }
    )

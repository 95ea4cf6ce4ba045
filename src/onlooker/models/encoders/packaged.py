"""Pretrained weights of encoders in this package: safetensors in half precision, one file per encoder."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from onlooker.models.encoders.backbone import filters_for

FOLDER = Path(__file__).with_name("weights")


def load_packaged(encoder: nn.Module, name: str, in_channels: int) -> None:
    """Load the weights of this package into an encoder of that name.

    The first filters are for RGB, and adapted by `filters_for`.

    Raises:
        ValueError: the file is missing or damaged.
    """
    path = FOLDER / f"{name}.safetensors"
    try:
        weights = load_file(path)
        key = next(iter(encoder.state_dict()))
        weights[key] = filters_for(weights[key].float(), in_channels)
        encoder.load_state_dict(weights)
    except (OSError, KeyError, SafetensorError, RuntimeError) as error:
        remedy = "install onlooker again, or use random weights (--no-pretrained; in Python pretrained=False)"
        raise ValueError(f"{path}: the weights of {name} are missing or damaged ({error}); {remedy}") from error

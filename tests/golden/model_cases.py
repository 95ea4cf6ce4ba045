"""The models whose values are golden, and the samples they are given; weights are random, from a fixed seed."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.config import DataConfig
from onlooker.data.transforms import to_video
from onlooker.models.registry import MODELS, create_model
from onlooker.models.video_model import VideoModel
from onlooker_papers.digits.registry import RECIPES as PAPER_MODELS
from onlooker_papers.single_frame import RECIPE as SINGLE_FRAME

B, T, K, SIZE, HIDDEN = 2, 6, 3, 32, 8
CLASSES = ("left", "right", "up")
PICTURE = DataConfig(frames=T, size=SIZE, normalization="half", translate=0.0, scale=0.0)
BOTH = replace(PICTURE, modality="both")
STACKED = replace(BOTH, flow_length=3)
GRAY = replace(PICTURE, channels=1)
LARGER = replace(PICTURE, size=64)

# name -> the model, how its samples are made, and its settings other than `hidden`.
Case = tuple[str, DataConfig, dict[str, Any]]
FLOW = {"flow_channels": 2}


def stored(name: str) -> str:
    """The name that a model's values are stored under."""
    return {"mil": "moments"}.get(name, name)


RECIPES = {**MODELS, **PAPER_MODELS, "single-frame": SINGLE_FRAME}
# In the order of the stored values, which are from before some models moved to the package of a paper.
NAMES = [*(name for name in MODELS if name != "linear"), "tracks", "single-frame"]
CASES: dict[str, Case] = {
    **{
        stored(name).replace(":", "-"): (
            name,
            BOTH if recipe.modality == "both" else PICTURE,
            FLOW if recipe.modality == "both" else {},
        )
        for name, recipe in ((name, RECIPES[name]) for name in NAMES)
    },
    # Picture and flow: an encoder each, or one that sees all channels.
    "tcn-paired": ("tcn", BOTH, FLOW),
    "atcn-paired": ("atcn", BOTH, FLOW),
    "moments-paired": ("mil", BOTH, FLOW),
    "convlstm-paired": ("convlstm", BOTH, FLOW),
    "convlstm-both": ("convlstm", BOTH, {}),
    "convlstm-flow": ("convlstm", replace(PICTURE, modality="flow"), {}),
    "tcn-paired-stacked": ("tcn", STACKED, {"flow_channels": 6}),
    "motion-stacked": ("motion", STACKED, {"flow_channels": 6}),
    "tracks-grey": ("tracks", GRAY, {"head": "each-glimpse", "stretch": 3}),
    # What is attended must tell the class.
    **{
        f"{stored(name)}-grounded": (name, PICTURE, {"attention_loss": True})
        for name in ("alstm", "convalstm", "mil", "report")
    },
    "motion-grounded": ("motion", BOTH, {**FLOW, "attention_loss": True}),
    # Cells and glimpses of others.
    "convlstm-separable": ("convlstm", PICTURE, {"cell": "separable"}),
    "convalstm-separable": ("convalstm", PICTURE, {"cell": "separable", "glimpse": "product"}),
    "convalstm-product": ("convalstm", PICTURE, {"glimpse": "product"}),
    "report-scaled": ("report", PICTURE, {"glimpse": "scaled"}),
    "motion-product": ("motion", BOTH, {**FLOW, "glimpse": "product"}),
    "alstm-scaled": ("alstm", PICTURE, {"glimpse": "scaled"}),
    "alstm-head-units": ("alstm", PICTURE, {"head_units": 5, "dropout": 0.2}),
    # Encoders.
    "lstm-lenet": ("lstm", GRAY, {"encoder": "lenet"}),
    "convnet-lenet": ("convnet", PICTURE, {"encoder": "lenet"}),
    "lstm-stn": ("lstm", GRAY, {"encoder": "stn"}),
    "lstm-stn-2": ("lstm", GRAY, {"encoder": "stn:2"}),
    "convnet-stn-3": ("convnet", GRAY, {"encoder": "stn:3"}),
    "lstm-dcn": ("lstm", GRAY, {"encoder": "dcn"}),
    "convnet-dcn-tap": ("convnet", GRAY, {"encoder": "dcn:tap"}),
    "tcn-dcn-modulated": ("tcn", GRAY, {"encoder": "dcn:modulated"}),
    "convalstm-timm": ("convalstm", LARGER, {"encoder": "test_resnet"}),
    "lstm-timm-vector": ("lstm", PICTURE, {"encoder": "test_resnet:vector"}),
}
# Models that were added after the values of `models` were stored.
LATER: dict[str, Case] = {
    "linear-default": ("linear", PICTURE, {}),
    "linear-default-paired": ("linear", BOTH, FLOW),
}


def made(case: Case) -> VideoModel:
    """The model with the weights of seed 0."""
    name, data, settings = case
    torch.manual_seed(0)
    hidden = {} if name == "linear" else {"hidden": HIDDEN}
    return create_model(name, K, in_channels=data.in_channels, size=data.size, **hidden, **settings)


def seen_by(samples: Tensor, data: DataConfig) -> Tensor:
    """Samples `B T H W C` uint8 as the input of a model."""
    return to_video(samples, data.normalization, data.flow_channels)


def samples_of(data: DataConfig, count: int = B, frames: int = T, seed: int = 0) -> Tensor:
    """`B T H W C` uint8: two squares of random shades that move over a dark, slightly noisy background."""
    chance = np.random.default_rng(seed)
    size = data.size
    video = chance.integers(30, 50, (count, frames, size, size, data.in_channels))
    for clip in video:
        for _ in range(2):
            (x, y), (dx, dy) = chance.integers(2, size - 12, 2), chance.integers(-3, 4, 2)
            shade = chance.integers(120, 255, data.in_channels)
            for t in range(frames):
                left, top = np.clip((x + dx * t, y + dy * t), 0, size - 9)
                clip[t, top : top + 9, left : left + 9] = shade
    return torch.from_numpy(video.astype(np.uint8))


def probabilities(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).gamma(0.7, size=shape) + 1e-3
    return (drawn / drawn.sum(-1, keepdims=True)).astype(np.float32)

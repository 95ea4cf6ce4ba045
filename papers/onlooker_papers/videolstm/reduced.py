"""The encoders of real clips that all models of the ablation share: frozen, with features of few
channels.

RGB is encoded by `small` as it comes with the library, or by `lite0` with ImageNet weights. The
encoder of flow is always `small`; it starts from the library's weights, with the first filters
averaged over the colors as in two-stream networks, and is trained on the flow of the training
clips. Both features are reduced to their principal components on training clips, because training
ConvLSTMs on 560 channels takes too long on two cores.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file
from sklearn.decomposition import PCA
from torch import Tensor, nn

from onlooker import create_model
from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.clips import ClipFrames
from onlooker.models.encoders import build_encoder
from onlooker.models.registry import register_encoder
from onlooker.training.fitters import complete
from onlooker.training.forward import encode_samples, uses_bf16
from onlooker_papers import PACKAGE
from onlooker_papers.videolstm import Modality
from onlooker_papers.videolstm.fine_tune import RandomFrames

WIDTH = 64
SMALL = "small"
LITE0 = "lite0"
FRAMES = DataConfig(frames=16, size=112)
# For encoders that are trained on the clips of a split: that of flow, and that of RGB if it is not
# frozen.
FINE_TUNING = TrainConfig(epochs=8, batch=16, lr=1e-3)
_PER_CLIP = 4  # frames for the principal components


class Reduced(nn.Module):
    """An encoder and a linear map of its features to `WIDTH`.

    Args:
        name: of the encoder of RGB; that of flow is `small`.
        in_channels: C of the frames.
    """

    num_features = WIDTH

    def __init__(self, name: str, in_channels: int) -> None:
        super().__init__()
        self.inner: Any = build_encoder(
            name if in_channels == FRAMES.channels else SMALL, in_channels, FRAMES.size
        )
        self.reduce = nn.Conv2d(self.inner.num_features, WIDTH, 1)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """The grid of the encoder."""
        return cast(tuple[int, int], self.inner.grid(height, width))

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N WIDTH h w`."""
        return cast(Tensor, self.reduce(self.inner(frames)))


def _build(in_channels: int, size: int, pretrained: bool, *, name: str) -> Reduced:
    return Reduced(name, in_channels)


for _name in (SMALL, LITE0):
    register_encoder(f"{_name}-{WIDTH}", partial(_build, name=_name), package=PACKAGE)


def sampling(modality: Modality, encoder: str = SMALL) -> DataConfig:
    """How clips are sampled for a modality and the encoder of RGB, without augmentation."""
    encoder = SMALL if modality == "flow" else encoder
    data = replace(FRAMES, modality=modality, translate=0.0, scale=0.0)
    model = ModelConfig(encoder=encoder, pretrained=True)
    given = {"encoder", "pretrained", "modality"} | ({"eyes"} if modality == "rgb" else set())
    return complete(Settings(model, data), given).data


@torch.inference_mode()
def reduced(name: str, inner: nn.Module, *, training: ClipFrames, data: DataConfig) -> Reduced:
    """`inner`, which is an encoder with this name, reduced to principal components on frames of the
    training clips.
    """
    net = create_model(
        "convnet", 2, encoder=f"{name}-{WIDTH}", in_channels=data.in_channels, size=data.size
    ).eval()
    encoder = cast(Reduced, net.encoder)
    encoder.inner.load_state_dict(inner.state_dict())
    whole = encoder.reduce
    encoder.reduce = cast(Any, nn.Identity())
    few = RandomFrames(training, _PER_CLIP)
    every = track(range(len(few)), "principal components")
    with torch.autocast("cpu", torch.bfloat16, enabled=uses_bf16()):
        maps = [encode_samples(net, few[index][0], data).movedim(1, -1) for index in every]
    rows = [of_clip[:, ::2, ::2].half().flatten(0, 2) for of_clip in maps]
    components = PCA(WIDTH, whiten=True).fit(torch.cat(rows).double().numpy())
    weight = components.components_ / np.sqrt(components.explained_variance_)[:, None]
    whole.weight.copy_(torch.from_numpy(weight)[:, :, None, None])
    whole.bias.copy_(torch.from_numpy(-weight @ components.mean_))  # type: ignore[union-attr]
    encoder.reduce = whole
    return encoder


def saved_encoder(file: Path, name: str, in_channels: int) -> Reduced:
    """An encoder as `safetensors` wrote it."""
    encoder = Reduced(name, in_channels)
    encoder.load_state_dict(load_file(file))
    return encoder.eval().requires_grad_(False)

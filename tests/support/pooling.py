"""A model whose encoder is average pooling, so that its features can be computed by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from onlooker.base.config import DataConfig, ModelConfig, Precision, Settings, TrainConfig
from onlooker.base.files import default_cache
from onlooker.base.records import Clip, ClipError
from onlooker.models.registry import configured, create_model
from onlooker.models.video_model import VideoModel
from onlooker.run.features import encoded_clips
from onlooker.training.fitters import complete

DATA = DataConfig(frames=4, size=16, normalization="half")


class Pool(nn.Module):
    """Average pooling over 4x4 pixels: `N C H W` to `N C h w`, times a scale; `meanwhile` is called
    with each batch.
    """

    def __init__(
        self, in_channels: int, scale: float = 1.0, meanwhile: Callable[[Tensor], object] = id
    ) -> None:
        super().__init__()
        self.num_features = in_channels
        self.meanwhile = meanwhile
        self.scale = nn.Parameter(torch.tensor([scale]))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return height // 4, width // 4

    def forward(self, frames: Tensor) -> Tensor:
        self.meanwhile(frames)
        return self.scale * nn.functional.avg_pool2d(frames, 4)


def pooling(
    data: DataConfig = DATA, scale: float = 1.0, meanwhile: Callable[[Tensor], object] = id
) -> VideoModel:
    net = create_model(
        "convnet", 2, encoder="conv4", in_channels=data.in_channels, size=data.size
    )
    net.encoder = Pool(data.in_channels, scale, meanwhile)  # type: ignore[assignment]
    return net


class Encoded(NamedTuple):
    """For each clip its files in the cache or an error, and how many were encoded now."""

    results: tuple[Any, ...]
    new: int

    @property
    def failed(self) -> tuple[ClipError, ...]:
        return tuple(result for result in self.results if isinstance(result, ClipError))


def encode_clips(
    clips: Sequence[Path], net: VideoModel, data: DataConfig, precision: Precision = "32"
) -> Encoded:
    """The features of clips, and how many are in new files."""
    before = {file.stat().st_ino for file in default_cache().glob("*.npy")}
    samples, errors = encoded_clips(
        [Clip(path, "a") for path in clips], ["a"], net, data=data, precision=precision
    )
    files = {clip.path: files for clip, files in zip(samples.clips, samples.files, strict=True)}
    found = {**files, **{error.path: error for error in errors}}
    new = {each for each in samples.files if each[0].stat().st_ino not in before}
    return Encoded(tuple(found[path] for path in clips), len(new))


def make_features(
    clips: Sequence[Path],
    encoder: str,
    data: DataConfig,
    pretrained: bool | None = None,
    precision: Precision = "32",
    weights: str = "",
) -> Encoded:
    """The features of clips that a training with this encoder and seed 0 uses."""
    model = ModelConfig("linear", encoder, pretrained, weights)
    settings = complete(Settings(model, data, TrainConfig(features=True)))
    torch.manual_seed(settings.training.seed)
    return encode_clips(clips, configured(settings, 1), settings.data, precision)


def pooled(frames: np.ndarray) -> np.ndarray:
    """The features of frames by hand, which are normalized to -2 to 2: `T H W C` to `T h w C` in
    half precision.
    """
    T, H, W, C = frames.shape
    return (
        (frames / np.float64(63.75) - 2)
        .reshape(T, H // 4, 4, W // 4, 4, C)
        .mean((2, 4))
        .astype(np.float16)
    )


def cached() -> dict[str, bytes]:
    """The content of every file of features in the cache, which also has the times of clips."""
    content = {path.name: path.read_bytes() for path in default_cache().iterdir()}
    return {name: array for name, array in content.items() if b"'<f2'" in array[:64]}


def make_folders(folder: Path, clips: int) -> list[Path]:
    """Image sequences of two different random images each."""
    chance = np.random.default_rng(0)
    for clip in range(clips):
        (folder / f"{clip:02}").mkdir(parents=True)
        for number in range(2):
            Image.fromarray(chance.integers(0, 256, (16, 16, 3), np.uint8)).save(
                folder / f"{clip:02}" / f"{number}.png"
            )
    return sorted(folder.iterdir())

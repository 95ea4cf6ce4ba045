"""Encoders of video, `forward(windows: N L C H W) -> N D h w`: networks of other libraries."""

from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

__all__ = ["VideoEncoder", "has_folder", "is_video"]


def is_video(name: str) -> bool:
    """Whether an encoder of that name reads windows of frames."""
    return name.startswith(("torchvision:", "transformers:"))


def has_folder(name: str) -> bool:
    """Whether an encoder of that name is a folder with weights."""
    return is_video(name) and Path(name.partition(":")[2], "model.safetensors").exists()


class VideoEncoder(nn.Module):
    """A network for windows of L frames, without its classifier; a window has one map, the mean over time.

    Args:
        net: windows `N L C H W` to a mapping, whose `last_hidden_state` are the features.
        span, num_features: L and D.
        shape: of the features, `(t, h, w)`.
        layout: of the features: maps `N D t h w`; or tokens `N … D` that go through all places of a frame and then on
            to the next one (frames), or through all times of a place (patches), perhaps after a class token.
        colors: mean and standard deviation of each color, for values from 0 to 1, with which the network was trained.
        settings: plain values from which the network can be built again; None: its name suffices.
    """

    def __init__(
        self,
        net: nn.Module,
        span: int,
        num_features: int,
        shape: tuple[int, int, int],
        layout: Literal["maps", "frames", "patches"],
        colors: tuple[list[float], list[float]],
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.net, self.span, self.num_features, self.shape, self.layout = net, span, num_features, shape, layout
        self.settings = settings
        self.register_buffer("colors", torch.tensor(colors)[:, :, None, None])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """`(h, w)`; the network is built for frames of one size."""
        return self.shape[1:]

    def forward(self, windows: Tensor) -> Tensor:
        """`N L C H W`, normalized as `half`, to `N D h w`."""
        mean, std = cast(Tensor, self.colors)
        features = self.net((windows * 0.25 + 0.5 - mean) / std)["last_hidden_state"]
        if self.layout == "maps":
            return features.mean(2)
        t, h, w = self.shape
        tokens = features.flatten(1, -2)[:, -t * h * w :].transpose(1, 2)
        if self.layout == "frames":
            return tokens.unflatten(2, (t, h, w)).mean(2)
        return tokens.unflatten(2, (h, w, t)).mean(4)

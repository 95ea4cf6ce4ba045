"""Encoders of video, `forward(windows: N L C H W) -> N D h w`: networks of torchvision."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from onlooker.base.settings import suggestion
from onlooker.models.encoders.backbone import loading

_SPAN = 16  # frames that the networks of torchvision are usually given
PREFIX = "torchvision:"


def is_video(name: str) -> bool:
    """Whether an encoder of that name reads windows of frames."""
    return name.startswith(PREFIX)


class VideoEncoder(nn.Module):
    """A network for windows of L frames, up to its last map; a window has one map, the mean over
    time.

    Args:
        net: a network of `torchvision.models.video`.
        grid: height and width of its maps, `(h, w)`.
        num_features: D.
        colors: mean and standard deviation of each color, for values from 0 to 1, with which the
            network was trained.
    """

    span = _SPAN

    def __init__(
        self,
        net: nn.Module,
        grid: tuple[int, int],
        num_features: int,
        colors: tuple[list[float], list[float]],
    ) -> None:
        super().__init__()
        self.net = net
        self.num_features = num_features
        self._grid = grid
        self.register_buffer("colors", torch.tensor(colors)[:, :, None, None])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """`(h, w)`; the network is built for frames of one size."""
        return self._grid

    def forward(self, windows: Tensor) -> Tensor:
        """`N L C H W`, normalized as `half`, to `N D h w`."""
        mean, std = cast(Tensor, self.colors)
        features = ((windows * 0.25 + 0.5 - mean) / std).transpose(1, 2)
        for layer in [*self.net.children()][:-2]:  # without pooling and classifier
            features = layer(features)
        return features.mean(2)


def torchvision_video(name: str, size: int, pretrained: bool | str = False) -> VideoEncoder:
    """A network of `torchvision.models.video`, up to its last map.

    Args:
        name: such as `r3d_18`.
        size: height and width of the frames.
        pretrained: load the Kinetics weights, from torchvision's cache or the network; or those in
            this file, a checkpoint of the whole network: .safetensors, or .pth, read as weights
            only.

    Raises:
        ValueError: no such network, or one that cannot take frames of that size.
        RuntimeError: the weights cannot be loaded.
    """
    from torchvision import models  # here, because it takes seconds to import

    # Transformers have no maps.
    known = [
        each
        for each in models.list_models(module=models.video)
        if not each.startswith(("mvit", "swin"))
    ]
    if name not in known:
        raise ValueError(
            f"torchvision has no network for video {name!r}; {suggestion(name, known)}"
        )
    net = models.get_model(name)
    weights = models.get_model_weights(name).DEFAULT
    num_features = [*net.modules()][-1].weight.shape[1]  # what its classifier takes
    head, _ = [*net.named_children()][-1]
    setattr(net, head, nn.Identity())
    if pretrained:
        _load(net, name, head, weights, pretrained)
    side = -(-size // 16)  # strides of 2 round up, but the last one of S3D
    if name == "s3d":
        side //= 2
    colors = (list(weights.transforms().mean), list(weights.transforms().std))
    return VideoEncoder(net, (side, side), num_features, colors)


def _load(net: nn.Module, name: str, head: str, weights: Any, pretrained: bool | str) -> None:
    """Load a checkpoint without its classifier, which may be one of other classes."""
    from timm.models import load_state_dict

    source = pretrained if isinstance(pretrained, str) else ""
    remedy = (
        f"put {weights.url} into {torch.hub.get_dir()}/checkpoints, or give its file by --weights"
    )
    with loading(source or name, name, remedy):
        stored = (
            load_state_dict(source)
            if source
            else weights.get_state_dict(check_hash=True, weights_only=True)
        )
        net.load_state_dict({key: stored[key] for key in stored if not key.startswith(f"{head}.")})

"""Baselines with one prediction per clip.

A single frame, the average of all, a small network of 3-D convolutions, and torchvision's video networks, with or
without Kinetics weights: `single-frame`, `feature-average`, `c3d` and `torchvision:NAME` for `create_model`.
"""

import contextlib
from typing import Any, NoReturn, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.encoders import build_encoder
from onlooker.models.encoders.backbone import first_filters
from onlooker.models.registry import Recipe, register_model
from onlooker.models.video_model import Output, VideoModel, make_head

__all__ = ["ClipClassifier", "register"]

TORCHVISION = "torchvision:"
FRAME_NETWORKS = ("middle-frame", "frame-average")
_MVIT_FRAMES, _MVIT_SIZE = 16, 224


class ClipClassifier(VideoModel):
    """A network over the whole clip, and a head: one prediction, repeated at each frame, as losses and scores expect.

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        network: `middle-frame`, `frame-average`, `c3d`, or `torchvision:NAME` with any of torchvision's video networks.
        encoder: of `middle-frame` and `frame-average`, as in `Classifier`.
        hidden: channels of the last convolutions of `c3d`.
        head_units: width of a tanh layer before the classes; 0: none.
        dropout: before the classes.
        pretrained: start the encoder as in `Classifier`, or from Kinetics weights (torchvision's networks).

    Raises:
        ValueError: a setting that is unknown or does not fit the others.
    """

    package = "onlooker-papers"
    streams = False

    def __init__(
        self,
        num_classes: int,
        network: str = "c3d",
        encoder: str = "conv4",
        hidden: int = 64,
        head_units: int = 0,
        dropout: float = 0.5,
        in_channels: int = 3,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        self.network: TorchvisionNetwork | C3D | FrameNetwork
        if network.startswith(TORCHVISION):
            self.network = TorchvisionNetwork(network.removeprefix(TORCHVISION), in_channels, pretrained)
        elif network == "c3d":
            if pretrained:
                raise ValueError("c3d has no pretrained weights; leave out pretrained, or use torchvision:r3d_18")
            self.network = C3D(in_channels, hidden)
        elif network in FRAME_NETWORKS:
            self.network = FrameNetwork(network == "middle-frame", encoder, in_channels, size, pretrained)
        else:
            known = ", ".join(("c3d", *FRAME_NETWORKS, f"{TORCHVISION}NAME"))
            raise ValueError(f"network is {network!r}, expected one of {known}")
        self.name = network
        self.num_features = self.network.num_features
        self.head = make_head(self.num_features, head_units, dropout, num_classes)

    def forward(self, video: Tensor) -> Output:
        """`B T C H W` to class logits `B T K`, equal at all frames of a clip; no attention."""
        _, T = self.check_video(video)
        logits = self.head(self.network(video))
        return Output(logits[:, None].expand(-1, T, -1))

    def step(self, frame: Tensor, state: Any = None) -> NoReturn:
        """Raise a ValueError: the model needs the whole clip."""
        raise ValueError(
            f"{self.name} makes one prediction per clip and needs all of its frames; use `onlooker predict`, call "
            "it on a video B T C H W, or train a model with a state, such as lstm or convlstm"
        )

    def initial_state(self, batch_size: int) -> NoReturn:
        """Raise a ValueError, as `step`."""
        self.step(torch.empty(0))


class FrameNetwork(nn.Module):
    """Features of single frames: those of frame T // 2, or the average over all frames."""

    def __init__(self, middle: bool, encoder: str, in_channels: int, size: int, pretrained: bool) -> None:
        super().__init__()
        self.middle, self.encoder = middle, build_encoder(encoder, in_channels, size, pretrained)
        self.num_features = self.encoder.num_features
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`."""
        T = video.shape[1]
        video = video[:, T // 2 : T // 2 + 1] if self.middle else video
        features = self.encoder(video.flatten(0, 1).contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return features.unflatten(0, video.shape[:2]).mean(1)


class C3D(nn.Module):
    """A small C3D: 3×3×3 convolutions, with a first pooling over space only (Tran et al. 2015, arXiv 1412.0767).

    Four convolutions of D/4, D/2, D and D channels, each with batch norm and ReLU, max pools between them, and global
    average pooling. The paper has eight convolutions of 64 to 512 channels, no batch norm, and two layers of 4096 units
    for a fixed number of frames.

    `width` is D, at least 4.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        if width < 4:
            raise ValueError(f"hidden is {width}, expected at least 4 channels: c3d begins with a quarter of them")
        widths = (in_channels, width // 4, width // 2, width, width)
        pools = ((1, 2, 2), (2, 2, 2), (2, 2, 2), None)
        layers: list[nn.Module] = []
        for inputs, outputs, pool in zip(widths, widths[1:], pools, strict=False):
            layers += [nn.Conv3d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm3d(outputs), nn.ReLU()]
            # ceil_mode keeps the only frame of a one-frame clip.
            layers += [nn.MaxPool3d(pool, ceil_mode=True)] if pool else []
        self.layers = nn.Sequential(*layers)
        self.num_features = width

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`."""
        with _float32(video):
            return self.layers(video.transpose(1, 2).float()).mean((2, 3, 4))


class TorchvisionNetwork(nn.Module):
    """One of torchvision's video networks, without its classifier.

    For channels other than RGB, pretrained filters of the first convolution are averaged over the colors. `mvit`
    networks are built for 16 frames of 224 pixels: they get 16 equally spaced frames, resized to 224 pixels.

    Args:
        name: in `torchvision.models.video`, such as `r3d_18`.
        in_channels: C.
        pretrained: with Kinetics weights, which torchvision downloads and caches.

    Raises:
        RuntimeError: the weights cannot be loaded.
    """

    def __init__(self, name: str, in_channels: int, pretrained: bool) -> None:
        super().__init__()
        self.fixed = name.startswith("mvit")
        self.network = _torchvision(name, pretrained)
        self.num_features = _remove_classifier(self.network)
        if in_channels != 3:
            _replace_first(self.network, in_channels, pretrained)

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`."""
        if self.fixed:
            chosen = torch.linspace(0, video.shape[1] - 1, _MVIT_FRAMES, device=video.device).round().long()
            frames = F.interpolate(video[:, chosen].flatten(0, 1), (_MVIT_SIZE, _MVIT_SIZE), mode="bilinear")
            video = frames.unflatten(0, (len(video), _MVIT_FRAMES))
        with _float32(video):
            return cast(Tensor, self.network(video.transpose(1, 2).float()))


def _torchvision(name: str, pretrained: bool) -> nn.Module:
    from torchvision.models import get_model  # here: importing it takes a second

    try:
        return cast(nn.Module, get_model(name, weights="DEFAULT" if pretrained else None))
    except OSError as error:  # what urllib raises without a network
        raise RuntimeError(
            f"the Kinetics weights of {name} cannot be loaded ({error}); connect to the network once, point TORCH_HOME "
            "to a cache that has them, or train from scratch (--no-pretrained; in Python pretrained=False)"
        ) from error


def _remove_classifier(network: Any) -> int:
    """Remove the classification layer of a network; returns its number of input features."""
    if hasattr(network, "avgpool") and hasattr(network, "classifier"):  # S3D
        # The same as the original 2×7×7 pooling for maps of that size; the original fails for smaller maps.
        network.avgpool = nn.AdaptiveAvgPool3d(1)
        for part in network.modules():
            if isinstance(part, nn.MaxPool3d) and part.padding == (0, 0, 0):
                part.ceil_mode = True  # the same for even sizes; keeps a single frame
        features = network.classifier[-1].in_channels
        network.classifier = nn.Identity()
        return int(features)
    name = "fc" if hasattr(network, "fc") else "head"
    features = [part.in_features for part in getattr(network, name).modules() if isinstance(part, nn.Linear)][-1]
    setattr(network, name, nn.Identity())
    return features


def _replace_first(network: nn.Module, in_channels: int, pretrained: bool) -> None:
    """Give the first convolution of a network filters for `in_channels`."""
    first = next(part for part in network.modules() if isinstance(part, nn.Conv3d))
    first.in_channels = in_channels
    first.weight = nn.Parameter(first_filters(first.weight.detach(), in_channels))
    if not pretrained:
        first.reset_parameters()


def _float32(video: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Float32 on a CPU, even if autocast asks for bfloat16."""
    # On the CPU, PyTorch 2.15 leaves part of the weight gradient of a bfloat16 3×3×3 convolution unwritten (numbers
    # such as 1e35) when its input has two frames. Pooling and the gradients of inputs are right.
    return torch.autocast("cpu", enabled=False) if video.device.type == "cpu" else contextlib.nullcontext()


def _recipe(summary: str, network: str, used: str = "", normalization: Any = "imagenet") -> Recipe:
    unused = frozenset({"encoder", "hidden"} - {used})
    return Recipe(summary, {"network": network}, ClipClassifier, normalization=normalization, unused=unused)


RECIPES = {
    "single-frame": _recipe("the middle frame alone: what can be predicted without time", "middle-frame", "encoder"),
    "feature-average": _recipe("features of all frames, averaged: frames in any order", "frame-average", "encoder"),
    "c3d": _recipe("small 3-D convolutions from scratch (after Tran et al. 2015)", "c3d", "hidden"),
}
# torchvision's video networks, and the normalization of their Kinetics weights.
_NETWORKS = {
    "r3d_18": ("ResNet of 3-D convolutions (Tran et al. 2018)", "kinetics"),
    "mc3_18": ("ResNet, 3-D convolutions first, then 2-D ones (Tran et al. 2018)", "kinetics"),
    "r2plus1d_18": ("ResNet, alternating convolutions over space and time (Tran et al. 2018)", "kinetics"),
    "s3d": ("separable 3-D Inception (Xie et al. 2018)", "kinetics"),
    "mvit_v2_s": ("multiscale transformer over 16 frames (Li et al. 2022)", "mvit"),
    "swin3d_t": ("transformer of shifted windows (Liu et al. 2022)", "imagenet"),
}
RECIPES |= {
    f"{TORCHVISION}{name}": _recipe(f"{summary}, to fine-tune", f"{TORCHVISION}{name}", normalization=normalization)
    for name, (summary, normalization) in _NETWORKS.items()
}


def register() -> None:
    """Register these models for `create_model`, `load` and the commands."""
    for name, recipe in RECIPES.items():
        register_model(name, recipe)

"""Models that answer once a clip: what is expected beside those that remember.

A single frame, the average of all, a small network of 3-D convolutions, and torchvision's video networks, with or
without what they learned on Kinetics. All are one class, `ClipClassifier`, with another look at the clip.
"""

import contextlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.encoders.backbone import first_filters
from onlooker.models.encoders.build import build_encoder
from onlooker.models.heads import make_head
from onlooker.models.video_model import Output, VideoModel

TORCHVISION = "torchvision:"


class Look(Protocol):
    """A clip to a vector: `num_features` (D), `forward(video: B T C H W) -> B D`."""

    num_features: int

    def __call__(self, video: Tensor) -> Tensor:
        """`B T C H W` to `B D`."""
        ...


class ClipClassifier(VideoModel):
    """A look at the whole clip, and a head: one answer, said again at each of its frames.

    The logits are the same at every frame, so that losses, scores and reports need not know which kind of model it is:
    the mean over frames of the loss is the clip's loss, and of the softmax its probabilities.

    Args:
        num_classes: K.
        look: `middle-frame`, `frame-average`, `c3d`, or `torchvision:NAME` with any of torchvision's video networks.
        encoder: of a look at single frames: as in `Classifier`.
        hidden: channels of the last convolutions of `c3d`.
        head_units: width of a tanh layer before the classes; 0: none.
        dropout: before the classes.
        start: only `zeros`: there is no state.
        attention_loss: only False: it attends to nothing.
        in_channels: C of the frames.
        size: height and width of the frames.
        pretrained: start from ImageNet weights (timm networks) or Kinetics weights (torchvision's).

    Raises:
        ValueError: a setting that is unknown or does not fit the others.
    """

    streams = False

    def __init__(
        self,
        num_classes: int,
        look: str = "c3d",
        encoder: str = "conv4",
        hidden: int = 64,
        head_units: int = 0,
        dropout: float = 0.5,
        init: str = "zeros",
        attention_loss: bool = False,
        in_channels: int = 3,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        if init != "zeros":
            raise ValueError(f"init is {init!r}, and a model that answers once a clip has no state; give zeros")
        if attention_loss:
            raise ValueError("attention_loss asks what is attended for the class, and this model does not attend")
        if look.startswith(TORCHVISION):
            made: Look = TorchvisionLook(look.removeprefix(TORCHVISION), in_channels, pretrained)
        elif look == "c3d":
            if pretrained:
                raise ValueError("c3d has no pretrained weights; leave out pretrained, or use torchvision:r3d_18")
            made = C3D(in_channels, hidden)
        elif look in FRAME_LOOKS:
            made = FRAME_LOOKS[look](encoder, in_channels, size, pretrained)
        else:
            known = ", ".join(("c3d", *FRAME_LOOKS, f"{TORCHVISION}NAME"))
            raise ValueError(f"look is {look!r}, expected one of {known}")
        self.kind = look
        self.look = made
        self.head = make_head(made.num_features, head_units, dropout, num_classes)

    def forward(self, video: Tensor) -> Output:
        """`B T C H W` to class logits `B T K`, equal at all frames of a clip; no attention."""
        _, T = self.check_video(video)
        logits = self.head(self.look(video))
        return Output(logits[:, None].expand(-1, T, -1))

    @property
    def num_features(self) -> int:
        """How many numbers the head sees (D): those of a clip."""
        return self.look.num_features

    def step(self, frame: Tensor, state: Any = None) -> NoReturn:
        """Not possible.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{self.kind} answers once a clip and needs all of its frames; call the model on a video B T C H W, or "
            "use one with a memory, such as lstm or convlstm"
        )

    def initial_state(self, batch_size: int) -> NoReturn:
        """Not possible, as `step`."""
        self.step(torch.empty(0))


class FrameLook(nn.Module):
    """A look at single frames, through an encoder of frames (see `Classifier` for the arguments)."""

    def __init__(self, encoder: str, in_channels: int, size: int, pretrained: bool) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, in_channels, size, pretrained)
        self.num_features = self.encoder.num_features
        self.to(memory_format=torch.channels_last)

    @abstractmethod
    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`."""

    def encode(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D`: features, averaged over the places."""
        return self.encoder(frames.contiguous(memory_format=torch.channels_last)).mean((2, 3))


class MiddleFrame(FrameLook):
    """The frame T // 2 alone: what can be told without time."""

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`: the features of that frame."""
        return self.encode(video[:, video.shape[1] // 2])


class FrameAverage(FrameLook):
    """The features of all frames, averaged: what is told by the clip's parts in any order.

    `convnet` averages the probabilities of the frames instead.
    """

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`: the mean over time."""
        return self.encode(video.flatten(0, 1)).unflatten(0, video.shape[:2]).mean(1)


FRAME_LOOKS: dict[str, Callable[[str, int, int, bool], Look]] = {
    "middle-frame": MiddleFrame,
    "frame-average": FrameAverage,
}


class C3D(nn.Module):
    """Small C3D: 3×3×3 convolutions all the way, the first pooling in space alone (Tran et al. 2015, arXiv 1412.0767).

    Four convolutions of D/4, D/2, D and D channels, each with a batch norm and ReLU, max pools between them, and the
    average over all that is left. The paper has eight of 64 to 512, no batch norm, and two layers of 4096 units, which
    fix the length of a clip; here it is free.

    Args:
        in_channels: C.
        width: D, at least 4.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        if width < 4:
            raise ValueError(f"hidden is {width}, expected at least 4 channels: c3d begins with a quarter of them")
        widths = (in_channels, width // 4, width // 2, width, width)
        pools = ((1, 2, 2), (2, 2, 2), (2, 2, 2), None)
        layers: list[nn.Module] = []
        for given, made, pool in zip(widths, widths[1:], pools, strict=False):
            layers += [nn.Conv3d(given, made, 3, padding=1, bias=False), nn.BatchNorm3d(made), nn.ReLU()]
            # Rounded up, a clip of one frame keeps it.
            layers += [nn.MaxPool3d(pool, ceil_mode=True)] if pool else []
        self.layers = nn.Sequential(*layers)
        self.num_features = width

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`."""
        with _exact(video):
            return self.layers(video.transpose(1, 2).float()).mean((2, 3, 4))


class TorchvisionLook(nn.Module):
    """One of torchvision's video networks, without its classes.

    Convolutions of other channels than three begin, where weights are loaded, with the mean of the colors' filters.
    `mvit` networks are built for 16 frames of 224 pixels: they see so many, equally spaced, resized to that. The others
    see the clip as it is.

    Args:
        name: in `torchvision.models.video`, such as `r3d_18`.
        in_channels: C.
        pretrained: with Kinetics weights, which torchvision downloads and keeps.

    Raises:
        ValueError: no network of that name.
        RuntimeError: the weights cannot be loaded.
    """

    def __init__(self, name: str, in_channels: int, pretrained: bool) -> None:
        super().__init__()
        self.fixed = name.startswith("mvit")
        self.network = _torchvision(name, pretrained)
        self.num_features = _without_classes(self.network)
        if in_channels != 3:
            _replace_first(self.network, in_channels, pretrained)

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B D`."""
        if self.fixed:
            chosen = torch.linspace(0, video.shape[1] - 1, _MVIT_FRAMES, device=video.device).round().long()
            frames = F.interpolate(video[:, chosen].flatten(0, 1), (_MVIT_SIZE, _MVIT_SIZE), mode="bilinear")
            video = frames.unflatten(0, (len(video), _MVIT_FRAMES))
        with _exact(video):
            return cast(Tensor, self.network(video.transpose(1, 2).float()))


_MVIT_FRAMES, _MVIT_SIZE = 16, 224


def _torchvision(name: str, pretrained: bool) -> nn.Module:
    from torchvision.models import get_model, list_models, video  # here: importing them takes a second

    names = list_models(module=video)
    if name not in names:
        raise ValueError(f"torchvision has no video network {name!r}; there are {', '.join(names)}")
    try:
        return cast(nn.Module, get_model(name, weights="DEFAULT" if pretrained else None))
    except OSError as error:  # what urllib raises without a network
        raise RuntimeError(
            f"the Kinetics weights of {name} cannot be loaded ({error}); connect to the network once, point TORCH_HOME "
            "to a cache that has them, or train from scratch (--no-pretrained; in Python pretrained=False)"
        ) from error


def _without_classes(network: Any) -> int:
    """Take the classes off a network; the D of what comes out then."""
    if hasattr(network, "avgpool") and hasattr(network, "classifier"):  # S3D
        # Its own window of 2×7×7, moved by one, is this where the map is of that size; smaller maps it cannot take.
        network.avgpool = nn.AdaptiveAvgPool3d(1)
        for part in network.modules():
            if isinstance(part, nn.MaxPool3d) and part.padding == (0, 0, 0):
                part.ceil_mode = True  # the same where a map is even; a single frame is kept
        features = network.classifier[-1].in_channels
        network.classifier = nn.Identity()
        return int(features)
    name = "fc" if hasattr(network, "fc") else "head"
    last = getattr(network, name)
    setattr(network, name, nn.Identity())
    return int((last if isinstance(last, nn.Linear) else last[-1]).in_features)


def _replace_first(network: nn.Module, in_channels: int, pretrained: bool) -> None:
    """Give a network a first convolution for so many channels."""
    name, first = next((name, part) for name, part in network.named_modules() if isinstance(part, nn.Conv3d))
    kernel, stride, padding = (cast(tuple[int, int, int], v) for v in (first.kernel_size, first.stride, first.padding))
    wider = nn.Conv3d(in_channels, first.out_channels, kernel, stride, padding, bias=first.bias is not None)
    if pretrained:
        with torch.no_grad():
            wider.weight.copy_(first_filters(first.weight.flatten(3), in_channels).view_as(wider.weight))
            if first.bias is not None and wider.bias is not None:
                wider.bias.copy_(first.bias)
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, wider)


def _exact(video: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Float32 on a processor, also where autocast asks for bfloat16."""
    # There PyTorch 2.15 leaves the gradient of a 3×3×3 convolution's weights in bfloat16 partly unwritten (numbers such
    # as 1e35) where two frames are left. Pooling and the gradients of inputs are right.
    return torch.autocast("cpu", enabled=False) if video.device.type == "cpu" else contextlib.nullcontext()

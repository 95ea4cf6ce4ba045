"""Any timm network as an encoder: its last feature map, or the vector before its classifier."""

from typing import Any

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """The last feature map of a timm network (`vgg16`: 7×7×512 from 224×224 pixels).

    Args:
        name: a timm model that offers `features_only`.
        in_channels: C of the frames; filters of other than 3 channels are adapted by timm.
        pretrained: load timm's ImageNet weights, from the local cache or the network.

    Raises:
        ValueError: timm has no network of that name.
        RuntimeError: the weights cannot be had.
    """

    def __init__(self, name: str, in_channels: int = 3, pretrained: bool = False) -> None:
        super().__init__()
        self.net: Any = _create(name, in_channels, pretrained, features_only=True, out_indices=(-1,))
        self.in_channels = in_channels
        self.num_features: int = self.net.feature_info.channels()[-1]
        # Swin and its kin give N h w D.
        self.features_last: bool = getattr(self.net, "output_fmt", None) == "NHWC"

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Found by running one empty frame, because timm's networks round in different ways."""
        training = self.training
        weight = next(self.parameters())
        with torch.no_grad():
            frame = torch.zeros(1, self.in_channels, height, width, device=weight.device, dtype=weight.dtype)
            shape = self.eval()(frame).shape
        self.train(training)
        return shape[-2], shape[-1]

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D h w`."""
        features = self.net(frames)[-1]
        return features.permute(0, 3, 1, 2) if self.features_last else features


class BackboneVector(nn.Module):
    """The vector before a timm network's classifier (`vgg16`: the 4096 of fc7), as a 1×1 map.

    Args:
        name: a timm model.
        in_channels: C of the frames.
        pretrained: load timm's ImageNet weights, from the local cache or the network.

    Raises:
        ValueError: timm has no network of that name.
        RuntimeError: the weights cannot be had.
    """

    def __init__(self, name: str, in_channels: int = 3, pretrained: bool = False) -> None:
        super().__init__()
        # No classes: the layer behind the vector would lie in every file and optimiser, and never be used.
        self.net: Any = _create(name, in_channels, pretrained, num_classes=0)
        self.num_features: int = self.net.head_hidden_size

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """One vector a frame: `(1, 1)`."""
        return 1, 1

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D 1 1`."""
        features = self.net.forward_features(frames)
        return self.net.forward_head(features, pre_logits=True).flatten(1)[:, :, None, None]


def _create(name: str, in_channels: int, pretrained: bool, **options: Any) -> Any:
    import timm  # here, because it takes a second to import and small models never need it

    if not timm.is_model(name):
        close = timm.list_models(f"*{name[:5]}*")[:8]
        raise ValueError(f"timm has no network {name!r}" + (f"; close to it are {', '.join(close)}" if close else ""))
    try:
        return timm.create_model(name, pretrained=pretrained, in_chans=in_channels, **options)
    except OSError as error:  # what huggingface_hub and urllib raise without a network
        raise RuntimeError(
            f"the ImageNet weights of {name} cannot be loaded ({error}); connect to the network once, "
            "point HF_HOME to a cache that has them, or train from scratch with pretrained=False"
        ) from error

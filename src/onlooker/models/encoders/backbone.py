"""Any timm network as an encoder: its last feature map, or the vector before its classifier."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """The last feature map of a timm network (`vgg16`: 7×7×512 from 224×224 pixels).

    Args:
        name: a timm model that offers `features_only`.
        in_channels: C of the frames. Pretrained filters of one channel are the sum of the three of RGB (timm), those of
            any other number start from their mean (`first_filters`).
        pretrained: load timm's ImageNet weights, from the local cache or the network.
        size: height and width of the frames, for networks that are built for one size (ViT, Swin); None: their own.

    Raises:
        ValueError: timm has no network of that name.
        RuntimeError: the weights cannot be had, or their first filters cannot be adapted to `in_channels`.
    """

    def __init__(self, name: str, in_channels: int = 3, pretrained: bool = False, size: int | None = None) -> None:
        super().__init__()
        self.net: Any = _create(name, in_channels, pretrained, size, features_only=True, out_indices=(-1,))
        self.name, self.in_channels = name, in_channels
        self.num_features: int = self.net.feature_info.channels()[-1]
        # Swin and its kin give N h w D.
        self.features_last: bool = getattr(self.net, "output_fmt", None) == "NHWC"

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Found by running one empty frame, because timm's networks round in different ways.

        Raises:
            ValueError: the network cannot take frames of that size.
        """
        return _probe(self, self.name, self.in_channels, height, width)

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D h w`."""
        features = self.net(frames)[-1]
        return features.permute(0, 3, 1, 2) if self.features_last else features


class BackboneVector(nn.Module):
    """The vector before a timm network's classifier (`vgg16`: the 4096 of fc7), as a 1×1 map.

    Args:
        name: a timm model.
        in_channels: C of the frames; see `Backbone`.
        pretrained: load timm's ImageNet weights, from the local cache or the network.
        size: height and width of the frames, for networks that are built for one size (ViT, Swin); None: their own.

    Raises:
        ValueError: timm has no network of that name.
        RuntimeError: the weights cannot be had, or their first filters cannot be adapted to `in_channels`.
    """

    def __init__(self, name: str, in_channels: int = 3, pretrained: bool = False, size: int | None = None) -> None:
        super().__init__()
        # No classes: the layer behind the vector would lie in every file and optimizer, and never be used.
        self.net: Any = _create(name, in_channels, pretrained, size, num_classes=0)
        self.name, self.in_channels = name, in_channels
        self.num_features: int = self.net.head_hidden_size

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """One vector a frame: `(1, 1)`.

        Raises:
            ValueError: the network cannot take frames of that size.
        """
        return _probe(self, self.name, self.in_channels, height, width)

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D 1 1`."""
        features = self.net.forward_features(frames)
        return self.net.forward_head(features, pre_logits=True).flatten(1)[:, :, None, None]


def _create(name: str, in_channels: int, pretrained: bool, size: int | None, **options: Any) -> Any:
    import timm  # here, because it takes a second to import and small models never need it

    if not timm.is_model(name):
        close = timm.list_models(f"*{name[:5]}*")[:8]
        raise ValueError(f"timm has no network {name!r}" + (f"; close to it are {', '.join(close)}" if close else ""))
    if not pretrained or in_channels in (1, 3):
        return _build(name, in_channels, pretrained, size, options)
    return _started_from(_build(name, 3, True, size, options), _build(name, in_channels, False, size, options), name)


def first_filters(color: Tensor, channels: int) -> Tensor:
    """Filters for `C` channels of flow from those for color: their mean over the colors, for each channel.

    The cross-modality initialization of Wang et al. 2015 (arXiv 1507.02159), as in all two-stream networks since. timm
    would repeat red, green and blue in turn, so that x and y of the flow, and one time and the next, begin with the
    filters of different colors; and it would scale them by 3/C, which the papers do not.

    Args:
        color: `D 3 k k`, trained on RGB.
        channels: C.

    Returns:
        `D C k k`.
    """
    return color.mean(1, keepdim=True).repeat(1, channels, 1, 1)


def _started_from(color: nn.Module, net: nn.Module, name: str) -> nn.Module:
    """`net` with the weights of `color`, the same network for RGB; filters of another shape are `first_filters`."""
    state = color.state_dict()
    for key, weight in net.state_dict().items():
        shape = tuple(state[key].shape)
        if shape == weight.shape:
            continue
        if len(shape) != 4 or shape[1] != 3:
            raise RuntimeError(
                f"the ImageNet weights of {name} do not begin with filters over three colors ({key} is {shape}): "
                "use another network, or train from scratch (--no-pretrained; in Python pretrained=False)"
            )
        state[key] = first_filters(state[key], weight.shape[1])
    net.load_state_dict(state)
    return net


def _build(name: str, in_channels: int, pretrained: bool, size: int | None, options: dict[str, Any]) -> Any:
    import timm

    options = options | {"pretrained": pretrained, "in_chans": in_channels}
    try:
        if size is not None:
            # Networks that take frames of any size have no such option, others cannot be built for this one: then the
            # network is as it comes, and `grid` says whether the size will do.
            with suppress(TypeError, AssertionError, ArithmeticError, RuntimeError, ValueError):
                return timm.create_model(name, img_size=size, **options)
        return timm.create_model(name, **options)
    except OSError as error:  # what huggingface_hub and urllib raise without a network
        raise RuntimeError(
            f"the ImageNet weights of {name} cannot be loaded ({error}); connect to the network once, point "
            "HF_HOME to a cache that has them, or train from scratch (--no-pretrained; in Python pretrained=False)"
        ) from error


def _probe(encoder: nn.Module, name: str, in_channels: int, height: int, width: int) -> tuple[int, int]:
    training = encoder.training
    weight = next(encoder.parameters())
    frame = torch.zeros(1, in_channels, height, width, device=weight.device, dtype=weight.dtype)
    try:
        with torch.no_grad():
            shape = encoder.eval()(frame).shape
    except (AssertionError, ArithmeticError, RuntimeError, ValueError) as error:
        import timm

        config = timm.get_pretrained_cfg(name)
        own = f", such as its own (--size {config.input_size[-1]})" if config else ""
        raise ValueError(
            f"{name} cannot take frames of {height}x{width} pixels ({error}); use another size{own}"
        ) from error
    finally:
        encoder.train(training)
    return shape[-2], shape[-1]

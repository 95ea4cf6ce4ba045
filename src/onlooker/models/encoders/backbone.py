"""Any timm network as an encoder: its last feature map, or the vector before its classifier."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onlooker.base.files import check_regular


class Backbone(nn.Module):
    """A timm network without its classifier.

    Args:
        name: a timm model; for a feature map, one that offers `features_only`.
        in_channels: C of the frames. For one channel, the pretrained filters of RGB are summed
            (timm); for any other number they are averaged (`filters_for`).
        pretrained: load timm's ImageNet weights, from the local cache or the network; or this
            file, a checkpoint of the whole network as timm and the hub have it: .safetensors,
            or .pth, read as weights only.
        size: height and width of the frames, for networks that are built for one size (ViT, Swin);
            None: the default.
        vector: the vector before the classifier (`vgg16`: the 4096 of fc7), as a 1×1 map, instead
            of the last feature map (`vgg16`: 7×7×512 from 224×224 pixels).

    Raises:
        ValueError: timm has no network of that name.
        RuntimeError: the weights cannot be loaded, or their first filters cannot be adapted to
            `in_channels`.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int = 3,
        pretrained: bool | str = False,
        size: int | None = None,
        vector: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.in_channels = in_channels
        self.vector = vector
        # num_classes=0: otherwise every file and optimizer would contain an unused classifier.
        options = {"num_classes": 0} if vector else {"features_only": True, "out_indices": (-1,)}
        self.net = create_network(
            name, in_channels, pretrained=pretrained, size=size, options=options
        )
        self.num_features: int = (
            self.net.head_hidden_size if vector else self.net.feature_info.channels()[-1]
        )
        self.channels_last: bool = getattr(self.net, "output_fmt", None) == "NHWC"  # as of Swin

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """The shape of the features of one empty frame, because timm's networks round in different
        ways.

        Raises:
            ValueError: the network cannot take frames of that size.
        """
        training = self.training
        weight = next(self.parameters())
        frame = torch.zeros(
            1, self.in_channels, height, width, device=weight.device, dtype=weight.dtype
        )
        try:
            with torch.no_grad():
                shape = self.eval()(frame).shape
        except (AssertionError, ArithmeticError, RuntimeError, ValueError) as error:
            import timm

            config = timm.get_pretrained_cfg(self.name)
            default = f", such as its own (--size {config.input_size[-1]})" if config else ""
            raise ValueError(
                f"{self.name} cannot take frames of {height}x{width} pixels ({error}); use another size{default}"
            ) from error
        finally:
            self.train(training)
        return shape[-2], shape[-1]

    def forward(self, frames: Tensor) -> Tensor:
        if self.vector:
            features = self.net.forward_features(frames)
            return self.net.forward_head(features, pre_logits=True).flatten(1)[:, :, None, None]
        features = self.net(frames)[-1]
        return features.permute(0, 3, 1, 2) if self.channels_last else features


def filters_for(color: Tensor, channels: int) -> Tensor:
    """Filters `D C …` for C channels from RGB filters, `D 3 …`: for one channel their sum, as in
    timm; for flow the mean over the colors.

    The cross-modality initialization of Wang et al. 2015 (arXiv 1507.02159), as in all two-stream
    networks since. timm would repeat red, green and blue in turn, so that the displacements in x
    and y start from the filters of different colors; and it would scale them by 3/C, which the
    papers do not.
    """
    if channels == 3:
        return color
    if channels == 1:
        return color.sum(1, keepdim=True)
    return color.mean(1, keepdim=True).repeat(1, channels, *[1] * (color.ndim - 2))


def create_network(
    name: str,
    in_channels: int,
    *,
    pretrained: bool | str,
    size: int | None,
    options: dict[str, Any],
) -> Any:  # noqa: ANN401 - timm has no types
    """A timm network with these options; other arguments and errors: see `Backbone`."""
    import timm  # here, because it takes a second to import and small models never need it

    if not timm.is_model(name):
        close = timm.list_models(f"*{name[:5]}*")[:8]
        raise ValueError(
            f"timm has no network {name!r}"
            + (f"; close to it are {', '.join(close)}" if close else "")
        )
    if not pretrained or in_channels in (1, 3):
        return _build(name, size, {**options, "in_chans": in_channels, "pretrained": pretrained})
    state = _build(name, size, {**options, "in_chans": 3, "pretrained": pretrained}).state_dict()
    network = _build(name, size, {**options, "in_chans": in_channels, "pretrained": False})
    for key, weight in network.state_dict().items():
        shape = tuple(state[key].shape)
        if shape == weight.shape:
            continue
        if len(shape) != 4 or shape[1] != 3:
            raise RuntimeError(
                f"the ImageNet weights of {name} do not begin with filters over three colors ({key} is {shape}): "
                "use another network, or train from scratch (--no-pretrained; in Python pretrained=False)"
            )
        state[key] = filters_for(state[key], weight.shape[1])
    network.load_state_dict(state)
    return network


def _build(name: str, size: int | None, options: dict[str, Any]) -> Any:  # noqa: ANN401 - timm has no types
    import timm

    if isinstance(file := options["pretrained"], str):
        return _from_file(name, size, options=options, file=Path(file))
    try:
        if size is not None:
            # Networks for any size do not have this option, and some networks cannot be built for
            # this size. Then the default is built, and `grid` raises if the size does not fit.
            with suppress(TypeError, AssertionError, ArithmeticError, RuntimeError, ValueError):
                return timm.create_model(name, img_size=size, **options)
        return timm.create_model(name, **options)
    except OSError as error:  # what huggingface_hub and urllib raise without a network
        config = timm.get_pretrained_cfg(name)
        where = f" (model.safetensors of {config.hf_hub_id})" if config and config.hf_hub_id else ""
        raise RuntimeError(
            f"the ImageNet weights of {name} cannot be loaded ({error}); connect to the network once, point HF_HOME to "
            f"a cache that has them, give their file{where} by --weights, or train from scratch (--no-pretrained; in "
            "Python pretrained=False)"
        ) from error


@contextmanager
def loading(source: str, name: str, remedy: str) -> Iterator[None]:
    """Convert all errors of weights that are missing, damaged or of another network to a
    RuntimeError of one line.
    """
    try:
        yield
    except Exception as error:  # of pickle, safetensors, zip files, the network or PyTorch
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise RuntimeError(
            f"{source}: the weights of {name} cannot be loaded ({problem}); {remedy}"
        ) from error


def _from_file(name: str, size: int | None, *, options: dict[str, Any], file: Path) -> Any:  # noqa: ANN401 - timm has no types
    import timm

    check_regular(file)
    with loading(str(file), name, "give a checkpoint of this network as timm saves it"):
        stored = timm.models.load_state_dict(str(file))
        # A copy: timm renames and removes weights in its argument.
        overlay = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(stored)}}
        network = _build(name, size, options | overlay)
    # Of a feature extractor, timm ignores all weights that do not fit.
    mine = [weight for weight in network.state_dict().values() if weight.ndim > 1]
    if not any(
        weight.shape == stored_weight.shape and weight.equal(stored_weight)
        for weight in mine
        for stored_weight in stored.values()
    ):
        raise RuntimeError(
            f"{file}: no weights of {name} in it; give a checkpoint of this network as timm saves it"
        )
    return network

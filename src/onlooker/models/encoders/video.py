"""Encoders of video, `forward(windows: N L C H W) -> N D h w`: networks of torchvision and
transformers.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from onlooker.models.encoders.backbone import loading
from onlooker.settings import suggestion

_SPAN = 16  # frames that the networks of torchvision are usually given
# `model_type`: their tokens go through all places of a frame first
_FAMILIES = ("videomae", "vivit", "vjepa2")


def is_video(name: str) -> bool:
    """Whether an encoder of that name reads windows of frames."""
    return name.startswith(("torchvision:", "transformers:"))


def has_folder(name: str) -> bool:
    """Whether an encoder of that name is a folder with weights."""
    return is_video(name) and Path(name.partition(":")[2], "model.safetensors").exists()


class VideoEncoder(nn.Module):
    """A network for windows of L frames, without its classifier; a window has one map, the mean
    over time.

    Args:
        net: windows `N L C H W` to a mapping, whose `last_hidden_state` are the features.
        span, num_features: L and D.
        shape: of the features, `(t, h, w)`.
        tokens: the features are no maps `N D t h w`, but tokens `N … D` that go through all places
            of a frame and then on to the next one, perhaps after a class token.
        colors: mean and standard deviation of each color, for values from 0 to 1, with which the
        network was trained.
        settings: plain values from which the network can be built again; None: its name suffices.
    """

    def __init__(
        self,
        net: nn.Module,
        span: int,
        num_features: int,
        shape: tuple[int, int, int],
        tokens: bool,
        colors: tuple[list[float], list[float]],
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.span = span
        self.num_features = num_features
        self.shape = shape
        self.tokens = tokens
        self.settings = settings
        self.register_buffer("colors", torch.tensor(colors)[:, :, None, None])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """`(h, w)`; the network is built for frames of one size."""
        return self.shape[1:]

    def forward(self, windows: Tensor) -> Tensor:
        """`N L C H W`, normalized as `half`, to `N D h w`."""
        mean, std = cast(Tensor, self.colors)
        features = self.net((windows * 0.25 + 0.5 - mean) / std)["last_hidden_state"]
        if not self.tokens:
            return features.mean(2)
        t, h, w = self.shape
        tokens = features.flatten(1, -2)[:, -t * h * w :].transpose(1, 2)
        return tokens.unflatten(2, (t, h, w)).mean(2)


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

    # Transformers would need a special case at every step.
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
    shape = (_SPAN // 2, side, side)
    colors = (list(weights.transforms().mean), list(weights.transforms().std))
    return VideoEncoder(_Layers(net), _SPAN, num_features, shape, False, colors)


class _Layers(nn.Module):
    """A network up to its last map."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, windows: Tensor) -> dict[str, Tensor]:
        features = windows.transpose(1, 2)
        for layer in [*self.net.children()][:-2]:  # without pooling and classifier
            features = layer(features)
        return {"last_hidden_state": features}


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


def transformers_video(
    name: str, size: int, pretrained: bool | str = False, settings: dict[str, Any] | None = None
) -> VideoEncoder:
    """A vision transformer for video.

    Args:
        name: of a model on the Hugging Face hub, which is read from the local cache or the network;
            or a folder with config.json, with preprocessor_config.json (normalization), and for
            `pretrained` with model.safetensors.
        size: height and width of the frames, those that the network is built for.
        pretrained: load its weights.
        settings: those of a saved network (`VideoEncoder.settings`), which is built without reading
            anything.

    Raises:
        ValueError: a network of another family, or for frames of another size; a file of weights
        alone.
        RuntimeError: transformers is not installed, or the network cannot be loaded.
    """
    if isinstance(pretrained, str):
        remedy = "give the folder of the network as the encoder, transformers:FOLDER"
        raise ValueError(f"{pretrained} is not enough to build transformers:{name}; {remedy}")
    try:
        library = import_module("transformers")  # here, because it takes seconds to import
        if settings is None:
            config = library.AutoConfig.from_pretrained(name, trust_remote_code=False)
            colors = _colors(library, name)
        else:  # the normalization is stored with the weights
            config = library.AutoConfig.for_model(**_plain(settings))
            colors = ([0.0] * 3, [1.0] * 3)
        if (family := config.model_type) not in _FAMILIES:
            raise ValueError(
                f"transformers:{name} is of type {family}, expected one of {', '.join(_FAMILIES)}"
            )
        names = (
            ("crop_size", "frames_per_clip") if family == "vjepa2" else ("image_size", "num_frames")
        )
        side, span = (getattr(config, each) for each in names)
        if size != side:
            raise ValueError(
                f"size is {size}, and transformers:{name} takes {side} pixels; give --size {side}"
            )
        net = _network(library, name, config, pretrained)
    except ImportError as error:
        raise RuntimeError(
            f'transformers is not installed; pip install "onlooker[video]" for {name}'
        ) from error
    except OSError as error:
        raise RuntimeError(
            f"transformers:{name} cannot be loaded ({' '.join(str(error).split())}); connect to the network once, "
            "point HF_HOME to a cache that has it, or download its config.json, preprocessor_config.json and "
            "model.safetensors into a folder and give that as the encoder, transformers:FOLDER"
        ) from error
    tubelet = getattr(config, "tubelet_size", 1)  # in frames, or in frames, rows and columns
    frames, patch, *_ = (
        tubelet if isinstance(tubelet, list | tuple) else (tubelet, config.patch_size)
    )
    shape = (span // frames, size // patch, size // patch)
    values = json.loads(config.to_json_string(use_diff=False))
    return VideoEncoder(net, span, config.hidden_size, shape, True, colors, _plain(values))


def _network(library: Any, name: str, config: Any, pretrained: bool) -> Any:
    options = {"config": config, "dtype": torch.float32, "trust_remote_code": False}
    if not pretrained:
        net = library.AutoModel.from_config(**options)
    else:
        net, found = library.AutoModel.from_pretrained(name, output_loading_info=True, **options)
        if missing := [
            key for key in found["missing_keys"] if not key.startswith(("predictor.", "pooler."))
        ]:
            raise RuntimeError(
                f"transformers:{name} has no weights {', '.join(missing[:3])}; give a complete network"
            )
    return net.encoder if config.model_type == "vjepa2" else net  # without the predictor


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a network without labels, and without those that can name code to download."""
    code = {"auto_map", "attn_implementation", *(name for name in settings if name.startswith("_"))}
    return {
        name: value
        for name, value in settings.items()
        if name not in code and not isinstance(value, dict)
    }


def _colors(library: Any, name: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of colors from 0 to 1, by the image processor; without one, those
    of ImageNet.
    """
    values: dict[str, Any] = {
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    for file in ("preprocessor_config.json", "video_preprocessor_config.json"):
        if path := library.utils.cached_file(
            name, file, _raise_exceptions_for_missing_entries=False
        ):
            values |= json.loads(Path(path).read_text(encoding="utf-8"))
    # It computes (rescale_factor * bytes - offset - mean) / std.
    scale = 255 * values.get("rescale_factor", 1 / 255)
    offset = float(values.get("offset", False))
    return [(mean + offset) / scale for mean in values["image_mean"]], [
        std / scale for std in values["image_std"]
    ]

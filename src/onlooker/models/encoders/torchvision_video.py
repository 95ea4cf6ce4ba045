"""torchvision's networks for video classification as encoders."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from onlooker.models.encoders.video import VideoEncoder
from onlooker.settings import suggestion

_SPAN = 16  # frames that MViT is built for, and the others are usually given


def torchvision_video(name: str, size: int, pretrained: bool | str = False) -> VideoEncoder:
    """A network of `torchvision.models.video`, up to its last map.

    Args:
        name: such as `r3d_18`.
        size: height and width of the frames; 224 for MViT.
        pretrained: load the Kinetics weights, from torchvision's cache or the network; or those in this file, a
            checkpoint of the whole network: .safetensors, or .pth, read as weights only.

    Raises:
        ValueError: no such network, or one that cannot take frames of that size.
        RuntimeError: the weights cannot be loaded.
    """
    from torchvision import models  # here, because it takes seconds to import

    if name not in (known := models.list_models(module=models.video)):
        raise ValueError(f"torchvision has no network for video {name!r}; {suggestion(name, known)}")
    if name.startswith("mvit") and size != 224:
        raise ValueError(f"size is {size}, and {name} takes frames of 224 pixels; give --size 224")
    net, weights = models.get_model(name), models.get_model_weights(name).DEFAULT
    kind, num_features = type(net).__name__, [*net.modules()][-1].weight.shape[1]  # what its classifier takes
    head, _ = [*net.named_children()][-1]
    setattr(net, head, nn.Identity())
    if pretrained:
        _load(net, name, head, weights, pretrained)
    sixteenth = -(-size // 16)  # strides of 2 round up, but the last one of S3D
    side = {"VideoResNet": sixteenth, "S3D": sixteenth // 2}.get(kind, -(-size // 32))
    shape, colors = (_SPAN // 2, side, side), (list(weights.transforms().mean), list(weights.transforms().std))
    layout: Literal["maps", "frames"] = "maps" if kind in ("VideoResNet", "S3D") else "frames"
    return VideoEncoder(_Layers(net), _SPAN, num_features, shape, layout, colors)


class _Layers(nn.Module):
    """A network up to its last map. A feature extractor of torchvision leaves out some additions of MViT."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, windows: Tensor) -> dict[str, Tensor]:
        net, features = self.net, windows.transpose(1, 2)
        if not hasattr(net, "pos_encoding"):
            for layer in [*net.children()][:-2]:  # without pooling and classifier
                features = layer(features)
            return {"last_hidden_state": features}
        features = net.pos_encoding(net.conv_proj(features).flatten(2).transpose(1, 2))
        shape = (net.pos_encoding.temporal_size, *net.pos_encoding.spatial_size)
        for block in net.blocks:
            features, shape = block(features, shape)
        return {"last_hidden_state": net.norm(features)}


def _load(net: nn.Module, name: str, head: str, weights: Any, pretrained: bool | str) -> None:
    """Load a checkpoint without its classifier, which may be one of other classes."""
    from timm.models import load_state_dict

    source = pretrained if isinstance(pretrained, str) else ""
    try:
        stored = load_state_dict(source) if source else weights.get_state_dict(check_hash=True, weights_only=True)
        net.load_state_dict({key: stored[key] for key in stored if not key.startswith(f"{head}.")})
    except Exception as error:  # of pickle, safetensors, zip files, the network or PyTorch
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        remedy = f"put {weights.url} into {torch.hub.get_dir()}/checkpoints, or give its file by --weights"
        raise RuntimeError(f"{source or name}: the weights of {name} cannot be loaded ({found}); {remedy}") from error

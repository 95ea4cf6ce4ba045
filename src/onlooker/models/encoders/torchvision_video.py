"""torchvision's networks for video classification as encoders."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from onlooker.models.encoders.video import VideoEncoder
from onlooker.settings import suggestion

_SPAN = 16  # frames that these networks are usually given


def torchvision_video(name: str, size: int, pretrained: bool | str = False) -> VideoEncoder:
    """A network of `torchvision.models.video`, up to its last map.

    Args:
        name: such as `r3d_18`.
        size: height and width of the frames.
        pretrained: load the Kinetics weights, from torchvision's cache or the network; or those in this file, a
            checkpoint of the whole network: .safetensors, or .pth, read as weights only.

    Raises:
        ValueError: no such network, or one that cannot take frames of that size.
        RuntimeError: the weights cannot be loaded.
    """
    from torchvision import models  # here, because it takes seconds to import

    # Those of MViT have no map: they would need a special case at every step.
    known = [each for each in models.list_models(module=models.video) if not each.startswith("mvit")]
    if name not in known:
        raise ValueError(f"torchvision has no network for video {name!r}; {suggestion(name, known)}")
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
    try:
        stored = load_state_dict(source) if source else weights.get_state_dict(check_hash=True, weights_only=True)
        net.load_state_dict({key: stored[key] for key in stored if not key.startswith(f"{head}.")})
    except Exception as error:  # of pickle, safetensors, zip files, the network or PyTorch
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        remedy = f"put {weights.url} into {torch.hub.get_dir()}/checkpoints, or give its file by --weights"
        raise RuntimeError(f"{source or name}: the weights of {name} cannot be loaded ({found}); {remedy}") from error

"""Grad-CAM maps of a model, to compare its attention with."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.data.transforms import to_video
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer

__all__ = ["frame_grad_cam", "grad_cam"]

_CLIPS_PER_BATCH = 50


def grad_cam(model: VideoModel, features: Tensor, targets: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) of any model with feature maps.

        α_d = mean_{i,j} ∂y / ∂A_dij,  L = ReLU(Σ_d α_d A_d)

    with y the logit of the class, averaged over frames, and A the encoder's features of a frame.
    Each map is divided by its sum; a map of zeros becomes uniform.

    Args:
        model: in evaluation mode.
        features: `B T D h w`, as `encode_video` makes them.
        targets: `B`, the class to explain.

    Returns:
        `B T h w`, sums to one over `h w`.

    Raises:
        ValueError: features on a 1×1 grid.
    """
    if features.shape[3] * features.shape[4] == 1:
        raise ValueError(
            "the features have a 1×1 grid, on which a map says nothing; use an encoder with a grid"
        )
    with torch.enable_grad(), torch.inference_mode(False):
        maps = features.detach().clone().requires_grad_()
        logits = model.forward_features(maps).logits.mean(1)
        (gradient,) = torch.autograd.grad(logits.gather(1, targets.clone()[:, None]).sum(), maps)
    cam = (gradient.mean((3, 4), keepdim=True) * maps.detach()).sum(2).clamp(min=0)
    total = cam.sum((2, 3), keepdim=True)
    even = torch.full_like(cam, 1 / (cam.shape[2] * cam.shape[3]))
    return torch.where(total > 0, cam / total.clamp(min=torch.finfo(cam.dtype).tiny), even)


def frame_grad_cam(
    recognizer: Recognizer, samples: Tensor, targets: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Grad-CAM for the classes `B` of samples `B T H W C`, as maps `B T h w`, of a model whose
    features are maps.
    """
    model = recognizer.model
    data = recognizer.data
    parts = []
    batches = samples.split(_CLIPS_PER_BATCH), torch.from_numpy(targets).split(_CLIPS_PER_BATCH)
    for clips, classes in zip(*batches, strict=True):
        with torch.inference_mode():
            features = model.encode_video(to_video(clips, data.normalization, data.flow_channels))
            parts.append(grad_cam(model, features, classes).cpu())
    return torch.cat(parts).numpy()

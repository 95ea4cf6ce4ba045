"""Run a model on samples, in training and prediction: frames are normalized and encoded, stored
features are not.
"""

import torch
from torch import Tensor

from onlooker.base.config import DataConfig, Precision
from onlooker.data.transforms import augment, to_video
from onlooker.models.video_model import NO_OTHERS, Others, Output, VideoModel

__all__ = ["encode_samples", "uses_bf16"]

_CLIPS_PER_BATCH = 50  # classified together
_PIXELS_PER_BATCH = 1 << 23  # for large clips: five clips of 30 frames of 224×224 pixels


def memory_batches(samples: Tensor) -> tuple[Tensor, ...]:
    """Clips (see `forward_samples`) in batches that fit in memory."""
    clips = _PIXELS_PER_BATCH // samples[0, ..., 0].numel()
    return samples.split(min(_CLIPS_PER_BATCH, max(1, clips)))


def forward_samples(
    model: VideoModel,
    samples: Tensor,
    data: DataConfig,
    *,
    augmented: bool = False,
    others: Others = NO_OTHERS,
) -> Output:
    """The output of a model for clips.

    Args:
        model: the samples are moved to its device.
        samples: frames `B T H W C` uint8, already resized, or stored features `B T h w D` float16.
        data: normalization and augmentation.
        augmented: augment the frames at random; stored features stay as they are.
        others: features of the other eyes; see `VideoModel.forward_features`.
    """
    samples = samples.to(_device(model))
    if others or samples.dtype == torch.float16:
        rows = {name: features.to(samples.device) for name, features in others.items()}
        return model.forward_features(encode_samples(model, samples, data), rows)
    video = to_video(samples, data.normalization, data.flow_channels)
    if augmented:
        # the places of pixels need more than the 8 bits of bf16
        with torch.autocast(video.device.type, enabled=False):
            video = augment(
                video,
                translate=data.translate,
                scale=data.scale,
                hflip=data.hflip,
                flow_channels=data.flow_channels,
                degrees=data.degrees,
            )
    return model(video)


def encode_samples(
    model: VideoModel, samples: Tensor, data: DataConfig, *, at_once: int | None = None
) -> Tensor:
    """Frames `… H W C` uint8, or stored features `… h w D` float16, to features `… D h w`.

    Args:
        model: the samples are moved to its device.
        samples: with one dimension or more in front.
        data: normalization.
        at_once: frames that are encoded together; None: all.
    """
    samples = samples.to(_device(model))
    if samples.dtype == torch.float16:
        return samples.float().movedim(-1, -3)
    frames = samples.flatten(0, -4)
    parts = (
        to_video(part, data.normalization, data.flow_channels)
        for part in frames.split(at_once or len(frames))
    )
    return torch.cat([model.encode(part) for part in parts]).unflatten(0, samples.shape[:-3])


def uses_bf16(precision: Precision = "auto") -> bool:
    """Whether to compute in bf16: as asked for; `auto`: if the hardware multiplies in bf16."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _device(model: VideoModel) -> torch.device:
    return next(model.parameters()).device

"""Feature maps of a frozen encoder: a clip is encoded once, into the cache, for all epochs,
trainings and processes.

An entry has the maps of a clip, `T h w D` in half precision. The channels are last because encoders
write and cells read them in that order. Only distinct frames are stored: `T` is less than the
number of frames asked for if the clip is shorter. Threads decode clips, and encode them in batches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlooker.base.config import DataConfig, Precision
from onlooker.base.files import NOT_WRITABLE_REMEDY, check_writable
from onlooker.base.parallel import cores
from onlooker.base.records import Clip, ClipError
from onlooker.base.text import format_bytes
from onlooker.data.array_cache import ArrayCache
from onlooker.data.clips import ClipFrames, Files, made_samples, stored_frames, stored_settings
from onlooker.data.split import fingerprint
from onlooker.data.transforms import to_video
from onlooker.models.encoders import Paired
from onlooker.models.encoders.engine import encode
from onlooker.models.encoders.graph import weights_digest
from onlooker.models.video_model import VideoModel
from onlooker.training.forward import uses_bf16
from onlooker.video.reader import VideoReader

__all__ = ["encoded_clips", "weights_digest"]

# Frames encoded at once. More are no faster on a CPU, and take memory: a frame in VGG-16 takes 13
# MB.
_BATCH_ON_CPU = 8
_BATCH_ON_GPU = 64
# Threads that decode, while one of them encodes. A CPU that encodes needs its cores for that; a GPU
# waits for frames.
_DECODERS = 2
_DECODERS_ON_GPU = 8
_one_at_a_time = Lock()  # encoding uses all cores, or the GPU


def encoded_clips(
    clips: Sequence[Clip],
    classes: Sequence[str],
    net: VideoModel,
    *,
    data: DataConfig,
    precision: Precision = "auto",
    strict: bool = False,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """Clips as samples `(features T h w D float16, target, index)`, and an error for each that
    cannot be read.

    Those that are not in the cache, or damaged there, are encoded now.

    Args:
        net, data: a model, whose encoder is used, and how clips are sampled. If there is an encoder
            each for RGB and flow, so are the entries.
        precision: of the encoder; auto: bf16 where the hardware has it.
        strict: a clip that cannot be read is an error.

    Raises:
        ValueError: features beyond half precision, or more than the limit of the cache.
        ClipError: none of the clips can be read.
        DiskFullError, NotWritableError: the cache cannot be written to; the features of the clips
            before stay in it.
    """
    streams = _streams(net, data, precision)
    stream_settings = [stream.settings() for stream in streams]
    cache = ArrayCache.for_user()
    check_writable(cache.folder, NOT_WRITABLE_REMEDY)
    used = list[Path]()

    def files_of(clip: Path) -> Files:
        """The files of a clip, which is encoded now if there are none; a ClipError if it cannot be
        read.
        """
        content = fingerprint(clip)
        reader = VideoReader(clip)
        files = tuple(
            cache.get(
                {"clip": content, **settings},
                partial(stream.maps, reader, cache),
                content="its features",
                path=clip,
            )
            for stream, settings in zip(streams, stream_settings, strict=True)
        )
        used.extend(files)
        _require_kept(cache, used[:1])  # an error before all clips are encoded, if they do not fit
        return files

    before = next(net.parameters()).device
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoders = nn.ModuleList(stream.encoder for stream in streams).eval()
    encoders.to(device).to(memory_format=torch.channels_last)  # faster for convolutions
    threads = min(_DECODERS_ON_GPU, cores()) if device == "cuda" else _DECODERS
    samples, errors = made_samples(
        clips, classes, data, make=files_of, stage="encoding clips", strict=strict, threads=threads
    )
    samples.make = None  # the encoder may be elsewhere, and other weights in it
    encoders.to(before)
    _require_kept(cache, used)
    return samples, errors


class _Stream(NamedTuple):
    """An encoder, the settings of its samples, and whether it computes in bf16."""

    encoder: Any
    data: DataConfig
    bf16: bool

    def settings(self) -> dict[str, Any]:
        """All that its maps of a clip depend on except the clip: part of their key."""
        return {
            "encoder": str(self.encoder),
            "weights": weights_digest(self.encoder),
            "precision": "bf16-mixed" if self.bf16 else "32-true",
            "normalization": self.data.normalization,
            **stored_settings(self.data),
        }

    def maps(self, clip: VideoReader, cache: ArrayCache) -> NDArray[np.float16]:
        """The maps of a clip, `T h w D`; its header goes into the cache.

        Raises:
            ClipError: the clip cannot be read.
            ValueError: features outside the range of half precision.
        """
        batch = _BATCH_ON_GPU if next(self.encoder.parameters()).is_cuda else _BATCH_ON_CPU
        frames = torch.from_numpy(stored_frames(clip, self.data, cache))
        features = torch.cat([self.encode(images).cpu() for images in frames.split(batch)])
        maps = features.permute(0, 2, 3, 1).to(torch.float16).contiguous()
        if not maps.isfinite().all():
            largest = features.abs().max().item()
            raise ValueError(
                f"{clip.path}: features up to {largest:g} are beyond half precision; use another encoder"
            )
        return maps.numpy()

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> Tensor:
        """Frames `N H W C` uint8 to maps `N D h w`; bytes are transferred to a GPU faster than
        normalized frames.
        """
        device = next(self.encoder.parameters()).device
        with _one_at_a_time, torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            video = to_video(frames.to(device), self.data.normalization, self.data.flow_channels)
            return encode(self.encoder, video)


def _streams(net: VideoModel, data: DataConfig, precision: Precision) -> list[_Stream]:
    """The encoder of a model, or its two encoders of RGB and of flow."""
    if not net.encodes_frames:
        raise ValueError(
            f"{type(net).__name__} needs frames, not stored features; leave out --features"
        )
    bf16 = uses_bf16(precision)
    encoder = net.encoder
    if not isinstance(encoder, Paired):
        return [_Stream(encoder, data, bf16)]
    rgb = replace(data, modality="rgb")
    flow = replace(data, modality="flow")
    return [_Stream(encoder.rgb, rgb, bf16), _Stream(encoder.flow, flow, bf16)]


def _require_kept(cache: ArrayCache, files: Iterable[Path]) -> None:
    """Raise a ValueError if the cache has removed one of these files, because of its limit."""
    if not all(file.exists() for file in files):
        limit = f"the limit of the cache, {format_bytes(cache.limit or 0)}"
        raise ValueError(
            f"{cache.folder}: the features do not fit into {limit}; raise ONLOOKER_CACHE_LIMIT"
        )

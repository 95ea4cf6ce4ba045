"""From a clip's file to the input of a model: sampled frames, resized, and optical flow if the
model needs it.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.base.config import DataConfig
from onlooker.video.flow import read_flow
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize
from onlooker.video.sampling import Sampling, equally_spaced


@dataclass(frozen=True, eq=False)
class Sample:
    """The input of a model from one video.

    Args:
        pixels: `T H W C`, uint8: the sampled frames, resized.
        times, indices: `T`, of these frames in the video.
        size: height and width of the video.
        end: when its last frame ends.
        length: of the video (`Timing.length`); inf: unknown.
        frames: `T H W C`, uint8, whole frames, in which localization looks for the foreground: RGB
            (or gray) of `pixels`; flow for a model of flow alone.
        assumes_rate: `times` are those of 25 frames per second, because nothing says how many there
            are.
    """

    pixels: NDArray[np.uint8]
    times: NDArray[np.float64]
    indices: NDArray[np.int64]
    size: tuple[int, int]
    frames: NDArray[np.uint8]
    assumes_rate: bool = False
    end: float = math.inf
    length: float = math.inf


def read_sample(path: Path, config: DataConfig) -> Sample:
    """Read the input of a model from a clip, without a cache.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    return read_at(VideoReader(path), config, partial(equally_spaced, count=config.frames))


def read_at(reader: VideoReader, config: DataConfig, sampling: Sampling) -> Sample:
    """Read the input of a model from the sampled frames of a clip; errors as for `read_sample`."""
    parts = []
    if config.modality != "flow":
        shown = reader.get(sampling, size=config.size)
        parts.append(resize(shown.pixels, config.size, config.channels))
    if config.modality != "rgb":
        shown = read_flow(reader, sampling, limit=config.flow_limit, size=config.size)
        parts.append(shown.pixels)
    pixels = np.concatenate(parts, -1)
    return Sample(
        pixels,
        shown.times,
        shown.indices,
        size=reader.size,
        frames=pixels[..., : config.image_channels],
        assumes_rate=reader.timing.assumes_rate,
        end=reader.seconds,
        length=reader.timing.length,
    )

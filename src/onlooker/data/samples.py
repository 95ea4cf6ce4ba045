"""From a clip's file to what a model sees: chosen frames, resized, and optical flow if the model wants it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.config import DataConfig
from onlooker.structures import ClipError, Frames
from onlooker.video.flow import FlowSettings, FlowStacks, read_flow
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize
from onlooker.video.sampling import Indices, Sampling, TemporalCrops, equally_spaced, every_frame

__all__ = ["Sample", "read_sample", "sample_rate"]

_PART = 512  # frames in memory at once, where all frames of a clip are stored


@dataclass(frozen=True, eq=False)
class Sample:
    """What a model receives of one video.

    Args:
        pixels: `U H W C`, uint8: the sampled frames, resized; a frame that several temporal crops share is stored once.
        times, indices: `U`, of these frames in the video.
        temporal_crops: `W T`, positions in `pixels` of each crop's frames; one row of `U` for equally spaced frames.
        size: height and width of the video.
        end: when its last frame ends.
        frames: `U H W C`, uint8, whole frames, in which localization looks for the foreground: RGB (or gray) of
            `pixels`; flow for a model of flow alone.
        assumes_rate: `times` are those of 25 frames per second, because nothing says how many there are.
    """

    pixels: NDArray[np.uint8]
    times: NDArray[np.float64]
    indices: NDArray[np.int64]
    temporal_crops: NDArray[np.int64]
    size: tuple[int, int]
    frames: NDArray[np.uint8]
    assumes_rate: bool = False
    end: float = math.inf

    def at(self, places: NDArray[np.int64]) -> "Sample":
        """Some of the frames, given by their positions among the `U`, as a single temporal crop."""
        part = {name: getattr(self, name)[places] for name in ("pixels", "times", "indices", "frames")}
        return replace(self, **part, temporal_crops=np.arange(len(places))[None])


def read_sample(path: Path, config: DataConfig) -> Sample:
    """What a model sees of a clip, without a cache.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    reader = VideoReader(path, config.frame_rate)
    if not config.temporal_crops:
        return read_at(reader, config, partial(equally_spaced, count=config.frames))
    crops = TemporalCrops(config.frames, config.temporal_crops)
    sample = read_at(reader, config, crops)
    return replace(sample, temporal_crops=crops.positions(len(reader.moments)))


def read_at(reader: VideoReader, config: DataConfig, sampling: Sampling) -> Sample:
    """What a model sees of chosen frames of a clip, as a single temporal crop; errors as for `read_sample`."""
    c, parts = config, []
    shown: Frames | FlowStacks
    if c.modality != "flow":
        shown = reader.get(sampling, size=c.size)
        parts.append(resize(shown.pixels, c.size, c.channels))
    if c.modality != "rgb":
        shown = read_flow(reader, sampling, FlowSettings(c.flow_length, c.flow_limit, c.size))
        parts.append(shown.stacks)
    pixels = np.concatenate(parts, -1)
    crops = np.arange(len(pixels))[None]
    images = pixels[..., : c.image_channels]
    return Sample(
        pixels, shown.times, shown.indices, crops, reader.size, images,
        assumes_rate=reader.assumes_rate, end=reader.seconds,
    )  # fmt: skip


def sample_rate(paths: Sequence[Path], config: DataConfig, count: int = 16) -> float | None:
    """Median frames per second of the samples of at most `count` clips; None if it is unknown."""
    sampling: Sampling = every_frame if config.temporal_crops else partial(equally_spaced, count=config.frames)
    rates = []
    for i in np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)):
        try:
            reader = VideoReader(paths[i], config.frame_rate)
            times = reader.moments
        except ClipError:
            continue
        if reader.assumes_rate:
            continue
        times = np.unique(times[sampling(len(times))])  # padding repeats the last frame
        if len(times) > 1:
            rates.append((len(times) - 1) / (times[-1] - times[0]))
    return float(np.median(rates)) if rates else None


def stored_frames(path: Path, config: DataConfig, distinct: bool = False) -> Iterator[NDArray[np.uint8]]:
    """What is stored of a clip, in parts `N H W C`: all frames for temporal crops, which can start anywhere; else
    `config.frames` equally spaced ones, if `distinct` without the repeated last frame of a shorter clip."""
    reader, start = VideoReader(path, config.frame_rate), 0
    if config.temporal_crops:
        while start < len(reader.moments):
            yield read_at(reader, config, partial(_part, start=start)).pixels
            start += _PART
    else:
        sample = read_at(reader, config, partial(equally_spaced, count=config.frames))
        yield sample.pixels[: len(np.unique(sample.times)) if distinct else None]


def _part(total: int, start: int) -> Indices:
    """At most `_PART` consecutive frames; one, if decoding has found fewer frames in a damaged video than expected."""
    return np.arange(min(start, total - 1), min(start + _PART, total))

"""From a clip's file to the input of a model: sampled frames, resized, the crops of them, and optical
flow or what other eyes see in all frames, if the model needs them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.base.config import DataConfig
from onlooker.base.records import ClipError, Frames
from onlooker.localization.crop import Crop, Follower, jittered
from onlooker.video.container import REENCODE
from onlooker.video.eyes import Eye, EyeRows, describe, eyes_of
from onlooker.video.flow import read_flow
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels, resize
from onlooker.video.sampling import Sampling, equally_spaced

__all__ = ["read_at"]

Ints = NDArray[np.int64]
LEAST_SIDE = 120  # pixels: smaller clips do not show what an encoder of photographs could see


@dataclass(frozen=True, eq=False)
class Sample:
    """The input of a model from one video.

    Args:
        pixels: `T H W C`, uint8: the sampled frames, resized; side by side with crops of them, or
            these alone, by `DataConfig.views`.
        times, indices: `T`, of these frames in the video.
        size: height and width of the video.
        end: when its last frame ends.
        length: of the video (`Timing.length`); inf: unknown.
        frames: `T H W C`, uint8, whole frames, for finding the foreground in localization: RGB (or
            gray) of `pixels`; flow for a model of flow alone.
        assumes_rate: `times` assume 25 frames per second, because no frame rate is stated.
        eyes: `T 1+F`, what each other eye has seen since the previous sampled frame; the last row
            includes all later frames (`video.eyes.describe`).
        crops: `T 4`, left, top, right and bottom of the crop of each frame, in pixels of the video;
            None: without crops.
    """

    pixels: NDArray[np.uint8]
    times: NDArray[np.float64]
    indices: NDArray[np.int64]
    size: tuple[int, int]
    frames: NDArray[np.uint8]
    assumes_rate: bool = False
    end: float = math.inf
    length: float = math.inf
    eyes: EyeRows = field(default_factory=dict)
    crops: Ints | None = None


def read_sample(path: Path, config: DataConfig) -> Sample:
    """Read the input of a model from a clip, without a cache.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    return read_at(VideoReader(path), config, partial(equally_spaced, count=config.frames))


def read_at(
    reader: VideoReader,
    config: DataConfig,
    sampling: Sampling,
    *,
    jitter: int = 0,
) -> Sample:
    """Read the input of a model from the sampled frames of a clip; errors as in `read_sample`.

    Args:
        jitter: the number of an altered copy of the clip, with other crops; 0: the clip itself.
    """
    streams = []
    closeups: _Closeups | None = None
    if "actor" in config.views:
        closeups = _Closeups(config.size, name=reader.path.name, jitter=jitter)
    eyes = eyes_of(config.layer_eyes)
    rows: EyeRows = {}
    if eyes or closeups:
        shown, rows = read_all_frames(reader, sampling, eyes, size=config.size, closeups=closeups)
    elif config.modality != "flow":
        shown = reader.get(sampling, size=config.size)
    if config.modality != "flow":
        streams.append(resize(shown.pixels, config.size, config.channels))
    if config.modality != "rgb":
        shown = read_flow(reader, sampling, limit=config.flow_limit, size=config.size)
        streams.append(shown.pixels)
    indices = shown.indices.tolist()
    crops = None
    frames = streams[0]
    if closeups:
        crops = np.stack([closeups.crops[i] for i in indices])
        close = np.stack([closeups.pixels[i] for i in indices])
        close = resize(close, config.size, config.channels)
        streams = [close] if config.views == ("actor",) else [frames, close]
    pixels = np.concatenate(streams, -1)
    return Sample(
        pixels,
        shown.times,
        shown.indices,
        size=reader.size,
        frames=frames,
        assumes_rate=reader.timing.assumes_rate,
        end=reader.seconds,
        length=reader.timing.length,
        eyes=rows,
        crops=crops,
    )


def views_of(frame: Pixels, crop: Crop, config: DataConfig) -> Pixels:
    """What a model sees of a frame `H W 3` with this crop: `size size C`."""
    parts = {"pictures": frame, "actor": crop.of(frame)}
    resized = [resize(parts[view][None], config.size, config.channels)[0] for view in config.views]
    return np.concatenate(resized, -1)


class _Closeups:
    """The crops of sampled frames, resized.

    Args:
        size: height and width after resizing.
        name: of the clip.
        jitter: as in `read_at`.
    """

    def __init__(self, size: int, *, name: str, jitter: int) -> None:
        self.size = size
        self.name = name
        self.jitter = jitter
        self.follower = Follower(ahead=True)
        self.pixels = dict[int, Pixels]()
        self.crops = dict[int, Crop]()

    def add(self, index: int, time: float, frame: Pixels) -> None:
        self._keep(self.follower.add(index, time, frame))

    def finish(self) -> None:
        self._keep(self.follower.finish())

    def _keep(self, known: Sequence[tuple[int, Pixels, Crop]]) -> None:
        for index, frame, crop in known:
            if self.jitter:
                height, width = frame.shape[:2]
                crop = jittered(crop, (height, width), name=self.name, number=self.jitter)
            self.crops[index] = crop
            self.pixels[index] = resize(crop.of(frame)[None], self.size, 3)[0]


def read_all_frames(
    reader: VideoReader,
    sampling: Sampling,
    eyes: Mapping[str, Eye],
    *,
    size: int,
    closeups: _Closeups | None = None,
) -> tuple[Frames, EyeRows]:
    """The sampled frames of a clip, as `VideoReader.get` returns them, and what eyes see
    (`Sample.eyes`), from one pass over all frames.

    Args:
        closeups: are added to.

    Raises:
        ClipError: the clip cannot be read.
    """
    shown, moments = reader.timing.moments()
    sampled = sampling(len(moments))
    indices = shown[sampled]
    wanted = {*indices.tolist()}
    small = dict[int, Pixels]()

    def frames() -> Iterator[tuple[float, Pixels]]:
        for index, time, pixels in reader:
            if index in wanted:
                small[index] = resize(pixels[None], size, 3)[0]
                if closeups:
                    closeups.add(index, time, pixels)
            yield time, pixels

    rows = describe(eyes, frames(), moments[sampled].tolist())
    if closeups:
        closeups.finish()
    if missing := wanted - {*small}:
        raise ClipError(reader.path, f"frame {min(missing)} cannot be decoded", REENCODE)
    pixels = np.stack([small[index] for index in indices.tolist()])
    return Frames(pixels, moments[sampled], indices), rows

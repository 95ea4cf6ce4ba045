"""Extract features into a store: clips are decoded ahead, encoded in batches, and written as they are encoded."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.data.array_cache import Key, Parts, is_whole
from onlooker.data.clips import decode_each
from onlooker.data.feature_store import FeatureStore, StoreSettings
from onlooker.data.samples import read_sample, stream_frames
from onlooker.processes import map_ahead
from onlooker.structures import ClipError

# From resized frames `N H W C` uint8 to maps `N D h w`. It also normalizes: bytes are transferred to a GPU faster.
Encode = Callable[[Tensor], Tensor]

# Yields each clip with its maps `N h w D`, part by part, or with an error, in any order.
EncodeClips = Callable[[Iterable[Path]], Generator[tuple[Path, Any]]]

_AHEAD = 4  # batches of each clip that are decoded ahead


@dataclass(frozen=True)
class Extracted:
    """For each clip, in the given order, its file in the store or an error; and how many files are `new` there."""

    results: tuple[Path | ClipError, ...]
    new: int

    @property
    def failed(self) -> tuple[ClipError, ...]:
        """An error for each clip that cannot be read."""
        return tuple(result for result in self.results if isinstance(result, ClipError))

    @property
    def existing(self) -> int:
        """Clips that were already stored, or are copies of others."""
        return len(self.results) - len(self.failed) - self.new


def extract(
    store: FeatureStore,
    clips: Sequence[Path],
    encode_clips: EncodeClips,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Extracted:
    """Store the features of clips that are not stored yet, or damaged; and continue after those that cannot be read.

    If it is killed, the same call continues at the clip where it was.

    Args:
        encode_clips: encodes the clips that are not stored, one of several equal ones: `encode_here`, or elsewhere.
        progress: is called with the clips done and the clips to do.

    Raises:
        DiskFullError, NotWritableError: the store cannot be written to. What was done stays.
        ValueError: features that are not finite numbers in half precision.
    """
    keys: dict[Path, Key] = {}
    errors: dict[Path, ClipError] = {}  # by clip, or by file: clips of equal content fail alike
    for clip, key in zip(clips, decode_each(clips, store.key), strict=True):
        if isinstance(key, ClipError):
            errors[clip] = key
        else:
            keys[clip] = key
    files = {clip: store.cache.file(key) for clip, key in keys.items()}
    missing = {file: clip for clip, file in files.items() if not is_whole(file)}
    new = 0
    with closing(encode_clips(missing.values())) as encoded:
        for number, (clip, maps) in enumerate(encoded, 1):
            try:
                if isinstance(maps, Exception):
                    raise maps
                store.cache.get(keys[clip], partial(iter, maps), "its features", clip)
                new += 1
            except ClipError as error:
                errors[files[clip]] = error
            progress(number, len(missing))

    def result(clip: Path) -> Path | ClipError:
        file = files.get(clip, clip)
        return ClipError(clip, errors[file].found, errors[file].remedy) if file in errors else file

    return Extracted(tuple(map(result, clips)), new)


def encode_here(
    clips: Iterable[Path], settings: StoreSettings, encode: Encode, batch: int = 16, decoders: int = 1
) -> Generator[tuple[Path, Parts | ClipError]]:
    """Each clip with its maps, part by part, in memory that does not depend on its length; threads decode ahead."""

    def begin(clip: Path) -> tuple[Path, Iterable[NDArray[np.uint8]] | ClipError]:
        try:
            batches = samples(clip, settings, batch)
            return clip, chain([*islice(batches, _AHEAD)], batches)
        except ClipError as error:
            return clip, error

    with closing(map_ahead(begin, clips, decoders)) as begun:
        for clip, batches in begun:
            yield clip, batches if isinstance(batches, ClipError) else map(partial(_encoded, clip, encode), batches)


def encode_clip(clip: Path, settings: StoreSettings, encode: Encode, batch: int) -> list[NDArray[np.float16]]:
    """The maps of a clip, part by part; a ClipError if it cannot be read."""
    return [_encoded(clip, encode, frames) for frames in samples(clip, settings, batch)]


def samples(path: Path, settings: StoreSettings, size: int = 16) -> Iterator[NDArray[np.uint8]]:
    """What a model sees of a clip, in batches `N H W C` of `size`: distinct frames, without the repeated last one."""
    frames: Iterable[NDArray[np.uint8]]
    if settings.every:
        frames = stream_frames(path, settings.data)
    else:
        sample = read_sample(path, replace(settings.data, temporal_crops=0))
        frames = sample.pixels[: len(np.unique(sample.indices))]
    left = iter(frames)
    while rows := list(islice(left, size)):
        yield np.stack(rows)


def _encoded(clip: Path, encode: Encode, frames: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Frames `N H W C` to maps `N h w D`; a ValueError for features outside the range of half precision."""
    features = encode(torch.from_numpy(frames))
    maps = features.permute(0, 2, 3, 1).to(torch.float16).contiguous().cpu()
    if not maps.isfinite().all():
        largest = features.abs().max().item()
        raise ValueError(f"{clip}: features up to {largest:g} are beyond half precision; use another encoder")
    return maps.numpy()

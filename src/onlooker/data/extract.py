"""Extract features into a store: clips are decoded, encoded and written in batches, in memory independent of length."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from filelock import Timeout
from numpy.typing import NDArray
from torch import Tensor

from onlooker.config import DataConfig
from onlooker.data.array_cache import Key, is_whole
from onlooker.data.feature_store import FeatureStore
from onlooker.data.samples import read_sample, stream_frames
from onlooker.files import format_bytes
from onlooker.structures import ClipError
from onlooker.video.reader import VideoReader

# From resized frames `N H W C` uint8 to maps `N D h w`. It also normalizes: bytes are transferred to a GPU faster.
Encode = Callable[[Tensor], Tensor]

# Reports the clips done and the clips to do. A clip that is being encoded counts by the fraction of its frames.
Progress = Callable[[float, int], None]

# Encodes clips elsewhere: yields each clip with the result of `encode_clip`, or with its error, in any order.
EncodeClips = Callable[[Iterator[Path]], Generator[tuple[Path, NDArray[np.float16] | Exception]]]

Batch = tuple[NDArray[np.uint8], int]  # consecutive samples `N H W C`, and how many the whole clip is expected to have

_AHEAD = 2  # batches that are decoded ahead, of each clip


@dataclass(frozen=True)
class Extracted:
    """For each clip, in the given order, its file in the store or an error; and how many clips are `new` there."""

    results: tuple[Path | ClipError, ...]
    new: int

    @property
    def failed(self) -> tuple[ClipError, ...]:
        """An error for each clip that cannot be read."""
        return tuple(result for result in self.results if isinstance(result, ClipError))

    @property
    def existing(self) -> int:
        """Clips that were already stored, or that another process has stored in the meantime."""
        return len(self.results) - len(self.failed) - self.new


def extract(
    store: FeatureStore,
    clips: Sequence[Path],
    encode: Encode,
    batch: int = 16,
    decoders: int = 1,
    progress: Progress = lambda done, total: None,
) -> Extracted:
    """Store the features of clips that are not stored yet, or damaged; and continue after those that cannot be read.

    If it is killed, the same call continues at the clip where it was. Other processes may work on the same clips: each
    clip is encoded by one of them.

    Args:
        store, encode: the store, and the encoder that it was made with.
        batch: frames that are encoded at once.
        decoders: clips that are decoded ahead, each by its own thread.

    Raises:
        DiskFullError, NotWritableError: the store cannot be written to. What was done stays.
        ValueError: features that are not finite numbers in half precision.
    """
    store.cache.clean()
    return _Extraction(store, clips, encode, batch, progress).run(decoders)


def extract_elsewhere(
    store: FeatureStore,
    clips: Sequence[Path],
    encode_clips: EncodeClips,
    progress: Progress = lambda done, total: None,
) -> Extracted:
    """`extract` by other processes or machines: this process writes what `encode_clips` returns.

    It receives clips one by one, on demand, without those that are stored already, and one of several equal ones.
    """
    store.cache.clean()
    return _Extraction(store, clips, None, 0, progress).run_elsewhere(encode_clips)


def encode_clip(clip: Path, data: DataConfig, every: bool, encode: Encode, batch: int) -> NDArray[np.float16]:
    """The maps of a clip, `N h w D`: those that `extract` stores; a ClipError if it cannot be read."""
    return np.concatenate([_encoded(clip, encode, frames) for frames, _ in samples(clip, data, every, batch)])


def samples(path: Path, data: DataConfig, every: bool = False, size: int = 16) -> Iterator[Batch]:
    """What a model sees of a clip, in batches of `size`: its distinct frames, without the repeated last one."""
    frames: Iterable[NDArray[np.uint8]]
    if every:
        frames, expected = stream_frames(path, data), VideoReader(path).estimated_length
    else:
        sample = read_sample(path, replace(data, temporal_crops=0))
        expected = len(np.unique(sample.indices))
        frames = sample.pixels[:expected]
    left = iter(frames)
    while rows := list(islice(left, size)):
        yield np.stack(rows), expected


class _PrefetchedClip:
    """A clip of which a thread decodes a few batches in advance."""

    def __init__(self, index: int, key: Key, batches: Iterator[Batch]) -> None:
        self.index, self.key = index, key
        self._batches, self._thread = batches, ThreadPoolExecutor(1)
        self._decoded = deque(self._decode() for _ in range(_AHEAD))

    def _decode(self) -> Future[Batch | None]:
        return self._thread.submit(next, self._batches, None)

    def __iter__(self) -> Iterator[Batch]:
        while batch := self._decoded.popleft().result():
            self._decoded.append(self._decode())
            yield batch

    def close(self) -> None:
        """Let the thread end after the batch that it is decoding."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class _Extraction:
    """One call of `extract`, and what it has done so far."""

    def __init__(
        self, store: FeatureStore, clips: Sequence[Path], encode: Encode | None, batch: int, progress: Progress
    ) -> None:
        self.store, self.clips, self.encode, self.batch, self.progress = store, clips, encode, batch, progress
        self.results: dict[int, Path | ClipError] = {}
        self.busy: list[tuple[int, Key]] = []  # clips that other processes encode
        self.new = self.existing = 0
        self.needed = 0  # bytes of the features that are being written

    def run(self, decoders: int) -> Extracted:
        prefetched: deque[_PrefetchedClip] = deque()
        try:
            for index, key in self._missing():
                prefetched.append(_PrefetchedClip(index, key, self._samples(index)))
                if len(prefetched) > decoders:
                    self._finish(prefetched.popleft())
            while prefetched:
                self._finish(prefetched.popleft())
        finally:
            for clip in prefetched:
                clip.close()
        for index, key in self.busy:  # by now they are stored, or the other process was killed
            self._encode(index, key, self._samples(index), wait=True)
        return self._extracted()

    def run_elsewhere(self, encode_clips: EncodeClips) -> Extracted:
        sent: dict[Path, tuple[int, Key]] = {}
        first: dict[Path, int] = {}  # by file in the store: of clips of equal content one is encoded
        copies: dict[int, int] = {}

        def missing() -> Iterator[Path]:
            for index, key in self._missing():
                original = first.setdefault(self.store.cache.file(key), index)
                if original != index:
                    copies[index] = original
                    continue
                sent[self.clips[index]] = index, key
                yield self.clips[index]

        with closing(encode_clips(missing())) as encoded:
            for clip, maps in encoded:
                self._write(*sent.pop(clip), self._received(maps), wait=True)
        for index, original in copies.items():
            result = self.results[original]
            clip = self.clips[index]
            self._done(index, result if isinstance(result, Path) else ClipError(clip, result.found, result.remedy))
        return self._extracted()

    def _extracted(self) -> Extracted:
        return Extracted(tuple(self.results[index] for index in range(len(self.clips))), self.new)

    def _samples(self, index: int) -> Iterator[Batch]:
        return samples(self.clips[index], self.store.settings.data, self.store.settings.every, self.batch)

    def _missing(self) -> Iterator[tuple[int, Key]]:
        """The clips that are not stored, and their keys."""
        for index, clip in enumerate(self.clips):
            try:
                key = self.store.key(clip)
            except ClipError as error:
                self._done(index, error)
                continue
            if is_whole(file := self.store.cache.file(key)):
                self._done(index, file)
            else:
                yield index, key

    def _finish(self, clip: _PrefetchedClip) -> None:
        with closing(clip):
            self._encode(clip.index, clip.key, clip)

    def _encode(self, index: int, key: Key, batches: Iterable[Batch], wait: bool = False) -> None:
        self._write(index, key, self._maps(self.clips[index], batches), wait)

    def _write(self, index: int, key: Key, maps: Iterable[NDArray[np.float16]], wait: bool) -> None:
        self.needed = 0
        result: Path | ClipError
        try:
            result = self.store.cache.get(
                key, lambda: maps, "its features", self.clips[index], lambda: self.needed, self._remedy, wait
            )
        except Timeout:
            self.busy.append((index, key))
            return
        except ClipError as error:
            result = error
        self._done(index, result, new=self.needed > 0)

    def _maps(self, clip: Path, batches: Iterable[Batch]) -> Iterator[NDArray[np.float16]]:
        rows = 0
        assert self.encode
        for frames, expected in batches:
            maps = _encoded(clip, self.encode, frames)
            rows += len(maps)
            self.needed = max(expected, rows) * maps[0].nbytes
            yield maps
            self._report(rows / max(expected, rows))

    def _received(self, maps: NDArray[np.float16] | Exception) -> Iterator[NDArray[np.float16]]:
        if isinstance(maps, Exception):
            raise maps
        self.needed = maps.nbytes
        yield maps

    def _remedy(self) -> str:
        left = len(self.clips) - len(self.results)
        total = f" ({format_bytes(left * self.needed)} if all are like this one)" if self.needed else ""
        return (
            f"free space for the {left} clips that are left{total}, or move the store to a larger disk, and run "
            f"the same command again: the {self.new + self.existing} that are stored stay"
        )

    def _done(self, index: int, result: Path | ClipError, new: bool = False) -> None:
        self.results[index] = result
        if isinstance(result, Path):
            self.new, self.existing = self.new + new, self.existing + (not new)
        self._report()

    def _report(self, fraction: float = 0.0) -> None:
        # Clips that were already stored do not count: the estimated remaining time would be too short.
        self.progress(len(self.results) - self.existing + fraction, len(self.clips) - self.existing)


def _encoded(clip: Path, encode: Encode, frames: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Frames `N H W C` to maps `N h w D`; a ValueError for features outside the range of half precision."""
    features = encode(torch.from_numpy(frames))
    maps = features.permute(0, 2, 3, 1).to(torch.float16).contiguous().cpu()
    if not maps.isfinite().all():
        largest = features.abs().max().item()
        raise ValueError(f"{clip}: features up to {largest:g} are beyond half precision; use another encoder")
    return maps.numpy()

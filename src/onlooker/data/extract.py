"""Clips into a feature store: decoded, encoded and written batch by batch, in memory that does not grow with length."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.config import DataConfig
from onlooker.data.array_cache import ArrayWriter, is_whole
from onlooker.data.feature_store import FeatureStore
from onlooker.data.samples import read_sample, stream_frames
from onlooker.files import explain_write_errors, format_bytes
from onlooker.structures import ClipError
from onlooker.video.reader import VideoReader

# From frames `N H W C` uint8, resized, to maps `N D h w`. It normalizes: bytes are transferred to a GPU faster.
Encode = Callable[[Tensor], Tensor]

# Reports the clips done and the clips to do. A clip that is being encoded counts by the fraction of its frames.
Progress = Callable[[float, int], None]

_AHEAD = 2  # batches that are decoded ahead, of each clip


class Batch(NamedTuple):
    """Consecutive samples of a clip, `N H W C` uint8, and how many of them the whole clip is expected to have."""

    frames: NDArray[np.uint8]
    expected: int


@dataclass(frozen=True)
class Extracted:
    """The result of `extract`.

    Args:
        files: of each clip in the order given; None for those that failed.
        new: clips that this call encoded.
        there: clips that were already stored, or that another process has stored in the meantime.
        failed: an error for each clip that cannot be read.
    """

    files: tuple[Path | None, ...]
    new: int
    there: int
    failed: tuple[ClipError, ...]


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
        clips: video files, or folders with image sequences.
        batch: frames that are encoded at once.
        decoders: clips that are decoded ahead, each by its own thread.

    Raises:
        DiskFullError: the disk is full. What was done stays.
        NotWritableError: the store cannot be written to.
        ValueError: features that are not finite numbers in half precision.
    """
    store.cache.clean()
    return _Extraction(store, clips, encode, batch, progress).run(decoders)


def samples(path: Path, data: DataConfig, every: bool = False, size: int = 16) -> Iterator[Batch]:
    """What a model sees of a clip, in batches of `size`: its distinct frames, without the repeated last one.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    frames: Iterable[NDArray[np.uint8]]
    if every:
        frames, expected = stream_frames(path, data), VideoReader(path).estimated_length
    else:
        sample = read_sample(path, replace(data, temporal_crops=0))
        expected = len(np.unique(sample.indices))
        frames = sample.pixels[:expected]
    rows: list[NDArray[np.uint8]] = []
    for frame in frames:
        rows.append(frame)
        if len(rows) == size:
            yield Batch(np.stack(rows), expected)
            rows.clear()
    if rows:
        yield Batch(np.stack(rows), expected)


class _Started:
    """A clip that this process has claimed: a thread decodes a few of its batches in advance."""

    def __init__(self, index: int, writer: ArrayWriter, batches: Iterator[Batch]) -> None:
        self.index, self.writer = index, writer
        self._batches, self._thread = batches, ThreadPoolExecutor(1)
        self._decoded = deque(self._decode() for _ in range(_AHEAD))

    def _decode(self) -> Future[Batch | None]:
        return self._thread.submit(next, self._batches, None)

    def __iter__(self) -> Iterator[Batch]:
        while batch := self._decoded.popleft().result():
            self._decoded.append(self._decode())
            yield batch

    def close(self) -> None:
        """Release the clip, and let the thread end after the batch that it is decoding."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.writer.close()


class _Extraction:
    """One call of `extract`: which clips are done, started, and left."""

    def __init__(
        self, store: FeatureStore, clips: Sequence[Path], encode: Encode, batch: int, progress: Progress
    ) -> None:
        self.store, self.clips, self.encode, self.batch, self.progress = store, clips, encode, batch, progress
        self.files: list[Path | None] = [None] * len(clips)
        self.failed: dict[int, ClipError] = {}
        self.new = self.there = 0
        self.started: deque[_Started] = deque()

    def run(self, decoders: int) -> Extracted:
        try:
            # Clips that other processes encode come last: by then they are stored, or their process was killed.
            elsewhere = [index for index in range(len(self.clips)) if not self._start(index, decoders)]
            while self.started:
                self._finish()
            for index in elsewhere:
                self._start(index, decoders=0, wait=True)
        finally:
            for clip in self.started:
                clip.close()
        failed = tuple(self.failed[index] for index in sorted(self.failed))
        return Extracted(tuple(self.files), self.new, self.there, failed)

    def _start(self, index: int, decoders: int, wait: bool = False) -> bool:
        """Whether a clip is stored, cannot be read, or is now started; False if another process encodes it."""
        clip, data, every = self.clips[index], self.store.origin.data, self.store.origin.every
        try:
            file = self.files[index] = self.files[index] or self.store.file(clip)
        except ClipError as error:
            self.failed[index] = error
            self._report()
            return True
        with explain_write_errors("its features", self.store.folder, whose=clip):
            writer = None if is_whole(file) else self.store.cache.claim(file, wait)
        if writer is None:
            stored = is_whole(file)
            self.there += stored
            self._report()
            return stored
        self.started.append(_Started(index, writer, samples(clip, data, every, self.batch)))
        if len(self.started) > decoders:
            self._finish()
        return True

    def _finish(self) -> None:
        """Encode and write the clip that was started first."""
        clip, expected = self.started[0], 0
        path, writer = self.clips[clip.index], clip.writer

        def maps() -> Iterator[NDArray[np.float16]]:
            nonlocal expected
            for frames, expected in clip:
                yield self._encoded(path, frames)
                self._report(writer.rows / max(expected, writer.rows))

        def remedy() -> str:
            stored = self.new + self.there
            left = len(self.clips) - stored - len(self.failed)
            total = f" ({format_bytes(left * needed())} if all are like this one)" if needed() else ""
            return (
                f"free space for the {left} clips that are left{total}, or move the store to a larger disk, and run "
                f"the same command again: the {stored} that are stored stay"
            )

        def needed() -> int:
            return writer.size(expected)

        try:
            with explain_write_errors("its features", self.store.folder, remedy, needed, path):
                writer.write(maps())
            self.new += 1
        except ClipError as error:
            self.files[clip.index], self.failed[clip.index] = None, error
        finally:
            self.started.popleft().close()
        self._report()

    def _encoded(self, clip: Path, frames: NDArray[np.uint8]) -> NDArray[np.float16]:
        features = self.encode(torch.from_numpy(frames))
        maps = features.permute(0, 2, 3, 1).to(torch.float16).contiguous().cpu()
        if not maps.isfinite().all():
            largest = features.abs().max().item()
            raise ValueError(f"{clip}: features up to {largest:g} are beyond half precision; use another encoder")
        return maps.numpy()

    def _report(self, fraction: float = 0.0) -> None:
        # Clips that were already stored are no work: counted, they would promise a speed that does not last.
        self.progress(self.new + len(self.failed) + fraction, len(self.clips) - self.there)

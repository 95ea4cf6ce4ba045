"""Clips into a feature store: decoded, encoded and written batch by batch, in the same memory whatever their length."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from threading import Event, Thread
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.config import DataConfig
from onlooker.data.array_file import is_whole
from onlooker.data.feature_store import Claim, FeatureStore
from onlooker.files import DiskFullError, in_megabytes, is_full
from onlooker.structures import ClipError
from onlooker.video.flow import read_flow, stream_flow
from onlooker.video.reader import claimed_frames, pick, stream
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced

# From frames `N H W C` uint8, resized, to maps `N D h w`. Normalizing is its part: bytes travel faster to a GPU.
Encode = Callable[[Tensor], Tensor]

# How far it is: clips worked at, and clips to work at. A clip in hand counts by the share of its frames.
Progress = Callable[[float, int], None]

# Resized frames that are decoded in one go, where a clip's frames are picked.
_PICKED_BYTES = 64 << 20
# Batches that are decoded ahead, of each clip.
_AHEAD = 2
_POLL = 0.1  # seconds


class Batch(NamedTuple):
    """Consecutive samples of a clip, `N H W C` uint8, and how many of them the whole clip is expected to have."""

    frames: NDArray[np.uint8]
    expected: int


@dataclass(frozen=True)
class Extracted:
    """What `extract` did.

    Args:
        files: of each clip in the order given; None for those that failed.
        new: clips that this call encoded.
        there: clips that were stored already, or that another process has stored meanwhile.
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
    progress: Progress | None = None,
) -> Extracted:
    """Store the features of clips that are not stored yet, or damaged; and go on after those that cannot be read.

    Killed at any moment, the same call goes on at the clip where it was. Other processes may work at the same clips:
    each clip is encoded by one of them.

    Args:
        store: where to.
        clips: video files, or folders of numbered pictures.
        encode: the encoder that the store was made with.
        batch: frames that are encoded at once.
        decoders: clips that are decoded ahead, each by a thread of its own.
        progress: is told how far it is.

    Raises:
        DiskFullError: the disk is full. What was done stays.
        ValueError: features that are not finite numbers in half precision.
    """
    store.clean()
    extraction = _Extraction(store, clips, encode, batch, progress or (lambda done, total: None))
    extraction.go(decoders)
    failed = tuple(extraction.failed[place] for place in sorted(extraction.failed))
    return Extracted(tuple(extraction.files), extraction.new, len(clips) - extraction.new - len(failed), failed)


def samples(path: Path, data: DataConfig, every: bool = False, size: int = 16) -> Iterator[Batch]:
    """What a model sees of a clip, in batches of `size`: its distinct frames, without the repeated last one.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    if every:
        yield from _all(path, data, size)
        return
    for frames, expected in _blocks(path, data) if data.modality == "rgb" else [_with_flow(path, data)]:
        for start in range(0, len(frames), size):
            yield Batch(frames[start : start + size], expected)


def _all(path: Path, data: DataConfig, size: int) -> Iterator[Batch]:
    expected, kept = claimed_frames(path), []
    for frame in _every_frame(path, data):
        kept.append(frame)
        if len(kept) == size:
            yield Batch(np.stack(kept), expected)
            kept.clear()
    if kept:
        yield Batch(np.stack(kept), expected)


def _every_frame(path: Path, data: DataConfig) -> Iterator[NDArray[np.uint8]]:
    """All frames of a clip in turn, `H W C`: picture, flow, or the flow behind the picture."""
    d = data
    pictures = (resize(pixels[None], d.size, d.channels)[0] for _, _, pixels in stream(path))
    if d.modality == "rgb":
        yield from pictures
        return
    flow = stream_flow(path, d.flow_length, d.flow, d.flow_limit, d.size)
    if d.modality == "flow":
        yield from flow
        return
    # Decoded twice: the flow looks ahead, and decoding is quick beside it.
    for both in zip(pictures, flow, strict=True):
        yield np.concatenate(both, -1)


def _blocks(path: Path, data: DataConfig) -> Iterator[Batch]:
    """`data.frames` equally spaced frames, as many in a block as fit in memory."""
    block = max(1, _PICKED_BYTES // (3 * data.size**2))
    first = 0
    for start in range(0, data.frames, block):
        total, pixels = _pictures(path, data, slice(start, start + block))
        first = first or total
        if total != first:
            raise ClipError(path, f"{first} frames decoded, and then {total}", "encode it again, or remove it")
        yield Batch(pixels, min(total, data.frames))
        if start + block >= total:
            return


def _pictures(path: Path, data: DataConfig, part: slice) -> tuple[int, NDArray[np.uint8]]:
    """How many frames the clip has, and a part of those that are chosen of it, `N H W C`."""
    total = 0

    def choose(frames: int) -> NDArray[np.int64]:
        nonlocal total  # the last call is the one that counts
        total = frames
        return np.unique(equally_spaced(frames, data.frames))[part]

    # Each frame shrinks as it comes: thirty of a large film would be a gigabyte.
    found = pick(path, choose, lambda frame: resize(frame[None], data.size, 3)[0])
    return total, resize(found.pixels, data.size, data.channels)


def _with_flow(path: Path, data: DataConfig) -> Batch:
    d = data
    flow = read_flow(path, d.frames, d.flow_length, d.flow, d.flow_limit, d.size)
    distinct = len(np.unique(flow.indices))
    parts = [_pictures(path, data, slice(None))[1]] if data.modality == "both" else []
    return Batch(np.concatenate([*parts, flow.stacks[:distinct]], -1), distinct)


class _Ahead(Iterator[Batch]):
    """Batches that a thread makes beside the one that takes them, a few in advance."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._made: queue.Queue[Batch | BaseException | None] = queue.Queue(_AHEAD)
        self._stop = Event()
        self._thread = Thread(target=self._make, args=(batches,), daemon=True)
        self._thread.start()

    def _make(self, batches: Iterable[Batch]) -> None:
        try:
            for batch in batches:
                if not self._put(batch):
                    return
            self._put(None)
        except BaseException as error:  # raised where the batch is taken
            self._put(error)

    def _put(self, item: Batch | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._made.put(item, timeout=_POLL)
                return True
            except queue.Full:
                continue
        return False

    def __next__(self) -> Batch:
        item = self._made.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Let the thread end, whatever it is doing."""
        self._stop.set()


class _Work(NamedTuple):
    place: int
    claim: Claim
    batches: _Ahead


class _Extraction:
    """One call of `extract`: which clips are done, in hand, and left."""

    def __init__(
        self, store: FeatureStore, clips: Sequence[Path], encode: Encode, batch: int, progress: Progress
    ) -> None:
        self.store, self.clips, self.encode, self.batch, self.progress = store, clips, encode, batch, progress
        self.files: list[Path | None] = [None] * len(clips)
        self.failed: dict[int, ClipError] = {}
        self.new = self.there = 0
        self.underway: deque[_Work] = deque()

    def go(self, decoders: int) -> None:
        left = list(range(len(self.clips)))
        try:
            while left:
                elsewhere = [place for place in left if not self._begun(place, decoders)]
                while self.underway:
                    self._finish()
                if len(elsewhere) == len(left):
                    time.sleep(_POLL)  # all that is left is in the hands of other processes
                left = elsewhere
        finally:
            for work in self.underway:
                work.batches.close()
                work.claim.discard()

    def _begun(self, place: int, decoders: int) -> bool:
        """Whether a clip is stored, cannot be read, or is now in hand; False where another process is at it."""
        try:
            file = self.files[place] = self.files[place] or self.store.file(self.clips[place])
        except ClipError as error:
            self._fail(place, error)
            return True
        if is_whole(file):
            self.there += 1
            self._report()
            return True
        try:
            claim = self.store.claim(file)
        except OSError as error:
            raise self._explained(error, place, 0) from error
        if claim is None:
            return False
        origin = self.store.origin
        batches = _Ahead(samples(self.clips[place], origin.data, origin.every, self.batch))
        self.underway.append(_Work(place, claim, batches))
        if len(self.underway) > decoders:
            self._finish()
        return True

    def _finish(self) -> None:
        """Encode and write the clip that was begun first."""
        work = self.underway[0]
        expected = 0
        try:
            for frames, expected in work.batches:
                work.claim.append(self._encoded(self.clips[work.place], frames))
                self._report(work.claim.written / max(expected, work.claim.written))
            work.claim.commit()
            self.new += 1
        except ClipError as error:
            self._fail(work.place, error)
        except OSError as error:
            work.claim.discard()
            needed = work.claim.frame_bytes * max(expected, work.claim.written)
            raise self._explained(error, work.place, needed) from error
        finally:
            self.underway.popleft()
            work.batches.close()
            work.claim.discard()
        self._report()

    def _encoded(self, clip: Path, frames: NDArray[np.uint8]) -> NDArray[np.float16]:
        features = self.encode(torch.from_numpy(frames))
        maps = features.permute(0, 2, 3, 1).to(torch.float16).contiguous().cpu()
        if not maps.isfinite().all():
            largest = features.abs().max().item()
            raise ValueError(f"{clip}: features up to {largest:g} are beyond half precision; use another encoder")
        return maps.numpy()

    def _fail(self, place: int, error: ClipError) -> None:
        self.files[place], self.failed[place] = None, error
        self._report()

    def _report(self, share: float = 0.0) -> None:
        # What was there from the start is no work: counted, it would promise a speed that does not last.
        self.progress(self.new + len(self.failed) + share, len(self.clips) - self.there)

    def _explained(self, error: OSError, place: int, needed: int) -> OSError:
        """An error of the disk, with the clip's name; `needed` are the bytes of its file, as far as is known."""
        clip, folder = self.clips[place], self.store.folder
        if not is_full(error):
            return OSError(error.errno, f"{clip}: its features cannot be written ({error.strerror})", str(folder))
        free = disk_usage(folder).free
        left = len(self.clips) - self.new - self.there - len(self.failed)
        missing = f", {in_megabytes(needed - free)} missing" if needed > free else ""
        return DiskFullError(
            f"{clip}: no room for its features in {folder}: {in_megabytes(needed)} needed, {in_megabytes(free)} free"
            f"{missing}; make room for the {left} clips that are left ({in_megabytes(left * needed)} if all are like "
            "this one), or move the store to a larger disk, and run the same command again: the "
            f"{self.new + self.there} that are stored stay"
        )

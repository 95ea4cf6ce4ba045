"""The frames of a video file, read in this process: by an index where it can be relied on, else by decoding all."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.structures import ClipError, Frames
from onlooker.video.container import REENCODE, open_video
from onlooker.video.decode import RATE, Converter, FrameStore, assumes_rate, decode_file, duration_of, end_of
from onlooker.video.index import IndexContradictedError, PacketIndex, decode_frames, decode_indexed, index_packets
from onlooker.video.sampling import Choice, Timing

_PAUSED = 2  # decoders of a file without an index that wait for its next parts, which threads ask for out of order


class VideoFile:
    """A video file, opened when it is needed; see `VideoReader`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._turn = Lock()  # to decode parts of a file without an index
        self._paused: dict[int, Iterator[tuple[int, float, VideoFrame]]] = {}  # decoders, by their next frame
        self._timing: Timing | None = None
        self._index: PacketIndex | None = None
        self._assumes_rate = False
        self._expected: int | None = None  # number of frames, at first the number of packets; None: not counted yet

    @property
    def timing(self) -> Timing:
        """When the frames are shown."""
        with self._lock:  # threads that read parts of one file wait for the first of them
            if self._timing is None:
                if self._expected is None:
                    with open_video(self.path) as opened:
                        self._make_index(*opened)
                self._timing = self._decode_all() if self._index is None else self._timing_of(self._index)
            return self._timing

    def get(self, choose: Choice, size: int | None, shorter_side: int | None) -> tuple[Frames, tuple[int, int]]:
        """The frames of a choice, as in `VideoReader`, and the size."""

        def make_store(timing: Timing) -> FrameStore:
            return FrameStore(self.path, choose(timing), size, shorter_side)

        with open_video(self.path) as opened:
            if self._expected is None:
                self._make_index(*opened)
            if (index := self._index) is not None:
                store = make_store(self._timing_of(index))
                store.check(len(index.shown))
                try:
                    decode_indexed(*opened, index, store)
                    return store.frames(index.times)
                except (IndexContradictedError, av.error.FFmpegError, ClipError):  # a thread's error is a ClipError
                    self._index = None
            elif self._timing is not None:
                return self._decode_chosen(make_store(self._timing), self._timing.times)
        # Everything is decoded: twice where the frames are not those that were expected from the packets.
        expected = self._expected or 1
        timing = self._timing or Timing(np.arange(expected) / RATE, expected / RATE)
        for _ in range(2):
            store = make_store(timing)
            self._timing = timing = self._decode_all(store)
            if np.array_equal(store.indices, make_store(timing).indices):
                store.check(len(timing.times))
                return store.frames(timing.times)
        raise ClipError(self.path, "another number of frames each time it is decoded", REENCODE)

    def __iter__(self) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        convert = Converter(self.path)
        for index, seconds, frame in decode_file(self.path):
            yield index, seconds, convert(frame)

    def between(self, first: int, after: int) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """As iteration: the frames from `first` on, before `after`; those before them only where there is no index."""
        convert, places = Converter(self.path), np.arange(first, after)
        if (index := self._index) is not None:
            with suppress(IndexContradictedError, av.error.FFmpegError, ClipError), open_video(self.path) as opened:
                for place, frame in decode_frames(*opened, index, index.runs(index.shown[places]), places):
                    if place == first:
                        yield place, float(index.times[place]), convert(frame)
                        first += 1
        for place, seconds, frame in self._decode_between(first, after):
            yield place, seconds, convert(frame)

    def _decode_chosen(self, store: FrameStore, times: NDArray[np.float64]) -> tuple[Frames, tuple[int, int]]:
        """As `get`, of a file without an index whose times are known."""
        store.check(len(times))
        wanted = set(store.unique.tolist())
        convert = Converter(self.path)
        with self._turn:
            for place, _, frame in self._decode_between(min(wanted), max(wanted) + 1):
                if place in wanted:
                    store.put(place, convert(frame))
                    wanted.remove(place)
        if wanted:
            raise ClipError(self.path, "another number of frames each time it is decoded", REENCODE)
        return store.frames(times)

    def _decode_between(self, first: int, after: int) -> Iterator[tuple[int, float, VideoFrame]]:
        """The frames from `first` on, before `after`, by the decoder that has paused closest before them."""
        if first >= after:
            return
        with self._lock:
            nearest = max((place for place in self._paused if place <= first), default=None)
            decoder = decode_file(self.path) if nearest is None else self._paused.pop(nearest)
        for place, seconds, frame in decoder:
            if place >= first:
                yield place, seconds, frame
            if place + 1 == after:
                break
        else:
            return
        with self._lock:
            self._paused[after] = decoder
            while len(self._paused) > _PAUSED:
                del self._paused[min(self._paused)]

    def _make_index(self, container: InputContainer, stream: VideoStream) -> None:
        self._index, self._expected = index_packets(container, stream)
        self._assumes_rate = assumes_rate(container, stream)

    def _timing_of(self, index: PacketIndex) -> Timing:
        return Timing(index.times, index.end, self._assumes_rate)

    def _decode_all(self, store: FrameStore | None = None) -> Timing:
        """Decode everything, put the frames that the store asks for, and return when all frames are shown."""
        wanted = set() if store is None else set(store.indices.tolist())
        convert = Converter(self.path)
        seconds_of = []
        duration = 0.0
        for index, seconds, frame in decode_file(self.path):
            seconds_of.append(seconds)
            duration = duration_of(frame)
            if store is not None and index in wanted:
                store.put(index, convert(frame))
        times = np.array(seconds_of)
        self._expected = len(times)
        return Timing(times, end_of(times, duration), self._assumes_rate)


def shared_file(path: Path) -> VideoFile:
    """The same object for all parts of a file that are read in this process: the file is indexed once."""
    try:
        stat = path.stat()
    except OSError:
        return VideoFile(path)  # whose methods say why
    return _shared(path.absolute(), stat.st_size, stat.st_mtime_ns)


@lru_cache(32)  # an index of an hour has 2 MB
def _shared(path: Path, _size: int, _modified: int) -> VideoFile:
    return VideoFile(path)


os.register_at_fork(after_in_child=_shared.cache_clear)  # a thread that the child has not may hold a lock

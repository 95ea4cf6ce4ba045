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

from onlooker.structures import ClipError
from onlooker.video.container import open_video
from onlooker.video.decode import RATE, Converter, FrameStore, assumes_rate, decode_file, duration_of, end_of
from onlooker.video.index import IndexContradictedError, PacketIndex, decode_frames, decode_indexed, index_packets
from onlooker.video.resize import Pixels
from onlooker.video.sampling import Timing

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
        self._packets: int | None = None  # their number; None: not counted yet

    @property
    def timing(self) -> Timing:
        """When the frames are shown."""
        with self._lock:  # threads that read parts of one file wait for the first of them
            if self._packets is None:
                with open_video(self.path) as opened:
                    self._make_index(*opened)
            return self._timing or self._decode_all()

    def fill(self, store: FrameStore) -> None:
        """Put the frames that a store chooses."""
        with open_video(self.path) as opened:
            if self._packets is None:
                self._make_index(*opened)
            if (index := self._index) is not None:
                store.choose(index.timing)
                try:
                    decode_indexed(*opened, index, store)
                    return
                except (IndexContradictedError, av.error.FFmpegError, ClipError):  # a thread's error is a ClipError
                    self._index = None
            elif self._timing is not None:
                self._decode_chosen(store, self._timing)
                return
        # Everything is decoded: twice where the frames are not those that were expected from the packets.
        count = self._packets or 1
        timing = self._timing or Timing(np.arange(count) / RATE, count / RATE)
        for _ in range(2):
            wanted = store.choose(timing, is_guess=True)
            timing = self._decode_all(store)
            if np.array_equal(store.choose(timing), wanted):
                return

    def between(self, first: int, after: int | None) -> Iterator[tuple[int, float, Pixels]]:
        """Index, seconds and pixels of the frames from `first` on, before `after` (None: all).

        The frames before `first` are decoded only where there is no index.
        """
        convert = Converter(self.path)
        if after is not None and (index := self._index) is not None:
            places = np.arange(first, after)
            with suppress(IndexContradictedError, av.error.FFmpegError, ClipError), open_video(self.path) as opened:
                for place, frame in decode_frames(*opened, index, index.runs(index.shown[places]), places):
                    if place == first:
                        yield place, float(index.timing.times[place]), convert(frame)
                        first += 1
        for place, seconds, frame in self._decode_between(first, after):
            yield place, seconds, convert(frame)

    def _decode_chosen(self, store: FrameStore, timing: Timing) -> None:
        """As `fill`, of a file without an index whose times are known."""
        wanted = store.choose(timing).tolist()
        convert = Converter(self.path)
        with self._turn:
            for place, _, frame in self._decode_between(wanted[0], wanted[-1] + 1):
                if place in wanted:
                    store.put(place, convert(frame))

    def _decode_between(self, first: int, after: int | None) -> Iterator[tuple[int, float, VideoFrame]]:
        """The frames from `first` on, before `after`, by the decoder that has paused closest before them."""
        if after is not None and first >= after:
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
        self._index, self._packets = index_packets(container, stream)
        if self._index is not None:
            self._timing = self._index.timing
        self._assumes_rate = assumes_rate(container, stream)

    def _decode_all(self, store: FrameStore | None = None) -> Timing:
        """Decode everything, put the frames that the store has chosen, and find out when all frames are shown."""
        wanted = set() if store is None else set(store.wanted.tolist())
        convert = Converter(self.path)
        seconds_of = []
        duration = 0.0
        for index, seconds, frame in decode_file(self.path):
            seconds_of.append(seconds)
            duration = duration_of(frame)
            if store is not None and index in wanted:
                store.put(index, convert(frame))
        times = np.array(seconds_of)
        self._timing = Timing(times, end_of(times, duration), self._assumes_rate)
        return self._timing


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

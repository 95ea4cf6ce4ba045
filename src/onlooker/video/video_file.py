"""The frames of a video file, read in this process: by an index where it can be relied on, else by decoding all."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from onlooker.structures import ClipError, Frames
from onlooker.video.container import REENCODE, open_video
from onlooker.video.decode import Converter, FrameStore, decode_file
from onlooker.video.index import IndexContradictedError, PacketIndex, decode_indexed, index_packets
from onlooker.video.sampling import Sampling


class VideoFile:
    """A video file, opened when it is needed; see `VideoReader`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: PacketIndex | None = None
        self._expected: int | None = None  # number of frames, at first the number of packets; None: not counted yet

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """As in `VideoReader`."""
        if self._expected is None:
            with open_video(self.path) as opened:
                self._index, self._expected = index_packets(*opened)
        return self._decode_all() if self._index is None else self._index.times

    def get(self, sampling: Sampling, size: int | None, shorter_side: int | None) -> tuple[Frames, tuple[int, int]]:
        """As in `VideoReader`, and the size."""

        def make_store(total: int) -> FrameStore:
            return FrameStore(self.path, sampling(total), size, shorter_side)

        with open_video(self.path) as opened:
            if self._expected is None:
                self._index, self._expected = index_packets(*opened)
            if self._index is not None:
                store = make_store(len(self._index.shown))
                store.check(len(self._index.shown))
                try:
                    decode_indexed(*opened, self._index, store)
                    return store.frames(self._index.times)
                except (IndexContradictedError, av.error.FFmpegError, ClipError):  # a thread's error is a ClipError
                    self._index = None
        # Everything is decoded: twice where the number of packets is not that of the frames.
        for _ in range(2):
            store = make_store(self._expected or 1)
            self.times = self._decode_all(store)
            if np.array_equal(store.indices, make_store(len(self.times)).indices):
                store.check(len(self.times))
                return store.frames(self.times)
        raise ClipError(self.path, "another number of frames each time it is decoded", REENCODE)

    def __iter__(self) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        convert = Converter(self.path)
        for index, seconds, frame in decode_file(self.path):
            yield index, seconds, convert(frame)

    def _decode_all(self, store: FrameStore | None = None) -> NDArray[np.float64]:
        """Decode everything, put the frames that the store asks for, and return the times of all frames."""
        wanted = set() if store is None else set(store.indices.tolist())
        convert, times = Converter(self.path), []
        for index, seconds, frame in decode_file(self.path):
            times.append(seconds)
            if store is not None and index in wanted:
                store.put(index, convert(frame))
        self._expected = len(times)
        return np.array(times)

"""The frames of a video file: exactly as in sequential decoding, with little decoding.

A file is first demuxed without decoding: the times and keyframe flags of its packets give an index
of its frames. Then only what the wanted frames depend on is decoded: from the keyframe before each,
without frames that no other refers to. Whatever contradicts the index (an error, a missing frame,
another size) makes the reader decode the whole file instead: with one thread, skipping broken
packets, counting what comes out.
"""

import os
from array import array
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.base.intervals import file_of
from onlooker.base.parallel import free_cores
from onlooker.base.records import ClipError
from onlooker.video.clock import has_display_times, is_decoding_order, start_of
from onlooker.video.container import open_video
from onlooker.video.decode import (
    Converter,
    FrameStore,
    decode_file,
    end_of,
    lacks_times,
    read_packets,
)
from onlooker.video.rates import RATE, stated_rate
from onlooker.video.resize import Pixels
from onlooker.video.sampling import Indices, Timing, even_timing

# keyframes that seeking may have to go back, because demuxers seek by different times
_EARLIER = 3

# Smaller frames are decoded faster than threads can be woken for them, except by codecs that are
# slow per frame.
THREADED_PIXELS = 640 * 360
_THREADED_CODECS = frozenset({"vp9"})

# Here one packet is one frame, and the container's index or the codec's headers mark the keyframes.
# (VP8 has invisible frames; a packet of a transport stream may be half a frame.)
_INDEXED_FORMATS = ("mov,mp4", "matroska", "avi", "gif")
_CODECS = frozenset(
    {
        "h264",
        "hevc",
        "mpeg4",
        "mpeg2video",
        "mpeg1video",
        "mjpeg",
        "vp9",
        "libdav1d",
        "av1",
        "gif",
        "ffv1",
    }
)

# In these decoders, frames that no other frame refers to can be skipped without an effect on other
# frames. (In VP9 and AV1 they train the entropy coder, in HEVC a higher temporal layer may refer to
# them.)
_SKIPPABLE = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video"})
# decoders of a file without an index that wait for its next parts, which threads ask for out of
# order
_PAUSED = 2


class VideoFile:
    """A video file, opened when it is needed; see `VideoReader`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._turn = Lock()  # to decode parts of a file without an index
        # decoders, by their next frame
        self._paused: dict[int, Iterator[tuple[int, float, VideoFrame]]] = {}
        self._timing: Timing | None = None
        self._index: PacketIndex | None = None
        self._lacks_times = False
        self._packets: int | None = None  # their number; None: not counted yet

    @property
    def timing(self) -> Timing:
        """When the frames are shown."""
        with self._lock:  # threads that read parts of one file wait for the first of them
            if self._packets is None:
                with open_video(self.path) as opened:
                    self._make_index(*opened)
            return self._timing or self._decode_all()

    @property
    def assumes_rate(self) -> bool:
        """Whether no frame rate is stated; only the header is read."""
        with open_video(self.path) as opened:
            return lacks_times(*opened) and stated_rate(self.path) is None

    def fill(self, store: FrameStore) -> None:
        """Put the frames that a store chooses."""
        with open_video(self.path) as opened:
            if self._packets is None:
                self._make_index(*opened)
            if (index := self._index) is not None:
                store.choose(index.timing)
                try:
                    decode_indexed(*opened, index, store=store)
                    return
                # a thread's error is a ClipError
                except (IndexContradictedError, av.error.FFmpegError, ClipError):
                    self._index = self._timing = None
        if self._timing is None:
            count = self._packets or 1
            expected = index.timing if index else Timing(np.arange(count) / RATE, count / RATE)
            guess = store.choose(expected, is_guess=True)
            self._timing = self._decode_all(store)
            if np.array_equal(store.choose(self._timing), guess):
                return
        # The times are known now, and other frames may be wanted than the packets suggested.
        wanted = set(store.choose(self._timing).tolist())
        convert = Converter(self.path)
        with self._turn:
            for place, _, frame in self._decode_between(min(wanted), max(wanted) + 1):
                if place in wanted:
                    store.put(place, convert(frame))

    def between(self, start: int, after: int | None) -> Iterator[tuple[int, float, Pixels]]:
        """Index, seconds and pixels of the frames from `start` on, before `after` (None: all).

        The frames before `start` are decoded only where there is no index.
        """
        convert = Converter(self.path)
        if after is not None and (index := self._index) is not None:
            places = np.arange(start, after)
            with (
                suppress(IndexContradictedError, av.error.FFmpegError, ClipError),
                open_video(self.path) as opened,
            ):
                for place, frame in decode_frames(*opened, index, places=places):
                    if place == start:
                        yield place, float(index.timing.times[place]), convert(frame)
                        start += 1
        for place, seconds, frame in self._decode_between(start, after):
            yield place, seconds, convert(frame)

    def _decode_between(
        self, start: int, after: int | None
    ) -> Iterator[tuple[int, float, VideoFrame]]:
        """The frames from `start` on, before `after`, by the decoder that paused closest before
        `start`.
        """
        if after is not None and start >= after:
            return
        with self._lock:
            nearest = max((place for place in self._paused if place <= start), default=None)
            decoder = decode_file(self.path) if nearest is None else self._paused.pop(nearest)
        for place, seconds, frame in decoder:
            if place >= start:
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
        self._lacks_times = lacks_times(container, stream)
        if self._index is not None and self._lacks_times:
            even = even_timing(len(self._index.shown), stated_rate(self.path))
            self._index = replace(self._index, timing=even)
        if self._index is not None:
            self._timing = self._index.timing

    def _decode_all(self, store: FrameStore | None = None) -> Timing:
        """Decode everything, put the frames that the store has chosen, and find out when all frames
        are shown.
        """
        wanted = set() if store is None else set(store.wanted.tolist())
        convert = Converter(self.path)
        seconds_of = []
        duration = 0.0
        for index, seconds, frame in decode_file(self.path):
            seconds_of.append(seconds)
            duration = float((frame.duration or 0) * (frame.time_base or 0))
            if store is not None and index in wanted:
                store.put(index, convert(frame))
        times = np.array(seconds_of)
        timing = Timing(times, end_of(times, duration))
        if self._lacks_times:
            timing = even_timing(len(times), stated_rate(self.path))
        self._timing = timing
        return timing


def shared_file(path: Path) -> VideoFile:
    """The same object for all parts of a file that are read in this process: the file is indexed
    once.
    """
    try:
        stat = path.stat()
    except OSError:
        return VideoFile(path)  # whose methods say why
    return _shared(path.absolute(), stat.st_size, stat.st_mtime_ns)


@lru_cache(32)  # an index of an hour has 2 MB
def _shared(path: Path, _size: int, _modified: int) -> VideoFile:
    return VideoFile(path)


# a thread that the child has not may hold a lock
os.register_at_fork(after_in_child=_shared.cache_clear)


class IndexContradictedError(Exception):
    """Decoding gave other frames than the packets announce."""


@dataclass(frozen=True)
class PacketIndex:
    """The packets of a file in decoding order.

    Args:
        pts: display time of each, in the stream's unit of time.
        keys: positions of the keyframes, where decoding can start.
        shown: positions of the frames in display order, without frames that the container's
            edit list cuts off.
        timing: when the shown frames are shown.
    """

    pts: NDArray[np.int64]
    keys: NDArray[np.int64]
    shown: NDArray[np.int64]
    timing: Timing

    def runs(self, places: Indices) -> list[range]:
        """The packets to decode for some frames: separate runs, each from a keyframe on."""
        stretches = []
        for position in self.shown[places].tolist():
            # A frame decoded after a keyframe but shown before it may refer to earlier frames (an
            # open group).
            before = int(np.searchsorted(self.keys, position, side="right")) - 1
            while before > 0 and self.pts[self.keys[before]] > self.pts[position]:
                before -= 1
            stretches.append((int(self.keys[before]), position + 1))
        runs: list[range] = []
        for start, stop in sorted(stretches):
            if runs and start <= runs[-1].stop:
                runs[-1] = range(runs[-1].start, max(stop, runs[-1].stop))
            else:
                runs.append(range(start, stop))
        return runs


def index_packets(container: InputContainer, stream: VideoStream) -> tuple[PacketIndex | None, int]:
    """The index, or None where the packets cannot be relied on, and the number of packets."""
    is_known = (
        container.format.name.startswith(_INDEXED_FORMATS) and stream.codec_context.name in _CODECS
    )
    reliable = is_known and has_display_times(container, stream)
    # few bytes per packet: there may be millions
    pts = array("q")
    key_marks = bytearray()
    hidden_marks = bytearray()
    duration = 0  # of the packet that was read last
    for packet in read_packets(container, stream):
        reliable = reliable and not packet.is_corrupt and packet.pts is not None
        pts.append(packet.pts or 0)
        key_marks.append(packet.is_keyframe)
        hidden_marks.append(packet.is_discard)
        duration = packet.duration or 0
    ticks = np.array(pts, np.int64)
    keys = np.array(key_marks, bool)
    hidden = np.array(hidden_marks, bool)
    shown = np.argsort(ticks, kind="stable")
    ascending = bool((np.diff(ticks[shown]) > 0).all()) and is_decoding_order(
        ticks, is_reordered=stream.codec_context.has_b_frames
    )
    if not (reliable and keys[:1].any() and not hidden.all() and ascending):
        return None, len(ticks)
    shown = shown[~hidden[shown]]
    unit = float(stream.time_base or 0)
    times = ticks[shown] * unit
    times -= start_of(container, times[0])
    # The last packet has the duration of the last frame only if its own frame is shown last.
    end = end_of(times, duration * unit if shown[-1] == len(ticks) - 1 else 0)
    return PacketIndex(ticks, np.flatnonzero(keys), shown, timing=Timing(times, end)), len(ticks)


def decode_indexed(
    container: InputContainer, stream: VideoStream, index: PacketIndex, *, store: FrameStore
) -> None:
    """Decode the frames that the store asks for; IndexContradictedError or FFmpegError where the
    index is wrong.
    """
    cores = free_cores()
    shares = [share for share in np.array_split(store.wanted, cores) if len(share)]
    # The longest share determines the time: if it is nearly all of the work, threads inside a
    # decoder are faster.
    longest = max(sum(map(len, index.runs(share))) for share in shares)
    if cores > 1 and longest < 0.8 * sum(map(len, index.runs(store.wanted))):

        def fill(share: Indices) -> None:
            with open_video(file_of(store.path)) as opened:
                _fill(*opened, index, places=share, store=store)

        # A decoder for each core is faster than one decoder with many threads.
        with ThreadPoolExecutor(cores) as pool:
            # each with the context of the caller: what a thread notes is shown
            filled = [pool.submit(copy_context().run, fill, share) for share in shares]
        for share in filled:
            share.result()  # its error
        return
    context = stream.codec_context
    if context.width * context.height >= THREADED_PIXELS or context.name in _THREADED_CODECS:
        context.thread_type = "AUTO"
        context.thread_count = cores
    _fill(container, stream, index, places=store.wanted, store=store)


def _fill(
    container: InputContainer,
    stream: VideoStream,
    index: PacketIndex,
    *,
    places: Indices,
    store: FrameStore,
) -> None:
    convert = Converter(store.path)
    for place, frame in decode_frames(container, stream, index, places=places):
        store.put(place, convert(frame))


def decode_frames(
    container: InputContainer, stream: VideoStream, index: PacketIndex, *, places: Indices
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames at `places`, ascending; IndexContradictedError where the index is wrong."""
    wanted = dict(zip(index.pts[index.shown[places]].tolist(), places.tolist(), strict=True))
    size = stream.codec_context.width, stream.codec_context.height
    last = index.pts.min() - 1
    for frame in decode_runs(container, stream, index, runs=index.runs(places), wanted=wanted):
        if frame.pts is None or frame.pts <= last:
            raise IndexContradictedError
        last = frame.pts
        if frame.pts in wanted:
            if frame.is_corrupt or (frame.width, frame.height) != size:
                raise IndexContradictedError
            yield wanted.pop(frame.pts), frame
    if wanted:
        raise IndexContradictedError


def decode_runs(
    container: InputContainer,
    stream: VideoStream,
    index: PacketIndex,
    *,
    runs: list[range],
    wanted: Container[int],
) -> Iterator[VideoFrame]:
    """The frames of each run, without some that are neither wanted nor referred to."""
    context = stream.codec_context
    skip: Literal["NONREF", "DEFAULT"] = "NONREF" if context.name in _SKIPPABLE else "DEFAULT"
    for run in runs:
        packets, start = _seek(container, stream, index, position=run.start)
        for position, packet in zip(run, islice(packets, run.start - start, None), strict=False):
            if packet.pts != index.pts[position]:
                raise IndexContradictedError
            context.skip_frame = "DEFAULT" if packet.pts in wanted else skip
            yield from context.decode(packet)
        yield from context.decode(None)
        context.flush_buffers()


def _seek(
    container: InputContainer, stream: VideoStream, index: PacketIndex, *, position: int
) -> tuple[Iterator["Packet[VideoStream]"], int]:
    """The packets from a keyframe on, or from an earlier one; and the position of the first."""
    rank = int(np.searchsorted(index.keys, position))
    for key in index.keys[max(rank - _EARLIER, 0) : rank + 1][::-1]:
        container.seek(int(index.pts[key]), stream=stream)
        packets = read_packets(container, stream)
        packet = next(packets, None)
        starts = [] if packet is None else index.keys[index.pts[index.keys] == packet.pts].tolist()
        if packet is None or not starts:
            raise IndexContradictedError
        if starts[0] <= position:
            return chain([packet], packets), starts[0]
    raise IndexContradictedError

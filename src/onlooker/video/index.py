"""Chosen frames of a video file, exactly those of decoding it from the start, with as little decoding as that takes.

A file is first demuxed without decoding: the times and keyframe marks of its packets list its frames. Then only what
the chosen frames depend on is decoded: from the keyframe before each, leaving out frames that no other refers to.
Whatever contradicts the list (an error, a missing frame, another size) sends the file the slow way: decode everything
with one thread, skip what is broken, count what comes out.
"""

import multiprocessing
import os
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.structures import Frames
from onlooker.video.container import opened
from onlooker.video.decode import Change, Choose, Collector, Converter, packets, pick_sequentially, shows_times

# Packets up to this many bytes stay in memory between listing and decoding; of larger files they are read again.
KEPT_BYTES = 64 << 20

# Smaller frames are decoded sooner than threads can be woken for them, but for codecs that take long for each.
THREADED_PIXELS = 640 * 360
_THREADED_CODECS = frozenset({"vp9"})

# One packet is one frame, and the container's index or the codec's headers mark the keyframes. (VP8 has invisible
# frames; a packet of a transport stream may be half a frame.)
_FORMATS = ("mov,mp4", "matroska", "avi", "gif")
_CODECS = frozenset(
    {"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "vp9", "libdav1d", "av1", "gif", "ffv1"}
)

# Frames that no other refers to leave no trace in these decoders. (In VP9 and AV1 they train the entropy coder, in
# HEVC a higher temporal layer may refer to them.)
_SKIPPABLE = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video"})


class _ContradictionError(Exception):
    """Decoding gave something else than the packets promised."""


@dataclass(frozen=True)
class _Listing:
    """The packets of a file in decoding order.

    Args:
        pts: when each is shown, in the stream's unit of time.
        key: whether decoding can start at it.
        hidden: whether its frame is cut off by the container's edit list.
        kept: the packets; None where they are more than is kept.
    """

    pts: NDArray[np.int64]
    key: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    kept: list["Packet[VideoStream]"] | None

    def shown(self) -> NDArray[np.int64]:
        """Positions of the frames in the order in which they are shown."""
        order = np.argsort(self.pts, kind="stable")
        return order[~self.hidden[order]]

    def runs(self, positions: NDArray[np.int64]) -> list[range]:
        """What must be decoded to see the frames at `positions`: separate stretches, each from a keyframe on."""
        keys = np.flatnonzero(self.key)
        stretches = []
        for position in positions.tolist():
            # A frame decoded after a keyframe but shown before it may refer to what came earlier (an open group).
            before = int(np.searchsorted(keys, position, side="right")) - 1
            while before > 0 and self.pts[keys[before]] > self.pts[position]:
                before -= 1
            stretches.append((int(keys[before]), position + 1))
        runs: list[range] = []
        for start, stop in sorted(stretches):
            if runs and start <= runs[-1].stop:
                runs[-1] = range(runs[-1].start, max(stop, runs[-1].stop))
            else:
                runs.append(range(start, stop))
        return runs


def pick(path: Path, choose: Choose, change: Change | None = None) -> Frames:
    """The frames of a video file that `choose` asks for, given the number of frames, each changed where asked.

    Raises:
        ClipError: naming the file, where nothing can be decoded from it.
    """
    with opened(path) as (container, stream):
        listing, count = _list(container, stream)
        if listing is not None:
            try:
                return _pick_listed(path, stream, listing, choose, change)
            except (_ContradictionError, av.error.FFmpegError):
                pass  # the list was wrong: only decoding everything tells
    return pick_sequentially(path, choose, count, change)


def _list(container: InputContainer, stream: VideoStream) -> tuple[_Listing | None, int]:
    """The listing, or None where it is not to be trusted, and the number of packets."""
    kept: list[Packet[VideoStream]] = []
    size, sound = 0, True
    pts: list[int | None] = []
    key: list[bool] = []
    hidden: list[bool] = []
    for packet in packets(container, stream):
        pts.append(packet.pts)
        key.append(packet.is_keyframe)
        hidden.append(packet.is_discard)
        sound = sound and not packet.is_corrupt
        size += packet.size
        if size <= KEPT_BYTES:
            kept.append(packet)
        elif kept:
            kept.clear()
    trusted = (
        sound
        and shows_times(container, stream)
        and container.format.name.startswith(_FORMATS)
        and stream.codec_context.name in _CODECS
        and any(key[:1])
        and not all(hidden)
        and None not in pts
        and len(set(pts)) == len(pts)
    )
    if not trusted:
        return None, len(pts)
    return _Listing(np.array(pts, np.int64), np.array(key), np.array(hidden), kept or None), len(pts)


def _pick_listed(path: Path, stream: VideoStream, listing: _Listing, choose: Choose, change: Change | None) -> Frames:
    shown = listing.shown()
    indices = choose(len(shown))
    unique = np.unique(indices)
    wanted = dict(zip(listing.pts[shown[unique]].tolist(), unique.tolist(), strict=True))
    collector = Collector(path, indices, change)
    runs = listing.runs(shown[unique])
    cores = _cores()
    shares = _shares(runs, cores) if runs else [[]]
    # The longest share is what is waited for: where one run is nearly all of it, threads inside a decoder do better.
    longest = max(sum(map(len, share)) for share in shares) / max(1, sum(map(len, runs)))
    if listing.kept is not None and cores > 1 and longest < 0.8:
        # Runs do not depend on each other: a decoder for each core beats one decoder with many threads.
        with ThreadPoolExecutor(cores) as pool:
            found = sum(pool.map(lambda share: _fill_alone(path, listing, share, wanted, collector), shares))
    else:
        context = stream.codec_context
        if context.width * context.height >= THREADED_PIXELS or context.name in _THREADED_CODECS:
            context.thread_type, context.thread_count = "AUTO", cores
        found = _fill(path, stream, listing, runs, wanted, collector)
    if found != len(wanted):
        raise _ContradictionError
    times = (listing.pts[shown] - listing.pts[shown[0]]) * float(stream.time_base or 0)
    return collector.frames(times)


def _cores() -> int:
    """How many to decode with: one in a worker process, which has siblings on the other cores."""
    if multiprocessing.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shares(runs: list[range], count: int) -> list[list[range]]:
    """The runs in `count` parts, in order, with about as many packets in each."""
    ends = np.cumsum([len(run) for run in runs])
    part = np.minimum((ends - 1) * count // ends[-1], count - 1)
    return [[run for run, of in zip(runs, part, strict=True) if of == number] for number in range(count)]


def _fill_alone(path: Path, listing: _Listing, runs: list[range], wanted: dict[int, int], collector: Collector) -> int:
    """`_fill` with a decoder of its own."""
    with opened(path) as (_, stream):
        return _fill(path, stream, listing, runs, wanted, collector)


def _fill(
    path: Path, stream: VideoStream, listing: _Listing, runs: list[range], wanted: dict[int, int], collector: Collector
) -> int:
    """Decode the runs, collect the frames whose times are `wanted` under their indices, return how many these are."""
    size = stream.codec_context.width, stream.codec_context.height
    convert, last, found = Converter(), listing.pts.min() - 1, 0
    for frame in _decode(path, stream, listing, runs, wanted):
        if frame.pts is None or frame.pts <= last:
            raise _ContradictionError
        last = frame.pts
        if frame.pts in wanted:
            if frame.is_corrupt or (frame.width, frame.height) != size:
                raise _ContradictionError
            collector.put(wanted[frame.pts], convert(frame))
            found += 1
    return found


def _decode(
    path: Path, stream: VideoStream, listing: _Listing, runs: list[range], wanted: Container[int]
) -> Iterator[VideoFrame]:
    """The frames of each run, without some that are neither wanted nor referred to."""
    context = stream.codec_context
    skip: Literal["NONREF", "DEFAULT"] = "NONREF" if context.name in _SKIPPABLE else "DEFAULT"
    for run in _stretches(path, listing, runs):
        for packet in run:
            context.skip_frame = "DEFAULT" if packet.pts in wanted else skip
            yield from context.decode(packet)
        yield from context.decode(None)
        context.flush_buffers()


def _stretches(path: Path, listing: _Listing, runs: list[range]) -> Iterator[Iterable["Packet[VideoStream]"]]:
    """The packets of each run. Each must be used up before the next is asked for."""
    if listing.kept is not None:
        yield from (listing.kept[run.start : run.stop] for run in runs)
        return
    with opened(path) as (container, stream):
        again, at = packets(container, stream), 0
        for run in runs:
            yield islice(again, run.start - at, run.stop - at)
            at = run.stop

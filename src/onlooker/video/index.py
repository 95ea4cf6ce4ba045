"""Random access to the frames of a video file: exactly those of sequential decoding, with little decoding.

A file is first demuxed without decoding: the times and keyframe flags of its packets give an index of its frames. Then
only what the wanted frames depend on is decoded: from the keyframe before each, without frames that no other refers to.
Whatever contradicts the index (an error, a missing frame, another size) makes the reader decode the whole file instead:
with one thread, skipping broken packets, counting what comes out.
"""

from array import array
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.intervals import file_of
from onlooker.processes import free_cores
from onlooker.video.container import open_video
from onlooker.video.decode import Converter, FrameStore, end_of, has_display_times, read_packets, start_of
from onlooker.video.sampling import Timing

_EARLIER = 3  # keyframes before a run to which reading may have to seek, because demuxers seek by different times

# Smaller frames are decoded faster than threads can be woken for them, except by codecs that are slow per frame.
THREADED_PIXELS = 640 * 360
_THREADED_CODECS = frozenset({"vp9"})

# Here one packet is one frame, and the container's index or the codec's headers mark the keyframes. (VP8 has invisible
# frames; a packet of a transport stream may be half a frame.)
_FORMATS = ("mov,mp4", "matroska", "avi", "gif")
_CODECS = frozenset(
    {"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "vp9", "libdav1d", "av1", "gif", "ffv1"}
)

# In these decoders, frames that no other frame refers to can be skipped without an effect on other frames. (In VP9 and
# AV1 they train the entropy coder, in HEVC a higher temporal layer may refer to them.)
_SKIPPABLE = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video"})


class IndexContradictedError(Exception):
    """Decoding gave something else than the packets promised."""


@dataclass(frozen=True)
class PacketIndex:
    """The packets of a file in decoding order.

    Args:
        pts: display time of each, in the stream's unit of time.
        keys: positions of the keyframes, at which decoding can start.
        shown: positions of the frames in display order, without those that the container's edit list cuts off.
        timing: when the shown frames are shown.
    """

    pts: NDArray[np.int64]
    keys: NDArray[np.int64]
    shown: NDArray[np.int64]
    timing: Timing

    def runs(self, positions: NDArray[np.int64]) -> list[range]:
        """The packets to decode for the frames at `positions`: separate runs, each from a keyframe on."""
        stretches = []
        for position in positions.tolist():
            # A frame decoded after a keyframe but shown before it may refer to earlier frames (an open group).
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
    reliable = has_display_times(container, stream) and container.format.name.startswith(_FORMATS)
    reliable = reliable and stream.codec_context.name in _CODECS
    pts, key_marks, hidden_marks = array("q"), bytearray(), bytearray()  # few bytes per packet: there may be millions
    duration = 0  # of the packet that was read last
    for packet in read_packets(container, stream):
        reliable = reliable and not packet.is_corrupt and packet.pts is not None
        pts.append(packet.pts or 0)
        key_marks.append(packet.is_keyframe)
        hidden_marks.append(packet.is_discard)
        duration = packet.duration or 0
    ticks, keys, hidden = np.array(pts, np.int64), np.array(key_marks, bool), np.array(hidden_marks, bool)
    shown = np.argsort(ticks, kind="stable")
    if not (reliable and keys[:1].any() and not hidden.all() and (np.diff(ticks[shown]) > 0).all()):
        return None, len(ticks)
    shown = shown[~hidden[shown]]
    unit = float(stream.time_base or 0)
    times = ticks[shown] * unit
    times -= start_of(container, times[0])
    # Only in decoding order are the durations of packets those of frames: the last one shown may not be the last one.
    end = end_of(times, duration * unit if shown[-1] == len(ticks) - 1 else 0)
    return PacketIndex(ticks, np.flatnonzero(keys), shown, Timing(times, end)), len(ticks)


def decode_indexed(container: InputContainer, stream: VideoStream, index: PacketIndex, store: FrameStore) -> None:
    """Decode the frames that the store asks for; IndexContradictedError or FFmpegError where the index is wrong."""
    runs, cores = index.runs(index.shown[store.wanted]), free_cores()
    shares = [runs[first::cores] for first in range(min(cores, len(runs)))]
    # The longest share determines the time: if one run is nearly all of the work, threads inside a decoder are faster.
    longest = max(sum(map(len, share)) for share in shares) / sum(map(len, runs))
    if cores > 1 and longest < 0.8:

        def fill(share: list[range]) -> int:
            with open_video(file_of(store.path)) as opened:
                return _fill(*opened, index, share, store)

        # Runs are independent: a decoder for each core is faster than one decoder with many threads.
        with ThreadPoolExecutor(cores) as pool:
            count = sum(pool.map(fill, shares))
    else:
        context = stream.codec_context
        if context.width * context.height >= THREADED_PIXELS or context.name in _THREADED_CODECS:
            context.thread_type, context.thread_count = "AUTO", cores
        count = _fill(container, stream, index, runs, store)
    if count != len(store.wanted):
        raise IndexContradictedError


def _fill(
    container: InputContainer, stream: VideoStream, index: PacketIndex, runs: list[range], store: FrameStore
) -> int:
    """Decode the runs, put the frames that the store asks for, and return how many these are."""
    convert, count = Converter(store.path), 0
    for place, frame in decode_frames(container, stream, index, runs, store.wanted):
        store.put(place, convert(frame))
        count += 1
    return count


def decode_frames(
    container: InputContainer, stream: VideoStream, index: PacketIndex, runs: list[range], places: NDArray[np.int64]
) -> Iterator[tuple[int, VideoFrame]]:
    """Those frames of the runs that are among `places`, ascending; IndexContradictedError where the index is wrong."""
    wanted = dict(zip(index.pts[index.shown[places]].tolist(), places.tolist(), strict=True))
    size, last = (stream.codec_context.width, stream.codec_context.height), index.pts.min() - 1
    for frame in decode_runs(container, stream, index, runs, wanted):
        if frame.pts is None or frame.pts <= last:
            raise IndexContradictedError
        last = frame.pts
        if frame.pts in wanted:
            if frame.is_corrupt or (frame.width, frame.height) != size:
                raise IndexContradictedError
            yield wanted[frame.pts], frame


def decode_runs(
    container: InputContainer, stream: VideoStream, index: PacketIndex, runs: list[range], wanted: Container[int]
) -> Iterator[VideoFrame]:
    """The frames of each run, without some that are neither wanted nor referred to."""
    context = stream.codec_context
    skip: Literal["NONREF", "DEFAULT"] = "NONREF" if context.name in _SKIPPABLE else "DEFAULT"
    for run, packets in zip(runs, _packets(container, stream, index, runs), strict=True):
        for position, packet in zip(run, packets, strict=False):
            if packet.pts != index.pts[position]:
                raise IndexContradictedError
            context.skip_frame = "DEFAULT" if packet.pts in wanted else skip
            yield from context.decode(packet)
        yield from context.decode(None)
        context.flush_buffers()


def _packets(
    container: InputContainer, stream: VideoStream, index: PacketIndex, runs: list[range]
) -> Iterator[Iterator["Packet[VideoStream]"]]:
    """The packets of each run; reading seeks to the first one, if the file can be seeked in."""
    at, seeks = 0, True
    packets: Iterator[Packet[VideoStream]] = iter(())
    for run in runs:
        if seeks:
            packets, start = _seek(container, stream, index, run.start)
            at, seeks = start, start >= at  # else every seek ends at the same packet: go on from there
        yield islice(packets, run.start - at, run.stop - at)
        at = run.stop


def _seek(
    container: InputContainer, stream: VideoStream, index: PacketIndex, position: int
) -> tuple[Iterator["Packet[VideoStream]"], int]:
    """The packets from a keyframe on, or from an earlier one; and the position of the first."""
    rank = int(np.searchsorted(index.keys, position))
    for key in index.keys[max(rank - _EARLIER, 0) : rank + 1][::-1]:
        container.seek(int(index.pts[key]), stream=stream)
        packets = read_packets(container, stream)
        first = next(packets, None)
        starts = [] if first is None else index.keys[index.pts[index.keys] == first.pts].tolist()
        if first is None or not starts:
            raise IndexContradictedError
        if starts[0] <= position:
            return chain([first], packets), starts[0]
    raise IndexContradictedError

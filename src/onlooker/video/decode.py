"""All frames of an open video file in turn, as upright RGB with their times; broken packets are
skipped.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.base.intervals import Times, file_of
from onlooker.base.records import ClipError, Frames
from onlooker.video.bits import SAMPLED, WIDE, Values, bits_of, to_bytes
from onlooker.video.clock import RAW, FileClock
from onlooker.video.container import MAX_SIDE, REENCODE, check_size, error_text, open_video
from onlooker.video.rates import HIGHEST, RATE, is_possible, stated_rate
from onlooker.video.resize import Pixels, resize, shrink
from onlooker.video.sampling import Indices, Sampling, Timing

MAX_BYTES = 4 << 30  # of all frames that one call returns
# packets in a row that cannot be decoded, after which the rest is given up: an hour of video
MAX_BROKEN = 100_000
# Color matrices that FFmpeg converts, by their numbers in ITU-T H.273. It refuses frames with other
# matrices, so these are treated as unspecified.
_UNSPECIFIED = 2
_MATRICES = frozenset({0, 1, _UNSPECIFIED, 4, 5, 6, 7, 9})
# Pixel formats of 16 bits without their byte order, and the formats that they are read as.
_WIDE = {
    **dict.fromkeys(("gray16", "ya16"), "gray16le"),
    **dict.fromkeys(("rgb48", "bgr48", "rgba64", "bgra64", "gbrp16", "gbrap16"), "rgb48le"),
}
_MIN_RATED_FRAMES = 3  # fewer have no frame rate: the distance of two may be anything

Which = Sampling | Sequence[int] | Indices  # frames: chosen by a sampling, or by their indices


class Converter:
    """Converts decoded frames to upright RGB in the size of the first frame; errors name the file
    or address.

    Args:
        name: the path of a file, or the address of a live source. The bit depth of 16-bit frames
            is found from the whole file, or from the frames of the source so far.
        max_side: larger frames are scaled down to this length of their longer side, with their
            aspect ratio.
    """

    def __init__(self, name: Path | str, max_side: int | None = None) -> None:
        self.name = name
        self._max_side = max_side
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._live_bits = 0

    def __call__(self, frame: VideoFrame) -> Pixels:
        """`H W 3`; a frame of another size is scaled to the size of the first. A ClipError if it
        cannot be converted.
        """
        width, height = self._size = self._size or self._fitted(frame.width, frame.height)
        if frame.colorspace not in _MATRICES:
            frame.colorspace = _UNSPECIFIED
        wide = _WIDE.get(frame.format.name[:-2])
        try:
            converted = self._reformatter.reformat(frame, width, height, wide or "rgb24", threads=1)
            values = _values(converted) if wide else None
            rgb = converted.to_ndarray() if values is None else to_bytes(values, self._bits(values))
        except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
            what = f"a frame ({frame.format.name}, {width}x{height}) cannot be converted to RGB ({error_text(error)})"
            raise ClipError(self.name, what, REENCODE) from error
        transposed, right, down = orientation(frame)
        upright = rgb.swapaxes(0, 1) if transposed else rgb
        return np.ascontiguousarray(upright[::down, ::right])

    def _bits(self, values: Values) -> int:
        """The bit depth of the source, given the values of one of its frames."""
        if isinstance(self.name, Path):
            file = file_of(self.name)
            return _bits_of_file(file, file.stat().st_mtime_ns)
        self._live_bits = max(self._live_bits, bits_of(values))
        return self._live_bits

    def _fitted(self, width: int, height: int) -> tuple[int, int]:
        scale = min(1.0, (self._max_side or MAX_SIDE) / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))


@lru_cache(64)  # readers of parts, and threads, ask for the same file
def _bits_of_file(path: Path, _modified: int) -> int:
    """The bit depth of a file with frames of 16 bits, from equally spaced frames."""
    bits = 0
    unseekable = av.error.FFmpegError, OverflowError
    with open_video(path) as (container, stream), suppress(*unseekable):
        start = container.start_time or 0  # as the duration and the moments, in 1 / av.time_base s
        for part in range(SAMPLED):
            moment = start + (container.duration or 0) * part // SAMPLED
            if part:
                container.seek(moment)  # to the keyframe before
            for frame in decode_packets(path, stream, read_packets(container, stream)):
                if wide := _WIDE.get(frame.format.name[:-2]):
                    bits = max(bits, bits_of(_values(frame.reformat(format=wide))))
                if frame.time is None or frame.time * av.time_base >= moment:
                    break
    return bits or WIDE


def _values(frame: VideoFrame) -> Values:
    return frame.to_ndarray().astype(np.uint16, copy=False)


def orientation(frame: VideoFrame) -> tuple[bool, int, int]:
    """How a frame is shown, by its display matrix: one of eight orientations; other angles are
    rounded.

    Returns:
        Whether rows become columns; then -1 where the frame is mirrored horizontally, else 1; and
        the same vertically.
    """
    # Not `frame.side_data`: it is in a cycle with the frame, whose memory only the garbage
    # collector would free.
    container: Any = SideDataContainer  # whose annotations lack its argument and its keys
    matrix = container(frame).get(Type.DISPLAYMATRIX)
    if matrix is None:
        return False, 1, 1
    # x y are shown at ax + cy, bx + dy
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    right, down = (c, b) if transposed else (a, d)
    return transposed, -1 if right < 0 else 1, -1 if down < 0 else 1


def lacks_times(container: InputContainer, stream: VideoStream, *, is_live: bool = False) -> bool:
    """Whether neither timestamps nor the codec state a frame rate, or they state more frames than
    any camera takes. The rate of a live stream is estimated from its first frames, and is not
    judged; timestamps that are far apart are believed.
    """
    if container.format.name in RAW:
        return not is_possible(float(stream.codec_context.framerate or 0))
    # IVF states a rate as the unit of its stamps. Elsewhere, the base rate may be the unit of time of
    # the codec, which is far shorter than the frames of variable rates.
    unit_rate = stream.base_rate if container.format.name == "ivf" else None
    rate = float(stream.average_rate or unit_rate or 0)
    return not is_live and rate > HIGHEST and not 0 < stream.frames < _MIN_RATED_FRAMES


def end_of(times: NDArray[np.float64], duration: float) -> float:
    """When the last frame ends, in seconds.

    Args:
        duration: of the last frame; 0: unknown, the 10 % quantile of the other frames is used.
    """
    if duration <= 0:
        duration = (
            float(np.quantile(np.diff(times), 0.1, method="lower")) if len(times) > 1 else 1 / RATE
        )
    return float(times[-1]) + duration


class FrameStore:
    """Chooses frames of a video, and collects them one by one, resized on arrival, within the
    memory limit of a call.

    Args:
        path: names the video in errors.
        interval: seconds: frames from the first time on and before the second; None: all frames.
        which, size, shorter_side: see `VideoReader.get`.
    """

    def __init__(
        self,
        path: Path,
        interval: Times | None,
        which: Which,
        *,
        size: int | None,
        shorter_side: int | None,
    ) -> None:
        self.path = path
        self.size = size
        self.shorter_side = shorter_side
        self.frame_size = (0, 0)
        self._interval = interval
        self._which = which
        self._frames: dict[int, Pixels] = {}

    def choose(self, timing: Timing, is_guess: bool = False) -> Indices:
        """The frames of a file that are to be put, ascending. Indices are not checked if
        the timing is a guess.

        Raises:
            ClipError, IndexError, ValueError: as `VideoReader.get`.
        """
        if is_guess:  # frames that were put before may be others, and fill the memory
            self._frames.clear()
        timing, self._first = timing.part(self._interval, self.path)
        if callable(self._which):
            shown, moments = timing.moments()
            sampled = self._which(len(moments))
            self._indices = shown[sampled]
            self._times = moments[sampled]
        else:
            self._indices = np.asarray(self._which, np.int64)
            self._times = np.take(timing.times, self._indices, mode="clip")
        self.wanted = np.unique(self._indices)
        if not len(self.wanted):
            raise ValueError("no frame indices, expected at least one")
        last = len(timing.times) - 1
        if not is_guess and (self.wanted[0] < 0 or self.wanted[-1] > last):
            wrong = self.wanted[0] if self.wanted[0] < 0 else self.wanted[-1]
            raise IndexError(f"{self.path}: frame {wrong} asked for, expected 0 to {last}")
        self.wanted += self._first
        return self.wanted

    def put(self, index: int, frame: Pixels) -> None:
        """Keep frame `index` of the file, `H W 3`. Thread-safe."""
        small = (
            resize(frame[None], self.size, 3)[0] if self.size else shrink(frame, self.shorter_side)
        )
        T = len(self._indices)
        H, W = small.shape[:2]
        if (total := small.nbytes * T) > MAX_BYTES:
            what = f"{T} frames of {W}x{H} pixels are {total / 1e9:.1f} GB"
            raise ClipError(
                self.path, what, f"at most {MAX_BYTES / 1e9:.1f} GB are read at once: scale it down"
            )
        self.frame_size = (frame.shape[0], frame.shape[1])
        self._frames[index] = small

    def frames(self) -> Frames:
        """The frames, with indices and times in the interval; a ClipError unless all have been put."""
        try:
            pixels = np.stack(
                [self._frames[index + self._first] for index in self._indices.tolist()]
            )
        except KeyError as error:
            raise ClipError(
                self.path, "another number of frames each time it is decoded", REENCODE
            ) from error
        return Frames(pixels, self._times, self._indices)


def read_packets(container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream]"]:
    """Packets with data, until the end or until the file cannot be read further."""
    try:
        for packet in container.demux(stream):
            # An empty packet would tell the decoder that the video ends.
            if packet.size:
                yield packet
    except (av.error.FFmpegError, OSError, IndexError):
        # Truncated: use what was read. IndexError: PyAV, for a stream that the header did not
        # announce.
        return


def decode_packets(
    path: Path | str, stream: VideoStream, packets: Iterable["Packet[VideoStream] | None"]
) -> Iterator[VideoFrame]:
    """The frames in packets; packets that cannot be decoded are skipped. None flushes the decoder."""
    broken = 0
    for packet in packets:
        try:
            frames = stream.codec_context.decode(packet)
            broken = 0
        except av.error.FFmpegError:
            if (broken := broken + 1) == MAX_BROKEN:
                return
            continue  # a broken packet: the next may decode
        for frame in frames:
            check_size(path, frame.width, frame.height)
            yield frame


def decode_file(path: Path) -> Iterator[tuple[int, float, VideoFrame]]:
    """All frames of a file that can be decoded, in display order: index, seconds (`base.records`),
    frame.

    Times always ascend (`FileClock`).

    Raises:
        ClipError: the file cannot be opened, or has no such frames.
    """
    with open_video(path) as (container, stream):
        clock = FileClock(container, stream)
        even = (stated_rate(path) or RATE) if lacks_times(container, stream) else None
        index = -1
        packets = clock.reading(read_packets(container, stream))
        for index, frame in enumerate(decode_packets(path, stream, chain(packets, [None]))):
            seconds = clock(frame)
            yield index, index / even if even else seconds, frame
    if index < 0:
        raise ClipError(path, "no frame could be decoded", REENCODE)

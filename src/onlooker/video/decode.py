"""All frames of an open video file in turn, as upright RGB with their times; broken packets are skipped."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.structures import ClipError
from onlooker.video.container import check_size, open_video
from onlooker.video.resize import resize, shrink

Pixels = NDArray[np.uint8]

MAX_BYTES = 4 << 30  # of all frames that one call returns
_RATE = 25.0  # frames per second, assumed where a file does not say


class Converter:
    """Decoded frames to upright RGB of one size: that of the first."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> Pixels:
        """`H W 3`; a frame of another size is scaled to that of the first."""
        width, height = self._size = self._size or (frame.width, frame.height)
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
        # Counter-clockwise, as the display matrix says; other angles are rounded to a multiple of 90 degrees.
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


class FrameClock:
    """Seconds since the first frame, always ascending, from timestamps that may be missing or run backwards."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._reliable = has_display_times(container, stream)
        self._unit = float(stream.time_base or 0)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._step = 1 / rate if rate > 0 else 1 / _RATE
        self._origin: int | None = None
        self._last: float | None = None

    def __call__(self, pts: int | None) -> float:
        """The time of the next frame; one frame duration after the previous one where its timestamp is unusable."""
        if self._last is None:
            self._origin, self._last = pts, 0.0
            return 0.0
        time = self._last
        if self._reliable and pts is not None and self._origin is not None:
            time = (pts - self._origin) * self._unit
        self._last = time if time > self._last else self._last + self._step
        return self._last


class FrameStore:
    """Collects frames one by one, resized on arrival, within the memory limit of a call.

    Args:
        path: the clip, for errors.
        indices: `T` frames to collect, in any order, with any repetition.
        size, shorter_side: see `VideoReader.get`.
    """

    def __init__(
        self, path: Path, indices: NDArray[np.int64], size: int | None = None, shorter_side: int | None = None
    ) -> None:
        self.indices, self.unique = indices, np.unique(indices)
        self.frame_size: tuple[int, int] | None = None  # before resizing
        self._path, self._size, self._shorter_side = path, size, shorter_side
        self._pixels: Pixels | None = None
        self._lock = Lock()

    def put(self, index: int, frame: Pixels) -> None:
        """Keep frame `index`, `H W 3`. Thread-safe."""
        small = resize(frame[None], self._size, 3)[0] if self._size else shrink(frame, self._shorter_side)
        with self._lock:
            if self._pixels is None:
                self.frame_size = frame.shape[0], frame.shape[1]
                self._pixels = self._allocate(small)
            pixels = self._pixels
        pixels[np.searchsorted(self.unique, index)] = small

    def pixels(self) -> Pixels:
        """`T H W 3`, in the order of `indices`, all of which must have been put."""
        assert self._pixels is not None
        if np.array_equal(self.indices, self.unique):
            return self._pixels
        return self._pixels[np.searchsorted(self.unique, self.indices)]

    def _allocate(self, first: Pixels) -> Pixels:
        T, (H, W) = len(self.indices), first.shape[:2]
        if (total := first.nbytes * T) > MAX_BYTES:
            what = f"{T} frames of {W}x{H} pixels are {total / 1e9:.1f} GB"
            raise ClipError(self._path, what, f"at most {MAX_BYTES / 1e9:.1f} GB are read at once: scale it down")
        return np.empty((len(self.unique), *first.shape), np.uint8)


def read_packets(container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream]"]:
    """Packets with data, until the end or until the file cannot be read further."""
    try:
        for packet in container.demux(stream):
            # An empty packet would tell the decoder that the video ends.
            if packet.size:
                yield packet
    except (av.error.FFmpegError, OSError):
        return  # truncated: use what was read
    except IndexError:
        return  # raised by PyAV after the last packet when a stream appears that the header did not announce


def has_display_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether packet timestamps are display times. AVI stores only the decoding order."""
    reordered = stream.codec_context.has_b_frames or stream.codec_context.name in ("h264", "hevc")
    return not (container.format.name == "avi" and reordered)


def decode_packets(
    path: Path | str, stream: VideoStream, packets: Iterable["Packet[VideoStream] | None"]
) -> Iterator[VideoFrame]:
    """The frames in packets; packets that cannot be decoded are skipped. None flushes the decoder.

    Raises:
        ClipError: a frame larger than any camera's.
    """
    for packet in packets:
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            continue  # a broken packet: the next may decode
        for frame in frames:
            check_size(path, frame.width, frame.height)
            yield frame


def decode_frames(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames that can be decoded, in display order."""
    yield from decode_packets(path, stream, read_packets(container, stream))
    yield from decode_packets(path, stream, [None])


def decode_file(path: Path, store: FrameStore | None = None) -> NDArray[np.float64]:
    """Decode a whole file and keep the frames that the store asks for: the times of all frames.

    Raises:
        ClipError: the file cannot be opened.
    """
    wanted = set() if store is None else set(store.indices.tolist())
    with open_video(path) as (container, stream):
        convert, clock, times = Converter(), FrameClock(container, stream), []
        for index, frame in enumerate(decode_frames(path, container, stream)):
            times.append(clock(frame.pts))
            if store is not None and index in wanted:
                store.put(index, convert(frame))
    return np.array(times)

"""Every frame of an open video file in turn, whatever is broken on the way, as upright RGB with its time."""

from collections.abc import Callable, Iterable, Iterator
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

from onlooker.structures import ClipError, Frames
from onlooker.video.container import REENCODE, check_size, opened

Choose = Callable[[int], NDArray[np.int64]]  # from the number of frames in a video to the indices wanted

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]  # of one frame, `H W 3`, before it is kept

MAX_BYTES = 4 << 30  # of all the frames that one call returns
_RATE = 25.0  # frames a second, assumed where a file does not say


class Converter:
    """Decoded frames to upright RGB of one size: that of the first."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """`H W 3`. A frame of another size than the first is scaled to that."""
        width, height = self._size = self._size or (frame.width, frame.height)
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
        # Counter-clockwise, as the file's display matrix asks; angles between are rounded.
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


class Clock:
    """Seconds since the first frame, from timestamps that may be missing or run backwards."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._trusted = shows_times(container, stream)
        self._unit = float(stream.time_base or 0)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._step = 1 / rate if rate > 0 else 1 / _RATE
        self._origin: int | None = None
        self._last: float | None = None

    def __call__(self, pts: int | None) -> float:
        """The time of the next frame: one frame's duration after the one before where its timestamp cannot be."""
        if self._last is None:
            self._origin, self._last = pts, 0.0
            return 0.0
        time = self._last
        if self._trusted and pts is not None and self._origin is not None:
            time = (pts - self._origin) * self._unit
        self._last = time if time > self._last else self._last + self._step
        return self._last


class Collector:
    """Gathers converted frames one by one, changed where asked, within the memory that a call may take."""

    def __init__(self, path: Path, indices: NDArray[np.int64], change: Change | None = None) -> None:
        self._path, self._indices, self._unique, self._change = path, indices, np.unique(indices), change
        self._pixels: NDArray[np.uint8] | None = None
        self._lock = Lock()

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Keep the pixels, `H W 3`, of the frame `index`. Threads may call this at once."""
        pixels = self._change(pixels) if self._change else pixels
        with self._lock:
            store = self._pixels = self._pixels if self._pixels is not None else self._room(pixels)
        store[np.searchsorted(self._unique, index)] = pixels

    def _room(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if (size := pixels.nbytes * len(self._indices)) > MAX_BYTES:
            found = f"{len(self._indices)} frames of {pixels.shape[1]}x{pixels.shape[0]} pixels are {size / 1e9:.1f} GB"
            raise ClipError(self._path, found, f"at most {MAX_BYTES / 1e9:.1f} GB are read at once: scale it down")
        return np.empty((len(self._unique), *pixels.shape), np.uint8)

    def frames(self, times: NDArray[np.float64]) -> Frames:
        """The frames in the order asked for; `times` are those of the whole video."""
        if self._pixels is None:
            raise nothing(self._path)
        pixels = self._pixels
        if not np.array_equal(self._indices, self._unique):
            pixels = pixels[np.searchsorted(self._unique, self._indices)]
        return Frames(pixels, times[self._indices], self._indices)


def nothing(path: Path) -> ClipError:
    """The error for a video of which no frame could be decoded."""
    return ClipError(path, "no frame could be decoded", REENCODE)


def packets(container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream]"]:
    """Packets with something in them, until the end or until the file cannot be read further."""
    try:
        for packet in container.demux(stream):
            # An empty packet would tell the decoder that the video ends.
            if packet.size:
                yield packet
    except (av.error.FFmpegError, OSError):
        return  # truncated: what came is what there is
    except IndexError:
        return  # PyAV's own, after the last packet, where a stream turned up that the header had not announced


def shows_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the packets' times are those at which frames are shown. AVI stores only the order of decoding."""
    reordered = stream.codec_context.has_b_frames or stream.codec_context.name in ("h264", "hevc")
    return not (container.format.name == "avi" and reordered)


def decoded(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames that can be decoded, in the order in which they are shown."""
    yield from decode_packets(path, stream, _until_end(container, stream))


def decode_packets(
    path: Path | str, stream: VideoStream, packets: Iterable["Packet[VideoStream] | None"]
) -> Iterator[VideoFrame]:
    """The frames that packets hold, without those of packets that cannot be decoded; None asks for what is held back.

    Raises:
        ClipError: a frame of a size that no camera has.
    """
    for packet in packets:
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            continue  # a broken packet: the next may decode
        for frame in frames:
            check_size(path, frame.width, frame.height)
            yield frame


def _until_end(container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream] | None"]:
    yield from packets(container, stream)
    yield None  # asks the decoder for the frames that it still holds


def pick_sequentially(path: Path, choose: Choose, guess: int, change: Change | None = None) -> Frames:
    """The chosen frames by decoding everything: for files whose packets do not tell what will come out of them.

    Args:
        path: the file.
        choose: from the number of frames to the indices wanted.
        guess: the number of frames to expect. Where it is wrong the file is decoded a second time.
        change: what is done to each frame before it is kept.

    Raises:
        ClipError: if no frame can be decoded.
    """
    for _ in range(2):
        indices = choose(guess) if guess else np.zeros(0, np.int64)
        wanted = set(indices.tolist())
        collector = Collector(path, indices, change)
        times = []
        with opened(path) as (container, stream):
            convert, clock = Converter(), Clock(container, stream)
            for index, frame in enumerate(decoded(path, container, stream)):
                times.append(clock(frame.pts))
                if index in wanted:
                    collector.put(index, convert(frame))
        if not times:
            raise nothing(path)
        if len(times) == guess:
            return collector.frames(np.array(times))
        guess = len(times)
    raise ClipError(path, "another number of frames each time that it is decoded", REENCODE)

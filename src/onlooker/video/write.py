"""Writing frames as a video that every browser plays (H.264 mp4), for overlays and reports."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from onlooker.files import explain_write_errors, short_name
from onlooker.video.resize import Pixels

__all__ = ["Recording", "write"]

_OPTIONS = {"preset": "veryfast", "crf": "20"}  # hardly visible compression
# For a recording: each frame is written when the next one arrives. Without a trailer, which would index all frames and
# grow in memory with the recording.
_PIECES = {"movflags": "+frag_every_frame+empty_moov+default_base_moof+skip_trailer", "flush_packets": "1"}
_SEEKABLE = {"movflags": "+faststart"}
_KEY_FRAMES = 30  # maximum distance between keyframes of a seekable file, in frames
_RECORD_AGAIN = "what it holds can be played; free some space, and run the same command again for a new one"
_CLOCK = 60_000  # ticks per second; MPEG-4 part 2 allows at most 65,535


def write(path: Path | str, frames: Pixels | Iterable[Pixels], fps: float = 25, times: Sequence[float] = ()) -> Path:
    """Write frames as an H.264 mp4. An existing file is replaced once everything is written.

    H.264 with 4:2:0 color needs even sides: an odd width or height is padded by repeating its last column or row.

    Args:
        path: the file, .mp4. Missing folders are created.
        frames: `T H W 3`, or an iterable of `H W 3` (then in constant memory); RGB uint8, all of one size.
        fps: frames per second; with `times`, only the last frame is shown for 1 / fps.
        times: `T` seconds from the start of the file, ascending: when each frame is shown; (): at `fps`.

    Raises:
        ValueError: another suffix, frames of another shape, type or size than the first, or no frames.
        DiskFullError, NotWritableError: there is no space for it, or the folder cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path}: cannot write {path.suffix or 'a name without suffix'}, expected .mp4")
    images = _images(frames)
    first = next(images, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write, expected at least one")
    temporary = path.with_name(f".{short_name(path.name)}.part")
    with explain_write_errors("this video", path.parent, path=path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with av.open(f"file:{temporary}", "w", format="mp4", options=_SEEKABLE) as container:
                stream = _add_stream(container, first, Fraction(fps).limit_denominator(1001 * 60), _OPTIONS)
                if times:
                    stream.codec_context.time_base = Fraction(1, _CLOCK)
                for place, image in enumerate(chain([first], images)):
                    if times:
                        image.pts = round(_CLOCK * times[place])
                        image.time_base = Fraction(1, _CLOCK)
                    container.mux(stream.encode(image))
                container.mux(stream.encode(None))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


class Recording(AbstractContextManager["Recording"]):
    """An mp4 that grows frame by frame, each with its own time, as from a live stream; in constant memory.

    It can be played while it grows and after a crash, except for the last frame.

    Args:
        path: the file, .mp4. Missing folders are created; an existing file is not replaced.
        seekable: index the frames, so that a browser can seek in the file; it can be played once it is closed.

    Raises:
        FileExistsError: the file exists.
        DiskFullError, NotWritableError: it cannot be written, also when a frame is added or at the end; what it holds
            until then can be played.
    """

    def __init__(self, path: Path | str, seekable: bool = False) -> None:
        self.path, self._seekable = Path(path), seekable
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(exist_ok=False)
            options = _SEEKABLE if seekable else _PIECES
            self._container = av.open(f"file:{self.path}", "w", format="mp4", options=options)
        self._stream: VideoStream | None = None
        self._ticks = -1

    def add(self, frame: Pixels, seconds: float) -> None:
        """Add a frame `H W 3`, shown from `seconds` on, or right after the last frame if that is not earlier.

        A frame of another size than the first is scaled to that size.
        """
        (image,) = _images([frame])
        if self._stream is None:
            more = {"g": str(_KEY_FRAMES)} if self._seekable else {"tune": "zerolatency"}
            self._stream = _add_stream(self._container, image, Fraction(25), _OPTIONS | more)
            self._stream.codec_context.time_base = Fraction(1, _CLOCK)
        self._ticks = max(round(seconds * _CLOCK), self._ticks + 1)
        image.pts, image.time_base = self._ticks, Fraction(1, _CLOCK)
        size = self._stream.width, self._stream.height
        with self._explained():
            self._container.mux(self._stream.encode(image.reformat(*size, format="yuv420p")))

    def close(self) -> None:
        """Finish the file."""
        stream, self._stream = self._stream, None
        with self._explained(), self._container:
            if stream is not None:
                self._container.mux(stream.encode(None))

    def _explained(self) -> AbstractContextManager[None]:
        return explain_write_errors("this recording", self.path.parent, _RECORD_AGAIN, path=self.path)

    def __exit__(self, *_: object) -> None:
        self.close()


def encode_mp4(frames: Pixels | Iterable[Pixels], fps: float) -> bytes:
    """The bytes of an mp4, for embedding in a page; arguments and errors as for `write`."""
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "frames.mp4", frames, fps).read_bytes()


def _images(frames: Pixels | Iterable[Pixels]) -> Iterator[VideoFrame]:
    """Check frames and convert them; the last column or row is repeated if a side is odd."""
    shape: tuple[int, ...] | None = None
    for index, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(f"frame {index} is {frame.dtype} {frame.shape}, expected uint8 H W 3")
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(f"frame {index} has shape {frame.shape}, the first one {shape}; all must be of one size")
        H, W, _ = shape
        padded = np.pad(frame, ((0, H % 2), (0, W % 2), (0, 0)), "edge")
        yield VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")


def _add_stream(container: OutputContainer, first: VideoFrame, rate: Fraction, options: dict[str, str]) -> VideoStream:
    """A stream for frames like the first."""
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
    return stream

"""Writing frames as a video that every browser plays (H.264 mp4): from arrays, or one by one from a
live stream.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from onlooker.base.files import explain_write_errors
from onlooker.base.records import ClipError
from onlooker.base.text import short_name
from onlooker.video.container import open_video
from onlooker.video.resize import Pixels

__all__ = ["VideoWriter", "write"]

SMALL = {"preset": "veryfast", "crf": "20"}  # options of x264: hardly visible compression
# As good, in two thirds of the time, with files that are a tenth larger. Without the macroblock
# tree, files of still cameras would be twice as large.
FAST = {"preset": "superfast", "crf": "20", "x264-params": "rc-lookahead=10:mbtree=1"}
_KEY_FRAMES = 30  # maximum distance between keyframes of frames with times
DRAWN = "drawn by onlooker"  # comment of a clip on which a prediction is drawn
_TICK_RATE = 60_000  # ticks per second; MPEG-4 part 2 allows at most 65,535


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """An mp4 to which frames are added one by one, as from a live stream.

    The file exists after a `with` block that ends without an error; Ctrl-C does not count as one.
    H.264 with 4:2:0 color needs even sides: an odd width or height is padded by repeating its
    last column or row.

    Args:
        path: the file, .mp4. Missing folders are created.
        fps: frames per second, for frames without times, and for the last one.
        replace: whether an existing file is replaced, once the new one is complete.
        comment: about the file, in its header.
        options: of the encoder, x264.

    Raises:
        FileExistsError: the file exists, and `replace` is false.
        ValueError: another suffix; a frame of another shape or type; no frames.
        DiskFullError, NotWritableError: it cannot be written, also when a frame is added or at the
            end.
    """

    def __init__(
        self,
        path: Path | str,
        fps: float = 25,
        *,
        replace: bool = False,
        comment: str = "",
        options: Mapping[str, str] = SMALL,
    ) -> None:
        self.path = Path(path)
        self._rate = Fraction(fps).limit_denominator(1001 * 60)
        self._options = options
        self._reformatter = VideoReformatter()
        self._stream: VideoStream | None = None
        self._ticks = -1
        if self.path.suffix.lower() != ".mp4":
            suffix = self.path.suffix or "a name without suffix"
            raise ValueError(f"{self.path}: cannot write {suffix}, expected .mp4")
        if self.path.exists() and not replace:
            raise FileExistsError(
                f"{self.path}: exists already; give another file, or replace=True"
            )
        self._file = self.path.with_name(f".{short_name(self.path.name)}.part")
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch()
            self._container = av.open(
                f"file:{self._file}", "w", format="mp4", options={"movflags": "+faststart"}
            )
            self._container.metadata["comment"] = comment

    def add(self, frame: Pixels, seconds: float | None = None) -> None:
        """Add a frame `H W 3`, RGB uint8; one of another size than the first is scaled to that
        size.

        Args:
            seconds: when it is shown, or right after the last frame if that is not earlier; None,
                for all: at `fps`.
        """
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, expected uint8 H W 3")
        H, W, _ = frame.shape
        if H % 2 or W % 2:
            frame = np.pad(frame, ((0, H % 2), (0, W % 2), (0, 0)), "edge")
        image = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        stream = self._stream or self._add_stream(image.width, image.height, seconds is not None)
        if seconds is not None:
            self._ticks = max(round(seconds * _TICK_RATE), self._ticks + 1)
            image.pts = self._ticks
            image.time_base = Fraction(1, _TICK_RATE)
        # Threads cost more than they save.
        converted = self._reformatter.reformat(
            image, stream.width, stream.height, "yuv420p", threads=1
        )
        with self._explained():
            self._container.mux(stream.encode(converted))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the file, or remove it if it is not complete."""
        complete = kind in (None, KeyboardInterrupt)
        try:
            with self._explained(), self._container:
                if complete:
                    if self._stream is None:
                        raise ValueError(
                            f"{self.path}: there are no frames to write, expected at least one"
                        )
                    self._container.mux(self._stream.encode(None))
            if complete:
                self._file.replace(self.path)
        finally:
            self._file.unlink(missing_ok=True)

    def _add_stream(self, width: int, height: int, has_times: bool) -> VideoStream:
        options = dict(self._options)
        if has_times:
            options["g"] = str(_KEY_FRAMES)
        stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        if has_times:
            stream.codec_context.time_base = Fraction(1, _TICK_RATE)
        self._stream = stream
        return stream

    def _explained(self) -> AbstractContextManager[None]:
        return explain_write_errors("this video", self.path.parent, path=self.path)


def write(
    path: Path | str,
    frames: Pixels | Iterable[Pixels],
    *,
    fps: float = 25,
    times: Sequence[float] = (),
    replace: bool = False,
    comment: str = "",
    options: Mapping[str, str] = SMALL,
) -> Path:
    """Write frames as a `VideoWriter`.

    Args:
        frames: `T H W 3`, or an iterable of `H W 3` (then in constant memory); RGB uint8.
        fps: frames per second; with `times`, only the last frame is shown for 1 / fps.
        times: `T` seconds from the start of the file, ascending: when each frame is shown; (): at
            `fps`.
        replace, comment, options: see `VideoWriter`.

    Raises:
        FileExistsError, ValueError, DiskFullError, NotWritableError: as `VideoWriter`.
    """
    with VideoWriter(path, fps, replace=replace, comment=comment, options=options) as recording:
        for index, frame in enumerate(frames):
            recording.add(frame, times[index] if times else None)
    return recording.path


def is_drawn(path: Path) -> bool:
    """Whether a file is a clip on which a prediction is drawn: it may have the name of its
    original.
    """
    if path.suffix.lower() == ".mp4" and path.is_file():
        with suppress(ClipError), open_video(path) as (container, _):
            return container.metadata.get("comment") == DRAWN
    return False

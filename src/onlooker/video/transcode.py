"""Copies of a video that every browser plays, limited in size and length, with the time of every frame."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

from onlooker.structures import ClipError
from onlooker.video.container import open_video
from onlooker.video.decode import RATE, Converter, decode_file, frame_rate
from onlooker.video.image_sequence import ImageSequence
from onlooker.video.resize import Pixels
from onlooker.video.safe import answers
from onlooker.video.write import Recording

__all__ = ["Copy", "VideoFacts", "safe_transcode", "transcode"]

_PLAYED_SIDE = 1920  # pixels, of files that are played as they are: every phone decodes these
_LATE = 0.05  # seconds: a first frame that is shown later than that shifts all times of a player
_REPORTED = 50  # frames after which the facts so far are reported
_STILL_QUALITY = 80


@dataclass(frozen=True)
class VideoFacts:
    """What decoding a whole video has found.

    Args:
        seconds: until the end of the last frame.
        width, height: of the upright frames, pixels.
        rate: frames per second, on average.
        playable: every browser plays the file itself: H.264 in an mp4, of moderate size.
    """

    seconds: float
    frames: int
    width: int
    height: int
    rate: float
    playable: bool


@dataclass(frozen=True)
class Copy:
    """A copy to write, as an H.264 mp4.

    Args:
        path: a new file, .mp4.
        side: longest side in pixels.
        rate: highest number of frames per second.
        start, end: seconds; the part that is copied.
        crf: constant rate factor of H.264, from 0 (no loss) to 51.
    """

    path: Path
    side: int = 1280
    rate: float = math.inf
    start: float = 0.0
    end: float = math.inf
    crf: int = 20


class _Writer:
    """Writes the frames of a copy as they are decoded."""

    def __init__(self, copy: Copy, opened: ExitStack) -> None:
        self.copy = copy
        self._recording = opened.enter_context(Recording(copy.path, seekable=True, crf=copy.crf))
        self._next, self.is_empty = copy.start, True

    def wants(self, seconds: float) -> bool:
        """Whether the frame at this time is part of the copy; times differ from multiples of 1 / rate by rounding."""
        return self._next - 1e-3 <= seconds < self.copy.end

    def add(self, pixels: Pixels, seconds: float) -> None:
        """Write the frame `H W 3`, scaled down if it is larger than the copy."""
        self._next, self.is_empty = max(self._next + 1 / self.copy.rate, seconds), False
        self._recording.add(_fit(pixels, self.copy.side), seconds - self.copy.start)


def transcode(
    path: Path, copies: Sequence[Copy] = (), still: Path | None = None, max_seconds: float = math.inf
) -> Iterator[VideoFacts]:
    """Decode a video once, and write copies of it.

    Args:
        path: a video file, or a folder of numbered images.
        still: a file for the first frame as a small JPEG, as large as the smallest copy.

    Yields:
        The facts so far, every 50 frames, and at the end those of the whole video.

    Raises:
        ClipError: no video, it cannot be decoded, or it is longer than `max_seconds`.
        DiskFullError, NotWritableError: a copy cannot be written.
    """
    playable, duration = _playable(path)
    with ExitStack() as opened:
        writers = [_Writer(copy, opened) for copy in copies]
        for index, (seconds, width, height, to_pixels) in enumerate(_decoded(path, copies)):
            if seconds > max_seconds:
                raise ClipError(path, f"longer than {max_seconds:g} s", f"cut it: at most {max_seconds:g} s are read")
            wanted = [writer for writer in writers if writer.wants(seconds)]
            if wanted or (still and index == 0):
                pixels = to_pixels()
                for writer in wanted:
                    writer.add(pixels, seconds)
                if still and index == 0:
                    _write_still(still, pixels, min((copy.side for copy in copies), default=160))
            rate = index / seconds if seconds else 1 / duration
            facts = VideoFacts(seconds + 1 / rate, index + 1, width, height, rate, playable)
            if index % _REPORTED == _REPORTED - 1:
                yield facts
        if empty := [writer.copy for writer in writers if writer.is_empty]:
            what = f"no frame from {empty[0].start:g} to {empty[0].end:g} s"
            raise ClipError(path, what, f"choose a part between 0 and {facts.seconds:.2f} s")
    yield facts


def safe_transcode(
    path: Path, copies: Sequence[Copy] = (), still: Path | None = None, max_seconds: float = math.inf
) -> Iterator[VideoFacts]:
    """As `transcode`, in a separate process with limits of memory and time (`video.safe`)."""
    plain = [{**asdict(copy), "path": str(copy.path.absolute())} for copy in copies]
    place = still and str(still.absolute())
    for values, _ in answers(path, "transcode", copies=plain, still=place, max_seconds=max_seconds):
        yield VideoFacts(**{name: values[name] for name in VideoFacts.__dataclass_fields__})


def _decoded(path: Path, copies: Sequence[Copy]) -> Iterator[tuple[float, int, int, Callable[[], Pixels]]]:
    """Of each frame: seconds since the first, width and height, and its pixels, as large as the copies need them."""
    if os.path.isdir(path):
        for _, seconds, image in ImageSequence(path):
            yield seconds, image.shape[1], image.shape[0], partial(np.asarray, image)
        return
    convert = Converter(path, max((copy.side for copy in copies), default=1))
    for _, seconds, frame in decode_file(path):
        width, height = (frame.width, frame.height)[:: -1 if round(frame.rotation / 90) % 2 else 1]
        yield seconds, width, height, partial(convert, frame)


def _playable(path: Path) -> tuple[bool, float]:
    """Whether browsers play the file itself, and the duration of a frame by its header, in seconds."""
    if os.path.isdir(path):
        return False, 1 / RATE
    with open_video(path) as (container, stream):
        return "mp4" in container.format.name and _is_plain(stream), 1 / frame_rate(stream)


def _is_plain(stream: VideoStream) -> bool:
    context = stream.codec_context
    known = context.name == "h264" and context.pix_fmt == "yuv420p"
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    return known and max(context.width, context.height) <= _PLAYED_SIDE and abs(start) < _LATE


def _fit(pixels: Pixels, side: int) -> Pixels:
    H, W = pixels.shape[:2]
    scale = side / max(H, W)
    if scale >= 1:
        return pixels
    size = max(1, round(W * scale)), max(1, round(H * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(pixels.dtype, copy=False)


def _write_still(path: Path, pixels: Pixels, side: int) -> None:
    Image.fromarray(_fit(pixels, side)).save(path, "jpeg", quality=_STILL_QUALITY)

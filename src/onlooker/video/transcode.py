"""Copies of a video that every browser plays, limited in size and length, with the time of every frame."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from onlooker.intervals import file_of
from onlooker.structures import ClipError
from onlooker.video.container import open_video
from onlooker.video.decode import RATE, Converter, decode_file, decode_packets, frame_rate, orientation, read_packets
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels
from onlooker.video.safe import answers
from onlooker.video.write import Recording

__all__ = ["VideoFacts", "safe_transcode", "transcode"]

_PLAYED_SIDE = 1920  # pixels, of files that are played as they are: every phone decodes these
_LATE = 0.05  # seconds: some players begin a file at 0, others at its first time stamp
_REPORTED = 50  # frames after which the facts so far are reported
_COPY_SIDE = 1280  # pixels, at most
_WHOLE = 0.9  # share of the frames that a header claims, which may be wrong by some
_STILL_SIDE, _STILL_QUALITY = 160, 80

# Of a frame: seconds, width and height, and its image with a longer side of at most some pixels.
Decoded = tuple[float, int, int, Callable[[int], Image.Image]]


@dataclass(frozen=True)
class VideoFacts:
    """What decoding a whole video has found.

    Args:
        seconds: until the end of the last frame.
        width, height: of the upright frames, pixels.
        playable: every browser plays the file itself: H.264 in an mp4, of moderate size.
        claimed: number of frames by the header, at least `frames`.
        damaged: not all of them could be read, because the file was cut off or is damaged.
    """

    seconds: float
    frames: int
    width: int
    height: int
    playable: bool
    claimed: int = 0
    damaged: bool = False


def transcode(
    path: Path,
    copy: Path | None = None,
    still: Path | None = None,
    max_seconds: float = math.inf,
    salvage: bool = False,
    unless_playable: bool = False,
) -> Iterator[VideoFacts]:
    """Decode a video once, and write a copy of it.

    Args:
        path: a video file, or a folder of numbered images.
        copy: a new file, .mp4: H.264, its longer side at most 1280 pixels, every frame with its time.
        still: a file for a small JPEG: the frame that differs most from the one before it.
        salvage: end without an error where decoding fails after some frames; the video is then not playable.
        unless_playable: write the copy only if browsers do not play the file itself.

    Yields:
        The facts so far, every 50 frames, and at the end those of the whole video.

    Raises:
        ClipError: no video, it cannot be decoded, or it is longer than `max_seconds`.
        DiskFullError, NotWritableError: the copy cannot be written.
    """
    (playable, duration, claimed), errors, first = _header(path), list[ClipError](), 0.0
    with ExitStack() as opened:
        is_copied = copy is not None and not (unless_playable and playable)
        recording = opened.enter_context(Recording(copy, seekable=True)) if copy and is_copied else None
        preview = opened.enter_context(closing(_Still(still))) if still else None
        decoded = _until_error(path, errors) if salvage else _decoded(path)
        for index, (seconds, width, height, to_pixels) in enumerate(decoded):
            if seconds > max_seconds:
                raise ClipError(path, f"longer than {max_seconds:g} s", f"cut it: at most {max_seconds:g} s are read")
            if index == 0:
                first = seconds
            if recording:
                if index == 0 and seconds > _LATE:  # sound begins before: where players begin a late video differs
                    recording.add(np.asarray(to_pixels(_COPY_SIDE)), 0)
                recording.add(np.asarray(to_pixels(_COPY_SIDE)), seconds)
            if preview:
                preview.add(to_pixels(_STILL_SIDE))
            rate = index / (seconds - first) if index else 1 / duration
            facts = VideoFacts(seconds + 1 / rate, index + 1, width, height, playable, max(claimed, index + 1))
            if index % _REPORTED == _REPORTED - 1:
                yield facts
    damaged = bool(errors) or facts.frames < _WHOLE * facts.claimed
    yield replace(facts, damaged=damaged, playable=playable and not (salvage and damaged))


def safe_transcode(
    path: Path,
    copy: Path | None = None,
    still: Path | None = None,
    max_seconds: float = math.inf,
    salvage: bool = False,
    unless_playable: bool = False,
) -> Iterator[VideoFacts]:
    """As `transcode`, in a separate process with limits of memory and time (`video.safe`)."""
    for answer in answers(
        path,
        "transcode",
        copy=copy,
        still=still,
        max_seconds=max_seconds,
        salvage=salvage,
        unless_playable=unless_playable,
    ):
        yield VideoFacts(**answer)


class _Still:
    """The frame that differs most from the one before it, as a small JPEG; it is written at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chosen: Image.Image | None = None
        self._before: NDArray[np.int16] | None = None
        self._most = -1.0

    def add(self, image: Image.Image) -> None:
        gray = np.asarray(image.convert("L"), np.int16)
        change = 0.0
        if self._before is not None and self._before.shape == gray.shape:
            change = float(np.abs(gray - self._before).mean())
        if change > self._most:
            self._chosen, self._most = image, change
        self._before = gray

    def close(self) -> None:
        if self._chosen:
            self._chosen.save(self._path, "jpeg", quality=_STILL_QUALITY)


def _decoded(path: Path) -> Iterator[Decoded]:
    if os.path.isdir(path) or file_of(path) != path:
        for _, seconds, pixels in VideoReader(path):
            yield seconds, pixels.shape[1], pixels.shape[0], partial(_fit, pixels)
        return
    converters = {side: Converter(path, side) for side in (_COPY_SIDE, _STILL_SIDE)}

    def convert(frame: VideoFrame, side: int) -> Image.Image:
        return _fit(converters[side](frame), side)

    for _, seconds, frame in decode_file(path):
        width, height = (frame.width, frame.height)[:: -1 if orientation(frame)[0] else 1]
        yield seconds, width, height, partial(convert, frame)


def _until_error(path: Path, errors: list[ClipError]) -> Iterator[Decoded]:
    """As `_decoded`; where decoding fails after some frames, it ends, and the error is added to `errors`."""
    index = -1
    try:
        for index, frame in enumerate(_decoded(path)):  # noqa: B007 - how far it came
            yield frame
    except ClipError as error:
        if index < 1:
            raise
        errors.append(error)


def _header(path: Path) -> tuple[bool, float, int]:
    """What the header says: whether browsers play the file itself, the seconds of a frame, and the number of frames."""
    if os.path.isdir(path) or file_of(path) != path:
        return False, 1 / RATE, 0
    with open_video(path) as (container, stream):
        context, start = stream.codec_context, (container.start_time or 0) / av.time_base
        known = "mp4" in container.format.name and context.name == "h264" and context.pix_fmt == "yuv420p"
        fits = max(context.width, context.height) <= _PLAYED_SIDE and abs(start) < _LATE
        rate = frame_rate(container, stream)
        first = next(decode_packets(path, stream, read_packets(container, stream)), None)
        transposed, right, down = orientation(first) if first else (False, 1, 1)
        mirrored = (right * down < 0) != transposed  # by some browsers only
        return known and fits and not mirrored, 1 / rate, stream.frames or round((container.duration or 0) / 1e6 * rate)


def _fit(pixels: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return image

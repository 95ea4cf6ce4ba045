"""Copies of a video that every browser plays, limited in size and length, with the time of every
frame.
"""

import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image

from onlooker.base.files import atomic_file
from onlooker.base.intervals import file_of
from onlooker.base.records import ClipError
from onlooker.video.clock import frame_rate
from onlooker.video.container import open_video
from onlooker.video.decode import (
    Converter,
    decode_file,
    decode_packets,
    lacks_times,
    orientation,
    read_packets,
)
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels
from onlooker.video.safe import TooLongError, answers
from onlooker.video.write import VideoWriter

_PLAYED_SIDE = 1920  # pixels, of files that are played as they are: every phone decodes these
_START_TOLERANCE = 0.05  # seconds: some players begin at 0, others at the first time stamp
_REPORTED = 50  # frames after which the facts so far are reported
_COPY_SIDE = 1280  # pixels, at most
_MIN_DECODED = 0.9  # share of the frames that a header claims, which may be wrong by some
_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_STILL_SIDE = 160
_STILL_QUALITY = 80


@dataclass(frozen=True)
class VideoFacts:
    """Properties of a video, from decoding all of it.

    Args:
        seconds: until the end of the last frame.
        width, height: of the upright frames, pixels.
        playable: every browser plays the file itself: H.264 in an mp4, of moderate size.
        claimed: number of frames by the header, or by the length that it says; at least `frames`.
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
    *,
    still: Path | None = None,
    max_seconds: float = math.inf,
    unless_playable: bool = False,
) -> Iterator[VideoFacts]:
    """Decode a video once, and write a copy of it.

    Args:
        path: a video file, or a folder of numbered images.
        copy: a new file, .mp4: H.264, its longer side at most 1280 pixels, every frame with its
            time.
        still: a file for a small JPEG: the frame that differs most from the one before it.
        unless_playable: write the copy only if browsers do not play the file itself.

    Yields:
        The facts so far, every 50 frames; at the end, the facts of the whole video.

    Raises:
        ClipError: no video, it cannot be decoded, or a single frame.
        TooLongError: it is longer than `max_seconds`.
        DiskFullError, NotWritableError: the copy cannot be written.
    """
    playable, duration, claimed, length = _header(path)
    if unless_playable and playable:
        copy = None
    side = _COPY_SIDE if copy else _STILL_SIDE if still else None
    largest = -1.0  # change of a frame
    before = np.zeros((), np.int16)
    with ExitStack() as opened:
        recording = opened.enter_context(VideoWriter(copy, replace=True)) if copy else None
        for index, (seconds, width, height, image) in enumerate(_decoded(path, side)):
            if seconds > max_seconds:
                raise TooLongError(f"{path}: longer than {max_seconds:g} s; cut it")
            # sound begins earlier: players differ in where they begin
            if recording and index == 0 and seconds > _START_TOLERANCE:
                recording.add(np.asarray(image), 0)
            if recording:
                recording.add(np.asarray(image), seconds)
            if still and image:
                small = image.copy()
                small.thumbnail((_STILL_SIDE, _STILL_SIDE))
                gray = np.asarray(small.convert("L"), np.int16)
                change = float(np.abs(gray - before).mean()) if index else 0.0
                before = gray
                if change > largest:
                    largest = change
                    most_changed = small
            end = seconds + duration
            # if the number is unknown, extrapolate the rate so far; the rate may vary
            expected = claimed or round((index + 1) * length / end)
            facts = VideoFacts(
                end,
                index + 1,
                width,
                height=height,
                playable=playable,
                claimed=max(expected, index + 1),
            )
            if index % _REPORTED == _REPORTED - 1:
                yield facts
        if facts.frames < 2:
            raise ClipError(path, "a single frame", "give a video of at least 2")
    if still and most_changed:
        with atomic_file(still) as file:
            most_changed.save(file, "jpeg", quality=_STILL_QUALITY)
    yield replace(facts, damaged=facts.frames < _MIN_DECODED * facts.claimed)


def safe_transcode(path: Path, **options: Any) -> Iterator[VideoFacts]:
    """As `transcode`, in a separate process with limits of memory and time (`video.safe`)."""
    for answer in answers(path, "transcode", **options):
        yield VideoFacts(**answer)


def _decoded(path: Path, side: int | None) -> Iterator[tuple[float, int, int, Image.Image | None]]:
    """For each frame: seconds, width and height, and an image whose longer side is at most `side`,
    if any.
    """
    if os.path.isdir(path) or file_of(path) != path:
        for _, seconds, pixels in VideoReader(path):
            yield seconds, pixels.shape[1], pixels.shape[0], _image(pixels, side) if side else None
        return
    convert = Converter(path, side)
    for _, seconds, frame in decode_file(path):
        height, width = (
            (frame.width, frame.height) if orientation(frame)[0] else (frame.height, frame.width)
        )
        yield seconds, width, height, _image(convert(frame), side) if side else None


def _header(path: Path) -> tuple[bool, float, int, float]:
    """From the header: whether browsers play the file itself, the seconds of a frame, the
    number of frames, and the length in seconds; 0: not known.
    """
    if os.path.isdir(path) or file_of(path) != path:
        reader = VideoReader(path)
        return False, reader.seconds - float(reader.times[-1]), len(reader), 0.0
    with open_video(path) as (container, stream):
        context = stream.codec_context
        start = (container.start_time or 0) / av.time_base
        rate = frame_rate(container, stream)
        fits = max(context.width, context.height) <= _PLAYED_SIDE and abs(start) < _START_TOLERANCE
        playable = (
            not lacks_times(container, stream)
            and "mp4" in container.format.name
            and context.name == "h264"
            and context.pix_fmt == "yuv420p"
            and fits
        )
        frame = next(decode_packets(path, stream, read_packets(container, stream)), None)
        if frame:
            transposed, right, down = orientation(frame)
            playable = playable and (right * down < 0) == transposed  # only some browsers mirror
        return playable, 1 / rate, stream.frames, _length(container, stream)


def _length(container: InputContainer, stream: VideoStream) -> float:
    """Duration of the video in seconds by the header, else of the file; 0: it states neither."""
    if clock := _DURATION.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska and WebM
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _image(pixels: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return image

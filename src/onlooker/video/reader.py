"""Pixels out of videos: chosen frames of a file or of a folder of numbered pictures, or all of them one by one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.structures import ClipError, Frames
from onlooker.video import decode
from onlooker.video import image_sequence as numbered
from onlooker.video import index as listing
from onlooker.video.container import opened
from onlooker.video.decode import Change, Choose
from onlooker.video.sampling import equally_spaced

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".gif", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".asf", ".flv", ".ogv", ".3gp", ".3g2"}
)


def is_video(path: Path | str) -> bool:
    """Whether a path looks like a video: a file with one of `SUFFIXES`, or a folder that holds numbered pictures."""
    path = Path(path)
    if path.is_dir():
        return bool(numbered.pictures(path))
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path | str, count: int = 30, pad: bool = True) -> Frames:
    """`count` equally spaced frames over the whole of a video (see `equally_spaced`).

    The frames are exactly those that decoding from the start gives, also where this seeks. Indices count the frames
    that can be decoded, in the order in which they are shown; in a damaged file, damage in parts that the chosen
    frames do not depend on is not noticed, and the frames lost there are counted. In a folder, a picture that is chosen
    and cannot be read is an error, as is one of another size.

    Args:
        path: a video file, or a folder of numbered pictures.
        count: how many frames.
        pad: what a video with fewer frames does: repeat its last one, or raise.

    Returns:
        `count` frames: RGB, upright, with their true times (seconds) and indices.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or it has fewer frames than `count` and `pad` is False.
        ValueError: if `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    frames = pick(path, lambda total: equally_spaced(total, count))
    # A short clip shows itself by repeating an index.
    found = len(np.unique(frames.indices))
    if found < count and not pad:
        remedy = "ask for fewer frames, or repeat the last one (pad)"
        raise ClipError(path, f"{found} frames decoded, the model needs at least {count}", remedy)
    return frames


def pick(path: Path | str, choose: Choose, change: Change | None = None) -> Frames:
    """The frames that `choose` asks for; windows, say: `pick(path, lambda n: np.concatenate(windows(n, 16, 4)))`.

    Args:
        path: a video file, or a folder of numbered pictures.
        choose: from the number of frames in the video (at least 1) to `T` indices below it, in any order, with any
            repetition. It may be called more than once, where the container's count of frames turns out wrong.
        change: what is done to each frame, `H W 3`, before it is kept, such as shrinking: then many large frames fit
            in memory. It must give frames of one size, and may be called from several threads at once.

    Raises:
        ClipError: naming the clip, if nothing can be decoded.
    """
    path = Path(path)
    return numbered.pick(path, choose, change) if path.is_dir() else listing.pick(path, choose, change)


def stream(path: Path | str) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """All frames of a video, one by one, in constant memory: index, seconds since the first frame, `H W 3` pixels.

    Raises:
        ClipError: naming the clip, if nothing can be decoded.
    """
    path = Path(path)
    if path.is_dir():
        yield from numbered.stream(path)
        return
    index = -1
    with opened(path) as (container, video):
        convert, clock = decode.Converter(), decode.Clock(container, video)
        for index, frame in enumerate(decode.decoded(path, container, video)):
            yield index, clock(frame.pts), convert(frame)
    if index < 0:
        raise decode.nothing(path)


def claimed_frames(path: Path | str) -> int:
    """How many frames a video says that it has, without decoding any; 0 where it does not say. It may be wrong.

    Raises:
        ClipError: naming the clip, if it cannot be opened.
    """
    path = Path(path)
    if path.is_dir():
        return len(numbered.pictures(path))
    with opened(path) as (container, video):
        rate = float(video.average_rate or 0)
        seconds = (container.duration or 0) / 1e6  # FFmpeg's unit for whole files is a microsecond
        return video.frames or max(0, round(seconds * rate))

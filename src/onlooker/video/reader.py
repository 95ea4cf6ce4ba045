"""Reading videos: chosen frames, or all of them one by one, from a video file or an image sequence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.base.intervals import Times, file_of, split_interval
from onlooker.base.records import ClipError, Frames
from onlooker.base.settings import typed
from onlooker.video.decode import FrameStore, Which
from onlooker.video.image_sequence import ImageSequence, numbered_images
from onlooker.video.rates import HIGHEST, LOWEST, is_possible
from onlooker.video.resize import Pixels
from onlooker.video.safe import VARIABLE, GuardedVideo
from onlooker.video.sampling import Timing, equally_spaced, even_timing
from onlooker.video.video_file import VideoFile, shared_file

__all__ = ["SUFFIXES", "VideoReader"]

# Of files in the formats that are read (`_DEMUXERS` in container.py), as cameras and programs name
# them.
SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".3gp",
        ".3gpp",
        ".3g2",
        ".3gp2",
        ".f4v",
        ".mj2",
        ".ismv",
        ".psp",
        ".insv",
        ".lrv",
    }
    | {
        ".mkv",
        ".mk3d",
        ".webm",
        ".avi",
        ".divx",
        ".gif",
        ".wmv",
        ".asf",
        ".wm",
        ".flv",
        ".ogv",
        ".ogm",
        ".ogx",
    }
    | {".mpg", ".mpeg", ".mpe", ".mpv", ".m1v", ".m2v", ".m2p", ".vob", ".mod", ".tod", ".evo"}
    | {".ts", ".mts", ".m2ts", ".m2t", ".trp", ".tp", ".mjpeg", ".mjpg", ".ivf"}
    | {".h264", ".264", ".h26l", ".avc", ".h265", ".265", ".hevc"}
)


class FramesInMemory:
    """Frames in memory as a video, with the methods of `VideoFile`; see `VideoReader`."""

    def __init__(self, frames: Pixels, rate: float | None) -> None:
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
            raise ValueError(
                f"frames are {frames.dtype} {frames.shape}, expected uint8 T H W 3 (RGB)"
            )
        if rate is None or not is_possible(rate):
            raise ValueError(
                f"rate is {rate}, expected the frames per second of these frames, "
                f"from {LOWEST:g} to {HIGHEST:g}"
            )
        self.frames = frames
        self.timing = even_timing(len(frames), rate)
        self.assumes_rate = False

    def fill(self, store: FrameStore) -> None:
        for index in store.choose(self.timing).tolist():
            store.put(index, self.frames[index])

    def between(self, start: int, after: int | None) -> Iterator[tuple[int, float, Pixels]]:
        times = self.timing.times.tolist()
        yield from zip(
            range(start, len(times)), times[start:after], self.frames[start:after], strict=False
        )


class VideoReader:
    """A video file, a folder of numbered images (an image sequence), or a part of one, opened when
    it is needed; or frames in memory.

    Frames are exactly as in sequential decoding, even if the reader seeks; they are RGB and
    upright. Indices count the frames that can be decoded, in display order. In a damaged file,
    damage in parts that the chosen frames do not depend on is not noticed, and the frames lost
    there are counted. `len` and `times` of most files need no decoding.

        reader = VideoReader("clip.mp4")
        frames = reader.get([0, 10, 20], size=112)        # 3 112 112 3
        for index, time, pixels in reader: ...            # in constant memory

    Args:
        path: a video file, or a folder of numbered images; with `#t=12.5,17` at the end, only the
            frames from second 12.5 on and before second 17, whose indices and times count from
            there. It is decoded by a worker process with limits of memory and time if the
            environment variable `ONLOOKER_SAFE` is 1 (`onlooker.video.safe`). Or frames `T H W 3`,
            RGB uint8; errors call them `frames`.
        rate: frames per second of frames in memory.

    Raises:
        ClipError: in every method: naming the clip, if nothing can be decoded.
        TypeError, ValueError: neither a path nor such frames, or frames without a rate.
    """

    @typed
    def __init__(self, path: Path | str | Pixels, rate: float | None = None) -> None:
        self._video: FramesInMemory | GuardedVideo | ImageSequence | VideoFile
        self._interval: Times | None = None
        self._frames = slice(0, None)  # of the interval, that `__iter__` reads
        self._size = (0, 0)  # not known yet
        if isinstance(path, np.ndarray):
            self.path = Path("frames")
            self._video = FramesInMemory(path, rate)
            return
        if rate is not None:
            raise ValueError(f"{path}: rate is {rate}, and a file has its own; leave it out")
        self.path = Path(path)
        if os.environ.get(VARIABLE, "0") not in ("", "0"):
            self._video = GuardedVideo(self.path)
            return
        file, self._interval = split_interval(path)
        if os.path.isdir(file):
            self._video = ImageSequence(file)
        else:
            self._video = VideoFile(file) if self._interval is None else shared_file(file)

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__

    def __len__(self) -> int:
        return len(self.times)

    @property
    def timing(self) -> Timing:
        """When the frames are shown."""
        with self._named():
            return self._video.timing.part(self._interval, self.path)[0]

    @property
    def assumes_rate(self) -> bool:
        """Whether `times` assume 25 frames per second, because no frame rate is stated; only the
        header of a file is read.
        """
        with self._named():
            return self._video.assumes_rate

    @property
    def times(self) -> NDArray[np.float64]:
        """When each frame is shown, in seconds (`base.records`)."""
        return self.timing.times

    @property
    def seconds(self) -> float:
        """When the last frame ends."""
        return float(self.timing.end)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright frames."""
        if not any(self._size):
            self.get([0])
        return self._size

    def get(
        self,
        which: Which,
        *,
        size: int | None = None,
        shorter_side: int | None = None,
    ) -> Frames:
        """Chosen frames, each resized as soon as it is decoded, so that many large frames fit in
        memory.

        Args:
            which: `T` frame indices, in any order, with any repetition; or a sampling, which
                chooses among moments (`Timing.moments`): the frames shown then, with the moments as
                their times.
            size: resize frames to a square of this height and width; see `resize`.
            shorter_side: shrink frames whose shorter side is longer than this, keeping the aspect
                ratio.

        Raises:
            IndexError: an index is negative or not below `len`.
            ValueError: no indices.
        """
        store = FrameStore(self.path, self._interval, which, size=size, shorter_side=shorter_side)
        with self._named():
            if self._interval is not None:
                # all threads that read parts of a file wait for its timing
                store.choose(self._video.timing)
            self._video.fill(store)
        self._size = store.frame_size
        return store.frames()

    @property
    def has_parts(self) -> bool:
        """Whether `part` is possible: a worker process decodes a file from its beginning."""
        return not isinstance(self._video, GuardedVideo)

    def part(self, start: int, after: int) -> "VideoReader":
        """A reader that iterates over the frames from `start` on and before `after`, with the
        indices and times that they have in this one.
        """
        part = copy(self)
        part._frames = slice(start, after)
        return part

    def __iter__(self) -> Iterator[tuple[int, float, Pixels]]:
        """All frames in constant memory: index, seconds, `H W 3` pixels."""
        with self._named():
            start = 0
            after = self._frames.stop
            begin = 0.0
            if self._interval is not None:
                timing, start = self._video.timing.part(self._interval, self.path)
                after = start + (len(timing.times) if after is None else after)
                begin = self._interval[0]
            for index, seconds, pixels in self._video.between(start + self._frames.start, after):
                self._size = (pixels.shape[0], pixels.shape[1])
                yield index - start, max(seconds - begin, 0.0), pixels

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors in the block name the path with its interval."""
        try:
            yield
        except ClipError as error:
            if self._interval is None:
                raise
            raise ClipError(self.path, error.found, error.remedy) from error


def is_video(path: Path | str) -> bool:
    """Whether a path looks like a video: a file with one of `SUFFIXES`, a folder with numbered
    images, or a part.
    """
    path = file_of(path)
    if os.path.isdir(path):
        return bool(numbered_images(path))
    return path.suffix.lower() in SUFFIXES and os.path.isfile(path)


@lru_cache(64)  # tables name a file in many rows, in any order; an hour of frames has 1 MB
def frame_bounds(path: Path) -> NDArray[np.float64]:
    """When each frame of a video is shown, and when the last one ends, in seconds.

    Rounded down to milliseconds, as times of intervals are: rounded up, an interval would lack its
    frame.
    """
    reader = VideoReader(path)
    bounds = np.append(reader.times, reader.seconds)
    return np.floor(1000 * bounds + 0.001) / 1000


def read(path: Path | str, count: int = 30) -> Frames:
    """`count` equally spaced frames over the whole of a video; see `equally_spaced` and
    `VideoReader`.
    """
    return VideoReader(path).get(partial(equally_spaced, count=count))

"""A part of a video, between two times of a recording: no more is decoded than for a file that was cut there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.intervals import Times
from onlooker.structures import ClipError, Frames
from onlooker.video.image_sequence import ImageSequence
from onlooker.video.resize import Pixels
from onlooker.video.sampling import Choice, Indices, Timing
from onlooker.video.video_file import VideoFile

_ROUNDED = 0.5  # seconds after the end of a recording that an interval may end: times may be whole seconds
_HELD = 1.5  # durations of short frames: what is shown for longer is more than a frame between two others
_SAME = 1e-6  # seconds: of two times that differ by rounding only


class VideoPart:
    """The frames of a video that are shown from a time on and before another; see `VideoReader`.

    Args:
        path: names the part in errors.
    """

    def __init__(self, path: Path, video: VideoFile | ImageSequence, times: Times) -> None:
        self.path, self._video, (self._start, self._end) = path, video, times

    @property
    def timing(self) -> Timing:
        """When the frames of the part are shown."""
        with self._named():
            first, after = self._places()
            times, end, assumes_rate = self._video.timing
            return Timing(self._own(times[first:after]), min(self._end, end) - self._start, assumes_rate)

    def get(self, choose: Choice, size: int | None, shorter_side: int | None) -> tuple[Frames, tuple[int, int]]:
        """The frames of a choice, as in `VideoReader`, and the size."""

        def in_file(_: Timing) -> Indices:
            first, after = self._places()
            chosen = np.asarray(choose(self.timing))
            if len(chosen) and not 0 <= chosen.min() <= chosen.max() < after - first:
                raise IndexError(f"{self.path}: frames {chosen.tolist()} asked for, expected 0 to {after - first - 1}")
            return chosen + first

        with self._named():
            self._places()  # an index for all threads is made once
            frames, of_file = self._video.get(in_file, size, shorter_side)
            first, _ = self._places()
        return Frames(frames.pixels, self._own(frames.times), frames.indices - first), of_file

    def __iter__(self) -> Iterator[tuple[int, float, Pixels]]:
        with self._named():
            first, after = self._places()
            for index, seconds, pixels in self._video.between(first, after):
                yield index - first, max(seconds - self._start, 0.0), pixels

    def _own(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds from the start of the part."""
        return np.maximum(times - self._start, 0)

    def _places(self) -> tuple[int, int]:
        """The first frame of the part in the video, and the one after the last; a ClipError if there is none."""
        times, seconds, _ = self._video.timing
        start, end = self._start, self._end
        if start >= seconds or seconds + _ROUNDED < end < np.inf:
            raise ClipError(self.path, f"outside the recording, which is {seconds:.2f} s long", "correct the times")
        first, after = np.searchsorted(times, np.array([start, end]) - _SAME).tolist()
        shortest = np.quantile(np.diff(times, append=seconds), 0.1, method="lower")
        if first and np.append(times, seconds)[first] - start > _HELD * shortest:
            first -= 1  # the frame before is shown far into the part
        if first >= after:
            raise ClipError(self.path, "no frame between these times", "give a start, and an end after it, in seconds")
        return first, after

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors about the recording name the part."""
        try:
            yield
        except ClipError as error:
            raise ClipError(self.path, error.found, error.remedy) from error

"""Which frames of a video a model receives: equally spaced ones, or all.

Samplings choose among moments that are equally spaced in time. In most files these are the frames.
Screen recordings and motion-triggered cameras leave out unchanged frames: there, the last frame is
shown until the next one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.intervals import Times
from onlooker.base.records import ClipError
from onlooker.video.rates import RATE

__all__ = ["equally_spaced"]

Indices = NDArray[np.int64]
# From the number of moments of a video, at least 1: `T` indices below it, in any order, with any
# repetition.
Sampling = Callable[[int], Indices]

_MAX_RATE = 120.0  # moments per second
_MOMENTS = 4_000_000  # 44 hours at 25 per second: a damaged time may be years after the others
_ALIKE = (
    1.5  # ratio of the longest to the shortest of the frame durations that moments are spaced by
)
# up to this number of frames, a short last frame means that frames are not equally spaced
_SHORT_VIDEO = 3
_ROUNDED = 0.25  # of a moment: containers round the times of frames, some to milliseconds
_END_TOLERANCE = (
    0.5  # seconds after the end of a recording that an interval may end: times may be whole seconds
)
# durations of short frames: what is shown for longer is more than a frame between two others
_HELD = 1.5
_SAME = 1e-6  # seconds: of two times that differ by rounding only


class Timing(NamedTuple):
    """When the frames of a video are shown.

    Args:
        times: of each frame, in seconds (`base.records`), ascending.
        end: when the last one ends.
        assumes_rate: 25 frames per second are assumed, because no frame rate is stated.
    """

    times: NDArray[np.float64]
    end: float
    assumes_rate: bool = False

    @property
    def length(self) -> float:
        """Seconds from the first frame until the last one ends."""
        return float(self.end - self.times[0])

    def moments(self) -> tuple[Indices, NDArray[np.float64]]:
        """The frame shown at each moment of the video, and the times of these moments.

        Frames that are each within half a frame of an equally spaced grid are the moments. Else,
        moments are as far apart as the frames that follow each other most closely; in very long
        videos they are farther apart.
        """
        start = self.times[0]
        durations = np.diff(self.times, append=self.end)
        if _is_regular(self.times, float(durations[-1])):
            return np.arange(len(self.times)), self.times
        shortest = max(float(np.quantile(durations, 0.1, method="lower")), 1 / _MAX_RATE)
        step = max(float(durations[durations <= _ALIKE * shortest].mean()), 1 / _MAX_RATE)
        count = min(max(1, round((self.end - start) / step)), _MOMENTS)
        moments = np.linspace(start, self.end, count, endpoint=False)
        return np.searchsorted(self.times, moments + _ROUNDED * step, side="right") - 1, moments

    def part(self, interval: Times | None, path: Path) -> tuple["Timing", int]:
        """The timing of the frames that are shown in an interval, and the index of the first of
        them; None: of all frames.

        Raises:
            ClipError: naming `path`, if there is no such frame.
        """
        if interval is None:
            return self, 0
        start, end = interval
        if start >= self.end or self.end + _END_TOLERANCE < end < np.inf:
            raise ClipError(
                path,
                f"outside the recording, which is {self.end:.2f} s long",
                "correct the times, or copy the file again if it is cut off",
            )
        begin, after = np.searchsorted(self.times, np.array(interval) - _SAME).tolist()
        bounds = np.append(self.times, self.end)
        if begin and bounds[begin] - start > _HELD * np.quantile(
            np.diff(bounds), 0.1, method="lower"
        ):
            begin -= 1  # the frame before is shown far into the part
        if begin >= after:
            raise ClipError(
                path,
                "no frame between these times",
                "give a start, and an end after it, in seconds",
            )
        times = np.maximum(self.times[begin:after] - start, 0)
        return Timing(times, min(self.end, end) - start, self.assumes_rate), begin


def _is_regular(times: NDArray[np.float64], last: float) -> bool:
    """Whether frames are equally spaced; `last`: the duration of the last one, which some programs
    write too short.
    """
    count = len(times)
    if count == 1:
        return True
    mean = (times[-1] - times[0]) / (count - 1)
    deviation = np.abs(times - times[0] - mean * np.arange(count)).max()
    shortest = 0 if count > _SHORT_VIDEO else mean / 2
    return bool(deviation <= mean / 2 and shortest <= last <= 2 * mean)


def even_timing(count: int, rate: float | None) -> Timing:
    """The timing of `count` equally spaced frames at a rate; None: at the assumed one."""
    bounds = np.arange(count + 1) / (rate or RATE)
    return Timing(bounds[:-1], float(bounds[-1]), rate is None)


def equally_spaced(total: int, count: int) -> Indices:
    """The centers of `count` equal parts of a video of `total` frames: `floor((i + 0.5) * total /
    count)`.

    A video shorter than `count` gives all of its frames in order, then repeats the last one, so
    that its speed does not change.
    """
    parts = np.arange(count, dtype=np.int64)
    if total < count:
        return np.minimum(parts, total - 1)
    # The same floor without rounding errors.
    return (2 * parts + 1) * total // (2 * count)

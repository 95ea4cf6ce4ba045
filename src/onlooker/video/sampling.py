"""Which frames of a video a model sees: equally spaced, or all of them.

Samplings choose among moments that are equally spaced in time. In most files these are the frames. Screen recordings
and motion-triggered cameras leave out unchanged frames: there, the last frame is shown until the next one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["equally_spaced"]

Indices = NDArray[np.int64]
# From the number of moments of a video, at least 1: `T` indices below it, in any order, with any repetition.
Sampling = Callable[[int], Indices]


class Timing(NamedTuple):
    """When the frames of a video are shown.

    Args:
        times: of each frame, in seconds (`structures`), ascending.
        end: when the last one ends.
        assumes_rate: 25 frames per second are assumed, because nothing says how many there are.
    """

    times: NDArray[np.float64]
    end: float
    assumes_rate: bool = False


Choice = Callable[[Timing], Indices]  # to `T` frames: what a reader makes of a sampling

_MAX_RATE = 120.0  # moments per second
_ALIKE = 1.5  # ratio of the longest to the shortest of the frame durations that moments are spaced by
_FEW = 3  # frames that the duration of the last one tells more about than their distances
_ROUNDED = 0.25  # of a moment: containers round the times of frames, some to milliseconds


def held_frames(times: NDArray[np.float64], end: float) -> tuple[Indices, NDArray[np.float64]] | None:
    """The frame shown at each moment of a video, and the times of these moments; None: the frames themselves.

    Frames that are each within half a frame of an equally spaced grid are the moments. Else, moments are as far apart
    as the frames that follow each other most closely.

    Args:
        times: when each frame is shown, in seconds, ascending.
        end: when the last one ends.
    """
    durations = np.diff(times, append=end)
    if _is_regular(times, float(durations[-1])):
        return None
    shortest = max(float(np.quantile(durations, 0.1, method="lower")), 1 / _MAX_RATE)
    step = max(float(durations[durations <= _ALIKE * shortest].mean()), 1 / _MAX_RATE)
    moments = np.linspace(times[0], end, max(1, round((end - times[0]) / step)), endpoint=False)
    return np.searchsorted(times, moments + _ROUNDED * step, side="right") - 1, moments


def _is_regular(times: NDArray[np.float64], last: float) -> bool:
    """Whether frames are equally spaced; `last`: the duration of the last one, which some programs write too short."""
    count = len(times)
    if count == 1:
        return True
    mean = (times[-1] - times[0]) / (count - 1)
    deviation = np.abs(times - times[0] - mean * np.arange(count)).max()
    shortest = 0 if count > _FEW else mean / 2
    return bool(deviation <= mean / 2 and shortest <= last <= 2 * mean)


def equally_spaced(total: int, count: int) -> Indices:
    """The centers of `count` equal parts of a video of `total` frames: `floor((i + 0.5) * total / count)`.

    A video shorter than `count` gives all of its frames in order, then repeats the last one, so that its speed does
    not change.
    """
    each = np.arange(count, dtype=np.int64)
    # (2i + 1) * total // (2 * count) is the same floor without rounding errors.
    return np.minimum(each, total - 1) if total < count else (2 * each + 1) * total // (2 * count)


def every_frame(total: int) -> Indices:
    """0 to `total` - 1."""
    return np.arange(total)

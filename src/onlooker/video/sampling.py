"""Which frames of a video a model looks at: equally spaced over the whole, or windows of consecutive ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def equally_spaced(total: int, count: int) -> NDArray[np.int64]:
    """The centers of `count` equal parts of a video: `floor((i + 0.5) * total / count)`.

    A video shorter than `count` gives all of its frames in order, then the last one again and again, so that time
    never runs at another speed than in the video.

    Args:
        total: frames in the video.
        count: frames wanted.

    Returns:
        `count` frame indices, never decreasing.

    Raises:
        ValueError: for a video without frames, or less than one frame wanted.
    """
    _check(total, "count", count)
    if total < count:
        return np.minimum(np.arange(count, dtype=np.int64), total - 1)
    # (2i + 1) * total // (2 * count) is the same floor without rounding errors.
    return (2 * np.arange(count, dtype=np.int64) + 1) * total // (2 * count)


def windows(total: int, length: int, count: int) -> list[NDArray[np.int64]]:
    """`count` windows of `length` consecutive frames, equally spread from the first frame to the last (VideoLSTM).

    Windows overlap where the video is short; in a video shorter than `length` every window is the whole video with
    its last frame repeated.

    Args:
        total: frames in the video.
        length: frames in a window.
        count: number of windows. A single one lies in the middle.

    Returns:
        `count` arrays of `length` frame indices.

    Raises:
        ValueError: for a video without frames, a window without frames, or less than one window.
    """
    _check(total, "length", length)
    _check(total, "count", count)
    room = max(total - length, 0)
    starts = [i * room // (count - 1) for i in range(count)] if count > 1 else [room // 2]
    return [np.minimum(np.arange(start, start + length, dtype=np.int64), total - 1) for start in starts]


def frames_of(windows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What several windows see, each frame once: its `U` indices, rising, and the windows as places among them, `W T`.

    So a frame that windows share is read and encoded once.
    """
    together = np.stack(windows)
    unique, places = np.unique(together, return_inverse=True)
    return unique, places.reshape(together.shape)


def _check(total: int, name: str, value: int) -> None:
    if total < 1:
        raise ValueError(f"a video of {total} frames cannot be sampled, expected at least 1 frame")
    if value < 1:
        raise ValueError(f"{name} is {value}, expected at least 1")

"""Optical flow between consecutive frames, stored as bytes and stacked for a network that sees motion.

Letters besides those of `structures.py`: `P` pairs of consecutive frames (T − 1 in a clip of T), `L` pairs in a stack.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.structures import ClipError
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels, shrink, to_square
from onlooker.video.sampling import Indices, Sampling

__all__ = ["flow", "to_bytes"]

Flow = NDArray[np.float32]

LIMIT = 20.0  # pixels, as in the two-stream papers
SIDE = 256  # pixels of the shorter side, as usual for two-stream networks
_MIN_DIS = 16  # at some smaller sizes OpenCV's DIS returns NaN or reads outside its memory


def dis() -> Callable[[Pixels, Pixels], Flow]:
    """A function from two gray frames `H W` to their flow `H W 2`, see `flow`.

    Dense inverse search (Kroeger et al. 2016), OpenCV's preset medium: accurate and by far the fastest.
    """
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def estimate(a: Pixels, b: Pixels) -> Flow:
        H, W = a.shape
        padding = (0, max(0, _MIN_DIS - H)), (0, max(0, _MIN_DIS - W))
        # No initial flow: that of another pair would make the result depend on where the clip starts.
        moved: Flow = estimator.calc(np.pad(a, padding, "edge"), np.pad(b, padding, "edge"), None)[:H, :W]
        return moved

    return estimate


def flow(frames: Pixels) -> Flow:
    """The displacement of each pixel from one frame to the next.

    Args:
        frames: `T H W 3`, RGB uint8, consecutive frames of a video, at least two. Across a gap the motion is larger
            than the method expects.

    Returns:
        `P H W 2` in pixels, x to the right and y down: what is at (x, y) of frame t is at
        (x + flow[t, y, x, 0], y + flow[t, y, x, 1]) of frame t + 1.
    """
    return np.stack(list(_between(frames)))


def _between(frames: Iterable[Pixels]) -> Iterator[Flow]:
    """The flow `H W 2` of each pair of consecutive frames `H W 3`."""
    estimate = dis()
    grays: Iterator[Any] = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    for a, b in pairwise(grays):
        yield estimate(a, b)


def to_bytes(flow: Flow, limit: float = LIMIT) -> Pixels:
    """Flow of any shape as bytes: clipped to ±limit, then round(255 (v + limit) / (2 limit)), as two-stream papers do.

    -limit is 0, limit is 255. No motion is 127.5, rounded to 128, which stands for limit/255 pixels, not for zero.

    A ValueError for flow that is not finite.
    """
    if not np.isfinite(flow).all():
        raise ValueError("flow has values that are not finite, expected displacements in pixels")
    return np.rint((np.clip(flow, -limit, limit) + limit) * (255 / (2 * limit))).astype(np.uint8)


@dataclass(frozen=True)
class FlowSettings:
    """How the flow of a video is computed and stored.

    It is computed on upright frames with their aspect ratio, shrunk to `side`, and then resized to `size`: in small
    squares the motion of small objects would be lost. The same motion gives the same bytes at any resolution of a file.

    Args:
        length: L, how many pairs in each stack; the last pair of a video is repeated at its end.
        limit: clips displacements, in pixels of the result; see `to_bytes`.
        size: height and width of the result, as for `resize`; None: as computed.
        side: frames are shrunk if their shorter side is longer than this; None: never.
    """

    length: int = 10
    limit: float = LIMIT
    size: int | None = None
    side: int | None = SIDE

    def fields(self, frames: Iterable[Pixels]) -> Iterator[Pixels]:
        """The flow of each pair of consecutive frames `H W 3`, as bytes: `H W 2`."""
        for moved in _between(shrink(frame, self.side) for frame in frames):
            if self.size is not None:
                H, W = moved.shape[:2]
                moved = to_square(moved[None], self.size)[0] * np.array([self.size / W, self.size / H], np.float32)
            yield to_bytes(moved, self.limit)


class FlowStacks(NamedTuple):
    """Stacks `T H W 2L` of flow as bytes (`to_bytes`); times and indices of their first frames, as in `Frames`."""

    stacks: Pixels
    times: NDArray[np.float64]
    indices: Indices


def read_flow(video: Path | str | VideoReader, sampling: Sampling, settings: FlowSettings) -> FlowStacks:
    """Stacks of flow at the `T` frames of a video that a sampling chooses.

    Flow is always between consecutive frames of the video, however far apart the chosen frames are; a pair that several
    stacks share is computed once.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or only one frame.
    """

    total, wanted = 0, np.zeros(0, np.int64)

    def both(count: int) -> Indices:
        nonlocal total, wanted
        total = count
        pairs = _pairs(sampling(total), settings.length, total)
        wanted = np.unique(np.minimum([pairs, pairs + 1], total - 1))
        return wanted

    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    frames = reader.get(both, shorter_side=settings.side)
    if total < 2:
        raise ClipError(reader.path, "1 frame decoded, and one frame has no motion", "give a video of at least 2")
    starts = sampling(total)
    pairs = _pairs(starts, settings.length, total)
    unique = np.unique(pairs)
    fields: list[Pixels] = []
    for run in np.split(unique, np.flatnonzero(np.diff(unique) > 1) + 1):  # without gaps
        first = int(np.searchsorted(wanted, run[0]))
        fields += settings.fields(frames.pixels[first : first + len(run) + 1])
    # `P H W 2` and `T L` to `T H W 2L`.
    stacked = np.moveaxis(np.stack(fields)[np.searchsorted(unique, pairs)], 1, 3)
    together = stacked.reshape(*stacked.shape[:3], -1)
    places = np.searchsorted(wanted, starts)
    return FlowStacks(together, frames.times[places], frames.indices[places])


def flow_ahead(frames: Pixels, settings: FlowSettings) -> Pixels:
    """The stack `H W 2L` at the first of `L+1` consecutive frames `L+1 H W 3`, equal to that of `read_flow`."""
    return np.concatenate(list(settings.fields(frames)), -1)


def _pairs(starts: Indices, length: int, total: int) -> Indices:
    """The pairs in the stacks at some frames of a video of `total` frames: `T L`, the first frame of each."""
    return np.minimum(starts[:, None] + np.arange(length), max(total - 2, 0))

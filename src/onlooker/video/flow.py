"""Optical flow between consecutive frames, stored as bytes and stacked for a network that sees motion.

Letters besides those of `structures.py`: `P` pairs of consecutive frames (T − 1 in a clip of T), `L` pairs in a stack.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.structures import ClipError, FlowStacks
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels, check_frames, shrink, to_square
from onlooker.video.sampling import Indices, Sampling, equally_spaced, every_frame

__all__ = ["flow", "stacks", "to_bytes", "to_pixels"]

Flow = NDArray[np.float32]
Method = Callable[[Pixels], Flow]  # from at least two frames `T H W 3` to `P H W 2`, see `flow`
Stacked = TypeVar("Stacked", np.uint8, np.float32)

LIMIT = 20.0  # pixels, as in the two-stream papers
SIDE = 256  # pixels of the shorter side, as usual for two-stream networks
_MIN_DIS = 16  # at some smaller sizes OpenCV's DIS returns NaN or reads outside its memory
_BLOCK = 32  # pairs whose flow is held as floats at once


def dis(frames: Pixels) -> Flow:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's preset medium: accurate and by far the fastest."""
    H, W = frames.shape[1:3]
    padding = (0, 0), (0, max(0, _MIN_DIS - H)), (0, max(0, _MIN_DIS - W)), (0, 0)
    # No initial flow: that of another pair would make the result depend on where the clip starts.
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    padded = np.pad(frames, padding, "edge") if np.any(padding) else frames
    return np.ascontiguousarray(_between(padded, lambda a, b: estimator.calc(a, b, None))[:, :H, :W])


def farneback(frames: Pixels) -> Flow:
    """Polynomial expansion (Farnebäck 2003), with the constants of OpenCV's own example; smooth."""
    settings = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}
    estimate: Any = partial(cv2.calcOpticalFlowFarneback, flow=None, flags=0, **settings)
    return _between(frames, estimate)


def tvl1(frames: Pixels) -> Flow:
    """Total variation and an L1 data term (Zach et al. 2007), as in the two-stream papers; a hundred times slower."""
    if not hasattr(cv2, "optflow"):
        raise RuntimeError(
            "tvl1 is only in the contrib build of OpenCV, which replaces the plain one and conflicts with it: "
            "pip uninstall opencv-python-headless, then pip install opencv-contrib-python-headless; or use dis"
        )
    estimator: Any = cv2.optflow.DualTVL1OpticalFlow_create()
    return _between(frames, lambda a, b: estimator.calc(a, b, None))


def _between(frames: Pixels, estimate: Callable[[Pixels, Pixels], Flow]) -> Flow:
    """`P H W 2`; `estimate` gets two gray frames `H W`."""
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    moved = np.empty((len(frames) - 1, *frames.shape[1:3], 2), np.float32)
    for t, out in enumerate(moved):
        out[:] = estimate(gray[t], gray[t + 1])
    return moved


FLOWS: dict[str, Method] = {"dis": dis, "farneback": farneback, "tvl1": tvl1}


def flow(frames: Pixels, method: str = "dis") -> Flow:
    """The displacement of each pixel from one frame to the next.

    Args:
        frames: `T H W 3`, RGB uint8, consecutive frames of a video, at least two. Across a gap the motion is larger
            than the methods expect.
        method: one of `FLOWS`.

    Returns:
        `P H W 2` in pixels, x to the right and y down: what is at (x, y) of frame t is at
        (x + flow[t, y, x, 0], y + flow[t, y, x, 1]) of frame t + 1.

    Raises:
        ValueError: for another shape or type of frames, a single frame, or an unknown method.
        RuntimeError: the method is not installed.
    """
    check_frames(frames)
    if len(frames) < 2:
        raise ValueError(f"{len(frames)} frame, expected at least 2: one frame has no motion")
    if method not in FLOWS:
        raise ValueError(f"unknown flow method {method!r}, expected one of {', '.join(FLOWS)}")
    return FLOWS[method](frames)


def to_bytes(flow: Flow, limit: float = LIMIT) -> Pixels:
    """Flow of any shape as bytes: clipped to ±limit, then round(255 (v + limit) / (2 limit)), as two-stream papers do.

    -limit is 0, limit is 255. No motion is 127.5, rounded to 128: it is restored as limit/255, not as zero.

    A ValueError for flow that is not finite.
    """
    if not np.isfinite(flow).all():
        raise ValueError("flow has values that are not finite, expected displacements in pixels")
    return np.rint((np.clip(flow, -limit, limit) + limit) * (255 / (2 * limit))).astype(np.uint8)


def to_pixels(flow: Pixels, limit: float = LIMIT) -> Flow:
    """The displacements that bytes represent: within limit/255 (0.08 pixels for 20) of the original, if not clipped."""
    if flow.dtype != np.uint8:
        raise ValueError(f"flow is {flow.dtype}, expected uint8 from to_bytes")
    return flow.astype(np.float32) * np.float32(2 * limit / 255) - np.float32(limit)


def stacks(flow: NDArray[Stacked], length: int = 10) -> NDArray[Stacked]:
    """For each frame the flow of the `L` pairs that start at it: x_1, y_1, x_2, … (Simonyan & Zisserman 2014, eq. 1).

    `P H W 2`, floats or bytes, become `T H W 2L`, where T is P + 1: at the end the last pair is repeated.
    """
    return _stacked(flow, _pairs(every_frame, length, len(flow) + 1))


@dataclass(frozen=True)
class FlowSettings:
    """How the flow of a video is computed and stored.

    It is computed on upright frames with their aspect ratio, shrunk to `side`, and then resized to `size`: in small
    squares the motion of small objects would be lost. The same motion gives the same bytes at any resolution of a file.

    Args:
        length: L, how many pairs in each stack; the last pair of a video is repeated at its end.
        method: one of `FLOWS`.
        limit: clips displacements, in pixels of the result; see `to_bytes`.
        size: height and width of the result, as for `resize`; None: as computed.
        side: frames are shrunk if their shorter side is longer than this; None: never.

    Raises:
        ValueError: a length, limit, size or side that is not positive.
    """

    length: int = 10
    method: str = "dis"
    limit: float = LIMIT
    size: int | None = None
    side: int | None = SIDE

    def __post_init__(self) -> None:
        for name in ("length", "limit", "size", "side"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} is {value}, expected a positive number")

    def fields(self, frames: Pixels) -> Pixels:
        """The flow of consecutive frames `T H W 3` that are already shrunk: `P H W 2`, bytes."""
        moved = flow(frames, self.method)
        if self.size is not None:
            H, W = moved.shape[1:3]
            moved = to_square(moved, self.size) * np.array([self.size / W, self.size / H], np.float32)
        return to_bytes(moved, self.limit)


_USUAL = FlowSettings()


def read_flow(path: Path | str, count: int | Sampling = 30, settings: FlowSettings = _USUAL) -> FlowStacks:
    """Stacks of flow at `count` equally spaced frames of a video, those that `read` gives.

    Flow is always between consecutive frames of the video, however far apart the chosen frames are; a pair that several
    stacks share is computed once.

    Args:
        count: T, how many equally spaced frames; a shorter video repeats its last one. Or a sampling of `T` frames.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or only one frame.
        ValueError: a count below 1.
        RuntimeError: the method is not installed.
    """
    sampling = partial(equally_spaced, count=count) if isinstance(count, int) else count
    reader, pairs_of = VideoReader(path), partial(_pairs, sampling, settings.length)

    def both(total: int) -> Indices:
        return np.unique(np.minimum([pairs_of(total), pairs_of(total) + 1], total - 1))

    frames = reader.get(both, shorter_side=settings.side)
    if (total := len(reader)) < 2:
        raise _motionless(path)
    starts, pairs = sampling(total), pairs_of(total)
    unique = np.unique(pairs)
    parts = []
    for run in np.split(unique, np.flatnonzero(np.diff(unique) > 1) + 1):  # without gaps
        first = int(np.searchsorted(frames.indices, run[0]))
        parts += [settings.fields(block) for block in _overlapping(frames.pixels[first : first + len(run) + 1])]
    at = np.searchsorted(frames.indices, starts)
    together = _stacked(np.concatenate(parts), np.searchsorted(unique, pairs))
    return FlowStacks(together, frames.times[at], starts, settings.limit)


def stream_flow(path: Path | str, settings: FlowSettings = _USUAL) -> Iterator[Pixels]:
    """The stacks `H W 2L` that `read_flow` gives for every frame of a video, in constant memory."""
    stack: deque[Pixels] = deque(maxlen=settings.length)
    for field in _every_field(path, settings):
        stack.append(field)
        if len(stack) == settings.length:
            yield np.concatenate(stack, -1)


def _every_field(path: Path | str, settings: FlowSettings) -> Iterator[Pixels]:
    """The flow of all pairs in turn; then that of the last one again, for the stacks at the end."""
    field: Pixels | None = None
    for block in _overlapping(shrink(pixels, settings.side) for _, _, pixels in VideoReader(path)):
        for field in settings.fields(block):
            yield field
    if field is None:
        raise _motionless(path)
    yield from repeat(field, settings.length)


def flow_ahead(frames: Pixels, settings: FlowSettings = _USUAL) -> Pixels:
    """The stack `H W 2L` at the first of `L+1` consecutive frames `L+1 H W 3`, equal to that of `read_flow`."""
    return np.concatenate(settings.fields(np.stack([shrink(frame, settings.side) for frame in frames])), -1)


def _pairs(sampling: Sampling, length: int, total: int) -> Indices:
    """The pairs in the stacks at sampled frames of a video of `total` frames: `T L`, the first frame of each."""
    return np.minimum(sampling(total)[:, None] + np.arange(length), max(total - 2, 0))


def _overlapping(frames: Iterable[Pixels]) -> Iterator[Pixels]:
    """Frames in blocks `T H W 3`; the last frame of a block is the first of the next."""
    held: list[Pixels] = []
    for frame in frames:
        held.append(frame)
        if len(held) > _BLOCK:
            yield np.stack(held)
            del held[:-1]
    if len(held) > 1:
        yield np.stack(held)


def _motionless(path: Path | str) -> ClipError:
    return ClipError(path, "1 frame decoded, and one frame has no motion", "give a video of at least 2")


def _stacked(flow: NDArray[Stacked], pairs: Indices) -> NDArray[Stacked]:
    """`P H W 2` and `T L` to `T H W 2L`."""
    return np.moveaxis(flow[pairs], 1, 3).reshape(len(pairs), *flow.shape[1:3], -1)

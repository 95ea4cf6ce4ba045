"""Optical flow between consecutive frames, stored as bytes and stacked for a network that sees motion.

Letters besides those of `structures.py`: `P` pairs of consecutive frames (T − 1 in a clip of T), `L` pairs in a stack.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.structures import ClipError, FlowStacks
from onlooker.video.raft import raft
from onlooker.video.reader import VideoReader
from onlooker.video.resize import shrink
from onlooker.video.sampling import EquallySpaced, Sampling

__all__ = ["flow", "stacks", "to_bytes", "to_pixels"]

Pixels = NDArray[np.uint8]
Flow = NDArray[np.float32]
Method = Callable[[Pixels], Flow]  # from at least two frames `T H W 3` to `P H W 2`, see `flow`
Stacked = TypeVar("Stacked", np.uint8, np.float32)

LIMIT = 20.0  # pixels, as in the two-stream papers
SIDE = 256  # pixels of the shorter side, as flow is usual for two-stream networks
# At some smaller sizes OpenCV's DIS returns NaN or reads outside its memory.
_MIN_DIS = 16
# Pairs whose flow is held as floats at once.
_BLOCK = 32


def dis(frames: Pixels) -> Flow:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's preset medium: accurate and by far the fastest."""
    H, W = frames.shape[1:3]
    pad = max(0, _MIN_DIS - H), max(0, _MIN_DIS - W)
    if any(pad):
        frames = np.pad(frames, ((0, 0), (0, pad[0]), (0, pad[1]), (0, 0)), "edge")
    # No initial flow: that of another pair would make the result depend on where the clip starts.
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.ascontiguousarray(_between(frames, lambda a, b: estimator.calc(a, b, None))[:, :H, :W])


def farneback(frames: Pixels) -> Flow:
    """Polynomial expansion (Farnebäck 2003), with the constants of OpenCV's own example; smooth."""

    def estimate(a: Pixels, b: Pixels) -> Flow:
        moved = np.empty((*a.shape, 2), np.float32)
        cv2.calcOpticalFlowFarneback(
            a, b, moved, pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5, poly_sigma=1.2, flags=0
        )
        return moved

    return _between(frames, estimate)


def tvl1(frames: Pixels) -> Flow:
    """Total variation and an L1 data term (Zach et al. 2007), as in the two-stream papers; a hundred times slower.

    Raises:
        RuntimeError: OpenCV's contrib build is not installed.
    """
    if not hasattr(cv2, "optflow"):
        raise RuntimeError(
            "tvl1 is only in the contrib build of OpenCV, which replaces the plain one and conflicts with it: "
            "pip uninstall opencv-python-headless, then pip install opencv-contrib-python-headless; or use dis"
        )
    estimator: Any = cv2.optflow.DualTVL1OpticalFlow_create()
    return _between(frames, lambda a, b: estimator.calc(a, b, None))


# RAFT loads torchvision's weights on first use; `raft` accepts other weights.
FLOWS: dict[str, Method] = {
    "dis": dis,
    "farneback": farneback,
    "tvl1": tvl1,
    "raft": raft(),
    "raft:large": raft(large=True),
}


def flow(frames: Pixels, method: str | Method = "dis") -> Flow:
    """The displacement of each pixel from one frame to the next.

    Args:
        frames: `T H W 3`, RGB uint8, consecutive frames of a video, at least two. Across a gap the motion is larger
            than the methods expect.
        method: one of `FLOWS`, or a function of the same kind, such as `raft(weights)`.

    Returns:
        `P H W 2` in pixels, x to the right and y down: what is at (x, y) of frame t is at
        (x + flow[t, y, x, 0], y + flow[t, y, x, 1]) of frame t + 1.

    Raises:
        ValueError: for another shape or type of frames, a single frame, or an unknown method.
        RuntimeError: the method is not installed, or its weights cannot be loaded.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 T H W 3")
    if min(frames.shape[1:3]) < 1:
        raise ValueError(f"frames have shape {frames.shape}, expected at least 1x1 pixels")
    if len(frames) < 2:
        raise ValueError(f"{len(frames)} frame, expected at least 2: one frame has no motion")
    return _named(method)(frames)


def to_bytes(flow: Flow, limit: float = LIMIT) -> Pixels:
    """Flow of any shape as bytes: clipped to ±limit, then round(255 (v + limit) / (2 limit)), as two-stream papers do.

    -limit is 0, limit is 255. No motion is 127.5, rounded to 128: it is restored as limit/255, not as zero.

    Args:
        flow: displacements in pixels.
        limit: the largest displacement that can be represented, in pixels.

    Raises:
        ValueError: a limit that is not positive, or flow that is not finite.
    """
    _check_limit(limit)
    if not np.isfinite(flow).all():
        raise ValueError("flow has values that are not finite, expected displacements in pixels")
    return np.rint((np.clip(flow, -limit, limit) + limit) * (255 / (2 * limit))).astype(np.uint8)


def to_pixels(flow: Pixels, limit: float = LIMIT) -> Flow:
    """The displacements that bytes represent: within limit/255 (0.08 pixels for 20) of the original, if not clipped.

    Args:
        flow: bytes of any shape, from `to_bytes` with the same limit.
        limit: the displacement that the bytes 0 and 255 represent, in pixels.

    Raises:
        ValueError: a limit that is not positive, or flow that is not uint8.
    """
    _check_limit(limit)
    if flow.dtype != np.uint8:
        raise ValueError(f"flow is {flow.dtype}, expected uint8 from to_bytes")
    return flow.astype(np.float32) * np.float32(2 * limit / 255) - np.float32(limit)


def stacks(flow: NDArray[Stacked], length: int = 10) -> NDArray[Stacked]:
    """For each frame the flow of the `L` pairs that start at it: x_1, y_1, x_2, … (Simonyan & Zisserman 2014, eq. 1).

    At the end of the clip the last pair is repeated, so that the last frame has a stack as well.

    Args:
        flow: `P H W 2`, floats or bytes, of all pairs of a clip.
        length: L; 1 gives single pairs.

    Returns:
        `T H W 2L`, where T is P + 1.

    Raises:
        ValueError: for another shape, no pairs, or a length below 1.
    """
    if flow.ndim != 4 or flow.shape[-1] != 2:
        raise ValueError(f"flow has shape {flow.shape}, expected P H W 2")
    if not len(flow):
        raise ValueError("flow of 0 pairs of frames, expected at least 1: one frame has no motion")
    return _stacked(flow, _pairs(np.arange(len(flow) + 1), len(flow) + 1, length))


def read_flow(
    path: Path | str,
    count: int | Sampling = 30,
    length: int = 10,
    method: str | Method = "dis",
    limit: float = LIMIT,
    size: int | None = None,
    side: int | None = SIDE,
) -> FlowStacks:
    """Stacks of flow at `count` equally spaced frames of a video, those that `read` gives.

    Flow is always between consecutive frames of the video, however far apart the chosen frames are; a pair that several
    stacks share is computed once. It is computed on upright frames with their aspect ratio, shrunk to `side`, and then
    resized to `size`: in small squares the motion of small objects would be lost. Displacements are in pixels of the
    result, so x is scaled by size / W and y by size / H, and `limit` is in those pixels: the same motion gives the same
    bytes at any resolution of the file.

    Args:
        path: a video file, or a folder of numbered images.
        count: T, how many equally spaced frames; a shorter video repeats its last one. Or a sampling of `T` frames.
        length: L, how many pairs in each stack; the last pair of the video is repeated at its end.
        method: one of `FLOWS`, or a function of the same kind.
        limit: clips displacements, in pixels of the result; see `to_bytes`.
        size: height and width of the result, as for `resize`; None: as computed.
        side: frames are shrunk if their shorter side is longer than this; None: never.

    Returns:
        Stacks `T H W 2L`, with the times (seconds) and indices of their first frames.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or only one frame.
        ValueError: a count, length, limit, size or side that is not positive, or an unknown method.
        RuntimeError: the method is not installed, or its weights cannot be loaded.
    """
    _check_numbers(limit, count=count if isinstance(count, int) else None, length=length, size=size, side=side)
    sampling = EquallySpaced(count) if isinstance(count, int) else count
    estimate, reader = _named(method), VideoReader(path)
    found = reader.get(_BothFrames(sampling, length), shorter_side=side)
    total = len(reader)
    if total < 2:
        raise _motionless(path)
    starts = sampling.indices(total)
    pairs = _pairs(starts, total, length)
    unique = np.unique(pairs)
    parts = []
    for run in _runs(unique):
        first = int(np.searchsorted(found.indices, run[0]))
        parts.append(_finish(estimate(found.pixels[first : first + len(run) + 1]), size, limit))
    at = np.searchsorted(found.indices, starts)
    together = _stacked(np.concatenate(parts), np.searchsorted(unique, pairs))
    return FlowStacks(together, found.times[at], starts, limit)


def stream_flow(
    path: Path | str,
    length: int = 10,
    method: str | Method = "dis",
    limit: float = LIMIT,
    size: int | None = None,
    side: int | None = SIDE,
) -> Iterator[Pixels]:
    """For each frame of a video its stack of flow, `H W 2L`, one after another in constant memory.

    The stacks equal those of `read_flow(path, AllFrames(), …)`, which has the same arguments and errors: pairs are
    computed in the same blocks.
    """
    _check_numbers(limit, length=length, size=size, side=side)
    estimate = _named(method)
    ahead: deque[Pixels] = deque()  # the flow from the next frame on
    for frames in _overlapping(shrink(pixels, side) for _, _, pixels in VideoReader(path)):
        for field in _finish(estimate(frames), size, limit):
            if len(ahead) == length:
                yield np.concatenate(ahead, -1)
                ahead.popleft()
            ahead.append(field)
    if not ahead:
        raise _motionless(path)
    last = ahead[-1]
    for _ in range(len(ahead) + 1):
        yield np.concatenate([*ahead, *[last] * (length - len(ahead))], -1)
        if ahead:
            ahead.popleft()


def flow_ahead(
    frames: Pixels, method: str | Method = "dis", limit: float = LIMIT, size: int | None = None, side: int | None = SIDE
) -> Pixels:
    """The stack of flow at the first of a few frames, `H W 2L`, equal to that of `read_flow`.

    Args:
        frames: `L+1 H W 3`, RGB uint8, consecutive frames of a video, at least two.
        method, limit, size, side: as for `read_flow`.

    Raises:
        ValueError, RuntimeError: as `flow` and `read_flow`.
    """
    _check_numbers(limit, size=size, side=side)
    shrunk = np.stack([shrink(frame, side) for frame in frames])
    return np.concatenate(_finish(flow(shrunk, method), size, limit), -1)


@dataclass(frozen=True)
class _BothFrames:
    """Both frames of each pair in the stacks at sampled frames."""

    starts: Sampling
    length: int

    def indices(self, total: int) -> NDArray[np.int64]:
        first = _pairs(self.starts.indices(total), total, self.length)
        return np.unique(np.minimum([first, first + 1], total - 1))


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


def _finish(moved: Flow, size: int | None, limit: float) -> Pixels:
    return to_bytes(moved if size is None else _resize(moved, size), limit)


def _motionless(path: Path | str) -> ClipError:
    return ClipError(path, "1 frame decoded, and one frame has no motion", "give a video of at least 2")


def _check_numbers(limit: float, **numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    _check_limit(limit)


def _named(method: str | Method) -> Method:
    if callable(method):
        return method
    if method not in FLOWS:
        raise ValueError(f"no flow method is called {method!r}, expected one of {', '.join(FLOWS)}")
    return FLOWS[method]


def _check_limit(limit: float) -> None:
    if not 0 < limit < float("inf"):
        raise ValueError(f"limit is {limit}, expected a positive number of pixels")


def _between(frames: Pixels, estimate: Callable[[Pixels, Pixels], Flow]) -> Flow:
    """`P H W 2`; `estimate` gets two gray frames `H W`."""
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    moved = np.empty((len(frames) - 1, *frames.shape[1:3], 2), np.float32)
    for t, out in enumerate(moved):
        out[:] = estimate(gray[t], gray[t + 1])
    return moved


def _pairs(starts: NDArray[np.int64], total: int, length: int) -> NDArray[np.int64]:
    """`T L`: the first frame of each pair of the stacks at `starts`, in a video of `total` frames."""
    if length < 1:
        raise ValueError(f"length is {length}, expected at least 1 pair of frames")
    return np.minimum(starts[:, None] + np.arange(length), max(total - 2, 0))


def _runs(pairs: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Pairs in blocks without a gap."""
    for run in np.split(pairs, np.flatnonzero(np.diff(pairs) > 1) + 1):
        yield from (run[at : at + _BLOCK] for at in range(0, len(run), _BLOCK))


def _stacked(flow: NDArray[Stacked], pairs: NDArray[np.int64]) -> NDArray[Stacked]:
    """`P H W 2` and `T L` to `T H W 2L`."""
    T, L = pairs.shape
    together = np.empty((T, *flow.shape[1:3], L, 2), flow.dtype)
    for k in range(L):
        together[..., k, :] = flow[pairs[:, k]]
    return together.reshape(*together.shape[:3], 2 * L)


def _resize(flow: Flow, size: int) -> Flow:
    """`P H W 2` to `P size size 2`, resized as frames are, with displacements in the new pixels."""
    H, W = flow.shape[1:3]
    interpolation = cv2.INTER_AREA if size < H or size < W else cv2.INTER_LINEAR
    resized = np.empty((len(flow), size, size, 2), np.float32)
    for field, out in zip(flow, resized, strict=True):
        out[:] = cv2.resize(field, (size, size), interpolation=interpolation)
    return resized * np.array([size / W, size / H], np.float32)

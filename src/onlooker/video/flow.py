"""How the picture moves from frame to frame: optical flow, stored as bytes, stacked for a network that sees motion.

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

Pixels = NDArray[np.uint8]
Flow = NDArray[np.float32]
Gray = Callable[[Pixels, Pixels], Flow]  # from two gray frames `H W` to `H W 2`
Method = Callable[[Pixels], Flow]  # from at least two frames `T H W 3` to `P H W 2`, see `flow`
Stacked = TypeVar("Stacked", np.uint8, np.float32)

LIMIT = 20.0  # pixels, as in the two-stream papers
SIDE = 256  # pixels of the shorter side, as flow is commonly extracted for two-stream networks
# Below this, OpenCV's DIS gives NaN or reads outside its memory, for a width and a height here and there.
_LEAST_DIS = 16
# Pairs whose flow is held as floats at once.
_AT_ONCE = 32


def dis(frames: Pixels) -> Flow:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's preset medium: good and by far the fastest."""
    H, W = frames.shape[1:3]
    below, beside = max(0, _LEAST_DIS - H), max(0, _LEAST_DIS - W)
    if below or beside:
        frames = np.pad(frames, ((0, 0), (0, below), (0, beside), (0, 0)), "edge")
    # No flow to start from: that of another pair would make the result depend on where the clip was cut.
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
    """Total variation and an L1 data term (Zach et al. 2007), that of the two-stream papers; a hundred times slower.

    Raises:
        RuntimeError: OpenCV's contrib build is not installed.
    """
    if not hasattr(cv2, "optflow"):
        raise RuntimeError(
            "tvl1 is only in the contrib build of OpenCV, which replaces the plain one and breaks beside it: "
            "pip uninstall opencv-python-headless, then pip install opencv-contrib-python-headless; or use dis"
        )
    estimator: Any = cv2.optflow.DualTVL1OpticalFlow_create()
    return _between(frames, lambda a, b: estimator.calc(a, b, None))


# RAFT loads torchvision's weights when it is first used; `raft` makes one with weights of your own.
FLOWS: dict[str, Method] = {
    "dis": dis,
    "farneback": farneback,
    "tvl1": tvl1,
    "raft": raft(),
    "raft:large": raft(large=True),
}


def flow(frames: Pixels, method: str | Method = "dis") -> Flow:
    """Where each pixel of a frame is found in the next one.

    Args:
        frames: `T H W 3`, RGB uint8, consecutive frames of a video, at least two. Over a gap the motion is larger than
            any of the methods expects.
        method: one of `FLOWS`, or a function of the same kind, such as `raft(weights)`.

    Returns:
        `P H W 2` in pixels, x to the right and y down: what is at (x, y) of frame t is at
        (x + flow[t, y, x, 0], y + flow[t, y, x, 1]) of frame t + 1.

    Raises:
        ValueError: for another shape or type of frames, a single frame, or a method that there is not.
        RuntimeError: the method is not installed, or its weights cannot be had.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 T H W 3")
    if min(frames.shape[1:3]) < 1:
        raise ValueError(f"frames have shape {frames.shape}, expected at least 1x1 pixels")
    if len(frames) < 2:
        raise ValueError(f"{len(frames)} frame, expected at least 2: there is no motion in one frame")
    return _named(method)(frames)


def to_bytes(flow: Flow, limit: float = LIMIT) -> Pixels:
    """Flow of any shape as bytes: clipped to ±limit, then round(255 (v + limit) / (2 limit)), as two-stream papers do.

    -limit is 0, limit is 255. No motion would be 127.5 and is 128: it comes back as limit/255, not as zero.

    Args:
        flow: displacements in pixels.
        limit: the largest displacement that is told from larger ones, in pixels.

    Raises:
        ValueError: a limit that is not positive, or flow that is not finite.
    """
    _check_limit(limit)
    if not np.isfinite(flow).all():
        raise ValueError("flow has values that are not finite, expected displacements in pixels")
    return np.rint((np.clip(flow, -limit, limit) + limit) * (255 / (2 * limit))).astype(np.uint8)


def to_pixels(flow: Pixels, limit: float = LIMIT) -> Flow:
    """The displacements that bytes stand for: at most limit/255 (0.08 pixels of 20) from what was stored unclipped.

    Args:
        flow: bytes of any shape, from `to_bytes` with the same limit.
        limit: the displacement of the bytes 0 and 255, in pixels.

    Raises:
        ValueError: a limit that is not positive, or flow that is not uint8.
    """
    _check_limit(limit)
    if flow.dtype != np.uint8:
        raise ValueError(f"flow is {flow.dtype}, expected uint8 from to_bytes")
    return flow.astype(np.float32) * np.float32(2 * limit / 255) - np.float32(limit)


def stacks(flow: NDArray[Stacked], length: int = 10) -> NDArray[Stacked]:
    """For every frame the flow of the `L` pairs from it on: x_1, y_1, x_2, y_2, … (Simonyan & Zisserman 2014, eq. 1).

    At the end of the clip the last pair is repeated, so that the last frame, which begins none, has a stack as well.

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
        raise ValueError("flow of 0 pairs of frames, expected at least 1: there is no motion in one frame")
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
    """The motion that begins at `count` equally spaced frames of a video, those that `read` gives.

    Flow is always that between consecutive frames of the video, whatever the distance of the chosen ones; a pair that
    several stacks share is computed once.

    The flow is computed on upright frames in their own proportions, shrunk to `side`, and only then squashed to `size`:
    small squares would have lost the motion of small things. Displacements are always in pixels of what is returned,
    so x is scaled by size / W and y by size / H, and `limit` is in those pixels: the same motion gives the same bytes
    whatever the resolution of the file.

    Args:
        path: a video file, or a folder of numbered pictures.
        count: T, how many equally spaced frames; a shorter video repeats its last one. Or a sampling of `T` frames.
        length: L, how many pairs from each of them on; the last pair of the video is repeated at its end.
        method: one of `FLOWS`, or a function of the same kind.
        limit: clips displacements, in pixels of what is returned; see `to_bytes`.
        size: height and width of what is returned, as `resize` squashes frames; None: as computed.
        side: larger frames are shrunk until their shorter side has so many pixels; None: never.

    Returns:
        Stacks `T H W 2L`, with the true times (seconds) and indices of the frames at which they begin.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or only one frame.
        ValueError: a count, length, limit, size or side that is not positive, or a method that there is not.
        RuntimeError: the method is not installed, or its weights cannot be had.
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
        parts.append(_stored(estimate(found.pixels[first : first + len(run) + 1]), size, limit))
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
    """The motion that begins at each frame of a video, one stack after the other, in constant memory.

    The stacks are those of `read_flow(path, AllFrames(), …)`, bit for bit: pairs are computed in the same runs.

    Args:
        path: a video file, or a folder of numbered pictures.
        length, method, limit, size, side: as for `read_flow`.

    Yields:
        For each frame `H W 2L`.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or only one frame.
        ValueError: a length, limit, size or side that is not positive, or a method that there is not.
        RuntimeError: the method is not installed, or its weights cannot be had.
    """
    _check_numbers(limit, length=length, size=size, side=side)
    estimate = _named(method)
    ahead: deque[Pixels] = deque()  # the fields from the next frame on
    for frames in _overlapping(shrink(pixels, side) for _, _, pixels in VideoReader(path)):
        for field in _stored(estimate(frames), size, limit):
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
    """The motion that begins at the first of a few frames, as `read_flow` gives it.

    Args:
        frames: `T H W 3`, RGB uint8, consecutive frames of a video, at least two: one more than pairs in the stack.
        method, limit, size, side: as for `read_flow`.

    Returns:
        One stack, `H W 2L`.

    Raises:
        ValueError: for another shape or type of frames, a single one, or a setting that does not fit.
        RuntimeError: the method is not installed, or its weights cannot be had.
    """
    _check_numbers(limit, size=size, side=side)
    shrunk = np.stack([shrink(frame, side) for frame in frames])
    return np.concatenate(_stored(flow(shrunk, method), size, limit), -1)


@dataclass(frozen=True)
class _BothFrames:
    """Both frames of each pair of the stacks that begin at sampled frames."""

    starts: Sampling
    length: int

    def indices(self, total: int) -> NDArray[np.int64]:
        first = _pairs(self.starts.indices(total), total, self.length)
        return np.unique(np.minimum([first, first + 1], total - 1))


def _overlapping(frames: Iterable[Pixels]) -> Iterator[Pixels]:
    """Frames in parts `T H W 3` that are computed at once; the last frame of a part begins the next."""
    held: list[Pixels] = []
    for frame in frames:
        held.append(frame)
        if len(held) > _AT_ONCE:
            yield np.stack(held)
            del held[:-1]
    if len(held) > 1:
        yield np.stack(held)


def _stored(moved: Flow, size: int | None, limit: float) -> Pixels:
    return to_bytes(moved if size is None else _squash(moved, size), limit)


def _motionless(path: Path | str) -> ClipError:
    return ClipError(path, "1 frame decoded, and there is no motion in one frame", "give a video of at least 2")


def _check_numbers(limit: float, **numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    _check_limit(limit)


def _named(method: str | Method) -> Method:
    if callable(method):
        return method
    if method not in FLOWS:
        raise ValueError(f"no flow method is called {method!r}; there are {', '.join(FLOWS)}")
    return FLOWS[method]


def _check_limit(limit: float) -> None:
    if not 0 < limit < float("inf"):
        raise ValueError(f"limit is {limit}, expected a positive number of pixels")


def _between(frames: Pixels, estimate: Gray) -> Flow:
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    moved = np.empty((len(frames) - 1, *frames.shape[1:3], 2), np.float32)
    for t, out in enumerate(moved):
        out[:] = estimate(gray[t], gray[t + 1])
    return moved


def _pairs(starts: NDArray[np.int64], total: int, length: int) -> NDArray[np.int64]:
    """`T L`: the first frame of each of the pairs from `starts` on, in a video of `total` frames."""
    if length < 1:
        raise ValueError(f"length is {length}, expected at least 1 pair of frames")
    return np.minimum(starts[:, None] + np.arange(length), max(total - 2, 0))


def _runs(pairs: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Stretches of pairs that follow one another without a gap, in parts that are computed at once."""
    for run in np.split(pairs, np.flatnonzero(np.diff(pairs) > 1) + 1):
        yield from (run[at : at + _AT_ONCE] for at in range(0, len(run), _AT_ONCE))


def _stacked(flow: NDArray[Stacked], pairs: NDArray[np.int64]) -> NDArray[Stacked]:
    """`P H W 2` and `T L` to `T H W 2L`."""
    T, L = pairs.shape
    together = np.empty((T, *flow.shape[1:3], L, 2), flow.dtype)
    for k in range(L):
        together[..., k, :] = flow[pairs[:, k]]
    return together.reshape(*together.shape[:3], 2 * L)


def _squash(flow: Flow, size: int) -> Flow:
    """`P H W 2` to `P size size 2`: averaged over areas where it shrinks, and scaled, for its pixels are larger."""
    H, W = flow.shape[1:3]
    how = cv2.INTER_AREA if size < H or size < W else cv2.INTER_LINEAR
    squashed = np.empty((len(flow), size, size, 2), np.float32)
    for field, out in zip(flow, squashed, strict=True):
        out[:] = cv2.resize(field, (size, size), interpolation=how)
    return squashed * np.array([size / W, size / H], np.float32)

"""Optical flow between consecutive frames, stored as bytes for networks whose input is motion.

`P` are pairs of consecutive frames: T − 1 in a clip of T.
"""

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import ClipError, Frames
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels, to_square
from onlooker.video.sampling import Indices, Sampling

__all__ = ["flow", "to_bytes"]

Flow = NDArray[np.float32]

LIMIT = 20.0  # pixels, as in the two-stream papers
SIDE = 256  # pixels of the shorter side, as usual for two-stream networks
_MIN_DIS = 16  # at some smaller sizes OpenCV's DIS returns NaN or reads outside its memory


def flow(frames: Pixels) -> Flow:
    """The displacement of each pixel from one frame to the next.

    Dense inverse search (Kroeger et al. 2016), OpenCV's preset medium: accurate and by far the
    fastest.

    Args:
        frames: `T H W 3`, RGB uint8, consecutive frames of a video, at least two. Across a gap the
            motion is larger than the method expects.

    Returns:
        `P H W 2` in pixels, x to the right and y down: what is at (x, y) of frame t is at
        (x + flow[t, y, x, 0], y + flow[t, y, x, 1]) of frame t + 1.
    """
    H, W = frames.shape[1:3]
    padding = (0, max(0, _MIN_DIS - H)), (0, max(0, _MIN_DIS - W))
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grays = [np.pad(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), padding, "edge") for frame in frames]
    # No initial flow: the flow of another pair would make the result depend on the clip's start.
    return np.stack(
        [estimator.calc(earlier, later, None)[:H, :W] for earlier, later in pairwise(grays)]
    )


def to_bytes(flow: Flow, limit: float = LIMIT) -> Pixels:
    """Flow of any shape as bytes: clipped to ±limit, then round(255 (v + limit) / (2 limit)), as
    two-stream papers do.

    -limit is 0, limit is 255. No motion is 127.5, rounded to 128, which stands for limit/255
    pixels, not for zero.
    """
    return np.rint((np.clip(flow, -limit, limit) + limit) * (255 / (2 * limit))).astype(np.uint8)


def read_flow(
    reader: VideoReader,
    sampling: Sampling,
    *,
    limit: float = LIMIT,
    size: int | None = None,
) -> Frames:
    """Flow from `T` frames of a video, which a sampling chooses, to the frames after them; at the
    end, to the last one.

    It is computed on upright frames with their aspect ratio, shrunk to `SIDE`, and then resized to
    `size`: in small squares the motion of small objects would be lost. The same motion gives the
    same bytes at any resolution of a file. The pixels are flow as bytes (`to_bytes`), `T H W 2`.

    Args:
        limit: clips displacements, in pixels of the result; see `to_bytes`.
        size: height and width of the result; see `resize`. None: as computed.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or only one frame.
    """
    starts = wanted = np.zeros(0, np.int64)
    total = 0

    def choose(count: int) -> Indices:
        nonlocal starts, wanted, total
        total = count
        starts = sampling(total)
        firsts = np.minimum(starts, max(total - 2, 0))
        wanted = np.unique([firsts, np.minimum(firsts + 1, total - 1)])
        return wanted

    frames = reader.get(choose, shorter_side=SIDE)
    if total < 2:
        raise ClipError(
            reader.path,
            "1 frame decoded, and one frame has no motion",
            "give a video of at least 2",
        )
    places = np.searchsorted(wanted, starts)
    pairs = np.searchsorted(wanted, np.minimum(starts, total - 2))
    fields = dict[int, Pixels]()
    for pair in np.unique(pairs).tolist():
        moved = flow(frames.pixels[pair : pair + 2])
        if size is not None:
            H, W = moved.shape[1:3]
            moved = to_square(moved, size) * np.array([size / W, size / H], np.float32)
        (fields[pair],) = to_bytes(moved, limit)
    return Frames(
        np.stack([fields[pair] for pair in pairs.tolist()]),
        frames.times[places],
        frames.indices[places],
    )

"""What a few frames of a clip tell before training: length, size, brightness, change, and similar clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced

__all__ = ["ClipFacts", "read_facts", "resemblances"]

_FRAMES, _SIDE, _CELLS = 8, 128, 16  # frames per clip, pixels of their shorter side, cells of a thumbnail's side
_BLOCK = 64  # clips compared with all others at once: 32 MB for 2,000 clips
_FLAT = 2.0  # gray levels: the standard deviation below which a frame has nothing to see or compare


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """What 8 equally spaced frames of a clip tell.

    Args:
        frames, rate: number of frames in the whole clip, and frames per second (0: a single frame, or unknown).
        thumbnails: `8 16 16`, gray levels from 0 to 255.
    """

    frames: int
    rate: float
    size: tuple[int, int]
    thumbnails: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """The duration, including that of the last frame."""
        return self.frames / self.rate if self.rate else 0.0

    @property
    def brightness(self) -> float:
        """The gray level, 0 to 255, that 1 % of the thumbnails' cells exceed."""
        return float(np.percentile(self.thumbnails, 99))

    @property
    def change(self) -> float:
        """The largest difference in gray levels, over time, of a cell of the thumbnails."""
        return float(np.ptp(self.thumbnails, axis=0).max())


def read_facts(path: Path, frame_rate: float | None = None) -> ClipFacts:
    """Decode a few small frames of a clip; a ClipError if it cannot be read. `frame_rate`: as in `VideoReader`."""
    reader = VideoReader(path, frame_rate)
    pixels = reader.get(partial(equally_spaced, count=_FRAMES), shorter_side=_SIDE).pixels
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in pixels]
    thumbnails = np.stack([cv2.resize(frame, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA) for frame in gray])
    times = reader.times
    span = float(times[-1] - times[0])
    rate = (len(times) - 1) / span if span > 0 and not reader.assumes_rate else 0.0
    return ClipFacts(len(times), rate, reader.size, thumbnails.astype(np.float32))


def resemblances(
    clips: Sequence[ClipFacts], minimum: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """All pairs of clips whose scenes correlate by at least `minimum`, the most similar first.

    Each frame is compared with the most similar frame of the other clip, so that clips may begin and end at different
    times. The result is averaged over the frames of each clip, and the lower of the two means counts. Contrast and
    brightness have no influence.

    Returns:
        Positions of the clips `P 2`, and the correlations `P` of their thumbnails, and of the changes over time.
    """
    flat = np.concatenate([_normalized(clip.thumbnails) for clip in clips])
    moving = np.stack([(clip.thumbnails - clip.thumbnails.mean(0)).ravel() for clip in clips])
    motions = moving / np.maximum(np.linalg.norm(moving, axis=1, keepdims=True), 1e-6)
    blocks = []
    for start in range(0, len(clips), _BLOCK):
        rows, columns = flat[start * _FRAMES : (start + _BLOCK) * _FRAMES], flat[start * _FRAMES :]
        frames = (rows @ columns.T).reshape(-1, _FRAMES, len(clips) - start, _FRAMES)
        alike = np.minimum(frames.max(3).mean(1), frames.max(1).mean(2))
        pairs = np.argwhere(np.triu(alike >= minimum, 1))
        motion = motions[start : start + _BLOCK] @ motions[start:].T
        blocks.append((pairs + start, alike[*pairs.T], motion[*pairs.T]))
    pairs, scene, motion = map(np.concatenate, zip(*blocks, strict=True))
    order = np.argsort(-scene, kind="stable")
    return pairs[order], scene[order], motion[order]


def _normalized(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """`8 256`: each frame with mean 0 and norm 1, so that products are correlations; zeros for a flat frame."""
    centered = thumbnails - thumbnails.mean((1, 2), keepdims=True)
    norms = np.linalg.norm(centered, axis=(1, 2), keepdims=True)
    return np.where(norms < _FLAT * _CELLS, 0, centered / np.maximum(norms, 1e-6)).reshape(_FRAMES, -1)

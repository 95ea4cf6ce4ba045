"""Read the clips of a training or an evaluation, with progress."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from onlooker.config import DataConfig
from onlooker.data.clips import ClipFrames, Files, prepare
from onlooker.data.scenes import FRAMES, NO_THUMBNAILS
from onlooker.structures import Clip, ClipError
from onlooker.training.stages import tracked

__all__ = ["read_clips", "read_thumbnails"]

_SMALL = DataConfig(frames=FRAMES, size=32)


def read_clips(
    clips: Sequence[Clip], classes: Sequence[str], data: DataConfig, strict: bool = False, quiet: bool = False
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """`data.clips.prepare` with a progress bar, unless `quiet`; with `strict` the first unreadable clip is an error."""

    def progress(items: Iterable[Files | ClipError], total: int) -> Iterable[Files | ClipError]:
        for item in tracked(items, "reading clips", total, None if quiet else "reading clips"):
            if strict and isinstance(item, ClipError):
                raise item
            yield item

    return prepare(clips, classes, data, progress=progress)


def read_thumbnails(
    samples: ClipFrames, data: DataConfig, features: bool = False, quiet: bool = True
) -> NDArray[np.uint8]:
    """The thumbnails of the clips of samples, `B 8 16 16`: of their frames, or decoded where these are not whole.

    Those of a clip that cannot be read, as when only its features are left, are black.

    Args:
        data, features: how the samples were made, and whether they are features.
    """
    if not features and data.modality != "flow":
        return samples.thumbnails(data.channels)
    try:
        decoded, _ = read_clips(samples.clips, samples.classes, _SMALL, quiet=quiet)
    except ClipError:
        return np.stack([NO_THUMBNAILS] * len(samples))
    images = {clip.path: image for clip, image in zip(decoded.clips, decoded.thumbnails(_SMALL.channels), strict=True)}
    return np.stack([images.get(clip.path, NO_THUMBNAILS) for clip in samples.clips])

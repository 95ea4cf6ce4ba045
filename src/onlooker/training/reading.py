"""Read the clips of a training or an evaluation, with progress."""

from collections.abc import Iterable, Sequence

from onlooker.config import DataConfig
from onlooker.data.clips import ClipFrames, Files, prepare
from onlooker.structures import Clip, ClipError
from onlooker.training.stages import tracked

__all__ = ["read_clips"]


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

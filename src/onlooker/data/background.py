"""Footage in which nothing of interest happens, cut into clips of one more class."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.answer import nothing_name
from onlooker.data.split import SPLITS, Split, split_clips
from onlooker.files import short_name
from onlooker.structures import Clip, ClipError
from onlooker.video.reader import VideoReader, is_video
from onlooker.video.sampling import equally_spaced
from onlooker.video.write import write

__all__ = ["Background", "cut_background"]

_MEASURED = 16  # clips whose length is measured
_RECORDINGS = 5  # at least, so that training, validation and test each have footage
_SIDE = 480  # pixels of the shorter side
_FRAMES = 32  # decoded together
_CRF = 10  # weak compression, so that a model cannot recognize these clips by its artifacts


class Background(NamedTuple):
    """Clips that were cut from footage, and an error for each video that cannot be read."""

    clips: tuple[Clip, ...]
    errors: tuple[ClipError, ...]

    def into(self, split: Split | None) -> Split | None:
        """The split with these clips, divided like any others, added to its parts; None if there is no split."""
        if split is None or not self.clips:
            return split
        parts = split_clips(self.clips)
        return Split(*((*getattr(split, name), *getattr(parts, name)) for name in SPLITS))


def cut_background(footage: Path, clips: Sequence[Clip], out: Path, strict: bool = False) -> Background:
    """Cut evenly spaced pieces from footage, as long as the median clip, and as many as the largest class has clips.

    Args:
        footage: a video, or a folder of videos; each is one recording. Fewer than 5 videos are divided into consecutive
            parts, which count as recordings.
        clips: the other clips. If they have a class in which nothing happens, the pieces are added to it.
        out: a folder for the pieces, which are compressed again.
        strict: stop at the first video that cannot be read.

    Raises:
        ClipError: no videos there, or none can be read.
        ValueError: as `answer.nothing_name`.
    """
    labels = Counter(clip.label for clip in clips)
    classes = sorted(labels)
    label = nothing_name(classes)
    seconds = _median_seconds([clip.path for clip in clips])
    readers, errors = _readable(footage)
    if strict and errors:
        raise errors[0]
    parts = -(-_RECORDINGS // len(readers))  # of each video
    counts = [max(1, int(_duration(reader.times) / seconds + 1e-6)) for reader in readers]
    places = [(reader, i, count) for reader, count in zip(readers, counts, strict=True) for i in range(count)]
    wanted = min(max(labels.values()) - labels[label], len(places))
    pieces = []
    for number, chosen in enumerate(equally_spaced(len(places), wanted).tolist() if wanted > 0 else ()):
        reader, i, count = places[chosen]
        path = out / f"{number:04}-{short_name(reader.path.stem, 100)}.mp4"
        _write_piece(path, reader, i / count, seconds)
        part = f" {i * parts // count + 1}/{parts}" if parts > 1 else ""
        pieces.append(Clip(path, label, f"{reader.path}{part}"))
    return Background(tuple(pieces), tuple(errors))


def _readable(footage: Path) -> tuple[list[VideoReader], list[ClipError]]:
    videos = [footage] if is_video(footage) else sorted(filter(is_video, footage.rglob("[!.]*")))
    readers, errors = [VideoReader(path) for path in videos], list[ClipError]()
    for reader in [*readers]:
        try:
            len(reader)
        except ClipError as error:
            errors.append(error)
            readers.remove(reader)
    if not readers:
        found = f"none of {len(videos)} videos can be read ({errors[0].found})" if errors else "no videos"
        raise ClipError(footage, found, "give footage in which nothing of interest happens")
    return readers, errors


def _write_piece(path: Path, reader: VideoReader, start: float, seconds: float) -> None:
    """Write a part of a video that begins at the share `start` of its duration."""
    begin = start * _duration(reader.times)
    times = reader.times
    indices = np.flatnonzero((times >= begin) & (times < begin + seconds))
    indices = indices if len(indices) else np.array([np.searchsorted(times, begin).clip(max=len(times) - 1)])

    def frames() -> Iterator[NDArray[np.uint8]]:
        for some in np.split(indices, range(_FRAMES, len(indices), _FRAMES)):
            yield from reader.get(some, shorter_side=_SIDE).pixels

    write(path, frames(), float(np.clip(len(times) / _duration(times), 1, 240)), _CRF)


def _median_seconds(paths: Sequence[Path]) -> float:
    spans = []
    for i in np.unique(equally_spaced(len(paths), _MEASURED)):
        try:
            spans.append(_duration(VideoReader(paths[i]).times))
        except ClipError:  # it is reported when it is read for training
            continue
    return float(np.median(spans)) if spans else 1.0


def _duration(times: NDArray[np.float64]) -> float:
    """The seconds of a video, including its last frame; a single frame lasts a 25th of a second."""
    return float(times[-1] * len(times) / (len(times) - 1)) if len(times) > 1 and times[-1] > 0 else 0.04

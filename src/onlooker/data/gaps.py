"""The gaps between the intervals of long recordings: examples in which nothing happens."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from onlooker.data.lists import Parts
from onlooker.intervals import WHOLE, Times, file_of, split_interval, with_interval
from onlooker.processes import map_ahead
from onlooker.structures import Clip, ClipError
from onlooker.video.reader import VideoReader

__all__ = ["cut_gaps"]


def unlabeled_seconds(clips: Iterable[Clip]) -> float:
    """How long recordings last in which there are intervals, without these, and until the last of them."""
    by_file = defaultdict(list)
    for clip in clips:
        by_file[file_of(clip.path)].append(split_interval(clip.path)[1] or WHOLE)
    return sum(end - start for here in by_file.values() for start, end in _gaps(here, max(end for _, end in here)))


def fill_gaps(parts: Parts, label: str) -> int:
    """Add clips of a class to those of a list, from the gaps between its intervals (`cut_gaps`); returns their number.

    They have the recording and the split of the interval before them, or of the first one.
    """
    by_file = defaultdict(list)
    for split, clips in parts.items():
        for clip in clips:
            by_file[file_of(clip.path)].append((split_interval(clip.path)[1] or WHOLE, split, clip.recording))
    cut = {file: here for file, here in by_file.items() if here[0][0] != WHOLE}
    random, count = np.random.default_rng(0), 0
    for (file, here), seconds in zip(cut.items(), map_ahead(_seconds, cut), strict=True):
        here.sort(key=lambda each: each[0])
        for start, end in cut_gaps([times for times, _, _ in here], seconds, random):
            before = max((i for i, (times, _, _) in enumerate(here) if times[0] < start), default=0)
            _, split, recording = here[before]
            parts[split].append(Clip(with_interval(file, start, end), label, recording))
            count += 1
    return count


def cut_gaps(intervals: Sequence[Times], seconds: float, random: np.random.Generator) -> list[Times]:
    """Random intervals in the gaps between those of a recording: at most as many, and with the same lengths.

    Different lengths would tell the classes apart. All times are in milliseconds.
    """
    lengths, found = [end - start for start, end in intervals], list[Times]()
    for start, end in _gaps(intervals, seconds):
        at, here = start, list[float]()
        while round(at + (length := float(random.choice(lengths))), 3) <= end:
            here.append(length)
            at = round(at + length, 3)
        at = start + random.uniform(0, end - at)  # anywhere in the gap
        for length in here:
            found.append((round(at, 3), round(at + length, 3)))
            at += length
    return sorted(found[i] for i in random.permutation(len(found))[: len(intervals)])


def _gaps(intervals: Iterable[Times], seconds: float) -> list[Times]:
    """The times of a recording of this length that are in no interval."""
    gaps, at = list[Times](), 0.0
    for start, end in sorted([*intervals, (seconds, math.inf)]):
        if start > at:
            gaps.append((at, start))
        at = max(at, end)
    return gaps


def _seconds(file: Path) -> float:
    """The length of a recording; 0 if it cannot be read: its clips are named when they are."""
    try:
        return math.floor(VideoReader(with_interval(file, 0)).seconds * 1000) / 1000  # its index is that of its parts
    except ClipError:
        return 0.0

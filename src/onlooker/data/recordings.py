"""Recordings of clips: what is labeled in a file that clips are parts of, or were cut from."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np

from onlooker.base.intervals import WHOLE, Times, outside, resolved, split_interval
from onlooker.base.records import Clip, Recording, Segment
from onlooker.video.sampling import Timing


def clips_by_file(
    clips: Iterable[Clip], *, sources: bool = False
) -> dict[Path, list[tuple[Times, Clip]]]:
    """The clips of each file (`resolved`) with their times there; `WHOLE`: all of it.

    Args:
        sources: a clip that was cut from an existing recording counts as a part of it.
    """
    files = defaultdict[Path, list[tuple[Times, Clip]]](list)
    for clip in clips:
        source = clip.source if sources else None
        file, times = split_interval(source or clip.path)
        files[resolved(file)].append((times or WHOLE, clip))
    return files


def with_labels(
    recording: Recording, clips: Sequence[tuple[Times, Clip]], timing: Timing, *, nothing: str
) -> Recording:
    """A recording with the labels of its clips by time, up to its end; time of the class `nothing`
    is known.

    Args:
        timing: when its frames are shown.
    """
    labels = [
        Segment(clip.label, start, min(end, timing.end), tier=clip.tier)
        for (start, end), clip in clips
        if start < timing.end
    ]
    nothing_happens = [times for times, clip in clips if clip.label == nothing]
    step = float(np.median(np.diff(timing.times))) if len(timing.times) > 1 else 1.0
    return replace(
        recording,
        labels=tuple(sorted(labels, key=attrgetter("start", "end", "label"))),
        unknown=tuple(outside(recording.unknown, nothing_happens)),
        end=float(timing.end),
        rate=1 / max(step, 1e-3),
    )

"""Recordings of clips: what is labeled in a file that clips are parts of, or were cut from."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np

from onlooker.base.intervals import WHOLE, Times, outside, resolved, split_interval
from onlooker.base.records import Clip, Recording, Segment
from onlooker.data.split import group_of
from onlooker.video.sampling import Timing


def recordings_of(
    clips: Iterable[Clip], listed: Iterable[Recording] = (), *, sources: bool = False
) -> list[tuple[Recording, list[tuple[Times, Clip]]]]:
    """The recordings that clips are parts of, each with its clips and their times there; `WHOLE`:
    all of it.

    Args:
        listed: recordings with unknown time and a second scorer (`ClipSet.recordings`).
        sources: a clip that was cut from an existing recording counts as a part of it.
    """
    known = {recording.path: recording for recording in listed}
    recordings = dict[Path, tuple[Recording, list[tuple[Times, Clip]]]]()
    for clip in clips:
        file, times = split_interval((clip.source if sources else None) or clip.path)
        path = resolved(file)
        if path not in recordings:
            recording = known.get(path, Recording(path, ()))
            recording = replace(recording, path=file, group=group_of(clip), root=clip.root)
            recordings[path] = (recording, [])
        recordings[path][1].append((times or WHOLE, clip))
    return [*recordings.values()]


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

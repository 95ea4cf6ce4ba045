"""Whether the labeled times of recordings give states or events: decided once, by one rule."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from onlooker.base.config import When
from onlooker.base.decision import Decision
from onlooker.base.intervals import WHOLE, Times, covered, outside
from onlooker.base.records import Clip, ClipError, InputError, Recording
from onlooker.base.text import counted
from onlooker.data.clips import read_header
from onlooker.data.recordings import recordings_of, with_labels
from onlooker.data.tiers import tiers_of

_COVERED = 0.3  # minimum share of labeled time of recordings that give states
_RECORDINGS = 3  # at least, for states


class TimesPlan(NamedTuple):
    """Whether the times of a list give states or events, and why.

    Args:
        recordings: states are fitted to them; empty: events are fitted.
        why: in words; empty for clips without times.
    """

    recordings: Sequence[Recording] = ()
    why: str = ""


def plan_times(
    clips: Sequence[Clip], decision: Decision, *, when: When, recordings: Sequence[Recording]
) -> TimesPlan:
    """Decide between states and events: states if at least three recordings have several labels,
    and these cover 30 % of their time or more.

    Args:
        clips: the clips that a model is fitted to.
        when: what was requested; auto: decide.
        recordings: recordings with unknown time (`ClipSet.recordings`).

    Raises:
        ClipError: events of labels that overlap.
        InputError: states of clips that are not intervals of two recordings or more.
    """
    nothing = decision.nothing_name
    recordings = _with_clips(recordings, clips, decision)
    are_cut = any(clip.source for clip in clips)  # clips of their own, which may overlap
    if when == "states":
        if len(recordings) < 2:
            raise InputError(
                f"states of {counted(len(recordings), 'recording')}, expected at least 2",
                "give a list with start and end of what goes on in each, or leave out --when states",
            )
        return TimesPlan(recordings, "states, as asked for")
    tiers = tiers_of(recordings, decision.classes, nothing=decision.nothing_class)
    if not are_cut and len(tiers) > 1:
        if len(recordings) > 1 and when == "auto":
            return TimesPlan(recordings, "states, because intervals with different labels overlap")
        problem = (
            f"intervals with different labels overlap, in {counted(len(recordings), 'recording')}"
        )
        remedy = "label at least 2 recordings for states (--when states), or correct the times"
        raise ClipError(recordings[0].path, problem, remedy)
    several = [
        recording
        for recording in recordings
        if sum(bout.label != nothing for bout in recording.labels) > 1
    ]
    if when == "events" or not several:
        return TimesPlan()
    share = covered_share(several, nothing)
    count = counted(len(several), "recording")
    reason = f"intervals cover {100 * share:.0f} % of {count}"
    if len(several) >= _RECORDINGS and share >= _COVERED:
        if are_cut:
            recordings = [
                _between_labels(recording) for recording in recordings if recording.labels
            ]
        return TimesPlan(recordings, f"states, because {reason}; --when events: only events")
    return TimesPlan(why=f"events, because {reason}; --when states: a class at every moment")


def _between_labels(recording: Recording) -> Recording:
    """The recording with unknown time before its first and after its last label: nobody says how
    much of it was watched.
    """
    begin = recording.labels[0].start
    end = max(bout.end for bout in recording.labels)
    unknown = [(0.0, begin), (end, recording.end)]
    return replace(recording, unknown=tuple(span for span in unknown if span[0] < span[1]))


def _with_clips(
    recordings: Sequence[Recording], clips: Sequence[Clip], decision: Decision
) -> list[Recording]:
    """The recordings that clips are intervals of, or were cut from, with the labels in the order of
    time; without recordings that cannot be read any more.
    """
    labeled = list[Recording]()
    for recording, of_file in recordings_of(clips, recordings, sources=True):
        parts = [(times, clip) for times, clip in of_file if times != WHOLE]
        if not parts:
            continue
        with suppress(ClipError):
            timing = read_header(recording.path).timing
            labeled.append(with_labels(recording, parts, timing, nothing=decision.nothing_name))
    return labeled


def covered_share(recordings: Sequence[Recording], nothing: str) -> float:
    """The share of the known time of recordings in which another class than `nothing` goes on."""
    labeled = 0.0
    total = 0.0
    for recording in recordings:
        labeled += _seconds([bout.span for bout in recording.labels if bout.label != nothing])
        spans = [bout.span for bout in recording.labels]
        after = (recording.end, math.inf)
        total += recording.end - _seconds(outside(recording.unknown, [*spans, after]))
    return labeled / total if total > 0 else 0.0


def _seconds(times: Sequence[Times]) -> float:
    return sum(end - start for start, end in covered(times))

"""When an event happens: the times at which the score of a class is high relative to the clip."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onlooker.structures import Segment

__all__ = ["MIN_SCORE", "find_segments", "runs_above"]

MIN_SCORE = 0.01  # of a class in a clip, to have segments and tubes
_ONSET = 0.5  # share of the highest score of a class from which on a frame belongs to its segments


def runs_above(scores: NDArray[np.floating], onset: float) -> list[tuple[int, int]]:
    """First and last frame of each run of scores that are at least `onset` times the maximum.

    The threshold is relative to the clip because models are rarely equally confident about two clips.
    """
    high = np.concatenate(([False], scores >= onset * scores.max(), [False]))
    changes = np.flatnonzero(np.diff(high))
    return [(int(first), int(after) - 1) for first, after in changes.reshape(-1, 2)]


def find_segments(
    frame_scores: NDArray[np.floating],
    times: NDArray[np.floating],
    classes: Sequence[str],
    end: float = math.inf,
) -> tuple[Segment, ...]:
    """The segments of every class, highest score first; a segment's score is its mean probability.

    A frame stands for the time between the midpoints to its neighbors. Classes whose probability stays below
    `MIN_SCORE` are left out.

    Args:
        frame_scores: `T K`, probabilities.
        times: `T`, presentation times in seconds, never descending; frames of equal times (padding of a short clip)
            count as one.
        classes: the `K` class names.
        end: when the clip ends; no segment does so later.
    """
    distinct, first_of = np.unique(np.asarray(times, dtype=np.float64), return_index=True)
    if len(distinct) < 2:
        return ()  # a single image has no duration
    midpoints = (distinct[1:] + distinct[:-1]) / 2
    start = max(0.0, 2 * distinct[0] - midpoints[0])
    last = min(2 * distinct[-1] - midpoints[-1], max(end, distinct[-1]))
    bounds = np.concatenate(([start], midpoints, [last]))
    scores = frame_scores[first_of]
    segments = [
        Segment(name, float(bounds[first]), float(bounds[last + 1]), float(scores[first : last + 1, k].mean()))
        for k, name in enumerate(classes)
        if scores[:, k].max() >= MIN_SCORE
        for first, last in runs_above(scores[:, k], _ONSET)
    ]
    return tuple(sorted(segments, key=lambda segment: -segment.score))

"""From which distance on clips and windows are unlike those of training: another place, another
camera, things that were never seen.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.stats import t

from onlooker.training.linear import FOLDS, ClipStatistics, LayerChoice
from onlooker.training.regression import standard_scale
from onlooker.training.sums import moments

_SHARE = 0.99  # of new recordings whose clips are all usual


def usual_distance(clips: ClipStatistics, choice: LayerChoice) -> float | None:
    """The distance (`Output.distance`) that no clip of a new recording exceeds (`upper_bound`), by
    leaving recordings out; None for clips that cannot be divided.
    """
    columns = clips.columns(choice.statistics)
    distances = np.zeros(len(clips.y))
    for fit, test in clips.folds(FOLDS):
        center, deviation = moments(partial(clips.batches, fit, columns, choice.copies))
        scale = standard_scale(center, deviation)
        distances[test] = np.concatenate(
            [(((x - center) / scale) ** 2).sum(1) for x, _ in clips.batches(test, columns)]
        )
    recordings = np.unique(clips.groups, return_inverse=True)[1]
    farthest = np.zeros(recordings.max() + 1)
    np.maximum.at(farthest, recordings, distances)
    return upper_bound(farthest.tolist())


def upper_bound(farthest: Sequence[float]) -> float | None:
    """The distance that a new recording does not exceed in 99 of 100 cases; None where too few are
    known.

    It is the upper bound of a prediction interval for the logarithm of one further distance (of
    Student's t: wide if there are few recordings), or a higher quantile of those that were seen.

    `farthest`: the distances of recordings that were left out: of the farthest clip of each.
    """
    positive = np.array([distance for distance in farthest if distance > 0])
    count = len(positive)
    if count < 2:
        return None
    logs = np.log(positive)
    spread = logs.std(ddof=1) * np.sqrt(1 + 1 / count)
    with np.errstate(over="ignore"):
        bound = np.exp(logs.mean() + t.ppf(_SHARE, count - 1) * spread)
    bound = max(bound, np.quantile(positive, _SHARE))
    return float(bound) if np.isfinite(bound) else None

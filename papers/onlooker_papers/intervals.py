"""95 % intervals of means and of differences: over seeds or draws of a split, and over recordings."""

from collections.abc import Sequence
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # number of seeds -> quantile of Student's t
_Z = 1.959964


def of_mean(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """The mean of independent values, and its interval (normal)."""
    center, half = float(np.mean(values)), _Z * float(np.std(values)) / len(values) ** 0.5
    return [center, center - half, center + half]


def over_seeds(later: Sequence[float], earlier: Sequence[float]) -> list[float]:
    """The mean difference of two accuracies, paired by seed, and its interval (Student's t)."""
    each = [a - b for a, b in zip(later, earlier, strict=True)]
    half = _T[len(each)] * stdev(each) / len(each) ** 0.5
    return [mean(each), mean(each) - half, mean(each) + half]


def over_recordings(later: Sequence[str], earlier: Sequence[str], recordings: Sequence[str]) -> list[float]:
    """The difference of two models' accuracies, means over seeds, and its interval over recordings.

    Clips of one recording are not independent, so the variance is that of sums over recordings (Liang & Zeger 1986).

    Args:
        later, earlier: for each seed one character per clip, 1 where it is classified correctly.
        recordings: the recording of each clip.
    """
    a, b = (np.mean([np.frombuffer(each.encode(), np.uint8) - 48.0 for each in of], axis=0) for of in (later, earlier))
    return clustered(a - b, recordings)


def clustered(values: Sequence[float] | NDArray[np.float64], recordings: Sequence[str]) -> list[float]:
    """The mean of a value of each clip, and its interval over recordings."""
    center = float(np.mean(values))
    _, numbers = np.unique(np.asarray(recordings), return_inverse=True)
    half = _Z * float(np.sqrt((np.bincount(numbers, np.asarray(values) - center) ** 2).sum())) / len(values)
    return [center, center - half, center + half]

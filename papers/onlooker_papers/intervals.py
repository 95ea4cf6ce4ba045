"""95 % intervals of means and of differences: over seeds or draws of a split, and over recordings."""

from collections.abc import Sequence
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student


def _quantile(count: int) -> float:
    """Of Student's t, for the mean of so many values."""
    return float(student.ppf(0.975, count - 1))


def over_seeds(later: Sequence[float], earlier: Sequence[float]) -> list[float]:
    """The mean difference of two accuracies, paired by seed, and its interval (Student's t)."""
    each = [a - b for a, b in zip(later, earlier, strict=True)]
    half = _quantile(len(each)) * stdev(each) / len(each) ** 0.5
    return [mean(each), mean(each) - half, mean(each) + half]


def as_text(correct: NDArray[np.bool_]) -> str:
    """One character per clip: 1 where it is classified correctly."""
    return "".join("01"[int(each)] for each in correct)


def correct_of(text: str) -> NDArray[np.float64]:
    """The inverse of `as_text`, as numbers."""
    return np.array([*text], np.float64)


def over_recordings(
    later: Sequence[str], earlier: Sequence[str], recordings: Sequence[str]
) -> list[float]:
    """The difference of two models' accuracies, means over seeds (a text of `as_text` each), and
    its interval by the sums of recordings (linearized ratio, Cochran 1977, equation 6.12, with
    Student's t). If all recordings have the same difference, another one may differ: the interval
    is of the share of such recordings, of which none was seen.
    """
    apart = np.mean([*map(correct_of, later)], axis=0) - np.mean(
        [*map(correct_of, earlier)], axis=0
    )
    _, numbers = np.unique(recordings, return_inverse=True)
    clips = np.bincount(numbers)
    center = float(apart.mean())
    residuals = np.bincount(numbers, apart - center)
    count = len(clips)
    if count < 2:
        return [center]
    half = _quantile(count) * np.sqrt(count / (count - 1) * (residuals**2).sum()) / clips.sum()
    if np.allclose(residuals, 0):
        half = 1 - 0.025 ** (1 / count)
    return [center, max(center - half, -1.0), min(center + half, 1.0)]

"""95 % intervals of means and of differences: over seeds or draws of a split, and over recordings."""

from collections.abc import Sequence
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from onlooker.measure.metrics import accuracy_interval

_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # number of seeds -> quantile of Student's t


def over_seeds(later: Sequence[float], earlier: Sequence[float]) -> list[float]:
    """The mean difference of two accuracies, paired by seed, and its interval (Student's t)."""
    each = [a - b for a, b in zip(later, earlier, strict=True)]
    half = _T[len(each)] * stdev(each) / len(each) ** 0.5
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
    its interval.
    """
    apart = np.mean([*map(correct_of, later)], axis=0) - np.mean(
        [*map(correct_of, earlier)], axis=0
    )
    # of values that are mapped to shares
    ends = accuracy_interval((1 + apart) / 2, recordings) or ()
    return [float(np.mean(apart)), *(2 * end - 1 for end in ends)]

"""How accuracy grows with the number of training clips."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

__all__ = ["LearningPoint", "predict_accuracy"]

_DRAWS = 2000


class LearningPoint(TypedDict):
    """Training with `clips` clips: `correct` of `tested` other clips were classified correctly."""

    clips: int
    correct: int
    tested: int


def predict_accuracy(points: Sequence[LearningPoint], clips: int) -> tuple[float, float, float]:
    """The expected accuracy with another number of training clips, and its 95 % interval.

    The error follows an inverse power law of the number of clips (Hestness et al. 2017), a line in logarithms, with an
    exponent of 0 to 1. The interval is that of a parametric bootstrap over the tested clips.

    Args:
        points: two or more numbers of clips; three or four are enough.
    """
    sizes, correct, tested = (np.array([point[name] for point in points]) for name in ("clips", "correct", "tested"))
    draws = np.random.default_rng(0).binomial(tested, (correct + 0.5) / (tested + 1), (_DRAWS, len(points)))
    errors = np.log((tested - np.vstack([correct, draws]) + 0.5) / (tested + 1))
    x = np.log(sizes)
    slopes = np.clip(errors @ (x - x.mean()) / ((x - x.mean()) ** 2).sum(), -1, 0)
    expected, *simulated = 1 - np.exp(errors.mean(axis=1) + slopes * (np.log(clips) - x.mean()))
    low, high = np.percentile(np.clip(simulated, 0, 1), [2.5, 97.5])
    return float(np.clip(expected, 0, 1)), float(low), float(high)

"""Predictions of clips by models that were fitted without them, and what is measured from them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from onlooker.measure.events import choose_threshold
from onlooker.measure.metrics import balancing_weights, fit_temperature

Floats = NDArray[np.floating]

_LOWEST = 1e-30  # of a probability, in a log loss


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions for `B` clips of `K` classes, each by a model that was fitted without the clip and
    its recording.

    Args:
        scores: `B K`, probabilities; NaN for a clip without which no model could be fitted.
        targets: `B`, true classes.
        groups: `B`, the recording of each clip.
        nothing: the class in which nothing happens (`answer.nothing_class`).
    """

    scores: Floats
    targets: NDArray[np.integer]
    groups: NDArray[np.str_]
    nothing: int | None = None

    @cached_property
    def tested(self) -> NDArray[np.bool_]:
        """`B`, whether each clip has scores."""
        return cast(NDArray[np.bool_], np.isfinite(self.scores).all(1))

    def subset(self, rows: NDArray[np.generic]) -> Self:
        """The clips at some positions, or of a mask `B`."""
        return replace(
            self, scores=self.scores[rows], targets=self.targets[rows], groups=self.groups[rows]
        )

    @cached_property
    def losses(self) -> Floats:
        """`B`, the log loss of each clip, in nats; NaN where it was not tested."""
        rows = np.arange(len(self.targets))
        return cast(Floats, -np.log(self.scores[rows, self.targets].clip(_LOWEST)))

    @property
    def accuracy(self) -> float:
        """The share of the tested clips whose most probable class is the true one."""
        answers = self.scores[self.tested].argmax(1)
        return float((answers == self.targets[self.tested]).mean())

    def event_threshold(self) -> float | None:
        """The threshold of events (`choose_threshold`)."""
        tested = self.subset(self.tested)
        return choose_threshold(tested.scores, tested.targets, nothing=self.nothing)

    def temperature(self, *, balanced: bool = False) -> float:
        """The temperature that calibrates the scores of the tested clips (`fit_temperature`).

        `balanced`: all classes weigh equally.
        """
        tested = self.subset(self.tested)
        weights = balancing_weights(tested.targets) if balanced else None
        return fit_temperature(
            [*tested.scores[:, None]], tested.targets, aggregation="last", weights=weights
        )


def effective_count(groups: NDArray[np.str_]) -> float:
    """Kish's effective number of recordings of clips, whose recordings are `groups`, `B`: large ones
    count more.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    return float(len(groups) ** 2 / np.square(sizes).sum())


def is_clear(gains: Floats, groups: NDArray[np.str_], chance: float) -> bool:
    """Whether gains `B` are above zero in the mean of other recordings, too: a one-sided test by the
    sums of recordings, with Student's t (linearized ratio, Cochran 1977, equation 6.12) of their
    `effective_count`.

    Args:
        groups: `B`, the recording of each; gains of one recording are never clear.
        chance: that gains of no effect are called clear.
    """
    recordings = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(recordings)
    count = len(sizes)
    if count < 2:
        return False
    effective = effective_count(groups)
    sums = np.bincount(recordings, gains - gains.mean())
    error = np.linalg.norm(sums) * np.sqrt(count / (count - 1)) / len(gains)
    return bool(gains.mean() > stdtrit(effective - 1, 1 - chance) * error)

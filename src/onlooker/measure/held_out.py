"""Predictions of clips by models that were fitted without them, and what is measured from them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

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


def is_clear(gains: Floats, groups: NDArray[np.str_]) -> bool:
    """Whether the mean of gains `B` is above its standard error over recordings.

    The rule of one standard error (Breiman et al. 1984): where a difference may be chance, the
    simpler model is kept.

    `groups`: `B`, the recording of each.
    """
    recordings = np.unique(groups, return_inverse=True)[1]
    error = np.linalg.norm(np.bincount(recordings, gains - gains.mean())) / len(gains)
    return bool(gains.mean() > error)

"""Choose among candidates by cross-validation: one loop, one rule.

The first candidate is the default. Another one is chosen only if it is clearly better, by a test over
recordings: of a few recordings, all but large differences are often chance.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from onlooker.measure.figures import TriedCandidate
from onlooker.measure.held_out import HeldOut, is_clear
from onlooker.measure.metrics import balancing_weights

Floats = NDArray[np.floating]
C = TypeVar("C")

# That a candidate is called clearly better which is as good as the default: as by one standard error
# (Breiman et al. 1984) over many recordings. Over three recordings, a standard error is exceeded by
# chance in a quarter of the comparisons. With .05 / 12, a training of a dozen comparisons would be
# wrong once in twenty, but layers of few clips then keep defaults that are too weak for them.
_CHANCE = 0.16


class Trial(NamedTuple):
    """A candidate that was tested on recordings that it was not fitted to.

    Args:
        losses: `N`, lower is better: of clips, frames, streams or recordings; NaN: not tested.
        groups: `N`, their recordings.
        accuracy: the share that is classified correctly; None: nothing is classified.
        measure: what `losses` are.
    """

    losses: Floats
    groups: NDArray[np.str_]
    accuracy: float | None = None
    measure: str = "log loss"

    @classmethod
    def of(cls, held_out: HeldOut, *, balanced: bool = False) -> "Trial":
        """The log loss of clips; with `balanced`, classes weigh equally. One more clip counts as
        correct and one as wrong, as in `fit_temperature`: of a few clips that are all correct, the
        most confident candidate is not the best.
        """
        tested = held_out.tested
        losses = np.where(tested, held_out.losses, np.nan)
        if not tested.any():
            return cls(losses, held_out.groups)
        if balanced:
            losses[tested] *= balancing_weights(held_out.targets[tested])
        confidence = held_out.scores[tested].max(1).mean().clip(0, 1 - 1e-12)
        losses -= (np.log(confidence) + np.log1p(-confidence)) / tested.sum()
        return cls(losses, held_out.groups, held_out.accuracy)

    @property
    def loss(self) -> float:
        """The mean loss; NaN if nothing was tested."""
        tested = np.isfinite(self.losses)
        return float(self.losses[tested].mean()) if tested.any() else float("nan")

    def is_clearly_better(self, other: "Trial") -> bool:
        """Whether the mean loss is lower in other recordings, too (`is_clear`)."""
        gains = other.losses - self.losses
        tested = np.isfinite(gains)
        return bool(tested.any()) and is_clear(gains[tested], self.groups[tested], _CHANCE)


class Chosen(NamedTuple, Generic[C]):
    """What a search chose.

    Args:
        value: the candidate.
        table: all candidates, each with its loss and why it was chosen or not.
    """

    value: C
    table: tuple[TriedCandidate, ...]


def search(
    choice: str,
    candidates: Iterable[C],
    test: Callable[[C], Trial],
    *,
    name: Callable[[C], str] = str,
) -> Chosen[C]:
    """The first candidate, or the best of those that are clearly better.

    Args:
        choice: what is chosen, in words.
        test: tests a candidate on recordings that it is not fitted to.
        name: of a candidate, in words.
    """
    trials = [(candidate, test(candidate)) for candidate in candidates]
    default = trials[0][1]
    best = 0
    for place, (_, trial) in enumerate(trials):
        if trial.is_clearly_better(default) and trial.loss < trials[best][1].loss:
            best = place
    table = [
        TriedCandidate(
            choice=choice,
            candidate=name(candidate),
            loss=trial.loss if np.isfinite(trial.loss) else None,
            measure=trial.measure,
            accuracy=trial.accuracy,
            outcome=_outcome(trial, default, trials[best][1]),
        )
        for candidate, trial in trials
    ]
    return Chosen(trials[best][0], tuple(table))


def _outcome(trial: Trial, default: Trial, best: Trial) -> str:
    if trial is best:
        return "chosen: default" if trial is default else "chosen: better than the default"
    if trial is default:
        return "another one is clearly better"
    if trial.is_clearly_better(default):
        return "another one is better"
    if trial.loss < default.loss:
        return "better than the default, but not clearly: it may be chance"
    return "not better"


def untested(choice: str, candidate: str, why: str) -> TriedCandidate:
    """The row of something that is chosen without a test."""
    return TriedCandidate(choice=choice, candidate=candidate, outcome=f"chosen: {why}")


def summary(table: Sequence[TriedCandidate]) -> str:
    """What was chosen, in a line."""
    return "; ".join(f"{row.choice} {row}" for row in table if row.is_chosen)

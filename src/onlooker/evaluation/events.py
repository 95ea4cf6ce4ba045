"""The threshold above which a model reports an event, for models with a class in which nothing happens."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.answer import event_scores

__all__ = ["EventThreshold", "choose_threshold"]

FOUND = 0.9  # share of the events that a threshold must find
_USELESS = 0.5  # share of false alarms above which a threshold is of no use


class EventThreshold(NamedTuple):
    """A probability that events need, and what it means for the clips that it was chosen with.

    Args:
        found: share of the clips with an event for which an event is reported, not necessarily the right one.
        false_alarms: share of the clips in which nothing happens for which an event is reported.
    """

    probability: float
    found: float
    false_alarms: float

    def __str__(self) -> str:
        shares = f"{100 * self.found:.0f} % of events found, {100 * self.false_alarms:.0f} % false alarms"
        text = f"{self.probability:.2f} for an event, else nothing ({shares}, on the clips of this choice)"
        if self.false_alarms <= _USELESS:
            return text
        return f"{text}; it does not tell events from nothing: add clips in which nothing happens"


def choose_threshold(
    scores: NDArray[np.floating], targets: NDArray[np.integer], nothing: int | None, found: float = FOUND
) -> EventThreshold | None:
    """The highest threshold that finds at least this share of the events; None if all clips or no clips are events.

    Args:
        scores: `B K`, calibrated probabilities of clips that were not used in training.
        targets: `B`, their true classes.
        nothing: that in which nothing happens (`answer.nothing_class`).
    """
    events = targets != nothing
    if events.all() or not events.any():
        return None
    highest = event_scores(scores, nothing).max(1)
    missed = int((1 - found) * events.sum() + 1e-9)
    threshold = float(np.sort(highest[events])[missed])
    reported = highest >= threshold
    return EventThreshold(threshold, float(reported[events].mean()), float(reported[~events].mean()))

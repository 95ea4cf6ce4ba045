"""What a model answers: the most probable class, or that nothing happens."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOTHING", "Scored", "best_event", "event_scores", "nothing_class", "nothing_name"]

NOTHING = "nothing"
_NAMES = ("none", NOTHING, "background")  # of the class in which nothing happens, whatever their case


def nothing_class(classes: Sequence[str]) -> int | None:
    """The position of the class in which nothing happens: none, nothing or background; None if there is none.

    Raises:
        ValueError: several such classes.
    """
    found = [k for k, name in enumerate(classes) if name.lower() in _NAMES]
    if len(found) > 1:
        names = " and ".join(classes[k] for k in found)
        raise ValueError(f"classes {names} mean the same, that nothing happens; make one class of them")
    return found[0] if found else None


def nothing_name(classes: Sequence[str]) -> str:
    """The name of the answer that nothing happens: that of `nothing_class`, else `nothing`; errors as there."""
    position = nothing_class(classes)
    return NOTHING if position is None else classes[position]


def event_scores(scores: NDArray[np.floating], classes: Sequence[str]) -> NDArray[np.floating]:
    """Probabilities `... K` with -1 for the class in which nothing happens: all others are events."""
    nothing = nothing_class(classes)
    return scores if nothing is None else np.where(np.arange(len(classes)) == nothing, -1, scores)


def best_event(scores: NDArray[np.floating], classes: Sequence[str], threshold: float) -> int | None:
    """The most probable event, from probabilities `K`; None if it does not reach the threshold: nothing happens."""
    of_events = event_scores(scores, classes)
    return int(of_events.argmax()) if of_events.max() >= threshold else None


class Scored:
    """A record with a probability for each class, and the threshold of events, if there is one."""

    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    threshold: float | None

    @property
    def label(self) -> str:
        """The most probable class; with a threshold, the most probable event that reaches it, else nothing."""
        if self.threshold is None:
            return self.classes[int(self.scores.argmax())]
        event = best_event(self.scores, self.classes, self.threshold)
        return nothing_name(self.classes) if event is None else self.classes[event]

    @property
    def score(self) -> float:
        """The probability of `label`; if that is nothing, and not a class: one minus the highest probability."""
        label = self.label
        return float(self.scores[self.classes.index(label)] if label in self.classes else 1 - self.scores.max())

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """The answer with its probability, then all other classes, highest first."""
        order = [self.classes[k] for k in np.argsort(-self.scores, kind="stable")]
        scores = dict(zip(self.classes, self.scores.tolist(), strict=True))
        return [(self.label, self.score), *((name, scores[name]) for name in order if name != self.label)]

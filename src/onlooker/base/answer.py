"""From probabilities to an answer: the most probable class, or that nothing happens. All figures
are computed from these answers.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.base.text import composed

NOTHING = "nothing"
# Names of the class in which nothing happens, as `_letters` of them; the first that is a class
# counts.
_NOTHING_NAMES = (
    NOTHING,
    "none",
    "background",
    "idle",
    "noevent",
    "noaction",
    "nogesture",
    "noactivity",
    "nomotion",
)
# Names of such classes that can also mean an event, or the opposite of one: users are asked.
_UNCLEAR_NAMES = (
    "normal",
    "other",
    "others",
    "doingotherthings",
    "negative",
    "rest",
    "neutral",
    "unknown",
)
# no_fall, NonViolence
_NEGATION = re.compile(r"(?i:no|non|not|without)[\W_]+\w|([Nn]on?|[Nn]ot)[A-Z][a-z]")


def _letters(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[\W_]+", "", composed(name)).casefold()


def nothing_class(classes: Sequence[str], nothing: str | None = None) -> int | None:
    """The position of the class in which nothing happens; None if there is none.

    Args:
        nothing: its name; "": no class is; None: the first with a usual name, such as nothing, none
            or idle.
    """
    if nothing is not None:
        return classes.index(composed(nothing)) if composed(nothing) in classes else None
    names = [_letters(name) for name in classes]
    return next((names.index(name) for name in _NOTHING_NAMES if name in names), None)


def require_one_nothing(classes: Sequence[str], nothing: str | None = None) -> None:
    """Raise a ValueError if `nothing` is no class, or if it is None and several classes have usual
    names.
    """
    if nothing and composed(nothing) not in classes:
        raise ValueError(
            f"nothing is {nothing!r}, expected a class: {', '.join(classes)}; or '' for none of them"
        )
    usual = [name for name in classes if _letters(name) in _NOTHING_NAMES]
    if nothing is None and len(usual) > 1:
        remedy = "make one class of them, or name one with --nothing"
        raise ValueError(
            f"classes {' and '.join(usual)} mean the same, that nothing happens; {remedy}"
        )


def perhaps_nothing(classes: Sequence[str]) -> list[str]:
    """The classes in which nothing may happen, by their names, if no class has a usual name."""
    if nothing_class(classes) is not None:
        return []
    return [name for name in classes if _letters(name) in _UNCLEAR_NAMES or _NEGATION.match(name)]


def nothing_name(classes: Sequence[str], nothing: str | None = None) -> str:
    """The class in which nothing happens (`nothing_class`), or `nothing` if there is none."""
    position = nothing_class(classes, nothing)
    if position is not None:
        return classes[position]
    return "no event" if NOTHING in classes else NOTHING


def event_scores(scores: NDArray[np.floating], nothing: int | None) -> NDArray[np.floating]:
    """Probabilities `... K` with -1 for the class in which nothing happens: all others are events."""
    return (
        scores if nothing is None else np.where(np.arange(scores.shape[-1]) == nothing, -1, scores)
    )


def decide(
    scores: NDArray[np.floating], nothing: int | None, threshold: ArrayLike | None
) -> NDArray[np.int64]:
    """The answers, positions among `Decision.answer_names`: the most probable event if it reaches
    the threshold, else nothing.

    Args:
        scores: `... K`, probabilities.
        nothing: position of the class in which nothing happens (`nothing_class`).
        threshold: one for all, or one for each of `...`; without one (None, NaN) the answer is the
            most probable class.
    """
    minimum = np.asarray(np.nan if threshold is None else threshold, scores.dtype)
    events = event_scores(scores, nothing)
    silent = scores.shape[-1] if nothing is None else nothing
    answers = np.where(events.max(-1) >= minimum, events.argmax(-1), silent)
    return np.where(np.isnan(minimum), scores.argmax(-1), answers)


def answer_scores(scores: NDArray[np.floating], answers: NDArray[np.int64]) -> NDArray[np.floating]:
    """The probability of each answer; of nothing, if it is not a class: one minus the highest
    probability.
    """
    with_nothing = np.concatenate([scores, 1 - scores.max(-1, keepdims=True)], -1)
    return np.take_along_axis(with_nothing, answers[..., None], -1)[..., 0]

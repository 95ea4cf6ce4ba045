"""How scores become an answer: one record for clips, streams, and what is saved or exported."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.base.alarm_curve import EVENT_THRESHOLD, AlarmCurve
from onlooker.base.answer import (
    answer_scores,
    decide,
    event_scores,
    nothing_class,
    nothing_name,
)
from onlooker.base.config import ClipAggregation, StreamConfig
from onlooker.base.settings import Config, setting, stored_name, suggestion
from onlooker.base.text import composed

if TYPE_CHECKING:
    from torch import Tensor  # slow to import

AGGREGATIONS = get_args(ClipAggregation)

_BELOW_ONE = 0.999
PROBABILITIES = "probabilities"  # group of the settings that reports show
# in the record of every version; other values have their defaults where an earlier version lacks them
_ALWAYS_SAVED = {"classes", "aggregation", "temperature", "threshold", "frame_rate"}
# what else is in the record of a model; `package` and `localization` are of earlier versions
_OF_MODEL = {
    *("onlooker", "data", "model", "packages", "weights", "motion_words", "crop"),
    *("package", "localization"),
}


def _below(score: float, threshold: float) -> str:
    """A probability in percent, with as many decimals as it takes to be below a threshold."""
    for digits in range(4):
        text = f"{100 * score:.{digits}f}"
        if float(text) < float(f"{100 * threshold:.0f}"):
            return text
    return text


def score_logits(scores: "Tensor") -> "Tensor":
    """The logits of scores that are a little lower: near 1, logits of float32 are imprecise."""
    lower = _BELOW_ONE * scores
    return lower.log() - (-lower).log1p()


@dataclass(frozen=True)
class TierStates(Config):
    """The states of a tier, which exclude each other, and how long they last
    (`stream.segmenters.semi_markov.Decoder`).

    Args:
        classes: their positions among the classes; -1: none of these states.
        medians: of their durations, in seconds.
        spreads: standard deviations of the logarithms of durations.
        weight: of the log probabilities of frames, relative to the durations.
        threshold: lowest mean probability of a bout; 0: there is none.
    """

    classes: list[int]
    medians: list[float]
    spreads: list[float]
    weight: float
    threshold: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = {len(self.classes), len(self.medians), len(self.spreads)}
        numbers = np.array([*self.medians, *self.spreads, self.weight])
        if len(counts) > 1 or not self.classes or not (numbers > 0).all():
            raise ValueError(
                "a chain of states has lists of different lengths, or no positive numbers"
            )


def check_threshold(threshold: float | None) -> None:
    """Raise a ValueError unless a threshold that a user gave is a probability, or None."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(
            f"threshold is {threshold:g}, expected at least 0 and at most 1, such as 0.8 for 80 %"
        )


@dataclass(frozen=True)
class Decision(Config):
    """How scores become an answer.

    Raises:
        ValueError: names that are empty or equal, or a value of another type or out of its range.
    """

    classes: Sequence[str] = field(metadata={"help": "The K class names; kept as a tuple."})
    aggregation: ClipAggregation = setting(
        "mean", "How frame scores become clip scores (`clip_scores`).", PROBABILITIES
    )
    temperature: float = setting(
        1.0,
        "Probabilities of a frame are softmax(logits / temperature); `fit_temperature` chooses it.",
        PROBABILITIES,
        minimum=1e-6,
        maximum=1_000_000,
    )
    threshold: float | None = setting(
        None,
        "The probability that the event of a clip needs, else the answer is nothing; none: the answer is the most "
        "probable class. `choose_threshold` chooses it. `curve` has the thresholds of recordings and streams.",
        PROBABILITIES,
        minimum=0,
        maximum=1,
    )
    curve: AlarmCurve | None = setting(
        None, "What events of streams are found at which rate of false alarms; none: unknown."
    )
    clip_seconds: float = setting(
        0.0, "Length of the longest clip of training (`Recognizer.longest`).", minimum=0
    )
    states: Sequence[TierStates] = setting(
        (),
        "Chains of states: one state of each goes on at every moment; none: events are found.",
    )
    novelty_limit: float | None = setting(
        None,
        "Novelty limit: a clip farther from the training clips (`Output.distance`) is unusual; none: unknown.",
        stored="usual_distance",
        above=0,
    )
    class_shares: Sequence[float] = setting(
        (),
        "The shares of the classes, towards which the probabilities of unusual clips are drawn; none: they are equal.",
    )
    nothing: str | None = setting(
        None, "The class in which nothing happens (`answer.nothing_class`)."
    )
    frame_rate: float | None = setting(
        None,
        "Frames per second of the training samples, the default for streams; none: unknown, every frame.",
        minimum=1e-3,
        maximum=10_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        classes = tuple(map(composed, self.classes))
        object.__setattr__(self, "classes", classes)
        if not all(classes) or len(set(classes)) < len(classes):
            raise ValueError(
                f"classes are {reprlib.repr(list(classes))}, expected names that differ and are not empty"
            )
        positions = {k for chain in self.states for k in chain.classes}
        if not positions <= {*range(-1, len(classes))}:
            raise ValueError(f"states are of the classes {positions}, of {len(classes)} classes")
        object.__setattr__(self, "states", tuple(self.states))
        shares = tuple(self.class_shares)
        object.__setattr__(self, "class_shares", shares)
        if shares and not (len(shares) == len(classes) and min(shares) >= 0 and any(shares)):
            raise ValueError(
                f"class_shares are {reprlib.repr(shares)}, expected one for each of {len(classes)} classes"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The decision in the record of a saved model, among values that are not of the decision.

        An empty `curve` or `states` are none. `usual_distance` is the name of
        `novelty_limit` in files, which may have either of them; if both, `novelty_limit` counts.

        Raises:
            KeyError: a value is missing that every version has saved.
            ValueError: as the class; or the curve is invalid, or a name is unknown.
        """
        for name in sorted(_ALWAYS_SAVED - values.keys()):
            raise KeyError(name)
        names = {stored_name(option): option.name for option in fields(cls)}
        if unknown := sorted(values.keys() - _OF_MODEL - names.keys() - {*names.values()}):
            remedy = suggestion(unknown[0], [*names])
            raise ValueError(f"a decision has no {', '.join(unknown)}; {remedy}")
        own = {stored: values[name] for stored, name in names.items() if name in values}
        given = {**values, **own}
        given["states"] = given.get("states") or []
        if given.get("curve") == {}:
            given["curve"] = None
        return super().from_dict(given)

    def with_threshold(self, threshold: float | None) -> Self:
        """The decision with another threshold; None: unchanged. Raises what `check_threshold` does."""
        check_threshold(threshold)
        return self if threshold is None else replace(self, threshold=threshold)

    @cached_property
    def nothing_class(self) -> int | None:
        """The position of the class in which nothing happens; None if there is none."""
        return nothing_class(self.classes, self.nothing)

    @cached_property
    def nothing_name(self) -> str:
        """The name of the answer that nothing happens."""
        return nothing_name(self.classes, self.nothing)

    @cached_property
    def answer_names(self) -> tuple[str, ...]:
        """The names of all answers: the classes, then `nothing_name`, unless it is a class."""
        if self.nothing_class is not None:
            return tuple(self.classes)
        return (*self.classes, self.nothing_name)

    def probabilities(self, logits: "Tensor") -> "Tensor":
        """Probabilities `... K`, in float32."""
        return (logits.float() / self.temperature).softmax(-1)

    def is_unusual(self, distances: NDArray[np.floating] | None) -> NDArray[np.bool_] | None:
        """Whether clips with these distances `B` are unlike the training clips; None: unknown."""
        if distances is None or self.novelty_limit is None:
            return None
        return distances.astype(np.float64) > self.novelty_limit

    def shrink_to_prior(
        self, scores: NDArray[np.float32], distances: NDArray[np.floating] | None
    ) -> NDArray[np.float32]:
        """The probabilities `B T K` of clips, drawn towards `class_shares` where the distance `B` is
        above `novelty_limit`: `limit / distance` is the weight that the scores keep.

        `distances`: `B`; None: unknown.
        """
        if distances is None or self.novelty_limit is None:
            return scores
        count = len(self.classes)
        shares = np.array(self.class_shares or (1 / count,) * count)
        # with two recordings, the limit may be larger than a float32
        farther = distances.astype(np.float64).clip(self.novelty_limit)
        weight = (self.novelty_limit / farther)[:, None, None]
        return (weight * scores + (1 - weight) * shares / shares.sum()).astype(np.float32)

    def calibrated(self, windows: "Tensor") -> "Tensor":
        """Scores of windows `...` as probabilities of an event of a class (`AlarmCurve.calibration`);
        their order does not change.
        """
        if self.curve is None or not self.curve.calibration:
            return windows
        slope, offset = self.curve.calibration
        return (slope * score_logits(windows) + offset).sigmoid()

    def aggregate(self, frame_scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of clips `... K` from probabilities of their frames `... T K`."""
        import torch  # slow to import

        return clip_scores(torch.from_numpy(frame_scores), self.aggregation).numpy()

    def event_scores(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probabilities `... K` with -1 for the class in which nothing happens."""
        return event_scores(scores, self.nothing_class)

    def decide(
        self, scores: NDArray[np.floating], thresholds: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """The answers, positions among `answer_names`: the most probable event if it reaches the
        threshold, else nothing.

        Args:
            scores: `... K`, probabilities.
            thresholds: one for all, or one for each of `...`; NaN: none, the answer is the most
                probable class. None: the threshold of the decision.
        """
        thresholds = self.threshold if thresholds is None else thresholds
        return decide(scores, self.nothing_class, thresholds)

    def answer_text(
        self, answer: tuple[str, float], best: tuple[str, float], *, digits: int = 0
    ) -> str:
        """An answer in words, given by its name and its probability, with the best event if that
        does not reach the threshold.

        `digits`: decimals of the percentage.
        """
        label, score = answer
        event, highest = best
        if label != self.nothing_name or highest <= score or self.threshold is None:
            return f"{label} {100 * score:.{digits}f} %"
        needed = f"needs {100 * self.threshold:.0f} %"
        return f"{label} (best: {event} {_below(highest, self.threshold)} %, {needed})"

    def event_threshold(self, alarms_per_hour: float = StreamConfig.alarms_per_hour) -> float:
        """The score that an event of a stream must reach (`AlarmCurve.threshold`); without a curve,
        whatever the rate of false alarms, `EVENT_THRESHOLD`.
        """
        return EVENT_THRESHOLD if self.curve is None else self.curve.threshold(alarms_per_hour)


class Scored:
    """A record with a probability for each class, and how they become an answer."""

    scores: NDArray[np.float32]
    decision: Decision

    @property
    def decided(self) -> NDArray[np.float32]:
        """`K`, the probabilities that decide the answer: of a recording, `event_scores`; else
        `scores`.
        """
        return self.scores

    @property
    def classes(self) -> Sequence[str]:
        """The `K` class names."""
        return self.decision.classes

    @property
    def label(self) -> str:
        """The most probable class; with a threshold, the most probable event that reaches it, else
        nothing.
        """
        return self.decision.answer_names[int(self.decision.decide(self.decided))]

    @property
    def nothing_name(self) -> str:
        """The name of the answer that nothing happens."""
        return self.decision.nothing_name

    @property
    def score(self) -> float:
        """The probability of `label`; if that is nothing, and not a class: one minus the highest
        probability.
        """
        return float(answer_scores(self.decided, self.decision.decide(self.decided)))

    @property
    def best(self) -> tuple[str, float]:
        """The most probable event with its probability, whether it reaches the threshold or not."""
        events = self.decision.event_scores(self.decided)
        place = int(events.argmax())
        return self.classes[place], float(events[place])

    @property
    def answer(self) -> str:
        """The answer in words, such as `wave 96 %`, or `nothing (best: wave 96 %, needs 99 %)`
        (`Decision.answer_text`).
        """
        return self.decision.answer_text((self.label, self.score), self.best)

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """The answer with its probability, then all other classes, highest first."""
        order = [self.classes[k] for k in np.argsort(-self.decided, kind="stable")]
        scores = dict(zip(self.classes, self.decided.tolist(), strict=True))
        return [
            (self.label, self.score),
            *((name, scores[name]) for name in order if name != self.label),
        ]

    @property
    def runner_up(self) -> tuple[str, float] | None:
        """The class after the answer, with its probability; None if the answer is nothing because
        the best event does not reach the threshold, or there is no other class.
        """
        second = self.ranking[1:2]
        return second[0] if second and second[0][1] <= self.score else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        scores = dict(zip(self.classes, self.scores.tolist(), strict=True))
        best = dict(zip(("label", "score"), self.best, strict=True))
        return {"label": self.label, "score": self.score, "best": best, "scores": scores}


def clip_scores(frame_scores: "Tensor", aggregation: str = "mean") -> "Tensor":
    """Probabilities of whole clips from probabilities of their frames, `… T K -> … K`.

    Args:
        aggregation: `mean` (Li et al. 2016); `product`, p ∝ Π_t p_t (the product rule of Kittler et
            al. 1998), for frames that are classified independently, with equally frequent classes;
            `last`, the last frame's.

    Raises:
        ValueError: an unknown aggregation.
    """
    match aggregation:
        case "mean":
            return frame_scores.mean(-2)
        case "last":
            return frame_scores[..., -1, :]
        case "product":
            # In logarithms: a product of fifty probabilities underflows in float32.
            logs = frame_scores.double().clamp_min(float(np.finfo(np.float32).tiny)).log().sum(-2)
            return logs.softmax(-1).to(frame_scores.dtype)
    raise ValueError(f"aggregation is {aggregation!r}, expected one of {', '.join(AGGREGATIONS)}")

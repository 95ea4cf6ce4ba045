"""How scores become an answer: one record for clips, streams, and what is saved or exported."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.base.answer import (
    answer_scores,
    decide,
    event_scores,
    nothing_class,
    nothing_name,
)
from onlooker.base.config import ClipAggregation, StreamConfig
from onlooker.base.settings import Config, field_of, setting
from onlooker.base.text import composed

if TYPE_CHECKING:
    from torch import Tensor  # slow to import

AGGREGATIONS = get_args(ClipAggregation)
EVENT_THRESHOLD = 0.5  # lowest score of an event, where training could not choose one

# share of the events found at a rate of false alarms that a higher threshold must still find
_NEARLY = 0.95
_MIN_MINUTES = 2  # shorter times are stated in seconds
_UNREACHABLE = 2.0  # a threshold above all scores
# values that records of earlier versions lack
_EARLIER_DEFAULTS = {"nothing": None, "curve": None, "clip_seconds": 0.0, "states": ()}


@dataclass(frozen=True)
class EventCurve:
    """For each threshold, the share of the events of streams that are found, and the false alarms
    per hour.

    Args:
        thresholds: `P`, ascending.
        found: share of the events that an event of their class overlaps.
        misnamed: share of the events that only events of other classes overlap.
        alarms_per_hour: false alarms: reported events that overlap none, per hour outside of
            events.
        late: median delay of the reported start of an event, in seconds.
        hours: length of the streams outside of events, where false alarms were counted.
        confused: the two classes that are confused most often; empty if none are.
        by_chance: what `found` would be if the same events were reported at random times; empty in
            models of earlier versions.
    """

    thresholds: list[float]
    found: list[float]
    misnamed: list[float]
    alarms_per_hour: list[float]
    late: float
    hours: float
    confused: list[str]
    by_chance: list[float] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """A curve from plain values; a KeyError or a ValueError for values that are no curve."""
        values = {"by_chance": [], **values}
        curve = cls(**{part.name: field_of(values, part.name, part.type) for part in fields(cls)})
        by_chance = curve.by_chance or curve.thresholds
        points = (curve.found, curve.misnamed, curve.alarms_per_hour, by_chance)
        if {*map(len, points)} != {len(curve.thresholds)} or not curve.thresholds:
            raise ValueError("the curve of events has lists of different lengths, or empty ones")
        return curve

    def point(self, alarms_per_hour: float) -> int | None:
        """The position of the threshold that keeps false alarms to a rate; None if every threshold
        gives more.

        Of the thresholds that keep to the rate, it is the highest one that finds nearly as many
        events as the best of them.
        """
        allowed = [i for i, rate in enumerate(self.alarms_per_hour) if rate <= alarms_per_hour]
        if not allowed:
            return None
        highest = max(self.found[i] for i in allowed)
        return max(i for i in allowed if self.found[i] >= _NEARLY * highest)

    def threshold(self, alarms_per_hour: float) -> float:
        """The score that an event must reach, to keep false alarms to a rate (`point`); above 1,
        which no score reaches, if every threshold gives more.
        """
        point = self.point(alarms_per_hour)
        return _UNREACHABLE if point is None else self.thresholds[point]

    def sentence(self, alarms_per_hour: float) -> str:
        """What to expect at a rate of false alarms, in words."""
        point = self.point(alarms_per_hour)
        if point is None or not self.found[point]:
            return self._sentence_of_nothing_found(alarms_per_hour)
        share = f"{100 * self.found[point]:.0f} % of the events"
        if self.by_chance:
            share += f" ({100 * self.by_chance[point]:.0f} % by chance)"
        late = f"{abs(self.late):.1f} s {'late' if self.late >= 0 else 'early'}"
        text = (
            f"finds {share} at {self.alarms_per_hour[point]:.0f} false alarms an hour, "
            f"begins {late} in the median"
        )
        if self.misnamed[point]:
            wrong = f"{100 * self.misnamed[point]:.0f} %"
            text += f"; names {wrong} wrong, most often {' and '.join(self.confused)}"
        minutes = 60 * self.hours
        length = f"{minutes:.0f} min" if minutes >= _MIN_MINUTES else f"{60 * minutes:.0f} s"
        return f"{text} (in streams made of the training clips, {length} without events)"

    def _sentence_of_nothing_found(self, alarms_per_hour: float) -> str:
        reason = f": {' and '.join(self.confused)} are confused" if self.confused else ""
        enough = _NEARLY * max(self.found)
        points = [i for i, share in enumerate(self.found) if share >= enough]
        best = min(points, key=lambda i: self.alarms_per_hour[i])
        more = f"{100 * self.found[best]:.0f} % at {self.alarms_per_hour[best]:.0f} an hour"
        return f"finds no events at {alarms_per_hour:g} false alarms an hour{reason}; {more}"


@dataclass(frozen=True)
class StateChain:
    """States that exclude each other, and how long they last (`stream.states.Decoder`).

    Args:
        classes: their positions among the classes; -1: none of these states.
        medians: of their durations, in seconds.
        spreads: standard deviations of the logarithms of durations.
        weight: of what frames say, beside durations.
    """

    classes: list[int]
    medians: list[float]
    spreads: list[float]
    weight: float

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """A chain from plain values; a KeyError or a ValueError for values that are none."""
        chain = cls(
            field_of(values, "classes", list[int]),
            field_of(values, "medians", list[float]),
            field_of(values, "spreads", list[float]),
            weight=field_of(values, "weight", float),
        )
        counts = {len(chain.classes), len(chain.medians), len(chain.spreads)}
        numbers = np.array([*chain.medians, *chain.spreads, chain.weight])
        if len(counts) > 1 or not chain.classes or not (numbers > 0).all():
            raise ValueError(
                "a chain of states has lists of different lengths, or no positive numbers"
            )
        return chain


@dataclass(frozen=True)
class Decision(Config):
    """How scores become an answer.

    Raises:
        ValueError: names that are empty or equal, or a value of another type or out of its range.
    """

    classes: Sequence[str] = field(metadata={"help": "The K class names; kept as a tuple."})
    aggregation: ClipAggregation = setting(
        "mean", "How frame scores become clip scores (`clip_scores`)."
    )
    temperature: float = setting(
        1.0,
        "Probabilities of a frame are softmax(logits / temperature); `fit_temperature` chooses it.",
        minimum=1e-6,
        maximum=1_000_000,
    )
    threshold: float | None = setting(
        None,
        "The probability that the event of a clip needs, else the answer is nothing; none: the answer is the most "
        "probable class. `choose_threshold` chooses it. Events of recordings and streams have that of `curve`.",
        minimum=0,
        maximum=1,
    )
    curve: EventCurve | None = setting(
        None, "What events of streams are found at which rate of false alarms; none: unknown."
    )
    clip_seconds: float = setting(
        0.0, "Length of the longest clip of training (`Recognizer.longest`).", minimum=0
    )
    states: Sequence[StateChain] = setting(
        (),
        "Chains of states, of which one of each goes on at every moment; none: events are found.",
    )
    nothing: str | None = setting(
        None, "The class in which nothing happens, as for `answer.nothing_class`."
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

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The decision in the record of a saved model; its other values are ignored.

        Raises:
            KeyError: a value is missing that every version has saved.
            ValueError: as the class; or the curve is invalid.
        """
        values = _EARLIER_DEFAULTS | values
        stored = {f.name: values[f.name] for f in fields(cls)}
        curve = field_of(values, "curve", dict | None)
        stored["curve"] = EventCurve.from_dict(curve) if curve else None
        chains = field_of({"states": values["states"] or []}, "states", list[dict[str, Any]])
        stored["states"] = tuple(map(StateChain.from_dict, chains))
        return cls(**stored)

    def with_threshold(self, threshold: float | None) -> Self:
        """The decision with another threshold; None: unchanged."""
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

    def aggregate(self, frame_scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of clips, `... K`, from those of their frames, `... T K`."""
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
                probable class. None: that of the decision.
        """
        thresholds = self.threshold if thresholds is None else thresholds
        return decide(scores, self.nothing_class, thresholds)

    def event_threshold(self, alarms_per_hour: float = StreamConfig.alarms_per_hour) -> float:
        """The score that an event of a stream must reach (`EventCurve.threshold`); without a curve,
        whatever the rate of false alarms, `EVENT_THRESHOLD`.
        """
        return EVENT_THRESHOLD if self.curve is None else self.curve.threshold(alarms_per_hour)


class Scored:
    """A record with a probability for each class, and how they become an answer."""

    scores: NDArray[np.float32]
    decision: Decision

    @property
    def classes(self) -> Sequence[str]:
        """The `K` class names."""
        return self.decision.classes

    @property
    def label(self) -> str:
        """The most probable class; with a threshold, the most probable event that reaches it, else
        nothing.
        """
        return self.decision.answer_names[int(self.decision.decide(self.scores))]

    @property
    def nothing_name(self) -> str:
        """The name of the answer that nothing happens."""
        return self.decision.nothing_name

    @property
    def score(self) -> float:
        """The probability of `label`; if that is nothing, and not a class: one minus the highest
        probability.
        """
        return float(answer_scores(self.scores, self.decision.decide(self.scores)))

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """The answer with its probability, then all other classes, highest first."""
        order = [self.classes[k] for k in np.argsort(-self.scores, kind="stable")]
        scores = dict(zip(self.classes, self.scores.tolist(), strict=True))
        return [
            (self.label, self.score),
            *((name, scores[name]) for name in order if name != self.label),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        scores = dict(zip(self.classes, self.scores.tolist(), strict=True))
        return {"label": self.label, "score": self.score, "scores": scores}


def clip_scores(frame_scores: "Tensor", aggregation: str = "mean") -> "Tensor":
    """Probabilities of whole clips from those of their frames, `… T K -> … K`.

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

"""How scores become an answer: one record for clips, streams, and what is saved or exported."""

import math
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
# lowest score of an event, where training could not choose one; no lower one is chosen
EVENT_THRESHOLD = 0.5

# share of the events found at a rate of false alarms that a higher threshold must still find
_NEARLY = 0.95
_BELOW_ONE = 0.999
_SURE = 0.95  # confidence of the upper bound of a rate
_MIN_MINUTES = 2  # shorter times are stated in seconds
_UNREACHABLE = 2.0  # a threshold above all scores
PROBABILITIES = "probabilities"  # group of the settings that reports show
# in the record of every version; other values have their defaults where an earlier version lacks them
_ALWAYS_SAVED = {"classes", "aggregation", "temperature", "threshold", "frame_rate"}
# values that curves of earlier versions lack
_EARLIER_CURVE = {
    "by_chance": [],
    "precision": [],
    "events": 0,
    "calibration": [],
    "border_error": None,
}


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
        precision: share of the reported events that overlap an event of their class; empty in
            models of earlier versions.
        events: number of events of the streams; 0 in models of earlier versions.
        calibration: slope and offset of the logit of a window's score, with which it is the
            probability that an event of its class happens there (`Decision.calibrated`); empty:
            scores are as they are.
        border_error: median error of begin and end of the events that are found, in seconds; None in
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
    # not in `repr`, of which `onlooker predict --json` writes a digest
    precision: list[float] = field(default_factory=list, repr=False)
    events: int = field(default=0, repr=False)
    calibration: list[float] = field(default_factory=list, repr=False)
    border_error: float | None = field(default=None, repr=False)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """A curve from plain values; a KeyError or a ValueError for values that are no curve."""
        values = _EARLIER_CURVE | values
        curve = cls(**{part.name: field_of(values, part.name, part.type) for part in fields(cls)})
        by_chance = curve.by_chance or curve.thresholds
        precision = curve.precision or curve.thresholds
        points = (curve.found, curve.misnamed, curve.alarms_per_hour, by_chance, precision)
        if {*map(len, points)} != {len(curve.thresholds)} or not curve.thresholds:
            raise ValueError("the curve of events has lists of different lengths, or empty ones")
        if curve.calibration and not (len(curve.calibration) == 2 and curve.calibration[0] > 0):
            raise ValueError(
                f"the calibration of the curve is {curve.calibration}, expected a positive slope and an offset"
            )
        return curve

    def alarms(self, point: int) -> int:
        """The number of false alarms at a threshold, given by its position."""
        return round(self.alarms_per_hour[point] * self.hours)

    def bound(self, point: int) -> float:
        """The rate of false alarms per hour at a threshold that is not exceeded, with a confidence
        of 95 %: the exact bound of a Poisson rate, which without an alarm is 3 / hours.
        """
        return _poisson_bound(self.alarms(point)) / self.hours

    def quiet_minutes(self, alarms_per_hour: float) -> float:
        """The minutes outside of events, without a false alarm, that bound the rate; infinite for
        a rate of 0.
        """
        return 60 * _poisson_bound(0) / alarms_per_hour if alarms_per_hour else np.inf

    def knows(self, alarms_per_hour: float) -> bool:
        """Whether the streams are long enough outside of events to choose a threshold by a rate."""
        return 60 * self.hours >= self.quiet_minutes(alarms_per_hour)

    def point(self, alarms_per_hour: float) -> int | None:
        """The position of the threshold that keeps false alarms to a rate; None if every threshold
        gives more.

        Of the thresholds whose `bound` keeps to the rate, it is the highest one that finds nearly
        as many events as the best of them. If the streams are too short to know the rate, it is the
        threshold with the highest F1 score. None is below one half. Models of earlier versions have
        thresholds by the rates themselves.
        """
        if not self.precision:
            return self._best(
                [i for i, rate in enumerate(self.alarms_per_hour) if rate <= alarms_per_hour]
            )
        points = [i for i, least in enumerate(self.thresholds) if least >= EVENT_THRESHOLD]
        if not self.knows(alarms_per_hour):
            return max(points, key=self.f1, default=None)
        return self._best([i for i in points if self.bound(i) <= alarms_per_hour])

    def _best(self, allowed: Sequence[int]) -> int | None:
        """Of some thresholds, the highest one that finds nearly as many events as the best."""
        if not allowed:
            return None
        highest = max(self.found[i] for i in allowed)
        return max(i for i in allowed if self.found[i] >= _NEARLY * highest)

    def f1(self, point: int) -> float:
        """The harmonic mean of recall and precision at a threshold."""
        total = self.found[point] + self.precision[point]
        return 2 * self.found[point] * self.precision[point] / total if total else 0.0

    def threshold(self, alarms_per_hour: float) -> float:
        """The score that an event must reach, to keep false alarms to a rate (`point`); above 1,
        which no score reaches, if every threshold gives more.
        """
        point = self.point(alarms_per_hour)
        return _UNREACHABLE if point is None else self.thresholds[point]

    def sentence(self, alarms_per_hour: float) -> str:
        """What to expect at a rate of false alarms, in a sentence: `finds 37 of 40 events, at most
        20 false alarms an hour (none in 9 min of quiet footage)`.
        """
        point = self.point(alarms_per_hour)
        if point is None or not self.found[point]:
            return self._sentence_of_nothing_found(alarms_per_hour)
        return f"finds {self._share(point)}, {alarms_text(self.alarms(point), self.hours)}"

    def details(self, alarms_per_hour: float) -> str:
        """What is behind `sentence`: chance, delay, confusions and the streams, in a sentence."""
        facts = list[str]()
        point = self.point(alarms_per_hour)
        if point is not None and self.found[point]:
            if self.by_chance:
                facts.append(f"by chance it would find {100 * self.by_chance[point]:.0f} %")
            late = f"{abs(self.late):.1f} s {'late' if self.late >= 0 else 'early'}"
            facts.append(f"events begin {late} in the median")
            if self.misnamed[point]:
                names = " and ".join(self.confused)
                wrong = f"{100 * self.misnamed[point]:.0f} %"
                facts.append(f"{wrong} are named wrong, most often {names}")
            facts.append(f"an event needs a score of {100 * self.thresholds[point]:.0f} %")
            facts += filter(None, [self.times_text])
        facts.append("tested in streams that are made of the training clips")
        return "; ".join(facts)

    @property
    def times_text(self) -> str:
        """How exact the times of events are, in words; empty: unknown."""
        if self.border_error is None:
            return ""
        seconds = math.ceil(10 * self.border_error) / 10
        return f"times are about right: half are off by {seconds:.1f} s at most"

    def missing(self, alarms_per_hour: float) -> str:
        """Which footage is missing to choose a threshold by a rate; empty if none is."""
        minutes = self.quiet_minutes(alarms_per_hour)
        if self.knows(alarms_per_hour) or not np.isfinite(minutes):
            return ""
        return (
            f"Record {_duration(minutes / 60)} in which nothing happens, to know of "
            f"{alarms_per_hour:g} false alarms an hour: there are {_duration(self.hours)} of quiet "
            "footage."
        )

    def _share(self, point: int) -> str:
        """How many events are found at a threshold, in words."""
        if not self.events:
            return f"{100 * self.found[point]:.0f} % of the events"
        return f"{round(self.found[point] * self.events)} of {self.events} events"

    def _sentence_of_nothing_found(self, alarms_per_hour: float) -> str:
        reason = f": {' and '.join(self.confused)} are confused" if self.confused else ""
        enough = _NEARLY * max(self.found)
        points = [i for i, share in enumerate(self.found) if share >= enough]
        best = min(points, key=lambda i: self.alarms_per_hour[i])
        more = f"{self._share(best)} at {self.alarms_per_hour[best]:.0f} an hour"
        return f"finds no events at {alarms_per_hour:g} false alarms an hour{reason}; {more}"


def _below(score: float, threshold: float) -> str:
    """A probability in percent, with as many decimals as it takes to be below a threshold."""
    for digits in range(4):
        text = f"{100 * score:.{digits}f}"
        if float(text) < float(f"{100 * threshold:.0f}"):
            return text
    return text


def _poisson_bound(count: int) -> float:
    """The mean of a Poisson distribution that gives so few events in one of 20 cases."""
    from scipy.special import gammaincinv  # slow to import

    return float(gammaincinv(count + 1, _SURE))


def score_logits(scores: "Tensor") -> "Tensor":
    """The logits of scores that are a little lower: near 1, those of float32 would be imprecise."""
    lower = _BELOW_ONE * scores
    return lower.log() - (-lower).log1p()


def alarms_text(count: int, hours: float) -> str:
    """What so many false alarms in some hours without events say about their rate: `at most 20
    false alarms an hour (none in 9 min of quiet footage)`.
    """
    quiet = f"({count or 'none'} in {_duration(hours)} of quiet footage)"
    if not hours:
        return f"{count or 'no'} false alarms {quiet}"
    return f"at most {_rounded_up(_poisson_bound(count) / hours)} false alarms an hour {quiet}"


def _duration(hours: float) -> str:
    minutes = 60 * hours
    return f"{minutes:.0f} min" if minutes >= _MIN_MINUTES else f"{60 * minutes:.0f} s"


def _rounded_up(rate: float) -> str:
    """A bound as a whole number; below 1, with one decimal."""
    return f"{math.ceil(rate)}" if rate >= 1 else f"{math.ceil(10 * rate) / 10:.1f}"


@dataclass(frozen=True)
class StateChain:
    """States that exclude each other, and how long they last (`stream.segmenters.semi_markov.Decoder`).

    Args:
        classes: their positions among the classes; -1: none of these states.
        medians: of their durations, in seconds.
        spreads: standard deviations of the logarithms of durations.
        weight: of the log probabilities of frames, relative to those of durations.
        threshold: lowest mean probability of a bout; 0: there is none.
    """

    classes: list[int]
    medians: list[float]
    spreads: list[float]
    weight: float
    threshold: float = 0.0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """A chain from plain values; a KeyError or a ValueError for values that are none."""
        chain = cls(
            field_of(values, "classes", list[int]),
            field_of(values, "medians", list[float]),
            field_of(values, "spreads", list[float]),
            weight=field_of(values, "weight", float),
            threshold=field_of({"threshold": 0.0, **values}, "threshold", float),
        )
        counts = {len(chain.classes), len(chain.medians), len(chain.spreads)}
        numbers = np.array([*chain.medians, *chain.spreads, chain.weight])
        if len(counts) > 1 or not chain.classes or not (numbers > 0).all():
            raise ValueError(
                "a chain of states has lists of different lengths, or no positive numbers"
            )
        return chain


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
        "probable class. `choose_threshold` chooses it. Events of recordings and streams have that of `curve`.",
        PROBABILITIES,
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
    usual_distance: float | None = setting(
        None,
        "The distance from the training clips (`Output.distance`) above which a clip is unusual; none: unknown.",
        above=0,
    )
    class_shares: Sequence[float] = setting(
        (),
        "The shares of the classes, towards which the probabilities of unusual clips are drawn; none: they are equal.",
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
        shares = tuple(self.class_shares)
        object.__setattr__(self, "class_shares", shares)
        if shares and not (len(shares) == len(classes) and min(shares) >= 0 and any(shares)):
            raise ValueError(
                f"class_shares are {reprlib.repr(shares)}, expected one for each of {len(classes)} classes"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The decision in the record of a saved model; its other values are ignored.

        Raises:
            KeyError: a value is missing that every version has saved.
            ValueError: as the class; or the curve is invalid.
        """
        later = {f.name: f.default for f in fields(cls) if f.name not in _ALWAYS_SAVED}
        values = later | values
        stored = {f.name: values[f.name] for f in fields(cls)}
        curve = field_of(values, "curve", dict | None)
        stored["curve"] = EventCurve.from_dict(curve) if curve else None
        chains = field_of({"states": values["states"] or []}, "states", list[dict[str, Any]])
        stored["states"] = tuple(map(StateChain.from_dict, chains))
        return cls(**stored)

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
        """Whether clips with these distances `B` are unlike those of training; None: unknown."""
        if distances is None or self.usual_distance is None:
            return None
        return distances.astype(np.float64) > self.usual_distance

    def cautious(
        self, scores: NDArray[np.float32], distances: NDArray[np.floating] | None
    ) -> NDArray[np.float32]:
        """The probabilities `B T K` of clips with these distances `B` (None: unknown). What is more
        than `usual_distance` away counts the less the farther it is; `class_shares` count for the
        rest.
        """
        if distances is None or self.usual_distance is None:
            return scores
        count = len(self.classes)
        shares = np.array(self.class_shares or (1 / count,) * count)
        # with two recordings, the usual distance may be larger than a float32
        farther = distances.astype(np.float64).clip(self.usual_distance)
        weight = (self.usual_distance / farther)[:, None, None]
        return (weight * scores + (1 - weight) * shares / shares.sum()).astype(np.float32)

    def calibrated(self, windows: "Tensor") -> "Tensor":
        """The scores of windows `...` as probabilities that an event of a class happens there
        (`EventCurve.calibration`); the order of scores does not change.
        """
        if self.curve is None or not self.curve.calibration:
            return windows
        slope, offset = self.curve.calibration
        return (slope * score_logits(windows) + offset).sigmoid()

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
        """The score that an event of a stream must reach (`EventCurve.threshold`); without a curve,
        whatever the rate of false alarms, `EVENT_THRESHOLD`.
        """
        return EVENT_THRESHOLD if self.curve is None else self.curve.threshold(alarms_per_hour)


class Scored:
    """A record with a probability for each class, and how they become an answer."""

    scores: NDArray[np.float32]
    decision: Decision

    @property
    def decided(self) -> NDArray[np.float32]:
        """`K`, the probabilities by which the answer is decided: those of the events of a
        recording; else `scores`.
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
        label, score = self.best
        best = {"label": label, "score": score}
        return {"label": self.label, "score": self.score, "best": best, "scores": scores}


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

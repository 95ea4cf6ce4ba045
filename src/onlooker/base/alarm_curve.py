"""Recall of events in streams by the rate of false alarms, and the threshold for a rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from onlooker.base.settings import Config

# lowest score of an event, where training could not choose one; no lower one is chosen
EVENT_THRESHOLD = 0.5
# share of the events found at a rate of false alarms that a higher threshold must still find
_NEARLY = 0.95
_SURE = 0.95  # confidence of the upper bound of a rate
_MIN_MINUTES = 2  # shorter times are stated in seconds
_UNREACHABLE = 2.0  # a threshold above all scores


@dataclass(frozen=True)
class AlarmCurve(Config):
    """At each threshold, the share of the events of streams that are found, and the false alarms per
    hour.

    Args:
        thresholds: `P`, ascending.
        recall: `P`, share of the events that a reported event of their class overlaps.
        misnamed: `P`, share of the events that only events of other classes overlap.
        alarms_per_hour: `P`, false alarms: reported events that overlap none, per hour outside of
            events.
        median_delay: of the reported start of an event, in seconds.
        hours: length of the streams outside of events, where false alarms were counted.
        confused: the two classes that are confused most often; empty: none are.
        by_chance: `P`, the recall if the same events were reported at random times; empty in models
            of earlier versions.
        precision: `P`, share of the reported events that overlap an event of their class; empty in
            models of earlier versions.
        events: number of events of the streams; 0 in models of earlier versions.
        calibration: slope and offset of Platt scaling, from the logit of a window's score to the
            probability of an event of its class (`Decision.calibrated`); empty: none.
        border_error: median error of begin and end of the events that are found, in seconds; None in
            models of earlier versions.
    """

    thresholds: list[float]
    recall: list[float] = field(metadata={"stored": "found"})
    misnamed: list[float]
    alarms_per_hour: list[float]
    median_delay: float = field(metadata={"stored": "late"})
    hours: float
    confused: list[str]
    by_chance: list[float] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)
    events: int = 0
    calibration: list[float] = field(default_factory=list)
    border_error: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        points = [self.recall, self.misnamed, self.alarms_per_hour]
        points += filter(None, [self.by_chance, self.precision])
        if {*map(len, points)} != {len(self.thresholds)} or not self.thresholds:
            raise ValueError("the curve of events has lists of different lengths, or empty ones")
        if self.calibration and not (len(self.calibration) == 2 and self.calibration[0] > 0):
            raise ValueError(
                f"the calibration of the curve is {self.calibration}, expected a positive slope and an offset"
            )

    def alarms(self, point: int) -> int:
        """The number of false alarms at a threshold, given by its position."""
        return round(self.alarms_per_hour[point] * self.hours)

    def bound(self, point: int) -> float:
        """Upper 95 % confidence bound of the false alarms per hour at a threshold: the exact bound
        of a Poisson rate, which is 3 / hours without an alarm.
        """
        return _poisson_bound(self.alarms(point)) / self.hours

    def quiet_minutes(self, alarms_per_hour: float) -> float:
        """The minutes outside of events, without a false alarm, that bound the rate; infinite for
        a rate of 0.
        """
        return 60 * _poisson_bound(0) / alarms_per_hour if alarms_per_hour else np.inf

    def enough_footage(self, alarms_per_hour: float) -> bool:
        """Whether the streams are long enough outside of events to choose a threshold by a rate."""
        return 60 * self.hours >= self.quiet_minutes(alarms_per_hour)

    def operating_point(self, alarms_per_hour: float) -> int | None:
        """The position of the threshold that keeps false alarms to a rate; None if every threshold
        gives more.

        It is the highest threshold whose `bound` keeps to the rate and whose recall is close to the
        best of such thresholds. If the streams are too short to know the rate, it is the threshold
        with the highest F1 score. None is below one half. Models of earlier versions have
        thresholds by the rates themselves.
        """
        if not self.precision:
            return self._best(
                [i for i, rate in enumerate(self.alarms_per_hour) if rate <= alarms_per_hour]
            )
        points = [i for i, least in enumerate(self.thresholds) if least >= EVENT_THRESHOLD]
        if not self.enough_footage(alarms_per_hour):
            return max(points, key=self.f1, default=None)
        return self._best([i for i in points if self.bound(i) <= alarms_per_hour])

    def _best(self, allowed: Sequence[int]) -> int | None:
        """The highest of the allowed thresholds with a recall close to the best of them."""
        if not allowed:
            return None
        highest = max(self.recall[i] for i in allowed)
        return max(i for i in allowed if self.recall[i] >= _NEARLY * highest)

    def f1(self, point: int) -> float:
        """The harmonic mean of recall and precision at a threshold."""
        total = self.recall[point] + self.precision[point]
        return 2 * self.recall[point] * self.precision[point] / total if total else 0.0

    def threshold(self, alarms_per_hour: float) -> float:
        """The score that an event must reach, to keep false alarms to a rate (`operating_point`); above 1,
        which no score reaches, if every threshold gives more.
        """
        point = self.operating_point(alarms_per_hour)
        return _UNREACHABLE if point is None else self.thresholds[point]

    def sentence(self, alarms_per_hour: float) -> str:
        """What to expect at a rate of false alarms, in a sentence: `finds 37 of 40 events, at most
        20 false alarms an hour (none in 9 min of quiet footage)`.
        """
        point = self.operating_point(alarms_per_hour)
        if point is not None and self.recall[point]:
            return f"finds {self._share(point)}, {alarms_text(self.alarms(point), self.hours)}"
        reason = f": {' and '.join(self.confused)} are confused" if self.confused else ""
        enough = _NEARLY * max(self.recall)
        points = [i for i, share in enumerate(self.recall) if share >= enough]
        best = min(points, key=lambda i: self.alarms_per_hour[i])
        more = f"{self._share(best)} at {self.alarms_per_hour[best]:.0f} an hour"
        return f"finds no events at {alarms_per_hour:g} false alarms an hour{reason}; {more}"

    def details(self, alarms_per_hour: float) -> str:
        """What is behind `sentence`: chance, delay, confusions and the streams, in a sentence."""
        facts = list[str]()
        point = self.operating_point(alarms_per_hour)
        if point is not None and self.recall[point]:
            if self.by_chance:
                facts.append(f"by chance it would find {100 * self.by_chance[point]:.0f} %")
            delay = (
                f"{abs(self.median_delay):.1f} s {'late' if self.median_delay >= 0 else 'early'}"
            )
            facts.append(f"events begin {delay} in the median")
            if self.misnamed[point]:
                names = " and ".join(self.confused)
                facts.append(
                    f"{100 * self.misnamed[point]:.0f} % are named wrong, most often {names}"
                )
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
        if self.enough_footage(alarms_per_hour) or not np.isfinite(minutes):
            return ""
        return (
            f"Record {_duration(minutes / 60)} in which nothing happens, to know of "
            f"{alarms_per_hour:g} false alarms an hour: there are {_duration(self.hours)} of quiet "
            "footage."
        )

    def _share(self, point: int) -> str:
        """How many events are found at a threshold, in words."""
        if not self.events:
            return f"{100 * self.recall[point]:.0f} % of the events"
        return f"{round(self.recall[point] * self.events)} of {self.events} events"


def _poisson_bound(count: int) -> float:
    """The mean of a Poisson distribution that gives so few events in one of 20 cases."""
    from scipy.special import gammaincinv  # slow to import

    return float(gammaincinv(count + 1, _SURE))


def alarms_text(count: int, hours: float) -> str:
    """What so many false alarms in some hours without events say about their rate: `at most 20
    false alarms an hour (none in 9 min of quiet footage)`.
    """
    quiet = f"({count or 'none'} in {_duration(hours)} of quiet footage)"
    if not hours:
        return f"{count or 'no'} false alarms {quiet}"
    rate = _poisson_bound(count) / hours
    digits = 0 if rate >= 1 else 1
    bound = math.ceil(rate * 10**digits) / 10**digits
    return f"at most {bound:.{digits}f} false alarms an hour {quiet}"


def _duration(hours: float) -> str:
    minutes = 60 * hours
    return f"{minutes:.0f} min" if minutes >= _MIN_MINUTES else f"{60 * minutes:.0f} s"

"""Thresholds above which a model reports an event: of clips with a class of nothing, and of windows of streams."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from onlooker.answer import event_scores
from onlooker.settings import field_of
from onlooker.structures import Segment

__all__ = ["EventCurve", "EventThreshold", "choose_threshold", "event_curve"]

FOUND = 0.9  # share of the events that a threshold must find
_NEARLY = 0.95  # of the events that a rate of false alarms allows to find: what a higher threshold must still find
_FEW = 2  # minutes, below which seconds are said
_POINTS = 40  # of a curve
_NEVER = 2.0  # a threshold that no score reaches
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


@dataclass(frozen=True)
class EventCurve:
    """What is found in streams at which rate of false alarms, for each threshold.

    Args:
        thresholds: `P`, ascending.
        found: share of the events that an event of their class overlaps.
        misnamed: share of the events that only events of other classes overlap.
        alarms_per_hour: false alarms: reported events that overlap none, per hour outside of events.
        late: median of the seconds by which events are reported to begin too late.
        hours: outside of events, in which false alarms were counted.
        confused: the two classes that are confused most often; empty if none are.
    """

    thresholds: list[float]
    found: list[float]
    misnamed: list[float]
    alarms_per_hour: list[float]
    late: float
    hours: float
    confused: list[str]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """A curve from plain values; a KeyError or a ValueError for values that are none."""
        curve = cls(**{each.name: field_of(values, each.name, each.type) for each in fields(cls)})
        if len({*map(len, (curve.thresholds, curve.found, curve.misnamed, curve.alarms_per_hour))}) > 1:
            raise ValueError("the curve of events has lists of different lengths")
        return curve

    def point(self, alarms_per_hour: float) -> int | None:
        """The position of the threshold for a rate of false alarms; None if there are more at every threshold.

        It is the highest one that still finds nearly all events that can be found at this rate.
        """
        allowed = [i for i, rate in enumerate(self.alarms_per_hour) if rate <= alarms_per_hour]
        if not allowed:
            return None
        most = max(self.found[i] for i in allowed)
        return max(i for i in allowed if self.found[i] >= _NEARLY * most)

    def threshold(self, alarms_per_hour: float) -> float:
        """The lowest score of an event at a rate of false alarms; above 1 if there are more at every threshold."""
        place = self.point(alarms_per_hour)
        return _NEVER if place is None else self.thresholds[place]

    def sentence(self, alarms_per_hour: float) -> str:
        """What to expect at a rate of false alarms, in words."""
        place = self.point(alarms_per_hour)
        if place is None or not self.found[place]:
            reason = f": {' and '.join(self.confused)} are confused" if self.confused else ""
            enough = [i for i, found in enumerate(self.found) if found >= _NEARLY * max(self.found)]
            other = min(enough, key=lambda i: self.alarms_per_hour[i])
            more = f"{100 * self.found[other]:.0f} % at {self.alarms_per_hour[other]:.0f} an hour"
            return f"finds no events at {alarms_per_hour:g} false alarms an hour{reason}; {more}"
        late = f"{abs(self.late):.1f} s {'late' if self.late >= 0 else 'early'}"
        text = f"finds {100 * self.found[place]:.0f} % of the events at {self.alarms_per_hour[place]:.0f} false alarms"
        text += f" an hour, begins {late} in the median"
        if self.misnamed[place]:
            text += f"; names {100 * self.misnamed[place]:.0f} % wrong, most often {' and '.join(self.confused)}"
        minutes = 60 * self.hours
        length = f"{minutes:.0f} min" if minutes >= _FEW else f"{60 * minutes:.0f} s"
        return f"{text} (in streams made of the training clips, {length} without events)"


def event_curve(
    found: Sequence[Sequence[Segment]], true: Sequence[Sequence[Segment]], seconds: float
) -> EventCurve | None:
    """The curve of found events in streams of this many seconds together, with their true events; None without any."""
    events = [(stream, event) for stream, here in enumerate(true) for event in here]
    hours = (seconds - sum(event.end - event.start for _, event in events)) / 3600
    if not events or hours <= 0:
        return None
    right, wrong = np.full(len(events), -1.0), np.full(len(events), -1.0)  # the highest score that overlaps each event
    delays, pairs, alarms = list[float](), Counter[tuple[str, ...]](), list[float]()
    for stream, here in enumerate(found):
        for each in here:
            touched = [
                i
                for i, (of, event) in enumerate(events)
                if of == stream and each.start < event.end and event.start < each.end
            ]
            if not touched:
                alarms.append(each.score)
            for i in touched:
                event = events[i][1]
                side = right if event.label == each.label else wrong
                side[i] = max(side[i], each.score)
                if event.label == each.label:
                    delays.append(each.start - event.start)
                else:
                    pairs[tuple(sorted((event.label, each.label)))] += 1
    scores = np.array([each.score for here in found for each in here])
    if not len(scores):
        return None
    thresholds = np.unique(np.quantile(scores, np.linspace(0, 1, _POINTS)))
    confused = pairs.most_common(1)[0][0] if pairs else ()
    return EventCurve(
        thresholds.tolist(),
        [float((right >= t).mean()) for t in thresholds],
        [float(((wrong >= t) & (right < t)).mean()) for t in thresholds],
        [float((np.array(alarms) >= t).sum() / hours) for t in thresholds],
        float(np.median(delays)) if delays else 0.0,
        hours,
        [*confused],
    )

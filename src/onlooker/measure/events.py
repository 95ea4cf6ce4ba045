"""Thresholds above which a model reports an event, in clips and in streams; and metrics of
predicted events.

Predicted and true objects are records of the same type, by video; the score of a true one is
ignored. Means leave out classes without true objects.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from onlooker.base.alarm_curve import EVENT_THRESHOLD, AlarmCurve, alarms_text
from onlooker.base.answer import event_scores
from onlooker.base.decision import score_logits
from onlooker.base.intervals import covered
from onlooker.base.records import Segment

__all__ = ["event_curve", "mean_ap", "segment_map"]

Floats = NDArray[np.float64]

# IoU thresholds of a match: .2 as on UCF101-24, and .5, .55, … .95 as in COCO.
THRESHOLDS = (0.2, *(percent / 100 for percent in range(50, 100, 5)))
OVERLAPS = (0.3, 0.5)  # IoU thresholds for events of recordings

MIN_FOUND = 0.9  # share of the events that a threshold must find
_POINTS = 40  # of a curve
_SHIFTS = 100  # in time, of all predicted events of a stream
# weight of the squares of a calibration's log slope and offset, next to one event
_PRIOR = 3.0
_USELESS = 0.5  # share of false alarms above which a threshold is of no use


class EventThreshold(NamedTuple):
    """The lowest probability of an event, and its error rates on the clips that it was chosen with.

    Args:
        found: share of the clips with an event for which an event is reported, not necessarily the
            right one.
        false_alarms: share of the clips in which nothing happens for which an event is reported.
    """

    probability: float
    found: float
    false_alarms: float

    def __str__(self) -> str:
        shares = (
            f"{100 * self.found:.0f} % of events found, "
            f"{100 * self.false_alarms:.0f} % false alarms"
        )
        text = (
            f"{self.probability:.2f} for an event, else nothing "
            f"({shares}, on the clips of this choice)"
        )
        if self.false_alarms <= _USELESS:
            return text
        return f"{text}; it does not tell events from nothing: add clips in which nothing happens"


def choose_threshold(
    scores: NDArray[np.floating],
    targets: NDArray[np.integer],
    *,
    nothing: int | None,
    min_found: float = MIN_FOUND,
) -> EventThreshold | None:
    """The highest threshold that finds at least `min_found`, a share of the events; None if all
    clips or none are events.

    Args:
        scores: `B K`, calibrated probabilities of clips that were not used in training.
        targets: `B`, their true classes.
        nothing: the class in which nothing happens (`answer.nothing_class`).
    """
    events = targets != nothing
    if events.all() or not events.any():
        return None
    highest = event_scores(scores, nothing).max(1)
    missed = int((1 - min_found) * events.sum() + 1e-9)
    threshold = float(np.sort(highest[events])[missed])
    reported = highest >= threshold
    return EventThreshold(
        threshold, float(reported[events].mean()), float(reported[~events].mean())
    )


def calibrated_curve(
    predicted: Sequence[Sequence[Segment]],
    true: Sequence[Sequence[Segment]],
    seconds: Sequence[float],
) -> AlarmCurve | None:
    """As `event_curve`, of scores that are calibrated on these events, with the calibration and a
    point at `EVENT_THRESHOLD`.
    """
    calibration = _calibration(predicted, true)
    if calibration is None:
        return None
    slope, offset = calibration
    calibrated = [
        [
            replace(event, score=score)
            for event, score in zip(
                events, expit(slope * _logits(events) + offset).tolist(), strict=True
            )
        ]
        for events in predicted
    ]
    curve = event_curve(calibrated, true, seconds, point=EVENT_THRESHOLD)
    return curve and replace(curve, calibration=[slope, offset])


def _logits(events: Sequence[Segment]) -> Floats:
    scores = torch.tensor([event.score for event in events], dtype=torch.float64)
    return score_logits(scores).numpy()


def _calibration(
    predicted: Sequence[Sequence[Segment]], true: Sequence[Sequence[Segment]]
) -> tuple[float, float] | None:
    """The slope and the offset of the logits of scores that give the lowest log loss of whether an
    event of its class overlaps a predicted one; None without predicted events.

    By the method of Platt (1999), whose targets are not quite 0 and 1: a few events that are all
    right do not make scores certain. Without a reason in the events, scores stay as they are.
    """
    logits = _logits([event for events in predicted for event in events])
    if not len(logits):
        return None
    right = np.concatenate(
        [
            np.any(np.logical_and(*_overlaps(events, truth)), axis=1)
            for events, truth in zip(predicted, true, strict=True)
        ]
    )
    count = right.sum()
    target = np.where(right, (count + 1) / (count + 2), 1 / (len(right) - count + 2))

    def loss(parameters: Floats) -> float:
        values = np.exp(parameters[0]) * logits + parameters[1]
        prior = _PRIOR * (parameters**2).sum()
        return float((np.logaddexp(0, values) - target * values).sum() + prior)

    log_slope, offset = minimize(loss, (0.0, 0.0)).x.tolist()
    return float(np.exp(log_slope)), offset


def event_curve(
    predicted: Sequence[Sequence[Segment]],
    true: Sequence[Sequence[Segment]],
    seconds: Sequence[float],
    *,
    point: float | None = None,
) -> AlarmCurve | None:
    """The curve of the predicted and true events of streams, whose lengths are `seconds`; None
    without true or predicted events, or without time between them.

    `point`: a threshold that the curve has in any case.
    """
    in_events = sum(event.end - event.start for events in true for event in events)
    hours = (sum(seconds) - in_events) / 3600
    # for each event, the highest score of the predicted ones that overlap it, -1 if none does: of
    # its class, of other classes, and of its class after they are moved in time
    right = list[float]()
    wrong = list[float]()
    shifted = list[float]()
    delays = list[float]()
    confusions = Counter[tuple[str, ...]]()
    alarms = list[float]()
    border_errors = list[float]()  # seconds
    rightly = list[float]()  # scores of the predicted events that overlap one of their class
    for segments, events, length in zip(predicted, true, seconds, strict=True):
        for event in events:
            shifted += scores_by_chance(segments, event, length).tolist()
        column = np.array([[segment.score] for segment in segments]).reshape(-1, 1)
        overlaps, same = _overlaps(segments, events)
        right += np.where(overlaps & same, column, -1).max(0, initial=-1).tolist()
        border_errors += _border_errors(segments, events, overlaps & same)
        wrong += np.where(overlaps & ~same, column, -1).max(0, initial=-1).tolist()
        alarms += column[~overlaps.any(1), 0].tolist()
        rightly += column[(overlaps & same).any(1), 0].tolist()
        for i, j in np.argwhere(overlaps).tolist():
            if same[i, j]:
                delays.append(segments[i].start - events[j].start)
            else:
                confusions[tuple(sorted((events[j].label, segments[i].label)))] += 1
    scores = [segment.score for segments in predicted for segment in segments]
    if not right or hours <= 0 or not scores:
        return None
    points = np.quantile(scores, np.linspace(0, 1, _POINTS))
    thresholds = np.unique(points if point is None else [*points, point])[:, None]
    reported = (scores >= thresholds).sum(1)
    is_right = right >= thresholds
    confused = confusions.most_common(1)[0][0] if confusions else ()
    return AlarmCurve(
        thresholds[:, 0].tolist(),
        is_right.mean(1).tolist(),
        ((wrong >= thresholds) & ~is_right).mean(1).tolist(),
        alarms_per_hour=((alarms >= thresholds).sum(1) / hours).tolist(),
        median_delay=float(np.median(delays)) if delays else 0.0,
        hours=hours,
        confused=[*confused],
        by_chance=(shifted >= thresholds).mean(1).tolist(),
        precision=((rightly >= thresholds).sum(1) / reported.clip(1)).tolist(),
        events=len(right),
        border_error=float(np.median(border_errors)) if border_errors else None,
    )


def _border_errors(
    predicted: Sequence[Segment], true: Sequence[Segment], right: NDArray[np.bool_]
) -> list[float]:
    """The errors of begin and end of the best predicted event for each true one, in seconds.

    `right`: `n m`, which of the predicted ones are right for which of the true ones.
    """
    errors = list[float]()
    for place, event in enumerate(true):
        candidates = [predicted[i] for i in np.flatnonzero(right[:, place]).tolist()]
        if candidates:
            best = max(candidates, key=lambda segment: segment.score)
            errors += [abs(best.start - event.start), abs(best.end - event.end)]
    return errors


def scores_by_chance(predicted: Sequence[Segment], event: Segment, seconds: float) -> Floats:
    """How well an event would be found by chance: after all predicted events are moved in time by
    the same amount, the highest score of those of its class that overlap it, -1 if none does.

    Args:
        seconds: length of the stream; what is moved beyond its end enters at its start.

    Returns:
        A score for each of `_SHIFTS` amounts.
    """
    same_class = [
        (segment.start, segment.end, segment.score)
        for segment in predicted
        if segment.label == event.label
    ]
    start, end, score = np.array(same_class).reshape(-1, 3).T
    shifts = np.linspace(0, seconds, _SHIFTS, endpoint=False)[:, None]
    until_end = (end + shifts - event.start) % seconds
    overlaps = until_end < end - start + event.end - event.start
    return np.where(overlaps, score, -1.0).max(1, initial=-1)


def _overlaps(
    predicted: Sequence[Segment], true: Sequence[Segment]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each predicted event overlaps each true one in time, and whether they have the same
    class: `n m` each.
    """
    same = [[a.label == b.label for b in true] for a in predicted]
    return segment_overlaps(predicted, true) > 0, np.array(same, bool).reshape(
        len(predicted), len(true)
    )


def event_figures(
    predicted: Mapping[str, Sequence[Segment]],
    true: Mapping[str, Sequence[Segment]],
    seconds: Mapping[str, float],
    *,
    unknown: Mapping[str, Sequence[Segment]] | None = None,
) -> dict[str, Any]:
    """Metrics of the events of recordings, for JSON.

    Args:
        predicted, true, seconds: by recording, its events and its length.
        unknown: by recording, times without labels, which do not count as time without events.

    Returns:
        `segment_map` by IoU (None without events); `events`, and how many are `found`: overlapped
        in time by a predicted one of their class, and `found_by_chance`, if the same events were
        predicted at random times; `misnamed`, which only events of other classes overlap;
        `false_alarms`, predicted ones that overlap no event, as in `AlarmCurve`; `hours` outside of
        events, and `false_alarms_per_hour` of these (None if there are none).
    """
    right = list[bool]()
    misnamed = list[bool]()
    alarms = 0
    seconds_in_events = 0.0
    for video in {**predicted, **true}:
        events = true.get(video, ())
        overlaps, same = _overlaps(predicted.get(video, ()), events)
        is_right = np.any(overlaps & same, axis=0)
        right += is_right.tolist()
        misnamed += (np.any(overlaps, axis=0) & ~is_right).tolist()
        alarms += int((~np.any(overlaps, axis=1)).sum())
        taken = (*events, *(unknown or {}).get(video, ()))
        parts = covered((segment.start, segment.end) for segment in taken)
        seconds_in_events += sum(end - start for start, end in parts)
    by_chance = [
        (scores_by_chance(predicted.get(video, ()), event, seconds[video]) > -1).mean()
        for video, events in true.items()
        for event in events
    ]
    hours = max(sum(seconds.values()) - seconds_in_events, 0.0) / 3600
    maps = segment_map(predicted, true, OVERLAPS).tolist() if right else [None] * len(OVERLAPS)
    return {
        "segment_map": dict(zip(map(str, OVERLAPS), maps, strict=True)),
        "events": len(right),
        "found": sum(right),
        "found_by_chance": float(sum(by_chance)),
        "misnamed": sum(misnamed),
        "false_alarms": alarms,
        "false_alarms_per_hour": alarms / hours if hours else None,
        "hours": hours,
    }


def events_sentence(figures: Mapping[str, Any]) -> str:
    """The figures of `event_figures` in a sentence: `finds 8 of 10 events, names 1 wrong, at most 6
    false alarms an hour (3 in 77 min of quiet footage)`.
    """
    wrong = f", names {figures['misnamed']} wrong" if figures["misnamed"] else ""
    alarms = alarms_text(figures["false_alarms"], figures["hours"])
    return f"finds {figures['found']} of {figures['events']} events{wrong}, {alarms}"


class Mistakes(NamedTuple):
    """The mistakes in the events of a recording.

    Args:
        missed: true events that no predicted one overlaps.
        wrong: true events that only events of other classes overlap, each with the one of the
            highest score.
        false: predicted events that overlap none.
    """

    missed: list[Segment]
    wrong: list[tuple[Segment, Segment]]
    false: list[Segment]


def mistakes(predicted: Sequence[Segment], true: Sequence[Segment]) -> Mistakes:
    """The mistakes that `event_figures` counts in one recording."""
    overlaps, same = _overlaps(predicted, true)
    missed = list[Segment]()
    wrong = list[tuple[Segment, Segment]]()
    for place, event in enumerate(true):
        around = [predicted[i] for i in np.flatnonzero(overlaps[:, place]).tolist()]
        if not around:
            missed.append(event)
        elif not (overlaps & same)[:, place].any():
            wrong.append((event, max(around, key=lambda segment: segment.score)))
    false = [predicted[i] for i in np.flatnonzero(~overlaps.any(1)).tolist()]
    return Mistakes(missed, wrong, false)


def judged(
    predicted: Sequence[Segment], true: Sequence[Segment], unknown: Sequence[Segment]
) -> list[Segment]:
    """The predicted events that can be judged: those that overlap a true one, or no time without
    labels.
    """
    if not unknown:
        return [*predicted]
    doubtful = np.any(segment_overlaps(predicted, unknown) > 0, axis=1)
    doubtful &= ~np.any(_overlaps(predicted, true)[0], axis=1)
    return [event for event, skipped in zip(predicted, doubtful, strict=True) if not skipped]


def segment_map(
    predicted: Mapping[str, Iterable[Segment]],
    true: Mapping[str, Iterable[Segment]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Floats:
    """Segment mAP of ActivityNet and THUMOS'14; `L`, the mean over classes at each threshold."""
    return mean_ap(predicted, true, overlaps=segment_overlaps, thresholds=thresholds)


def segment_overlaps(predicted: Sequence[Segment], true: Sequence[Segment]) -> Floats:
    """IoU in time of each predicted segment with each true one, `n m`."""
    a, b = (
        np.array([(segment.start, segment.end) for segment in segments]).reshape(-1, 1, 2)
        for segments in (predicted, true)
    )
    b = b.swapaxes(0, 1)
    both = np.maximum(0.0, np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]))
    return both / (a[..., 1] - a[..., 0] + b[..., 1] - b[..., 0] - both)


def mean_ap(
    predicted: Mapping[Any, Iterable[Any]],
    true: Mapping[Any, Iterable[Any]],
    *,
    overlaps: Callable[[Sequence[Any], Sequence[Any]], Floats],
    thresholds: Sequence[float],
) -> Floats:
    """Mean over classes of the average precision at each threshold, for any kind of object."""
    true_by_class = _by_class(true)
    predicted_by_class = _by_class(predicted)
    if not true_by_class:
        return np.full(len(thresholds), np.nan)
    precisions = []
    for label, true_by_video in true_by_class.items():
        scores = [np.zeros(0)]
        right = [np.zeros((len(thresholds), 0), bool)]
        for video, objects in predicted_by_class.get(label, {}).items():
            ordered = sorted(objects, key=lambda predicted_object: -predicted_object.score)
            scores.append(np.array([predicted_object.score for predicted_object in ordered]))
            right.append(_matched(overlaps(ordered, true_by_video.get(video, [])), thresholds))
        count = sum(map(len, true_by_video.values()))
        class_scores = np.concatenate(scores)
        precisions.append(
            [average_precision(class_scores, hits, count) for hits in np.concatenate(right, axis=1)]
        )
    return np.mean(precisions, axis=0)


def _by_class(objects: Mapping[Any, Iterable[Any]]) -> dict[str, dict[Any, list[Any]]]:
    """The objects of each class, by video."""
    by_class: dict[str, dict[Any, list[Any]]] = {}
    for video, in_video in objects.items():
        for labeled in in_video:
            by_class.setdefault(labeled.label, {}).setdefault(video, []).append(labeled)
    return by_class


def _matched(overlaps: Floats, thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Which predictions match: overlaps `n m`, sorted by score, to `L n`.

    Each prediction takes the true object that it overlaps most among those not yet taken, as in
    COCO and ActivityNet; a second prediction of the same object is a false positive.
    """
    right = np.zeros((len(thresholds), len(overlaps)), bool)
    if not overlaps.shape[1]:
        return right
    for hits, threshold in zip(right, thresholds, strict=True):
        free = overlaps.copy()
        for i, row in enumerate(free):
            best = int(row.argmax())
            if row[best] >= threshold:
                hits[i] = True
                free[:, best] = -1
    return right


def average_precision(scores: ArrayLike, right: ArrayLike, truths: int) -> float:
    """The area under the precision-recall curve; precision is the highest one at that recall or
    above.

    As for PASCAL VOC from 2010, UCF101-24, ActivityNet and THUMOS, over every recall that is
    reached. Objects of equal score count as one step, so their order does not matter.

    Args:
        scores: `n`.
        right: `n`, whether each is a match.
        truths: number of true objects.

    Raises:
        ValueError: no true objects.
    """
    if truths < 1:
        raise ValueError(f"{truths} true objects, expected at least one")
    values = np.asarray(scores, dtype=np.float64)
    hits = np.asarray(right, dtype=bool)
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.diff(values[order]) != 0, True)[: len(order)]  # of equal scores
    matches = hits[order].cumsum()[ends]
    recall = matches / truths
    precision = matches / (np.flatnonzero(ends) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * best).sum())

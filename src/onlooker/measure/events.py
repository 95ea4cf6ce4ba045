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

from onlooker.base.alarm_curve import EVENT_THRESHOLD, AlarmCurve
from onlooker.base.answer import event_scores
from onlooker.base.decision import score_logits
from onlooker.base.intervals import covered
from onlooker.base.records import Segment
from onlooker.measure.timeline import Bout, Pair, Timeline

__all__ = ["alarm_curve", "mean_ap", "segment_map"]

Floats = NDArray[np.float64]
Spans = Sequence[Segment] | Sequence[Bout]

# IoU thresholds of a match: .2 as on UCF101-24, and .5, .55, … .95 as in COCO.
THRESHOLDS = (0.2, *(percent / 100 for percent in range(50, 100, 5)))
OVERLAPS = (0.3, 0.5)  # IoU thresholds for events of recordings

MIN_FOUND = 0.9  # share of the events that a threshold must find
_POINTS = 40  # of a curve
_SHIFTS = 100  # in time, of all predicted events of a stream
# weight of the squares of a calibration's log slope and offset, next to one event
_PRIOR = 3.0
_USELESS = 0.5  # above this share of false alarms, a threshold is of no use


def choose_threshold(
    scores: NDArray[np.floating],
    targets: NDArray[np.integer],
    *,
    nothing: int | None,
    min_found: float = MIN_FOUND,
) -> float | None:
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
    return float(np.sort(highest[events])[missed])


def threshold_text(
    threshold: float,
    scores: NDArray[np.floating],
    targets: NDArray[np.integer],
    *,
    nothing: int | None,
) -> str:
    """A threshold (`choose_threshold`), and its error rates on the clips that it was chosen with."""
    events = targets != nothing
    reported = event_scores(scores, nothing).max(1) >= threshold
    false_alarms = float(reported[~events].mean())
    text = (
        f"{threshold:.2f} for an event, else nothing ({100 * reported[events].mean():.0f} % of "
        f"events found, {100 * false_alarms:.0f} % false alarms, on the clips of this choice)"
    )
    if false_alarms <= _USELESS:
        return text
    return f"{text}; it does not tell events from nothing: add clips in which nothing happens"


def calibrated_curve(pairs: Sequence[Pair]) -> AlarmCurve | None:
    """`alarm_curve` of scores that are calibrated on these events, with the calibration and a point
    at `EVENT_THRESHOLD`.
    """
    calibration = _calibration(pairs)
    if calibration is None:
        return None
    slope, offset = calibration
    calibrated = list[Pair]()
    for true, predicted in pairs:
        scores = expit(slope * _logits(predicted.segments) + offset).tolist()
        events = zip(predicted.segments, scores, strict=True)
        segments = [replace(event, score=score) for event, score in events]
        calibrated.append((true, replace(predicted, segments=segments)))
    curve = alarm_curve(calibrated, point=EVENT_THRESHOLD)
    return curve and replace(curve, calibration=[slope, offset])


def _logits(events: Sequence[Segment]) -> Floats:
    scores = torch.tensor([event.score for event in events], dtype=torch.float64)
    return score_logits(scores).numpy()


def _calibration(pairs: Sequence[Pair]) -> tuple[float, float] | None:
    """Platt scaling: the slope and the offset of the logits of scores that give the lowest log loss
    of whether an event of its class overlaps a predicted one; None without predicted events.

    The targets of Platt (1999) are not quite 0 and 1: a few events that are all right do not make
    scores certain. Without a reason in the events, scores stay as they are.
    """
    logits = _logits([event for _, predicted in pairs for event in predicted.segments])
    if not len(logits):
        return None
    right = np.concatenate(
        [
            np.any(np.logical_and(*_overlaps(predicted.segments, true.segments)), axis=1)
            for true, predicted in pairs
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


class _Matches(NamedTuple):
    """How the predicted events of streams match the true ones.

    Args:
        right, wrong: for each true event, the highest score of the predicted events that overlap it,
            of its class and of other classes; -1 if none does.
        shifted: for each true event, `scores_by_chance`.
        precise: scores of the predicted events that overlap an event of their class.
        alarms: scores of the predicted events that overlap none.
        delays: of the starts of overlapping events of one class, in seconds.
        confusions: the classes of overlapping events of different classes.
        border_errors: of begin and end of the best right event for each true one, in seconds.
    """

    right: list[float]
    wrong: list[float]
    shifted: list[Floats]
    precise: list[float]
    alarms: list[float]
    delays: list[float]
    confusions: list[tuple[str, ...]]
    border_errors: list[float]


def _matches(pairs: Sequence[Pair]) -> _Matches:
    matches = _Matches(*([] for _ in _Matches._fields))
    for timeline, answers in pairs:
        true = timeline.segments
        predicted = answers.segments
        overlaps, same = _overlaps(predicted, true)
        scores = np.array([event.score for event in predicted]).reshape(-1, 1)
        right = overlaps & same
        matches.right.extend(np.where(right, scores, -1).max(0, initial=-1).tolist())
        matches.wrong.extend(np.where(overlaps & ~same, scores, -1).max(0, initial=-1).tolist())
        for event in true:
            matches.shifted.append(scores_by_chance(predicted, event, timeline.seconds))
        matches.precise.extend(scores[right.any(1), 0].tolist())
        matches.alarms.extend(scores[~overlaps.any(1), 0].tolist())
        for j in np.flatnonzero(right.any(0)).tolist():
            best = predicted[int(np.where(right[:, j], scores[:, 0], -1).argmax())]
            errors = (abs(best.start - true[j].start), abs(best.end - true[j].end))
            matches.border_errors.extend(errors)
        for i, j in np.argwhere(overlaps).tolist():
            if same[i, j]:
                matches.delays.append(predicted[i].start - true[j].start)
            else:
                matches.confusions.append(tuple(sorted((true[j].label, predicted[i].label))))
    return matches


def alarm_curve(pairs: Sequence[Pair], *, point: float | None = None) -> AlarmCurve | None:
    """The curve of the events of streams; None without true or predicted events, or without time
    between them.

    `point`: a threshold that the curve has in any case.
    """
    pairs = [(true, judged(true, predicted)) for true, predicted in pairs]
    events = [event for true, _ in pairs for event in true.segments]
    scores = [event.score for _, predicted in pairs for event in predicted.segments]
    hours = _quiet_hours(pairs)
    if not events or not scores or not hours:
        return None
    matches = _matches(pairs)
    points = np.quantile(scores, np.linspace(0, 1, _POINTS))
    thresholds = np.unique(points if point is None else [*points, point])[:, None]
    is_right = matches.right >= thresholds
    confusions = Counter(matches.confusions).most_common(1)
    errors = matches.border_errors
    return AlarmCurve(
        thresholds[:, 0].tolist(),
        is_right.mean(1).tolist(),
        ((matches.wrong >= thresholds) & ~is_right).mean(1).tolist(),
        alarms_per_hour=((matches.alarms >= thresholds).sum(1) / hours).tolist(),
        median_delay=float(np.median(matches.delays)) if matches.delays else 0.0,
        hours=hours,
        confused=[*confusions[0][0]] if confusions else [],
        by_chance=(np.ravel(matches.shifted) >= thresholds).mean(1).tolist(),
        precision=(
            (matches.precise >= thresholds).sum(1) / (scores >= thresholds).sum(1).clip(1)
        ).tolist(),
        events=len(events),
        border_error=float(np.median(errors)) if errors else None,
    )


def scores_by_chance(predicted: Sequence[Segment], event: Segment, seconds: float) -> Floats:
    """How well an event would be found by chance: after all predicted events are moved in time by
    the same amount, the highest score of an event of its class that overlaps it, -1 if none does.

    Args:
        seconds: length of the stream; what is moved beyond its end enters at its start.

    Returns:
        A score for each of `_SHIFTS` amounts.
    """
    candidates = [
        (segment.start, segment.end, segment.score)
        for segment in predicted
        if segment.label == event.label
    ]
    start, end, score = np.array(candidates).reshape(-1, 3).T
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
    return segment_overlaps(predicted, true) > 0, same_class(predicted, true)


def event_figures(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Metrics of the events of recordings, for JSON; only predicted events that can be judged count
    (`judged`). Unknown time does not count as time without events.

    Returns:
        `segment_map` by IoU (None without events); `events`, and how many are `found`: overlapped
        in time by a predicted one of their class, and `found_by_chance`, if the same events were
        predicted at random times; `misnamed`, which only events of other classes overlap;
        `false_alarms`, predicted ones that overlap no event, as in `AlarmCurve`; `hours` outside of
        events, and `false_alarms_per_hour` there (None without such hours).
    """
    pairs = [(true, judged(true, predicted)) for true, predicted in pairs]
    matches = _matches(pairs)
    right = np.array(matches.right) > -1
    hours = _quiet_hours(pairs)
    alarms = len(matches.alarms)
    maps = segment_map(pairs, OVERLAPS).tolist() if len(right) else [None] * len(OVERLAPS)
    return {
        "segment_map": dict(zip(map(str, OVERLAPS), maps, strict=True)),
        "events": len(right),
        "found": int(right.sum()),
        "found_by_chance": float(sum((scores > -1).mean() for scores in matches.shifted)),
        "misnamed": int((~right & (np.array(matches.wrong) > -1)).sum()),
        "false_alarms": alarms,
        "false_alarms_per_hour": alarms / hours if hours else None,
        "hours": hours,
    }


def _quiet_hours(pairs: Sequence[Pair]) -> float:
    """Hours outside of the true events and of unknown time."""
    seconds = 0.0
    for true, _ in pairs:
        spans = covered([*(event.span for event in true.segments), *true.unknown])
        seconds += true.seconds - sum(end - start for start, end in spans)
    return max(seconds, 0.0) / 3600


def mistakes(
    true: Timeline, predicted: Timeline
) -> tuple[list[Segment], list[tuple[Segment, Segment]], list[Segment]]:
    """The mistakes that `event_figures` counts in one recording.

    Returns:
        The true events that no predicted one overlaps; the true events that only events of other
        classes overlap, each with the overlapping event of the highest score; and the predicted
        events that overlap none.
    """
    overlaps, same = _overlaps(predicted.segments, true.segments)
    missed = list[Segment]()
    wrong = list[tuple[Segment, Segment]]()
    for place, event in enumerate(true.segments):
        around = [predicted.segments[i] for i in np.flatnonzero(overlaps[:, place]).tolist()]
        if not around:
            missed.append(event)
        elif not (overlaps & same)[:, place].any():
            wrong.append((event, max(around, key=lambda segment: segment.score)))
    false = [predicted.segments[i] for i in np.flatnonzero(~overlaps.any(1)).tolist()]
    return missed, wrong, false


def judged(true: Timeline, predicted: Timeline) -> Timeline:
    """The predicted events that can be judged: each overlaps a true event, or no unknown time."""
    unknown = [Segment("", start, end) for start, end in true.unknown]
    doubtful = np.any(segment_overlaps(predicted.segments, unknown) > 0, axis=1)
    doubtful &= ~np.any(segment_overlaps(predicted.segments, true.segments) > 0, axis=1)
    events = zip(predicted.segments, doubtful, strict=True)
    return replace(predicted, segments=[event for event, skipped in events if not skipped])


def segment_map(pairs: Sequence[Pair], thresholds: Sequence[float] = THRESHOLDS) -> Floats:
    """Segment mAP of ActivityNet and THUMOS'14; `L`, the mean over classes at each threshold."""
    true, predicted = (dict(enumerate(pair[side].segments for pair in pairs)) for side in (0, 1))
    return mean_ap(predicted, true, overlaps=segment_overlaps, thresholds=thresholds)


def segment_overlaps(predicted: Spans, true: Spans) -> Floats:
    """IoU in time of each predicted segment with each true one, `n m`."""
    a, b = (
        np.array([(segment.start, segment.end) for segment in segments]).reshape(-1, 1, 2)
        for segments in (predicted, true)
    )
    b = b.swapaxes(0, 1)
    both = np.maximum(0.0, np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]))
    return both / (a[..., 1] - a[..., 0] + b[..., 1] - b[..., 0] - both)


def same_class(predicted: Spans, true: Spans) -> NDArray[np.bool_]:
    """Whether each predicted segment has the class of each true one, `n m`."""
    same = [a.label == b.label for a in predicted for b in true]
    return np.array(same, bool).reshape(len(predicted), len(true))


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

    As in PASCAL VOC from 2010, UCF101-24, ActivityNet and THUMOS, over every recall that is
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

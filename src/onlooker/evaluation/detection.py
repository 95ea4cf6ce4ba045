"""Found events against true ones: mean average precision in time, events found, and false alarms per hour.

Predicted and true objects are records of the same type, keyed by video; the score of a true one is ignored. Means
leave out classes without true objects.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.structures import Segment

__all__ = [
    "THRESHOLDS", "Floats", "average_precision", "event_figures", "mean_ap", "segment_map", "segment_overlaps"
]  # fmt: skip

Floats = NDArray[np.float64]

# IoU thresholds of a match: .2 as on UCF101-24, and .5, .55, … .95 as in COCO.
THRESHOLDS = (0.2, *(percent / 100 for percent in range(50, 100, 5)))


OVERLAPS = (0.3, 0.5)  # IoU thresholds for events of recordings


def event_figures(
    found: Mapping[str, Sequence[Segment]], true: Mapping[str, Sequence[Segment]], seconds: float
) -> dict[str, Any]:
    """How well events of recordings of this length are found, for JSON.

    Returns:
        `segment_map` by IoU (None without events); `events`, and how many are `found`: overlapped in time by a
        reported one of their class; `false_alarms`, reported ones that overlap no event of their class, also
        `false_alarms_per_hour`; `hours`.
    """

    def hits(side: Mapping[str, Sequence[Segment]], others: Mapping[str, Sequence[Segment]]) -> list[bool]:
        return [
            any(a.label == b.label and a.start < b.end and b.start < a.end for b in others.get(video, ()))
            for video, here in side.items()
            for a in here
        ]

    right, events, hours = hits(found, true), hits(true, found), seconds / 3600
    maps = segment_map(found, true, OVERLAPS).tolist() if events else [None] * len(OVERLAPS)
    return {
        "segment_map": dict(zip(map(str, OVERLAPS), maps, strict=True)),
        "events": len(events),
        "found": sum(events),
        "false_alarms": right.count(False),
        "false_alarms_per_hour": right.count(False) / hours,
        "hours": hours,
    }


def segment_map(
    found: Mapping[str, Iterable[Segment]],
    true: Mapping[str, Iterable[Segment]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Floats:
    """Segment mAP of ActivityNet and THUMOS'14; `L`, the mean over classes at each threshold."""
    return mean_ap(found, true, segment_overlaps, thresholds)


def segment_overlaps(found: Sequence[Segment], true: Sequence[Segment]) -> Floats:
    """IoU in time of each found segment with each true one, `n m`."""
    a, b = (np.array([(each.start, each.end) for each in side]).reshape(-1, 1, 2) for side in (found, true))
    b = b.swapaxes(0, 1)
    both = np.maximum(0.0, np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]))
    return both / (a[..., 1] - a[..., 0] + b[..., 1] - b[..., 0] - both)


def mean_ap(
    found: Mapping[Any, Iterable[Any]],
    true: Mapping[Any, Iterable[Any]],
    overlaps: Callable[[Sequence[Any], Sequence[Any]], Floats],
    thresholds: Sequence[float],
    recalls: int | None = None,
) -> Floats:
    """Mean over classes of the average precision at each threshold, for any kind of object."""
    truths, guesses = _by_class(true), _by_class(found)
    if not truths:
        return np.full(len(thresholds), np.nan)
    precisions = []
    for label, places in truths.items():
        scores, right = [np.zeros(0)], [np.zeros((len(thresholds), 0), bool)]
        for place, here in guesses.get(label, {}).items():
            ordered = sorted(here, key=lambda each: -each.score)
            scores.append(np.array([each.score for each in ordered]))
            right.append(_matched(overlaps(ordered, places.get(place, [])), thresholds))
        count = sum(map(len, places.values()))
        every, hits = np.concatenate(scores), np.concatenate(right, axis=1)
        precisions.append([average_precision(every, each, count, recalls) for each in hits])
    return np.mean(precisions, axis=0)


def _by_class(things: Mapping[Any, Iterable[Any]]) -> dict[str, dict[Any, list[Any]]]:
    sorted_out: dict[str, dict[Any, list[Any]]] = {}
    for place, here in things.items():
        for each in here:
            sorted_out.setdefault(each.label, {}).setdefault(place, []).append(each)
    return sorted_out


def _matched(overlaps: Floats, thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Which predictions match: overlaps `n m`, sorted by score, to `L n`.

    Each prediction takes the true object that it overlaps most among those not yet taken, as in COCO and ActivityNet; a
    second prediction of the same object is a false positive.
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


def average_precision(scores: ArrayLike, right: ArrayLike, truths: int, recalls: int | None = None) -> float:
    """The area under the precision-recall curve; precision is the highest one at that recall or above.

    Objects of equal score count as one step, so their order does not matter.

    Args:
        scores: `n`.
        right: `n`, whether each is a match.
        truths: number of true objects.
        recalls: None: every recall that is reached (PASCAL VOC from 2010, UCF101-24, ActivityNet, THUMOS); 101: the
            mean at 0, .01, … 1 (COCO).

    Raises:
        ValueError: no true objects.
    """
    if truths < 1:
        raise ValueError(f"{truths} true objects, expected at least one")
    values, hits = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    order = np.argsort(-values, kind="stable")
    together = np.append(np.diff(values[order]) != 0, True)[: len(order)]
    count = np.flatnonzero(together) + 1
    found = hits[order].cumsum()[together]
    recall, precision = found / truths, found / count
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if recalls is None:
        return float((np.diff(recall, prepend=0.0) * best).sum())
    at = np.searchsorted(recall, np.linspace(0, 1, recalls))
    return float(np.append(best, 0.0)[at].mean())

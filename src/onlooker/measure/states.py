"""Metrics of states: of the class of each frame, and of bouts, which are runs of frames of one class.

Segmental F1 and edit score are the metrics of temporal action segmentation (Lea et al. 2017; as in MS-TCN,
Farha and Gall 2019), per cent as there. Bouts of no state are not counted; frames are.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from onlooker.base.decision import Decision
from onlooker.base.records import Segment
from onlooker.measure.events import same_class, segment_overlaps
from onlooker.measure.timeline import Bout, Timeline

Ints = NDArray[np.int64]

RATE = 25.0  # frames per second, where a model has none
UNKNOWN = -1  # the class of a frame whose state is not known
OVERLAPS = (0.1, 0.25, 0.5)  # IoU thresholds of segmental F1


def frame_labels(
    segments: Sequence[Segment], times: Sequence[float], classes: Sequence[str]
) -> Ints:
    """The class at each of some times, `T`, ascending: of the last segment that begins there;
    K, the number of classes, where there is none. Segments of other classes are left out.
    """
    labels = np.full(len(times), len(classes), np.int64)
    for segment in sorted(segments, key=lambda segment: segment.start):
        if segment.label in classes:
            begin, end = np.searchsorted(times, [segment.start - 1e-3, segment.end - 1e-3]).tolist()
            labels[begin:end] = classes.index(segment.label)
    return labels


def bouts_of(labels: Ints) -> list[Bout]:
    """The bouts of frames with these classes, `T`, in the order of time; unknown frames are in none."""
    if not len(labels):
        return []
    cuts = (np.flatnonzero(np.diff(labels)) + 1).tolist()
    runs = zip([0, *cuts], [*cuts, len(labels)], strict=True)
    return [Bout(begin, end, int(labels[begin])) for begin, end in runs if labels[begin] != UNKNOWN]


def state_figures(
    true: Sequence[Ints], predicted: Sequence[Ints], classes: Sequence[str], *, rate: float
) -> dict[str, Any]:
    """Metrics of the states of recordings, for JSON; frames of unknown state do not count.

    Args:
        true, predicted: of each recording, the classes of its frames, `T`: positions among
            `classes`; their number for no state; `UNKNOWN`.
        classes: the names of the `K` states.
        rate: frames per second.

    Returns:
        `accuracy`: share of the frames that are right; `macro_f1`: mean of the F1 of frames over
        the true classes, no state among them; `segmental_f1`, by IoU, and `edit`, per cent;
        `kappa`: Cohen's, of frames; `bouts`: the numbers of true and predicted ones, and
        `count_errors`; `states`: by class, true and predicted minutes, numbers of bouts and their
        median seconds.

    Raises:
        ValueError: no frame of known state.
    """
    predicted = [
        np.where(labels == UNKNOWN, UNKNOWN, answers)
        for labels, answers in zip(true, predicted, strict=True)
    ]
    is_known = np.concatenate(true) != UNKNOWN
    if not is_known.any():
        raise ValueError("no frame has a known state; give recordings with labeled times")
    labels = np.concatenate(true)[is_known]
    answers = np.concatenate(predicted)[is_known]
    K = len(classes)
    counts = np.bincount(labels * (K + 1) + answers, minlength=(K + 1) ** 2)
    table = counts.reshape(K + 1, K + 1)
    bouts = (
        [[bout for bout in bouts_of(row) if bout.label < K] for row in rows]
        for rows in (true, predicted)
    )
    pairs = [*zip(*bouts, strict=True)]
    return {
        "accuracy": float(table.trace() / table.sum()),
        "macro_f1": macro_f1(table),
        "segmental_f1": {
            f"{100 * overlap:.0f}": segmental_f1(pairs, overlap) for overlap in OVERLAPS
        },
        "edit": float(np.mean([edit_score(a, b) for a, b in pairs])),
        "kappa": cohens_kappa(table),
        "bouts": count_errors(pairs),
        "states": {
            name: {
                "true": _budget([a for a, _ in pairs], k, rate),
                "predicted": _budget([b for _, b in pairs], k, rate),
            }
            for k, name in enumerate(classes)
        },
    }


class Tier(NamedTuple):
    """Classes that exclude each other: the outputs of a layer.

    Args:
        classes: their positions among the classes; -1: none.
        names: their names; "": none.
        gap: the one in which nothing happens, also in time without labels; `UNKNOWN`: there is
            none, and such time is unknown.
    """

    classes: list[int]
    names: list[str]
    gap: int

    @classmethod
    def of(cls, classes: Sequence[int], decision: Decision) -> Self:
        """The tier of some classes, given by their positions; -1: none."""
        names = [decision.classes[k] if k >= 0 else "" for k in classes]
        gaps = [i for i, k in enumerate(classes) if k in (-1, decision.nothing_class)]
        return cls([*classes], names, gaps[0] if gaps else UNKNOWN)

    @property
    def states(self) -> list[str]:
        """The names, without the gap."""
        return [name for i, name in enumerate(self.names) if i != self.gap]

    def labels(self, timeline: Timeline, times: Sequence[float]) -> Ints:
        """The output at some times, `T`; `UNKNOWN` where it is not known."""
        names = [name for name in self.names if name]
        outputs = known_labels(timeline, names, times)
        return np.where(outputs == len(names), self.gap, outputs)


def tiers_of(decision: Decision) -> list[Tier]:
    """The tiers of a model: its chains of states, or one of all its events."""
    events = [*range(len(decision.classes))]
    if decision.nothing_class is None:
        events.append(-1)
    chains = [chain.classes for chain in decision.states]
    return [Tier.of(chain, decision) for chain in chains or [events]]


def tier_figures(
    tiers: Sequence[Tier], recordings: Sequence[tuple[Timeline, ...]], *, rate: float
) -> list[dict[str, Any]]:
    """`state_figures` of each tier, with the names of its `classes`.

    Args:
        recordings: what is true of each and what a model says; and other timelines. What is unknown
            to one of them does not count.
        rate: frames per second.
    """
    results = list[dict[str, Any]]()
    for tier in tiers:
        states = tier.states
        pairs = list[tuple[Ints, Ints]]()
        for timelines in recordings:
            times = np.arange(0, timelines[0].seconds, 1 / rate).tolist()
            true, predicted, *others = (
                known_labels(timeline, states, times) for timeline in timelines
            )
            if tier.gap == UNKNOWN:
                true[true == len(states)] = UNKNOWN
            for other in (predicted, *others):
                true[other == UNKNOWN] = UNKNOWN
            pairs.append((true, predicted))
        labels, answers = zip(*pairs, strict=True)
        results.append({"classes": states, **state_figures(labels, answers, states, rate=rate)})
    return results


def known_labels(timeline: Timeline, classes: Sequence[str], times: Sequence[float]) -> Ints:
    """`frame_labels` at some times, and `UNKNOWN` in unknown time without a label."""
    labels = frame_labels(timeline.segments, times, classes)
    for span in timeline.unknown:
        begin, end = np.searchsorted(times, span).tolist()
        labels[begin:end][labels[begin:end] == len(classes)] = UNKNOWN
    return labels


def scorer_agreement(
    tiers: Sequence[Tier], recordings: Sequence[tuple[Timeline, Timeline, Timeline]], *, rate: float
) -> list[dict[str, Any]]:
    """How well a second scorer and the model agree with the first scorer: for each tier, the number
    of `recordings`, and Cohen's kappa of frames, `scorers` and `model`.

    `recordings`: what the first scorer, the model and the second scorer say of each.
    """
    by_people = tier_figures(tiers, [(true, second) for true, _, second in recordings], rate=rate)
    by_model = tier_figures(tiers, recordings, rate=rate)
    return [
        {
            "classes": people_figures["classes"],
            "recordings": len(recordings),
            "scorers": people_figures["kappa"],
            "model": model_figures["kappa"],
        }
        for people_figures, model_figures in zip(by_people, by_model, strict=True)
    ]


def macro_f1(table: Ints) -> float:
    """The mean F1 of the classes of frames, over the classes that occur, from a confusion matrix
    (rows: true classes).
    """
    present = table.sum(1) > 0
    f1 = 2 * table.diagonal()[present] / (table.sum(1) + table.sum(0))[present]
    return float(f1.mean())


def cohens_kappa(table: Ints) -> float:
    """Agreement beyond chance (Cohen 1960), from a confusion matrix; 1 if both always give the same
    single class.
    """
    shares = table / table.sum()
    chance = float(shares.sum(1) @ shares.sum(0))
    agreed = float(shares.trace())
    return 1.0 if chance == 1 else (agreed - chance) / (1 - chance)


def segmental_f1(
    pairs: Sequence[tuple[Sequence[Bout], Sequence[Bout]]], min_overlap: float
) -> float:
    """F1@k, per cent, of true and predicted bouts of recordings.

    Each predicted bout, in the order of time, takes the true bout of its class that it overlaps
    most; it is right if their IoU reaches `min_overlap` and the true bout is not taken.
    """
    right = 0
    total = 0
    for true, predicted in pairs:
        taken = set[int]()
        total += len(true) + len(predicted)
        for row in segment_overlaps(predicted, true) * same_class(predicted, true):
            best = int(row.argmax()) if true else -1
            if best >= 0 and row[best] >= min_overlap and best not in taken:
                taken.add(best)
                right += 1
    return 100 * 2 * right / total if total else 100.0


def edit_score(true: Sequence[Bout], predicted: Sequence[Bout]) -> float:
    """100 minus the edit distance of two sequences of bouts, which begin and end at any time, in
    per cent of the longer one.
    """
    if not true and not predicted:
        return 100.0
    row = np.arange(len(predicted) + 1)
    columns = np.array([bout.label for bout in predicted])
    for number, bout in enumerate(true, 1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (columns != bout.label))
        # from the left, each insertion costs one
        steps = np.concatenate([[number], changed]) - np.arange(len(row))
        row = np.minimum.accumulate(steps) + np.arange(len(row))
    return float(100 * (1 - row[-1] / max(len(true), len(predicted))))


def count_errors(pairs: Sequence[tuple[Sequence[Bout], Sequence[Bout]]]) -> dict[str, int]:
    """Numbers of bouts of recordings: true and predicted; true bouts that are `found`, `missed` or
    `split` (overlapped by at least one, none or several predicted bouts of their class); predicted
    bouts that are `merged` or `inserted` (overlap several or no true bouts of their class).
    """
    by_true = [np.zeros(0, int)]
    by_predicted = [np.zeros(0, int)]
    for true, predicted in pairs:
        overlaps = (segment_overlaps(true, predicted) > 0) & same_class(true, predicted)
        by_true.append(overlaps.sum(1))
        by_predicted.append(overlaps.sum(0))
    partners = np.concatenate(by_true)
    true_partners = np.concatenate(by_predicted)
    return {
        "true": len(partners),
        "predicted": len(true_partners),
        "found": int((partners > 0).sum()),
        "missed": int((partners == 0).sum()),
        "split": int((partners > 1).sum()),
        "merged": int((true_partners > 1).sum()),
        "inserted": int((true_partners == 0).sum()),
    }


def _budget(recordings: Sequence[Sequence[Bout]], k: int, rate: float) -> dict[str, Any]:
    """Minutes, number of bouts and their median seconds of a class; None without bouts."""
    frames = [bout.end - bout.start for bouts in recordings for bout in bouts if bout.label == k]
    return {
        "minutes": sum(frames) / rate / 60,
        "bouts": len(frames),
        "median": float(np.median(frames)) / rate if frames else None,
    }

"""Metrics of states: of the class of each frame, and of bouts, which are runs of frames of one class.

Segmental F1 and edit score are those of temporal action segmentation (Lea et al. 2017; as in MS-TCN,
Farha and Gall 2019), per cent as there. Bouts of no state are not counted; frames are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.decision import Decision
from onlooker.base.records import Segment

Ints = NDArray[np.int64]

RATE = 25.0  # frames per second, where that of the model is not known
UNKNOWN = -1  # the class of a frame whose state is not known
OVERLAPS = (0.1, 0.25, 0.5)  # IoU thresholds of segmental F1


class Bout(NamedTuple):
    """A run of frames of one class: the first one, the last one + 1, and the class."""

    begin: int
    end: int
    label: int


def frame_labels(
    segments: Sequence[Segment], times: Sequence[float], classes: Sequence[str]
) -> Ints:
    """The class at each of some times, `T`, ascending: that of the last segment that begins there;
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
    pairs = [
        (_states(bouts_of(a), K), _states(bouts_of(b), K))
        for a, b in zip(true, predicted, strict=True)
    ]
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


def chain_figures(
    decision: Decision,
    chains: Sequence[Sequence[int]],
    true: Mapping[str, Sequence[Segment]],
    *,
    predicted: Mapping[str, Sequence[Segment]],
    seconds: Mapping[str, float],
    unknown: Mapping[str, Sequence[Segment]],
    second: Mapping[str, Sequence[Segment]] | None = None,
) -> list[dict[str, Any]]:
    """`state_figures` of some chains of states, with the names of their `classes`. Time without
    labels is no state, or for a chain in which there is always one unknown.

    Args:
        chains: the positions of their classes, and -1 for none.
        true, predicted, seconds: by recording, its bouts and its length.
        unknown: by recording, times of which nobody knows what happens, where no class of a chain
            is labeled. Their label is "".
        second: by recording, the bouts of a second scorer, as for `scorer_agreement`; what is
            unknown to this one does not count.
    """
    rate = decision.frame_rate or RATE
    nothing = decision.nothing_class
    results = list[dict[str, Any]]()
    for chain in chains:
        names = [decision.classes[k] for k in chain if k not in (-1, nothing)]
        has_gaps = len(names) < len(chain)
        pairs = list[tuple[Ints, Ints]]()
        for recording, length in seconds.items():
            times = np.arange(0, length, 1 / rate).tolist()
            bouts = [*true[recording], *unknown.get(recording, ())]
            labels = _known_labels(bouts, times, names)
            if not has_gaps:
                labels[labels == len(names)] = UNKNOWN
            if second:
                labels[_known_labels(second[recording], times, names) == UNKNOWN] = UNKNOWN
            pairs.append((labels, frame_labels(predicted[recording], times, names)))
        labels_of_all, answers = zip(*pairs, strict=True)
        figures = state_figures(labels_of_all, answers, names, rate=rate)
        results.append({"classes": names, **figures})
    return results


def _known_labels(bouts: Sequence[Segment], times: Sequence[float], classes: Sequence[str]) -> Ints:
    """`frame_labels`, and `UNKNOWN` where only a bout of the label "" is."""
    labels = frame_labels(bouts, times, classes)
    for bout in bouts:
        if not bout.label:
            begin, end = np.searchsorted(times, [bout.start, bout.end]).tolist()
            unlabeled = labels[begin:end] == len(classes)
            labels[begin:end][unlabeled] = UNKNOWN
    return labels


def scorer_agreement(
    decision: Decision,
    chains: Sequence[Sequence[int]],
    second: Mapping[str, Sequence[Segment]],
    *,
    true: Mapping[str, Sequence[Segment]],
    predicted: Mapping[str, Sequence[Segment]],
    seconds: Mapping[str, float],
    unknown: Mapping[str, Sequence[Segment]],
) -> list[dict[str, Any]]:
    """How well a second scorer and the model agree with the first scorer, in the recordings that both
    people have labeled: of each chain, the number of `recordings`, and Cohen's kappa of frames,
    `scorers` and `model`. Time that is unknown to one of the two does not count.

    Args:
        second: by recording, the bouts of the second scorer; the label "" is unknown time.
        decision, chains, true, predicted, seconds, unknown: as for `chain_figures`, those of the
            first scorer.
    """
    by_people, by_model = (
        chain_figures(
            decision,
            chains,
            true,
            predicted=answers,
            seconds={name: seconds[name] for name in second},
            unknown=unknown,
            second=second,
        )
        for answers in (second, predicted)
    )
    return [
        {
            "classes": people_figures["classes"],
            "recordings": len(second),
            "scorers": people_figures["kappa"],
            "model": model_figures["kappa"],
        }
        for people_figures, model_figures in zip(by_people, by_model, strict=True)
    ]


def _states(bouts: Sequence[Bout], K: int) -> list[Bout]:
    return [bout for bout in bouts if bout.label < K]


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
        for bout in predicted:
            overlaps = [_overlap(bout, other) for other in true]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best >= 0 and overlaps[best] >= min_overlap and best not in taken:
                taken.add(best)
                right += 1
    return 100 * 2 * right / total if total else 100.0


def _overlap(bout: Bout, other: Bout) -> float:
    """The IoU of two bouts of one class; 0 for others, at most 0 for those that are apart."""
    if bout.label != other.label:
        return 0.0
    both = min(bout.end, other.end) - max(bout.begin, other.begin)
    return both / (max(bout.end, other.end) - min(bout.begin, other.begin))


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
    """Numbers of true and predicted bouts of recordings; of true ones that are `found` or `missed`
    (overlapped by one of their class or not) and `split` (by several); and of predicted ones that
    are `merged` (overlap several of their class) or `inserted` (none).
    """
    counts = dict.fromkeys(
        ("true", "predicted", "found", "missed", "split", "merged", "inserted"), 0
    )
    for true, predicted in pairs:
        overlaps = np.array([[_overlap(b, a) > 0 for b in predicted] for a in true], bool)
        overlaps = overlaps.reshape(len(true), len(predicted))
        by_true = overlaps.sum(1)
        by_predicted = overlaps.sum(0)
        counts["true"] += len(true)
        counts["predicted"] += len(predicted)
        counts["found"] += int((by_true > 0).sum())
        counts["missed"] += int((by_true == 0).sum())
        counts["split"] += int((by_true > 1).sum())
        counts["merged"] += int((by_predicted > 1).sum())
        counts["inserted"] += int((by_predicted == 0).sum())
    return counts


def _budget(recordings: Sequence[Sequence[Bout]], k: int, rate: float) -> dict[str, Any]:
    """Minutes, number of bouts and their median seconds of a class; None without bouts."""
    frames = [bout.end - bout.begin for bouts in recordings for bout in bouts if bout.label == k]
    return {
        "minutes": sum(frames) / rate / 60,
        "bouts": len(frames),
        "median": float(np.median(frames)) / rate if frames else None,
    }

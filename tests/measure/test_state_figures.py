"""Metrics of states are those of their publications, by naive versions."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score, f1_score

from onlooker.base.decision import Decision, TierStates
from onlooker.base.records import Segment
from onlooker.measure.states import (
    RATE,
    UNKNOWN,
    Tier,
    bouts_of,
    edit_score,
    frame_labels,
    scorer_agreement,
    state_figures,
    tier_figures,
    tiers_of,
)
from onlooker.measure.timeline import Timeline

Ints = NDArray[np.int64]
CLASSES = ("sit", "stand", "walk")
NONE = 3


def random_labels(seed: int) -> tuple[list[Ints], list[Ints]]:
    """Bouts of recordings, and answers of which some begin late, and some are others."""
    rng = np.random.default_rng(seed)
    true = []
    predicted = []
    for _ in range(4):
        labels = np.repeat(rng.integers(0, 4, 30), rng.integers(1, 9, 30))
        answers = np.roll(labels, rng.integers(0, 3))
        for begin in rng.integers(0, len(labels) - 5, 8):
            answers[begin : begin + rng.integers(1, 5)] = rng.integers(0, 4)
        true.append(labels)
        predicted.append(answers)
    return true, predicted


def published_segments(labels: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Labels, starts and ends of segments, none of background, as in the published evaluation."""
    names: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    last = labels[0]
    if labels[0] != NONE:
        names.append(labels[0])
        starts.append(0)
    for i in range(len(labels)):
        if labels[i] != last:
            if labels[i] != NONE:
                names.append(labels[i])
                starts.append(i)
            if last != NONE:
                ends.append(i)
            last = labels[i]
    if last != NONE:
        ends.append(len(labels))
    return names, starts, ends


def published_f1(true: list[Ints], predicted: list[Ints], overlap: float) -> float:
    tp = fp = fn = 0
    for y, p in zip(true, predicted, strict=True):
        y_label, y_start, y_end = map(np.array, published_segments(y.tolist()))
        p_label, p_start, p_end = published_segments(p.tolist())
        hits = np.zeros(len(y_label))
        for j in range(len(p_label)):
            intersection = np.minimum(p_end[j], y_end) - np.maximum(p_start[j], y_start)
            union = np.maximum(p_end[j], y_end) - np.minimum(p_start[j], y_start)
            iou = (1.0 * intersection / union) * [p_label[j] == label for label in y_label]
            best = int(np.argmax(iou))
            if iou[best] >= overlap and not hits[best]:
                tp += 1
                hits[best] = 1
            else:
                fp += 1
        fn += len(y_label) - int(sum(hits))
    precision = tp / (tp + fp)
    recall = tp / (tp + fn)
    return 100 * 2 * precision * recall / (precision + recall)


def published_edit(y: list[int], p: list[int]) -> float:
    distance = np.zeros([len(p) + 1, len(y) + 1])
    distance[:, 0] = range(len(p) + 1)
    distance[0] = range(len(y) + 1)
    for j in range(1, len(y) + 1):
        for i in range(1, len(p) + 1):
            if y[j - 1] == p[i - 1]:
                distance[i, j] = distance[i - 1, j - 1]
            else:
                before = (distance[i - 1, j], distance[i, j - 1], distance[i - 1, j - 1])
                distance[i, j] = min(before) + 1
    return float((1 - distance[-1, -1] / max(len(p), len(y))) * 100)


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_the_published_ones(seed: int) -> None:
    true, predicted = random_labels(seed)
    figures = state_figures(true, predicted, CLASSES, rate=5.0)
    y, p = np.concatenate(true), np.concatenate(predicted)
    assert figures["accuracy"] == pytest.approx((y == p).mean())
    assert figures["macro_f1"] == pytest.approx(f1_score(y, p, average="macro"))
    assert figures["kappa"] == pytest.approx(cohen_kappa_score(y, p))
    for overlap in (10, 25, 50):
        expected = published_f1(true, predicted, overlap / 100)
        assert figures["segmental_f1"][str(overlap)] == pytest.approx(expected)
    edits = [
        published_edit(published_segments(a.tolist())[0], published_segments(b.tolist())[0])
        for a, b in zip(true, predicted, strict=True)
    ]
    assert figures["edit"] == pytest.approx(np.mean(edits))


def test_bouts_that_are_found_missed_merged_split_and_inserted() -> None:
    true = np.array([0] * 4 + [1] * 2 + [0] * 4 + [2] * 6 + [1] * 3 + [NONE] * 3)
    answers = np.array([0] * 10 + [2, 2, 0, 2, 2, 2] + [0] * 3 + [NONE, 1, 1])
    bouts = state_figures([true], [answers], CLASSES, rate=2.0)["bouts"]
    assert bouts == {
        "true": 5,
        "predicted": 6,
        "found": 3,
        "missed": 2,
        "split": 1,
        "merged": 1,
        "inserted": 3,
    }


def test_time_bouts_and_medians_of_each_state() -> None:
    true = [np.array([0] * 8 + [1] * 4 + [0] * 4), np.array([0] * 12)]
    answers = [np.array([0] * 16), np.array([NONE] * 12)]
    states = state_figures(true, answers, CLASSES, rate=4.0)["states"]
    assert states["sit"]["true"] == {"minutes": pytest.approx(0.1), "bouts": 3, "median": 2.0}
    assert states["sit"]["predicted"] == {
        "minutes": pytest.approx(4 / 60),
        "bouts": 1,
        "median": 4.0,
    }
    assert states["walk"]["true"] == {"minutes": 0.0, "bouts": 0, "median": None}


def test_frames_of_unknown_state_do_not_count() -> None:
    true = np.array([0] * 5 + [UNKNOWN] * 5 + [1] * 5)
    answers = np.array([0] * 5 + [2] * 5 + [1] * 5)
    figures = state_figures([true], [answers], CLASSES, rate=5.0)
    assert (figures["accuracy"], figures["edit"], figures["bouts"]["inserted"]) == (
        1.0,
        100.0,
        0,
    )
    with pytest.raises(ValueError, match="no frame has a known state"):
        state_figures([true[5:10]], [answers[5:10]], CLASSES, rate=5.0)


def test_degenerate_recordings() -> None:
    nothing = np.full(4, NONE)
    figures = state_figures([nothing], [nothing], CLASSES, rate=5.0)
    assert (figures["accuracy"], figures["kappa"], figures["edit"]) == (1.0, 1.0, 100.0)
    assert figures["segmental_f1"]["50"] == 100.0
    assert edit_score(bouts_of(np.zeros(4, int)), []) == 0.0
    assert bouts_of(np.zeros(0, int)) == []


def test_segments_as_classes_of_frames() -> None:
    segments = [
        Segment("walk", 1.0, 2.0),
        Segment("sit", 0.0, 1.0),
        Segment("fly", 2.0, 3.0),
    ]
    times = [0.0, 0.5, 1.0, 1.9, 2.0, 2.5]
    assert frame_labels(segments, times, CLASSES).tolist() == [0, 0, 2, 2, NONE, NONE]


def test_time_is_unknown_only_where_no_class_of_the_chain_is_labeled() -> None:
    true = Timeline([Segment("sit", 0, 60), Segment("nod", 0, 20)], 120, unknown=[(0, 80)])
    answers = Timeline([Segment("stand", 0, 120), Segment("nod", 0, 120)], 120)
    tiers = [
        Tier([0, -1], ["nod", ""], gap=1),
        Tier([1, 2, -1], ["sit", "stand", ""], gap=2),
    ]
    head, posture = tier_figures(tiers, [(true, answers)], rate=RATE)
    assert head["accuracy"] == pytest.approx(20 / 60)  # without the 60 s that are unknown
    assert head["states"]["nod"]["predicted"]["minutes"] == pytest.approx(1)
    assert posture["accuracy"] == 0
    assert posture["states"]["sit"]["true"]["minutes"] == pytest.approx(1)
    # the second scorer knows nothing from 30 s on, unless there is a label
    second = Timeline([Segment("sit", 0, 40), Segment("nod", 0, 10)], 120, unknown=[(30, 120)])
    head, posture = scorer_agreement(tiers, [(true, answers, second)], rate=RATE)
    assert (head["scorers"], posture["scorers"]) == (0, 1)


def test_the_tiers_of_a_model_are_its_chains_without_the_class_in_which_nothing_happens() -> (
    None
):
    decision = Decision(("nod", "nothing", "sit", "stand"))
    (events,) = tiers_of(decision)
    assert (events.states, events.gap) == (["nod", "sit", "stand"], 1)
    chains = [TierStates(k, [1.0] * len(k), [1.0] * len(k), weight=1) for k in ([0, 1], [2, 3])]
    tiers = tiers_of(replace(decision, states=tuple(chains)))
    assert [(tier.states, tier.gap) for tier in tiers] == [
        (["nod"], 1),
        (["sit", "stand"], UNKNOWN),
    ]
    assert tiers_of(Decision(("nod", "sit")))[0].gap == 2, "no class in which nothing happens"

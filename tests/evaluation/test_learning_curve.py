"""Predicted accuracies compared with known power laws, with the noise of few test clips."""

import numpy as np
import pytest

from onlooker.evaluation.learning_curve import LearningPoint, predict_accuracy


def point(clips: int, correct: float, tested: int) -> LearningPoint:
    return {"clips": clips, "correct": round(correct), "tested": tested}


def accuracy(clips: int) -> float:
    return 1 - 0.7 * (clips / 10) ** -0.4


def test_a_power_law_is_extrapolated() -> None:
    points = [point(clips, 100_000 * accuracy(clips), 100_000) for clips in (10, 20, 40)]
    expected, low, high = predict_accuracy(points, 80)
    assert expected == pytest.approx(accuracy(80), abs=1e-3)
    assert low < expected < high < low + 0.02
    assert predict_accuracy(points, 80) == (expected, low, high)


def test_the_interval_contains_the_true_accuracy() -> None:
    chance, sizes, held, widths = np.random.default_rng(0), (9, 18, 36, 72), [], []
    for _ in range(200):
        points = [point(clips, chance.binomial(36, accuracy(clips)), 36) for clips in sizes]
        expected, low, high = predict_accuracy(points, 144)
        assert 0 <= low <= expected <= high <= 1
        held.append(low <= accuracy(144) <= high)
        widths.append(high - low)
    assert np.mean(held) > 0.9
    assert np.mean(widths) < 0.35


def test_predicted_accuracy_never_falls_with_more_clips() -> None:
    expected, *_ = predict_accuracy([point(10, 30, 40), point(20, 28, 40), point(40, 27, 40)], 80)
    assert expected == pytest.approx(28.3 / 40, abs=0.01)  # as on average
    assert predict_accuracy([point(10, 40, 40), point(20, 40, 40)], 40)[0] > 0.98

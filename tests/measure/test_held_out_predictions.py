import math
from collections import defaultdict

import numpy as np
import pytest

from onlooker.measure.held_out import HeldOut, is_clear
from onlooker.training.search import Trial

SCORES = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1], [math.nan] * 2])
TARGETS = np.array([0, 0, 0, 1, 1, 1])
GROUPS = np.array(["a", "a", "b", "b", "c", "c"])


def held_out(scores: np.ndarray = SCORES, nothing: int | None = None) -> HeldOut:
    return HeldOut(scores, TARGETS, GROUPS, nothing=nothing)


def test_clips_that_were_not_tested_do_not_count() -> None:
    predictions = held_out()
    assert predictions.tested.tolist() == [True] * 5 + [False]
    assert predictions.accuracy == pytest.approx(3 / 5)
    losses = [-math.log(p) for p in (0.7, 0.2, 0.6, 0.9, 0.1)]
    np.testing.assert_allclose(predictions.losses[:5], losses)
    assert math.isnan(predictions.losses[5])


def test_a_probability_of_zero_has_a_finite_loss() -> None:
    assert held_out(np.tile([0.0, 1.0], (6, 1))).losses[0] == pytest.approx(-math.log(1e-30))


def test_the_threshold_of_events_finds_them() -> None:
    threshold = held_out(nothing=1).event_threshold()
    assert threshold == pytest.approx(0.2), "finds all three events"
    assert held_out().event_threshold() is None, "every class is an event"


def test_certain_mistakes_are_softened() -> None:
    random = np.random.default_rng(0)
    right = random.random((200, 1)) < 0.7
    scores = np.where(right, [[0.99, 0.01]], [[0.01, 0.99]])
    targets = np.zeros(200, int)
    temperature = HeldOut(scores, targets, targets.astype(str)).temperature()
    logit = math.log(99) / temperature
    assert 1 / (1 + math.exp(-logit)) == pytest.approx(right.mean(), abs=0.01)


def test_classes_weigh_equally_in_a_balanced_temperature() -> None:
    scores = np.array([[0.9, 0.1]] * 90 + [[0.6, 0.4]] * 10)
    targets = np.array([0] * 90 + [1] * 10)
    predictions = HeldOut(scores, targets, targets.astype(str))
    assert predictions.temperature(balanced=True) > predictions.temperature()


def naive_is_clear(gains: list[float], groups: list[str]) -> bool:
    mean = sum(gains) / len(gains)
    sums = defaultdict(float)
    for gain, group in zip(gains, groups, strict=True):
        sums[group] += gain - mean
    return mean > math.sqrt(sum(value**2 for value in sums.values())) / len(gains)


@pytest.mark.parametrize("seed", range(20))
def test_a_gain_is_clear_above_one_standard_error_over_recordings(seed: int) -> None:
    random = np.random.default_rng(seed)
    gains = random.normal(0.2, 1, 30)
    groups = random.integers(0, 6, 30).astype(str)
    assert is_clear(gains, groups) == naive_is_clear(gains.tolist(), groups.tolist())


def test_a_model_is_clearly_better_on_the_clips_that_both_tested() -> None:
    better = SCORES.copy()
    better[:5] = np.where(np.eye(2)[TARGETS[:5]] > 0, 0.95, 0.05)
    trial = Trial.of(held_out(better))
    usual = Trial.of(held_out())
    assert trial.is_clearly_better(usual)
    assert not usual.is_clearly_better(trial)
    assert not usual.is_clearly_better(usual)
    nothing_tested = Trial.of(held_out(np.full_like(SCORES, np.nan)))
    assert not trial.is_clearly_better(nothing_tested)

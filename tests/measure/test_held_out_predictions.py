import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

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


@pytest.mark.parametrize("seed", range(10))
def test_a_gain_is_clear_by_students_t_over_recordings(seed: int) -> None:
    random = np.random.default_rng(seed)
    gains = random.normal(0.6, 1, 8)
    chance = ttest_1samp(gains, 0, alternative="greater").pvalue
    twice = np.repeat(gains, 2)
    groups = np.repeat([*"abcdefgh"], 2)
    assert is_clear(twice, groups, chance * 1.01), "clips of one recording count once"
    assert not is_clear(twice, groups, chance * 0.99)


def test_gains_of_one_recording_are_never_clear() -> None:
    assert not is_clear(np.ones(50), np.repeat("a", 50), 0.4)
    assert is_clear(np.ones(50), np.repeat([*"ab"], 25), 0.4)


@pytest.mark.parametrize("recordings", [3, 5, 12])
def test_candidates_that_are_equal_in_truth_are_rarely_called_clearly_better(
    recordings: int,
) -> None:
    """Recordings differ, and have one to eight clips."""
    random = np.random.default_rng(0)
    mistakes = 0
    for _ in range(1000):
        numbers = np.repeat(np.arange(recordings), random.integers(1, 9, recordings))
        groups = numbers.astype(str)
        shared = random.normal(0, 0.5, recordings)
        losses = shared[numbers] + random.normal(0, 1, len(groups))
        zero = Trial(np.zeros(len(groups)), groups)
        mistakes += Trial(losses, groups).is_clearly_better(zero)
    assert mistakes / 1000 < 0.16 + 0.035, "three standard errors of this simulation"


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

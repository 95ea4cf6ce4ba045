"""Calibration compared with naive versions and models of known calibration, and in degenerate
cases.
"""

import numpy as np
import pytest

from onlooker.report.metrics import (
    balancing_weights,
    calibration_error,
    confidence_bins,
    fit_temperature,
    perfect_calibration_error,
)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def calibrated(clips, classes=3, frames=1, seed=0, spread=1.5):
    """Logits of frames, equal within a clip, and classes sampled from their softmax."""
    random = np.random.default_rng(seed)
    logits = spread * random.normal(size=(clips, classes))
    targets = (softmax(logits).cumsum(1) < random.random((clips, 1))).sum(1)
    return np.repeat(logits[:, None], frames, 1), targets


def test_bins_hold_equally_many_clips_and_keep_ties_together():
    confidence = np.random.default_rng(0).permutation(np.linspace(0.3, 1, 20))
    bins = confidence_bins(confidence)
    assert np.bincount(bins).tolist() == [4] * 5
    assert (np.diff(bins[np.argsort(confidence)]) >= 0).all()
    tied = np.array([0.5, 0.9, 0.5, 0.5, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5])
    assert confidence_bins(tied).tolist() == [0, 3, 0, 0, 3, 3, 3, 0, 0, 0]
    assert confidence_bins(np.ones(3)).tolist() == [0, 0, 0]


def test_a_calibrated_model_has_the_expected_error():
    errors = []
    expected = []
    for seed in range(30):
        logits, targets = calibrated(36, seed=seed)
        scores = softmax(logits[:, 0])
        errors.append(calibration_error(scores.max(1), scores.argmax(1) == targets))
        expected.append(perfect_calibration_error(scores.max(1), draws=100))
    means, high = np.array(expected).T
    assert np.mean(errors) == pytest.approx(means.mean(), abs=0.02)
    assert means.mean() > 0.05  # of 36 clips chance alone makes this
    assert 0.8 < np.mean(errors < high) <= 1
    many = softmax(calibrated(10_000)[0][:, 0]).max(1)
    assert perfect_calibration_error(many, draws=20)[0] < 0.02
    assert perfect_calibration_error(many, draws=20) == perfect_calibration_error(many, draws=20)
    assert perfect_calibration_error(np.ones(4)) == (0, 0)


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5, 6.0])
def test_the_temperature_recovers_a_scale_of_the_logits(factor):
    logits, targets = calibrated(4000, frames=4)
    temperature = fit_temperature(softmax(factor * logits).astype(np.float32), targets)
    assert temperature == pytest.approx(factor, rel=0.06)
    corrected = softmax(factor * logits / temperature).mean(1)
    assert calibration_error(corrected.max(1), corrected.argmax(1) == targets) < 0.03


@pytest.mark.parametrize("aggregation", ["mean", "product", "last"])
def test_the_temperature_equals_a_grid_search(aggregation):
    random = np.random.default_rng(3)
    targets = random.integers(0, 4, 25)
    frames = [
        softmax(3 * (random.normal(size=(random.integers(1, 6), 4)) + 0.7 * np.eye(4)[target]))
        for target in targets
    ]

    def loss(temperature):
        total = 0.0
        sure = []
        for scores, target in zip(frames, targets, strict=True):
            tempered = scores ** (1 / temperature)
            tempered /= tempered.sum(1, keepdims=True)
            if aggregation == "product":
                clip = softmax(np.log(tempered).sum(0))
            else:
                clip = tempered.mean(0) if aggregation == "mean" else tempered[-1]
            total -= np.log(clip[target])
            sure.append(clip.max())
        return total - np.log(np.mean(sure)) - np.log(1 - np.mean(sure))

    every = np.exp(np.linspace(-np.log(20), np.log(20), 3001))
    expected = every[np.argmin([loss(temperature) for temperature in every])]
    assert fit_temperature(frames, targets, aggregation) == pytest.approx(expected, rel=4e-3)


def test_balanced_weights_count_the_clips_of_a_class_together():
    weights = balancing_weights(np.array([0, 2, 2, 2]))
    assert weights.tolist() == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
    logits, targets = calibrated(3000)
    # of one class, only a tenth of the clips was found
    rare = (targets != 0) | (np.arange(3000) % 10 == 0)
    scores = softmax(1.5 * logits)[rare]
    kept = targets[rare]
    balanced = fit_temperature(scores, kept, weights=balancing_weights(kept))
    assert balanced == pytest.approx(1.5, rel=0.06), "that of all clips"


def test_few_clips_that_are_all_correct_do_not_make_the_model_certain():
    scores = np.tile([[[0.7, 0.3]]], (10, 1, 1))
    temperature = fit_temperature(scores, np.zeros(10, int))
    # Laplace
    assert softmax(np.log(scores[0, 0]) / temperature)[0] == pytest.approx(11 / 12, abs=1e-3)


def test_degenerate_temperatures():
    assert fit_temperature([], np.zeros(0, int)) == 1
    assert fit_temperature(np.ones((3, 2, 1)), np.zeros(3, int)) == 1
    certain = np.tile([[[1.0, 0.0]]], (10, 1, 1))
    assert fit_temperature(certain, np.arange(10) % 2) == pytest.approx(20)
    assert fit_temperature(certain, np.zeros(10, int)) <= 20

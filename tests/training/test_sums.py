"""Layers of many clips, fitted to batches, equal those that are fitted to all rows; nothing copies
the statistics of all clips.
"""

import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import softmax

from onlooker.base.fisher import fisher_vector
from onlooker.measure.held_out import HeldOut
from onlooker.models.linear import UNORDERED
from onlooker.training import eyes, linear, regression
from onlooker.training.eyes import LayerChoice, choose_eyes, cross_validated, eye_vectors
from onlooker.training.linear import (
    INNER_FOLDS,
    Candidate,
    ClipStatistics,
    EyeVectors,
    fitted_layer,
)
from onlooker.training.regression import (
    Floats,
    Ints,
    LinearLayer,
    Method,
    mean_and_std,
    one_batch,
    regress,
)
from onlooker.training.unusual import usual_distance

METHODS = (
    Method("discriminant", 0.1),
    Method("discriminant", 0.9),
    Method("logistic", 1.0),
    Method("logistic", 10.0),
)
Case = tuple[Floats, Ints, int]


def made(labels: Sequence[int] = (0, 1, 3), count: int = 400, M: int = 64) -> Case:
    """Statistics of clips whose scales differ by powers of ten, one of which never changes; their
    classes, and the number of classes.
    """
    random = np.random.default_rng(0)
    y = random.choice(labels, count)
    x = random.standard_normal((max(labels) + 1, M))[y] + random.standard_normal((count, M))
    x = x * np.logspace(-2, 2, M) + random.normal(0, 30, M)
    x[:, 5] = 7.0
    return x.astype(np.float32), y, max(labels) + 1


def batches(x: Floats, y: Ints, size: int = 60) -> Callable[[], list[tuple[Floats, Ints]]]:
    return lambda: [(x[i : i + size], y[i : i + size]) for i in range(0, len(y), size)]


def assert_alike(layer: LinearLayer, expected: LinearLayer, x: Floats, error: float) -> None:
    np.testing.assert_allclose(layer.center, expected.center, rtol=1e-12)
    np.testing.assert_allclose(layer.scale, expected.scale, rtol=1e-9)
    np.testing.assert_allclose(
        softmax(layer.logits(x), 1), softmax(expected.logits(x), 1), atol=error
    )


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("labels", [(0, 1, 3), (0, 1)], ids=["three classes", "two classes"])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("one_scale", [False, True])
def test_layers_of_batches_equal_those_of_all_rows(
    method: Method,
    labels: tuple[int, ...],
    balanced: bool,
    one_scale: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y, classes = made(labels)
    options = {"balanced": balanced, "one_scale": one_scale}
    everything = one_batch(x.astype(np.float64), y)
    (expected,) = regress(everything, classes, methods=[method], **options)
    monkeypatch.setattr(regression, "MANY", 100)
    (layer,) = regress(batches(x, y), classes, methods=[method], **options)
    # of probabilities: those of logistic regression end with the steps of its solver
    assert_alike(layer, expected, x, 1e-4 if method.name == "discriminant" else 5e-3)
    absent = np.setdiff1d(np.arange(classes), labels)
    assert softmax(layer.logits(x), 1)[:, absent].sum() < 1e-4


@pytest.mark.parametrize("many", [5, 2000])
def test_equal_clips_of_each_class_have_a_discriminant(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "MANY", many)
    x = np.random.default_rng(0).standard_normal((3, 20)).repeat(4, 0)
    y = np.arange(3).repeat(4)
    (layer,) = regress(batches(x, y, 5), 3, methods=[Method("discriminant", 0.3)])
    assert (layer.logits(x).argmax(1) == y).all()
    assert np.abs(layer.logits(x)).max() < 100


def test_moments_are_those_of_all_rows() -> None:
    x, y, _ = made()
    mean, deviation = mean_and_std(batches(x, y))
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64))
    np.testing.assert_allclose(deviation, x.std(0, dtype=np.float64), atol=1e-12)


def recorded(statistics: int = 64) -> ClipStatistics:
    """Clips of 40 recordings, with motion words."""
    x, y, classes = made(M=statistics)
    random = np.random.default_rng(1)
    vectors = random.standard_normal((classes, 12))[y] + random.standard_normal((len(y), 12))
    groups = (np.arange(len(y)) // 10).astype(str)
    seen = {"motion": EyeVectors(vectors, np.eye(12))}
    return ClipStatistics(x, y, groups, num_classes=classes, eyes=seen, requested="both")


@pytest.mark.parametrize("method", METHODS[1:3], ids=str)
@pytest.mark.parametrize("statistics", [("change", "wave1"), ("change", "largest")])
def test_many_clips_are_fitted_in_batches_with_the_same_layer(
    monkeypatch: pytest.MonkeyPatch, method: Method, statistics: tuple[str, ...]
) -> None:
    clips = recorded()
    candidate = Candidate(statistics, method)
    positions = np.arange(0, 400, 3)
    windows = clips.x[1:30:2].astype(np.float64), clips.y[1:30:2]
    fit = partial(fitted_layer, clips, candidate, positions, windows=windows)
    together = fit()
    monkeypatch.setattr(regression, "MANY", 100)
    monkeypatch.setattr(linear, "_ROWS", 32)
    layer = fit()
    assert not np.array_equal(layer.weight, together.weight)
    assert_alike(layer, together, clips.x, 5e-3)
    monkeypatch.undo()
    columns = clips.columns(statistics)
    x = np.concatenate([clips.x[positions], windows[0]])
    (direct,) = regress(
        one_batch(x[:, columns], np.concatenate([clips.y[positions], windows[1]])),
        clips.num_classes,
        methods=[method],
    )
    expected = direct.embedded_in(columns, 64)
    others = np.setdiff1d(clips.columns(UNORDERED), columns)  # they count for distances
    expected.center[others] = x[:, others].mean(0)
    deviation = x[:, others].std(0)
    deviation[deviation < 1e-6] = 1  # one never changes
    expected.scale[others] = deviation * np.sqrt(len(columns))
    assert_alike(together, expected, clips.x, 1e-9)


def test_scores_and_distances_of_many_clips_are_those_of_all_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips = recorded()
    candidate = Candidate(("change", "largest"), METHODS[1], methods={"motion": METHODS[2]})
    untested = np.full((len(clips.y), clips.num_classes), np.nan)
    held_out = HeldOut(untested, clips.y, clips.groups)
    choice = LayerChoice(candidate, held_out, factors={"pictures": 0.5, "motion": 2.0})
    expected, _ = cross_validated(clips, choice)
    distance = usual_distance(clips, candidate)
    monkeypatch.setattr(regression, "MANY", 100)
    monkeypatch.setattr(linear, "_ROWS", 32)
    scores, _ = cross_validated(clips, choice)
    assert not np.array_equal(scores.scores, expected.scores)
    np.testing.assert_allclose(scores.scores, expected.scores, atol=0.01)
    assert usual_distance(clips, candidate) == pytest.approx(distance, rel=1e-6)


def test_the_temperature_is_that_of_layers_fitted_to_many_clips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(0)
    y = np.arange(900) % 3
    x = 0.3 * random.standard_normal((3, 32))[y] + random.standard_normal((900, 32))
    clips = ClipStatistics(x, y, np.arange(900).astype(str), num_classes=3)
    monkeypatch.setattr(linear, "MANY", 60)
    monkeypatch.setattr(regression, "MANY", 60)
    sample = choose_eyes(clips.subset(clips.sampled()), INNER_FOLDS)
    choice = choose_eyes(clips)
    assert choice.candidate == sample.candidate
    assert choice.of_sample.temperature == sample.temperature == sample.of_sample.temperature
    logits = choice.temperature * np.log(cross_validated(clips, choice)[0].scores)

    def loss(temperature: float) -> float:
        return -float(np.log(softmax(logits / temperature, 1)[np.arange(900), y]).mean())

    assert loss(choice.temperature) < loss(sample.temperature) - 0.01
    assert loss(choice.temperature) < min(
        loss(factor * choice.temperature) for factor in (0.5, 2.0)
    )


def test_motion_is_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = torch.rand(7, 3, 1 + 16, generator=torch.Generator().manual_seed(0)) - 0.3
    expected = np.stack([fisher_vector(part.sum(0)).numpy() for part in sums])
    whole = eye_vectors(sums.__getitem__, len(sums))
    np.testing.assert_allclose(whole.x @ whole.basis.T, expected, atol=1e-6)
    monkeypatch.setattr(eyes, "_BATCH", 3)
    again = eye_vectors(sums.__getitem__, len(sums))
    np.testing.assert_allclose(again.x, whole.x, atol=1e-6)


def test_statistics_of_all_clips_are_never_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((4000, 1024), np.float32)
    clips = ClipStatistics(
        x, np.arange(4000) % 2, np.repeat(["one", "two"], 2000), num_classes=2
    )
    monkeypatch.setattr(linear, "_ROWS", 200)
    for method in METHODS[1:3]:
        candidate = Candidate(("change", "largest"), method)
        tracemalloc.start()
        fitted_layer(clips, candidate)
        usual_distance(clips, candidate)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 2

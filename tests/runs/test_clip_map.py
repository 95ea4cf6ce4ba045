"""The map of clips: principal components against the covariance, outliers that were planted; models without a map."""

from pathlib import Path

import numpy as np
import pytest

from onlooker.runs.clip_map import clip_map, find_outliers, principal_components


def test_a_model_that_is_not_linear_has_no_map(trained: tuple[Path, str]) -> None:
    assert clip_map(trained[0]) == {}


def test_principal_components_are_those_of_the_covariance() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((30, 5)) @ random.standard_normal((5, 5)) + 7
    places = principal_components(x)
    z = (x - x.mean(0)) / x.std(0)
    _, vectors = np.linalg.eigh(z.T @ z)
    expected = z @ vectors[:, [4, 3]]
    expected = expected / np.abs(expected).max() * np.sign((expected * places).sum(0))
    assert places == pytest.approx(expected, abs=1e-4)
    assert principal_components(np.ones((1, 3))).tolist() == [[0, 0]], "a single clip"


def test_outliers_are_far_from_their_own_class_only() -> None:
    random = np.random.default_rng(1)
    x, y = random.standard_normal((40, 8)), np.repeat([0, 1], 20)
    x[y == 1] += 20
    assert not find_outliers(x, y).any()
    x[5] += 20  # with the clips of the other class
    assert np.flatnonzero(find_outliers(x, y)).tolist() == [5]
    assert not find_outliers(x[:3], y[:3]).any(), "three clips have no outlier"
    assert not find_outliers(np.ones((6, 4)), np.zeros(6, int)).any(), "equal clips"

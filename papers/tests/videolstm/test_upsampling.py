"""Upsampling keeps the center of a cell."""

import numpy as np
import pytest

from onlooker_papers.videolstm.boxes import upsample

RNG = np.random.default_rng(0)
VALUES = RNG.random((12, 3, 4)).astype(np.float32)


def test_upsampled_maps_keep_their_sum_and_the_center_of_a_cell() -> None:
    rng = np.random.default_rng(1)
    maps = rng.dirichlet(np.ones(49), 5).reshape(5, 7, 7)
    large = upsample(maps, (45, 64))
    np.testing.assert_allclose(large.sum((1, 2)), 1, rtol=1e-4)
    assert large.min() >= 0
    one = np.zeros((1, 8, 8))
    one[0, 2, 5] = 1
    lit = upsample(one, (64, 64))[0]
    y, x = (np.indices((64, 64)) + 0.5).reshape(2, -1) @ lit.ravel()
    assert (y, x) == (pytest.approx(20, abs=1e-3), pytest.approx(44, abs=1e-3))


def test_two_attended_cells_keep_their_weighted_center() -> None:
    two = np.zeros((1, 8, 8))
    two[0, 4, 2:4] = 2 / 3, 1 / 3
    lit = upsample(two, (64, 64))[0]
    assert (np.arange(64) + 0.5) @ lit.sum(0) == pytest.approx((20 * 2 + 28) / 3, abs=1e-3)


def test_the_same_size_changes_nothing_and_a_uniform_map_stays_uniform() -> None:
    np.testing.assert_allclose(upsample(VALUES, (3, 4)), VALUES, rtol=1e-5)
    np.testing.assert_allclose(upsample(np.full((1, 4, 4), 1 / 16), (20, 30)), 1 / 600, rtol=1e-5)
    assert not upsample(np.zeros((1, 2, 2)), (4, 4)).any()

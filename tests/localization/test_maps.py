"""Smoothing compared with its equation, in degenerate cases and in a stream; upsampling keeps the center of a cell."""

import numpy as np
import pytest

from onlooker.localization.maps import smooth, smooth_step, upsample

RNG = np.random.default_rng(0)
VALUES = RNG.random((12, 3, 4)).astype(np.float32)


def test_smoothing_keeps_constant_values_and_zero_frames_is_the_identity() -> None:
    still = np.broadcast_to(VALUES[:1], VALUES.shape)
    np.testing.assert_allclose(smooth(still, 2.5), still, rtol=1e-5)
    assert np.array_equal(smooth(VALUES, 0), VALUES)
    np.testing.assert_array_equal(smooth(VALUES[:1], 3), VALUES[:1])


def test_gaussian_smoothing_equals_a_weighted_mean() -> None:
    found = smooth(VALUES, 1.7)
    for t in range(12):
        weights = [np.exp(-((u - t) ** 2) / (2 * 1.7**2)) for u in range(12)]
        expected = sum(w * v for w, v in zip(weights, VALUES, strict=True)) / sum(weights)
        np.testing.assert_allclose(found[t], expected, rtol=1e-5)
    np.testing.assert_allclose(smooth(VALUES[::-1], 1.7)[::-1], found, rtol=1e-5)


def test_smoothing_in_a_stream_decays_exponentially() -> None:
    state = smooth_step(None, VALUES[0], 4)
    for _ in range(4):
        state = smooth_step(state, np.zeros_like(VALUES[0]), 4)
    np.testing.assert_allclose(state, np.exp(-1) * VALUES[0], rtol=1e-5)


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


def test_invalid_arguments() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        smooth(np.zeros((0, 2)), 1)
    with pytest.raises(ValueError, match=r"size is \(2, 9\), expected at least"):
        upsample(VALUES, (2, 9))
    with pytest.raises(ValueError, match="negative or not finite"):
        upsample(-VALUES, (9, 9))
    with pytest.raises(ValueError, match="expected T h w"):
        upsample(VALUES[0], (9, 9))

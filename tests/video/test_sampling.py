"""Sampling compared with its formula in exact fractions; resizing with plain averages, and
grayscale by BT.601."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.video.resize import resize
from onlooker.video.sampling import Timing, equally_spaced


@given(st.integers(1, 10**7), st.integers(1, 60))
def test_equally_spaced_is_the_center_of_equal_parts(total: int, count: int) -> None:
    indices = equally_spaced(total, count)
    if total >= count:
        assert indices.tolist() == [
            floor((i + Fraction(1, 2)) * total / count) for i in range(count)
        ]
        assert len(set(indices.tolist())) == count
    else:
        assert indices.tolist() == [*range(total), *[total - 1] * (count - total)]
    assert indices.dtype == np.int64


@pytest.mark.parametrize("rounded", [1e-6, 0.001, 0.01])
@pytest.mark.parametrize("rate", [5, 24, 30000 / 1001, 30])
def test_regular_frames_are_the_moments_however_their_times_are_rounded(
    rate: float, rounded: float
) -> None:
    times = np.round(np.arange(100) / rate / rounded) * rounded
    ends = (100 / rate, times[-1] + 0.001)  # the duration of the last frame is often wrong
    for timing in (*(Timing(times, end) for end in ends), Timing(times[:1], 5.0)):
        frames, moments = timing.moments()
        assert frames.tolist() == list(range(len(timing.times)))
        assert moments is timing.times


def test_moments_show_what_a_file_at_a_constant_rate_shows() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        changes = np.flatnonzero(generator.random(120) < generator.uniform(0.1, 0.9))
        changes = np.unique([0, 1, 2, *changes])  # at least two frames that follow each other
        timing = Timing(changes / 30, 4.0)
        frames, moments = timing.moments()
        if moments is timing.times:
            continue
        assert moments == pytest.approx(np.arange(120) / 30, abs=1e-3)
        assert (
            frames.tolist()
            == (np.searchsorted(changes, np.arange(120), side="right") - 1).tolist()
        )


def test_a_frame_that_is_shown_for_long_at_the_end_is_held() -> None:
    frames, moments = Timing(np.array([0, 0.1, 0.2, 0.3]), 1.0).moments()
    assert frames.tolist() == [0, 1, 2, *[3] * 7]
    assert moments == pytest.approx(np.arange(10) / 10)


def test_a_time_that_is_years_late_takes_little_memory() -> None:
    times = np.append(np.arange(15) / 10, 1e8)
    frames, moments = Timing(times, 1e8 + 0.1).moments()
    assert len(frames) == len(moments) <= 4_000_000
    assert (frames[0], frames[-1], moments[-1] > 0.99e8) == (0, 14, True)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks() -> None:
    pixels = noise(3, 32, 48, 3)
    expected = pixels.reshape(3, 8, 4, 8, 6, 3).mean((2, 4))
    assert np.abs(resize(pixels, 8, 3) - expected).max() <= 0.5 + 1e-6


def test_growing_is_linear() -> None:
    pixels = np.zeros((1, 1, 2, 3), np.uint8)
    pixels[0, 0, 1] = 200
    assert resize(pixels, 4, 3)[0, 0, :, 0].tolist() == [0, 50, 150, 200]


def test_gray_is_bt601() -> None:
    pixels = noise(2, 16, 16, 3)
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    gray = resize(pixels, 16, 1)
    assert gray.shape == (2, 16, 16, 1)
    assert np.abs(gray[..., 0] - expected).max() <= 0.51

"""Sampling compared with its formula in exact fractions, and in degenerate cases."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.integers(1, 10**6), st.integers(1, 40))
def test_a_sampling_is_in_the_video_and_never_goes_back(total: int, length: int) -> None:
    indices = equally_spaced(total, length)
    assert 0 <= indices[0] <= indices[-1] < total
    assert (np.diff(indices) >= 0).all()


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
            frames.tolist() == (np.searchsorted(changes, np.arange(120), side="right") - 1).tolist()
        )


def test_a_frame_that_is_shown_for_long_at_the_end_is_held() -> None:
    frames, moments = Timing(np.array([0, 0.1, 0.2, 0.3]), 1.0).moments()
    assert frames.tolist() == [0, 1, 2, *[3] * 7]
    assert moments == pytest.approx(np.arange(10) / 10)

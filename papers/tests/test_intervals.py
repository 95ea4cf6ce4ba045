"""Intervals of differences, over recordings and over seeds."""

import pytest
from scipy.stats import ttest_1samp

from onlooker_papers.intervals import over_recordings, over_seeds


def test_a_difference_has_an_interval_over_recordings() -> None:
    later = ["1110100111"]
    earlier = ["0100100111"]
    center, low, high = over_recordings(later, earlier, [str(i) for i in range(10)])
    assert center == pytest.approx(0.2)
    naive = ttest_1samp([1, 0, 1, *[0] * 7], 0).confidence_interval()
    assert [low, high] == pytest.approx([*naive])
    twice = over_recordings(
        ["1110100111" * 2], ["0100100111" * 2], [str(i % 10) for i in range(20)]
    )
    assert twice == pytest.approx([center, low, high])  # the same clips again say nothing new
    assert over_recordings(later * 2, [*earlier, *later], list("abcdefghij"))[0] == pytest.approx(
        0.1
    )
    same, low, high = over_recordings(later, later, list("abcdefghij"))
    # ten recordings without a difference do not exclude one
    assert (same, low) == pytest.approx((0, -high))
    assert 0 < high < 0.6
    assert over_recordings(later, earlier, ["one"] * 10) == pytest.approx([0.2])


def test_a_difference_has_an_interval_over_seeds() -> None:
    assert over_seeds([0.9, 0.8, 0.7], [0.5, 0.4, 0.3]) == pytest.approx([0.4, 0.4, 0.4])
    assert over_seeds([0.9, 0.8, 0.7], [0.5] * 3) == pytest.approx(
        [0.3, 0.3 - 0.2484, 0.3 + 0.2484], abs=1e-3
    )

"""Swapped labels are counted in the first tenth of the list of doubtful ones."""

import numpy as np

from onlooker.training.linear import Clips
from onlooker_papers.real_clips.label_errors import share_listed, swap
from onlooker_papers.real_clips.tables import label_errors


def clips(apart: float) -> Clips:
    y = np.arange(80) % 4
    x = apart * np.eye(4, 12)[y] + np.random.default_rng(0).normal(size=(80, 12))
    return Clips(x, y, np.arange(80).astype(str), 4, ("mean", "change"))


def test_labels_are_swapped() -> None:
    before = clips(6)
    after, swapped = swap(before, 4, seed=1)
    assert len(set(swapped)) == 4
    np.testing.assert_array_equal(np.flatnonzero(after.y != before.y), np.sort(swapped))
    assert set(after.y) == {0, 1, 2, 3}


def test_swapped_labels_of_separate_classes_are_found_and_in_noise_they_are_not() -> None:
    assert share_listed(clips(9), 0) == 1
    assert share_listed(clips(0), 0) < 1


def test_the_table_has_a_row_for_each_set() -> None:
    of = {"accuracy": 0.957, "clips": 93, "swapped": 5, "found": 0.97, "spread": 0.071}
    assert "| weizmann | 95.7 | 93 | 5 | 97.0 ± 7.1 |" in label_errors({"label-errors": {"weizmann": of}}).markdown()

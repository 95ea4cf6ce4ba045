"""Splits of given shares: disjoint, complete, by class, groups kept whole."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.base.records import Clip
from onlooker_papers.apportion import apportion

SHARES = {"training": 0.7, "validation": 0.2, "test": 0.1}


def made_groups(groups: list[list[int]]) -> tuple[list[Clip], list[str]]:
    pairs = [
        (Clip(Path(f"{g}-{i}.avi"), str(label)), str(g))
        for g, of in enumerate(groups)
        for i, label in enumerate(of)
    ]
    return [clip for clip, _ in pairs], [group for _, group in pairs]


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=12, max_size=40),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_apportioned_splits_are_disjoint_complete_and_keep_groups_whole(
    groups: list[list[int]], seed: int
) -> None:
    clips, of = made_groups(groups)
    try:
        parts = apportion(clips, of, SHARES, seed=seed)
    except ValueError as error:
        assert "which are kept whole" in str(error)  # noqa: PT017 - or there are no splits
        return
    assert list(parts) == list(SHARES)
    assert Counter(clip for part in parts.values() for clip in part) == Counter(clips)
    group = dict(zip(clips, of, strict=True))
    apart = [{group[clip] for clip in part} for part in parts.values()]
    assert sum(map(len, apart)) == len(set.union(*apart))
    assert all(
        {clip.label for clip in part} == {clip.label for clip in clips} for part in parts.values()
    )


def test_each_class_gets_its_share() -> None:
    clips, of = made_groups(
        [[label] for label, count in enumerate((50, 100, 30)) for _ in range(count)]
    )
    for name, part in apportion(clips, of, SHARES).items():
        counts = Counter(clip.label for clip in part)
        assert [counts[label] for label in "012"] == [
            round(SHARES[name] * count) for count in (50, 100, 30)
        ]


def test_the_seed_of_apportion() -> None:
    clips, of = made_groups([[0]] * 60)
    assert apportion(clips, of, SHARES, seed=1) == apportion(clips, of, SHARES, seed=1)
    assert apportion(clips, of, SHARES, seed=1) != apportion(clips, of, SHARES, seed=2)


def test_a_class_of_one_recording_cannot_be_divided() -> None:
    clips, of = made_groups([*([[0]] * 20), [1] * 9])
    with pytest.raises(
        ValueError,
        match=r"no clip of class 1 for .*: its 9 clips were cut from 1 recordings, which",
    ):
        apportion(clips, of, SHARES)


@pytest.mark.parametrize("few", [[[1, 1], [1, 1], [1, 1, 1]], [[1, 2], [2, 1], [1, 2, 2]]])
def test_a_class_of_as_many_recordings_as_splits_is_in_all_of_them(few: list[list[int]]) -> None:
    clips, of = made_groups([*([[0]] * 20), *few])
    for part in apportion(clips, of, SHARES).values():
        assert {clip.label for clip in part} == {clip.label for clip in clips}

"""Sharing clips out: recordings whole, classes in proportion; and clips that lists name in vain."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.data.published import apportion, check_present, read_lines
from onlooker.structures import Clip, ClipError

SHARES = {"training": 0.7, "validation": 0.2, "test": 0.1}


def made(groups: list[list[int]]) -> tuple[list[Clip], list[str]]:
    pairs = [
        (Clip(Path(f"{g}-{i}.avi"), str(label)), str(g)) for g, of in enumerate(groups) for i, label in enumerate(of)
    ]
    return [clip for clip, _ in pairs], [group for _, group in pairs]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=12, max_size=40), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_sides_are_disjoint_complete_and_keep_groups_whole(groups: list[list[int]], seed: int) -> None:
    clips, of = made(groups)
    try:
        sides = apportion(clips, of, SHARES, seed)
    except ValueError as error:
        assert "which stay whole" in str(error)  # noqa: PT017 - or there are no sides
        return
    assert list(sides) == list(SHARES)
    assert Counter(clip for side in sides.values() for clip in side) == Counter(clips)
    group = dict(zip(clips, of, strict=True))
    apart = [{group[clip] for clip in side} for side in sides.values()]
    assert sum(map(len, apart)) == len(set.union(*apart))
    assert all({clip.label for clip in side} == {clip.label for clip in clips} for side in sides.values())


def test_each_class_gets_its_share() -> None:
    clips, of = made([[label] for label, count in enumerate((50, 100, 30)) for _ in range(count)])
    for name, side in apportion(clips, of, SHARES).items():
        counts = Counter(clip.label for clip in side)
        assert [counts[label] for label in "012"] == [round(SHARES[name] * count) for count in (50, 100, 30)]


def test_a_seed_chooses() -> None:
    clips, of = made([[0]] * 60)
    assert apportion(clips, of, SHARES, 1) == apportion(clips, of, SHARES, 1)
    assert apportion(clips, of, SHARES, 1) != apportion(clips, of, SHARES, 2)


def test_a_class_in_one_piece() -> None:
    clips, of = made([*([[0]] * 20), [1] * 9])
    with pytest.raises(ValueError, match=r"no clip of class 1 for .*: its 9 clips were cut from 1 recordings, which"):
        apportion(clips, of, SHARES)


@pytest.mark.parametrize("few", [[[1, 1], [1, 1], [1, 1, 1]], [[1, 2], [2, 1], [1, 2, 2]]])
def test_a_class_of_as_many_recordings_as_sides_is_on_all_of_them(few: list[list[int]]) -> None:
    clips, of = made([*([[0]] * 20), *few])
    for side in apportion(clips, of, SHARES).values():
        assert {clip.label for clip in side} == {clip.label for clip in clips}


def test_missing_clips_are_all_in_the_notes(tmp_path: Path) -> None:
    clips = [Clip(tmp_path / "wave" / f"{i}.avi", "wave") for i in range(9)]
    clips[0].path.parent.mkdir()
    clips[0].path.touch()
    listed = r"8 of the 9 clips that list.txt names are missing: wave/1.avi, .*wave/5.avi and 3 more; unpack"
    with pytest.raises(ClipError, match=listed) as caught:
        check_present(clips, tmp_path, Path("list.txt"))
    assert all(f"wave/{i}.avi" in caught.value.__notes__[0] for i in range(1, 9))
    clips[0].path.unlink()
    with pytest.raises(ClipError, match=r"wave: class wave has none of the 9 clips that list.txt names; unpack its"):
        check_present(clips, tmp_path, Path("list.txt"))


def test_lists_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(ClipError, match=r"list.txt: no such file; copy it"):
        read_lines(path, "copy it")
    path.write_bytes(b"\n \r\n")
    with pytest.raises(ClipError, match=r"list.txt: an empty file; copy it"):
        read_lines(path, "copy it")
    path.write_bytes("ä".encode("latin-1"))
    with pytest.raises(ClipError, match=r"list.txt: not UTF-8 text \(.+\); copy it"):
        read_lines(path, "copy it")
    path.write_bytes(b"\xef\xbb\xbfa 1\r\n\r\n b 2 \r\n")
    assert read_lines(path, "copy it") == [(1, "a 1"), (3, "b 2")]

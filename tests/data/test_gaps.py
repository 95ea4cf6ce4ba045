"""Gaps between intervals are cut into clips of nothing that never touch an interval."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.base.config import SetConfig
from onlooker.base.intervals import split_interval
from onlooker.base.records import ClipError
from onlooker.data.lists import cut_gaps
from onlooker.data.sets import read_set
from onlooker.data.split import make_splits

_times = st.tuples(st.integers(0, 90_000), st.integers(200, 20_000)).map(
    lambda t: (t[0] / 1000, (t[0] + t[1]) / 1000)
)


@given(st.lists(_times, min_size=1, max_size=12), st.floats(0, 120), st.integers(0, 9))
def test_clips_of_gaps_never_touch_an_interval(
    intervals: list[tuple[float, float]], seconds: float, seed: int
) -> None:
    seconds = round(seconds, 3)
    found = cut_gaps(intervals, seconds, np.random.default_rng(seed))
    assert len(found) <= len(intervals)
    assert {round(end - start, 3) for start, end in found} <= {
        round(end - start, 3) for start, end in intervals
    }
    for number, (start, end) in enumerate(found):
        assert 0 <= start < end <= seconds
        others = [*intervals, *found[:number], *found[number + 1 :]]
        assert all(end <= a or b <= start for a, b in others)


def test_gaps_of_a_list(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    for name in "abc":
        make_clip(f"{name}.mp4", frames=300)  # 30 s
    rows = [
        f"{name}.mp4,{start},{start + 2},{label}"
        for name in "abc"
        for start, label in ((4, "x"), (12, "y"))
    ]
    listed = tmp_path / "list.csv"
    listed.write_text(
        "\n".join(["path,start,end,label", *rows, "c.mp4,20,0:21,x", "gone.mp4,1,2,x"])
    )
    plain = read_set(listed)
    filled = read_set(listed, SetConfig(fill="nothing"))
    added = filled.clips[len(plain.clips) :]
    assert {clip.label for clip in added} == {"nothing"}
    assert [clip.recording for clip in added] == ["a.mp4"] * 2 + ["b.mp4"] * 2 + ["c.mp4"] * 3
    assert read_set(listed, SetConfig(fill="nothing")).clips == filled.clips, (
        "the same in every run"
    )
    for clip in added:
        file, times = split_interval(clip.path)
        mine = [
            split_interval(other.path)[1]
            for other in plain.clips
            if split_interval(other.path)[0] == file
        ]
        assert all(times[1] <= start or end <= times[0] for start, end in mine)
    assert {
        clip.label for clip in read_set(listed, SetConfig(fill="nothing", classes="x,y")).clips
    } == {
        "x",
        "y",
        "nothing",
    }
    split = make_splits(filled.clips)["split"]
    parts = [
        {clip.recording for clip in part} for part in (split.training, split.validation, split.test)
    ]
    assert sorted(map(len, parts)) == [1, 1, 1]
    assert set.union(*parts) == {"a.mp4", "b.mp4", "c.mp4"}


def test_nothing_to_fill(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.mp4").touch()
    (tmp_path / "list.csv").write_text("path,label\na.mp4,x\nb.mp4,y\n")
    with pytest.raises(
        ClipError, match=r"list.csv: no time between intervals for class none; give a list with"
    ):
        read_set(tmp_path / "list.csv", SetConfig(fill="none"))

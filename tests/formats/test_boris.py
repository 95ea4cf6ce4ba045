"""Projects and tables of BORIS, as people use it."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from clips import touch
from commands import call
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import segments_of

from onlooker.base.records import Segment
from onlooker.data.sets import read_set
from onlooker.formats.annotations import read_labels

ACTS = ("walk", "groom")
Bouts = Sequence[tuple[float, float, str, str]]  # start, end, subject, act


def project(**observations: dict[str, Any]) -> str:
    behaviors = {str(i): {"code": act, "type": "State event"} for i, act in enumerate(ACTS)}
    return json.dumps({"behaviors_conf": behaviors, "observations": observations})


def observation(
    bouts: Bouts, lengths: dict[str, float] | None = None, **values: Any
) -> dict[str, Any]:
    """An observation of `a.mp4`, or of files with lengths, in the order of time."""
    lengths = lengths or {"a.mp4": 30.0}
    events = [[at, who, act, "", ""] for *times, who, act in bouts for at in times]
    usual = {"file": {"1": [*lengths]}, "type": "MEDIA", "media_info": {"length": lengths}}
    return {**usual, "events": sorted(events), **values}


def bouts_of(path: Path) -> dict[str, list[tuple[float, float, str, str]]]:
    return {
        video.name: [(each.start, each.end, each.subject, each.label) for each in segments]
        for video, segments in segments_of(path).items()
    }


@st.composite
def bouts(draw: st.DrawFn, last: int = 29) -> list[tuple[float, float, str, str]]:
    """Bouts of each subject and act that do not touch."""
    drawn = list[tuple[float, float, str, str]]()
    for who in ("", "rat"):
        for act in ACTS:
            times = draw(st.lists(st.integers(1, last), unique=True, max_size=6).map(sorted))
            drawn += [
                (float(start), float(end), who, act)
                for start, end in zip(times[::2], times[1::2], strict=False)
            ]
    return drawn


@given(bouts().filter(bool), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_events_are_read_in_the_order_of_time(coded: Bouts, random: Any) -> None:
    one = observation(coded)
    with TemporaryDirectory() as folder:
        file = Path(folder, "p.boris")
        random.shuffle(one["events"])
        file.write_text(project(one=one))
        assert sorted(bouts_of(file)["a.mp4"]) == sorted(coded)


@given(
    bouts(last=89).filter(bool),
    st.permutations([0, 1, 2]),
    st.lists(st.integers(0, 5000), min_size=3, max_size=3),
    st.sampled_from([0.0, 12.5]),
)
@settings(max_examples=40, deadline=None)
def test_times_of_day_are_subtracted_of_each_file(
    coded: Bouts, order: list[int], pauses: list[int], offset: float
) -> None:
    """The file of an event is known by its time of day, whatever the order of the files."""
    lengths = {f"{i}.mp4": 30.0 for i in range(3)}
    created = dict[str, float]()
    for place, pause in zip(order, pauses, strict=True):
        last = max(created.values(), default=1.66e9)
        created[f"{place}.mp4"] = last + 30.0 + pause + 1.0
    plain = observation(coded, lengths)
    of_day = observation(coded, lengths, **{"time offset": offset})
    of_day["media_creation_date_as_offset"] = True
    of_day["media_info"] = {"length": lengths, "media_creation_time": created}
    for event in of_day["events"]:
        file = min(int(event[0] // 30), 2)
        event[0] += created[f"{file}.mp4"] - 30.0 * file + offset
    with TemporaryDirectory() as folder:
        (Path(folder) / "plain.boris").write_text(project(one=plain))
        (Path(folder) / "day.boris").write_text(project(one=of_day))
        assert bouts_of(Path(folder) / "day.boris") == bouts_of(Path(folder) / "plain.boris")


@given(bouts().filter(bool), st.lists(st.floats(-0.4, 0.4), min_size=24, max_size=24))
@settings(max_examples=30, deadline=None)
def test_what_two_people_code_in_one_video_is_apart(coded: Bouts, late: list[float]) -> None:
    second = [
        (start + shift, end + shift, who, act)
        for (start, end, who, act), shift in zip(coded, late, strict=False)
    ]
    with TemporaryDirectory() as folder:
        file = Path(folder, "p.boris")
        touch(file.parent, "a.mp4")
        file.write_text(project(ann=observation(coded), bob=observation(second)))
        recordings = read_labels([file])
        assert [recording.scorer for recording in recordings] == ["ann", "bob"]
        assert [len(recording.labels) for recording in recordings] == [len(coded)] * 2
        call("convert", file, file.with_name("list.csv"))
        rows = file.with_name("list.csv").read_text().splitlines()
        listed = read_set(file.with_name("list.csv"), classes=1)
        assert len(listed.clips) == len({(start, end, act) for start, end, _, act in coded})
        (recording,) = listed.recordings
        assert len([label for label in recording.second if label.label]) == len(coded)
        call("convert", file.with_name("list.csv"), file.with_name("again.csv"))
        assert file.with_name("again.csv").read_text().splitlines() == rows
        call("convert", file, file.with_name("a.eaf"))  # which has no scorers
        ((_, first),) = segments_of(file.with_name("a.eaf")).items()
        assert len(first) == len(coded)


def test_observations_of_several_subjects_acts_or_times_are_of_one_scorer(
    tmp_path: Path,
) -> None:
    several = {
        "rat": observation([(1, 5, "rat", "walk")]),
        "mouse": observation([(2, 4, "mouse", "walk")]),
        "later": observation([(6, 9, "rat", "walk"), (12, 15, "rat", "walk")]),
        "groom": observation([(2, 3, "rat", "groom")]),
    }
    (tmp_path / "p.boris").write_text(project(**several))
    (recording,) = read_labels([tmp_path / "p.boris"])
    assert (recording.scorer, len(recording.labels)) == ("", 5)
    again = observation([(13, 16, "rat", "walk")])
    (tmp_path / "p.boris").write_text(project(**several, again=again))
    first, second = read_labels([tmp_path / "p.boris"])
    assert (first.scorer, second.scorer) == ("rat", "again")
    assert second.labels == (Segment("walk", 13, 16, subject="rat"),)
    done = call("convert", tmp_path / "p.boris", tmp_path / "list.csv")
    assert (
        "observations that code the same are of several scorers, apart (a.mp4)" in done.stderr
    )


def test_modifiers_are_counted_and_an_observation_that_is_wrong_costs_itself(
    tmp_path: Path,
) -> None:
    good = observation([(1, 5, "", "walk")])
    for event in good["events"]:
        event[3] = "fast|None"
    wrong = observation([(6, 7, "", "groom")])
    wrong["events"][0][0] = None
    (tmp_path / "p.boris").write_text(project(good=good, wrong=wrong))
    left_out = Counter[str]()
    assert segments_of(tmp_path / "p.boris", left_out=left_out) == {
        tmp_path / "a.mp4": [Segment("walk", 1, 5)]
    }
    entry, modifiers = left_out
    assert modifiers == "modifiers of behaviors"
    assert entry.startswith("wrong entries (observation wrong: ")
    (tmp_path / "p.boris").write_text(project(wrong=wrong))
    with pytest.raises(ValueError, match=r"1 wrong entries .observation wrong: unsupported"):
        segments_of(tmp_path / "p.boris")

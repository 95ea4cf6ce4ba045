"""Projects and tables of BORIS, as people use it."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from clips import touch
from commands import call, fails
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import segments_of

from onlooker.base.records import Segment
from onlooker.data.sets import read_set
from onlooker.formats.annotations import read_labels
from onlooker.formats.labels import Requested

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


def tables(
    coded: Bouts, lengths: dict[str, float], offset: float
) -> dict[str, list[list[Any]]]:
    """The bouts as the versions of BORIS export them: aggregated, and begins and ends."""
    ends = [sum([*lengths.values()][: i + 1]) for i in range(len(lengths))]

    def file_at(time: float) -> str:
        files = [name for name, end in zip(lengths, ends, strict=True) if time < end]
        return [*files, [*lengths][-1]][0]

    source = f"player #1:{';'.join(lengths)}|player #2:other.mp4"
    seconds = ";".join(f"{length:.3f}" for length in lengths.values())
    start = ["day 1", "2024-01-01 10:00:00", "", "Media file", source, offset, seconds]
    head = ["Observation id", "Observation date", "Description", "Observation type", "Source"]
    head += ["Time offset (s)", "Media duration (s)"]
    who = ["Subject", "Behavior", "Behavioral category", "Modifier #1", "Behavior type"]
    aggregated = [[*head, *who, "Start (s)", "Stop (s)", "Duration (s)", "Media file name"]]
    tabular = [[*head, *who, "Time", "Media file name", "Image index", "Comment"]]
    for begin, end, subject, act in sorted(coded):
        of_bout = [subject or "No focal subject", act, "Not defined", "fast"]
        times = [f"{offset + begin:.3f}", f"{offset + end:.3f}", f"{end - begin:.3f}"]
        aggregated.append([*start, *of_bout, "STATE", *times, file_at(begin)])
        for time, status in ((begin, "START"), (end, "STOP")):
            of_event = [subject, *of_bout[1:], status, f"{offset + time:.3f}"]
            tabular.append([*start, *of_event, file_at(time), 17, ""])
    tabular[1:] = sorted(tabular[1:], key=lambda row: float(row[12]))
    return {"aggregated": aggregated, "tabular": tabular}


def old_tables(coded: Bouts, offset: float) -> dict[str, list[list[Any]]]:
    """The same for one file, as versions before 8.16 export them."""
    names = ["Subject", "Behavior", "Behavioral category"]
    head = ["Observation id", "Observation date", "Description", "Media file", "Total length"]
    times = ["Start (s)", "Stop (s)", "Duration (s)"]
    aggregated = [[*head, "FPS", *names, "Modifiers", "Behavior type", *times]]
    events = list[list[Any]]()
    for begin, end, subject, act in sorted(coded):
        row = [
            "day 1",
            "2016-11-27",
            "",
            "a.mp4",
            30.0,
            25.0,
            subject or "No focal subject",
            act,
        ]
        aggregated.append([*row, "", "", "STATE", begin, end, end - begin])
        events += [
            [
                f"{offset + time:.3f}",
                "C:\\videos\\a.mp4",
                30.0,
                25.0,
                subject,
                act,
                "",
                "",
                status,
            ]
            for time, status in ((begin, "START"), (end, "STOP"))
        ]
    above = [["Observation id", "day 1"], ["Media file(s)"], ["Player #1", "C:\\videos\\a.mp4"]]
    above += [
        ["Time offset (s)", str(offset)],
        ["independent variables"],
        ["variable", "value"],
    ]
    header = ["Time", "Media file path", "Total length", "FPS", *names, "Comment", "Status"]
    rows = [
        *above,
        ["weight", "12"],
        [],
        header,
        *sorted(events, key=lambda row: float(row[0])),
    ]
    return {
        "old aggregated": aggregated,
        "old tabular": [row + [""] * (9 - len(row)) for row in rows],
    }


@given(bouts(last=59).filter(bool), st.sampled_from([0.0, 100.5]), st.sampled_from(",\t"))
@settings(max_examples=30, deadline=None)
def test_tables_of_events_are_read_as_the_project(
    coded: Bouts, offset: float, delimiter: str
) -> None:
    lengths = {"a.mp4": 30.0, "b.mp4": 30.0}
    first = [bout for bout in coded if bout[1] <= 30]
    with TemporaryDirectory() as name:
        folder = Path(name)
        for of_files, tables_of in (
            (lengths, tables(coded, lengths, offset)),
            ({"a.mp4": 30.0}, old_tables(first, offset)),
        ):
            expected = first if len(of_files) == 1 else coded
            if not expected:
                continue
            (folder / "p.boris").write_text(project(one=observation(expected, of_files)))
            for kind, rows in tables_of.items():
                table = folder / f"{kind}.csv"
                with table.open("w", newline="") as file:
                    csv.writer(file, delimiter=delimiter).writerows(rows)
                found = {video: sorted(times) for video, times in bouts_of(table).items()}
                assert found == {
                    video: sorted(times)
                    for video, times in bouts_of(folder / "p.boris").items()
                }, kind


def test_what_a_table_of_events_does_not_say(tmp_path: Path) -> None:
    rows = old_tables([(1, 2, "", "walk"), (3, 4, "", "walk")], 0)["old aggregated"]
    rows[2][3] = "b.mp4"
    table = tmp_path / "t.csv"
    table.write_text("\n".join(",".join(map(str, row)) for row in rows))
    problem = "observation day 1: several media files whose lengths the table does not have"
    assert problem in fails("convert", table, tmp_path / "list.csv")
    assert f"run `onlooker convert {table} list.csv`" in fails("check", table)
    rows[2][3] = "a.mp4"
    rows += [[*rows[1][:3], "LIVE", *rows[1][4:]], [*rows[1][:10], "POINT", 8.0, 8.0, "NA"]]
    rows[-2][0] = "live"
    rows[-1][7] = "bark"
    rows.append([*rows[1][:11], "NA", "NA", "NA"])
    table.write_text("\n".join(",".join(map(str, row)) for row in rows))
    left_out = Counter[str]()
    (segments,) = segments_of(table, left_out=left_out).values()
    assert [(each.start, each.end, each.label) for each in segments] == [
        (1, 2, "walk"),
        (3, 4, "walk"),
        (7.5, 8.5, ""),
    ]
    assert left_out == {
        "events without a media file": 1,
        "wrong entries (line 6: could not convert string to float: 'NA')": 1,
        "events without duration (bark; --point-seconds gives them one)": 1,
    }


@given(
    st.lists(st.tuples(*[st.integers(0, 1)] * 2), min_size=3, max_size=30),
    st.sampled_from([0.1, 0.5, 1.0, 2.0]),
    st.integers(0, 20),
    st.sets(st.integers(1, 28)),
)
@settings(max_examples=40, deadline=None)
def test_the_binary_table_is_read_by_its_times(
    states: list[tuple[int, ...]], step: float, before: int, missing: set[int]
) -> None:
    """Whatever the time of the first row, also with `--fps`; what has no row is not known."""
    rows = [i for i in range(len(states)) if i not in missing or i >= len(states) - 1]
    if not any(any(states[i]) for i in rows):
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        touch(folder, "rat.mp4", "rat_1.mp4")
        lines = [f"{(before + i) * step:.3f}\t{states[i][0]}\t{states[i][1]}" for i in rows]
        for file, subject in (
            ("rat", ""),
            ("rat_1_No focal subject", ""),
            ("rat_ann b", "ann b"),
        ):
            table = folder / f"{file}.tsv"
            table.write_text("\n".join(["time\twalk\tgroom", *lines]))
            requested = Requested(fps=7) if subject else Requested()
            ((video, segments),) = segments_of(table, requested).items()
            assert video.name == ("rat_1.mp4" if "1" in file else "rat.mp4")
            assert {each.subject for each in segments if each.label} == {subject}
            gaps = np.diff([before + i for i in rows])
            unusual = np.median(gaps) > 1 if len(gaps) else True
            for i in range(-before, len(states)):
                middle = (before + i + 0.5) * step
                labels = {each.label for each in segments if each.start < middle < each.end}
                if i in rows:
                    present = zip(("walk", "groom"), states[i], strict=True)
                    assert labels == {act for act, state in present if state}
                elif not unusual:
                    assert labels == {""}


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("time_ms", "the unit of column time_ms is not known; call it time, if it has seconds"),
        ("Video time", "the unit of column Video time is not known"),
        ("time", "times of column 'time' do not ascend from 0"),
    ],
)
def test_a_column_of_times_is_never_dropped(tmp_path: Path, header: str, problem: str) -> None:
    times = (5.0, 5.5, 5.5) if header == "time" else (5000.0, 5100.0, 5200.0)
    rows = [f"{time},{i % 2}" for i, time in enumerate(times)]
    (tmp_path / "a.csv").write_text("\n".join([f"{header},walk", *rows]))
    for options in ((), ("--fps", 10)):
        words = ("convert", tmp_path / "a.csv", tmp_path / "list.csv", *options)
        assert problem in fails(*words)


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
@settings(max_examples=8, deadline=None)
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

"""Lists of clips: CSV files of users, errors that name the line, and gaps between intervals."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from clips import Make, touch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onlooker.base.config import SetConfig
from onlooker.base.intervals import file_of, outside, split_interval
from onlooker.base.records import Clip, ClipError, InputError
from onlooker.data.lists import cut_gaps, read_list
from onlooker.data.sets import ClipSet, read_set
from onlooker.data.split import Split, fold_clips, group_of, hold_out_validation, split_clips
from onlooker.video.reader import VideoReader


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def unknown_times(clips: ClipSet) -> dict[Path, list[tuple[float, float]]]:
    """The unknown time of each recording that has any."""
    return {part.path: [*part.unknown] for part in clips.recordings if part.unknown}


def test_a_line_may_end_before_its_label_which_is_then_unknown(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    lines = ["path,start,end,label,note", "a.mp4,1,2,run,bright"]
    short = read_list(write(tmp_path / "list.csv", [*lines, "a.mp4,3,4"]))
    assert short == read_list(write(tmp_path / "list.csv", [*lines, "a.mp4,3,4,,"]))
    assert [part.unknown for part in short.recordings] == [((3.0, 4.0),)]


def test_clips_are_those_of_the_first_scorer_of_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = [
        "path,start,end,label,scorer",
        "a.mp4,1,2,run,ann",
        "a.mp4,1,2.5,run,bob",
        "a.mp4,2,4,sit,ann",
        "a.mp4,3,4,,bob",
        "a.mp4,1,4,sit,cy",
        "b.mp4,1,2,run,bob",
    ]
    clips = read_set(write(tmp_path / "list.csv", rows))
    assert [(clip.path.name, clip.label) for clip in clips.clips] == [
        ("a.mp4#t=1,2", "run"),
        ("a.mp4#t=2,4", "sit"),
        ("b.mp4#t=1,2", "run"),
    ]
    recordings = {part.path.name: part for part in clips.recordings}
    second = [(label.label, label.span) for label in recordings["a.mp4"].second]
    assert second == [("run", (1.0, 2.5)), ("", (3.0, 4.0))]
    assert not recordings["b.mp4"].second
    assert not unknown_times(clips)
    assert not clips.overlaps
    assert any(
        "files that several scorers have labeled: 1; the" in note for note in clips.notes
    )


def test_the_rows_of_one_subject_of_a_list(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = [
        "path,start,end,label,subject",
        "a.mp4,1,2,groom,resident",
        "a.mp4,1,3,rear,intruder",
        "a.mp4,3,4,,intruder",
        "b.mp4,1,2,rear,resident",
        "b.mp4,3,4,groom,intruder",
    ]
    path = write(tmp_path / "list.csv", rows)
    assert read_set(path).overlaps
    clips = read_set(path, requested=SetConfig(subject="resident"))
    assert [(clip.path.name, clip.label, clip.recording) for clip in clips.clips] == [
        ("a.mp4#t=1,2", "groom", "a.mp4"),
        ("b.mp4#t=1,2", "rear", "b.mp4"),  # a role is no recording
    ]
    assert not clips.overlaps
    assert not unknown_times(clips)
    both = read_set(path, requested=SetConfig(subject="resident, intruder"))
    assert both.clips == read_set(path).clips
    with pytest.raises(
        ClipError, match="no row has the subject mouse; its subjects are intruder"
    ):
        read_set(path, requested=SetConfig(subject="mouse"))
    with pytest.raises(ClipError, match="a folder; leave out --subject"):
        read_set(tmp_path, requested=SetConfig(subject="mouse"))


def test_the_only_subject_of_several_files_is_no_recording(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    header = "path,start,end,label,subject"
    rows = [
        f"{name}.mp4,{start},2,{label},fox"
        for name in "ab"
        for start, label in ((0, "sit"), (1, "run"))
    ]
    clips = read_set(write(tmp_path / "list.csv", [header, *rows]))
    assert {clip.recording for clip in clips.clips} == {"a.mp4", "b.mp4"}
    assert any(
        "all files are of subject fox, so that each is a recording" in note
        for note in clips.notes
    )
    other = read_set(write(tmp_path / "list.csv", [header, *rows, "b.mp4,3,4,sit,"]))
    assert {clip.recording for clip in other.clips} == {"fox"}


def test_unknown_time_of_nobody_in_particular_is_that_of_each_subject(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    rows = [
        "path,start,end,label,subject",
        "a.mp4,1,2,groom,resident",
        "a.mp4,1,3,rear,intruder",
        "a.mp4,3,4,,intruder",
        "a.mp4,5,9,,",
    ]
    clips = read_set(
        write(tmp_path / "list.csv", rows), requested=SetConfig(subject="resident"), classes=1
    )
    assert unknown_times(clips) == {tmp_path / "a.mp4": [(5.0, 9.0)]}


TIERS = [
    "path,start,end,label,tier",
    "a.mp4,0,5,sit,posture",
    "a.mp4,5,9,walk,posture",
    "a.mp4,1,3,eat,action",
    "a.mp4,6,8,look,action",
    "a.mp4,3,4,rest,",
]


def test_the_tiers_of_a_list(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    path = write(tmp_path / "list.csv", TIERS)
    clips = read_set(path)
    assert {clip.label: clip.tier for clip in clips.clips} == {
        "sit": "posture",
        "walk": "posture",
        "eat": "action",
        "look": "action",
        "rest": "",
    }
    said = "tiers, whose labels exclude each other: action (eat, look), posture (sit, walk)"
    assert said in clips.notes
    other = Clip(tmp_path / "b.mp4", "sit", "b")
    stored = Split(clips.clips, (other,), ()).to_dict(tmp_path)
    again = Split.from_dict(stored, tmp_path)
    assert [clip.tier for clip in again.training] == [clip.tier for clip in clips.clips]
    one = read_set(path, requested=SetConfig(tier="posture"))
    assert [clip.label for clip in one.clips] == ["sit", "walk"]
    assert not one.overlaps
    with pytest.raises(
        ClipError, match="no row has the tier gaze; its tiers are action, posture"
    ):
        read_set(path, requested=SetConfig(tier="gaze"))
    with pytest.raises(ClipError, match="a folder; leave out --tier"):
        read_set(tmp_path, requested=SetConfig(tier="posture"))
    chosen = read_set(path, requested=SetConfig(classes="sit, look"))
    assert clips.overlaps
    assert not chosen.overlaps  # of classes that are used


def test_a_tier_that_overlaps_itself(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    path = write(tmp_path / "list.csv", [*TIERS, "a.mp4,8.5,10,run,posture"])
    message = (
        r"line 3 \(walk, 5 to 9 s\) and line 7 \(run, 8.5 to 10 s\) of .* overlap in tier posture; "
        "labels of one tier exclude each other: correct the times, or the tiers"
    )
    with pytest.raises(ClipError, match=message):
        read_set(path)
    assert read_set(path, requested=SetConfig(tier="action")).clips


def test_a_state_of_each_tier_may_be_the_same_part_of_a_recording(tmp_path: Path) -> None:
    """They are two clips, of which neither overlaps what follows in its tier."""
    touch(tmp_path, "day.mp4")
    lines = [
        "path,start,end,label,tier",
        "day.mp4,1,3,walk,action",
        "day.mp4,1,3,sit,posture",
        "day.mp4,3,9,rest,action",
        "day.mp4,3,9,stand,posture",
    ]
    clips = read_set(write(tmp_path / "list.csv", lines)).clips
    assert {clip.label: split_interval(clip.path)[1] for clip in clips} == {
        "walk": (1, 3),
        "sit": (1, 3),
        "rest": (3, 9),
        "stand": (3, 9),
    }
    assert len(clips) == 4


def test_a_column_group_names_recordings_or_tiers(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = ["a.mp4,0,5,sit,{}", "a.mp4,1,3,eat,{}", "b.mp4,0,5,sit,{}"]
    groups = {("day", "day", "day"): "", ("posture", "action", "posture"): "posture"}
    for names, tier in groups.items():
        lines = [row.format(name) for row, name in zip(rows, names, strict=True)]
        clips = read_set(write(tmp_path / "list.csv", ["path,start,end,label,group", *lines]))
        assert clips.clips[0].tier == tier
        assert clips.clips[0].recording == ("a.mp4" if tier else "day")
        column = "tier" if tier else "recording"
        assert f"columns group are read as {column}" in clips.notes


def test_what_each_of_several_subjects_does_is_a_tier(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = [
        "path,start,end,label,subject",
        "a.mp4,1,2,attack,resident",
        "a.mp4,1.5,3,freeze,intruder",
        "a.mp4,1.5,3,flee,intruder",  # it may overlap itself: nobody said that it does not
        "b.mp4,1,2,rear,guest",
    ]
    clips = read_set(write(tmp_path / "list.csv", rows)).clips
    assert [clip.tier for clip in clips] == ["resident", "intruder", "intruder", ""]


def test_paths_are_relative_to_the_list(tmp_path: Path) -> None:
    touch(tmp_path, "air drumming/a,b.mp4", "c.mp4", "other/d.mp4")
    rows = [
        '"air drumming/a,b.mp4",riding a bike',
        "c.mp4 , abseiling",
        f"{tmp_path}/other/d.mp4,abseiling",
    ]
    clips = read_list(write(tmp_path / "clips.csv", ["path,label", *rows]))
    assert clips.parts == {
        "": [
            Clip(tmp_path / "air drumming" / "a,b.mp4", "riding a bike"),
            Clip(tmp_path / "c.mp4", "abseiling"),
            Clip(tmp_path / "other" / "d.mp4", "abseiling"),
        ]
    }
    assert clips.left_out == []


def test_missing_clips_are_left_out_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    too_long = "l" * 300  # for a file system
    rows = ["path,label", "a.mp4,0", "b.mp4,1", "c.mp4,1", f"{too_long}.mp4,1"]
    path = write(tmp_path / "clips.csv", rows)
    clips = read_list(path)
    assert [clip.label for clip in clips.parts[""]] == ["0", "1"]
    remedy = "correct its path, which is relative to the list"
    assert list(map(str, clips.left_out)) == [
        f"{tmp_path}/{name}.mp4: not found (line {line} of {path}, class 1); {remedy}"
        for name, line in (("c", 4), (too_long, 5))
    ]


def test_intervals_of_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "long/a.mp4", "b.mp4")
    rows = [
        "long/a.mp4;1:30;1:02:03.5;x;train",
        "long/a.mp4;3723.5;3724;y;train",
        "b.mp4;;;x;test",
        "c.mp4;1;2;x;test",
    ]
    clips = read_list(write(tmp_path / "clips.csv", ["path;start;end;label;split", *rows]))
    assert clips.parts == {
        "training": [
            Clip(tmp_path / "long" / "a.mp4#t=90,3723.5", "x", "long/a.mp4"),
            Clip(tmp_path / "long" / "a.mp4#t=3723.5,3724", "y", "long/a.mp4"),
        ],
        "test": [Clip(tmp_path / "b.mp4", "x")],
    }
    assert [error.path.name for error in clips.left_out] == ["c.mp4#t=1,2"]


def test_a_file_is_in_one_split_whatever_its_parts_are_called(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    rows = [
        f"a.mp4,{start},{start + 1},{'xy'[start % 2]},{'test' if start > 7 else 'train'}"
        for start in range(10)
    ]
    for column, parts in {
        "": [""] * 10,
        ",recording": list(",abcd" * 2),
        ",subject": "abcde" * 2,
    }.items():
        named = [
            f"{row},{part}" if column else row for row, part in zip(rows, parts, strict=True)
        ]
        listed = write(tmp_path / "clips.csv", [f"path,start,end,label,split{column}", *named])
        with pytest.raises(
            ClipError, match=r"line 10: recording .+ is in test, and in training in"
        ):
            read_set(listed)


Named = tuple[int, str, str]  # a file, a recording and a subject


def naive_groups(rows: Sequence[Named]) -> list[int]:
    """For each row, the first one that it is joined with: by file, recording or subject."""
    of_file = {
        file: {who for other, _, who in rows if other == file} - {""} for file, *_ in rows
    }
    roles = {who for names in of_file.values() if len(names) > 1 for who in names}
    alone = {who for _, _, who in rows} - roles - {""}
    if len({who for _, _, who in rows}) == 1:
        alone = set()  # the only one
    keys = [
        {
            ("file", file),
            ("recording", recording or str(i)),
            ("subject", who if who in alone else str(i)),
        }
        for i, (file, recording, who) in enumerate(rows)
    ]
    groups = [*range(len(rows))]
    for _ in rows:
        for i, j in product(range(len(rows)), repeat=2):
            if keys[i] & keys[j]:
                groups[i] = groups[j] = min(groups[i], groups[j])
    return groups


SUBJECTS = st.sampled_from(["", "", "tom", "ada", "eve"])


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from(["", "", "r", "s"]), SUBJECTS),
        min_size=1,
        max_size=14,
    )
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_shares_a_file_a_recording_or_a_subject_is_on_one_side(
    tmp_path: Path, rows: list[Named]
) -> None:
    touch(tmp_path, *(f"{file}.mp4" for file in range(8)))
    lines = [
        f"{file}.mp4,{i},{i + 1},{'xy'[i % 2]},{recording},{who}"
        for i, (file, recording, who) in enumerate(rows)
    ]
    listed = write(tmp_path / "l.csv", ["path,start,end,label,recording,subject", *lines])
    clips = read_set(listed).clips
    groups = [group_of(clip) for clip in clips]
    assert [groups.index(group) for group in groups] == naive_groups(rows)
    with suppress(InputError):
        for split in [hold_out_validation(clips), split_clips(clips), *fold_clips(clips, 3)]:
            sides = [{file_of(clip.path) for clip in part} for part in vars(split).values()]
            assert sum(map(len, sides)) == len(set.union(*sides))


def test_roles_that_share_files_are_no_recordings_and_this_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "0.mp4", "1.mp4", "2.mp4", "3.mp4")
    rows = [
        *(
            f"{i}.mp4,{t},{t + 1},x,{who}"
            for i in (0, 1)
            for t, who in enumerate(("resident", "intruder"))
        ),
        *("2.mp4,0,1,x,tom", "3.mp4,0,1,x,tom"),
    ]
    listed = write(tmp_path / "l.csv", ["path,start,end,label,subject", *rows])
    clips = read_set(listed)
    assert [clip.recording for clip in clips.clips] == ["0.mp4"] * 2 + ["1.mp4"] * 2 + [
        "tom"
    ] * 2
    assert clips.notes == [
        "subjects are recordings (tom); a split keeps the clips of each together",
        "subjects that share a file with another one are no recordings (intruder, resident), but "
        "files are; a split keeps the clips of each together",
    ]
    rows = [
        "0.mp4,1,2,x,a,p",
        "0.mp4,3,4,x,b,",
        "1.mp4,1,2,x,b,",
        "2.mp4,1,2,x,c,p",
        "3.mp4,1,2,x,d,",
    ]
    listed = write(tmp_path / "l.csv", ["path,start,end,label,recording,subject", *rows])
    clips = read_set(listed)
    assert [clip.recording for clip in clips.clips] == ["a"] * 4 + ["d"]
    assert (
        clips.notes[0]
        == "recordings joined with others, whose file or subject they share: b, c"
    )


def test_one_file_by_several_names_is_one_recording(tmp_path: Path) -> None:
    touch(tmp_path, "day.mp4", "lists/whole.mp4")
    (tmp_path / "lists" / "link.mp4").symlink_to(tmp_path / "day.mp4")
    rows = ["../day.mp4,1,2,x", f"{tmp_path}/day.mp4,3,4,y", "link.mp4,5,6,x", "whole.mp4,,,y"]
    listed = write(tmp_path / "lists" / "l.csv", ["path,start,end,label", *rows])
    assert [clip.recording for clip in read_set(listed).clips] == ["../day.mp4"] * 3 + [None]
    with pytest.raises(
        ClipError, match=r"line 2 .x, 1 to 2 s. and line 4 .z, 1.5 to 3 s. of .* overlap"
    ):
        read_set(
            write(listed, ["path,start,end,label", *rows[:2], "link.mp4,1.5,3,z"])
        ).require_apart()


def test_two_subjects_who_do_the_same_at_once_are_one_clip(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = ["a.mp4,1,2,x,tom,train", "a.mp4,1,2,x,ada,train", "b.mp4,1,2,y,ada,train"]
    header = "path,start,end,label,subject,split"
    clips = read_set(write(tmp_path / "l.csv", [header, *rows])).clips
    assert [(clip.name, clip.recording) for clip in clips] == [
        ("a.mp4#t=1,2", "a.mp4"),
        ("b.mp4#t=1,2", "b.mp4"),
    ]
    for other in ("a.mp4,1,2,x,tom,train", "a.mp4,1,2,x,eve,test"):
        with pytest.raises(ClipError, match="line 5 is a duplicate of line 2"):
            read_set(write(tmp_path / "l.csv", [header, *rows, other]))


def test_a_clip_has_one_name_wherever_it_is_read(tmp_path: Path) -> None:
    people = [f"{label}/{who}/1.mp4" for label in ("clap", "wave") for who in ("anna", "ben")]
    folder = touch(tmp_path / "clips", *people)
    clips = read_set(folder).clips
    assert [clip.name for clip in clips] == people
    split = Split(clips[::2], clips[1::2], ())
    stored = Split.from_dict(split.to_dict(folder), folder)
    assert [clip.name for clip in stored.clips] == people[::2] + people[1::2]

    touch(tmp_path, "lists/day.mp4", "apart.mp4", "elsewhere/1.mp4")
    rows = [
        "day.mp4,1,2.5,clap",
        "../apart.mp4,,,clap",
        f"{tmp_path}/lists/day.mp4,3,4,wave",
        f"{tmp_path}/elsewhere/1.mp4,,,wave",
    ]
    listed = write(tmp_path / "lists" / "my.csv", ["path,start,end,label", *rows])
    names = ["day.mp4#t=1,2.5", "../apart.mp4", "day.mp4#t=3,4", f"{tmp_path}/elsewhere/1.mp4"]
    assert [clip.name for clip in read_set(listed).clips] == names


def find(
    folder: Path, text: str | bytes
) -> tuple[dict[str, list[tuple[str, ...]]], Sequence[str]]:
    """By split, the clips of a list beside a.mp4 to d.mp4: path, label and recording; and the
    notes.
    """
    touch(folder, "a.mp4", "b.mp4", "sub/c.mp4", "sub/d e.mp4")
    (folder / "clips.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    clips = read_list(folder / "clips.csv")
    clips.require_apart()

    def listed(clip: Clip) -> tuple[str, ...]:
        return str(clip.path.relative_to(folder)), clip.label, clip.recording or ""

    return {split: [*map(listed, part)] for split, part in clips.parts.items()}, clips.notes


BOTH = {"": [("a.mp4", "x", ""), ("b.mp4", "y", "")]}
RECORDED = {"": [("a.mp4", "x", "tom"), ("b.mp4", "y", "")]}
PEOPLE = (
    "path,label,start_time,Stop Time,Subset,subject,rater,fold\n"
    "a.mp4,x,1,2.5,train,p1,r,1\nb.mp4,y,,,test,p2,r,2"
)


@pytest.mark.parametrize(
    ("text", "expected", "notes"),
    [
        (
            "FileName,Action\na.mp4,x\nb.mp4,y",
            BOTH,
            ["FileName, Action are read as path, label"],
        ),
        ("video,class\na.mp4,x\nb.mp4,y", BOTH, ["video, class are read as path, label"]),
        (
            "Video File;Category Name\na.mp4;x\nb.mp4;y",
            BOTH,
            ["Video File, Category Name are read as path, label"],
        ),
        (
            "clip_path\tbehaviour\na.mp4\tx\nb.mp4\ty",
            BOTH,
            ["clip_path, behaviour are read as path, label"],
        ),
        (
            PEOPLE,
            {"training": [("a.mp4#t=1,2.5", "x", "p1")], "test": [("b.mp4", "y", "p2")]},
            [
                "start_time, Stop Time, Subset are read as start, end, split",
                "ignored columns: rater, fold; cross-validation makes its own (--folds); for a split "
                "of yours, name it train or test in a column split",
                "subjects are recordings (p1, p2); a split keeps the clips of each together",
            ],
        ),
        (
            "path,start_frame,end_frame,start,stop,label\na.mp4,0,4,1,2,x\n",
            {"": [("a.mp4#t=1,2", "x", "a.mp4")]},
            ["stop are read as end", "ignored columns: start_frame, end_frame"],
        ),
    ],
    ids=[
        "file name and action",
        "video and class",
        "video file and category name",
        "clip path and behaviour",
        "times, splits and people",
        "frames and seconds",
    ],
)
def test_usual_names_of_columns_are_known_and_other_columns_named(
    tmp_path: Path, text: str, expected: dict[str, list[tuple[str, ...]]], notes: list[str]
) -> None:
    parts, said = find(tmp_path, text)
    assert parts == expected
    assert [line.removeprefix("columns ") for line in said] == notes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            ["address,label", "a.mp4,x"],
            "no column path in the header 'address,label'; expected path,label, optionally split and",
        ),
        (
            ["a.mp4,x,1", "b.mp4,y,2"],
            "no column path in the header 'a.mp4,x,1'; expected path,label",
        ),
        (["path,label"], "no clips; add a row for each clip below the header"),
        (
            ["path,label", "a.mp4,x", "b.mp4,"],
            "line 3 is 'b.mp4,'; expected a value for label, as in other rows",
        ),
        (["path,label", "a.mp4,x", ",y"], "line 3 is ',y'; expected a value for path"),
        (
            ["path,label,split", "a.mp4,x,train", "b.mp4,y,"],
            "line 3 is 'b.mp4,y,'; expected a value for split",
        ),
        (
            ["path,label,split", "a.mp4,x,dev"],
            "line 2: split 'dev'; expected one of train, training, val, valid",
        ),
        (
            ["path,start,end,label", "a.mp4,1,2,x", "a.mp4,0:01,2.0,x"],
            r"line 3 is a duplicate of line 2: .*a.mp4#t=1,2;",
        ),
        (
            [
                "path,start,end,label",
                "a.mp4,5,7.5,x",
                "b.mp4,6,7,y",
                "a.mp4,6,7,x",
                "a.mp4,0:07,8,y",
            ],
            r"line 2 \(x, 5 to 7.5 s\) and line 5 \(y, 7 to 8 s\) of .*a.mp4 overlap; correct the times",
        ),
        (
            ["path,start,end,label", "a.mp4,,,x", "a.mp4,3,4,y"],
            r"line 2 \(x, the whole file\) and line 3 \(y, 3 to 4 s\)",
        ),
        (
            ["path,start,end,label", "a.mp4,5,,x"],
            "line 2: start '5', end ''; expected both in seconds, mm:ss or hh:mm",
        ),
        (
            ["path,start,end,label", "a.mp4,-1,2,x"],
            "line 2: start '-1', end '2'; expected both in seconds",
        ),
        (
            ["path,start,end,label", "a.mp4,7,0:07,x"],
            "line 2: start '7', end '0:07'; expected a start before the end",
        ),
        (
            ["path,start,end,label", *("a.mp4,7,5,x", "a.mp4,abc,9,x"), *["a.mp4,2,1,x"] * 3],
            r"line 2: start '7', end '5' \(expected a start before the end\); line 3: start 'abc', end "
            r"'9' \(expected both in .*\); line 4: .*\); and 2 more; correct these rows",
        ),
        (
            ["path,label", "a.mp4,x", "", "a.mp4,y"],
            r"line 4 is a duplicate of line 2: .*a.mp4; keep one of them",
        ),
        (
            "path,filename,label\na.mp4,a.mp4,x\n",
            "columns path and filename both mean path; keep one of them",
        ),
        (
            "path,label,person,actor\na.mp4,x,p,g\n",
            "columns person and actor both mean subject",
        ),
        (
            "path,label,start_ms,end_ms\na.mp4,x,1000,2000\n",
            "the unit of column start_ms is not known; give start",
        ),
        (
            "path,label\na.mp4,x\nsub/d, e.mp4,y\n",
            "line 3 is 'sub/d,e.mp4,y': 3 fields below 2 columns; put a field",
        ),
        (
            'path,label\na.mp4,"x\nb.mp4,y\n',
            r"line 3 cannot be read as CSV \(unexpected end of data\)",
        ),
        (
            "path,start_frame,end_frame,label\na.mp4,5,2,x\n",
            "line 2: start_frame '5', end_frame '2'; expected a start b",
        ),
        (
            "path,start_frame,end_frame,label\na.mp4,0.5,2,x\n",
            "line 2: start_frame '0.5', end_frame '2'; expected two fr",
        ),
        (
            ["path,label", "a.mp4,x", "e.mp4,y", "f.mp4,y"],
            "none of the clips of class y exists .2.; add some, or",
        ),
        (
            ["path,label", "e.mp4,x", "f.mp4,y"],
            "none of its clips exists .2., such as .*e.mp4; paths are relative",
        ),
        (b"\n \r\n", "clips.csv: an empty file; give a CSV file"),
        ("p\0a\0t\0h\0", "not UTF-8 text .zero bytes.; give a CSV file"),
        ("path,label\na.mp4,x\nb.mp4,y".encode("utf-16-be"), "not UTF-8 text"),
        (
            "path,label\nä.mp4,x".encode("latin-1"),
            "not UTF-8 text .line 2: byte 0xe4.; give a CSV file .+ in UTF-8",
        ),
    ],
)
def test_what_could_be_misread_is_refused_and_the_line_named(
    tmp_path: Path, text: str | bytes | list[str], problem: str
) -> None:
    with pytest.raises(ClipError, match=problem):
        find(tmp_path, "\n".join(text) if isinstance(text, list) else text)


def test_a_list_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(
        ClipError,
        match=r"list.csv: no such file; give a CSV file with the columns path and label",
    ):
        read_list(tmp_path / "list.csv")


TABLE = {"": [("a.mp4", "x", ""), ("sub/d e.mp4", "run, fast", "")]}
SPLITS = {
    "training": [("a.mp4", "x", "p1"), ("b.mp4", "y", "p1")],
    "validation": [("sub/c.mp4", "x", "p2")],
    "test": [("sub/d e.mp4", "y", "p3")],
}
WITH_SPLITS = (
    "Split,label,note,path,Recording\r\ntrain,x,,a.mp4,p1\r\nTraining,y,?,b.mp4,p1\r\n"
    "val,x,,sub/c.mp4,p2\r\ntest,y,,sub/d e.mp4,p3"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('path,label\na.mp4,x\nsub/d e.mp4,"run, fast"\n', TABLE),
        ('path,label\na.mp4, x\nsub/d e.mp4, "run, fast"\n', TABLE),
        ("path;label\r\na.mp4;x\r\nsub\\d e.mp4;run, fast\r\n", TABLE),
        ("a.mp4;x\nsub/d e.mp4;run, fast\n", TABLE),
        ("a.mp4 x\nsub/d e.mp4 run, fast\n", TABLE),
        ("note\tpath\tlabel\n\ta.mp4\tx\n\tsub/d e.mp4\trun, fast\n", TABLE),
        ("path\tlabel\na.mp4\tx\nsub/d e.mp4\trun, fast\n".encode("utf-16"), TABLE),
        ("path;label\na.mp4;x\nsub/d e.mp4;run, fast\n".encode("utf-8-sig"), TABLE),
        ('path,note,label\na.mp4,"two\nlines",x\nsub/d e.mp4,,"run, fast"\n', TABLE),
        (WITH_SPLITS.encode("utf-8-sig"), SPLITS),
        (WITH_SPLITS.replace(",", ";"), SPLITS),
        (WITH_SPLITS.replace(",", "\t"), SPLITS),
        ("path,label,recording\na.mp4,x,tom\nb.mp4,y,\n", RECORDED),
        (
            "path,start,end,label,recording\na.mp4,0,1,x,tom\nb.mp4,0,1,y,\n",
            {"": [("a.mp4#t=0,1", "x", "tom"), ("b.mp4#t=0,1", "y", "b.mp4")]},
        ),
        (
            "path;start;end;label\na.mp4;0,25;1:02,5;x\n",
            {"": [("a.mp4#t=0.25,62.5", "x", "a.mp4")]},
        ),
        (
            'path,start,end,label\na.mp4,"0,25",1,x\n',
            {"": [("a.mp4#t=0.25,1", "x", "a.mp4")]},
        ),
    ],
    ids=[
        "quotes",
        "spaces",
        "semicolons and backslashes",
        "no header, semicolons",
        "no header, spaces",
        "tabs",
        "UTF-16",
        "byte order mark",
        "a note of two lines",
        "splits and recordings",
        "the same by semicolons",
        "the same by tabs",
        "recordings that only some rows have",
        "parts of recordings that only some rows name",
        "decimal commas",
        "decimal commas in quotes",
    ],
)
def test_lists_as_spreadsheets_and_people_write_them(
    tmp_path: Path, text: str | bytes, expected: dict[str, list[tuple[str, ...]]]
) -> None:
    assert find(tmp_path, text)[0] == expected


def test_frames_become_the_times_at_which_they_are_shown(
    tmp_path: Path, make_clip: Make
) -> None:
    make_clip("clip.mp4", frames=20, fps=30)
    header = "path,start_frame,end_frame,label"
    rows = ["clip.mp4,0,4,x", "clip.mp4,4,20,y", "gone.mp4,0,4,x", "gone.mp4,4,9,x"]
    listed = write(tmp_path / "clips.csv", [header, *rows])
    clips = read_list(listed)
    note = "start_frame and end_frame count from 0, and a clip ends when its end_frame is shown"
    assert clips.notes == [note]
    assert [len(VideoReader(clip.path)) for clip in clips.parts[""]] == [4, 16]
    assert len(clips.left_out) == 2
    with pytest.raises(ClipError, match="line 2: start_frame '4', end_frame '21' of 20 frames"):
        read_list(write(listed, [header, "clip.mp4,4,21,x"]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net.json", '{"database": {}}'),
        ("a.eaf", "<x/>"),
        ("a.vtt", "WEBVTT"),
        ("p.boris", "{}"),
    ],
)
def test_files_of_annotation_programs_are_to_be_converted(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(
        ClipError,
        match=f"not a list of clips; run `onlooker convert {tmp_path}/{name} list.csv`",
    ):
        read_set(tmp_path / name)


_times = st.tuples(st.integers(0, 90_000), st.integers(200, 20_000)).map(
    lambda t: (t[0] / 1000, (t[0] + t[1]) / 1000)
)


@given(
    st.lists(_times, min_size=1, max_size=12),
    st.lists(_times, max_size=4),
    st.floats(0, 120),
    st.integers(0, 9),
)
def test_clips_of_gaps_never_touch_an_interval_or_time_that_nobody_labeled(
    intervals: list[tuple[float, float]],
    unknown: list[tuple[float, float]],
    seconds: float,
    seed: int,
) -> None:
    seconds = round(seconds, 3)
    gaps = cut_gaps(intervals, seconds, np.random.default_rng(seed), unknown=unknown)
    assert len(gaps) <= len(intervals)
    lengths = {round(end - start, 3) for start, end in intervals}
    assert {round(end - start, 3) for start, end in gaps} <= lengths
    for number, (start, end) in enumerate(gaps):
        assert 0 <= start < end <= seconds
        others = [*intervals, *unknown, *gaps[:number], *gaps[number + 1 :]]
        assert all(end <= a or b <= start for a, b in others)


_whole_seconds = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 9)).map(
        lambda pair: (float(pair[0]), float(sum(pair)))
    ),
    max_size=6,
)


@given(_whole_seconds, _whole_seconds)
def test_times_outside_of_others_are_in_none_of_these(
    times: list[tuple[float, float]], taken: list[tuple[float, float]]
) -> None:
    def seconds_of(spans: Sequence[tuple[float, float]]) -> set[float]:
        return {float(second) for start, end in spans for second in np.arange(start, end)}

    parts = outside(times, taken)
    assert seconds_of(parts) == seconds_of(times) - seconds_of(taken)
    assert parts == sorted(parts)
    assert sum(end - start for start, end in parts) == len(seconds_of(parts))
    assert outside([(0, np.inf)], taken)[-1][1] == np.inf


def test_rows_without_a_label_are_time_of_which_nothing_is_known(
    make_clip: Make, tmp_path: Path
) -> None:
    for name in "abc":
        make_clip(f"{name}.mp4", frames=300)  # 30 s
    rows = [f"{name}.mp4,4,6,{label},train" for name, label in zip("abc", "xyx", strict=True)]
    # also by another path of the file, and without a split
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    rows += ["link.mp4,7,0:30,,", "a.mp4,0,3,,train", "b.mp4,7,30,,", "gone.mp4,1,2,,"]
    listed = write(tmp_path / "list.csv", ["path,start,end,label,split", *rows])
    clips = read_set(listed, requested=SetConfig(fill="nothing"))
    filled = [file_of(clip.path).name for clip in clips.clips if clip.label == "nothing"]
    assert sorted({*filled}) == ["b.mp4", "c.mp4"]
    assert "rows without a label: 4; no gap is cut from their times" in clips.notes
    assert unknown_times(clips)[tmp_path / "a.mp4"] == [(7, 30), (0, 3)]
    frames = [
        "path,start_frame,end_frame,label",
        "a.mp4,40,60,x",
        "b.mp4,0,9,y",
        "a.mp4,60,90,",
    ]
    assert unknown_times(read_set(write(listed, frames))) == {tmp_path / "a.mp4": [(6, 9)]}
    for rows in (["a.mp4,4,6,x", "b.mp4,,,"], ["a.mp4,4,6,x", ",1,2,"]):
        with pytest.raises(ClipError, match=r"line 3 is .*; expected a value for (label|path)"):
            read_set(write(listed, ["path,start,end,label", *rows]))
    with pytest.raises(ClipError, match="no row has a label"):
        read_set(write(listed, ["path,start,end,label", "a.mp4,4,6,"]))


def test_gaps_of_a_list_are_clips_of_nothing(make_clip: Make, tmp_path: Path) -> None:
    rows = ["c.mp4,20,0:21,x", "gone.mp4,1,2,x"]
    for name in "abc":
        make_clip(f"{name}.mp4", frames=300)  # 30 s
        rows += [f"{name}.mp4,4,6,x", f"{name}.mp4,12,14,y"]
    listed = write(tmp_path / "list.csv", ["path,start,end,label", *rows])
    plain = read_set(listed).clips
    filled = read_set(listed, requested=SetConfig(fill="nothing")).clips
    added = filled[len(plain) :]
    assert {clip.label for clip in added} == {"nothing"}
    recordings = sorted(clip.recording or "" for clip in added)
    assert recordings == ["a.mp4"] * 2 + ["b.mp4"] * 2 + ["c.mp4"] * 3
    for clip in added:
        file, times = split_interval(clip.path)
        for other, (start, end) in (split_interval(of_event.path) for of_event in plain):
            assert other != file or times[1] <= start or end <= times[0]
    assert read_set(listed, requested=SetConfig(fill="nothing")).clips == filled, (
        "the same in every run"
    )
    chosen = read_set(listed, requested=SetConfig(fill="nothing", classes="x,y")).clips
    assert {clip.label for clip in chosen} == {"x", "y", "nothing"}


def test_gaps_of_few_recordings_do_not_keep_a_list_from_being_divided(
    make_clip: Make, tmp_path: Path
) -> None:
    rows = []
    for name in "abcd":
        make_clip(f"{name}.mp4", frames=80)  # 8 s
        rows += [
            f"{name}.mp4,{start},{start + 2},{'xy'[start // 2 % 2]}" for start in range(0, 8, 2)
        ]
    del rows[0]  # a gap at the beginning of a.mp4
    listed = write(tmp_path / "list.csv", ["path,start,end,label", *rows])
    assert {clip.label for clip in read_set(listed, fills=True).clips} == {"x", "y"}
    rows = [row for row in rows if ",4," not in row]  # a gap in the middle of all
    write(listed, ["path,start,end,label", *rows])
    assert {clip.label for clip in read_set(listed, fills=True).clips} == {"x", "y", "nothing"}


def test_nothing_to_fill(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    listed = write(tmp_path / "list.csv", ["path,label", "a.mp4,x", "b.mp4,y"])
    with pytest.raises(
        ClipError, match=r"list.csv: no time between intervals for class none; give a list with"
    ):
        read_set(listed, requested=SetConfig(fill="none"))

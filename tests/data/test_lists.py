"""Lists of clips: CSV files of users, and errors that name the line."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from onlooker.data.lists import read_lines, read_list
from onlooker.data.sets import read_set
from onlooker.structures import Clip, ClipError


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_paths_are_relative_to_the_list(tmp_path: Path) -> None:
    touch(tmp_path, "air drumming/a,b.mp4", "c.mp4", "other/d.mp4")
    rows = ['"air drumming/a,b.mp4",riding a bike', "c.mp4 , abseiling", f"{tmp_path}/other/d.mp4,abseiling"]
    parts, missing = read_list(write(tmp_path / "clips.csv", ["path,label", *rows]))
    assert parts == {
        "": [
            Clip(tmp_path / "air drumming" / "a,b.mp4", "riding a bike"),
            Clip(tmp_path / "c.mp4", "abseiling"),
            Clip(tmp_path / "other" / "d.mp4", "abseiling"),
        ]
    }
    assert missing == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_in_any_order_with_split_and_recording(tmp_path: Path, delimiter: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    rows = [
        "Split,label,note,path,Recording",
        "train,x,,a.mp4,p1",
        "Training,y,?,b.mp4,p1",
        "val,x,,c.mp4,p2",
        "test,y,,d.mp4,p3",
    ]
    path = write(tmp_path / "clips.csv", [line.replace(",", delimiter) for line in rows])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))  # as a spreadsheet writes it
    parts, _ = read_list(path)
    assert {split: [(c.path.name, c.label, c.recording) for c in clips] for split, clips in parts.items()} == {
        "training": [("a.mp4", "x", "p1"), ("b.mp4", "y", "p1")],
        "validation": [("c.mp4", "x", "p2")],
        "test": [("d.mp4", "y", "p3")],
    }


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["file,label", "a.mp4,x"],
            "no column path in the header 'file,label'; expected path,label, optionally split and",
        ),
        (["a.mp4,x", "b.mp4,y"], "no column path in the header 'a.mp4,x'; expected path,label"),
        (["path,label"], "no clips; add a row for each clip below the header"),
        (["path,label", "a.mp4,x", "b.mp4,"], "line 3 is 'b.mp4,'; expected a value for label, as in other rows"),
        (["path,label", "a.mp4,x", ",y"], "line 3 is ',y'; expected a value for path"),
        (["path,label,split", "a.mp4,x,train", "b.mp4,y,"], "line 3 is 'b.mp4,y,'; expected a value for split"),
        (["path,label,recording", "a.mp4,x,tom", "b.mp4,y"], "line 3 is 'b.mp4,y'; expected a value for recording"),
        (["path,label,split", "a.mp4,x,dev"], "line 2: split 'dev'; expected one of train, training, val, valid"),
        (
            ["path,start,end,label", "a.mp4,1,2,x", "a.mp4,0:01,2.0,x"],
            r"line 3 is a duplicate of line 2: .*a.mp4#t=1,2;",
        ),
        (
            ["path,start,end,label", "a.mp4,5,7.5,x", "b.mp4,6,7,y", "a.mp4,6,7,x", "a.mp4,0:07,8,y"],
            r"line 2 \(x, 5 to 7.5 s\) and line 5 \(y, 7 to 8 s\) of .*a.mp4 overlap; correct the times",
        ),
        (["path,start,end,label", "a.mp4,,,x", "a.mp4,3,4,y"], r"line 2 \(x, 0 to inf s\) and line 3 \(y, 3 to 4 s\)"),
        (["path,start,end,label", "a.mp4,5,,x"], "line 2: start '5', end ''; expected both in seconds, mm:ss or hh:mm"),
        (["path,start,end,label", "a.mp4,-1,2,x"], "line 2: start '-1', end '2'; expected both in seconds"),
        (["path,start,end,label", "a.mp4,7,0:07,x"], "line 2: start 7, end 0:07; expected a start before the end"),
        (["path,label", "a.mp4,x", "", "a.mp4,y"], r"line 4 is a duplicate of line 2: .*a.mp4; keep one of them"),
    ],
)
def test_errors_in_a_list_name_the_line(tmp_path: Path, lines: list[str], message: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(ClipError, match=message):
        read_list(write(tmp_path / "clips.csv", lines))


def test_missing_clips_are_left_out_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    path = write(tmp_path / "clips.csv", ["path,label", "a.mp4,0", "b.mp4,1", "c.mp4,1"])
    parts, missing = read_list(path)
    assert [clip.label for clip in parts[""]] == ["0", "1"]
    assert list(map(str, missing)) == [f"{tmp_path}/c.mp4: not found (line 4 of {path}, class 1); left out"]


def test_a_class_without_clips(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    path = write(tmp_path / "clips.csv", ["path,label", "a.mp4,x", "b.mp4,y", "c.mp4,y", "d.mp4,z"])
    expected = r"clips.csv: none of the 2 clips of class y exists; add some, or remove the class"
    with pytest.raises(ClipError, match=expected):
        read_list(path)
    (tmp_path / "a.mp4").unlink()
    expected = r"clips.csv: none of its 4 clips exists, such as .*a.mp4; paths are relative to the list; correct them"
    with pytest.raises(ClipError, match=expected):
        read_list(path)
    with pytest.raises(ClipError, match=r"none.csv: no such file; give a CSV file with the columns path and label"):
        read_list(tmp_path / "none.csv")


def test_files_that_are_not_lists(tmp_path: Path) -> None:
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


def test_intervals_of_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "long/a.mp4", "b.mp4")
    rows = ["long/a.mp4;1:30;1:02:03.5;x;train", "long/a.mp4;3723.5;3724;y;train", "b.mp4;;;x;test", "c.mp4;1;2;x;test"]
    parts, missing = read_list(write(tmp_path / "clips.csv", ["path;start;end;label;split", *rows]))
    assert parts == {
        "training": [
            Clip(tmp_path / "long" / "a.mp4#t=90,3723.5", "x", "long/a.mp4"),
            Clip(tmp_path / "long" / "a.mp4#t=3723.5,3724", "y", "long/a.mp4"),
        ],
        "test": [Clip(tmp_path / "b.mp4", "x")],
    }
    assert [error.path.name for error in missing] == ["c.mp4#t=1,2"]


def test_a_recording_is_in_one_split_unless_its_parts_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    rows = [f"a.mp4,{start},{start + 1},{'xy'[start % 2]},{'test' if start > 7 else 'train'}" for start in range(10)]
    listed = write(tmp_path / "clips.csv", ["path,start,end,label,split", *rows])
    with pytest.raises(ClipError, match=r"line 10: recording a.mp4 is in test, and in training in line 2; splits must"):
        read_set(listed)
    parts = [f"{row},{'abcd'[start // 3]}" for start, row in enumerate(rows)]
    parts = [row.replace(",test,c", ",test,d") for row in parts]
    split = read_set(write(listed, ["path,start,end,label,split,recording", *parts])).split
    assert split is not None
    assert {clip.recording for clip in split.test} == {"d"}

"""Lists of clips: CSV files of users, Kinetics' columns, and errors that name the line."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from onlooker.data.lists import ClipFiles, read_lines, read_list
from onlooker.structures import Clip, ClipError

HEADER = "label,youtube_id,time_start,time_end,split,is_cc"
LABELS = ("air drumming", "massaging person's head")


def row(label: str, video: str, start: int = 7, split: str = "val") -> str:
    return f"{label},{video},{start},{start + 10},{split},0"


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def kinetics(folder: Path, videos: Sequence[str], split: str = "val") -> Path:
    """A list in the published form; videos alternate between two classes."""
    rows = [row(LABELS[at % 2], video, split=split) for at, video in enumerate(videos)]
    return write(folder / f"{split}.csv", [HEADER, *rows])


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
        (["path,label", "a.mp4,x", "", "a.mp4,y"], r"line 4 is a duplicate of line 2: .*a.mp4; keep one of them"),
        (
            [HEADER.replace("time_end", "end"), "x,a,7,17,val,0"],
            "no column time_end in the header .*; expected label",
        ),
        ([HEADER, "x,a,seven,17,val,0"], "line 2: time seven to 17; expected times in seconds"),
        ([HEADER, "x,a"], "line 2 is 'x,a'; expected a value for time_start"),
        ([HEADER], "no clips; add a row"),
        ([HEADER, row("x", "a"), row("y", "a")], r"line 3 is a duplicate of line 2: .*a.mp4; keep one of them"),
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
    expected = r"clips.csv: none of the 2 clips of class y exists, nor of 1 more; add some, or remove the class"
    with pytest.raises(ClipError, match=expected) as caught:
        read_list(path)
    assert all(f"{name}.mp4: not found (line" in caught.value.__notes__[0] for name in "bcd")
    (tmp_path / "a.mp4").unlink()
    expected = r"clips.csv: none of its 4 clips exists, such as .*a.mp4; paths are relative to the list; correct them"
    with pytest.raises(ClipError, match=expected):
        read_list(path)
    with pytest.raises(ClipError, match=r"none.csv: no such file; give a CSV file with the columns path and label"):
        read_list(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "names",
    [
        ("air drumming/-a_000007_000017.mp4", "massaging person's head/b_000007_000017.mp4"),
        ("val/air_drumming/-a_000007_000017.mkv", "val/massaging_persons_head/b_000007_000017.webm"),
        ("-a_000007_000017.mp4", "b_7_17.mp4"),
        ("val/-a.mp4", "val/b.MP4"),
    ],
)
def test_kinetics_clips_are_found_by_name_in_folders_or_flat(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *names)
    parts, missing = read_list(kinetics(tmp_path, ["-a", "b"]))
    assert not missing
    clips = parts["validation"]
    assert [clip.path.relative_to(tmp_path).as_posix() for clip in clips] == list(names)
    assert [(clip.label, clip.recording) for clip in clips] == [(LABELS[0], "-a"), (LABELS[1], "b")]


def test_the_file_in_the_class_folder_is_preferred(tmp_path: Path) -> None:
    touch(tmp_path, "a/x_000007_000017.mp4", "z/x_000007_000017.mp4", "z/y_000007_000017.mp4")
    parts, _ = read_list(write(tmp_path / "a.csv", [HEADER, row("z", "x"), row("a", "y")]))
    assert [clip.path.relative_to(tmp_path).as_posix() for clip in parts["validation"]] == [
        "z/x_000007_000017.mp4",
        "z/y_000007_000017.mp4",
    ]


def test_missing_kinetics_clips(tmp_path: Path) -> None:
    touch(tmp_path, "a_000007_000017.mp4", "b_000007_000017.mp4", "c_000008_000018.mp4")
    touch(tmp_path, ".trash/c_000007_000017.mp4", "c_000007_000017.part")
    parts, missing = read_list(kinetics(tmp_path, ["a", "b", "c", "d"]))
    assert [clip.recording for clip in parts["validation"]] == ["a", "b"]
    assert [error.path.name for error in missing] == ["c_000007_000017", "d_000007_000017"]
    expected = f"{tmp_path}/c_000007_000017: not found (line 4 of {tmp_path}/val.csv, class air drumming); left out"
    assert str(missing[0]) == expected


def test_the_official_kinetics_list(real_data: Path, tmp_path: Path) -> None:
    official = real_data / "annotations" / "label_maps" / "kinetics-400_val.csv"
    if not official.is_file():
        pytest.skip("no lists of Kinetics here")
    lines = official.read_text().splitlines()[1:]
    assert len(lines) == 19_906
    first: dict[str, str] = {}
    for label, video, start, end, *_ in (line.split(",") for line in lines):
        first.setdefault(label.strip('"'), f"{video}_{int(start):06d}_{int(end):06d}.mp4")
    touch(tmp_path, *first.values())
    parts, missing = read_list(write(tmp_path / "list.csv", official.read_text().splitlines()))
    assert {clip.label: clip.path.name for clip in parts["validation"]} == first
    assert (len(parts["validation"]), len(missing)) == (400, 19_506)


def test_files_of_another_suffix_or_with_other_capitals(tmp_path: Path) -> None:
    touch(tmp_path, "Wave/a.mp4", "Wave/A.avi", "walk/a.mp4", "walk/b.txt")
    files = ClipFiles(tmp_path)
    for asked, found in (
        ("Wave/A.avi", "Wave/A.avi"),
        ("Wave/a.mp4", "Wave/a.mp4"),
        ("walk/a.avi", "walk/a.mp4"),
        ("WALK/A.avi", "walk/a.mp4"),
        ("walk/b.avi", "walk/b.avi"),  # which does not exist
    ):
        assert files.at(tmp_path / asked) == tmp_path / found


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

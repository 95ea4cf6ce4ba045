"""Kinetics lists, lists of paths, and the clips that they name in vain."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from onlooker.data.lists import kinetics, read_label_map, read_list
from onlooker.structures import ClipError

HEADER = "label,youtube_id,time_start,time_end,split,is_cc"
LABELS = ("air drumming", "massaging person's head")


def row(label: str, video: str, start: int = 7, split: str = "val") -> str:
    return f"{label},{video},{start},{start + 10},{split},0"


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def published(folder: Path, videos: Sequence[str], split: str = "val") -> Path:
    """A list as published; videos are of the two classes by turns."""
    rows = [row(LABELS[at % 2], video, split=split) for at, video in enumerate(videos)]
    return write(folder / f"{split}.csv", [HEADER, *rows])


@pytest.fixture(scope="module")
def official(real_data: Path) -> Path:
    folder = real_data / "annotations" / "label_maps"
    if not folder.is_dir():
        pytest.skip("no lists of Kinetics here")
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("air drumming/-a_000007_000017.mp4", "massaging person's head/b_000007_000017.mp4"),
        ("val/air_drumming/-a_000007_000017.mkv", "val/massaging_persons_head/b_000007_000017.webm"),
        ("-a_000007_000017.mp4", "b_7_17.mp4"),
        ("val/-a.mp4", "val/b.MP4"),
    ],
)
def test_clips_are_found_by_their_names_in_folders_or_flat(tmp_path: Path, names: tuple[str, str]) -> None:
    root = touch(tmp_path / "clips", *names)
    listed = read_list(root, published(tmp_path, ["-a", "b"]))
    assert not listed.problems
    assert [clip.path.relative_to(root).as_posix() for clip in listed.clips] == list(names)
    assert [(clip.label, clip.recording) for clip in listed.clips] == [(LABELS[0], "-a"), (LABELS[1], "b")]


def test_of_two_files_the_one_in_the_folder_of_the_class(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", "a/x_000007_000017.mp4", "z/x_000007_000017.mp4", "z/y_000007_000017.mp4")
    listed = read_list(root, write(tmp_path / "a.csv", [HEADER, row("z", "x"), row("a", "y")]))
    assert [clip.path.relative_to(root).as_posix() for clip in listed.clips] == [
        "z/x_000007_000017.mp4",
        "z/y_000007_000017.mp4",
    ]


def test_missing_clips_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", "a_000007_000017.mp4", "b_000007_000017.mp4", "c_000008_000018.mp4")
    touch(root, ".trash/c_000007_000017.mp4", "c_000007_000017.part")
    listed = read_list(root, published(tmp_path, ["a", "b", "c", "d"]))
    assert [clip.recording for clip in listed.clips] == ["a", "b"]
    assert [error.path.name for error in listed.problems] == ["c_000007_000017", "d_000007_000017"]
    expected = f"{root}/c_000007_000017: not found (line 4 of {tmp_path}/val.csv, class air drumming); left out"
    assert str(listed.problems[0]) == expected


def test_nothing_is_there(tmp_path: Path) -> None:
    root, listing = touch(tmp_path / "clips", "x.mp4"), published(tmp_path, ["a", "b", "c"])
    expected = r"clips: none of the 3 clips of .*val.csv is there; looked for a_000007_000017 and so on; give the"
    with pytest.raises(ClipError, match=expected) as caught:
        read_list(root, listing)
    assert all(f"{video}_000007_000017: not found" in caught.value.__notes__[0] for video in "abc")
    with pytest.raises(ClipError, match=r"nowhere: no such folder; give the folder with the clips"):
        read_list(tmp_path / "nowhere", listing)
    with pytest.raises(ClipError, match=r"none.csv: no such file; give a list of clips"):
        read_list(root, tmp_path / "none.csv")


def test_a_class_without_clips(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", "a.mp4", "c.mp4")
    listing = published(tmp_path, ["a", "b", "c", "d"])
    expected = r"none of the 2 clips of class massaging person's head in .*val.csv is there; add some, or say which"
    with pytest.raises(ClipError, match=expected):
        read_list(root, listing)
    touch(root, "e.mp4")
    write(listing, [HEADER, row("x", "a"), row("y", "b"), row("z", "c")])
    assert [clip.label for clip in read_list(root, listing, classes=("x", "z")).clips] == ["x", "z"]
    with pytest.raises(ValueError, match=r"val.csv has no class 'w' among its 3; they begin with x, y, z"):
        read_list(root, listing, classes=("w", "z"))


def test_a_clip_that_stands_twice_is_taken_once_and_reported(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", "a.mp4", "b.mp4")
    listing = write(tmp_path / "a.csv", [HEADER, row("x", "a"), row("y", "b"), row("y", "a"), row("x", "b", 9)])
    listed = read_list(root, listing)
    assert [clip.label for clip in listed.clips] == ["x", "y"]
    assert [str(error) for error in listed.problems] == [
        f"{root}/a.mp4: line 4 of {listing} (y) is this clip, line 2 (x) too; taken once, as the first says",
        f"{root}/b.mp4: line 5 of {listing} (x) is this clip, line 3 (y) too; taken once, as the first says",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["label,youtube_id,time_start", "x,a,7"], "no column time_end; expected label, youtube_id, time_start"),
        ([HEADER, "x,a,seven,17,val,0"], "line 2 is 'x,a,seven,17,val,0'; expected times in seconds, and a field for"),
        ([HEADER, "x,a"], "line 2 is 'x,a'; expected times in seconds"),
        ([HEADER], "no clips; give a list that has some"),
        ([HEADER, row("x", "a"), row("y", "b", split="train")], r"several splits: train, val; say which \(split\)"),
        (["a.mp4"], "line 1 is 'a.mp4'; expected a path and a label"),
        (["a.mp4,x", "b.mp4,"], "line 2 is 'b.mp4,'; expected a path and a label"),
    ],
)
def test_lists_of_another_form(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ClipError, match=message):
        read_list(tmp_path, write(tmp_path / "a.csv", lines))


def test_a_list_of_several_splits(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    rows = [row("xy"[at % 2], video, split=("val", "train")[at // 2]) for at, video in enumerate("abcd")]
    listing = write(tmp_path / "a.csv", [HEADER, *rows])
    assert [clip.recording for clip in read_list(root, listing, split="train").clips] == ["c", "d"]
    with pytest.raises(ClipError, match="no clips of split test; give a list that has some"):
        read_list(root, listing, split="test")
    with pytest.raises(ClipError, match="no column split; expected a header with it, as split is 'test'"):
        read_list(root, write(tmp_path / "b.csv", ["a.mp4 x"]), split="test")


@pytest.mark.parametrize(
    "lines",
    [
        ["air drumming/a,b.mp4 1", "c.mp4 0"],
        ['"air drumming/a,b.mp4",1', "c.mp4,0"],
        ["path,label", "air drumming/a,b.mp4,riding a bike", "c.mp4,abseiling"],
    ],
)
def test_lists_of_paths_and_labels(tmp_path: Path, lines: list[str]) -> None:
    root = touch(tmp_path / "clips", "air drumming/a,b.mp4", "c.mp4")
    label_map = write(tmp_path / "map.txt", ["abseiling", "riding a bike"])
    listed = read_list(root, write(tmp_path / "a.csv", lines), label_map)
    assert [(clip.path, clip.label) for clip in listed.clips] == [
        (root / "air drumming" / "a,b.mp4", "riding a bike"),
        (root / "c.mp4", "abseiling"),
    ]
    assert not listed.problems
    assert all(clip.recording is None for clip in listed.clips)


def test_without_a_map_labels_are_names(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", "a.mp4", "b.mp4")
    listed = read_list(root, write(tmp_path / "a.txt", [f"{root}/a.mp4 0", "b.mp4 1", "c.mp4 1"]))
    assert [clip.label for clip in listed.clips] == ["0", "1"]
    expected = f"{root}/c.mp4: not found (line 3 of {tmp_path}/a.txt, class 1); left out"
    assert [str(error) for error in listed.problems] == [expected]


def test_labels_that_are_not_in_the_map(tmp_path: Path) -> None:
    label_map = write(tmp_path / "map.txt", ["abseiling", "riding a bike"])
    for label in ("2", "bowling"):
        listing = write(tmp_path / "a.txt", ["a.mp4 0", f"b.mp4 {label}"])
        with pytest.raises(ClipError, match=rf"a.txt: line 2: label '{label}'; .*map.txt has 2 classes, abseiling fir"):
            read_list(tmp_path, listing, label_map)
    write(label_map, ["x", "y", "x"])
    with pytest.raises(ClipError, match=r"map.txt: line 3: x stands in line 1 too; keep one"):
        read_list(tmp_path, listing, label_map)


def test_the_official_list_and_maps(official: Path, tmp_path: Path) -> None:
    for classes in (400, 600, 700):
        assert len(read_label_map(official / f"kinetics_label_map_k{classes}.txt")) == classes
    lines = (official / "kinetics-400_val.csv").read_text().splitlines()[1:]
    assert len(lines) == 19_906
    first: dict[str, str] = {}
    for label, video, start, end, *_ in (line.split(",") for line in lines):
        first.setdefault(label.strip('"'), f"{video}_{int(start):06d}_{int(end):06d}.mp4")
    root = touch(tmp_path, *first.values())
    listed = read_list(root, official / "kinetics-400_val.csv", official / "kinetics_label_map_k400.txt")
    assert {clip.label: clip.path.name for clip in listed.clips} == first
    assert (len(listed.clips), len(listed.problems)) == (400, 19_506)


def test_a_split_of_two_lists_and_of_three(tmp_path: Path) -> None:
    learned, tested, chosen = ([f"{side}{i}" for i in range(20)] for side in ("learn", "test", "choose"))
    root = touch(tmp_path / "clips", *(f"{name}.mp4" for name in (*learned, *tested, *chosen)))
    training, test = published(tmp_path, [*learned, "gone"], "train"), published(tmp_path, tested, "val")
    split, problems = kinetics(root, training, test, share=0.2)
    assert (len(split.training), len(split.validation), len(split.test)) == (16, 4, 20)
    assert [error.path.name for error in problems] == ["gone_000007_000017"]
    three, problems = kinetics(root, training, test, published(tmp_path, chosen, "holdout"))
    assert [clip.recording for clip in three.validation] == chosen
    assert three.test == split.test
    with pytest.raises(ValueError, match="validation is 0, expected a share"):
        kinetics(root, training, test, share=0)


def test_a_video_of_two_lists_stays_in_the_test(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", *(f"{video}.mp4" for video in "abcdef"))
    training, test = published(tmp_path, [*"abcdef"], "train"), published(tmp_path, [*"ab"], "val")
    split, problems = kinetics(root, training, test, share=0.5)
    assert {clip.recording for clip in (*split.training, *split.validation)} == set("cdef")
    assert [str(error) for error in problems] == [
        f"{root}/{video}.mp4: its video is in {training} and in {test}; left out of train.csv" for video in "ab"
    ]


def test_a_class_that_is_tested_but_not_taught(tmp_path: Path) -> None:
    root = touch(tmp_path / "clips", *(f"{video}.mp4" for video in "abcdef"))
    training = write(tmp_path / "train.csv", [HEADER, row("x", "a"), row("y", "b"), row("x", "c"), row("y", "d")])
    test = write(tmp_path / "val.csv", [HEADER, row("x", "e"), row("z", "f")])
    with pytest.raises(ClipError, match=r"train.csv: no clips of class z, which is tested; add some, or leave the cla"):
        kinetics(root, training, test)

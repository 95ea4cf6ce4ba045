"""Reading a folder of clips, and errors for folders of another form."""

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from clips import find_clips
from PIL import Image

from onlooker.base.records import ClipError
from onlooker.data.folder import list_files, read_folder


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def image_sequence(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8)).save(folder / f"{number:03}.png")


def record(
    folder: Path, rows: Sequence[tuple[str, ...]], header: Sequence[str] = ("clip", "recording")
) -> None:
    with (folder / "recordings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def two_classes(folder: Path) -> Path:
    touch(folder / "clap" / "b.mp4", folder / "clap" / "a.avi", folder / "wave" / "c.MOV")
    return folder


def test_clips_are_video_files_and_image_sequences_in_order(tmp_path: Path) -> None:
    two_classes(tmp_path)
    image_sequence(tmp_path / "wave" / "d")
    found = [
        (str(clip.path.relative_to(tmp_path)), clip.label, clip.recording)
        for clip in find_clips(tmp_path)
    ]
    assert found == [
        ("clap/a.avi", "clap", None),
        ("clap/b.mp4", "clap", None),
        ("wave/c.MOV", "wave", None),
        ("wave/d", "wave", None),
    ]


def test_hidden_files_and_files_that_are_not_clips_are_skipped(tmp_path: Path) -> None:
    two_classes(tmp_path)
    touch(
        tmp_path / ".git" / "a.mp4", tmp_path / "clap" / ".a.mp4", tmp_path / "clap" / "notes.txt"
    )
    touch(tmp_path / "loose.mp4", tmp_path / "clap" / "deeper" / "e.mp4")
    touch(tmp_path / "wave" / "thumb1.jpg")  # one image does not make a class a clip
    assert len(find_clips(tmp_path)) == 3


def test_a_class_without_clips_is_an_error(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "jump").mkdir()
    with pytest.raises(
        ClipError,
        match=r"jump: no clips; a class folder holds video files, or one folder per image sequence; move it",
    ):
        find_clips(tmp_path)
    touch(tmp_path / "jump" / "a.mp4.dvc", tmp_path / "run" / "notes.txt")
    with pytest.raises(
        ClipError,
        match=r"jump: no clips, and none in run; fetch them \(dvc pull\); a class",
    ):
        find_clips(tmp_path)


@pytest.mark.parametrize("names", [(), ("clap/a.mp4",), ("clap/a.mp4", "a.mp4")])
def test_fewer_than_two_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(*(tmp_path / name for name in names))
    count = "1 sub-folder" if names else "0 sub-folders"
    with pytest.raises(
        ClipError, match=rf"{count}; expected at least 2, each with the clips of one class"
    ):
        find_clips(tmp_path)


def test_a_folder_of_a_single_class(tmp_path: Path) -> None:
    touch(
        tmp_path / "clap" / "a.mp4",
        tmp_path / "clap" / "b.mp4",
        tmp_path / "clap" / "notes" / "n.txt",
    )
    message = r"clap: holds 2 clips itself, like the folder of one class; give the folder that holds the class folders"
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path / "clap")
    for name in "ab":
        image_sequence(tmp_path / "wave" / name)
    with pytest.raises(ClipError, match=message.replace("clap", "wave", 1)):
        find_clips(tmp_path / "wave")


def test_recordings_come_from_the_csv(tmp_path: Path) -> None:
    two_classes(tmp_path)
    record(
        tmp_path,
        [
            ("clap/a.avi", "anna"),
            ("wave/c.MOV", "anna"),
            ("clap/b.mp4", "ben"),
            ("gone/x.mp4", "eve"),
        ],
    )
    assert [clip.recording for clip in find_clips(tmp_path)] == ["anna", "ben", "anna"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("clap/a.avi", "anna")],
            "2 of 3 clips are not listed, such as clap/b.mp4; add a row for each",
        ),
        (
            [("clap/a.avi", "anna"), ("clap/b.mp4", "")],
            "line 3 is 'clap/b.mp4,'; expected a value for recording",
        ),
    ],
)
def test_a_clip_without_recording(
    tmp_path: Path, rows: list[tuple[str, ...]], message: str
) -> None:
    record(two_classes(tmp_path), rows)
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path)


def test_a_recordings_csv_of_a_spreadsheet_is_read_and_ignored_columns_are_named(
    tmp_path: Path,
) -> None:
    two_classes(tmp_path)
    lines = ["Filename;Subject;Age", "clap\\a.avi;tom;3", "clap\\b.mp4;ada;4", "wave\\c.MOV;tom;3"]
    (tmp_path / "recordings.csv").write_text("\n".join(lines))
    parts, _, notes = read_folder(tmp_path)
    assert [clip.recording for clip in parts[""]] == ["tom", "ada", "tom"]
    assert notes == [
        "recordings.csv: columns Filename, Subject are read as clip, recording",
        "recordings.csv: ignored columns: Age",
    ]


def test_folders_in_a_class_folder_are_recordings(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in ("clap/anna/a.mp4", "clap/ben/b.mp4", "wave/anna/day 2/c.mp4")
        )
    )
    image_sequence(tmp_path / "wave" / "ben" / "d")
    clips = find_clips(tmp_path)
    assert [(clip.path.name, clip.label, clip.recording) for clip in clips] == [
        ("a.mp4", "clap", "anna"),
        ("b.mp4", "clap", "ben"),
        ("c.mp4", "wave", "anna"),
        ("d", "wave", "ben"),
    ]
    (note,) = read_folder(tmp_path)[2]
    assert (
        note
        == "sub-folders of classes are recordings (anna, ben); a split keeps the clips of each together"
    )
    record(tmp_path, [(clip.path.relative_to(tmp_path).as_posix(), "one") for clip in clips])
    assert {clip.recording for clip in find_clips(tmp_path)} == {"one"}
    assert not read_folder(tmp_path)[2]


def test_folders_of_persons_hold_class_folders(tmp_path: Path) -> None:
    touch(*(tmp_path / f"person{n}" / name / "a.mp4" for n in (1, 2) for name in ("clap", "wave")))
    found = {(clip.label, clip.recording) for clip in find_clips(tmp_path)}
    assert found == {
        (label, person) for label in ("clap", "wave") for person in ("person1", "person2")
    }


def test_class_folders_may_hold_the_splits(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / label / split / f"{label}.mp4"
            for label in ("clap", "wave")
            for split in ("Train", "test")
        )
    )
    parts = read_folder(tmp_path)[0]
    assert {
        split: [(clip.label, clip.recording) for clip in part] for split, part in parts.items()
    } == {
        "training": [("clap", None), ("wave", None)],
        "test": [("clap", None), ("wave", None)],
    }


def test_a_folder_above_the_right_one_names_it(tmp_path: Path) -> None:
    two_classes(tmp_path / "data" / "clips")
    touch(tmp_path / "docs" / "notes.txt")
    for above in (tmp_path, tmp_path / "data"):
        with pytest.raises(
            ClipError,
            match=rf"all clips are in folders of {tmp_path / 'data' / 'clips'}; give that",
        ):
            find_clips(above, classes=1)


def test_images_of_a_class_without_a_folder_for_each_clip(tmp_path: Path) -> None:
    for label in ("clap", "wave"):
        image_sequence(tmp_path / label)
    with pytest.raises(
        ClipError,
        match=r"or if clap, wave are classes, put the images .* of its own, such as .*clap/clip1",
    ):
        find_clips(tmp_path)
    touch(tmp_path / "wave" / "a.mp4")
    with pytest.raises(
        ClipError,
        match=r"clap: numbered images, .* put the images of each clip into a folder of its own",
    ):
        find_clips(tmp_path)


def test_the_folder_of_a_run_is_recognized(tmp_path: Path) -> None:
    touch(tmp_path / "model" / "recognizer.json")
    with pytest.raises(
        ClipError,
        match="the folder of a run, not of clips; give the run first, and the clips after it",
    ):
        find_clips(tmp_path)


def test_links_to_nothing_are_left_out_by_name(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "clap" / "gone.mp4").symlink_to("../annex/gone.mp4")
    (tmp_path / "jump").symlink_to(tmp_path / "unmounted")
    _, left_out, notes = read_folder(tmp_path)
    assert [error.path for error in left_out] == [tmp_path / "clap" / "gone.mp4", tmp_path / "jump"]
    assert left_out[0].found == "a link to ../annex/gone.mp4, which does not exist"
    assert not notes
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.mp4").symlink_to("gone")
    with pytest.raises(
        ClipError,
        match=r"run: no clips, and 1 links to files that do not exist; fetch it \(git annex",
    ):
        find_clips(tmp_path)


def test_unicode_forms_of_a_name_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Gärtner") for form in ("NFC", "NFD"))
    touch(
        tmp_path / composed / "a.mp4", tmp_path / decomposed / "b.mp4", tmp_path / "wave" / "c.mp4"
    )
    assert [clip.label for clip in find_clips(tmp_path)] == [composed, composed, "wave"]
    (note,) = read_folder(tmp_path)[2]
    assert (
        note == f"2 folders whose names differ only in their Unicode form are one class: {composed}"
    )
    record(tmp_path, [(f"{composed}/a.mp4", "1"), (f"{composed}/b.mp4", "2"), ("wave/c.mp4", "3")])
    assert [clip.recording for clip in find_clips(tmp_path)] == ["2", "1", "3"]  # NFD comes first


def test_folders_that_link_to_themselves_are_entered_once(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "wave" / "again").symlink_to(tmp_path)
    assert list_files(tmp_path)[1] == [tmp_path / "wave" / "again"]


def test_all_clips_of_a_folder_at_any_depth(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in ("a.mp4", "b/c.MTS", ".onlooker/trash/d.mp4", "__MACOSX/e.mp4", "b/n.txt")
        )
    )
    image_sequence(tmp_path / "f")
    assert list_files(tmp_path) == (
        [tmp_path / name for name in ("a.mp4", "b/c.MTS", "f")],
        [tmp_path / "b" / "n.txt"],
    )


def test_ignored_files_are_those_that_are_no_part_of_a_clip(tmp_path: Path) -> None:
    for name in (
        *("a/0.mp4", "b/0.mp4", "b/1/000.jpg", "b/1/001.jpg", "recordings.csv"),
        *(
            "notes.txt",
            "a/.hidden",
            ".git/config",
            "__MACOSX/0.mp4",
            "a/deeper/0.mp4",
            "loose.avi",
            "a/thumb.jpg",
        ),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    record(tmp_path, [("a/0.mp4", "1"), ("b/0.mp4", "2"), ("b/1", "3")])
    names = "a/deeper/0.mp4", "a/thumb.jpg", "loose.avi", "notes.txt"
    assert read_folder(tmp_path)[2][-1] == f"ignored: 4 ({', '.join(names)})"

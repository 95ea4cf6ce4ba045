"""Reading a folder of clips, and errors for folders of another form."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from onlooker.data.folder import find_clips, ignored_files
from onlooker.structures import ClipError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def image_sequence(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8)).save(folder / f"{number:03}.png")


def record(folder: Path, rows: Sequence[tuple[str, ...]], header: Sequence[str] = ("clip", "recording")) -> None:
    with (folder / "recordings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def two_classes(folder: Path) -> Path:
    touch(folder / "clap" / "b.mp4", folder / "clap" / "a.avi", folder / "wave" / "c.MOV")
    return folder


def test_clips_are_video_files_and_image_sequences_in_order(tmp_path: Path) -> None:
    two_classes(tmp_path)
    image_sequence(tmp_path / "wave" / "d")
    found = [(str(clip.path.relative_to(tmp_path)), clip.label, clip.recording) for clip in find_clips(tmp_path)]
    assert found == [
        ("clap/a.avi", "clap", None),
        ("clap/b.mp4", "clap", None),
        ("wave/c.MOV", "wave", None),
        ("wave/d", "wave", None),
    ]


def test_hidden_files_and_files_that_are_not_clips_are_skipped(tmp_path: Path) -> None:
    two_classes(tmp_path)
    touch(tmp_path / ".git" / "a.mp4", tmp_path / "clap" / ".a.mp4", tmp_path / "clap" / "notes.txt")
    touch(tmp_path / "loose.mp4", tmp_path / "clap" / "deeper" / "e.mp4")
    touch(tmp_path / "wave" / "thumb1.jpg")  # one image does not make a class a clip
    assert len(find_clips(tmp_path)) == 3


def test_a_class_without_clips_is_an_error(tmp_path: Path) -> None:
    two_classes(tmp_path)
    touch(tmp_path / "jump" / "deeper" / "e.mp4")
    with pytest.raises(
        ClipError, match=r"jump: no clips; a class folder holds video files, or one folder per image sequence; move it"
    ):
        find_clips(tmp_path)
    touch(tmp_path / "run" / "notes.txt")
    with pytest.raises(ClipError, match=r"jump: no clips, and none in run; a class folder holds"):
        find_clips(tmp_path)


@pytest.mark.parametrize("names", [(), ("clap/a.mp4",), ("clap/a.mp4", "a.mp4")])
def test_fewer_than_two_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(*(tmp_path / name for name in names))
    count = "1 sub-folder" if names else "0 sub-folders"
    with pytest.raises(ClipError, match=rf"{count}; expected at least 2, each with the clips of one class"):
        find_clips(tmp_path)


def test_a_folder_of_a_single_class(tmp_path: Path) -> None:
    touch(tmp_path / "clap" / "a.mp4", tmp_path / "clap" / "b.mp4", tmp_path / "clap" / "notes" / "n.txt")
    message = r"clap: holds 2 clips itself, like the folder of one class; give the folder that holds the class folders"
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path / "clap")
    for name in "ab":
        image_sequence(tmp_path / "wave" / name)
    with pytest.raises(ClipError, match=message.replace("clap", "wave", 1)):
        find_clips(tmp_path / "wave")


def test_recordings_come_from_the_csv(tmp_path: Path) -> None:
    two_classes(tmp_path)
    record(tmp_path, [("clap/a.avi", "anna"), ("wave/c.MOV", "anna"), ("clap/b.mp4", "ben"), ("gone/x.mp4", "eve")])
    assert [clip.recording for clip in find_clips(tmp_path)] == ["anna", "ben", "anna"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("clap/a.avi", "anna")], "2 of 3 clips are not listed, such as clap/b.mp4; add a row for each"),
        ([("clap/a.avi", "anna"), ("clap/b.mp4", "")], "line 3 is 'clap/b.mp4,'; expected a value for recording"),
    ],
)
def test_a_clip_without_recording(tmp_path: Path, rows: list[tuple[str, ...]], message: str) -> None:
    record(two_classes(tmp_path), rows)
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path)


def test_ignored_files_are_those_that_are_no_part_of_a_clip(tmp_path: Path) -> None:
    for name in (
        *("a/0.mp4", "b/0.mp4", "b/1/000.jpg", "b/1/001.jpg", "recordings.csv"),
        *("notes.txt", "a/.hidden", ".git/config", "__MACOSX/0.mp4", "a/deeper/0.mp4", "loose.avi", "a/thumb.jpg"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    clips = {tmp_path / name for name in ("a/0.mp4", "b/0.mp4", "b/1")}
    names = "a/deeper/0.mp4", "a/thumb.jpg", "loose.avi", "notes.txt"
    assert sorted(ignored_files(tmp_path, clips)) == [tmp_path / name for name in names]

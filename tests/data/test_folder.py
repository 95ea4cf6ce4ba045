"""Reading a folder of clips, and errors for folders of another form."""

import unicodedata
from pathlib import Path

import pytest
from clips import find_clips, make_images, touch

from onlooker.base.records import Clip, ClipError
from onlooker.data.folder import list_files, read_folder

TWO_CLASSES = ("clap/a.avi", "clap/b.mp4", "wave/c.MOV")


def listed(folder: Path) -> list[tuple[str, str, str | None]]:
    """The path, the class and the recording of each clip."""
    clips = find_clips(folder)
    return [
        (clip.path.relative_to(folder).as_posix(), clip.label, clip.recording) for clip in clips
    ]


def recordings(folder: Path) -> list[str | None]:
    return [clip.recording for clip in find_clips(folder)]


def write_recordings(folder: Path, *rows: str) -> None:
    (folder / "recordings.csv").write_text("\n".join(rows), encoding="utf-8")


def test_clips_are_video_files_and_image_sequences_in_order(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    make_images(tmp_path / "wave" / "d", ["000.png", "001.png", "002.png"])
    assert listed(tmp_path) == [
        ("clap/a.avi", "clap", None),
        ("clap/b.mp4", "clap", None),
        ("wave/c.MOV", "wave", None),
        ("wave/d", "wave", None),
    ]


def test_hidden_files_and_files_that_are_not_clips_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES, ".git/a.mp4", "clap/.a.mp4", "clap/notes.txt", "loose.mp4")
    # one image does not make a class a clip
    touch(tmp_path, "clap/deeper/e.mp4", "wave/thumb1.jpg")
    assert len(find_clips(tmp_path)) == 3


ONE_CLASS = "holds 2 clips itself, like the folder of one class; give the folder that holds the"


IMAGES = [f"{label}/{number}.png" for label in ("clap", "wave") for number in range(3)]


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (
            [*TWO_CLASSES, "jump/n.txt"],
            "",
            "jump: no clips; a class folder holds video files, or one folder per image sequence; move",
        ),
        (
            [*TWO_CLASSES, "jump/a.mp4.dvc", "run/notes.txt"],
            "",
            r"jump: no clips, and none in run; fetch them \(dvc pull\); a class",
        ),
        ([], "", "0 sub-folders; expected at least 2, each with the clips of one class"),
        (["clap/a.mp4", "a.mp4"], "", "1 sub-folder; expected at least 2, each with the clips"),
        (["clap/a.mp4", "clap/b.mp4", "clap/notes/n.txt"], "clap", f"clap: {ONE_CLASS}"),
        ([f"wave/{n}/{i}.png" for n in "ab" for i in range(3)], "wave", f"wave: {ONE_CLASS}"),
        (IMAGES, "", "or if clap, wave are classes, put the images .* such as .*clap/clip1"),
        (
            [*IMAGES, "wave/a.mp4"],
            "",
            "clap: numbered images, .* put the images of each clip into a folder of its own",
        ),
        (
            ["model/recognizer.json"],
            "",
            "the folder of a run, not of clips; give the run first, and",
        ),
    ],
)
def test_folders_of_another_form_are_errors(
    tmp_path: Path, names: list[str], given: str, message: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path / given)


def test_recordings_come_from_the_csv(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    rows = ["clap/a.avi,anna", "wave/c.MOV,anna", "clap/b.mp4,ben", "gone/x.mp4,eve"]
    write_recordings(tmp_path, "clip,recording", *rows)
    assert recordings(tmp_path) == ["anna", "ben", "anna"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["clap/a.avi,anna"], "2 of 3 clips are not listed, such as clap/b.mp4; add a row for"),
        (
            ["clap/a.avi,anna", "clap/b.mp4,"],
            "line 3 is 'clap/b.mp4,'; expected a value for recording",
        ),
    ],
)
def test_a_clip_without_recording(tmp_path: Path, rows: list[str], message: str) -> None:
    touch(tmp_path, *TWO_CLASSES)
    write_recordings(tmp_path, "clip,recording", *rows)
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path)


def test_a_recordings_csv_of_a_spreadsheet_is_read_and_ignored_columns_are_named(
    tmp_path: Path,
) -> None:
    touch(tmp_path, *TWO_CLASSES)
    rows = ["clap\\a.avi;tom;3", "clap\\b.mp4;ada;4", "wave\\c.MOV;tom;3"]
    write_recordings(tmp_path, "Filename;Subject;Age", *rows)
    assert recordings(tmp_path) == ["tom", "ada", "tom"]
    assert read_folder(tmp_path)[2] == [
        "recordings.csv: columns Filename, Subject are read as clip, recording",
        "recordings.csv: ignored columns: Age",
    ]


def test_folders_in_a_class_folder_are_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "clap/anna/a.mp4", "clap/ben/b.mp4", "wave/anna/day 2/c.mp4")
    make_images(tmp_path / "wave" / "ben" / "d", ["000.png", "001.png", "002.png"])
    clips = listed(tmp_path)
    assert clips == [
        ("clap/anna/a.mp4", "clap", "anna"),
        ("clap/ben/b.mp4", "clap", "ben"),
        ("wave/anna/day 2/c.mp4", "wave", "anna"),
        ("wave/ben/d", "wave", "ben"),
    ]
    note = "sub-folders of classes are recordings (anna, ben); a split keeps the clips of each"
    assert read_folder(tmp_path)[2] == [f"{note} together"]
    write_recordings(tmp_path, "clip,recording", *(f"{path},one" for path, _, _ in clips))
    assert set(recordings(tmp_path)) == {"one"}
    assert not read_folder(tmp_path)[2]


def test_folders_of_persons_hold_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"person{n}/{name}/a.mp4" for n in (1, 2) for name in ("clap", "wave")))
    expected = {(label, f"person{n}") for label in ("clap", "wave") for n in (1, 2)}
    assert {clip[1:] for clip in listed(tmp_path)} == expected


def test_class_folders_may_hold_the_splits(tmp_path: Path) -> None:
    touch(tmp_path, "clap/Train/1.mp4", "clap/test/2.mp4", "wave/Train/3.mp4", "wave/test/4.mp4")

    def clips(split: str) -> list[Clip]:
        return [Clip(path, path.parts[-3]) for path in sorted(tmp_path.glob(f"*/{split}/*"))]

    assert read_folder(tmp_path)[0] == {"training": clips("Train"), "test": clips("test")}


def test_a_folder_above_the_right_one_names_it(tmp_path: Path) -> None:
    touch(tmp_path / "data" / "clips", *TWO_CLASSES)
    touch(tmp_path, "docs/notes.txt")
    message = rf"all clips are in folders of {tmp_path / 'data' / 'clips'}; give that"
    for above in (tmp_path, tmp_path / "data"):
        with pytest.raises(ClipError, match=message):
            find_clips(above, classes=1)


def test_links_to_nothing_are_left_out_by_name(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    (tmp_path / "clap" / "gone.mp4").symlink_to("../annex/gone.mp4")
    (tmp_path / "jump").symlink_to(tmp_path / "unmounted")
    _, left_out, notes = read_folder(tmp_path)
    assert [error.path for error in left_out] == [tmp_path / "clap" / "gone.mp4", tmp_path / "jump"]
    assert left_out[0].found == "a link to ../annex/gone.mp4, which does not exist"
    assert not notes
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.mp4").symlink_to("gone")
    message = r"run: no clips, and 1 links to files that do not exist; fetch it \(git annex"
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path)


def test_unicode_forms_of_a_name_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Gärtner") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{composed}/a.mp4", f"{decomposed}/b.mp4", "wave/c.mp4")
    assert [clip.label for clip in find_clips(tmp_path)] == [composed, composed, "wave"]
    note = "2 folders whose names differ only in their Unicode form are one class"
    assert read_folder(tmp_path)[2] == [f"{note}: {composed}"]
    rows = [f"{composed}/a.mp4,1", f"{composed}/b.mp4,2", "wave/c.mp4,3"]
    write_recordings(tmp_path, "clip,recording", *rows)
    assert recordings(tmp_path) == ["2", "1", "3"]  # NFD comes first


def test_folders_that_link_to_themselves_are_entered_once(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    (tmp_path / "wave" / "again").symlink_to(tmp_path)
    assert list_files(tmp_path)[1] == [tmp_path / "wave" / "again"]


def test_all_clips_of_a_folder_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b/c.MTS", ".onlooker/trash/d.mp4", "__MACOSX/e.mp4", "b/n.txt")
    make_images(tmp_path / "f", ["000.png", "001.png", "002.png"])
    clips = [tmp_path / name for name in ("a.mp4", "b/c.MTS", "f")]
    assert list_files(tmp_path) == (clips, [tmp_path / "b" / "n.txt"])


def test_ignored_files_are_those_that_are_no_part_of_a_clip(tmp_path: Path) -> None:
    touch(tmp_path, "a/0.mp4", "b/0.mp4", "b/1/000.jpg", "b/1/001.jpg", "notes.txt", "a/.hidden")
    touch(tmp_path, ".git/config", "__MACOSX/0.mp4", "a/deeper/0.mp4", "loose.avi", "a/thumb.jpg")
    write_recordings(tmp_path, "clip,recording", "a/0.mp4,1", "b/0.mp4,2", "b/1,3")
    names = "a/deeper/0.mp4, a/thumb.jpg, loose.avi, notes.txt"
    assert read_folder(tmp_path)[2][-1] == f"ignored: 4 ({names})"

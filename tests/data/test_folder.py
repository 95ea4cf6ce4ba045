"""Reading a folder of clips, a folder of splits or a list, and errors for folders of another form."""

import re
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from clips import find_clips, make_images, touch

from onlooker.base.config import SetConfig, names_of
from onlooker.base.records import Clip, ClipError
from onlooker.data.folder import SYSTEM_FOLDERS, list_files, read_folder
from onlooker.data.sets import read_set, requested_splits, root_of, set_name
from onlooker.data.split import Split

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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["a.avi,anna", "b.mp4,ben"],
            "lists no clip of the folder: a.avi, b.mp4; name clips as clap/a.avi, relative to",
        ),
        (
            ["clap/a.avi,anna", "clap/b.mp4,"],
            "line 3 is 'clap/b.mp4,'; expected a value for recording",
        ),
        (
            ["clap/a.avi,anna", "clap/b.mp4,tom", "clap/a.avi,anna", "clap/a.avi,tom"],
            "line 5: clap/a.avi is in recording anna above; keep one of the rows",
        ),
        (
            ["clap/a.avi,anna", ".\\clap\\a.avi,tom"],
            "line 3: clap/a.avi is in recording anna above; keep one of the rows",
        ),
        (
            ["clap/caf\u00e9.avi,anna", "clap/cafe\u0301.avi,tom"],
            "line 3: clap/cafe\u0301.avi is in recording anna above; keep one of the rows",
        ),
    ],
)
def test_a_recordings_csv_that_cannot_be_meant(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    touch(tmp_path, *TWO_CLASSES)
    write_recordings(tmp_path, "clip,recording", *rows)
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path)


def test_a_recordings_csv_of_a_spreadsheet_is_read_and_ignored_columns_are_named(
    tmp_path: Path,
) -> None:
    touch(tmp_path, *TWO_CLASSES)
    rows = ["clap\\a.avi;tom;3", "wave\\c.MOV;tom;3", "clap\\b.mp4;ada;4", "gone\\x.mp4;eve;5"]
    write_recordings(tmp_path, "Filename;Subject;Age", *rows)
    assert recordings(tmp_path) == ["tom", "ada", "tom"]
    assert read_folder(tmp_path).notes == [
        "recordings.csv: columns Filename, Subject are read as clip, recording",
        "recordings.csv: ignored columns: Age",
        "recordings.csv: 1 of 4 rows name no clip of the folder (gone/x.mp4)",
    ]


def test_two_rows_of_one_clip_that_agree_are_one(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    rows = ["clap/a.avi,caf\u00e9", "./clap//a.avi,cafe\u0301", "wave/./c.MOV,tom"]
    write_recordings(tmp_path, "clip,recording", *rows)
    assert recordings(tmp_path) == ["caf\u00e9", None, "tom"]


def test_clips_that_no_row_names_have_no_recording_but_that_of_their_folder(
    tmp_path: Path,
) -> None:
    touch(tmp_path, *TWO_CLASSES)
    write_recordings(tmp_path, "clip,recording", "clap/b.mp4,anna", "wave/c.MOV,wave/c.MOV")
    assert recordings(tmp_path) == [None, "anna", None]
    assert read_folder(tmp_path).notes == [
        "recordings.csv: 1 of 3 clips are not listed (clap/a.avi)"
    ]
    touch(tmp_path, "jump/ben/d.mp4", "jump/eve/e.mp4")
    write_recordings(tmp_path, "clip,recording", "jump/eve/e.mp4,ada")
    assert recordings(tmp_path) == [None, None, "ben", "ada", None]


def test_what_is_cut_from_one_file_or_of_one_person_is_one_recording(tmp_path: Path) -> None:
    names = [f"{label}/{number}.mp4" for label in ("clap", "wave") for number in range(4)]
    touch(tmp_path, *names)
    rows = zip(
        names,
        ["", "ann", "bob", "", "bob", "cat", "", ""],
        ["f", "f", "g", "g", "", "", "h", ""],
        strict=True,
    )
    listed = (f"{name},{person or name},{film}" for name, person, film in rows)
    write_recordings(tmp_path, "clip,recording,cut_from", *listed)
    assert recordings(tmp_path) == ["ann", "ann", "bob", "bob", "bob", "cat", "h", None]
    assert read_folder(tmp_path).notes == []


def test_clips_know_the_parts_of_kept_recordings_that_they_were_cut_from(
    tmp_path: Path,
) -> None:
    kept = {"day.mp4 1a2b": "3.25,5", "gone.mp4 3c": "1,2", "../../day.mp4 1a2b": "1,2"}
    wrong = {f"day.mp4 1a2b{' ' * i}": times for i, times in enumerate(("5,3", "a,b", ",2"), 1)}
    names = [f"wave/{number}.mp4" for number in range(6)]
    touch(tmp_path, *names, "jump/0.mp4", ".onlooker/recordings/day.mp4 1a2b")
    rows = zip(names, (kept | wrong).items(), strict=True)
    listed = (f"{name},{name},{film},{times}" for name, (film, times) in rows)
    write_recordings(tmp_path, "clip,recording,cut_from,start,end", *listed)
    day = tmp_path / ".onlooker" / "recordings" / "day.mp4 1a2b"
    sources = [clip.source for clip in find_clips(tmp_path)]
    # a path that leads elsewhere is a name in the folder
    assert sources == [
        None,
        Path(f"{day}#t=3.25,5"),
        None,
        Path(f"{day}#t=1,2"),
        None,
        None,
        None,
    ]


def test_recordings_next_to_splits_in_class_folders(tmp_path: Path) -> None:
    names = [
        f"{label}/{part}/1.mp4" for label in ("clap", "wave") for part in ("train", "test")
    ]
    touch(tmp_path, *names)
    write_recordings(tmp_path, "clip,recording", "clap/test/1.mp4,anna")
    parts = read_folder(tmp_path).parts
    assert {name: [clip.recording for clip in part] for name, part in parts.items()} == {
        "training": [None, None],
        "test": ["anna", None],
    }


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
    assert read_folder(tmp_path).notes == [f"{note} together"]
    write_recordings(tmp_path, "clip,recording", *(f"{path},one" for path, _, _ in clips))
    assert set(recordings(tmp_path)) == {"one"}
    assert not read_folder(tmp_path).notes


def test_folders_of_persons_hold_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"person{n}/{name}/a.mp4" for n in (1, 2) for name in ("clap", "wave")))
    expected = {(label, f"person{n}") for label in ("clap", "wave") for n in (1, 2)}
    assert {clip[1:] for clip in listed(tmp_path)} == expected


@pytest.mark.parametrize("name", ["P{}", "S{}", "person{}", "user-{}", "Subject {}"])
def test_it_is_said_when_folders_are_taken_for_people_and_the_advice_undoes_it(
    tmp_path: Path, name: str
) -> None:
    """People, postures or stages may be the classes: which levels are exchanged cannot be known."""
    one, two = (name.format(number) for number in (1, 2))
    touch(tmp_path, *(f"{of}/{floor}/a.mp4" for of in (one, two) for floor in ("wood", "hay")))
    said = read_folder(tmp_path).notes
    assert said[0] == (
        f"folders are named like people ({one}, {two}) and taken for recordings, their sub-folders "
        "for the classes (hay, wood); a split keeps the clips of each together"
    )
    advice = re.fullmatch(f"if {one} is a class, rename its folder, such as to (.+)", said[1])
    assert advice is not None
    (tmp_path / one).rename(tmp_path / advice[1])
    assert {clip[1:] for clip in listed(tmp_path)} == {
        (label, floor) for label in (advice[1], two) for floor in ("wood", "hay")
    }
    assert "named like people" not in str(read_folder(tmp_path).notes)


@pytest.mark.parametrize("name", sorted(SYSTEM_FOLDERS))
def test_folders_of_systems_are_no_classes(tmp_path: Path, name: str) -> None:
    """Neither beside the classes nor in them, in small letters and capitals."""
    touch(tmp_path, *TWO_CLASSES)
    clips = listed(tmp_path)
    for folder in (name, name.upper(), name.title()):
        touch(tmp_path, f"{folder}/clap/deleted.mp4", f"clap/{folder}/deleted.mp4")
    assert listed(tmp_path) == clips
    assert not read_folder(tmp_path).notes


def test_class_folders_may_hold_the_splits(tmp_path: Path) -> None:
    touch(
        tmp_path, "clap/Train/1.mp4", "clap/test/2.mp4", "wave/Train/3.mp4", "wave/test/4.mp4"
    )

    def clips(split: str) -> list[Clip]:
        return [Clip(path, path.parts[-3]) for path in sorted(tmp_path.glob(f"*/{split}/*"))]

    assert read_folder(tmp_path).parts == {"training": clips("Train"), "test": clips("test")}


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
    clips = read_folder(tmp_path)
    assert [error.path for error in clips.left_out] == [
        tmp_path / "clap" / "gone.mp4",
        tmp_path / "jump",
    ]
    assert clips.left_out[0].found == "a link to ../annex/gone.mp4, which does not exist"
    assert not clips.notes
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.mp4").symlink_to("gone")
    with pytest.raises(
        ClipError,
        match=r"run: no clips, and 1 links to files that do not exist; fetch it \(git annex",
    ):
        find_clips(tmp_path)


def test_unicode_forms_of_a_name_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Gärtner") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{composed}/a.mp4", f"{decomposed}/b.mp4", "wave/c.mp4")
    assert [clip.label for clip in find_clips(tmp_path)] == [composed, composed, "wave"]
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
    touch(
        tmp_path, "a/0.mp4", "b/0.mp4", "b/1/000.jpg", "b/1/001.jpg", "notes.txt", "a/.hidden"
    )
    touch(
        tmp_path, ".git/config", "__MACOSX/0.mp4", "a/deeper/0.mp4", "loose.avi", "a/thumb.jpg"
    )
    write_recordings(tmp_path, "clip,recording", "a/0.mp4,1", "b/0.mp4,2", "b/1,3")
    assert [path for path, *_ in listed(tmp_path)] == ["a/0.mp4", "b/0.mp4", "b/1"]
    names = "a/deeper/0.mp4, a/thumb.jpg, loose.avi, notes.txt"
    assert read_folder(tmp_path).notes[-1] == f"ignored: 4 ({names})"


def fill(folder: Path, labels: Sequence[str] = ("clap", "wave"), count: int = 20) -> Path:
    return touch(folder, *(f"{label}/{n:02}.mp4" for label in labels for n in range(count)))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def sizes(split: Split | None) -> tuple[int, int, int]:
    return len(split.training), len(split.validation), len(split.test)


def test_a_folder_of_classes_has_no_split(tmp_path: Path) -> None:
    found = read_set(fill(tmp_path))
    assert (len(found.clips), found.split, found.test, root_of(found.path)) == (
        40,
        None,
        found.clips,
        tmp_path,
    )
    assert sizes(requested_splits(found)(found.clips)["split"]) == (26, 6, 8)
    assert len(requested_splits(found, folds=4)(found.clips)) == 4


@pytest.mark.parametrize(
    ("train", "val", "test"), [("train", "val", "test"), ("Training", "validation", "Test")]
)
def test_folders_train_val_and_test_are_the_splits(
    tmp_path: Path, train: str, val: str, test: str
) -> None:
    fill(tmp_path / train)
    fill(tmp_path / test, count=3)
    assert sizes(read_set(tmp_path).split) == (33, 7, 6)
    fill(tmp_path / val, count=2)
    found = read_set(tmp_path)
    assert sizes(found.split) == (40, 4, 6)
    assert {clip.path.parts[-3] for clip in found.test} == {test}
    assert {clip.label for clip in found.clips} == {"clap", "wave"}
    shutil.rmtree(tmp_path / test)  # then the validation clips are the test split
    found = read_set(tmp_path)
    assert sizes(found.split) == (33, 7, 4)
    assert {clip.path.parts[-3] for clip in found.test} == {val}


def test_recordings_next_to_folders_of_splits(tmp_path: Path) -> None:
    fill(tmp_path / "train", count=3)
    fill(tmp_path / "test", count=1)
    names = [clip.path.relative_to(tmp_path).as_posix() for clip in read_set(tmp_path).clips]
    write(
        tmp_path / "recordings.csv",
        "clip,recording",
        *(f"{name},{name[-6]}-{name[1]}" for name in names),
    )
    assert {clip.recording for clip in read_set(tmp_path).test} == {"0-e"}
    write(tmp_path / "recordings.csv", "clip,recording", *(f"{name},tom" for name in names))
    with pytest.raises(ValueError, match=r"class clap has [01] recording"):
        _ = read_set(tmp_path).split


def test_a_list_with_and_without_splits(tmp_path: Path) -> None:
    clips = read_set(fill(tmp_path / "clips")).clips
    rows = [f"clips/{clip.label}/{clip.path.name},{clip.label}" for clip in clips]
    path = write(tmp_path / "my.csv", "path,label", *rows)
    found = read_set(path)
    assert (found.clips, found.split, root_of(found.path), set_name(path)) == (
        clips,
        None,
        tmp_path,
        "my",
    )
    assert sizes(requested_splits(found)(found.clips)["split"]) == (26, 6, 8)
    splits = ["val" if i % 5 == 1 else "test" if i % 5 == 2 else "train" for i in range(40)]
    write(
        path,
        "path,label,split",
        *(f"{row},{split}" for row, split in zip(rows, splits, strict=True)),
    )
    found = read_set(path)
    assert sizes(found.split) == (24, 8, 8)
    assert len(found.test) == 8
    with pytest.raises(ValueError, match=r"my.csv has splits; leave out --folds"):
        requested_splits(found, folds=3)


def test_a_class_that_is_tested_but_not_trained(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", ("clap", "wave", "jump"))
    with pytest.raises(
        ClipError, match="no training clips of class jump; add some, or leave the class out"
    ):
        _ = read_set(tmp_path).split
    assert sizes(read_set(tmp_path, requested=SetConfig(classes="clap, wave")).split) == (
        33,
        7,
        40,
    )


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val", "test")])
def test_a_selection_of_classes_without_test_clips(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    labels = {"train": ("clap", "wave", "jump"), "val": ("clap", "wave"), "test": ("jump",)}
    rows = [f"{part}/{label}/00.mp4,{label},{part}" for part in parts for label in labels[part]]
    touch(tmp_path, *(row.partition(",")[0] for row in rows))
    path = write(tmp_path / "list.csv", "path,label,split", *rows)
    found = read_set(path, requested=SetConfig(classes="clap, wave"))
    with pytest.raises(ClipError, match=r"splits are training 2, .*test 0; expected training"):
        _ = found.split


def test_a_selection_of_classes(tmp_path: Path) -> None:
    fill(tmp_path, ("a", "b", "c"))
    assert {
        clip.label for clip in read_set(tmp_path, requested=SetConfig(classes="a,c")).clips
    } == {
        "a",
        "c",
    }
    assert names_of('"run, fast", jump') == ["run, fast", "jump"]
    with pytest.raises(ValueError, match=r"has no class 'd'; there are a, b, c"):
        read_set(tmp_path, requested=SetConfig(classes="a,d"))

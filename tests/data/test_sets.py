"""Clips and splits from a folder, a folder of splits, or a list."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from clips import touch

from onlooker.base.config import SetConfig
from onlooker.base.records import ClipError
from onlooker.data.sets import asked_splits, read_set, root_of, set_name
from onlooker.data.split import Split


def fill(folder: Path, labels: Sequence[str] = ("clap", "wave"), count: int = 20) -> Path:
    return touch(folder, *(f"{label}/{n:02}.mp4" for label in labels for n in range(count)))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def sizes(split: Split | None) -> tuple[int, int, int]:
    assert split is not None
    return len(split.training), len(split.validation), len(split.test)


def test_a_folder_of_classes_has_no_split(tmp_path: Path) -> None:
    found = read_set(fill(tmp_path))
    assert (len(found.clips), found.split, found.test, root_of(found.path)) == (
        40,
        None,
        found.clips,
        tmp_path,
    )
    assert sizes(asked_splits(found)(found.clips)["split"]) == (26, 6, 8)
    assert len(asked_splits(found, folds=4)(found.clips)) == 4


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
    assert sizes(asked_splits(found)(found.clips)["split"]) == (26, 6, 8)
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
        asked_splits(found, folds=3)


def test_a_class_that_is_tested_but_not_trained(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", ("clap", "wave", "jump"))
    message = "no training clips of class jump; add some, or leave the class out"
    with pytest.raises(ClipError, match=message):
        _ = read_set(tmp_path).split
    assert sizes(read_set(tmp_path, SetConfig(classes="clap, wave")).split) == (33, 7, 40)


def test_a_selection_of_classes(tmp_path: Path) -> None:
    fill(tmp_path, ("a", "b", "c"))
    assert {clip.label for clip in read_set(tmp_path, SetConfig(classes="a,c")).clips} == {"a", "c"}
    assert SetConfig(classes='"run, fast", jump').class_names == ["run, fast", "jump"]
    with pytest.raises(ValueError, match=r"has no class 'd'; there are a, b, c"):
        read_set(tmp_path, SetConfig(classes="a,d"))

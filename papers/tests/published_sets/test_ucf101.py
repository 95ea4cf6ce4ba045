"""UCF101: the published layout, and the three official splits."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from onlooker.base.records import ClipError
from onlooker_papers.published_sets.ucf101 import UCF101, read_index, read_list

CLASSES = ("Archery", "HandstandPushups", "YoYo")


def entry(label: str, group: int, clip: int) -> str:
    # As published: only the files of this class write it so.
    written = "HandStandPushups" if label == "HandstandPushups" else label
    return f"{label}/v_{written}_g{group:02}_c{clip:02}.avi"


def small_tree(root: Path, groups: int = 12) -> Path:
    """Three classes of 12 groups, 4 of them for testing; lists have the published line ends."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    rows = [
        (label, g, entry(label, g, c))
        for label in CLASSES
        for g in range(1, groups + 1)
        for c in (1, 2, 3)
    ]
    numbers = {label: number for number, label in enumerate(CLASSES, 1)}
    index = "".join(f"{number} {label}\r\n" for label, number in numbers.items())
    (lists / "classInd.txt").write_bytes(index.encode())
    learn = "".join(f"{name} {numbers[label]}\r\n" for label, g, name in rows if g > 4)
    test = "".join(f"{name}\r\n" for _, g, name in rows if g <= 4)
    for split in UCF101.counts:
        (lists / f"trainlist0{split}.txt").write_bytes(learn.encode())
        (lists / f"testlist0{split}.txt").write_bytes(test.encode())
    for _, _, name in rows:
        path = root / "UCF-101" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_tree(tmp_path)


@pytest.fixture(scope="module")
def official(annotations: Callable[[str], Path]) -> Path:
    return annotations("ucf101")


@pytest.fixture(scope="module")
def published(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folders and names, with empty files."""
    root = tmp_path_factory.mktemp("ucf101")
    index = read_index(official / "classInd.txt")
    for label in index.values():
        (root / label).mkdir()
    for name in ("trainlist01.txt", "testlist01.txt"):
        for clip in read_list(official / name, index):
            (root / clip).touch()
    return root


def test_a_split_in_the_published_layout(small: Path) -> None:
    split = UCF101.split(small, complete=False)
    assert (len(split.training), len(split.validation), len(split.test)) == (63, 9, 36)
    clip = split.test[0]
    assert clip.path == small / "UCF-101" / "Archery" / "v_Archery_g01_c01.avi"
    assert (clip.label, clip.recording) == ("Archery", "Archery_g01")
    assert Counter(clip.label for clip in split.validation) == dict.fromkeys(CLASSES, 3)
    groups = [
        {clip.recording for clip in side} for side in (split.training, split.validation, split.test)
    ]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 36


def test_the_class_with_two_spellings(small: Path) -> None:
    two = UCF101.split(small, classes=("HandstandPushups", "YoYo"), complete=False)
    clips = [clip for clip in two.test if clip.label == "HandstandPushups"]
    assert len(clips) == 12
    assert clips[0].path.name == "v_HandStandPushups_g01_c01.avi"
    # Copies are about whose folder, or files, or lists write it the other way.
    (small / "UCF-101" / "HandstandPushups").rename(small / "UCF-101" / "HandStandPushups")
    for path in (small / "UCF-101" / "HandStandPushups").iterdir():
        path.rename(path.with_name(path.name.replace("HandStand", "Handstand")))
    moved = UCF101.split(small, classes=("HandstandPushups", "YoYo"), complete=False)
    assert all(clip.path.exists() for clip in moved.test)
    assert {clip.label for clip in moved.test} == {"HandstandPushups", "YoYo"}
    lists = small / "ucfTrainTestlist" / "testlist01.txt"
    lists.write_text(lists.read_text().replace("HandstandPushups", "HandStandPushups"))
    assert UCF101.split(small, classes=("HandstandPushups", "YoYo"), complete=False) == moved


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_official_splits(published: Path, official: Path, number: int) -> None:
    split = UCF101.split(published, annotations=official, number=number)
    assert len(split.training) + len(split.validation) == UCF101.counts[number][0]
    assert len(split.test) == UCF101.counts[number][1]
    assert (
        0.09 < len(split.validation) / UCF101.counts[number][0] < 0.11
    )  # whole groups of four to seven
    sides = [
        {clip.recording for clip in side} for side in (split.training, split.validation, split.test)
    ]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 101 * 25
    assert all(
        len({clip.label for clip in side}) == 101
        for side in (split.training, split.validation, split.test)
    )


def test_published_counts(official: Path) -> None:
    assert UCF101.counts[1] == (9537, 3783)
    index = read_index(official / "classInd.txt")
    assert (len(index), index["applyeyemakeup"], index["yoyo"]) == (
        101,
        "ApplyEyeMakeup",
        "YoYo",
    )
    written = read_list(official / "trainlist01.txt", index)
    assert written["HandstandPushups/v_HandStandPushups_g08_c01.avi"] == ("HandstandPushups", "08")


def test_clips_that_are_missing(small: Path) -> None:
    (small / "UCF-101" / "YoYo" / "v_YoYo_g05_c02.avi").unlink()
    with pytest.raises(
        ClipError,
        match=r"UCF-101: 1 of the 108 clips that .* are missing, such as .*/YoYo/v_YoYo_g05_c02.avi;",
    ):
        UCF101.split(small, complete=False)
    for path in (small / "UCF-101" / "YoYo").iterdir():
        path.unlink()
    with pytest.raises(
        ClipError,
        match=r"UCF-101: 36 of the 108 clips that .* names are missing, such as .*YoYo.*; unpack",
    ):
        UCF101.split(small, complete=False)
    (small / "UCF-101").rename(small / "elsewhere")
    assert UCF101.split(
        small / "elsewhere",
        annotations=small,
        classes=("Archery", "HandstandPushups"),
        complete=False,
    )
    with pytest.raises(ClipError, match=r"nowhere: 108 of the 108 clips that .* names are missing"):
        UCF101.split(small / "nowhere", annotations=small, complete=False)


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (
            "classInd.txt",
            lambda t: t + "Surfing\n",
            r"line 4 is 'Surfing'; expected the number of a class, a space",
        ),
        (
            "classInd.txt",
            lambda t: t.replace("3 YoYo", ""),
            r"trainlist01.txt: YoYo/.* is of no class in classInd.txt",
        ),
        (
            "trainlist01.txt",
            lambda t: t + "YoYo/g01.avi 3",
            r"line 73 is 'YoYo/g01.avi 3'; expected <Class>/v_<Class>",
        ),
        (
            "testlist01.txt",
            lambda t: t + "YoYo/v_Archery_g05_c01.avi",
            r"line 37 is .*; expected <Class>/v_<Class>",
        ),
        (
            "testlist01.txt",
            lambda t: "",
            r"testlist01.txt: an empty file; copy the official lists there",
        ),
    ],
)
def test_lists_that_are_not_as_published(
    small: Path, file: str, edit: object, message: str
) -> None:
    path = small / "ucfTrainTestlist" / file
    path.write_text(edit(path.read_text()))
    with pytest.raises(ClipError, match=message):
        UCF101.split(small, complete=False)


def test_an_incomplete_copy_is_an_error(small: Path) -> None:
    with pytest.raises(
        ClipError, match="split 1: 72 training and 36 test clips; UCF101 has 9537 and 3783"
    ):
        UCF101.split(small)

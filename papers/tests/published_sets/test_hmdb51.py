"""HMDB-51 and J-HMDB: the published layout and the official splits."""

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from published_trees import touch_hmdb51

from onlooker.base.records import ClipError
from onlooker.data.split import Split
from onlooker_papers.published_sets.hmdb51 import HMDB51, JHMDB, read_split, source

TWO = ("cartwheel", "wave")


def clip_names(label: str, sources: int, each: int = 2) -> list[str]:
    return [
        f"Film_{s}_{label}_f_cm_np1_fr_med_{i}.avi" for s in range(sources) for i in range(each)
    ]


def write_splits(folder: Path, labels: tuple[str, ...] = TWO, sources: int = 60) -> Path:
    """Per class 70 training, 30 test and the rest unused clips, sources apart."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in labels:
        sides = [1] * 70 + [2] * 30 + [0] * (2 * sources - 100)
        lines = [
            f"{name} {side} \n"
            for name, side in zip(clip_names(label, sources), sides, strict=True)
        ]
        for split in (1, 2, 3):
            (folder / f"{label}_test_split{split}.txt").write_text("".join(lines))
    return folder


def write_clips(root: Path, labels: tuple[str, ...] = TWO, sources: int = 60) -> Path:
    for label in labels:
        (root / label).mkdir(parents=True)
        for name in clip_names(label, sources):
            (root / label / name).touch()
    return root


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    return write_clips(tmp_path / "clips"), write_splits(tmp_path / "lists")


@pytest.fixture(scope="module")
def official(annotations: Callable[[str], Path]) -> Path:
    return annotations("hmdb51")


@pytest.fixture(scope="module")
def classes(official: Path) -> list[str]:
    return [
        path.name.removesuffix("_test_split1.txt") for path in official.glob("*_test_split1.txt")
    ]


@pytest.fixture(scope="module")
def published(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch_hmdb51(official, tmp_path_factory.mktemp("hmdb51"))


def counts(split: Split) -> tuple[int, int, int]:
    return len(split.training), len(split.validation), len(split.test)


def test_an_official_split_with_validation_from_its_training_clips(
    small: tuple[Path, Path],
) -> None:
    root, lists = small
    split = HMDB51.split(root, annotations=lists, classes=TWO)
    assert counts(split) == (128, 12, 60)
    clip = split.test[0]
    assert clip.path == root / "cartwheel" / "Film_35_cartwheel_f_cm_np1_fr_med_0.avi"
    assert (clip.label, clip.recording) == ("cartwheel", "cartwheel/Film_35")
    # Film_1 of cartwheel and Film_1 of wave are one source.
    learned, chosen = (
        {source(c.path.name, c.label) for c in side} for side in (split.training, split.validation)
    )
    assert not learned & chosen
    assert HMDB51.split(root, annotations=lists, classes=TWO) == split


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_official_splits(
    published: Path, official: Path, classes: list[str], number: int
) -> None:
    sides = Counter(
        side
        for label in classes
        for side in read_split(official / f"{label}_test_split{number}.txt").values()
    )
    assert sides == {"1": 3570, "2": 1530, "0": 1666}
    split = HMDB51.split(published, annotations=official, number=number)
    assert len(split.training) + len(split.validation) == 3570
    assert 340 <= len(split.validation) <= 375
    assert set(Counter(clip.label for clip in split.test).values()) == {30}
    assert {clip.label for clip in split.validation} == set(classes)
    learned, chosen = (
        {source(c.path.name, c.label) for c in side} for side in (split.training, split.validation)
    )
    assert not learned & chosen


def test_a_source_in_official_training_and_test_clips_has_different_classes(
    official: Path, classes: list[str]
) -> None:
    of_class = defaultdict(set)
    over_all = defaultdict(set)
    for label in classes:
        for name, side in read_split(official / f"{label}_test_split1.txt").items():
            if side != "0":
                of_class[label, source(name, label)].add(side)
                over_all[source(name, label)].add(side)
    assert sum(len(sides) > 1 for sides in of_class.values()) == 0
    assert sum(len(sides) > 1 for sides in over_all.values()) == 133


def test_every_official_name_contains_its_source(official: Path, classes: list[str]) -> None:
    sources = {
        source(name, label)
        for label in classes
        for name in read_split(official / f"{label}_test_split1.txt")
    }
    assert len(sources) == 1407
    assert {"(Rad)Schlag_die_Bank!", "Veoh_Alpha_Dog_1", "#2_Gum"} <= sources


def test_names_of_another_form() -> None:
    assert source("A_wave_b_wave_f_nm_np2_le_goo_12.avi", "wave") == "A_wave_b"
    for name in ("a.avi", "A_walk_f_nm_np2_le_goo_12.avi", "A_wave_x_nm_np2_le_goo_12.avi"):
        with pytest.raises(
            ClipError, match=rf"{name}: not named as HMDB-51 .*; expected <source>_wave_<body>"
        ):
            source(name, "wave")


def test_missing_clips_are_counted(small: tuple[Path, Path]) -> None:
    root, lists = small
    gone = sorted((root / "wave").iterdir())[:8]
    for path in gone:
        path.unlink()
    listed = r"8 of the 200 clips that .* names are missing, such as .*/wave/.*; unpack them, or"
    with pytest.raises(ClipError, match=listed):
        HMDB51.split(root, annotations=lists, classes=TWO)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda lines: [lines[0], "a.avi 3"],
            r"line 2 is 'a.avi 3'; expected the name of a clip, a space, and 0, 1",
        ),
        (lambda lines: [lines[0], "1"], r"line 2 is '1'; expected the name of a clip"),
        (lambda lines: [], r"wave_test_split1.txt: an empty file; copy the official lists there"),
    ],
)
def test_split_files_that_are_not_as_published(
    small: tuple[Path, Path], edit: object, message: str
) -> None:
    root, lists = small
    path = lists / "wave_test_split1.txt"
    path.write_text("\n".join(edit(path.read_text().splitlines())))
    with pytest.raises(ClipError, match=message):
        HMDB51.split(root, annotations=lists, classes=TWO)


def short_lists(lists: Path) -> Path:
    lists.mkdir()
    for label in TWO:
        rows = zip(clip_names(label, 3), (1, 1, 1, 1, 2, 2), strict=True)
        (lists / f"{label}_test_split2.txt").write_text(
            "".join(f"{name} {side}\n" for name, side in rows)
        )
    return lists


def test_a_smaller_copy(tmp_path: Path) -> None:
    root = write_clips(tmp_path, sources=3)
    lists = short_lists(tmp_path / "lists")
    with pytest.raises(
        ClipError, match="split 2: 8 training and 4 test clips; HMDB-51 has 3570 and 1530"
    ):
        HMDB51.split(root, annotations=lists, number=2)
    assert counts(HMDB51.split(root, annotations=lists, number=2, classes=TWO, complete=False)) == (
        4,
        4,
        4,
    )


def test_split_files_that_are_not_there(small: tuple[Path, Path], tmp_path: Path) -> None:
    root, lists = small
    message = r"clips: no split files <class>_test_split1.txt; give the folder"
    with pytest.raises(ClipError, match=message):
        HMDB51.split(root, classes=TWO)
    lists.rename(root / "testTrainMulti_7030_splits")
    assert counts(HMDB51.split(root, classes=TWO)) == (128, 12, 60)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_all_of_jhmdb(real_data: Path, number: int) -> None:
    root = real_data / "clips" / "jhmdb"
    lists = real_data / "annotations" / "jhmdb"
    if not (root.is_dir() and lists.is_dir()):
        pytest.skip("no J-HMDB here")
    split = JHMDB.split(root, annotations=lists, number=number)
    training, test = JHMDB.counts[number]
    assert (len(split.training) + len(split.validation), len(split.test)) == (training, test)
    assert len({clip.label for clip in split.test}) == 21
    assert len({clip.recording for clip in split.clips}) == 410


def test_jhmdb_as_its_site_ships_it(tmp_path: Path) -> None:
    write_clips(tmp_path / "ReCompress_Videos", sources=3)
    short_lists(tmp_path / "splits")
    assert counts(JHMDB.split(tmp_path, annotations=None, number=2, complete=False)) == (4, 4, 4)
    with pytest.raises(
        ClipError, match="split 2: 8 training and 4 test clips; J-HMDB has 658 and 270"
    ):
        JHMDB.split(tmp_path, annotations=None, number=2)
    with pytest.raises(ValueError, match="split is 4, J-HMDB has 1, 2 and 3"):
        JHMDB.split(tmp_path, annotations=None, number=4)


def test_the_official_lists_contain_every_clip_of_hmdb51(
    annotations: Callable[[str], Path], tmp_path: Path
) -> None:
    lists = annotations("hmdb51")
    folder = touch_hmdb51(lists, tmp_path)
    paths = {
        clip.path
        for number in (1, 2, 3)
        for clip in HMDB51.split(folder, annotations=lists, number=number).clips
    }
    assert 6000 < len(paths) <= 6766, "all of its clips but those which no split uses"

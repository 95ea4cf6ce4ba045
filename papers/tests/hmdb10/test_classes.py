"""The report's ten classes: which they may be, and how their clips are divided."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from published_trees import touch_hmdb51

from onlooker.base.records import Clip, ClipError
from onlooker.data.split import Split
from onlooker_papers.hmdb10 import on_jhmdb
from onlooker_papers.hmdb10.classes import CLASSES, FIRST_TEN, REPORT_CLIPS, hmdb51_clips
from onlooker_papers.hmdb10.draws import TRAINING, Draw
from onlooker_papers.published_sets.hmdb51 import read_split, source
from onlooker_papers.sets import few_of_each

TWO = ("cartwheel", "wave")
SMALLEST_TEN = sorted(sorted(CLASSES, key=lambda label: CLASSES[label])[:10])


def write_clips(root: Path, label: str, count: int) -> None:
    """Two clips of each source."""
    (root / label).mkdir()
    for i in range(count):
        (root / label / f"Film_{i // 2}_{label}_f_cm_np1_fr_med_{i % 2}.avi").touch()


@pytest.fixture(scope="module")
def official(annotations: Callable[[str], Path]) -> Path:
    return annotations("hmdb51")


@pytest.fixture(scope="module")
def published(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch_hmdb51(official, tmp_path_factory.mktemp("hmdb51"))


def divided(clips: list[Clip], seed: int = 0) -> Split:
    """The split of a draw."""
    return Draw(Path(), clips, seed, on_jhmdb.DATA, TRAINING, "small").split


def counts(split: Split) -> tuple[int, int, int]:
    return len(split.training), len(split.validation), len(split.test)


def test_class_counts_are_those_of_the_official_files(official: Path) -> None:
    assert {
        label: len(read_split(official / f"{label}_test_split1.txt")) for label in CLASSES
    } == CLASSES
    assert (len(CLASSES), sum(CLASSES.values())) == (51, 6766)


def test_ten_classes_in_the_proportions_of_the_report(published: Path) -> None:
    split = divided(hmdb51_clips(published))
    assert counts(split) == (817, 246, 87)  # 1,150 clips times 730, 220 and 78 of 1,028
    assert {clip.label for clip in split.training} == set(FIRST_TEN)
    sources = [
        {source(c.path.name, c.label) for c in s}
        for s in (split.training, split.validation, split.test)
    ]
    assert sum(map(len, sources)) == len(set.union(*sources))
    for side, share in ((split.validation, 220 / 1028), (split.test, 78 / 1028)):
        for label, count in Counter(clip.label for clip in side).items():
            assert abs(count - share * CLASSES[label]) < 1
    assert divided(hmdb51_clips(published), seed=1) != split


def test_no_ten_whole_classes_are_those_of_the_report() -> None:
    assert FIRST_TEN[:2] == ("brush_hair", "cartwheel")
    assert sum(CLASSES[label] for label in FIRST_TEN) == 1150
    assert sum(REPORT_CLIPS.values()) == sum(CLASSES[label] for label in SMALLEST_TEN) == 1028
    # The eleventh is larger than the tenth: no other ten are as small.
    tenth, eleventh = sorted(CLASSES.values())[9:11]
    assert tenth < eleventh
    others = sorted(
        count for label, count in CLASSES.items() if label not in ("brush_hair", "cartwheel")
    )[:8]
    assert sum(others) + CLASSES["brush_hair"] + CLASSES["cartwheel"] == 1034


def test_other_ten_classes(published: Path) -> None:
    split = divided(hmdb51_clips(published, SMALLEST_TEN))
    assert sum(counts(split)) == 1028
    assert all(
        abs(n - wanted) <= 5 for n, wanted in zip(counts(split), (730, 220, 78), strict=True)
    )


def test_ten_classes_of_which_clips_are_missing(tmp_path: Path) -> None:
    root = tmp_path
    for label in TWO:
        write_clips(root, label, 104)  # as many as wave has
    with pytest.raises(
        ClipError,
        match=r"cartwheel: 104 .avi files, the published class has 107; unpack its archive",
    ):
        hmdb51_clips(root, TWO)
    assert len(hmdb51_clips(root, TWO, complete=False)) == 208
    for path in (root / "wave").iterdir():
        path.unlink()
    with pytest.raises(ClipError, match=r"wave: 0 .avi files, the published class has 104"):
        hmdb51_clips(root, TWO, complete=False)


def test_a_few_clips_of_each_class_are_spread_over_it() -> None:
    clips = [
        Clip(Path(f"{label}/{k}.mp4"), label)
        for label, count in (("a", 6), ("b", 2))
        for k in range(count)
    ]
    assert [clip.path.as_posix() for clip in few_of_each(clips, 3)] == [
        "a/0.mp4",
        "a/2.mp4",
        "a/4.mp4",
        "b/0.mp4",
        "b/1.mp4",
    ]
    assert few_of_each(clips, 0) == clips

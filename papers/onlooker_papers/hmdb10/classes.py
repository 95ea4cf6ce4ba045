"""What the report states: its accuracy, its ten classes of HMDB-51, and the numbers of its clips."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from onlooker import Clip, ClipError
from onlooker.data.lists import check_classes
from onlooker_papers.published_sets.hmdb51 import source

# The number of clips of each class, as in the official split files: 6,766 in total.
CLASSES: dict[str, int] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
FIRST_TEN = tuple(CLASSES)[:10]
ATTENTION = "report"  # its model
PUBLISHED_ACCURACY = 0.82  # on single frames
REPORT_CLIPS = {"training": 730, "validation": 220, "test": 78}


def hmdb51_clips(
    root: Path, classes: Sequence[str] = FIRST_TEN, complete: bool = True
) -> list[Clip]:
    """The clips of the ten classes of Teja & Akunuri 2020, with the source videos that they were cut
    from.

    Unknown are the ten classes apart from cartwheel and brush_hair, which of their clips were used,
    and how these were divided. Any ten complete classes that include these two have at least 1,034
    clips, more than the report's 1,028, so some clips must have been left out. The only ten
    complete classes with 1,028 clips are the ten smallest, which include neither. The default, the
    first ten in alphabetical order, has 1,150 clips. Divided in the report's proportions, as nearly
    as complete source videos allow, they are 817, 246 and 87.

    Args:
        root: as for `hmdb51`; the official splits are not used.
        classes: the class names.
        complete: require the published number of clips per class.

    Raises:
        ClipError: a class without clips, or with another number of them than published.
        ValueError: an unknown class.
    """
    chosen = check_classes(classes, CLASSES, "HMDB-51")
    clips = []
    for label in chosen:
        names = sorted(
            path.name for path in (root / label).glob("*.avi") if not path.name.startswith(".")
        )
        if not names or (complete and len(names) != CLASSES[label]):
            found = f"{len(names)} .avi files, the published class has {CLASSES[label]}"
            raise ClipError(root / label, found, "unpack its archive again, or leave the class out")
        clips += [
            Clip(root / label / name, label, source(name, label), root=root) for name in names
        ]
    return clips

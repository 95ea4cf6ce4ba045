"""HMDB-51 and J-HMDB as published: one folder per class, and three official splits.

H. Kuehne, H. Jhuang, E. Garrote, T. Poggio, T. Serre, *HMDB: a large video database for human
motion recognition*, ICCV 2011. H. Jhuang, J. Gall, S. Zuffi, C. Schmid, M. J. Black, *Towards
understanding action recognition*, ICCV 2013.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from onlooker.base.records import Clip, ClipError
from onlooker.data.lists import check_classes
from onlooker_papers.published_sets.official import (
    Listing,
    PublishedSet,
    inner_folder,
    read_entries,
)

__all__ = ["check_folders", "source"]

# as the archives of HMDB-51 and J-HMDB call the folder
SPLITS = ("testTrainMulti_7030_splits", "splits")
JHMDB_CLIPS = "ReCompress_Videos"
# training and test clips of each official split
JHMDB_COUNTS = {1: (660, 268), 2: (658, 270), 3: (663, 265)}
# in the split files; "0" is unused
_TRAINING = "1"
_TEST = "2"

_LINE = re.compile(r"(?P<key>.+?)\s+(?P<role>[012])")
# source, class, visible body (full, head, lower, upper), camera motion or none, persons, viewpoint,
# quality, number
_NAME = re.compile(r"(?P<source>.+)_[fhlu]_(cm|nm)_np\d+_(ba|fr|le|ri)_(bad|goo|med)_\d+\.avi")

Roles = dict[str, dict[str, str]]  # by class: for each clip "0", "1" or "2"


def _read_hmdb51(
    root: Path, lists: Path, split: int, classes: Sequence[str], complete: bool
) -> Listing:
    """70 training and 30 test clips per class, 3,570 and 1,530; 1,666 clips are unused.

    The official splits keep the sources of training and test clips apart within each class, not
    across classes: in split 1, 133 sources have training clips of one class and test clips of
    another. The recording of a clip is therefore named by class and source.

    Args:
        root: holds one folder of videos per class: `hmdb51_org.rar` and the archives in it,
        unpacked.
        lists: holds `<class>_test_split<n>.txt`, or `testTrainMulti_7030_splits/` with these.
    """
    roles = _read_roles(lists, HMDB51.title, split, classes, 51 if complete else 0)
    for label, of_class in roles.items():
        counts = Counter(of_class.values())
        if complete and (counts[_TRAINING], counts[_TEST]) != (70, 30):
            problem = f"{label}, split {split}: {counts[_TRAINING]} training and {counts[_TEST]} test clips"
            raise ClipError(
                root, problem, "an official split has 70 and 30; take the official file"
            )
    check_folders(root, roles)
    return _listing(root, roles)


def _read_jhmdb(
    root: Path, lists: Path, split: int, classes: Sequence[str], complete: bool
) -> Listing:
    """21 classes, 928 clips of HMDB-51's footage, with its own splits, which keep sources apart in
    the same way.

    Args:
        root: holds one folder of videos per class, or `ReCompress_Videos/` with these.
        lists: holds `<class>_test_split<n>.txt`, or `splits/` with these.
    """
    roles = _read_roles(lists, JHMDB.title, split, classes, 21 if complete else 0)
    counts = Counter(role for of_class in roles.values() for role in of_class.values())
    if complete and not classes and (counts[_TRAINING], counts[_TEST]) != JHMDB_COUNTS[split]:
        problem = f"split {split}: {counts[_TRAINING]} training and {counts[_TEST]} test clips"
        raise ClipError(
            root,
            problem,
            "J-HMDB has {} and {}; take the official files".format(*JHMDB_COUNTS[split]),
        )
    return _listing(inner_folder(root, JHMDB_CLIPS), roles)


HMDB51 = PublishedSet("HMDB-51", _read_hmdb51)
JHMDB = PublishedSet("J-HMDB", _read_jhmdb)


def source(name: str, label: str) -> str:
    """The video that a clip was cut from, taken from the name of the clip.

    A name is `<source>_<class>_<body>_<camera>_np<persons>_<viewpoint>_<quality>_<number>.avi`,
    such as `Veoh_Alpha_Dog_1_talk_h_nm_np1_fr_goo_3.avi`. Parts of a film that were uploaded as
    separate videos (`Two_Towers_3`, `Two_Towers_4`) are different sources.

    Raises:
        ClipError: the name has another form.
    """
    match = _NAME.fullmatch(name)
    if match is None or not match["source"].endswith(f"_{label}"):
        form = f"<source>_{label}_<body>_<cm or nm>_np<persons>_<viewpoint>_<quality>_<number>.avi"
        raise ClipError(name, "not named as HMDB-51 names its clips", f"expected {form}")
    return match["source"].removesuffix(f"_{label}")


def read_split(path: Path) -> dict[str, str]:
    """One class of an official split: for each of its clips "1" (training), "2" (test) or "0"
    (unused).
    """
    entries = read_entries(path, _LINE, "the name of a clip, a space, and 0, 1 or 2")
    return {name: match["role"] for name, (_, match) in entries.items()}


def _read_roles(
    lists: Path, data_set: str, split: int, classes: Sequence[str], expected: int
) -> Roles:
    lists = _split_folder(lists)
    ending = f"_test_split{split}.txt"
    known = sorted(path.name.removesuffix(ending) for path in lists.glob(f"*{ending}"))
    if expected and not classes and len(known) != expected:
        raise ClipError(
            lists,
            f"split files of {len(known)} classes",
            f"{data_set} has {expected}; copy all of them",
        )
    return {
        label: read_split(lists / f"{label}{ending}")
        for label in check_classes(classes, known, data_set)
    }


def _split_folder(given: Path) -> Path:
    """The folder of the split files: `given`, or a folder in it."""
    for folder in (given, *(given / name for name in SPLITS)):
        if folder.is_dir() and next(folder.glob("*_test_split?.txt"), None):
            return folder
    looked = f"<class>_test_split1.txt and {', '.join(f'{name}/' for name in SPLITS)}"
    raise ClipError(
        given,
        f"no split files; looked there for {looked}",
        "give the folder of the split files, unpacked",
    )


def _listing(folder: Path, roles: Roles) -> Listing:
    training, test = (
        [
            Clip(folder / label / name, label, f"{label}/{source(name, label)}")
            for label, of_class in roles.items()
            for name, role in of_class.items()
            if role == wanted
        ]
        for wanted in (_TRAINING, _TEST)
    )
    return folder, training, test


def check_folders(root: Path, classes: Iterable[str]) -> None:
    """Raise a ClipError unless each class has a folder."""
    if missing := [label for label in classes if not (root / label).is_dir()]:
        more = f" (the same for {len(missing) - 1} more)" if len(missing) > 1 else ""
        remedy = "unpack hmdb51_org.rar there, and the archives in it: unar *.rar"
        raise ClipError(root, f"no folder {missing[0]}/{more}", remedy)

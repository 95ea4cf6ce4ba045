"""HMDB-51 and J-HMDB as published: one folder per class, and three official splits.

H. Kuehne, H. Jhuang, E. Garrote, T. Poggio, T. Serre, *HMDB: a large video database for human
motion recognition*, ICCV 2011. H. Jhuang, J. Gall, S. Zuffi, C. Schmid, M. J. Black, *Towards
understanding action recognition*, ICCV 2013.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from onlooker import Clip, ClipError
from onlooker.data.lists import check_classes
from onlooker_papers.published_sets.official import (
    Listing,
    PublishedSet,
    inner_folder,
    read_entries,
)

__all__ = ["HMDB51", "JHMDB", "read_split", "source"]

# as the archives of HMDB-51 and J-HMDB call the folder
SPLITS = ("testTrainMulti_7030_splits", "splits")
JHMDB_CLIPS = "ReCompress_Videos"
# in the split files; "0" is unused
_TRAINING = "1"
_TEST = "2"

_LINE = re.compile(r"(?P<key>.+?)\s+(?P<role>[012])")
# source, class, visible body (full, head, lower, upper), camera motion or none, persons, viewpoint,
# quality, number
_NAME = re.compile(r"(?P<source>.+)_[fhlu]_(cm|nm)_np\d+_(ba|fr|le|ri)_(bad|goo|med)_\d+\.avi")


def _read(title: str, root: Path, lists: Path, *, split: int, classes: Sequence[str]) -> Listing:
    """The clips of a split of HMDB-51 or J-HMDB.

    The official splits keep the sources of training and test clips apart within each class, not
    across classes: in split 1 of HMDB-51, 133 sources have training clips of one class and test
    clips of another. The recording of a clip is therefore named by class and source.

    Args:
        root: holds one folder of videos per class (`hmdb51_org.rar` and the archives in it,
            unpacked), or J-HMDB's `ReCompress_Videos/` with these.
        lists: holds `<class>_test_split<n>.txt`, or the folder of the archive with these.
    """
    lists = inner_folder(lists, *SPLITS)
    folder = inner_folder(root, JHMDB_CLIPS)
    ending = f"_test_split{split}.txt"
    known = sorted(path.name.removesuffix(ending) for path in lists.glob(f"*{ending}"))
    if not known:
        found = f"no split files <class>{ending}"
        raise ClipError(lists, found, "give the folder of the split files, unpacked")
    roles = {
        label: read_split(lists / f"{label}{ending}")
        for label in check_classes(classes, known, title)
    }
    training, test = (
        [
            Clip(folder / label / name, label, f"{label}/{source(name, label)}", root=folder)
            for label, of_class in roles.items()
            for name, role in of_class.items()
            if role == wanted
        ]
        for wanted in (_TRAINING, _TEST)
    )
    return folder, training, test


HMDB51 = PublishedSet("HMDB-51", dict.fromkeys((1, 2, 3), (3570, 1530)), partial(_read, "HMDB-51"))
JHMDB = PublishedSet(
    "J-HMDB", {1: (660, 268), 2: (658, 270), 3: (663, 265)}, partial(_read, "J-HMDB")
)


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
    return {name: match["role"] for name, match in entries.items()}

"""UCF101 as published: one folder per class, the class index, and three official splits.

K. Soomro, A. R. Zamir, M. Shah, *UCF101: a dataset of 101 human actions classes from videos in the
wild*, 2012.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from onlooker import Clip, ClipError
from onlooker.data.lists import check_classes
from onlooker_papers.published_sets.official import (
    Listing,
    PublishedSet,
    inner_folder,
    read_entries,
)

CLIPS = "UCF-101"
LISTS = "ucfTrainTestlist"
INDEX = "classInd.txt"
_CLASS = re.compile(r"(?P<key>\d+)\s+(?P<name>\S+)")
_ENTRY = re.compile(
    r"(?P<key>(?P<folder>\w+)/v_(?P<label>(?i:(?P=folder)))_g(?P<group>\d\d)_c\d\d\.avi)(\s+\S+)?"
)


def _read_ucf101(root: Path, lists: Path, *, split: int, classes: Sequence[str]) -> Listing:
    """The clips of a group (`g01` to `g25` of a class) show the same people in one place; the group
    is their recording.

    The names of one class are inconsistent: index, lists and folder say HandstandPushups, the files
    in it v_HandStandPushups. A class has the name in the index.

    Args:
        root: holds `<Class>/v_<Class>_g<nn>_c<nn>.avi`, or `UCF-101/` with these.
        lists: holds `classInd.txt`, `trainlist0<n>.txt` and `testlist0<n>.txt`, or
            `ucfTrainTestlist/` with these.
    """
    lists = inner_folder(lists, LISTS)
    folder = inner_folder(root, CLIPS)
    index = read_index(lists / INDEX)
    chosen = check_classes(classes, index.values(), "UCF101")
    training, test = (
        [
            Clip(folder / name, label, f"{label}_g{group}", root=folder)
            for name, (label, group) in read_list(lists / f"{part}list0{split}.txt", index).items()
            if label in chosen
        ]
        for part in ("train", "test")
    )
    return folder, training, test


UCF101 = PublishedSet("UCF101", {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}, _read_ucf101)


def read_index(path: Path) -> dict[str, str]:
    """The name of each class by its name in small letters, in the order of the file.

    Raises:
        ClipError: as `read_entries`.
    """
    entries = read_entries(path, _CLASS, "the number of a class, a space, and its name")
    return {match["name"].lower(): match["name"] for match in entries.values()}


def read_list(path: Path, index: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """A training or test list: for each clip its class, as named in the index, and its group.

    Raises:
        ClipError: as `read_entries`, or a class that is not in the index.
    """
    clips = {}
    form = "<Class>/v_<Class>_g<nn>_c<nn>.avi, in a training list with the number of the class"
    for name, match in read_entries(path, _ENTRY, form).items():
        label = index.get(match["label"].lower())
        if label is None:
            found = f"{name} is of no class in {INDEX}"
            raise ClipError(path, found, "take the official files")
        clips[name] = label, match["group"]
    return clips

"""UCF101 as published: one folder per class, the class index, and three official splits.

K. Soomro, A. R. Zamir, M. Shah, *UCF101: a dataset of 101 human actions classes from videos in the
wild*, 2012.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from onlooker.base.records import Clip, ClipError
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
# training and test clips of each official split
COUNTS = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}
_CLASSES = 101

_CLASS = re.compile(r"(?P<key>\d+)\s+(?P<name>\S+)")
_ENTRY = re.compile(
    r"(?P<key>(?P<folder>\w+)/v_(?P<label>(?i:(?P=folder)))_g(?P<group>\d\d)_c\d\d\.avi)(\s+(?P<number>\S+))?"
)


def _read_ucf101(
    root: Path, lists: Path, split: int, classes: Sequence[str], complete: bool
) -> Listing:
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
    index = read_index(lists / INDEX, complete)
    chosen = check_classes(classes, index, UCF101.title)
    paths = lists / f"trainlist0{split}.txt", lists / f"testlist0{split}.txt"
    training, test = (read_list(path, index) for path in paths)
    for path, listed, count in zip(paths, (training, test), COUNTS[split], strict=True):
        if complete and len(listed) != count:
            raise ClipError(
                path,
                f"{len(listed)} clips",
                f"the published list has {count}; take the official file",
            )
    if both := [name for name in test if name in training]:
        raise ClipError(paths[1], f"{both[0]} is in {paths[0].name} too", "take the official files")
    training_clips, test_clips = (
        [
            Clip(folder / name, label, f"{label}_g{group}")
            for name, (label, group) in listed.items()
            if label in chosen
        ]
        for listed in (training, test)
    )
    return folder, training_clips, test_clips


UCF101 = PublishedSet("UCF101", _read_ucf101)


def read_index(path: Path, complete: bool = True) -> dict[str, str]:
    """The number of each class, from 1, in the order of the file.

    Raises:
        ClipError: as `read_entries`, or not 101 classes.
    """
    entries = read_entries(path, _CLASS, "the number of a class, a space, and its name")
    index = {match["name"]: number for number, (_, match) in entries.items()}
    if complete and len(index) != _CLASSES:
        raise ClipError(
            path, f"{len(index)} classes", f"UCF101 has {_CLASSES}; take the official file"
        )
    return index


def read_list(path: Path, index: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """A training or test list: for each clip its class, as named in the index, and its group.

    Raises:
        ClipError: as `read_entries`, or a class that differs from the index.
    """
    classes = {name.lower(): name for name in index}
    clips = {}
    form = "<Class>/v_<Class>_g<nn>_c<nn>.avi, in a training list with the number of the class"
    for name, (line, match) in read_entries(path, _ENTRY, form).items():
        label = classes.get(match["label"].lower())
        if label is None:
            raise ClipError(
                path,
                f"line {line}: no class {match['folder']} in {INDEX}",
                "take the official files",
            )
        if match["number"] not in (None, index[label]):
            problem = f"line {line}: {name} is of class {match['number']}"
            raise ClipError(path, problem, f"{INDEX} says {index[label]}; take the official files")
        clips[name] = label, match["group"]
    return clips

"""UCF101 as published: one folder per class, the class index, and three official splits.

K. Soomro, A. R. Zamir, M. Shah, *UCF101: a dataset of 101 human actions classes from videos in the wild*, 2012.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from onlooker.data.lists import ClipFiles, check_classes, check_present, read_lines
from onlooker.data.split import Split, carve_validation
from onlooker.structures import Clip, ClipError

CLIPS, LISTS, INDEX = "UCF-101", "ucfTrainTestlist", "classInd.txt"
COUNTS = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}  # training and test clips of each official split
_CLASSES = 101

_ENTRY = re.compile(r"(?P<folder>\w+)/v_(?P<label>\w+)_g(?P<group>\d\d)_c\d\d\.avi")


def ucf101(
    root: Path,
    annotations: Path | None = None,
    split: int = 1,
    classes: Sequence[str] = (),
    validation: float = 0.1,
    seed: int = 0,
    complete: bool = True,
) -> Split:
    """An official split, with a share of its training clips used for validation.

    The clips of a group (`g01` to `g25` of a class) show the same people in one place; the group is their recording,
    and official splits keep it whole.

    The names of one class are inconsistent: index, lists and folder say HandstandPushups, the files in it
    v_HandStandPushups. Folders and files are therefore found whatever their capitals (and whatever their suffix, as
    copies are often encoded again), and a class has the name in the index.

    Args:
        root: holds `<Class>/v_<Class>_g<nn>_c<nn>.avi`, or `UCF-101/` with these.
        annotations: holds `classInd.txt`, `trainlist0<n>.txt` and `testlist0<n>.txt`, or `ucfTrainTestlist/` with
            these; by default `root`.
        split: 1, 2 or 3.
        classes: by default all 101.
        validation: share of the training clips.
        seed: of the choice of validation clips.
        complete: require 101 classes and the published number of clips; a smaller copy in the same layout needs False.

    Raises:
        ClipError: what is missing, a duplicate, or not as published.
        ValueError: no such split, class or share.
    """
    if split not in COUNTS:
        raise ValueError(f"split is {split}, UCF101 has 1, 2 and 3")
    lists = root if annotations is None else annotations
    lists = lists / LISTS if (lists / LISTS).is_dir() else lists
    index = read_index(lists / INDEX, complete)
    chosen = check_classes(classes, index, "UCF101")
    paths = lists / f"trainlist0{split}.txt", lists / f"testlist0{split}.txt"
    names = [read_list(path, index) for path in paths]
    for path, listed, count in zip(paths, names, COUNTS[split], strict=True):
        if complete and len(listed) != count:
            raise ClipError(path, f"{len(listed)} clips", f"the published list has {count}; take the official file")
    if both := [name for name in names[1] if name in names[0]]:
        raise ClipError(paths[1], f"{both[0]} is in {paths[0].name} too", "take the official files")
    folder = root / CLIPS if (root / CLIPS).is_dir() else root
    if not folder.is_dir():
        raise ClipError(folder, "no such folder", "expected the class folders of UCF101 there")
    files = ClipFiles(folder)
    training, test = (
        [
            Clip(files.at(folder / name), label, f"{label}_g{group}")
            for name, (label, group) in listed.items()
            if label in chosen
        ]
        for listed in names
    )
    check_present(training + test, folder, lists)
    return carve_validation(training, test, validation, seed, [str(clip.recording) for clip in training])


def read_index(path: Path, complete: bool = True) -> dict[str, int]:
    """The number of each class, from 1, in the order of the file.

    Raises:
        ClipError: no such file, a line of another form, a duplicate, or not 101 classes.
    """
    index: dict[str, int] = {}
    for number, line in read_lines(path, "copy the official lists there, or name their folder"):
        words = line.split()
        if len(words) != 2 or not words[0].isdecimal():
            raise ClipError(path, f"line {number} is {line!r}", "expected the number of a class, a space, and its name")
        if words[1] in index or int(words[0]) in index.values():
            raise ClipError(path, f"line {number} is a duplicate: {line}", "take the official file")
        index[words[1]] = int(words[0])
    if complete and len(index) != _CLASSES:
        raise ClipError(path, f"{len(index)} classes", f"UCF101 has {_CLASSES}; take the official file")
    return index


def read_list(path: Path, index: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """A training or test list: for each clip (`<Class>/<file>`) its class, as named in the index, and its group.

    Raises:
        ClipError: no such file, a line of another form, a duplicate, or a class that differs from the index.
    """
    classes = {name.lower(): name for name in index}
    clips: dict[str, tuple[str, str]] = {}
    lines: dict[str, int] = {}
    for number, line in read_lines(path, "copy the official lists there, or name their folder"):
        name, *rest = line.split()
        match = _ENTRY.fullmatch(name)
        if match is None or match["folder"].lower() != match["label"].lower() or len(rest) > 1:
            form = "<Class>/v_<Class>_g<nn>_c<nn>.avi, in a training list with the number of the class"
            raise ClipError(path, f"line {number} is {line!r}", f"expected {form}")
        label = classes.get(match["label"].lower())
        if label is None:
            raise ClipError(path, f"line {number}: no class {match['folder']} in {INDEX}", "take the official files")
        if rest and rest[0] != str(index[label]):
            found = f"line {number}: {name} is of class {rest[0]}"
            raise ClipError(path, found, f"{INDEX} says {index[label]}; take the official files")
        if name in lines:
            found = f"line {number} is a duplicate of line {lines[name]}: {name}"
            raise ClipError(path, found, "take the official file")
        lines[name], clips[name] = number, (label, match["group"])
    return clips

"""UCF101 as published: one folder a class, the class index, and three official splits.

K. Soomro, A. R. Zamir, M. Shah, *UCF101: a dataset of 101 human actions classes from videos in the wild*, 2012.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from onlooker.data.published import apportion, check_classes, check_present, check_share, read_lines
from onlooker.data.split import Split
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
    """An official split, with a share of its training clips carved out for validation.

    A group (`g01` to `g25` of a class) is what was filmed in one place with the same people; it is the recording of
    its clips, and whole on one side, also of the official splits.

    The names of one class disagree with themselves: index, lists and folder say HandstandPushups, the files in it
    v_HandStandPushups. Folders and files are hence found without regard to capitals, and a class is called what the
    index calls it.

    Args:
        root: holds `<Class>/v_<Class>_g<nn>_c<nn>.avi`, or `UCF-101/` with these.
        annotations: holds `classInd.txt`, `trainlist0<n>.txt` and `testlist0<n>.txt`, or `ucfTrainTestlist/` with
            these; `root` where not given.
        split: 1, 2 or 3.
        classes: which, all 101 where not given.
        validation: which share of the training clips validates.
        seed: of the choice of validation clips.
        complete: insist on 101 classes and on the published number of clips; a cut-down copy in the same layout needs
            False.

    Raises:
        ClipError: naming what is missing, stands twice, or is not as published.
        ValueError: no such split, class or share.
    """
    if split not in COUNTS:
        raise ValueError(f"split is {split}, UCF101 has 1, 2 and 3")
    check_share(validation)
    lists = root if annotations is None else annotations
    lists = lists / LISTS if (lists / LISTS).is_dir() else lists
    index = read_index(lists / INDEX, complete)
    chosen = check_classes(classes, index, "UCF101")
    learned, tested = lists / f"trainlist0{split}.txt", lists / f"testlist0{split}.txt"
    learn_names, test_names = read_list(learned, index), read_list(tested, index)
    for path, names, count in zip((learned, tested), (learn_names, test_names), COUNTS[split], strict=True):
        if complete and len(names) != count:
            raise ClipError(path, f"{len(names)} clips", f"the published list has {count}; take the official file")
    for name in test_names:
        if name in learn_names:
            raise ClipError(tested, f"{name} stands in {learned.name} too", "take the official files")
    finder = _Finder(root)
    learn, test = (
        [
            Clip(finder.find(name), label, f"{label}_g{group}")
            for name, (label, group) in names.items()
            if label in chosen
        ]
        for names in (learn_names, test_names)
    )
    check_present(learn + test, finder.folder, lists)
    groups = [str(clip.recording) for clip in learn]
    parts = apportion(learn, groups, {"training": 1 - validation, "validation": validation}, seed)
    return Split(parts["training"], parts["validation"], tuple(test))


def read_index(path: Path, complete: bool = True) -> dict[str, int]:
    """The number of each class, from 1, in the order of the file.

    Raises:
        ClipError: no such file, a line of another form, a class or a number that stands twice, or not 101 classes.
    """
    index: dict[str, int] = {}
    for number, line in read_lines(path, "copy the official lists there, or name their folder"):
        words = line.split()
        if len(words) != 2 or not words[0].isdecimal():
            raise ClipError(path, f"line {number} is {line!r}", "expected the number of a class, a space, and its name")
        if words[1] in index or int(words[0]) in index.values():
            raise ClipError(path, f"line {number}: {line} stands there twice", "take the official file")
        index[words[1]] = int(words[0])
    if complete and len(index) != _CLASSES:
        raise ClipError(path, f"{len(index)} classes", f"UCF101 has {_CLASSES}; take the official file")
    return index


def read_list(path: Path, index: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """A training or test list: for each clip (`<Class>/<file>`) its class, as the index writes it, and its group.

    Raises:
        ClipError: no such file, a line of another form, a clip that stands twice, or a class that is not that of the
            index.
    """
    classes = {name.lower(): name for name in index}
    found: dict[str, tuple[str, str]] = {}
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
            found_class = f"line {number}: {name} is of class {rest[0]}"
            raise ClipError(path, found_class, f"{INDEX} says {index[label]}; take the official files")
        if name in lines:
            raise ClipError(path, f"line {number}: {name} stands in line {lines[name]} too", "take the official file")
        lines[name], found[name] = number, (label, match["group"])
    return found


class _Finder:
    """Files by their names without regard to capitals; an exact match comes first."""

    def __init__(self, root: Path) -> None:
        self.folder = root / CLIPS if (root / CLIPS).is_dir() else root
        if not self.folder.is_dir():
            raise ClipError(self.folder, "no such folder", "expected the class folders of UCF101 there")
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path:
        """Where `<Class>/<file>` lies, or where it was expected."""
        path = self.folder
        for part in name.split("/"):
            names = self._listing(path)
            path = path / (part if part in names.values() else names.get(part.lower(), part))
        return path

    def _listing(self, folder: Path) -> dict[str, str]:
        if folder not in self._names:
            entries = sorted(folder.iterdir()) if folder.is_dir() else []
            self._names[folder] = {entry.name.lower(): entry.name for entry in entries}
        return self._names[folder]

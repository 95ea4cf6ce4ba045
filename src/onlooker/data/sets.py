"""The published sets by their names on the command line, and how the official splits of each are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onlooker.config import SetConfig
from onlooker.data.hmdb51 import hmdb51
from onlooker.data.lists import find_lists, kinetics
from onlooker.data.split import Split, Splits, make_splits
from onlooker.data.ucf101 import ucf101
from onlooker.structures import ClipError

Read = tuple[Split, tuple[ClipError, ...]]
Reader = Callable[[Path, Path | None, int, Sequence[str], bool], Read]


@dataclass(frozen=True)
class PublishedSet:
    """A set as its site ships it.

    Args:
        title: its name.
        splits: how many official splits it has.
        read: of root, lists (None: in root), the split's number, classes (none: all) and whether to insist on as many
            clips as were published: the split, and an error for each clip that is left out of it.
    """

    title: str
    splits: int
    read: Reader


def _none_missing(reader: Callable[..., Split]) -> Reader:
    def read(root: Path, lists: Path | None, split: int, classes: Sequence[str], complete: bool) -> Read:
        return reader(root, lists, split, classes, complete=complete), ()

    return read


def _kinetics(root: Path, lists: Path | None, split: int, classes: Sequence[str], complete: bool) -> Read:
    # However many clips are there: of Kinetics some are always missing.
    if split != 1:
        raise ValueError(f"split is {split}, Kinetics has one alone, which is 1")
    return kinetics(root, *find_lists(root if lists is None else lists), classes=classes)


SETS = {
    "hmdb51": PublishedSet("HMDB-51", 3, _none_missing(hmdb51)),
    "ucf101": PublishedSet("UCF101", 3, _none_missing(ucf101)),
    "kinetics": PublishedSet("Kinetics", 1, _kinetics),
}


def read_set(root: Path, asked: SetConfig) -> Read:
    """An official split, and an error for each clip that its lists name and that is left out.

    Which training clips validate is the same in every run, whatever its seed: runs on one split can be fused.

    Raises:
        ClipError: the set is not as published, or clips are missing.
        ValueError: no such set, split or class.
    """
    return _read(_find(asked), root, asked, asked.split)


def every_clip(root: Path, asked: SetConfig) -> tuple[tuple[Path, ...], tuple[ClipError, ...]]:
    """The paths of the clips of all official splits, each once, and an error for each that is left out.

    Raises:
        ClipError: as `read_set`.
        ValueError: no such set or class.
    """
    found = _find(asked)
    paths: dict[Path, None] = {}
    left_out: dict[Path, ClipError] = {}
    for number in range(1, found.splits + 1):
        split, errors = _read(found, root, asked, number)
        paths |= dict.fromkeys(clip.path for clip in split.clips)
        left_out |= {error.path: error for error in errors}
    return tuple(paths), tuple(left_out.values())


def asked_splits(root: Path, asked: SetConfig, folds: int, leave_out: bool) -> tuple[Splits, tuple[ClipError, ...]]:
    """The official split, or what makes folds of a folder's clips; and what the lists name and the split leaves out.

    Raises:
        ValueError: more than one of a published set, folds and leaving recordings out is asked for.
        ClipError: as `read_set`.
    """
    if folds and leave_out:
        raise ValueError("--folds and --leave-one-out exclude each other; give one of them")
    if not asked.set:
        return partial(make_splits, folds=folds, leave_out=leave_out), ()
    if folds or leave_out:
        raise ValueError("--set has official splits of its own; leave out --folds and --leave-one-out")
    split, left_out = read_set(root, asked)
    return {f"split{asked.split}": split}, left_out


def _find(asked: SetConfig) -> PublishedSet:
    if asked.set not in SETS:
        raise ValueError(f"no published set is called {asked.set!r}; there are {', '.join(SETS)}")
    return SETS[asked.set]


def _read(found: PublishedSet, root: Path, asked: SetConfig, split: int) -> Read:
    return found.read(root, Path(asked.lists) if asked.lists else None, split, asked.class_names, asked.complete)

"""Real clips in `$ONLOOKER_DATA`, for commands without `--clips`; and a few clips of a set."""

import os
from collections.abc import Sequence
from pathlib import Path

from onlooker.data.folder import find_clips
from onlooker.structures import Clip, ClipError

VARIABLE = "ONLOOKER_DATA"
_FRAMES = "frames"  # of a set whose images lie next to other things, such as masks
WAY = f"set {VARIABLE} to a folder that has clips/SET/CLASS/"


def data_folder() -> Path:
    """`$ONLOOKER_DATA`.

    Raises:
        ValueError: it is not set, or not a folder with clips.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise ValueError(f"{VARIABLE} is not set; {WAY}")
    if not (Path(named) / "clips").is_dir():
        raise ValueError(f"{VARIABLE} is {named}, which has no folder clips; {WAY}")
    return Path(named)


def available_sets() -> list[Path]:
    """The sets of clips in `clips/` of `$ONLOOKER_DATA`; none where it is not set.

    A set has one sub-folder per class, or a folder `frames` with one sub-folder per class; other folders are skipped.
    """
    named = os.environ.get(VARIABLE)
    folder = Path(named or ".") / "clips"
    if not named or not folder.is_dir():
        return []
    found = (_set_in(path) for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))
    return [path for path in found if path is not None]


def _set_in(folder: Path) -> Path | None:
    for path in (folder, folder / _FRAMES):
        try:
            find_clips(path)
        except ClipError:
            continue
        return path
    return None


def nearest_to(classes: int, sets: Sequence[Path]) -> Path:
    """The set whose number of classes is nearest; the first of several."""
    return min(sets, key=lambda path: abs(len({clip.label for clip in find_clips(path)}) - classes))


def set_name(folder: Path) -> str:
    """The name of a set: that of its folder, `weizmann` for `weizmann/frames`."""
    return set_path(folder).parts[0]


def set_path(folder: Path) -> Path:
    """The folder of a set without its parent folders: `basketball`, `weizmann/frames`."""
    parts = folder.resolve().parts
    return Path(*parts[-2 if parts[-1] == _FRAMES else -1 :])


def few_of_each(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count` clips of each class, equally spaced in their order; 0: all."""
    chosen: set[Path] = set()
    for label in {clip.label for clip in clips}:
        paths = [clip.path for clip in clips if clip.label == label]
        number = min(count or len(paths), len(paths))
        chosen |= {paths[i * len(paths) // number] for i in range(number)}
    return [clip for clip in clips if clip.path in chosen]

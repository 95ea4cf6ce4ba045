"""A folder of clips, one class a sub-folder: what is in it, and which clips learn, choose and test."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onlooker.structures import Clip, ClipError
from onlooker.video.reader import is_video

RECORDINGS = "recordings.csv"


def find_clips(folder: Path, classes: int = 2) -> list[Clip]:
    """All clips of a folder, sorted; a clip is a video file, or a folder of numbered pictures.

    Hidden files and folders, and files of other kinds, are passed over. Clips may differ in size and length: their
    frames are resized, whole, to that of a sample (`video.resize`).

    Where `recordings.csv` (columns clip, recording) lies beside the classes, each clip carries its recording.

    Raises:
        ClipError: no such folder, a sub-folder without clips, fewer than `classes` sub-folders, or recordings that do
            not fit the clips.
    """
    if not folder.is_dir():
        raise ClipError(folder, "no such folder", "give a folder with one class a sub-folder")
    labels = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if len(labels) < classes:
        found = f"{len(labels)} sub-folder{'' if len(labels) == 1 else 's'}"
        raise ClipError(folder, found, f"expected at least {classes}, each with the clips of one class")
    clips = []
    for label in labels:
        paths = [path for path in sorted(label.iterdir()) if not path.name.startswith(".") and is_video(path)]
        if not paths:
            loose = "numbered pictures but no clips" if is_video(label) else "no clips"
            remedy = (
                "a class holds video files, or a folder of numbered pictures for each clip; move it away if it is none"
            )
            raise ClipError(label, loose, remedy)
        clips += [Clip(path, label.name) for path in paths]
    if (folder / RECORDINGS).exists():
        recordings = _read_recordings(folder / RECORDINGS)
        missing = [name for clip in clips if (name := clip.path.relative_to(folder).as_posix()) not in recordings]
        if missing:
            found = f"{len(missing)} of {len(clips)} clips are not listed, such as {missing[0]}"
            raise ClipError(folder / RECORDINGS, found, "add a row for each, or remove the file")
        clips = [Clip(c.path, c.label, recordings[c.path.relative_to(folder).as_posix()]) for c in clips]
    return clips


def few_of_each(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most so many clips of each class, equally spaced in their order; 0: all."""
    of_class: dict[str, list[Clip]] = {}
    for clip in clips:
        of_class.setdefault(clip.label, []).append(clip)
    kept = {
        clip.path
        for of in of_class.values()
        for clip in (of if not count or len(of) <= count else [of[i * len(of) // count] for i in range(count)])
    }
    return [clip for clip in clips if clip.path in kept]


def _read_recordings(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"clip", "recording"} <= set(rows.fieldnames or ()):
                raise ClipError(path, f"columns {', '.join(rows.fieldnames or ())}", "expected clip and recording")
            return {row["clip"]: row["recording"] for row in rows if row["recording"]}
    except UnicodeDecodeError as error:
        raise ClipError(path, f"not UTF-8 ({error.reason})", "save it as CSV in UTF-8") from error


@dataclass(frozen=True)
class Split:
    """Which clips learn, which choose the best epoch, which test. No clip and no recording is on two sides."""

    training: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]

    def __post_init__(self) -> None:
        sides = {"training": self.training, "validation": self.validation, "test": self.test}
        for name, side in sides.items():
            if not side:
                raise ValueError(f"no clips for {name}: {', '.join(f'{k} {len(v)}' for k, v in sides.items())}")
        seen: dict[str, str] = {}
        for name, side in sides.items():
            for group in {_group(clip) for clip in side}:
                if group in seen:
                    raise ValueError(f"{group} is in {seen[group]} and in {name}; a split must keep them apart")
                seen[group] = name

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Those of all sides."""
        return (*self.training, *self.validation, *self.test)

    def without(self, paths: Collection[Path]) -> "Split":
        """The same, less the clips of these paths.

        Raises:
            ValueError: nothing is left of a side.
        """
        sides = (self.training, self.validation, self.test)
        return Split(*(tuple(clip for clip in side if clip.path not in paths) for side in sides))

    def to_dict(self, folder: Path) -> dict[str, list[dict[str, str | None]]]:
        """Clips with paths relative to `folder`, for JSON."""
        sides = {"training": self.training, "validation": self.validation, "test": self.test}
        return {
            name: [
                {"path": clip.path.relative_to(folder).as_posix(), "label": clip.label, "recording": clip.recording}
                for clip in side
            ]
            for name, side in sides.items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, list[dict[str, str | None]]], folder: Path) -> "Split":
        """What `to_dict` wrote, found again in `folder`.

        Raises:
            ClipError: a clip of the split is not there any more.
        """

        def found(entry: dict[str, str | None]) -> Clip:
            path = folder / str(entry["path"])
            if not path.exists():
                raise ClipError(path, "not found", "the split of the run names it; restore it, or train again")
            return Clip(path, str(entry["label"]), entry["recording"])

        return cls(*(tuple(map(found, values[side])) for side in ("training", "validation", "test")))


# By name, or what makes them from the clips that can be read.
Splits = Mapping[str, Split] | Callable[[Sequence[Clip]], Mapping[str, Split]]


def _group(clip: Clip) -> str:
    return f"recording {clip.recording}" if clip.recording is not None else str(clip.path)


def split_clips(clips: Sequence[Clip], seed: int = 0) -> Split:
    """A fifth for testing, a sixth of the rest for validation, stratified by class, recordings kept whole.

    Raises:
        ValueError: a class has fewer than 3 recordings (or clips): one to learn, one to choose, one to test.
    """
    return fold_clips(clips, min(5, max(3, _fewest(clips)[1])), seed)[0]


def fold_clips(clips: Sequence[Clip], folds: int, seed: int = 0) -> list[Split]:
    """`folds` splits whose test sides are disjoint and together all clips; recordings are kept whole.

    Raises:
        ValueError: fewer recordings (or clips of a class) than folds.
    """
    if folds < 2:
        raise ValueError(f"folds is {folds}, expected at least 2")
    return [_with_validation(clips, test, seed) for test in _folds(clips, folds, seed)]


def make_splits(clips: Sequence[Clip], folds: int = 0, leave_out: bool = False) -> dict[str, Split]:
    """Splits by names that can be names of folders: one, `folds`, or one for each recording."""
    if leave_out:
        names: dict[str, Split] = {}
        for recording, split in leave_one_out(clips).items():
            # A recording's name may hold anything, also a path.
            name = re.sub(r"[^\w-]+", "_", f"without-{recording}")
            names[name if name not in names else f"{name}-{len(names)}"] = split
        return names
    if folds:
        return {f"fold{i}": split for i, split in enumerate(fold_clips(clips, folds))}
    return {"split": split_clips(clips)}


def leave_one_out(clips: Sequence[Clip], seed: int = 0) -> dict[str, Split]:
    """For each recording the split that tests on it and learns from all others.

    Raises:
        ValueError: the clips carry no recordings.
    """
    recordings = sorted({clip.recording for clip in clips if clip.recording is not None}, key=_natural)
    if len(recordings) < 3 or any(clip.recording is None for clip in clips):
        raise ValueError(
            f"{len(recordings)} recordings are known; leaving one out needs {RECORDINGS} (columns clip, recording) "
            "beside the classes, with at least 3"
        )
    return {
        name: _with_validation(clips, np.array([i for i, clip in enumerate(clips) if clip.recording == name]), seed)
        for name in recordings
    }


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (10**9, name)


def _folds(clips: Sequence[Clip], folds: int, seed: int) -> list[Any]:
    # sklearn takes a second to import, and only splitting needs it.
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = [clip.label for clip in clips], [_group(clip) for clip in clips]
    label, fewest = _fewest(clips)
    if fewest < folds:
        unit = "recordings" if any(clip.recording is not None for clip in clips) else "clips"
        raise ValueError(
            f"class {label} has {fewest} {unit}, {folds} parts need at least {folds}; add some, or ask for fewer parts"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [test for _, test in splitter.split(labels, labels, groups)]


def _fewest(clips: Sequence[Clip]) -> tuple[str, int]:
    """The class with the fewest recordings (or clips, where none are known), and how many it has."""
    counts = Counter(label for label, _ in {(clip.label, _group(clip)) for clip in clips})
    return min(counts.items(), key=lambda item: (item[1], item[0]))


def _with_validation(clips: Sequence[Clip], test: Any, seed: int) -> Split:
    tested = set(test.tolist())
    rest = [clip for i, clip in enumerate(clips) if i not in tested]
    classes = {clip.label for clip in clips}
    for part in _folds(rest, min(6, max(2, _fewest(rest)[1])), seed):
        validation = set(part.tolist())
        training = tuple(clip for i, clip in enumerate(rest) if i not in validation)
        # All recordings of a class can fall into one part; then another one validates.
        if {clip.label for clip in training} == classes:
            chosen = tuple(clip for i, clip in enumerate(rest) if i in validation)
            return Split(training, chosen, tuple(clips[i] for i in sorted(tested)))
    raise ValueError(
        "recordings cannot be parted so that every class has clips to learn from; add some, or ask for other parts"
    )

"""Splits: clips for training, validation (which chooses the best epoch) and test; recordings are
never divided.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from onlooker.base.config import SetConfig
from onlooker.base.files import check_regular
from onlooker.base.intervals import file_of, split_interval
from onlooker.base.records import Clip, ClipError, InputError, Recording, clip_name
from onlooker.base.settings import field_of
from onlooker.video.container import accessing
from onlooker.video.image_sequence import find_images

__all__ = ["Split", "group_of", "make_splits", "split_clips"]

_MAX_PATHS = 5  # in an error
_ENDS = 1 << 20  # bytes at each end of a file that a fingerprint counts
_RESTORE = "the run was trained with it; give the folder that the clips were moved to, restore it, or train another run"

SPLITS = ("training", "validation", "test")
MIN_RECORDINGS = 3  # of a class: one for each
FEW_CLIPS = 300  # a test split of a fifth of fewer clips would be too small

# of a divided recording
PART = "#part="
_PARTS = 5
# prefixes of the names of recordings that were found by scenes and copies, not given
SCENE = "scene of "
COPIES = "copies of "

_NAME_ALL = "give clips to each split, or let onlooker divide them"
SplitDict = dict[str, list[dict[str, str | None]]]


@dataclass(frozen=True)
class Split:
    """Training, validation and test clips. No clip and no recording is in two of them.

    `test` may be empty: a model that is trained on all clips (`hold_out_validation`) has none left
    to test it.

    Raises:
        InputError: no training or validation clips, or a clip or recording in two splits.
    """

    training: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]

    def __post_init__(self) -> None:
        split_of: dict[str, str] = {}
        for name, clips in vars(self).items():
            if not clips and name != "test":
                raise InputError(f"no clips for {name}: {self._counts()}", _NAME_ALL)
            for group in {group_of(clip) for clip in clips}:
                if group in split_of:
                    problem = f"{group} is in {split_of[group]} and in {name}"
                    raise InputError(problem, "splits must not share it")
                split_of[group] = name

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All clips: training, validation, test."""
        return (*self.training, *self.validation, *self.test)

    def without(self, paths: Collection[Path]) -> "Split":
        """The same split without the clips at `paths`; an InputError if a part of it has no clips
        left.
        """
        left = Split(
            *(
                tuple(clip for clip in clips if clip.path not in paths)
                for clips in vars(self).values()
            )
        )
        if self.test and not left.test:
            raise InputError(f"no clips for test: {left._counts()}", _NAME_ALL)
        return left

    def to_dict(self, folder: Path, fingerprints: bool = False) -> SplitDict:
        """Values for JSON: by split, each clip's path (relative to `folder` if it is inside), label
        and recording.

        With `fingerprints`, also the fingerprint of each clip's content, which reads every clip.
        """

        def entry(clip: Clip) -> dict[str, str | None]:
            content = {"fingerprint": fingerprint(clip.path)} if fingerprints else {}
            more = {"tier": clip.tier} if clip.tier else {}
            if clip.source:
                more["source"] = clip_name(clip.source, folder)
            return {
                "path": clip_name(clip.path, folder),
                "label": clip.label,
                "recording": clip.recording,
                **more,
                **content,
            }

        return {name: [entry(clip) for clip in clips] for name, clips in vars(self).items()}

    @classmethod
    def from_dict(cls, values: SplitDict, folder: Path) -> "Split":
        """The inverse of `to_dict`, with the clips in `folder`. They need not exist: see
        `require_clips`.
        """

        def clip(entry: dict[str, Any]) -> Clip:
            path = folder / field_of(entry, "path", str)
            recording = field_of(entry, "recording", str | None)
            usual = {"tier": "", "source": "", **entry}
            source = field_of(usual, "source", str)
            return Clip(
                path,
                field_of(entry, "label", str),
                recording,
                root=folder,
                tier=field_of(usual, "tier", str),
                source=folder / source if source else None,
            )

        return cls(
            *(tuple(map(clip, field_of(values, name, list[dict[str, Any]]))) for name in SPLITS)
        )

    def _counts(self) -> str:
        return ", ".join(f"{name} {len(clips)}" for name, clips in vars(self).items())


# Splits by name, or a function that makes them from the clips that can be read.
Splits = Mapping[str, Split] | Callable[[Sequence[Clip]], Mapping[str, Split]]


def require_clips(clips: Iterable[Clip]) -> None:
    """Raise a ClipError if clips of a stored split do not exist."""
    if missing := [clip.path for clip in clips if not os.path.exists(file_of(clip.path))]:
        more = ", ".join(map(str, missing[1:_MAX_PATHS]))
        if len(missing) > _MAX_PATHS:
            more += ", …"
        problem = (
            f"not found, like {len(missing) - 1} more ({more})" if missing[1:] else "not found"
        )
        raise ClipError(missing[0], problem, _RESTORE)


def fingerprint(path: Path) -> str:
    """A hash of a clip's content, the images of a sequence in order: 32 hexadecimal digits. Names
    do not count.

    The hash covers the size of each file, and its first and last mebibyte. A part of a recording
    has the hash of the recording, followed by `#` and the times.

    Raises:
        ClipError: the clip does not exist, or cannot be read.
    """
    digest = hashlib.sha256()
    (whole, times) = split_interval(path)
    with accessing(path, "restore it, or leave it out"):
        for file in find_images(whole) if os.path.isdir(whole) else [whole]:
            check_regular(file)
            with file.open("rb") as content:
                size = os.fstat(content.fileno()).st_size
                digest.update(size.to_bytes(8, "little") + content.read(_ENDS))
                content.seek(max(content.tell(), size - _ENDS))
                digest.update(content.read(_ENDS))
    return digest.hexdigest()[:32] + ("" if times is None else f"#{times}")


def copies_of(values: SplitDict, clips: Sequence[Clip]) -> list[Clip]:
    """The clips with the content of a stored training or validation clip, or of its recording.

    `values` is what `Split.to_dict` returned with `fingerprints`; without them nothing is found.
    """
    stored = {
        str(entry.get("fingerprint", "")).partition("#")[0]
        for name in SPLITS[:2]
        for entry in values[name]
    }
    if not stored - {""}:
        return []
    content = dict[Path, str]()
    for file in {file_of(clip.path) for clip in clips}:
        with suppress(ClipError):  # reported when the clip is read
            content[file] = fingerprint(file)
    return [clip for clip in clips if content.get(file_of(clip.path)) in stored - {""}]


def make_splits(clips: Sequence[Clip], folds: int | None = 0) -> dict[str, Split]:
    """Splits by name: one (`split_clips`), or `folds` (`fold_clips`); None: five folds, or as many
    as the clips allow.
    """
    if folds == 0:
        return {"split": split_clips(clips)}
    splits = fold_clips(clips, folds or _usual_folds(clips))
    return {f"fold{i}": split for i, split in enumerate(splits)}


def split_clips(clips: Sequence[Clip], seed: int = 0) -> Split:
    """A fifth of the clips for test, a sixth of the rest for validation, stratified by class,
    recordings kept whole.

    Raises:
        InputError: a class has fewer than 3 recordings (clips, if no recordings are known).
    """
    return fold_clips(clips, _usual_folds(clips), seed)[0]


def require_divisible(clips: Sequence[Clip], *, has_test: bool) -> int:
    """The number of recordings (clips, if no recordings are known) of the class with the fewest; an
    InputError if they are too few for training, validation and, unless all clips are tested by
    cross-validation, test.
    """
    splits = "training, validation and test" if has_test else "training and validation"
    fewest = MIN_RECORDINGS if has_test else 2
    expected = f"{splits} need at least {fewest}; add some, or leave the class out"
    return _require(clips, fewest, expected)


def _usual_folds(clips: Sequence[Clip]) -> int:
    return min(5, require_divisible(clips, has_test=True))


def fold_clips(clips: Sequence[Clip], folds: int, seed: int = 0) -> list[Split]:
    """`folds` splits whose test clips are disjoint and together all clips; recordings are kept
    whole.
    """
    if folds < 2:
        raise ValueError(f"folds is {folds}, expected at least 2")
    _require(clips, folds, f"{folds} folds need at least {folds}; add some, or use fewer folds")
    return [
        hold_out_validation(training, test, seed) for training, test in _folds(clips, folds, seed)
    ]


def hold_out_validation(
    training: Sequence[Clip], test: Sequence[Clip] = (), seed: int = 0
) -> Split:
    """A split into training and test, with a sixth of the training clips for validation; recordings
    are whole.

    `test` is empty for the final model after cross-validation.

    Raises:
        InputError: the training clips of a class have fewer than 2 recordings, or all of them are
            in one fold.
    """
    besides = " besides the test clips" if test else ""
    expected = f"training and validation need at least 2{besides}; add some, or leave the class out"
    fewest = _require(training, 2, expected)
    classes = {clip.label for clip in (*training, *test)}
    for rest, validation in _folds(training, min(6, fewest), seed):
        # All recordings of a class can be in one fold; then another fold is used for validation.
        if {clip.label for clip in rest} == classes:
            return Split(tuple(rest), tuple(validation), tuple(test))
    raise InputError(
        "recordings cannot be divided so that every class has training clips",
        "add some, or use another number of folds",
    )


def group_of(clip: Clip) -> str:
    """The name of the unit that a split keeps together: the clip's recording, or its file if the
    recording is not known.
    """
    return f"recording {clip.recording}" if clip.recording is not None else str(file_of(clip.path))


def source_of(clip: Clip) -> str:
    """The name of the unit of statistics: as `group_of`, but all parts of a divided recording are
    one unit, whose name ends with `PART` (`divide_recordings`).
    """
    recording, part, _ = group_of(clip).partition(PART)
    return recording + part if clip.recording else group_of(clip)


def divide_recordings(clips: Sequence[Clip]) -> list[Clip]:
    """The same clips; if a class has a single recording, this is divided by time, so that splits
    can divide it.

    The clips of each class are divided into five parts (or one part per clip, if there are fewer).
    Parts count as recordings in splits, but not in statistics: a test says nothing about other
    recordings. Clips are ordered by the numbers in their names: in intervals, and in files cut from
    a recording, these are times.
    """
    counts, _ = count_groups(clips)
    divided = {clip.recording for clip in clips if counts[clip.label] == 1 and clip.recording}
    clips_of = defaultdict(list)
    for clip in clips:
        if clip.recording in divided:
            clips_of[clip.recording, clip.label].append(clip)
    part_of: dict[Clip, str] = {}
    for (recording, _), class_clips in clips_of.items():
        class_clips.sort(
            key=lambda clip: [
                float(number) for number in re.findall(r"\d+(?:\.\d+)?", clip.path.name)
            ]
        )
        parts = min(_PARTS, len(class_clips))
        part_of |= {
            clip: f"{recording}{PART}{i * parts // len(class_clips) + 1}"
            for i, clip in enumerate(class_clips)
        }
    return [replace(clip, recording=part_of[clip]) if clip in part_of else clip for clip in clips]


def shows_scenes(clips: Sequence[Clip]) -> bool:
    """Whether some of the clips are joined because they show one scene (`scenes.plan_joined`)."""
    return any(clip.recording is not None and clip.recording.startswith(SCENE) for clip in clips)


def count_groups(clips: Sequence[Clip]) -> tuple[Counter[str], str]:
    """The units that splits divide, counted by class, and their name: recording; scene, or clip, if
    none is given.
    """
    counts = Counter(label for label, _ in {(clip.label, group_of(clip)) for clip in clips})
    recordings = [clip.recording for clip in clips if clip.recording is not None]
    if all(recording.startswith(COPIES) for recording in recordings):
        return counts, "clip"
    return counts, "scene" if all(
        recording.startswith((SCENE, COPIES)) for recording in recordings
    ) else "recording"


def _require(clips: Sequence[Clip], minimum: int, expected: str) -> int:
    """The number of recordings (or clips) of the class with the fewest; an InputError if it is
    below `minimum`.
    """
    counts, unit = count_groups(clips)
    label, count = min(counts.items(), key=lambda item: (item[1], item[0]))
    if count < minimum:
        if (
            unit == "recording"
            and count == 1
            and sum(clip.label == label for clip in clips) >= minimum
        ):
            expected += "; or divide recordings by time (--divide)"
        raise InputError(f"class {label} has {count} {unit}{'' if count == 1 else 's'}", expected)
    return count


def _folds(clips: Sequence[Clip], folds: int, seed: int) -> list[tuple[list[Clip], list[Clip]]]:
    """The clips outside of each fold, and the clips in it."""
    # scikit-learn takes a second to import, and only splitting needs it.
    from sklearn.model_selection import StratifiedGroupKFold

    labels = [clip.label for clip in clips]
    groups = [group_of(clip) for clip in clips]
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = splitter.split(labels, labels, groups)
    return [([clips[i] for i in outside], [clips[i] for i in inside]) for outside, inside in parts]


class Overlaps(NamedTuple):
    """Intervals with different labels that share a part of a file.

    Args:
        text: the first two of them, with a whole file if there is one, and how many others there are.
        has_whole: whether one of them is a whole file.
    """

    text: str
    has_whole: bool

    def error(self, path: Path) -> ClipError:
        """The error for a list in which they are not possible."""
        remedy = "correct the times, or give both the same label; or fit states, which may overlap: --when states"
        if self.has_whole:
            remedy = "remove the row of the whole file, or give it a start and an end"
        return ClipError(path, self.text, remedy)


@dataclass(frozen=True)
class ClipSet:
    """The clips of a folder or a list.

    Args:
        parts: clips by split (training, validation, test); all under "" if no splits are given; of
            a list one for each label of the recordings, in the order of the list.
        left_out: an error for each clip that is listed or linked but does not exist.
        notes: what a user should know about how the clips were found, a sentence each.
        recordings: of a list, one for each file (`resolved`), with its unknown time and the second
            scorer; of a run, only recordings with unknown time.
        overlaps: of clips of a list with different labels.
        requested: the settings of the set: which classes and intervals.
    """

    path: Path
    parts: Mapping[str, Sequence[Clip]]
    left_out: Sequence[ClipError] = ()
    notes: Sequence[str] = ()
    requested: SetConfig = field(default_factory=SetConfig)
    recordings: Sequence[Recording] = ()
    overlaps: Overlaps | None = None

    def require_apart(self, *, finds_states: bool = False) -> None:
        """Raise a ClipError if clips with different labels overlap; states may, unless one of them
        is a whole file, or events were asked for.

        Args:
            finds_states: whether the model finds states.
        """
        may_be_states = finds_states and self.requested.when != "events"
        if self.overlaps and not (may_be_states and not self.overlaps.has_whole):
            raise self.overlaps.error(self.path)

    def with_recordings(self, clips: Iterable[Clip]) -> "ClipSet":
        """The same set with the recordings of these clips."""
        by_path = {clip.path: clip.recording for clip in clips}
        parts = {
            name: [replace(clip, recording=by_path.get(clip.path, clip.recording)) for clip in part]
            for name, part in self.parts.items()
        }
        return replace(self, parts=parts)

    @property
    def clips(self) -> tuple[Clip, ...]:
        return tuple(clip for part in self.parts.values() for clip in part)

    @property
    def test(self) -> tuple[Clip, ...]:
        """The clips of the given test split (validation, if there is none); all clips if no splits
        are given.
        """
        return tuple(self.parts.get("test") or self.parts.get("validation") or self.clips)

    def require_classes(self, classes: Collection[str]) -> None:
        """Raise a ClipError if a clip of `test` has another class."""
        if unknown := sorted({clip.label for clip in self.test} - {*classes}):
            remedy = f"the model knows {', '.join(classes)}"
            raise ClipError(self.path, f"classes {', '.join(unknown)}", remedy)

    @property
    def split(self) -> Split | None:
        """The given split; None if none is given.

        Without a validation split, a sixth of the training clips is used for it, the same in every
        run, so that runs can be combined. Without a test split, the validation split is the test
        split, as in Kinetics and ImageNet.

        Raises:
            ClipError: no training or test clips, or a class without training clips.
        """
        if "" in self.parts:
            return None
        training = self.parts.get("training", ())
        if not training or len(self.parts) < 2 or not all(self.parts.values()):
            counts = ", ".join(f"{name} {len(part)}" for name, part in self.parts.items())
            raise ClipError(
                self.path,
                f"splits are {counts}",
                "expected training and test, or training and validation",
            )
        if unknown := sorted(
            {clip.label for clip in self.clips} - {clip.label for clip in training}
        ):
            raise ClipError(
                self.path,
                f"no training clips of class {unknown[0]}",
                "add some, or leave the class out",
            )
        if len(self.parts) == 2:
            return hold_out_validation(training, self.test)
        return Split(tuple(training), tuple(self.parts["validation"]), tuple(self.parts["test"]))

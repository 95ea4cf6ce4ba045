"""Clips and their splits, from a folder or a list."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from onlooker.base.answer import NOTHING, nothing_class, perhaps_nothing
from onlooker.base.config import SetConfig
from onlooker.base.records import Clip, ClipError, Recording
from onlooker.base.text import composed
from onlooker.data.folder import read_folder
from onlooker.data.lists import (
    Overlaps,
    check_classes,
    fill_gaps,
    read_list,
)
from onlooker.data.split import (
    MIN_RECORDINGS,
    Split,
    Splits,
    count_groups,
    divide_recordings,
    hold_out_validation,
    make_splits,
)
from onlooker.video.reader import is_video

__all__ = ["ClipSet", "read_set"]


@dataclass(frozen=True)
class ClipSet:
    """The clips of a folder or a list.

    Args:
        parts: clips by split (training, validation, test); all under "" if no splits are given.
        left_out: an error for each clip that is listed or linked but does not exist.
        notes: what a user should know about how the clips were found, a sentence each.
        recordings: of a list, all, with unknown time and the labels of a second scorer; of a run,
            only recordings with unknown time.
        overlaps: of clips of a list with different labels.
        asked: the settings of the set: which classes and intervals.
    """

    path: Path
    parts: Mapping[str, Sequence[Clip]]
    left_out: tuple[ClipError, ...] = ()
    notes: Sequence[str] = ()
    asked: SetConfig = field(default_factory=SetConfig)
    recordings: Sequence[Recording] = ()
    overlaps: Overlaps | None = None

    def require_apart(self, *, finds_states: bool = False) -> None:
        """Raise a ClipError if clips with different labels overlap; states may, unless one of them
        is a whole file, or events were asked for.

        Args:
            finds_states: whether the model finds states.
        """
        may_be_states = finds_states and self.asked.when != "events"
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


def read_set(
    path: Path, *, asked: SetConfig | None = None, classes: int = 2, fills: bool = False
) -> ClipSet:
    """The clips at `path`.

    Args:
        path: a folder with one sub-folder per class; one with `train/`, `test/` and optionally
            `val/`, each with one sub-folder per class; or a CSV list (`lists.read_list`).
        asked: the settings of the set: which classes and intervals.
        classes: the smallest number of classes in a folder.
        fills: whether the gaps between the times of a list become examples of nothing, unless
            `asked` says otherwise, or there are gaps in fewer recordings than splits need.

    Raises:
        ClipError: no clips there.
        ValueError: no such class.
    """
    asked = asked or SetConfig()
    if path.is_file() and is_video(path):
        raise ClipError(
            path,
            "one video",
            "give a folder with one sub-folder per class, or a list of clips (CSV)",
        )
    recordings = list[Recording]()
    overlaps = None
    if path.is_file():
        parts, left_out, notes, recordings, overlaps = read_list(path, asked)
    elif asked.subject or asked.tier:
        option = "--subject" if asked.subject else "--tier"
        raise ClipError(path, "a folder", f"leave out {option}, which is for lists")
    else:
        parts, left_out, notes = read_folder(path, classes)
    if fills and asked.fill is None and path.is_file():
        labels = sorted({clip.label for part in parts.values() for clip in part})
        if nothing_class(labels) is None and not perhaps_nothing(labels):
            filled = {name: [*part] for name, part in parts.items()}
            if fill_gaps(filled, NOTHING, recordings) and _can_be_divided(filled, NOTHING):
                parts = filled
                asked = replace(asked, fill=NOTHING)
    elif asked.fill and not fill_gaps(parts, asked.fill, recordings):
        remedy = "give a list with the columns start and end, or leave out --fill"
        raise ClipError(path, f"no time between intervals for class {asked.fill}", remedy)
    if asked.divide and "" in parts:
        parts[""] = divide_recordings(parts[""])
    if asked.class_names:
        all_labels = sorted({clip.label for part in parts.values() for clip in part})
        class_names = check_classes(asked.class_names, all_labels, str(path))
        class_names += (composed(asked.fill or ""),)
        parts = {
            name: [clip for clip in part if clip.label in class_names]
            for name, part in parts.items()
        }
    return ClipSet(
        path,
        parts,
        tuple(left_out),
        notes=notes,
        asked=asked,
        recordings=recordings,
        overlaps=overlaps,
    )


def _can_be_divided(parts: Mapping[str, Sequence[Clip]], label: str) -> bool:
    """Whether a class is in as many recordings as splits need, or in as many as another class."""
    counts, _ = count_groups(parts.get("", parts.get("training", [])))
    other_counts = [count for other, count in counts.items() if other != label]
    return counts[label] >= min([MIN_RECORDINGS, *other_counts])


def set_name(path: Path) -> str:
    """The name of a folder or list, without suffix."""
    return path.resolve().stem if path.is_file() else path.resolve().name


def root_of(path: Path) -> Path:
    """The folder that paths of clips are relative to: `path` itself, or the folder of a list."""
    return path.parent if path.is_file() else path


def asked_splits(clips: ClipSet, folds: int | None = 0) -> Splits:
    """The given split, or a function that makes splits of the clips that can be read
    (`make_splits`).

    Raises:
        ValueError: `folds` where splits are given.
        ClipError: as `ClipSet.split`.
    """
    if (split := clips.split) is None:
        return partial(make_splits, folds=folds)
    if folds:
        raise ValueError(f"{clips.path} has splits; leave out --folds")
    return {"split": split}

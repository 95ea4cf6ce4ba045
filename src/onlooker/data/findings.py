"""Problems of clips that are found before training, and what to do about them: from labels alone,
and from a few frames.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.base.config import DataConfig
from onlooker.base.intervals import file_of
from onlooker.base.records import Clip, ClipError
from onlooker.data.samples import read_at
from onlooker.data.scenes import (
    MAX_COMPARED,
    SHARED,
    STILL,
    copies,
    scene_images,
    scenes,
    thumbnails,
)
from onlooker.data.split import SPLITS, Split, count_groups, group_of, source_of
from onlooker.video.rates import RATE_REMEDY
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced

FEW = 5  # clips of a class; with fewer, the test split (a fifth) has one clip of it or none
IMBALANCE = (
    5  # ratio of the largest class to the smallest; above it, the largest may be most of the set
)
# a property of files must beat the majority-class baseline by this much, and by three standard
# errors
_TELLS = 0.1
_DARK = 50.0  # gray levels: of the brightest places; drawings on black are brighter
_LONG = 4  # times the median length
_MAX_CLASSES = 5  # in a sentence
_REASONS = 3  # why clips cannot be read, the most frequent ones


@dataclass(frozen=True)
class Finding:
    """A problem of the clips that a user should know before training.

    Args:
        clips: the affected clips, the most important first, each with the clips that resemble it.
        counts: the number of clips or recordings of each affected class; empty for other findings.
    """

    name: str
    found: str
    why: str
    remedy: str
    clips: tuple[tuple[Path, ...], ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """Properties of a clip, and 8 equally spaced frames of it.

    Args:
        frames, rate: number of frames in the whole clip, and frames per second (0: a single frame,
            or unknown).
        thumbnails: `8 16 16` (`scenes.thumbnails`).
        seconds: until the last frame ends; 0: unknown.
    """

    frames: int
    rate: float
    size: tuple[int, int]
    thumbnails: NDArray[np.uint8]
    seconds: float

    @property
    def brightness(self) -> float:
        """The gray level, 0 to 255, that 1 % of the thumbnails' cells exceed."""
        return float(np.percentile(self.thumbnails, 99))

    @property
    def change(self) -> float:
        """The largest difference in gray levels, over time, of a cell of the thumbnails."""
        return float(np.ptp(self.thumbnails, axis=0).max())


def read_facts(path: Path) -> ClipFacts:
    """Decode what models receive of a clip by default; a ClipError if it cannot be read."""
    reader = VideoReader(path)
    sample = read_at(reader, DataConfig(), partial(equally_spaced, count=DataConfig.frames))
    times = reader.times
    span = float(times[-1] - times[0])
    rate = (len(times) - 1) / span if span > 0 and not reader.timing.assumes_rate else 0.0
    seconds = 0.0 if reader.timing.assumes_rate else reader.seconds
    return ClipFacts(
        len(times), rate, reader.size, thumbnails=thumbnails(sample.pixels), seconds=seconds
    )


def label_findings(clips: Sequence[Clip]) -> Iterator[Finding]:
    """Findings from labels and recordings, without decoding; the most important first."""
    total = Counter(clip.label for clip in clips)
    groups, unit = count_groups(clips)
    sources = Counter(label for label, _ in {(clip.label, source_of(clip)) for clip in clips})
    few = {
        label: count
        for label, count in groups.items()
        if count < FEW and not sources[label] == 1 < count  # parts of one recording: see below
    }
    if few:
        yield Finding(
            "few clips",
            f"{len(few)} of {len(total)} classes have fewer than {FEW} {unit}s: {_counts(few)}",
            f"with so few, one {unit} decides the accuracy of a class; fewer than 2 cannot be both trained and tested",
            remedy=f"add {unit}s, or leave the class out (--classes)",
            counts=few,
        )
    large, most = total.most_common()[0]
    small, fewest = total.most_common()[-1]
    if most > IMBALANCE * fewest:
        yield Finding(
            "imbalance",
            f"class {large} has {most} clips, {small} {fewest}",
            "a model that always predicts the largest class has a high accuracy",
            remedy="add clips of the small classes, or train with --class-weights balanced",
        )
    for _, alike in groupby(sorted(sorted(total), key=_spoken), _spoken):
        labels = [*alike]
        if len(labels) > 1:
            yield Finding(
                "similar names",
                f"classes whose names differ only in case or spaces: {' and '.join(map(repr, labels))}",
                "the model is taught to tell them apart",
                remedy="if they are one class, give them one name",
            )
    single = {label: count for label, count in total.items() if sources[label] == 1 and count > 1}
    if single and unit == "recording":
        yield Finding(
            "one recording",
            f"all clips of a class are of one recording: {_counts(single)}",
            "to know the recording is to know the class, and a test says nothing about other recordings",
            remedy="add other recordings of these classes; until then, use --divide",
            counts=single,
        )


def fact_findings(
    clips: Sequence[Clip],
    facts: Sequence[ClipFacts],
    split: Split | None,
    *,
    filled: str = "",
    are_bouts: bool = False,
) -> Iterator[Finding]:
    """Findings from a few frames of each clip; the most important first. More than `MAX_COMPARED`
    clips are not searched for copies and scenes.

    Args:
        filled: the class of gaps between intervals (`fill_gaps`), in which little may happen.
        are_bouts: whether the clips are bouts of states, which may be still, of any length, and at
            the same time.
    """
    if not facts:
        return
    if unknown := [
        (clip.path,)
        for clip, fact in zip(clips, facts, strict=True)
        if fact.frames > 1 and not fact.rate
    ]:
        yield Finding(
            "frame rate",
            f"the frame rate of {len(unknown)} of {len(clips)} clips is unknown: image sequences and raw video do not "
            "say it, or say what is not possible",
            "25 frames per second are assumed, and the speed of live video is not that of the training",
            remedy=RATE_REMEDY,
            clips=tuple(unknown),
        )
    if len(clips) <= MAX_COMPARED:
        images = np.stack([clip.thumbnails for clip in facts])
        copied = _members(copies(images))
        if are_bouts:  # bouts of one recording may overlap
            copied = [group for group in copied if len({file_of(clips[i].path) for i in group}) > 1]
        yield from _copy_findings(clips, copied)
        yield from _scene_findings(clips, _members(scenes(scene_images(images))), split)
    yield from _property_findings(clips, facts, are_bouts=are_bouts)
    yield from _quality_findings(
        [pair for pair in zip(clips, facts, strict=True) if pair[0].label != filled],
        are_bouts=are_bouts,
    )


def _copy_findings(clips: Sequence[Clip], copied: Sequence[list[int]]) -> Iterator[Finding]:
    """Clips that are copies of each other, those in different classes first."""
    if both := [group for group in copied if len({clips[i].label for i in group}) > 1]:
        yield Finding(
            "two labels",
            f"clips that show the same frames in different classes: {sum(map(len, both))}",
            "all labels but one are wrong, and the model is taught each",
            remedy="remove the wrong ones",
            clips=_paths(clips, both),
        )
    if copied:
        yield Finding(
            "copies",
            f"{sum(map(len, copied))} clips are copies of another clip",
            "a model that was trained on one knows the other; splits keep their recordings together",
            remedy="remove all but one of each",
            clips=_paths(clips, copied),
        )


def _scene_findings(
    clips: Sequence[Clip], scenes: Sequence[list[int]], split: Split | None
) -> Iterator[Finding]:
    """Scenes that several recordings show; those in several splits come first."""
    shared = [scene for scene in scenes if len({source_of(clips[i]) for i in scene}) > 1]
    shared = [scene for scene in shared if len(scene) <= max(2, SHARED * len(clips))]
    if not shared:
        return
    split_of = {clip: name for name in SPLITS for clip in getattr(split, name)} if split else {}
    shared.sort(key=lambda scene: len({split_of.get(clips[i]) for i in scene}) == 1)
    # parts of one recording show one scene: the first one stands for it
    firsts = [[*{source_of(clips[i]): i for i in reversed(scene)}.values()] for scene in shared]
    apart = [sorted(scene) for scene in firsts]
    unit = "clip" if apart == shared else "recording"
    tested = [split_of.get(clips[i]) for scene in shared for i in scene].count("test")
    of_them = "of them" if unit == "clip" else "of their clips"
    yield Finding(
        "same scene",
        f"{sum(map(len, apart))} {unit}s show nearly the same image as another {unit}"
        + (f"; {tested} {of_them} are test clips" if split and split.test else ""),
        "a model can recognize the scene instead of the action, and a test with such twins does not show it",
        remedy=(
            f"give {unit}s that belong together one name in the column recording (of the list, or of "
            "recordings.csv), or put them into one split"
        ),
        clips=_paths(clips, apart),
    )


def _members(groups: NDArray[np.int64]) -> list[list[int]]:
    """The positions in each group of more than one, in order."""
    numbers, sizes = np.unique(groups, return_counts=True)
    return [np.flatnonzero(groups == group).tolist() for group in numbers[sizes > 1]]


def _paths(clips: Sequence[Clip], groups: Sequence[list[int]]) -> tuple[tuple[Path, ...], ...]:
    return tuple(tuple(clips[i].path for i in group) for group in groups)


def _property_findings(
    clips: Sequence[Clip], facts: Sequence[ClipFacts], *, are_bouts: bool
) -> Iterator[Finding]:
    """Properties of the files that predict the class of clips of other recordings; of bouts, without
    their lengths, which the model uses.
    """
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    total = Counter(clip.label for clip in clips)
    groups = [group_of(clip) for clip in clips]
    parts = min(5, len(set(groups)))
    if len(total) < 2 or parts < 2:
        return
    names = ["height in pixels", "aspect ratio", "frame rate"]
    if not are_bouts:
        names += ["number of frames", "duration in seconds"]
    rows = [
        (clip.size[0], clip.size[1] / clip.size[0], clip.rate, clip.frames, clip.seconds)
        for clip in facts
    ]
    labels = np.array([clip.label for clip in clips])
    majority = total.most_common(1)[0][1] / len(clips)
    minimum = majority + max(_TELLS, 3 * (majority * (1 - majority) / len(clips)) ** 0.5)
    columns = np.array(rows).T.round(1)[: len(names)]
    for name, values in zip(names, columns, strict=True):
        tree = DecisionTreeClassifier(max_leaf_nodes=8, random_state=0)
        share = cross_val_score(
            tree, values[:, None], labels, groups=groups, cv=GroupKFold(parts)
        ).mean()
        if share > minimum:
            medians = ", ".join(
                f"{label} {np.median(values[labels == label]):.4g}"
                for label in sorted(total)[:_MAX_CLASSES]
            )
            yield Finding(
                "telling files",
                f"the {name} alone tells the class of {100 * share:.0f} % of the clips (medians: {medians}); always "
                f"predicting the largest class: {100 * majority:.0f} %",
                "a model can learn how clips were made instead of what they show, and fails on clips made otherwise",
                remedy="record, cut and convert the clips of all classes alike",
            )
            return


def _quality_findings(
    clips: Sequence[tuple[Clip, ClipFacts]], *, are_bouts: bool
) -> Iterator[Finding]:
    """Clips that are too short or long, still or dark, the worst first; of bouts, the dark ones."""
    wanted = DataConfig.frames
    look = "look at them; remove those in which you cannot tell the class yourself"
    repeated = "a model sees that many by default, and the last frame is repeated"
    short = [(fact.frames, clip.path) for clip, fact in clips if fact.frames < wanted]
    still = [
        (fact.change, clip.path) for clip, fact in clips if fact.frames > 1 and fact.change < STILL
    ]
    dark = [(fact.brightness, clip.path) for clip, fact in clips if fact.brightness < _DARK]
    lengths = [fact.seconds for _, fact in clips if fact.seconds]
    longest = max(lengths, default=0)
    usual = float(np.median(lengths)) if lengths else 0
    long = [(-fact.seconds, clip.path) for clip, fact in clips if fact.seconds > _LONG * usual]
    frames = int(np.quantile([fact.frames for _, fact in clips] or [wanted], 0.1))
    many = (
        f"whatever lasts up to {longest:.3g} s will have one answer, and its events are not found"
    )
    cut = "cut them, or give their parts in a list (columns start and end)"
    fewer = "remove them, or record longer ones"
    if frames < wanted:
        fewer = f"use --frames {frames}, or remove the shortest"
    for name, measured, problem, why, remedy in (
        ("short", short, f"fewer than {wanted} frames", repeated, fewer),
        ("long", long, f"more than {_LONG} times as long as half of the clips", many, cut),
        ("still", still, "nothing moves", "an action is a change over time", look),
        ("dark", dark, "dark even in the brightest places", "little can be seen", look),
    ):
        if measured and (name == "dark" or not are_bouts):
            worst_first = sorted(measured, key=lambda pair: pair[0])
            # more than half of the clips are the rule, and not listed
            shown = worst_first if 2 * len(measured) <= len(clips) else []
            paths = tuple((path,) for _, path in shown)
            yield Finding(
                name,
                f"{len(measured)} of {len(clips)} clips: {problem}",
                why,
                remedy=remedy,
                clips=paths,
            )


def unreadable_findings(
    clips: Sequence[Clip], errors: Mapping[Path, ClipError], missing: Sequence[ClipError] = ()
) -> Iterator[Finding]:
    """Listed clips that do not exist, clips that cannot be read, and classes without a clip that can
    be read.
    """
    if missing:
        yield Finding(
            "missing",
            f"{len(missing)} of {len(clips) + len(missing)} clips do not exist",
            f"they are left out; the first: {missing[0].found}",
            remedy=missing[0].remedy,
            clips=tuple((error.path,) for error in missing),
        )
    if errors:
        lost = {clip.label for clip in clips} - {
            clip.label for clip in clips if clip.path not in errors
        }
        reasons = Counter(error.found for error in errors.values()).most_common(_REASONS)
        why = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        remedies = dict.fromkeys(error.remedy for error in errors.values())
        yield Finding(
            "unreadable",
            f"{len(errors)} of {len(clips)} clips cannot be read"
            + (f", among them all of class {', '.join(sorted(lost))}" if lost else ""),
            f"they are left out: {why}",
            remedy="; or ".join([*remedies][:_REASONS]),
            clips=tuple((path,) for path in errors),
        )


def _spoken(name: str) -> str:
    """A name without case, and with one space between words, as it is spoken."""
    return " ".join(
        unicodedata.normalize("NFKC", name).casefold().replace("_", " ").replace("-", " ").split()
    )


def _counts(counts: Mapping[str, int]) -> str:
    few = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    more = f" and {len(few) - _MAX_CLASSES} more" if len(few) > _MAX_CLASSES else ""
    return ", ".join(f"{label} {count}" for label, count in few[:_MAX_CLASSES]) + more

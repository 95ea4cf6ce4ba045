"""Check clips before training: a table of classes, the split, ignored files, and findings."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from onlooker.base.answer import nothing_class, perhaps_nothing
from onlooker.base.config import ModelConfig
from onlooker.base.decision import Decision
from onlooker.base.progress import showing, tracked
from onlooker.base.records import Clip, ClipError, InputError, clip_name
from onlooker.base.settings import typed
from onlooker.base.text import composed, printable
from onlooker.data.array_cache import ArrayCache, is_whole
from onlooker.data.clips import decode_each, identity
from onlooker.data.findings import (
    ClipFacts,
    Finding,
    fact_findings,
    label_findings,
    read_facts,
    unreadable_findings,
)
from onlooker.data.scenes import MAX_COMPARED, count_joined, plan_joined
from onlooker.data.sets import ClipSet, read_set, root_of
from onlooker.data.split import (
    FEW_CLIPS,
    SPLITS,
    Split,
    count_groups,
    hold_out_validation,
    shows_scenes,
    source_of,
    split_clips,
)
from onlooker.models.registry import find_recipe
from onlooker.training.fitters import fitter_of
from onlooker.training.times import TimesPlan, plan_times
from onlooker.video.image_sequence import left_out_images

_ROWS = 20  # classes in the table
CLIPS_PER_FINDING = 5  # clips or groups of clips that are listed
_REFUSED = "these clips cannot be trained and tested on"
_LISTED_IMAGES = 5  # images left out of image sequences


@dataclass(frozen=True, eq=False)
class Checked:
    """The result of checking clips before training.

    Args:
        split: the split that `onlooker train` would use, without unreadable clips; or why no split
            is possible.
        left_out: clips that are listed or linked but missing, or cannot be read.
        findings: the most important first.
    """

    clips: ClipSet
    split: Split | str
    left_out: tuple[ClipError, ...]
    findings: tuple[Finding, ...]


@typed
def check(clips: Path | str | ClipSet, quiet: bool = False) -> Checked:
    """Read a few frames of each clip, and find problems that can spoil the training or the test.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        quiet: no progress bar.

    Raises:
        ClipError: there are no clips.
    """
    clip_set = clips if isinstance(clips, ClipSet) else read_set(Path(clips), classes=1, fills=True)
    paths = [clip.path for clip in clip_set.clips]
    with showing(not quiet):
        decoded = tracked(decode_each(paths, read_facts), "reading clips", len(paths))
        results = dict(zip(paths, decoded, strict=True))
    facts = {path: result for path, result in results.items() if isinstance(result, ClipFacts)}
    errors = {path: result for path, result in results.items() if isinstance(result, ClipError)}
    findings = [*unreadable_findings(clip_set.clips, errors, clip_set.left_out)]
    images = {path: clip.thumbnails for path, clip in facts.items()}
    split: Split | str
    try:
        clip_set.require_apart(finds_states=True)  # as the default model does
        split = planned = plan_joined_split(clip_set, images, clip_set.split)
        clip_set = clip_set.with_recordings(split.clips)
    except InputError as error:
        split = str(error)
        planned = None
        findings.append(Finding("no split", error.found, _REFUSED, remedy=error.remedy))
    readable = [clip for clip in clip_set.clips if clip.path in facts]
    fitted = [*planned.training, *planned.validation] if planned else readable
    times = TimesPlan()
    try:
        # whether training would fit states or events
        times = plan_times(
            fitted,
            Decision(sorted({clip.label for clip in fitted})),
            when=clip_set.requested.when,
            recordings=clip_set.recordings,
        )
    except InputError as error:
        if planned:  # else clips that cannot be trained on are a finding already
            findings.append(Finding("times", error.found, _REFUSED, remedy=error.remedy))
    seen = fact_findings(
        readable,
        [facts[clip.path] for clip in readable],
        planned,
        filled=composed(clip_set.requested.fill or ""),
        are_bouts=len(times.recordings) > 0,
    )
    findings += [*seen, *label_findings(clip_set.clips)]
    notes = [*clip_set.notes, *_rates(facts.values())]
    if times.why and planned:
        notes.append(f"times: {times.why}")
    clip_set = replace(clip_set, notes=notes)
    if not findings:
        with suppress(OSError):  # a cache that cannot be written to
            ArrayCache.for_user().get(_without_findings(paths), lambda: np.ones(1))
    return Checked(
        clip_set, split, (*clip_set.left_out, *errors.values()), findings=tuple(findings)
    )


def _rates(facts: Iterable[ClipFacts]) -> Iterator[str]:
    """The lowest and the highest frame rate of clips in words; nothing if no rate is known."""
    if rates := [clip.rate for clip in facts if clip.rate]:
        lowest = f"{min(rates):.3g}"
        highest = f"{max(rates):.3g}"
        yield f"frames per second: {lowest}" + (f" to {highest}" if lowest != highest else "")


def is_clean(clips: Iterable[Clip]) -> bool:
    """Whether `check` has found no problems in these clips, as they are now."""
    with suppress(ClipError):  # a clip that was removed
        return is_whole(ArrayCache.for_user().file(_without_findings(c.path for c in clips)))
    return False


def _without_findings(paths: Iterable[Path]) -> dict[str, Any]:
    """The key of the cache for clips in which `check` has found no problems."""
    return {"content": "clips without findings", "clips": [*map(identity, sorted(paths))]}


def plan_split(clips: Sequence[Clip], model: str = ModelConfig.name, seed: int = 0) -> Split:
    """The split that training uses if none is given.

    Raises:
        InputError: a class has too few clips or recordings.
    """
    if is_cross_validated(clips, model):
        return hold_out_validation(clips, seed=seed)
    return split_clips(clips, seed)


def is_cross_validated(clips: Sequence[Clip], model: str) -> bool:
    """Whether a model is fitted to all clips, and tested by cross-validation: with fewer than 300
    clips, if its fitter cross-validates, as the fitter of `linear` does.
    """
    return len(clips) < FEW_CLIPS and fitter_of(find_recipe(model)).cross_validates


def plan_joined_split(
    clip_set: ClipSet,
    images: Mapping[Path, NDArray[np.uint8]],
    given: Split | None,
    *,
    model: str = ModelConfig.name,
    seed: int = 0,
) -> Split:
    """The given split or a planned one (`plan_split`), for the clips that have thumbnails. Clips of
    one scene are in the same split.

    Args:
        images: thumbnails `8 16 16`, by path.

    Raises:
        InputError: as `plan_split`, or no clip is left.
    """
    if given:
        return given.without({clip.path for clip in clip_set.clips} - set(images))
    readable = [clip for clip in clip_set.clips if clip.path in images]
    if not readable:
        raise InputError("no clip can be read", "replace them, or convert them to mp4")
    return plan_joined(
        partial(plan_split, model=model, seed=seed),
        readable,
        np.stack([images[clip.path] for clip in readable]),
        by_scene=clip_set.requested.scenes,
    )


def class_table(clip_set: ClipSet, split: Split | None) -> Table:
    """The classes with their numbers of clips, recordings, and clips of each split, in 80 columns."""
    clips = clip_set.clips
    groups, unit = count_groups(clips)
    table = Table(Column("class", overflow="fold"), box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("clips", "train/val/test", "scenes" if unit == "scene" else "recordings"):
        table.add_column(name, justify="right", no_wrap=True)
    total = Counter(clip.label for clip in clips)
    by_split = (
        [Counter(clip.label for clip in getattr(split, name)) for name in SPLITS] if split else []
    )
    if unit != "scene":
        grouped = [clip for clip in clips if clip.recording or unit == "recording"]
        groups = Counter(label for label, _ in {(clip.label, source_of(clip)) for clip in grouped})
    for label in sorted(total)[:_ROWS]:
        cells = (
            label,
            total[label],
            "/".join(str(counts[label]) for counts in by_split),
            groups[label] or "",
        )
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    if len(total) > _ROWS:
        table.add_row(f"and {len(total) - _ROWS} more")
    table.add_row("all", str(len(clips)), "/".join(str(counts.total()) for counts in by_split))
    return table


def hints(clip_set: ClipSet, split: Split | None, nothing: str | None = None) -> Iterator[str]:
    """Facts about the clips as a whole, one line each."""
    clips = clip_set.clips
    classes = sorted({clip.label for clip in clips})
    position = nothing_class(classes, nothing)
    if position is not None:
        yield f"{classes[position]} is the class in which nothing happens, so it is never reported as an event"
    elif nothing is None and (names := perhaps_nothing(classes)):
        yield f"if nothing happens in class {names[0]}, train with --nothing {quote(names[0])}: else it is an event"
    if split and not split.test:
        yield "no test split: every clip is tested by cross-validation"
    count, groups = count_joined(clips)
    if len(clips) > MAX_COMPARED:
        yield f"more than {MAX_COMPARED:,} clips: those of one scene, and copies, are not looked for"
    elif count:
        what = (
            "show the scene of another clip"
            if shows_scenes(clips)
            else "are copies of another clip"
        )
        yield f"{count} of {len(clips)} clips {what}: splits keep them together, in {groups} group{'s' * (groups > 1)}"
    yield from clip_set.notes
    fill = clip_set.requested.fill
    if filled := sum(clip.label == fill for clip in clips):
        yield f"{filled} clips of {fill} are from the gaps between the intervals; --fill '' for none"
    images = (image for clip in clips if clip.path.is_dir() for image in left_out_images(clip.path))
    if examples := [*islice(images, _LISTED_IMAGES)]:
        count = len(examples) + sum(1 for _ in images)  # there may be millions
        root = root_of(clip_set.path)
        paths = ", ".join(clip_name(image, root) for image in examples)
        more = ", ..." if count > _LISTED_IMAGES else ""
        yield f"left out of image sequences: {count} ({paths}{more})"


def overview(
    clip_set: ClipSet, split: Split, nothing: str | None = None
) -> Iterator[RenderableType]:
    """The class table, hints, and findings about labels, before training; nothing is decoded."""
    yield class_table(clip_set, split)
    yield from hints(clip_set, split, nothing)
    for finding in label_findings(clip_set.clips):
        yield finding.found
    if not is_clean(clip_set.clips):
        command = f"`onlooker check {quote(str(clip_set.path))}` with the same options"
        yield f"to find what can spoil the result, and what to do, run {command}"

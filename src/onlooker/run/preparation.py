"""What a training starts from: the record of its run, the untrained model, and the samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from onlooker.base.answer import require_one_nothing
from onlooker.base.config import AUTO_ENCODER, Settings
from onlooker.base.progress import note, note_clips
from onlooker.base.records import Clip, ClipError
from onlooker.data.clips import ClipFrames, read_clips, read_thumbnails, unknown_rates
from onlooker.data.sets import ClipSet, read_set, root_of
from onlooker.data.split import Split, require_clips
from onlooker.models.registry import complete, configured, find_recipe, resolve
from onlooker.models.video_model import VideoModel
from onlooker.run.check import overview, plan_joined_split, plan_split
from onlooker.run.features import encoded_clips
from onlooker.run.record import RunRecord, check_content, check_given, write_scenes
from onlooker.training.linear import ClipStatistics, EncodedClips
from onlooker.training.processes import launched
from onlooker.video.rates import RATE_NOTE

__all__ = ["build"]


@dataclass(frozen=True)
class Training:
    """A training whose clips are read and divided, and whose record is written.

    Args:
        run: its folder.
        samples: those of all clips that can be read.
        gone: clips of a resumed run that cannot be read any more.
        encoded: the training and validation clips, if they are encoded already.
        rival: the same clips by another encoder, which was compared with that of this run.
        rival_first: whether that of this run had to be clearly better.
        why: a sentence about that comparison.
    """

    run: Path
    record: RunRecord
    net: VideoModel
    samples: ClipFrames
    gone: tuple[ClipError, ...] = ()
    encoded: EncodedClips | None = None
    rival: ClipStatistics | None = None
    rival_first: bool = False
    why: str = ""


def new_run(
    run: Path,
    clips: Path | ClipSet,
    settings: Settings,
    *,
    split: Split | None,
    strict: bool,
) -> Training:
    """Read the clips of a new run, divide them, and write its record; the arguments are those of
    `train_run`.

    Raises:
        ClipError: no clips of a class can be read, or with `strict` not all of them.
        ValueError: settings or clips that do not fit.
    """
    is_given = split is not None
    if split is not None:
        clips = ClipSet(clips if isinstance(clips, Path) else clips.path, {"": split.clips})
    elif isinstance(clips, Path):
        clips = read_set(clips, fills=True)
    if strict and clips.left_out:
        raise clips.left_out[0]
    classes = tuple(sorted({clip.label for clip in clips.clips}))
    require_one_nothing(classes, settings.training.nothing)
    name = settings.model.name
    seed = settings.training.seed
    split = split or clips.split
    if split is None:
        plan_split(clips.clips, name, seed)  # an error before clips are read
    resolved = resolve(*settings)
    net = build(resolved, classes)
    note_clips(unknown_rates(clip.path for clip in clips.clips), RATE_NOTE)
    samples, unreadable = _read(net, resolved, clips.clips, classes=classes, strict=strict)
    _require_classes(classes, samples.clips, every=clips.clips, errors=unreadable)
    thumbnails = read_thumbnails(samples, resolved.data, resolved.training.features)
    images = {clip.path: image for clip, image in zip(samples.clips, thumbnails, strict=True)}
    split = plan_joined_split(clips, images, split, model=name, seed=seed)
    for item in overview(clips.with_recordings(split.clips), split, settings.training.nothing):
        note(item)
    skipped = (*clips.left_out, *unreadable)
    asked = None if is_given else clips.asked
    record = RunRecord(
        root_of(clips.path),
        classes,
        resolved,
        split=split,
        skipped=skipped,
        asked=asked,
        notes=tuple(clips.notes),
    )
    if settings.model.encoder == AUTO_ENCODER:  # until it is chosen, also by a run that continues
        undecided = resolved._replace(model=replace(resolved.model, encoder=AUTO_ENCODER))
        record = replace(record, settings=undecided)
    record.write(run)
    write_scenes(run, [images[clip.path] for clip in split.clips])
    return Training(run, record, net, samples=samples)


def checked_settings(
    run: Path, clips: Path, asked: Settings, *, given: Mapping[str, Any], resume: bool
) -> Settings:
    """The settings of a training, with the defaults of its model (`complete`); a run to continue
    has its own.

    Args:
        clips: the folder or list.
        given: the settings that were given, also those of `SetConfig`, by name.
        resume: as in `train_run`.

    Raises:
        ValueError: a setting that was given has no effect, or the run to continue has another.
    """
    if resume and (run / "config.json").exists():
        check_given(run, root_of(clips), given)
        return asked
    return complete(asked, given.keys())


def resumed_run(run: Path, folder: Path, strict: bool = False) -> Training:
    """Read the clips in a folder for a run that continues, with its own settings and split;
    `strict` as in `train_run`.

    Raises:
        ClipError: training clips are missing.
        ValueError: clips were replaced by others.
    """
    record = RunRecord.read(run, folder)
    require_clips((*record.split.training, *record.split.validation))
    check_content(run, record.split)
    net = build(record.settings, record.classes)
    samples, gone = _read(
        net, record.settings, record.split.clips, classes=record.classes, strict=strict
    )
    return Training(run, record, net, samples=samples, gone=gone)


def build(settings: Settings, classes: Sequence[str]) -> VideoModel:
    """The untrained model, with the random weights of its seed; a ValueError if it cannot be
    trained here.
    """
    name = settings.model.name
    if (count := launched().size) > 1 and find_recipe(name).solver != "gradient":
        raise ValueError(
            f"{name} is fitted by one process, and torchrun started {count}; leave out torchrun"
        )
    torch.manual_seed(settings.training.seed)
    return configured(settings.model, settings.data, len(classes))


def _read(
    net: VideoModel,
    settings: Settings,
    clips: Sequence[Clip],
    *,
    classes: Sequence[str],
    strict: bool,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """The samples of the clips: frames, or the features of the model's encoder."""
    _, data, training = settings
    if training.features:
        return encoded_clips(
            clips, classes, net, data=data, precision=training.precision, strict=strict
        )
    return read_clips(clips, classes, data, strict=strict)


def _require_classes(
    classes: Sequence[str],
    read: Sequence[Clip],
    *,
    every: Sequence[Clip],
    errors: Sequence[ClipError],
) -> None:
    """Raise a ClipError for a class of which no clip can be read: the model would never see it."""
    if lost := sorted(set(classes) - {clip.label for clip in read}):
        paths = {clip.path for clip in every if clip.label == lost[0]}
        first = next(error for error in errors if error.path in paths)
        found = f"none of the {len(paths)} clips of class {lost[0]} can be read ({first.found})"
        raise ClipError(first.path.parent, found, "replace them, or leave the class out")

"""What a training starts from: the record of its run, the untrained model, and the samples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from onlooker.answer import require_one_nothing
from onlooker.config import AUTO_ENCODER, DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.sets import ClipSet, read_set, root_of
from onlooker.data.split import Split, require_clips
from onlooker.models.registry import configured, find_recipe, resolve
from onlooker.models.video_model import VideoModel
from onlooker.run_record import RunRecord, check_content, write_scenes
from onlooker.runs.check import plan_joined_split, plan_split, show_overview
from onlooker.runs.features import encoded_clips
from onlooker.structures import Clip, ClipError
from onlooker.training.linear import Clips, Encoded
from onlooker.training.processes import launched
from onlooker.training.reading import read_clips, read_thumbnails

__all__ = ["Prepared", "Request", "build", "new_run", "part_of_run", "resumed_run"]


@dataclass(frozen=True)
class Request:
    """A training as it was asked for: the arguments of `train_run`."""

    clips: Path | ClipSet
    run: Path
    settings: Settings
    split: Split | None = None
    resume: bool = False
    strict: bool = False
    quiet: bool = False
    cross_validate: bool = True
    loggers: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the clips."""
        return self.clips.root if isinstance(self.clips, ClipSet) else root_of(self.clips)


@dataclass(frozen=True)
class Prepared:
    """A run that can be trained.

    Args:
        samples: those of all clips that can be read.
        gone: clips of a resumed run that cannot be read any more.
        loggers: get the curves, too (`training.loggers`).
        encoded: the training and validation clips, if they are encoded already.
        rival: the same clips by another encoder, which was compared with that of this run.
        why: a sentence about that comparison.
    """

    record: RunRecord
    net: VideoModel
    samples: ClipFrames
    gone: tuple[ClipError, ...] = ()
    loggers: Sequence[Any] = ()
    encoded: Encoded | None = None
    rival: Clips | None = None
    why: str = ""


def new_run(request: Request) -> Prepared:
    """Read the clips of a new run, divide them, and write its record.

    Raises:
        ClipError: no clips of a class can be read, or with `strict` not all of them.
        ValueError: settings or clips that do not fit.
    """
    clip_set, split = _asked_clips(request)
    clips = clip_set.clips
    name, seed = request.settings.model.name, request.settings.training.seed
    if split is None:
        plan_split(clips, name, seed)  # an error before clips are read
    classes, settings = tuple(sorted({clip.label for clip in clips})), resolve(*request.settings)
    net = build(*settings, classes)
    samples, unreadable = _read(request, net, clips, classes, settings)
    _require_classes(classes, samples.clips, clips, unreadable)
    skipped = (*clip_set.left_out, *unreadable)
    thumbnails = read_thumbnails(samples, settings.data, settings.training.features, request.quiet)
    images = {clip.path: image for clip, image in zip(samples.clips, thumbnails, strict=True)}
    split = plan_joined_split(clip_set, images, split, name, seed)
    if not request.quiet:
        show_overview(clip_set.with_recordings(split.clips), split, settings.training.nothing)
    record = RunRecord(request.folder, classes, *settings, split, skipped)
    if request.settings.model.encoder == AUTO_ENCODER:  # until it is chosen, also by a run that continues
        record = replace(record, model=replace(record.model, encoder=AUTO_ENCODER))
    record.write(request.run)
    write_scenes(request.run, [images[clip.path] for clip in split.clips])
    return Prepared(record, net, samples)


def resumed_run(request: Request) -> Prepared:
    """Read the clips of a run that continues, with its own settings and split.

    Raises:
        ClipError: training clips are missing.
        ValueError: clips were replaced by others.
    """
    record = RunRecord.read(request.run, request.folder)
    require_clips((*record.split.training, *record.split.validation))
    check_content(request.run, record.split)
    net = build(*record.settings, record.classes)
    samples, gone = _read(request, net, record.split.clips, record.classes, record.settings)
    return Prepared(record, net, samples, gone)


def part_of_run(request: Request) -> Prepared:
    """In a process that trains together with the one that prepared the run: its training and validation clips."""
    record = RunRecord.read(request.run, request.folder)
    split = replace(record.split, test=())
    net = build(*record.settings, record.classes)
    all_of_them = replace(request, strict=True, quiet=True)
    samples, _ = _read(all_of_them, net, split.clips, record.classes, record.settings)
    return Prepared(record, net, samples)


def build(model: ModelConfig, data: DataConfig, training: TrainConfig, classes: Sequence[str]) -> VideoModel:
    """The untrained model, with the random weights of its seed; a ValueError if it cannot be trained here."""
    if (count := launched().size) > 1 and find_recipe(model.name).solver != "gradient":
        raise ValueError(f"{model.name} is fitted by one process, and torchrun started {count}; leave out torchrun")
    torch.manual_seed(training.seed)
    return configured(model, data, len(classes))


def _read(
    request: Request, net: VideoModel, clips: Sequence[Clip], classes: Sequence[str], settings: Settings
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """The samples of the clips: frames, or the features of the model's encoder."""
    _, data, training = settings
    if training.features:
        return encoded_clips(clips, classes, net, data, training.precision, request.strict, request.quiet)
    return read_clips(clips, classes, data, request.strict, request.quiet)


def _asked_clips(request: Request) -> tuple[ClipSet, Split | None]:
    """All clips, and their split if it is known before they are read."""
    asked, split = request.clips, request.split
    if split is not None:
        path = asked.path if isinstance(asked, ClipSet) else asked
        asked = ClipSet(path, {"": split.clips})
    elif isinstance(asked, Path):
        asked = read_set(asked, fills=True)
    if request.strict and asked.left_out:
        raise asked.left_out[0]
    require_one_nothing(sorted({clip.label for clip in asked.clips}), request.settings.training.nothing)
    return asked, split or asked.split


def _require_classes(
    classes: Sequence[str], read: Sequence[Clip], every: Sequence[Clip], errors: Sequence[ClipError]
) -> None:
    """Raise a ClipError for a class of which no clip can be read: the model would never see it."""
    if lost := sorted(set(classes) - {clip.label for clip in read}):
        paths = {clip.path for clip in every if clip.label == lost[0]}
        first = next(error for error in errors if error.path in paths)
        found = f"none of the {len(paths)} clips of class {lost[0]} can be read ({first.found})"
        raise ClipError(first.path.parent, found, "replace them, or leave the class out")

"""The start of a training: the record of its run, the untrained model, and the samples."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.base.answer import require_one_nothing
from onlooker.base.config import AUTO_ENCODER, Settings, When
from onlooker.base.decision import Decision
from onlooker.base.progress import note, note_clips
from onlooker.base.records import Clip, ClipError, Recording
from onlooker.data.clips import ClipFrames, read_clips, read_thumbnails, states_rate, unknown_rates
from onlooker.data.sets import ClipSet, root_of
from onlooker.data.split import Split, require_clips, require_divisible
from onlooker.models.registry import configured, find_recipe
from onlooker.models.video_model import VideoModel
from onlooker.run.check import is_cross_validated, overview, plan_joined_split
from onlooker.run.features import encoded_clips
from onlooker.run.record import RunRecord, check_content, read_scenes, write_scenes
from onlooker.training.encoders import with_encoder
from onlooker.training.fitters import fitter_of
from onlooker.training.processes import launched
from onlooker.training.times import plan_times
from onlooker.video.rates import RATE_NOTE


@dataclass(frozen=True)
class PreparedRun:
    """A run whose clips are read and divided, and whose record is written.

    Args:
        run: its folder.
        model: the untrained model.
        samples: of all clips that can be read.
        scenes: of all clips of the split (`write_scenes`); None in runs of earlier versions.
        gone: clips of a resumed run that cannot be read any more.
    """

    run: Path
    record: RunRecord
    model: VideoModel
    samples: ClipFrames
    scenes: NDArray[np.uint8] | None
    gone: tuple[ClipError, ...] = ()


def new_run(
    run: Path,
    clips: ClipSet,
    settings: Settings,
    *,
    split: Split | None,
    strict: bool,
    background: Sequence[Path] = (),
) -> PreparedRun:
    """Read the clips of a new run, divide them, and write its record; the arguments are as in
    `train_run`, with complete settings.

    Raises:
        ClipError: no clips of a class can be read, or with `strict` not all of them.
        ValueError: settings or clips that do not fit.
    """
    if strict and clips.left_out:
        raise clips.left_out[0]
    classes = tuple(sorted({clip.label for clip in clips.clips}))
    require_one_nothing(classes, settings.training.nothing)
    name = settings.model.name
    _require_times(clips, name)
    split = split or clips.split
    if split is None:
        # before clips are read
        require_divisible(clips.clips, has_test=not is_cross_validated(clips.clips, name))
    if settings.model.encoder == AUTO_ENCODER:
        settings = with_encoder(settings, clips.clips)
        note(f"encoder: {settings.model.encoder}, by the size of the clips")
    net = build(settings, classes)
    as_read = _as_read(
        settings, clips.clips, classes, when=clips.requested.when, recordings=clips.recordings
    )
    # before clips are read; containers seldom lack a rate, and are opened to be read alone
    _note_rates(clip.path for clip in clips.clips if not states_rate(clip.path))
    samples, unreadable = _read(net, as_read, clips.clips, classes=classes, strict=strict)
    _note_rates(clip.path for clip in samples.clips if states_rate(clip.path))
    _require_classes(classes, clips.clips, samples.clips, errors=unreadable)
    thumbnails = read_thumbnails(samples, settings.data, settings.training.features)
    images = {clip.path: image for clip, image in zip(samples.clips, thumbnails, strict=True)}
    split = plan_joined_split(clips, images, split, model=name, seed=settings.training.seed)
    for item in overview(clips.with_recordings(split.clips), split, settings.training.nothing):
        note(item)
    record = RunRecord(
        root_of(clips.path),
        classes,
        settings,
        split=split,
        skipped=(*clips.left_out, *unreadable),
        requested=clips.requested,
        notes=tuple(clips.notes),
        background=tuple(background),
        recordings=clips.recordings,
    )
    record.write(run)
    scenes = write_scenes(run, [images[clip.path] for clip in split.clips])
    return PreparedRun(run, record, net, samples=samples, scenes=scenes)


def _require_times(clips: ClipSet, name: str) -> None:
    """Raise an error if a model cannot be fitted to the times of these clips."""
    finds_states = fitter_of(find_recipe(name)).fits_recordings
    if clips.requested.when == "states" and not finds_states:
        raise ValueError(f"{name} tells no states; leave out --when states")
    clips.require_apart(finds_states=finds_states)


def _note_rates(paths: Iterable[Path]) -> None:
    note_clips(unknown_rates(paths), RATE_NOTE)


def resumed_run(run: Path, folder: Path, strict: bool = False) -> PreparedRun:
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
    clips = record.split.clips
    as_read = _as_read(
        record.settings,
        clips,
        record.classes,
        when=record.requested.when,
        recordings=record.recordings,
    )
    samples, gone = _read(net, as_read, clips, classes=record.classes, strict=strict)
    return PreparedRun(run, record, net, samples=samples, scenes=read_scenes(run), gone=gone)


def _as_read(
    settings: Settings,
    clips: Sequence[Clip],
    classes: Sequence[str],
    *,
    when: When,
    recordings: Sequence[Recording],
) -> Settings:
    """The settings for reading the clips: without motion if states will be fitted to them, as far
    as is known before they are read, and nothing else is asked for. The motion of their recordings
    is read with these, once.
    """
    decision = Decision(classes, nothing=settings.training.nothing)
    if settings.data.eyes == "auto":
        with suppress(ClipError, ValueError):  # reported when they are fitted
            if plan_times(clips, decision, when=when, recordings=recordings).recordings:
                return settings._replace(data=replace(settings.data, eyes="pictures"))
    return settings


def build(settings: Settings, classes: Sequence[str]) -> VideoModel:
    """The untrained model, with the random weights of its seed; a ValueError if it cannot be
    trained here.
    """
    name = settings.model.name
    if (count := launched().size) > 1 and not fitter_of(find_recipe(name)).is_distributed:
        raise ValueError(
            f"{name} is fitted by one process, and torchrun started {count}; leave out torchrun"
        )
    torch.manual_seed(settings.training.seed)
    return configured(settings, len(classes))


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
    clips: Sequence[Clip],
    readable: Sequence[Clip],
    *,
    errors: Sequence[ClipError],
) -> None:
    """Raise a ClipError for a class none of whose clips can be read: it could not be learned."""
    if lost := sorted(set(classes) - {clip.label for clip in readable}):
        paths = {clip.path for clip in clips if clip.label == lost[0]}
        cause = next(error for error in errors if error.path in paths)
        problem = f"none of the {len(paths)} clips of class {lost[0]} can be read ({cause.found})"
        raise ClipError(cause.path.parent, problem, "replace them, or leave the class out")

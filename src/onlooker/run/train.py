"""Train a run: its clips are read, split, fitted by the fitter of the model, evaluated, reported."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onlooker.base.config import (
    DataConfig,
    ModelConfig,
    SetConfig,
    Settings,
    StreamConfig,
    When,
)
from onlooker.base.decision import Decision
from onlooker.base.files import model_folder, read_json, whole_folder, write_json
from onlooker.base.progress import OnProgress, note, reporting, showing
from onlooker.base.records import Curves
from onlooker.base.settings import Config, field_of, suggestion, typed
from onlooker.data.clips import (
    read_clips,
    read_thumbnails,
    sample_rate,
)
from onlooker.data.scenes import plan_joined
from onlooker.data.sets import ClipSet, default_run, read_set, root_of
from onlooker.data.split import (
    Split,
    hold_out_validation,
    require_clips,
)
from onlooker.measure.figures import Figures
from onlooker.measure.metrics import (
    ScoredClip,
    read_scores,
)
from onlooker.models.registry import find_recipe
from onlooker.recognizer import Recognizer, expected_events, length_text, rate_text
from onlooker.report.summary import Advice, advice, first_line
from onlooker.run.evaluate import write_report
from onlooker.run.preparation import PreparedRun, new_run, resumed_run
from onlooker.run.record import (
    CROSS_VALIDATION,
    REPORT,
    SCORES,
    RunRecord,
    check_content,
    check_given,
    check_settings,
    lock_run,
    read_curves,
    read_figures,
    start_run,
)
from onlooker.storage import local, uploading
from onlooker.training.background import background_files
from onlooker.training.fitter import FitContext, Fitted
from onlooker.training.fitters import aggregation_of, complete, fitter_of, joined_settings
from onlooker.training.processes import connect, launched
from onlooker.training.tensorboard import log, open_writer, require_tensorboard, show_settings
from onlooker.training.times import TimesPlan, plan_times

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["continue_run"]


@dataclass(frozen=True)
class TrainedRun:
    """A trained run: its folder, and the figures of its test clips; None without test clips, or if
    they were not read.
    """

    path: Path
    figures: Figures | None = None

    @classmethod
    @typed
    def read(cls, path: Path | str) -> "TrainedRun":
        """The run of a folder or an address; one that is not finished has no figures.

        Raises:
            ValueError: a file was changed, or another version wrote it.
        """
        return cls(Path(path), read_figures(local(path)))

    @property
    def clips(self) -> str | None:
        """The folder or list that it was trained on, an absolute path or an address; None if it is
        not known.
        """
        run = local(self.path)
        for folder in (run, run / "final"):
            with suppress(OSError, ValueError, KeyError):
                return str(field_of(read_json(folder / "config.json"), "clips", str))
        return None

    @property
    def model(self) -> Path | None:
        """The folder of its model (after cross-validation, in the final run); None if there is
        no model yet.
        """
        return model_folder(local(self.path))

    @property
    def conclusion(self) -> str:
        """How many clips are right, or how good states are, in a sentence; empty without figures."""
        return first_line(self.figures).text if self.figures else ""

    @property
    def details(self) -> str:
        """What is behind the conclusion: the accuracy with its interval and the majority-class
        baseline; empty without figures.
        """
        return first_line(self.figures).details if self.figures else ""

    @property
    def advice(self) -> list[Advice]:
        """The next steps that are advised, the most important first; empty without figures."""
        return advice(self.figures) if self.figures else []

    @property
    def report(self) -> Path:
        """Its report, a page; there is none before the training is finished."""
        return local(self.path) / REPORT

    @property
    def curves(self) -> Curves | None:
        """Loss and accuracy per epoch, of training and validation; None without epochs."""
        return read_curves(local(self.path))

    @property
    def predictions(self) -> list[ScoredClip]:
        """The prediction for each test clip; after a cross-validation, for each clip, by a model
        that was fitted without it and its recording. Empty without test clips.
        """
        return read_scores(local(self.path) / SCORES) if self.figures else []

    def __str__(self) -> str:
        if not self.figures:
            return f"{self.path}: trained without a test split"
        return f"{self.path}: {self.conclusion}"


@typed
def train(
    clips: Path | str,
    run: Path | str | None = None,
    *,
    model: str = ModelConfig.name,
    resume: bool = False,
    quiet: bool = False,
    progress: OnProgress | None = None,
    fill: str | None = None,
    divide: bool = False,
    scenes: bool = True,
    when: When = "auto",
    tensorboard: bool = False,
    background: Path | str | Sequence[Path | str] = (),
    **settings: Any,
) -> TrainedRun:
    """Train a model on a folder of clips with one sub-folder per class, or on a CSV list, and
    evaluate it.

    `onlooker.train("clips", run="runs/gestures", model="alstm", frames=20, epochs=10)`

    Args:
        clips: the folder or list (`read_set`). `clips` and `run` may be addresses
            (`onlooker.storage`).
        run: a new folder for the run; None: `runs/CLIPS-MODEL`.
        model: one of `onlooker.list_models()`.
        resume, quiet, tensorboard: as in `train_run`.
        progress: called with a stage, such as "reading clips", how many of its parts are done, and
            how many there are. An exception in it ends the training, and `resume` continues it.
        fill, divide, scenes, when: as in `SetConfig`.
        background: videos, and folders of videos, in which none of the classes happens, as in
            `train_run`.
        settings: any other field of `ModelConfig` or `DataConfig`, or of the settings of the model's fitter
            (`TrainConfig`, for gradient descent).

    Raises:
        TypeError: a setting that neither these two nor any fitter has.
        ValueError: a setting without effect, or one that differs from the run to continue.
        FileExistsError, NotWritableError, ClipError, ValueError: as `train_run`.
    """
    settings.pop("workers", None)  # which other libraries have; threads read the clips
    requested = _settings(model, settings)
    which = SetConfig(fill=fill, divide=divide, scenes=scenes, when=when)
    given = {**settings, **_changed(which), **_changed(ModelConfig(model))}
    path = default_run(Path(clips), model) if run is None else Path(run)
    recordings = [background] if isinstance(background, str | Path) else background
    with reporting(progress), uploading([path]) as copies:
        figures = train_run(
            local(clips),
            copies.get(path, path),
            requested,
            given=given,
            which=which,
            resume=resume,
            quiet=quiet,
            tensorboard=tensorboard,
            background=[local(recording) for recording in recordings],
        )
    return TrainedRun(path, figures)


def _changed(config: Config) -> dict[str, Any]:
    """The settings that are not the defaults."""
    defaults = type(config)().to_dict()
    return {name: value for name, value in config.to_dict().items() if value != defaults[name]}


def _settings(model: str, settings: Mapping[str, Any]) -> Settings:
    """The settings of a training, each in the config that has a field of its name.

    Raises:
        TypeError: no config has it.
    """
    training_config = joined_settings()
    groups = (ModelConfig, DataConfig, training_config)
    fields = [{f.name for f in dataclasses.fields(group)} - {"name"} for group in groups]
    for unknown in sorted(set(settings) - set().union(*fields)):
        raise TypeError(
            f"train has no setting {unknown}; {suggestion(unknown, sorted(set().union(*fields)))}"
        )
    model_values, data_values, training_values = (
        {key: settings[key] for key in names & set(settings)} for names in fields
    )
    return Settings(
        ModelConfig(model, **model_values),
        DataConfig(**data_values),
        training_config(**training_values),
    )


def train_run(
    clips: Path | ClipSet,
    run: Path,
    settings: Settings,
    *,
    given: Mapping[str, Any] | None = None,
    which: SetConfig | None = None,
    split: Split | None = None,
    resume: bool = False,
    strict: bool = False,
    quiet: bool = False,
    cross_validate: bool = True,
    tensorboard: bool = False,
    background: Sequence[Path] = (),
) -> Figures | None:
    """Train on the clips that can be read; returns the figures of the test clips, if there are any.

    Processes that torchrun started share each batch. Only the first one writes files; the others
    return None.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        run: a new or empty folder for everything that is written.
        given: the settings, and the fields of `which`, that were given, with their values, as in
            `complete`; None: all were given.
        which: which clips of a folder or list are used; None: all, as `read_set` reads them.
        split: which clips are used for what; None: the split of `clips`, or `plan_split` of all
            clips.
        resume: continue an interrupted run, if there is one, with its own settings and split.
        strict, quiet: stop at the first clip that cannot be read; no table of classes and no
            progress bars.
        cross_validate: test by cross-validation if there are no test clips, as the fitter of the
            model `linear` does.
        tensorboard: also write curves and figures for TensorBoard.
        background: videos, and folders of videos, in which none of the classes happens: windows of
            every other one are no events, and the others give the rate of false alarms.

    Raises:
        FileExistsError: the folder holds a run and `resume` is false, or it holds other files.
        NotWritableError, ClipError: the run cannot be written to; the clips do not fit, or none can
        be read.
        ValueError: settings or weights that do not fit; a run of another version; another process
        trains in it.
        RuntimeError: TensorBoard is not installed.
    """
    if tensorboard:
        require_tensorboard()
    if background and not fitter_of(find_recipe(settings.model.name)).fits_recordings:
        raise ValueError(f"background has no effect in {settings.model.name}; leave it out")
    background = [path.absolute() for path in background_files(background)]
    folder = root_of(clips.path if isinstance(clips, ClipSet) else clips)
    if resume and (run / "config.json").exists():
        check_given(run, folder, given or {})
    else:
        settings = complete(settings, None if given is None else given.keys())
    with connect(), showing(not (quiet or launched().rank)):
        if launched().rank:
            torch.distributed.barrier()  # the first one has written the record of the run
            _fit(resumed_run(run, folder), cross_validate)
            return None
        with start_run(run, resume) as continues:
            if continues:
                prepared = resumed_run(run, folder, strict)
            else:
                if isinstance(clips, Path):
                    clips = read_set(clips, requested=which or SetConfig(), fills=True)
                prepared = new_run(
                    run, clips, settings, split=split, strict=strict, background=background
                )
            if launched().size > 1:
                torch.distributed.barrier()
            settings = prepared.record.settings
            writer = open_writer(run) if tensorboard else None
            if settings.data.eyes != "auto":
                show_settings(writer, settings.to_dict())
            fitted = _fit(prepared, cross_validate, writer)
            figures = _report(prepared, fitted, _save(fitted, run))
            if fitted.settings != settings:  # only now: --resume chooses the eyes again
                replace(prepared.record, settings=fitted.settings).write_config(run)
                show_settings(writer, fitted.settings.to_dict())
            log(writer, "test", figures.to_dict() if figures else {}, step=0)
            return figures


def continue_run(
    record: RunRecord, run: Path, *, quiet: bool = False, cross_validate: bool = True
) -> Figures | None:
    """`train_run` with the complete settings and the split of a record, or its continuation if that
    was interrupted.

    Raises:
        ValueError: the run was started with other settings or another split.
    """
    if figures := finished_figures(record, run):
        return figures
    return train_run(
        ClipSet(record.clips, {"": record.split.clips}, recordings=record.recordings),
        run,
        record.settings,
        split=record.split,
        resume=True,
        quiet=quiet,
        cross_validate=cross_validate,
    )


def finished_figures(record: RunRecord, run: Path) -> Figures | None:
    """The figures of a run with the settings and the split of a record; None unless it is finished;
    errors as in `continue_run`.
    """
    if not (run / "config.json").exists():
        return None
    stored = RunRecord.read(run, record.clips)
    check_content(run, stored.split)
    split = record.split.without({error.path for error in stored.skipped})
    check_settings(run, stored.identity, replace(record, split=split).identity)
    return read_figures(run)


def train_final(clips: ClipSet, run: Path, settings: Settings) -> Path:
    """Train the model of a cross-validated run on all clips; returns `run/final`, which `load(run)`
    finds.

    Raises:
        ValueError: a class has fewer than 2 recordings or clips, or the final run was started with
            other settings.
    """
    samples, _ = read_clips(
        clips.clips, sorted({clip.label for clip in clips.clips}), settings.data
    )
    plan = partial(hold_out_validation, seed=settings.training.seed)
    split = plan_joined(
        plan,
        samples.clips,
        read_thumbnails(samples, settings.data),
        by_scene=clips.requested.scenes,
    )
    with lock_run(run):
        continue_run(
            RunRecord(root_of(clips.path), (), settings, split=split, recordings=clips.recordings),
            run / "final",
            cross_validate=False,
        )
    return run / "final"


def _fit(
    prepared: PreparedRun, cross_validate: bool, writer: "SummaryWriter | None" = None
) -> Fitted:
    """Fit the model to the clips with its fitter; the arguments are as in `FitContext`."""
    record = prepared.record
    settings = record.settings
    decision = Decision(
        record.classes,
        aggregation=aggregation_of(settings),
        nothing=settings.training.nothing,
        frame_rate=sample_rate([clip.path for clip in record.split.training], settings.data),
    )
    fitter = fitter_of(find_recipe(settings.model.name))
    context = FitContext(
        settings,
        prepared.model,
        decision,
        run=prepared.run,
        cross_validate=cross_validate,
        times=_times(prepared, decision) if fitter.fits_recordings else TimesPlan(),
        writer=writer,
        background=record.background,
    )
    return fitter.fit(prepared.samples, record.split, context)


def _times(prepared: PreparedRun, decision: Decision) -> TimesPlan:
    """Whether states are fitted to the recordings of the clips; a ValueError if states were
    requested and are not possible.
    """
    record = prepared.record
    when = record.requested.when
    if record.settings.data.modality == "rgb" and not record.settings.training.features:
        clips = prepared.samples.subset((*record.split.training, *record.split.validation)).clips
        return plan_times(clips, decision, when=when, recordings=record.recordings)
    if when == "states":
        raise ValueError(
            "states are found in RGB frames; leave out --features and --modality, or --when states"
        )
    return TimesPlan()


def _save(fitted: Fitted, run: Path) -> Recognizer:
    """Save the fitted model and its figures in the folder of a run, and print its notes."""
    recognizer = Recognizer(fitted.model, fitted.settings.data, fitted.decision)
    notes = {**fitted.notes, "frame rate": rate_text(recognizer)}
    if expected := expected_events(recognizer, StreamConfig.alarms_per_hour):
        notes["clips"] = length_text(recognizer)
        notes["when"] = expected
    for subject, text in notes.items():
        note(f"{subject}: {text}")
    if fitted.figures is not None:
        write_json(run / CROSS_VALIDATION, fitted.figures.to_dict())
    with whole_folder(run / "model") as part:
        recognizer.save(part)
    return recognizer


def _report(prepared: PreparedRun, fitted: Fitted, recognizer: Recognizer) -> Figures | None:
    """Evaluate on the test clips that can still be read, or report the cross-validation; None if
    there is neither.
    """
    record = replace(prepared.record, settings=fitted.settings)
    samples = prepared.samples
    held_out = fitted.held_out
    if held_out is not None:
        held_out = replace(held_out, skipped=record.skipped)
        samples = samples.subset((*record.split.training, *record.split.validation))
    elif record.split.test:
        gone = prepared.gone
        if fitted.settings.data != prepared.record.settings.data:  # of the encoder that was chosen
            samples, gone = read_clips(record.split.test, record.classes, fitted.settings.data)
        paths = {error.path for error in gone}
        clips = tuple(clip for clip in record.split.test if clip.path not in paths)
        require_clips([] if clips else record.split.test)
        record = replace(record, skipped=(*record.skipped, *gone))
        samples = samples.subset(clips)
    else:
        return None
    return write_report(
        prepared.run,
        recognizer,
        samples,
        record=record,
        own_clips=True,
        curves=fitted.curves,
        scenes=prepared.scenes,
        evaluation=held_out,
        cross_validation=fitted.figures,
    )

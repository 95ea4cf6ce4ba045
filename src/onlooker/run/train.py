"""Train a run: prepare its clips, fit its model by gradient descent or as a linear layer, evaluate
it.
"""

import dataclasses
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.base.config import (
    DataConfig,
    ModelConfig,
    SetConfig,
    Settings,
    StreamConfig,
    TrainConfig,
)
from onlooker.base.decision import Decision
from onlooker.base.files import model_folder, whole_folder, write_json
from onlooker.base.progress import OnProgress, note, reporting, showing
from onlooker.base.records import ClipError, Curves, Evaluation
from onlooker.base.settings import Config, suggestion, typed
from onlooker.data.clips import (
    ClipFrames,
    read_clips,
    read_header,
    read_thumbnails,
    sample_rate,
)
from onlooker.data.scenes import is_joined, plan_joined
from onlooker.data.sets import ClipSet, read_set, root_of, set_name
from onlooker.data.split import (
    Split,
    group_of,
    hold_out_validation,
    require_clips,
    shows_scenes,
    source_of,
)
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import find_recipe, resolve
from onlooker.recognizer import Recognizer, expected_events, length_text, rate_text
from onlooker.report.events import EventThreshold, choose_threshold
from onlooker.report.figures import CrossValidationFigures, Figures, Leakage
from onlooker.report.metrics import (
    ScoredClip,
    balancing_weights,
    fit_temperature,
    measure,
    read_scores,
)
from onlooker.report.summary import Advice, advice, first_line, labels_to_check
from onlooker.run.encoders import choose_encoder, encode, lite0_may_help
from onlooker.run.evaluate import write_report
from onlooker.run.preparation import Training, checked_settings, new_run, resumed_run
from onlooker.run.record import (
    CROSS_VALIDATION,
    REPORT,
    SCORES,
    RunRecord,
    check_content,
    check_settings,
    clips_of,
    lock_run,
    read_curves,
    read_figures,
    start_run,
)
from onlooker.storage import local, uploading
from onlooker.training.events import ClipFeatures, fit_events
from onlooker.training.fit import fit
from onlooker.training.linear import ClipStatistics, LayerChoice, choose, cross_validated, fit_layer
from onlooker.training.processes import connect, launched
from onlooker.training.tensorboard import log, open_writer, require_tensorboard
from onlooker.video.rates import RATE

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["continue_run"]

_LONG = 8  # times the frames of a sample that a clip has in the streams of the event layer at most
_MIN_CALIBRATION = 10  # validation clips; with fewer of them the temperature is 1


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
        return clips_of(local(self.path))

    @property
    def model(self) -> Path | None:
        """The folder of its model, after cross-validation that of its final run; None if there is
        none yet.
        """
        return model_folder(local(self.path))

    @property
    def conclusion(self) -> str:
        """The accuracy and what it is worth, in a sentence; empty without figures."""
        return str(first_line(self.figures)) if self.figures else ""

    @property
    def advice(self) -> list[Advice]:
        """What to do next; the most important first, empty without figures."""
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
        """What was predicted for each test clip; after a cross-validation for all clips, each by a
        model that was fitted without it and its recording. Empty without test clips.
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
    tensorboard: bool = False,
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
        fill, divide, scenes: as in `SetConfig`.
        settings: any other field of `ModelConfig`, `DataConfig` or `TrainConfig`.

    Raises:
        TypeError: a setting that none of the three has.
        ValueError: a setting without effect, or another one than that of the run to continue.
        FileExistsError, NotWritableError, ClipError, ValueError: as `train_run`.
    """
    settings.pop("workers", None)  # which other libraries have; threads read the clips
    configs = _configs(model, settings)
    asked = SetConfig(fill=fill, divide=divide, scenes=scenes)
    given = {**settings, **_changed(asked), **_changed(ModelConfig(model))}
    path = default_run(Path(clips), model) if run is None else Path(run)
    with reporting(progress), uploading([path]) as copies:
        copy = copies.get(path, path)
        folder = local(clips)
        configs = checked_settings(copy, folder, configs, given=given, resume=resume)
        source = folder if asked == SetConfig() else read_set(folder, asked=asked, fills=True)
        figures = train_run(
            source, copy, configs, resume=resume, quiet=quiet, tensorboard=tensorboard
        )
    return TrainedRun(path, figures)


def _changed(config: Config) -> dict[str, Any]:
    """The settings that are not the defaults."""
    defaults = type(config)().to_dict()
    return {name: value for name, value in config.to_dict().items() if value != defaults[name]}


def default_run(clips: Path, name: str) -> Path:
    """The folder of a run on these clips, unless another one is named."""
    return Path("runs") / f"{set_name(clips)}-{folder_name(name)}"


def folder_name(name: str) -> str:
    """A model's name as part of a path, also on systems whose file names have no colon."""
    return re.sub(r"[^\w.=+-]", "-", name)


def _configs(model: str, settings: Mapping[str, Any]) -> Settings:
    """`settings` by the config that has them."""
    groups: list[type[ModelConfig | DataConfig | TrainConfig]] = [
        ModelConfig,
        DataConfig,
        TrainConfig,
    ]
    fields = [{f.name for f in dataclasses.fields(group)} - {"name"} for group in groups]
    for unknown in sorted(set(settings) - set().union(*fields)):
        raise TypeError(
            f"train has no setting {unknown}; {suggestion(unknown, sorted(set().union(*fields)))}"
        )
    of_model, of_data, of_training = (
        {key: settings[key] for key in names & set(settings)} for names in fields
    )
    return Settings(
        ModelConfig(model, **of_model), DataConfig(**of_data), TrainConfig(**of_training)
    )


def train_run(
    clips: Path | ClipSet,
    run: Path,
    settings: Settings,
    *,
    split: Split | None = None,
    resume: bool = False,
    strict: bool = False,
    quiet: bool = False,
    cross_validate: bool = True,
    tensorboard: bool = False,
) -> Figures | None:
    """Train on the clips that can be read; the figures of the test clips, if there are any.

    Processes that torchrun started share each batch. All but the first write nothing, and return
    None.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        run: a new or empty folder for everything that is written.
        split: which clips are used for what; None: the split of `clips`, or `plan_split` of all
            clips.
        resume: continue an interrupted run, if there is one, with its own settings and split.
        strict, quiet: stop at the first clip that cannot be read; no table of classes and no
            progress bars.
        cross_validate: test the model `linear` by cross-validation if there are no test clips.
        tensorboard: also write curves and figures for TensorBoard.

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
    folder = root_of(clips.path if isinstance(clips, ClipSet) else clips)
    with connect(), showing(not (quiet or launched().rank)):
        if launched().rank:
            torch.distributed.barrier()  # the first one has written the record of the run
            fit_by_gradient(resumed_run(run, folder))
            return None
        with start_run(run, resume) as continues:
            if continues:
                prepared = resumed_run(run, folder, strict)
            else:
                prepared = new_run(run, clips, settings, split=split, strict=strict)
            undecided = prepared
            prepared = choose_encoder(undecided)
            if launched().size > 1:
                torch.distributed.barrier()
            writer = open_writer(run, prepared.record.settings.to_dict()) if tensorboard else None
            recognizer, held_out, cross_validation = fit_run(prepared, writer, cross_validate)
            figures = _report(prepared, recognizer, held_out, cross_validation=cross_validation)
            if prepared is not undecided:  # only now: --resume chooses again
                prepared.record.write_config(run)
            log(writer, "test", figures.to_dict() if figures else {}, step=0)
            return figures


def continue_run(
    record: RunRecord, run: Path, *, quiet: bool = False, cross_validate: bool = True
) -> Figures | None:
    """`train_run` with the settings and the split of a record, or its continuation if that was
    interrupted.

    Raises:
        ValueError: the run was started with other settings or another split.
    """
    if figures := finished_figures(record, run):
        return figures
    settings = resolve(*record.settings)
    return train_run(
        record.clips,
        run,
        settings,
        split=record.split,
        resume=True,
        quiet=quiet,
        cross_validate=cross_validate,
    )


def finished_figures(record: RunRecord, run: Path) -> Figures | None:
    """The figures of a run with the settings and the split of a record; None unless it is finished;
    errors as there.
    """
    if not (run / "config.json").exists():
        return None
    stored = RunRecord.read(run, record.clips)
    check_content(run, stored.split)
    split = record.split.without({error.path for error in stored.skipped})
    check_settings(
        run,
        stored.identity,
        replace(record, settings=resolve(*record.settings), split=split).identity,
    )
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
        plan, samples.clips, read_thumbnails(samples, settings.data), by_scene=clips.asked.scenes
    )
    with lock_run(run):
        continue_run(
            RunRecord(root_of(clips.path), (), settings, split=split),
            run / "final",
            cross_validate=False,
        )
    return run / "final"


def _report(
    training: Training,
    recognizer: Recognizer,
    held_out: Evaluation | None,
    *,
    cross_validation: CrossValidationFigures | None,
) -> Figures | None:
    """Evaluate on the test clips that are not `gone`, or report the cross-validation; None if there
    is neither.
    """
    record = training.record
    if held_out is not None:
        clips = (*record.split.training, *record.split.validation)
    elif record.split.test:
        gone = {error.path for error in training.gone}
        clips = tuple(clip for clip in record.split.test if clip.path not in gone)
        require_clips([] if clips else record.split.test)
        record = replace(record, skipped=(*record.skipped, *training.gone))
    else:
        return None
    samples = training.samples.subset(clips)
    return write_report(
        training.run,
        recognizer,
        samples,
        record=record,
        run=training.run,
        evaluation=held_out,
        cross_validation=cross_validation,
    )


def fit_run(
    training: Training, writer: "SummaryWriter | None", cross_validate: bool
) -> tuple[Recognizer, Evaluation | None, CrossValidationFigures | None]:
    """Train, calibrate and save the model of a run.

    Args:
        writer: as in `fit`.
        cross_validate: as in `train_run`.

    Returns:
        The trained model; the predictions of a linear one for all training and validation clips,
        each by a model that was chosen, fitted and calibrated without the clip and its recording,
        unless other clips or runs test it; and what its cross-validation has found.
    """
    record = training.record
    rate = sample_rate([clip.path for clip in record.split.training], record.settings.data)
    by_gradient = find_recipe(record.settings.model.name).solver == "gradient"
    if by_gradient:
        fit_by_gradient(training, writer)
    decision = Decision(
        record.classes,
        aggregation=record.settings.training.resolved_aggregation,
        nothing=record.settings.training.nothing,
        frame_rate=rate,
    )
    recognizer = Recognizer(training.net, record.settings.data, decision)
    threshold = None
    held_out = None
    cross_validation = None
    notes = dict[str, object]()
    if by_gradient:
        try:
            threshold = _calibrate(recognizer, training)
        except ClipError as error:  # a clip that was removed while the model was trained
            notes["calibration"] = f"none: {error}"
    else:
        threshold, held_out, cross_validation = _fit_layers(training, recognizer, cross_validate)
    notes |= {"threshold": threshold, "frame rate": rate_text(recognizer)}
    if recognizer.model.lengths:
        notes["clips"] = length_text(recognizer)
        notes["when"] = expected_events(recognizer, StreamConfig.alarms_per_hour)
    for name, chosen in notes.items():
        if chosen:
            note(f"{name}: {chosen}")
    recognizer.decision = recognizer.decision.with_threshold(threshold and threshold.probability)
    with whole_folder(training.run / "model") as part:
        recognizer.save(part)
    return recognizer, held_out, cross_validation


def fit_by_gradient(training: Training, writer: "SummaryWriter | None" = None) -> None:
    """Train by gradient descent, with a part of each batch in each process, and print a line for
    each epoch.
    """
    record = training.record
    samples = training.samples
    parts = samples.subset(record.split.training), samples.subset(record.split.validation)
    fit(
        training.net,
        *parts,
        data=record.settings.data,
        train=record.settings.training,
        folder=training.run,
        title=record.settings.model.name,
        writer=writer,
    )


def _calibrate(recognizer: Recognizer, training: Training) -> EventThreshold | None:
    """Choose the temperature, and the threshold of events if there is a class in which nothing
    happens.

    Classes weigh equally if they did in training.
    """
    validation = training.samples.subset(training.record.split.validation)
    if len(validation) < _MIN_CALIBRATION:
        return None
    evaluation = recognizer.evaluate(validation)
    targets = evaluation.targets
    weights = (
        balancing_weights(targets)
        if training.record.settings.training.class_weights == "balanced"
        else None
    )
    decision = recognizer.decision
    temperature = fit_temperature(
        evaluation.frame_scores, targets, aggregation=decision.aggregation, weights=weights
    )
    recognizer.decision = replace(decision, temperature=temperature)
    scores = recognizer.evaluate(validation).scores
    return choose_threshold(scores, targets, nothing=decision.nothing_class)


def _fit_layers(
    training: Training, recognizer: Recognizer, cross_validate: bool
) -> tuple[EventThreshold | None, Evaluation | None, CrossValidationFigures]:
    """Choose and fit the layers of a linear model in place, and write what its cross-validation
    finds, for later reports.

    Returns:
        The threshold of events; the predictions and the figures that `fit_run` returns.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    record = training.record
    samples = training.samples.subset((*record.split.training, *record.split.validation))
    clips, early, features = training.encoded or encode(training, samples.clips)
    choice = choose(clips)
    recognizer.decision = replace(recognizer.decision, temperature=choice.temperature)
    fit_layer(recognizer.model, clips, choice, early=early)
    if features:
        _fit_events(recognizer, samples, clips, choice=choice, features=features)
    why = f"{training.why}; {choice}" if training.why else str(choice)
    note(f"chosen: {why}")

    tested = bool(record.split.test) or not cross_validate
    given = choice if tested else None
    tests = cross_validated(clips, given, rival=training.rival, rival_first=training.rival_first)
    leakage = dict[str, Leakage]()
    evaluation = _evaluation(samples, record, decision=recognizer.decision, tests=tests)
    held_out = None
    threshold = None
    if evaluation is not None:
        if any(map(is_joined, samples.clips)):
            apart = [
                str(clip.path) if is_joined(clip) else group_of(clip) for clip in samples.clips
            ]
            groups = np.array(apart)
            rival = training.rival and training.rival._replace(groups=groups)
            title = "cross-validation without scenes"
            tests = cross_validated(
                clips._replace(groups=groups),
                given,
                rival=rival,
                rival_first=training.rival_first,
                title=title,
            )
            if mixed := _evaluation(samples, record, decision=recognizer.decision, tests=tests):
                unit = "scenes" if shows_scenes(samples.clips) else "copies"
                leakage[unit] = Leakage(
                    mixed=measure(mixed).accuracy, unseen=measure(evaluation).accuracy
                )
        if not tested and len(evaluation.names) == len(samples.clips):
            held_out = evaluation
        threshold = choose_threshold(evaluation.scores, evaluation.targets, nothing=clips.nothing)
    cross_validation = CrossValidationFigures(
        chosen=why,
        statistics=choice.label,
        imagenet=lite0_may_help(record.settings, samples.clips),
        cross_validated=held_out is not None,
        labels_to_check=labels_to_check(evaluation) if evaluation else None,
        **leakage,
    )
    write_json(training.run / CROSS_VALIDATION, cross_validation.to_dict())
    return threshold, held_out, cross_validation


def _fit_events(
    recognizer: Recognizer,
    samples: ClipFrames,
    clips: ClipStatistics,
    *,
    choice: LayerChoice,
    features: Mapping[int, Tensor],
) -> None:
    """Fit the layer of whole events to streams of the clips whose features are given, by their
    numbers. All clips were counted as clips, so the longest of them is one for `predict`.
    """
    made_of = list[ClipFeatures]()
    rate = recognizer.decision.frame_rate or RATE
    clip_seconds = 0.0
    for number in [*features, *(i for i in range(len(samples)) if i not in features)]:
        with suppress(ClipError):  # a clip that was removed while the model was trained
            timing = read_header(samples.clips[number].path).timing
            clip_seconds = max(clip_seconds, timing.length)
            if number in features:
                of_clip = features[number]
                # a short clip repeats its last frame
                distinct = min(len(of_clip), len(timing.times))
                count = min(max(2, round(timing.length * rate)), _LONG * len(of_clip))
                places = np.linspace(0, distinct - 1, count).round().astype(int)
                made_of.append(ClipFeatures(of_clip[places], number))
    model = cast(LinearClassifier, recognizer.model)
    layer = fit_events(
        model, clips, choice, stream_clips=made_of, classes=samples.classes, rate=rate
    )
    if layer is not None:
        model.set_event_layer(layer.lengths, layer.event, layer.classes)
    curve = layer and layer.curve
    recognizer.decision = replace(recognizer.decision, curve=curve, clip_seconds=clip_seconds)


def _evaluation(
    samples: ClipFrames,
    record: RunRecord,
    *,
    decision: Decision,
    tests: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Evaluation | None:
    """The evaluation of the clips that have scores; None if no clip has any.

    Args:
        tests: scores and thresholds, as from `cross_validated`.
    """
    scores, thresholds = tests
    known = np.flatnonzero(np.isfinite(scores).all(1))
    if not len(known):
        return None
    names = tuple(samples.names[i] for i in known)
    targets = np.array(samples.targets, np.int64)[known]
    recordings = tuple(source_of(samples.clips[i]) for i in known)
    has_threshold = not np.isnan(thresholds).all()
    return Evaluation(
        names,
        decision,
        targets,
        scores=scores[known],
        frame_scores=(),
        skipped=record.skipped,
        recordings=recordings,
        thresholds=thresholds[known] if has_threshold else None,
    )

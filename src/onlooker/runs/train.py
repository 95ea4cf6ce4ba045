"""Train a run: read clips, train, tune localization, save, evaluate."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from onlooker.answer import nothing_class
from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.background import cut_background
from onlooker.data.clips import ClipFrames
from onlooker.data.feature_store import FeatureStore
from onlooker.data.samples import sample_rate
from onlooker.data.sets import ClipSet, read_set, root_of, set_name
from onlooker.data.split import Split, require_clips, split_without_test
from onlooker.evaluation.calibration import fit_temperature
from onlooker.evaluation.conclusion import first_line
from onlooker.evaluation.events import EventThreshold, choose_threshold
from onlooker.experiments.memo import check_settings
from onlooker.experiments.model_spec import ModelSpec, folder_name, with_baseline
from onlooker.files import read_json, whole_folder, write_json
from onlooker.models.registry import find_recipe, resolve
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer
from onlooker.runs.check import plan_split, show_overview
from onlooker.runs.cross_validation import fit_and_cross_validate, fit_linear
from onlooker.runs.evaluate import read_clips, write_report
from onlooker.runs.features import open_stores, stored_clips, stored_settings
from onlooker.runs.fit_weights import Initialize, build, fit_weights, join_training
from onlooker.runs.folder import BACKGROUND, CROSS_VALIDATION, RunRecord, lock_run, start_run
from onlooker.runs.tune_localization import choose_localization
from onlooker.settings import suggestion
from onlooker.storage import address_of, local, uploading
from onlooker.structures import Clip, ClipError, Evaluation
from onlooker.training.processes import ALONE, Processes, check_devices, connect, launch, launched
from onlooker.training.stages import OnProgress, OnResults, reporting

__all__ = ["Initialize", "TrainedRun", "train", "train_run"]

_MIN_CALIBRATION = 10  # validation clips; with fewer of them the temperature is 1


@dataclass(frozen=True)
class TrainedRun:
    """A trained run: its folder, and the figures of its test clips (`metrics.measure`; empty without test clips)."""

    path: Path
    figures: Mapping[str, Any]

    def __str__(self) -> str:
        if not self.figures:
            return f"{self.path}: trained without a test split"
        return f"{self.path}: {first_line(self.figures)}"


def train(
    clips: Path | str,
    run: Path | str | None = None,
    model: str = ModelConfig.name,
    resume: bool = False,
    quiet: bool = False,
    background: Path | str | None = None,
    progress: OnProgress | None = None,
    devices: int = 1,
    results: OnResults | None = None,
    **settings: Any,
) -> TrainedRun:
    """Train a model on a folder of clips with one sub-folder per class, or on a CSV list, and evaluate it.

    `onlooker.train("clips", run="runs/gestures", model="alstm", frames=20, epochs=10)`

    Args:
        clips: the folder or list (`read_set`). `clips`, `run` and `background` may be addresses (`onlooker.storage`).
        run: a new folder for the run; None: `runs/CLIPS-MODEL`.
        model: one of `onlooker.list_models()`.
        resume: continue a run that was interrupted, with its own settings.
        quiet: no table of classes and no progress bars.
        background: footage in which nothing of interest happens, as one more class (`cut_background`).
        progress: called with a stage, such as "reading clips", how many of its parts are done, and how many there are.
            An exception in it ends the training, and `resume` continues it. With several `devices`, epochs are not
            reported.
        devices: GPUs of this machine, or CPU processes if there is no GPU, that share each batch. With several of them,
            a script must call this under `if __name__ == "__main__":`.
        results: called during cross-validation, which model linear has, after each fold: with an `Evaluation` of the
            clips that were held out so far, and the learning curve so far (`evaluation.learning_curve`).
        settings: any other field of `ModelConfig`, `DataConfig` or `TrainConfig`.

    Returns:
        The folder of the run, which `onlooker.load` reads, and its figures.

    Raises:
        TypeError: a setting that none of the three has.
        FileExistsError, NotWritableError, ClipError, ValueError: as `train_run`.
    """
    model_config, data, training = _configs(model, settings)
    path = Path("runs") / f"{set_name(Path(clips))}-{folder_name(model)}" if run is None else Path(run)
    footage = None if background is None else Path(background)
    with reporting(progress, results), uploading([path]) as copies:
        figures = train_run(
            local(clips),
            copies.get(path, path),
            model_config,
            data,
            training,
            resume=resume,
            quiet=quiet,
            background=local(footage) if footage else None,
            devices=devices,
        )
    return TrainedRun(path, figures)


def _configs(model: str, settings: Mapping[str, Any]) -> tuple[ModelConfig, DataConfig, TrainConfig]:
    """`settings` by the config that has them; a model for flow reads flow unless `modality` is given."""
    groups: list[type[ModelConfig | DataConfig | TrainConfig]] = [ModelConfig, DataConfig, TrainConfig]
    fields = [{f.name for f in dataclasses.fields(group)} - {"name"} for group in groups]
    for unknown in sorted(set(settings) - set().union(*fields)):
        raise TypeError(f"train has no setting {unknown}; {suggestion(unknown, sorted(set().union(*fields)))}")
    unused = set(settings) & find_recipe(model).ignores
    if unused and settings.get("cell", "auto") == "auto":  # another cell may have settings that the model's own lacks
        raise ValueError(
            f"{', '.join(sorted(unused))}: without effect in {model}; leave it out, or choose another model"
        )
    of_model, of_data, of_training = ({key: settings[key] for key in names & set(settings)} for names in fields)
    data = DataConfig(**of_data)
    if "modality" not in of_data:
        data = ModelSpec(model).data_config(data)
    return ModelConfig(model, **of_model), data, TrainConfig(**of_training)


def train_run(
    clips: Path | ClipSet,
    run: Path,
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    split: Split | None = None,
    resume: bool = False,
    strict: bool = False,
    quiet: bool = False,
    features: Sequence[Path] = (),
    initialize: Initialize | None = None,
    background: Path | None = None,
    cross_validate: bool = True,
    devices: int = 1,
) -> dict[str, Any]:
    """Train on the clips that can be read; the figures of the test clips (`metrics.measure`), if there are any.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        run: a new or empty folder for everything that is written.
        split: which clips are used for what; None: the split of `clips`, or `plan_split` of all clips.
        resume: continue an interrupted run with its own settings and split.
        strict, quiet: stop at the first clip that cannot be read; no table of classes and no progress bars.
        features: stores (`open_stores`), whose frozen encoder and sampling are used; missing clips are encoded.
        initialize: gives the model its first weights; a resumed run must get the same ones.
        background: footage in which nothing happens, cut into clips of one more class (`data.background`).
        cross_validate: test a model that is trained in seconds by cross-validation if there are no test clips.
        devices: that share each batch, in processes started here unless torchrun has started this one; a resumed run
            may use another number of them. All processes but the first write nothing, and return {}.

    Raises:
        FileExistsError: the folder holds a run and `resume` is false, or it holds other files.
        NotWritableError, ClipError: the run cannot be written to; the clips do not fit, or none can be read.
        ValueError: settings, stores or weights that do not fit; a run of another version; another process trains in it.
    """
    folder, processes = clips.root if isinstance(clips, ClipSet) else root_of(clips), launched()
    check_devices(devices)
    if not resume:  # with the model of the run
        _check_solver(max(devices, processes.count), model)
    if devices > 1 and processes == ALONE:
        more = (split, resume, strict, quiet, features, initialize, background, cross_validate)
        return dict(launch(devices, partial(train_run, clips, run, model, data, training, *more)))
    if processes.count > processes.devices and (address := address_of(run)):
        remedy = "several machines need a folder that they share; choose another --run"
        raise ValueError(f"{address}: an address, and {remedy}")
    with connect(processes):
        if processes.rank:
            join_training(folder, run, initialize, processes)
            return {}
        return _train_first(
            clips, run, folder, model, data, training, split, resume, strict, quiet, features, initialize, background,
            cross_validate, processes,
        )  # fmt: skip


def _train_first(
    clips: Path | ClipSet,
    run: Path,
    folder: Path,
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    split: Split | None,
    resume: bool,
    strict: bool,
    quiet: bool,
    features: Sequence[Path],
    initialize: Initialize | None,
    background: Path | None,
    cross_validate: bool,
    processes: Processes,
) -> dict[str, Any]:
    with start_run(run, resume) as continues:
        stored_record = RunRecord.read(run, folder) if continues else None
        if stored_record is not None:
            model, data, training = stored_record.model, stored_record.data, stored_record.training
            split, features = stored_record.split, tuple(features) or stored_record.features
        every_clip, split, skipped = _asked_clips(clips, split, stored_record, strict, background, run)
        planned = plan_split(every_clip, split, model.name, training.seed)  # an error before clips are read
        classes = stored_record.classes if stored_record else tuple(sorted({clip.label for clip in every_clip}))
        stores = open_stores(features)
        model, data = stored_settings(stores, model, data) if stores else (model, data)
        model, data, training = resolve(model, data, training)
        if stored_record and stores and (model, data) != (stored_record.model, stored_record.data):
            raise ValueError(f"{stores[0].folder}: other settings than those of {run}; give the store of its training")
        _check_solver(processes.count, model)
        net = build(model, data, training, classes, stores, initialize)
        if stored_record is None and not quiet:
            show_overview(clips.path if isinstance(clips, ClipSet) else clips, every_clip, planned)
        read = partial(stored_clips, stores=stores, net=net) if stores else read_clips
        samples, unreadable = read(every_clip, classes, data=data, strict=strict, quiet=quiet)
        if stored_record is None:
            _require_classes(classes, samples.clips, every_clip, unreadable)
            skipped = (*skipped, *unreadable)
        split = plan_split(every_clip, split, model.name, training.seed, {error.path for error in skipped})
        initialized = initialize(net, classes, data, split) if initialize else {}
        record = RunRecord(folder, classes, model, data, training, split, skipped, tuple(features), initialized)
        _write_record(run, record, stored_record)
        if processes.count > 1:  # the others wait for the record
            torch.distributed.barrier()
        recognizer, tuning, held_out = _fit(net, samples, record, run, quiet, cross_validate, processes)
        _add_baseline(samples, record, stores, run)
        return _report(run, recognizer, samples, record, unreadable if stored_record else (), tuning, held_out, quiet)


def continue_run(record: RunRecord, run: Path, quiet: bool = False, cross_validate: bool = True) -> dict[str, Any]:
    """`train_run` with the settings and the split of a record, or its continuation if that was interrupted.

    Raises:
        ValueError: the run was started with other settings or another split.
    """
    model, data, training = resolve(record.model, record.data, record.training)
    record = replace(record, model=model, data=data, training=training)
    if (run / "config.json").exists():
        stored_record = RunRecord.read(run, record.clips)
        readable = record.split.without({error.path for error in stored_record.skipped})
        check_settings(run, stored_record.identity, replace(record, split=readable).identity)
    split = record.split
    return train_run(record.clips, run, model, data, training, split, True, quiet=quiet, cross_validate=cross_validate)


def train_final(clips: ClipSet, run: Path, model: ModelConfig, data: DataConfig, training: TrainConfig) -> Path:
    """Train the model of a cross-validated run on all clips; returns `run/final`, which `load(run)` finds.

    Raises:
        ValueError: a class has fewer than 2 recordings or clips, or the final run was started with other settings.
    """
    split = split_without_test(clips.clips, training.seed)
    with lock_run(run):
        continue_run(RunRecord(clips.root, (), model, data, training, split), run / "final", cross_validate=False)
    return run / "final"


def _asked_clips(
    clips: Path | ClipSet,
    split: Split | None,
    stored_record: RunRecord | None,
    strict: bool,
    background: Path | None,
    run: Path,
) -> tuple[tuple[Clip, ...], Split | None, tuple[ClipError, ...]]:
    """All clips, their split if it is known before they are read, and those that are left out already."""
    if stored_record is not None:
        require_clips((*stored_record.split.training, *stored_record.split.validation))
        return stored_record.split.clips, stored_record.split, stored_record.skipped
    asked, left_out = () if split is None else split.clips, tuple[ClipError, ...]()
    if split is None:
        clips = clips if isinstance(clips, ClipSet) else read_set(clips, classes=1 if background else 2)
        asked, split, left_out = clips.clips, clips.split, clips.left_out
    if strict and left_out:
        raise left_out[0]
    if background:
        added = cut_background(background, asked, run / BACKGROUND, strict)
        asked, split, left_out = (*asked, *added.clips), added.into(split), (*left_out, *added.errors)
    nothing_class(sorted({clip.label for clip in asked}))
    return asked, split, left_out


def _check_solver(devices: int, model: ModelConfig) -> None:
    """Raise a ValueError for several devices that the model cannot use."""
    if devices > 1 and find_recipe(model.name).solver != "gradient":
        raise ValueError(f"devices is {devices}, and {model.name} is fitted by one process; leave it out")


def _require_classes(
    classes: Sequence[str], read: Sequence[Clip], every: Sequence[Clip], errors: Sequence[ClipError]
) -> None:
    """Raise a ClipError for a class of which no clip can be read: the model would never see it."""
    if lost := sorted(set(classes) - {clip.label for clip in read}):
        paths = {clip.path for clip in every if clip.label == lost[0]}
        first = next(error for error in errors if error.path in paths)
        found = f"none of the {len(paths)} clips of class {lost[0]} can be read ({first.found})"
        raise ClipError(first.path.parent, found, "replace them, or leave the class out")


def _report(
    run: Path,
    recognizer: Recognizer,
    samples: ClipFrames,
    record: RunRecord,
    gone: Sequence[ClipError],
    tuning: str,
    held_out: Evaluation | None,
    quiet: bool,
) -> dict[str, Any]:
    """Evaluate on the test clips that are not `gone`, or report the cross-validation; {} if there is neither."""
    if held_out is not None:
        fitted = samples.only((*record.split.training, *record.split.validation))
        return write_report(run, recognizer, fitted, record, run, tuning, held_out, quiet)
    if not record.split.test:
        return {}
    test = [clip for clip in record.split.test if clip.path not in {error.path for error in gone}]
    require_clips([] if test else record.split.test)
    reported = replace(record, skipped=(*record.skipped, *gone))
    return write_report(run, recognizer, samples.only(test), reported, run, tuning, None, quiet)


def _write_record(run: Path, record: RunRecord, stored: RunRecord | None) -> None:
    """Write the record of a new run; of one that continues, check that its first weights are the same."""
    if stored is None:
        record.write(run)
    elif stored.initialized != record.initialized:
        raise ValueError(
            f"{run}: its training started from {stored.initialized or 'random weights'}, this one from "
            f"{record.initialized or 'random weights'}; give the same initial weights, or train again in another folder"
        )


def _fit(
    net: VideoModel,
    samples: ClipFrames,
    record: RunRecord,
    run: Path,
    quiet: bool,
    cross_validate: bool,
    processes: Processes,
) -> tuple[Recognizer, str, Evaluation | None]:
    """Train, tune localization, calibrate and save.

    Returns:
        The recognizer; how localization was tuned; and the predictions of a cross-validation for all clips, without
        test clips and if the model is trained in seconds.
    """
    split, data = record.split, record.data
    validation_clips = samples.only(split.validation)
    held_out, threshold, temperature = None, None, 1.0
    by_gradient = find_recipe(record.model.name).solver == "gradient"
    if by_gradient:
        fit_weights(net, samples, record, run, None if quiet else record.model.name, processes)
    else:
        fitted, tested = samples.only((*split.training, *split.validation)), bool(split.test) or not cross_validate
        temperature, threshold, held_out = fit_and_cross_validate(net, fitted, record, run, quiet, tested)
    rate = sample_rate([clip.path for clip in split.training], data)
    aggregation = record.training.resolved_aggregation
    recognizer = Recognizer(net, record.classes, data, aggregation, frame_rate=rate, temperature=temperature)
    try:
        recognizer.localization, tuning = choose_localization(
            recognizer, validation_clips, None if quiet else "tuning boxes"
        )
        if by_gradient:
            threshold = _calibrate(recognizer, validation_clips)
    except ClipError as error:  # a clip that was removed while the model was trained
        tuning = f"not tuned: {error}"
    if tuning and not quiet:
        print(f"localization: {tuning}", file=sys.stderr)
    if threshold and not quiet:
        print(f"threshold: {threshold}", file=sys.stderr)
    recognizer.threshold = threshold and threshold.probability
    with whole_folder(run / "model") as part:
        recognizer.save(part)
    return recognizer, tuning, held_out


def _add_baseline(samples: ClipFrames, record: RunRecord, stores: Sequence[FeatureStore], run: Path) -> None:
    """Add the accuracy of the linear baseline on the same features to the figures of the run; it takes seconds."""
    split, data = record.split, record.data
    if not (stores and split.test) or find_recipe(record.model.name).solver == "linear":
        return
    if data.modality == "both" and len(stores) == 1:  # RGB and flow share an encoder; the baseline has one for each
        return
    model = with_baseline([])[0].model_config(record.model)
    net = build(model, data, record.training, record.classes, stores, None)
    fit_linear(net, samples.only((*split.training, *split.validation)), data)
    test = Recognizer(net, record.classes, data, "last").evaluate(samples.only(split.test))
    figures = read_json(run / CROSS_VALIDATION) if (run / CROSS_VALIDATION).exists() else {}
    accuracy = float((test.scores.argmax(1) == test.targets).mean())
    write_json(run / CROSS_VALIDATION, {**figures, "linear_accuracy": accuracy})


def _calibrate(recognizer: Recognizer, validation: ClipFrames) -> EventThreshold | None:
    """Choose the temperature, and the threshold of events if there is a class in which nothing happens."""
    if len(validation) < _MIN_CALIBRATION:
        return None
    evaluation = recognizer.evaluate(validation)
    recognizer.temperature = fit_temperature(evaluation.frame_scores, evaluation.targets, recognizer.aggregation)
    if nothing_class(recognizer.classes) is None:
        return None
    return choose_threshold(recognizer.evaluate(validation).scores, evaluation.targets, recognizer.classes)

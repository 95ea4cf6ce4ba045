"""Train a run: read clips, train, tune localization, save, evaluate."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.clips import ClipCrops
from onlooker.data.feature_store import FeatureStore
from onlooker.data.samples import sample_rate
from onlooker.data.sets import ClipSet, read_set, root_of, set_name
from onlooker.data.split import Split, require_clips, split_clips, split_without_test
from onlooker.evaluation.report import percent
from onlooker.files import check_writable
from onlooker.models.registry import configured, resolve_loss
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer, resolve_normalization
from onlooker.runs.evaluate import read_clips, write_report
from onlooker.runs.features import open_stores, stored_clips, stored_settings, use_encoders
from onlooker.runs.folder import RunRecord, save_model, start_run
from onlooker.runs.model_spec import folder_name
from onlooker.runs.tune_localization import choose_localization
from onlooker.structures import ClipError
from onlooker.training.fit import check_regularization, fit

__all__ = ["Initialize", "TrainedRun", "train", "train_run"]

# Gives a new model its first weights: called with the model, the class names, the sample settings and the split, it
# returns plain values that say where the weights come from, for config.json.
Initialize = Callable[[VideoModel, Sequence[str], DataConfig, Split], dict[str, Any]]


@dataclass(frozen=True)
class TrainedRun:
    """A trained run: its folder, and the figures of its test clips (`metrics.measure`; empty without test clips)."""

    path: Path
    figures: Mapping[str, Any]

    def __str__(self) -> str:
        if not self.figures:
            return f"{self.path}: trained on all clips"
        return (
            f"{self.path}: {percent(self.figures['accuracy'])} of {self.figures['videos']} test videos classified "
            f"correctly (majority-class baseline {percent(self.figures['majority_share'])})"
        )


def train(
    clips: Path | str,
    run: Path | str | None = None,
    model: str = ModelConfig.name,
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> TrainedRun:
    """Train a model on a folder of clips with one sub-folder per class, or on a CSV list, and evaluate it.

    `onlooker.train("clips", run="runs/gestures", model="alstm", frames=20, epochs=10)`

    Args:
        clips: the folder or list (`read_set`).
        run: a new folder for the run; None: `runs/CLIPS-MODEL`.
        model: one of `onlooker.list_models()`.
        resume: continue a run that was interrupted, with its own settings.
        quiet: no progress bars.
        settings: any other field of `ModelConfig`, `DataConfig` or `TrainConfig`.

    Returns:
        The folder of the run, which `onlooker.load` reads, and its figures.

    Raises:
        TypeError: a setting that none of the three has.
        FileExistsError, NotWritableError, ClipError, ValueError: as `train_run`.
    """
    groups: list[type[ModelConfig | DataConfig | TrainConfig]] = [ModelConfig, DataConfig, TrainConfig]
    fields = [{f.name for f in dataclasses.fields(group)} - {"name"} for group in groups]
    if unknown := sorted(set(settings) - set().union(*fields)):
        raise TypeError(f"train has no setting {', '.join(unknown)}; it has {', '.join(sorted(set().union(*fields)))}")
    of_model, of_data, of_training = ({key: settings[key] for key in names & set(settings)} for names in fields)
    path = Path("runs") / f"{set_name(Path(clips))}-{folder_name(model)}" if run is None else Path(run)
    figures = train_run(
        Path(clips),
        path,
        ModelConfig(model, **of_model),
        DataConfig(**of_data),
        TrainConfig(**of_training),
        resume=resume,
        quiet=quiet,
    )
    return TrainedRun(path, figures)


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
) -> dict[str, Any]:
    """Train on clips and evaluate on their test split; everything is written to the folder of the run.

    All clips are read first, and split without those that cannot be read.

    With `features` the encoder is that of a feature store and stays frozen: the rest of the model is trained on the
    stored maps, without augmentation. The run is complete nevertheless and predicts from video files.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        run: a new or empty folder for the run; with `resume`, one whose training was interrupted.
        model, data, training: settings.
        split: training, validation and test clips; without test clips nothing is evaluated. None: the split of
            `clips`, or `split_clips` of all.
        resume: continue an interrupted run with its own settings and split.
        strict: stop at the first clip that cannot be read.
        quiet: no progress bars.
        features: a feature store, whose encoder and sampling are used; clips that it lacks are encoded into it. For
            `motion` two: RGB and flow.
        initialize: gives the model its first weights; a run that continues must get the same ones.

    Returns:
        The figures of the test clips (`metrics.measure`); empty without test clips.

    Raises:
        FileExistsError: the folder holds a run and `resume` was not asked for, or other files.
        NotWritableError: the run cannot be written to.
        ClipError: the clips do not fit, or none can be read.
        ValueError: settings, stores or weights that do not fit, or a run of another version.
    """
    folder = clips.root if isinstance(clips, ClipSet) else root_of(clips)
    record = RunRecord.read(run, folder) if start_run(run, resume) else None
    skipped: tuple[ClipError, ...] = ()
    if record is not None:
        require_clips(record.split.clips)
        model, data, training, split = record.model, record.data, record.training, record.split
        features, skipped = record.features, record.skipped
    elif split is None:
        found = clips if isinstance(clips, ClipSet) else read_set(clips)
        split, skipped = found.split, found.left_out
        if strict and skipped:
            raise skipped[0]
    every_clip = found.clips if split is None else split.clips
    training = resolve_loss(training, model.name)
    stores = open_stores(features)
    model, data = stored_settings(stores, model, data) if stores else (model, data)
    data = resolve_normalization(data, model.pretrained, model.name)
    classes = sorted({clip.label for clip in every_clip})
    # Settings that do not fit are an error before clips are read, which may take long.
    net = _build(model, data, training, classes, stores, initialize)
    check_writable(run, "choose another folder with --run")
    if stores:
        samples, unreadable = stored_clips(every_clip, classes, stores, net, data, strict, quiet)
    else:
        samples, unreadable = read_clips(every_clip, classes, data, strict, quiet)
    skipped = (*skipped, *unreadable)
    if split is None:
        split = split_clips(samples.clips, training.seed)
    elif record is None:
        split = split.without({error.path for error in skipped})
    initialized = _initialized(run, record, initialize and initialize(net, classes, data, split))
    record = RunRecord(folder, tuple(classes), model, data, training, split, skipped, tuple(features), initialized)
    record.write(run)

    learn, choose = samples.only(split.training), samples.only(split.validation)
    if isinstance(learn, ClipCrops):
        learn = learn.random(training.seed)
    fit(net, learn, choose, data, training, run, None if quiet else model.name)
    recognizer = Recognizer(net, classes, data, training.judged_by)
    recognizer.frame_rate = sample_rate([clip.path for clip in split.training], data)
    recognizer.localization, tuning = choose_localization(recognizer, choose)
    if tuning and not quiet:
        print(f"localization: {tuning}", file=sys.stderr)
    save_model(recognizer, run)
    if not split.test:
        return {}
    return write_report(run, recognizer, samples.only(split.test), skipped, record, run, tuning)


def train_final(clips: ClipSet, run: Path, model: ModelConfig, data: DataConfig, training: TrainConfig) -> Path:
    """Train the model of a cross-validated run on all clips, without a test split; `load(run)` then finds it.

    Args:
        clips: what was cross-validated.
        run: the folder of the cross-validation.
        model, data, training: its settings.

    Returns:
        The folder of the final run, `run/final`.

    Raises:
        ValueError: a class has fewer than 2 recordings or clips.
    """
    split = split_without_test(clips.clips, training.seed)
    train_run(clips, run / "final", model, data, training, split, resume=True)
    return run / "final"


def _build(
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    classes: Sequence[str],
    stores: Sequence[FeatureStore],
    initialize: Initialize | None,
) -> VideoModel:
    torch.manual_seed(training.seed)
    # ImageNet weights would be downloaded only to be replaced.
    pretrained = model.pretrained and not stores and initialize is None
    net = configured(replace(model, pretrained=pretrained), data, len(classes))
    check_regularization(net, training)
    if stores:
        if not net.encodes_frames:
            raise ValueError(f"{model.name} needs frames, not stored features; leave out --features")
        use_encoders(net, stores)
    return net


def _initialized(run: Path, record: RunRecord | None, weights: dict[str, Any] | None) -> dict[str, Any]:
    """What config.json says about the first weights; a run that continues must have had the same."""
    if record is not None and dict(record.initialized) != (weights or {}):
        raise ValueError(
            f"{run}: its training started from {dict(record.initialized) or 'random weights'}, this one from "
            f"{weights or 'random weights'}; give the same initial weights, or train again in another folder"
        )
    return weights or {}

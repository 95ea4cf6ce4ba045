"""Train a run: prepare its clips, fit its model, evaluate it."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from onlooker.config import DataConfig, ModelConfig, SetConfig, Settings, TrainConfig
from onlooker.data.clips import read_clips, read_thumbnails
from onlooker.data.scenes import plan_joined
from onlooker.data.sets import ClipSet, read_set, root_of, set_name
from onlooker.data.split import Split, hold_out_validation, require_clips
from onlooker.evaluation.report.summary import first_line
from onlooker.models.registry import find_recipe, for_model, resolve
from onlooker.recognizer import Recognizer
from onlooker.run_record import RunRecord, check_content, check_settings, lock_run, read_figures, start_run
from onlooker.runs.encoders import choose_encoder
from onlooker.runs.evaluate import write_report
from onlooker.runs.fitting import fit_by_gradient, fit_run
from onlooker.runs.preparation import Training, new_run, resumed_run
from onlooker.settings import suggestion
from onlooker.stages import OnProgress, reporting
from onlooker.storage import local, uploading
from onlooker.structures import Evaluation
from onlooker.training.processes import connect, launched
from onlooker.training.tensorboard import log, open_writer, require_tensorboard

__all__ = ["TrainedRun", "continue_run", "train", "train_run"]


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
    progress: OnProgress | None = None,
    fill: str | None = None,
    divide: bool = False,
    scenes: bool = True,
    tensorboard: bool = False,
    **settings: Any,
) -> TrainedRun:
    """Train a model on a folder of clips with one sub-folder per class, or on a CSV list, and evaluate it.

    `onlooker.train("clips", run="runs/gestures", model="alstm", frames=20, epochs=10)`

    Args:
        clips: the folder or list (`read_set`). `clips` and `run` may be addresses (`onlooker.storage`).
        run: a new folder for the run; None: `runs/CLIPS-MODEL`.
        model: one of `onlooker.list_models()`.
        resume, quiet, tensorboard: as in `train_run`.
        progress: called with a stage, such as "reading clips", how many of its parts are done, and how many there are.
            An exception in it ends the training, and `resume` continues it.
        fill, divide, scenes: as in `SetConfig`.
        settings: any other field of `ModelConfig`, `DataConfig` or `TrainConfig`.

    Raises:
        TypeError: a setting that none of the three has.
        FileExistsError, NotWritableError, ClipError, ValueError: as `train_run`.
    """
    configs = _configs(model, settings)
    path = default_run(Path(clips), model) if run is None else Path(run)
    with reporting(progress), uploading([path]) as copies:
        copy = copies.get(path, path)
        asked = SetConfig(fill=fill, divide=divide, scenes=scenes)
        source = local(clips) if asked == SetConfig() else read_set(local(clips), asked, fills=True)
        figures = train_run(source, copy, *configs, resume=resume, quiet=quiet, tensorboard=tensorboard)
    return TrainedRun(path, figures)


def default_run(clips: Path, name: str) -> Path:
    """The folder of a run on these clips, unless another one is named."""
    return Path("runs") / f"{set_name(clips)}-{folder_name(name)}"


def folder_name(name: str) -> str:
    """A model's name as part of a path, also on systems whose file names have no colon."""
    return re.sub(r"[^\w.=+-]", "-", name)


def _configs(model: str, settings: Mapping[str, Any]) -> Settings:
    """`settings` by the config that has them; a model for flow reads flow unless `modality` is given."""
    groups: list[type[ModelConfig | DataConfig | TrainConfig]] = [ModelConfig, DataConfig, TrainConfig]
    fields = [{f.name for f in dataclasses.fields(group)} - {"name"} for group in groups]
    for unknown in sorted(set(settings) - set().union(*fields)):
        raise TypeError(f"train has no setting {unknown}; {suggestion(unknown, sorted(set().union(*fields)))}")
    if unused := set(settings) & find_recipe(model).ignores:
        raise ValueError(
            f"{', '.join(sorted(unused))}: without effect in {model}; leave it out, or choose another model"
        )
    of_model, of_data, of_training = ({key: settings[key] for key in names & set(settings)} for names in fields)
    found = for_model(ModelConfig(model, **of_model), DataConfig(**of_data), settings)
    return Settings(*found, TrainConfig(**of_training))


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
    cross_validate: bool = True,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Train on the clips that can be read; the figures of the test clips (`metrics.measure`), if there are any.

    Processes that torchrun started share each batch. All but the first write nothing, and return {}.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        run: a new or empty folder for everything that is written.
        split: which clips are used for what; None: the split of `clips`, or `plan_split` of all clips.
        resume: continue an interrupted run with its own settings and split.
        strict, quiet: stop at the first clip that cannot be read; no table of classes and no progress bars.
        cross_validate: test a model that is trained in seconds by cross-validation if there are no test clips.
        tensorboard: also write curves and figures for TensorBoard.

    Raises:
        FileExistsError: the folder holds a run and `resume` is false, or it holds other files.
        NotWritableError, ClipError: the run cannot be written to; the clips do not fit, or none can be read.
        ValueError: settings or weights that do not fit; a run of another version; another process trains in it.
        RuntimeError: TensorBoard is not installed.
    """
    settings = Settings(model, data, training)
    if tensorboard:
        require_tensorboard()
    folder = root_of(clips.path if isinstance(clips, ClipSet) else clips)
    with connect():
        if launched().rank:
            torch.distributed.barrier()  # the first one has written the record of the run
            fit_by_gradient(resumed_run(run, folder, quiet=True))
            return {}
        with start_run(run, resume) as continues:
            if continues:
                prepared = resumed_run(run, folder, quiet)
            else:
                prepared = new_run(run, clips, settings, split, strict, quiet)
            prepared = choose_encoder(prepared)
            if launched().size > 1:
                torch.distributed.barrier()
            writer = open_writer(run, prepared.record.settings.to_dict()) if tensorboard else None
            figures = _report(prepared, *fit_run(prepared, writer, cross_validate))
            log(writer, "test", figures, 0)
            return figures


def continue_run(record: RunRecord, run: Path, quiet: bool = False, cross_validate: bool = True) -> dict[str, Any]:
    """`train_run` with the settings and the split of a record, or its continuation if that was interrupted.

    Raises:
        ValueError: the run was started with other settings or another split.
    """
    if figures := finished_figures(record, run):
        return figures
    settings = resolve(*record.settings)
    return train_run(record.clips, run, *settings, record.split, True, quiet=quiet, cross_validate=cross_validate)


def finished_figures(record: RunRecord, run: Path) -> dict[str, Any] | None:
    """The figures of a run with the settings and the split of a record; None unless it is finished; errors as there."""
    if not (run / "config.json").exists():
        return None
    stored = RunRecord.read(run, record.clips)
    check_content(run, stored.split)
    split = record.split.without({error.path for error in stored.skipped})
    check_settings(run, stored.identity, replace(record, **resolve(*record.settings)._asdict(), split=split).identity)
    return read_figures(run)


def train_final(clips: ClipSet, run: Path, settings: Settings) -> Path:
    """Train the model of a cross-validated run on all clips; returns `run/final`, which `load(run)` finds.

    Raises:
        ValueError: a class has fewer than 2 recordings or clips, or the final run was started with other settings.
    """
    samples, _ = read_clips(clips.clips, sorted({clip.label for clip in clips.clips}), settings.data)
    plan = partial(hold_out_validation, seed=settings.training.seed)
    split = plan_joined(plan, samples.clips, read_thumbnails(samples, settings.data), clips.asked.scenes)
    with lock_run(run):
        continue_run(RunRecord(root_of(clips.path), (), *settings, split), run / "final", cross_validate=False)
    return run / "final"


def _report(training: Training, recognizer: Recognizer, held_out: Evaluation | None) -> dict[str, Any]:
    """Evaluate on the test clips that are not `gone`, or report the cross-validation; {} if there is neither."""
    record = training.record
    if held_out is not None:
        clips = (*record.split.training, *record.split.validation)
    elif record.split.test:
        gone = {error.path for error in training.gone}
        clips = tuple(clip for clip in record.split.test if clip.path not in gone)
        require_clips([] if clips else record.split.test)
        record = replace(record, skipped=(*record.skipped, *training.gone))
    else:
        return {}
    samples = training.samples.only(clips)
    return write_report(training.run, recognizer, samples, record, training.run, held_out, training.quiet)

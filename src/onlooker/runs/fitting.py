"""Fit the model of a run: by gradient descent, or as a linear layer that cross-validation chooses and tests."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.answer import nothing_class
from onlooker.config import DataConfig
from onlooker.data.clips import ClipCrops, ClipFrames
from onlooker.data.samples import sample_rate
from onlooker.data.split import group_of
from onlooker.evaluation.calibration import fit_temperature
from onlooker.evaluation.conclusion import labels_to_check
from onlooker.evaluation.events import EventThreshold, choose_threshold
from onlooker.experiments.model_spec import with_baseline
from onlooker.files import whole_folder
from onlooker.models.registry import find_recipe
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer
from onlooker.run_record import RunRecord, note_figures
from onlooker.runs.preparation import Prepared, build
from onlooker.structures import ClipError, Evaluation
from onlooker.training.linear import Choice, Clips, choose, cross_validated, fit_layer, statistics_of
from onlooker.training.processes import ALONE, Processes
from onlooker.tuning import choose_localization

__all__ = ["Fitted", "add_baseline", "fit_by_gradient", "fit_run"]

_MIN_CALIBRATION = 10  # validation clips; with fewer of them the temperature is 1


class Fitted(NamedTuple):
    """A trained model.

    Args:
        tuning: how its localization was tuned.
        held_out: predictions of a cross-validation for all clips, if it is tested so.
    """

    recognizer: Recognizer
    tuning: str
    held_out: Evaluation | None = None


def fit_run(
    prepared: Prepared, run: Path, quiet: bool, cross_validate: bool = True, processes: Processes = ALONE
) -> Fitted:
    """Train, tune localization, calibrate and save the model of a run.

    Args:
        cross_validate: test a model that is trained in seconds by cross-validation if there are no test clips.
    """
    record, samples, net = prepared.record, prepared.samples, prepared.net
    split, held_out, threshold = record.split, None, None
    temperature, validation = 1.0, samples.only(split.validation)
    by_gradient = find_recipe(record.model.name).solver == "gradient"
    if by_gradient:
        fit_by_gradient(prepared, run, None if quiet else record.model.name, processes)
    else:
        fitted, tested = samples.only((*split.training, *split.validation)), bool(split.test) or not cross_validate
        temperature, threshold, held_out = _fit_and_cross_validate(net, fitted, record, run, quiet, tested)
    rate = sample_rate([clip.path for clip in split.training], record.data)
    aggregation = record.training.resolved_aggregation
    recognizer = Recognizer(net, record.classes, record.data, aggregation, frame_rate=rate, temperature=temperature)
    try:
        title = None if quiet else "tuning boxes"
        recognizer.localization, tuning = choose_localization(recognizer, validation, title)
        if by_gradient:
            threshold = _calibrate(recognizer, validation)
    except ClipError as error:  # a clip that was removed while the model was trained
        tuning = f"not tuned: {error}"
    for name, chosen in {"localization": tuning, "threshold": threshold}.items():
        if chosen and not quiet:
            print(f"{name}: {chosen}", file=sys.stderr)
    recognizer.threshold = threshold and threshold.probability
    with whole_folder(run / "model") as part:
        recognizer.save(part)
    return Fitted(recognizer, tuning, held_out)


def fit_by_gradient(prepared: Prepared, run: Path, title: str | None, processes: Processes = ALONE) -> None:
    """Train by gradient descent, with a part of each batch in each process; `title` begins the line of each epoch."""
    from onlooker.training.fit import fit  # imported here: Lightning takes seconds, and linear models do not need it

    record, samples = prepared.record, prepared.samples
    training, validation = samples.only(record.split.training), samples.only(record.split.validation)
    if isinstance(training, ClipCrops):
        training = training.random(record.training.seed)
    fit(prepared.net, training, validation, record.data, record.training, run, title, processes=processes)


def add_baseline(prepared: Prepared, run: Path) -> None:
    """Add the accuracy of the linear baseline on the same features to the figures of the run; it takes seconds."""
    record, samples, stores = prepared.record, prepared.samples, prepared.stores
    split, data = record.split, record.data
    if not (stores and split.test) or find_recipe(record.model.name).solver == "linear":
        return
    if data.modality == "both" and len(stores) == 1:  # RGB and flow share an encoder; the baseline has one for each
        return
    model = with_baseline([])[0].model_config(record.model)
    net = build(model, data, record.training, record.classes, stores)
    _fit_linear(net, samples.only((*split.training, *split.validation)), data)
    test = Recognizer(net, record.classes, data, "last").evaluate(samples.only(split.test))
    note_figures(run, linear_accuracy=float((test.scores.argmax(1) == test.targets).mean()))


def _calibrate(recognizer: Recognizer, validation: ClipFrames) -> EventThreshold | None:
    """Choose the temperature, and the threshold of events if there is a class in which nothing happens."""
    if len(validation) < _MIN_CALIBRATION:
        return None
    evaluation = recognizer.evaluate(validation)
    recognizer.temperature = fit_temperature(evaluation.frame_scores, evaluation.targets, recognizer.aggregation)
    if nothing_class(recognizer.classes) is None:
        return None
    return choose_threshold(recognizer.evaluate(validation).scores, evaluation.targets, recognizer.classes)


def _fit_and_cross_validate(
    net: VideoModel, samples: ClipFrames, record: RunRecord, run: Path, quiet: bool, tested: bool
) -> tuple[float, EventThreshold | None, Evaluation | None]:
    """Choose and fit the layer of a linear model, and note the figures of its cross-validation for the report.

    Args:
        net: fitted in place.
        samples: the training and validation clips.
        quiet: no progress bars, and no line about what was chosen.
        tested: the model is tested by other clips or runs.

    Returns:
        The temperature; the threshold of events, if there is a class in which nothing happens; and, unless `tested`,
        the predictions for all of these clips, each by a model that was chosen, fitted and calibrated without the clip
        and its recording. The last two are None if the clips cannot be divided.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    clips, choice = _fit_linear(net, samples, record.data, None if quiet else "encoding clips")
    if not quiet:
        print(f"chosen: {choice}", file=sys.stderr)

    scores, curve = cross_validated(clips, choice if tested else None, None if quiet else "cross-validation")
    chosen: dict[str, Any] = {"chosen": str(choice), "learning_curve": curve}
    known, held_out, threshold = _evaluation(samples, scores, record), None, None
    if known is not None and not tested and len(known.names) == len(samples.clips):
        held_out, chosen["cross_validated"] = known, True
    if known is not None:
        chosen["labels_to_check"] = labels_to_check(known)
        threshold = choose_threshold(known.scores, known.targets, known.classes)
    note_figures(run, **chosen)
    return choice.temperature, threshold, held_out


def _fit_linear(
    net: VideoModel, samples: ClipFrames, data: DataConfig, title: str | None = None
) -> tuple[Clips, Choice]:
    """Fit the layer of a linear model to all samples, with the settings that cross-validation chooses; clips of a
    recording are kept together."""
    groups = [group_of(clip) for clip in samples.clips]
    clips, early = statistics_of(net, samples, groups, data, title)
    choice = choose(clips)
    fit_layer(net, clips, choice, early)
    return clips, choice


def _evaluation(samples: ClipFrames, scores: NDArray[np.float64], record: RunRecord) -> Evaluation | None:
    """The evaluation of the clips that have scores; None if no clip has any."""
    known = np.flatnonzero(np.isfinite(scores).all(1))
    if not len(known):
        return None
    names, targets = tuple(samples.names[i] for i in known), np.array(samples.targets, np.int64)[known]
    return Evaluation(names, record.classes, targets, scores[known], (), skipped=record.skipped)

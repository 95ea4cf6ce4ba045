"""Fit the model of a run: by gradient descent, or as a linear layer that cross-validation chooses and tests."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from onlooker.answer import nothing_class
from onlooker.config import StreamConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.samples import sample_rate
from onlooker.data.scenes import count_joined
from onlooker.data.split import count_groups, source_of
from onlooker.evaluation.events import EventThreshold, choose_threshold
from onlooker.evaluation.metrics import balancing_weights, fit_temperature, measure
from onlooker.evaluation.report.summary import labels_to_check
from onlooker.files import whole_folder, write_json
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import find_recipe
from onlooker.recognizer import Recognizer, expected_events, rate_text
from onlooker.run_record import CROSS_VALIDATION, RunRecord
from onlooker.runs.encoders import encode, lite0_may_help
from onlooker.runs.preparation import Training
from onlooker.structures import ClipError, Evaluation
from onlooker.training.events import ClipFeatures, fit_events
from onlooker.training.fit import fit
from onlooker.training.linear import Choice, Clips, choose, cross_validated, fit_layer
from onlooker.video.decode import RATE
from onlooker.video.reader import VideoReader

_NEARLY_ALL = 0.95  # of the training clips are not longer than a clip with one answer
_LONG = 8  # times the frames of a sample that a clip has in the streams of the event layer at most
_MIN_CALIBRATION = 10  # validation clips; with fewer of them the temperature is 1


def fit_run(training: Training, writer: Any, cross_validate: bool) -> tuple[Recognizer, Evaluation | None]:
    """Train, calibrate and save the model of a run.

    Args:
        writer: as in `fit`.
        cross_validate: as in `train_run`.

    Returns:
        The trained model; and the predictions of a linear one for all training and validation clips, each by a model
        that was chosen, fitted and calibrated without the clip and its recording, unless other clips or runs test it.
    """
    record = training.record
    rate = sample_rate([clip.path for clip in record.split.training], record.data)
    by_gradient = find_recipe(record.model.name).solver == "gradient"
    if by_gradient:
        fit_by_gradient(training, writer)
    aggregation, nothing = record.training.resolved_aggregation, record.training.nothing
    recognizer = Recognizer(training.net, record.classes, record.data, aggregation, rate, nothing=nothing)
    threshold, held_out, notes = None, None, dict[str, object]()
    if by_gradient:
        try:
            threshold = _calibrate(recognizer, training)
        except ClipError as error:  # a clip that was removed while the model was trained
            notes["calibration"] = f"none: {error}"
    else:
        threshold, held_out = _fit_layers(training, recognizer, cross_validate)
    notes |= {"threshold": threshold, "frame rate": rate_text(recognizer)}
    if recognizer.model.lengths:
        notes["when"] = expected_events(recognizer, StreamConfig.alarms_per_hour)
    for name, chosen in notes.items():
        if chosen and not training.quiet:
            print(f"{name}: {chosen}", file=sys.stderr)
    recognizer.threshold = threshold and threshold.probability
    with whole_folder(training.run / "model") as part:
        recognizer.save(part)
    return recognizer, held_out


def fit_by_gradient(training: Training, writer: Any = None) -> None:
    """Train by gradient descent, with a part of each batch in each process, and print a line for each epoch."""
    record, samples = training.record, training.samples
    parts = samples.only(record.split.training), samples.only(record.split.validation)
    title = None if training.quiet else record.model.name
    fit(training.net, *parts, record.data, record.training, training.run, title, writer=writer)


def _calibrate(recognizer: Recognizer, training: Training) -> EventThreshold | None:
    """Choose the temperature, and the threshold of events if there is a class in which nothing happens.

    Classes weigh equally if they did in training.
    """
    validation = training.samples.only(training.record.split.validation)
    if len(validation) < _MIN_CALIBRATION:
        return None
    evaluation = recognizer.evaluate(validation)
    targets, aggregation = evaluation.targets, recognizer.aggregation
    weights = balancing_weights(targets) if training.record.training.class_weights == "balanced" else None
    recognizer.temperature = fit_temperature(evaluation.frame_scores, targets, aggregation, weights)
    nothing = nothing_class(recognizer.classes, recognizer.nothing)
    return choose_threshold(recognizer.evaluate(validation).scores, targets, nothing)


def _fit_layers(
    training: Training, recognizer: Recognizer, cross_validate: bool
) -> tuple[EventThreshold | None, Evaluation | None]:
    """Choose and fit the layers of a linear model in place, and note what its cross-validation finds for the report.

    Returns:
        The threshold of events, and the predictions that `fit_run` returns.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    record, quiet = training.record, training.quiet
    samples = training.samples.only((*record.split.training, *record.split.validation))
    clips, early, features = training.encoded or encode(training, samples.clips)
    choice = choose(clips)
    recognizer.temperature = choice.temperature
    fit_layer(recognizer.model, clips, choice, early)
    if features:
        _fit_events(recognizer, samples, clips, choice, features)
    why = f"{training.why}; {choice}" if training.why else str(choice)
    if not quiet:
        print(f"chosen: {why}", file=sys.stderr)

    tested = bool(record.split.test) or not cross_validate
    given = choice if tested else None
    tests = cross_validated(clips, given, None if quiet else "cross-validation", training.rival)
    chosen: dict[str, Any] = {"chosen": why, "statistics": choice.label}
    if lite0_may_help(record.settings, samples.clips):
        chosen["imagenet"] = True
    evaluation, held_out, threshold = _evaluation(samples, record, *tests), None, None
    if evaluation is not None:
        if count_joined(samples.clips)[0]:
            paths = np.array([str(clip.path) for clip in samples.clips])
            rival = training.rival and training.rival._replace(groups=paths)
            title = None if quiet else "cross-validation without scenes"
            tests = cross_validated(clips._replace(groups=paths), given, title, rival)
            if mixed := _evaluation(samples, record, *tests):
                unit = "scenes" if count_groups(samples.clips)[1] == "scene" else "copies"
                chosen[unit] = {"mixed": measure(mixed)["accuracy"], "unseen": measure(evaluation)["accuracy"]}
        if not tested and len(evaluation.names) == len(samples.clips):
            held_out = evaluation
            chosen["cross_validated"] = True
        chosen["labels_to_check"] = labels_to_check(evaluation)
        threshold = choose_threshold(evaluation.scores, evaluation.targets, clips.nothing)
    write_json(training.run / CROSS_VALIDATION, chosen)
    return threshold, held_out


def _fit_events(
    recognizer: Recognizer, samples: ClipFrames, clips: Clips, choice: Choice, features: Mapping[int, Tensor]
) -> None:
    """Fit the layer of whole events to streams of the clips whose features are given, by their numbers."""
    made_of, seconds, rate = list[ClipFeatures](), list[float](), recognizer.frame_rate or RATE
    for number, of_clip in features.items():
        with suppress(ClipError):  # a clip that was removed while the model was trained
            reader = VideoReader(samples.clips[number].path, recognizer.data.frame_rate)
            distinct = min(len(of_clip), len(reader.times))  # a short clip repeats its last frame
            count = min(max(2, round(reader.seconds * rate)), _LONG * len(of_clip))
            places = np.linspace(0, distinct - 1, count).round().astype(int)
            made_of.append(ClipFeatures(of_clip[places], number))
            seconds.append(reader.seconds)
    model = cast(LinearClassifier, recognizer.model)
    recognizer.curve = fit_events(model, clips, choice, made_of, samples.classes, rate)
    if seconds:
        recognizer.clip_seconds = float(np.quantile(seconds, _NEARLY_ALL))


def _evaluation(
    samples: ClipFrames, record: RunRecord, scores: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> Evaluation | None:
    """The evaluation of the clips that have scores; None if no clip has any."""
    known = np.flatnonzero(np.isfinite(scores).all(1))
    if not len(known):
        return None
    names, targets = tuple(samples.names[i] for i in known), np.array(samples.targets, np.int64)[known]
    recordings = tuple(source_of(samples.clips[i]) for i in known)
    threshold = None if np.isnan(thresholds).all() else thresholds[known]
    nothing = record.training.nothing
    return Evaluation(names, record.classes, targets, scores[known], (), record.skipped, recordings, threshold, nothing)

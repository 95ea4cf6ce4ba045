"""Fit the model of a run: by gradient descent, or as a linear layer that cross-validation chooses and tests."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from onlooker.answer import nothing_class
from onlooker.config import StreamConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.samples import sample_rate
from onlooker.data.scenes import count_joined
from onlooker.data.split import count_groups, source_of
from onlooker.evaluation.calibration import balancing_weights, fit_temperature
from onlooker.evaluation.events import EventCurve, EventThreshold, choose_threshold
from onlooker.evaluation.metrics import measure
from onlooker.evaluation.report.summary import labels_to_check
from onlooker.files import whole_folder, write_json
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import find_recipe
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer, expected_events, rate_text
from onlooker.run_record import CROSS_VALIDATION, RunRecord
from onlooker.runs.encoders import encode, lite0_may_help
from onlooker.runs.preparation import Prepared, Request
from onlooker.structures import ClipError, Evaluation
from onlooker.training.events import ClipFeatures, fit_events
from onlooker.training.fit import fit
from onlooker.training.linear import Choice, Clips, choose, cross_validated, fit_layer
from onlooker.video.decode import RATE
from onlooker.video.reader import VideoReader

__all__ = ["Fitted", "fit_by_gradient", "fit_run"]

_NEARLY_ALL = 0.95  # of the training clips are not longer than a clip with one answer
_LONG = 8  # times the frames of a sample that a clip has in the streams of the event layer at most
_MIN_CALIBRATION = 10  # validation clips; with fewer of them the temperature is 1


class Fitted(NamedTuple):
    """A trained model, and its predictions for held-out clips, if any."""

    recognizer: Recognizer
    held_out: Evaluation | None


def fit_run(prepared: Prepared, request: Request) -> Fitted:
    """Train, calibrate and save the model of a run."""
    record, samples, net, quiet = prepared.record, prepared.samples, prepared.net, request.quiet
    split, fitted = record.split, _Layer()
    by_gradient = find_recipe(record.model.name).solver == "gradient"
    rate = sample_rate([clip.path for clip in split.training], record.data)
    if by_gradient:
        fit_by_gradient(prepared, request.run, None if quiet else record.model.name)
    else:
        fitted = _fit_and_cross_validate(prepared, request, rate)
    recognizer = Recognizer(
        net,
        record.classes,
        record.data,
        record.training.resolved_aggregation,
        frame_rate=rate,
        temperature=fitted.temperature,
        nothing=record.training.nothing,
        curve=fitted.curve,
        clip_seconds=fitted.clip_seconds,
    )
    threshold, notes = fitted.threshold, dict[str, object]()
    try:
        if by_gradient:
            validation = samples.only(split.validation)
            threshold = _calibrate(recognizer, validation, record.training.class_weights == "balanced")
    except ClipError as error:  # a clip that was removed while the model was trained
        notes["calibration"] = f"none: {error}"
    notes |= {"threshold": threshold, "frame rate": rate_text(recognizer)}
    notes |= {"when": expected_events(recognizer, StreamConfig.alarms_per_hour)} if net.lengths else {}
    for name, chosen in notes.items():
        if chosen and not quiet:
            print(f"{name}: {chosen}", file=sys.stderr)
    recognizer.threshold = threshold and threshold.probability
    with whole_folder(request.run / "model") as part:
        recognizer.save(part)
    return Fitted(recognizer, fitted.held_out)


def fit_by_gradient(prepared: Prepared, run: Path, title: str | None) -> None:
    """Train by gradient descent, with a part of each batch in each process; `title` begins the line of each epoch."""
    record, samples = prepared.record, prepared.samples
    training, validation = samples.only(record.split.training), samples.only(record.split.validation)
    fit(prepared.net, training, validation, record.data, record.training, run, title, 1, prepared.loggers)


def _calibrate(recognizer: Recognizer, validation: ClipFrames, balanced: bool) -> EventThreshold | None:
    """Choose the temperature, and the threshold of events if there is a class in which nothing happens.

    Classes weigh equally (`balanced`) if they did in training.
    """
    if len(validation) < _MIN_CALIBRATION:
        return None
    evaluation = recognizer.evaluate(validation)
    targets, aggregation = evaluation.targets, recognizer.aggregation
    weights = balancing_weights(targets) if balanced else None
    recognizer.temperature = fit_temperature(evaluation.frame_scores, targets, aggregation, weights)
    nothing = nothing_class(recognizer.classes, recognizer.nothing)
    return choose_threshold(recognizer.evaluate(validation).scores, targets, nothing)


class _Layer(NamedTuple):
    """What is known of a linear model that was fitted: `Recognizer` has the first four; and, unless it is tested by
    other clips or runs, the predictions for all training and validation clips, each by a model that was chosen, fitted
    and calibrated without the clip and its recording."""

    temperature: float = 1.0
    threshold: EventThreshold | None = None
    curve: EventCurve | None = None
    clip_seconds: float = 0.0
    held_out: Evaluation | None = None


def _fit_and_cross_validate(prepared: Prepared, request: Request, rate: float | None) -> _Layer:
    """Choose and fit the layers of a linear model in place, and note what its cross-validation finds for the report.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    record, net, quiet = prepared.record, prepared.net, request.quiet
    samples = prepared.samples.only((*record.split.training, *record.split.validation))
    clips, early, features = prepared.encoded or encode(prepared, samples.clips, quiet)
    choice = choose(clips)
    fit_layer(net, clips, choice, early)
    curve, seconds = None, 0.0
    if features:
        curve, seconds = _fit_events(net, samples, clips, choice, features, rate, record.data.frame_rate)
    why = f"{prepared.why}; {choice}" if prepared.why else str(choice)
    if not quiet:
        print(f"chosen: {why}", file=sys.stderr)

    tested = bool(record.split.test) or not request.cross_validate
    tests = cross_validated(clips, choice if tested else None, None if quiet else "cross-validation", prepared.rival)
    chosen: dict[str, Any] = {"chosen": why, "statistics": choice.label}
    known, held_out, threshold = _evaluation(samples, record, *tests), None, None
    if lite0_may_help(record.settings, samples.clips):
        chosen["imagenet"] = True
    if known is not None and count_joined(samples.clips)[0]:
        paths = np.array([str(clip.path) for clip in samples.clips])
        alone, rival = (of and of._replace(groups=paths) for of in (clips, prepared.rival))
        title = None if quiet else "cross-validation without scenes"
        mixed = _evaluation(samples, record, *cross_validated(alone, choice if tested else None, title, rival))
        if mixed is not None:
            unit = "scenes" if count_groups(samples.clips)[1] == "scene" else "copies"
            chosen[unit] = {"mixed": measure(mixed)["accuracy"], "unseen": measure(known)["accuracy"]}
    if known is not None:
        if not tested and len(known.names) == len(samples.clips):
            held_out, chosen["cross_validated"] = known, True
        chosen["labels_to_check"] = labels_to_check(known)
        threshold = choose_threshold(known.scores, known.targets, clips.nothing)
    write_json(request.run / CROSS_VALIDATION, chosen)
    return _Layer(choice.temperature, threshold, curve, seconds, held_out)


def _fit_events(
    net: VideoModel,
    samples: ClipFrames,
    clips: Clips,
    choice: Choice,
    features: Mapping[int, Tensor],
    rate: float | None,
    frame_rate: float | None,
) -> tuple[EventCurve | None, float]:
    """Fit the layer of whole events to streams of some clips, whose features are known.

    Args:
        rate: frames per second of streams; None: unknown.
        frame_rate: as in `DataConfig`.

    Returns:
        What it finds, and how many seconds nearly all of these clips last at most.
    """
    made_of, seconds, rate = list[ClipFeatures](), list[float](), rate or RATE
    for number, of_clip in features.items():
        with suppress(ClipError):  # a clip that was removed while the model was trained
            reader = VideoReader(samples.clips[number].path, frame_rate)
            distinct = min(len(of_clip), len(reader.times))  # a short clip repeats its last frame
            count = min(max(2, round(reader.seconds * rate)), _LONG * len(of_clip))
            places = np.linspace(0, distinct - 1, count).round().astype(int)
            made_of.append(ClipFeatures(of_clip[places], number))
            seconds.append(reader.seconds)
    curve = fit_events(cast(LinearClassifier, net), clips, choice, made_of, samples.classes, rate)
    return curve, float(np.quantile(seconds, _NEARLY_ALL)) if seconds else 0.0


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

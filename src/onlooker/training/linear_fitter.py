"""The fitter of the linear model: its eyes and its layers are chosen by cross-validation, which also
tests it.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlooker.base.config import DataConfig, FitConfig
from onlooker.base.decision import Decision
from onlooker.base.progress import note
from onlooker.base.records import ClipError, Evaluation
from onlooker.data.clips import ClipFrames, read_header
from onlooker.data.scenes import is_joined
from onlooker.data.split import Split, group_of, shows_scenes, source_of
from onlooker.measure.events import choose_threshold, threshold_text
from onlooker.measure.figures import CrossValidationFigures, Leakage
from onlooker.measure.metrics import labels_to_check, measure
from onlooker.models.everyday import NO_LIMIT, Everyday
from onlooker.models.heads import STATES_BY
from onlooker.models.linear import LinearClassifier
from onlooker.training.background import Background, background_of
from onlooker.training.encoders import EncodedClips, choose_views, encode
from onlooker.training.events import fit_events
from onlooker.training.eyes import (
    LayerChoice,
    choose_eyes,
    cross_validated,
    eye_vectors,
    fit_eyes,
)
from onlooker.training.fitter import FitContext, Fitted, Fitter, SegmentLayer
from onlooker.training.footage import Footage
from onlooker.training.linear import ClipStatistics
from onlooker.training.search import summary
from onlooker.training.states import fit_states
from onlooker.training.still_evidence import still_evidence
from onlooker.training.unusual import (
    Spread,
    everyday_means,
    everyday_ratio,
    usual_distance,
    usual_seen,
)
from onlooker.video.rates import RATE

__all__ = ["fit_layers"]

_STILL_TEXT = "classes differ by what stands in the frame: heat maps and boxes mark it, whether it moves or not"
_LONG = 8  # times the frames of a sample that a clip has in the streams of the event layer at most


class LinearFitter(Fitter):
    """Logistic regression or discriminant analysis of statistics (`training.linear`), and a layer
    of events (`training.events`) or of states (`training.states`); the eyes may be chosen, too
    (`training.encoders`, `training.eyes`).
    """

    settings = FitConfig
    uses = frozenset({"eyes"})
    cross_validates = True
    fits_recordings = True

    def fit(self, samples: ClipFrames, split: Split, context: FitContext) -> Fitted:
        encoder = _encoded(samples.subset((*split.training, *split.validation)), context)
        net = cast(LinearClassifier, encoder.context.model)
        stream_clips, longest = _stream_clips(encoder)
        choice, decision = _fit_classes(
            net, encoder.clips, replace(encoder.context.decision, clip_seconds=longest)
        )
        data = encoder.context.settings.data
        notes = {"times": context.times.why} if context.times.why else {}
        if data.views == ("pictures",) and _set_still_evidence(net, encoder):
            notes["where"] = _STILL_TEXT
        data = data.with_eyes(data.views, choice.candidate.eyes)
        layer = _segment_layer(
            net, encoder, choice, decision=decision, stream_clips=stream_clips, data=data
        )
        table = [*encoder.table, *choice.table]
        held_out = None
        if layer is not None:
            net.set_heads(layer.heads, layer.lengths)
            decision = layer.decision
            table += layer.table
            held_out = layer.held_out
            if any(name.startswith(STATES_BY) for name in layer.heads):
                data = data.with_eyes(data.views, "both")
        note(f"chosen: {summary(table)}")
        if held_out is not None:
            notes["when"] = f"states: {held_out.sentence}"
        fitted = Fitted(
            net,
            decision,
            encoder.context.settings._replace(data=data),
            figures=CrossValidationFigures(chosen=summary(table), tried=table, states=held_out),
            notes=notes,
        )
        return _with_test(
            fitted, encoder, choice, is_test=context.cross_validate and not split.test
        )


def _encoded(clips: ClipFrames, context: FitContext) -> EncodedClips:
    """The clips by the views that were chosen, and what the other eyes see in them."""
    eyes = context.settings.data.eyes  # maybe auto, which the settings of the encoder are not
    settings = context.settings.with_defaults
    encoder = choose_views(encode(clips, replace(context, settings=settings)), eyes=eyes)
    seen = {
        name: eye_vectors(partial(encoder.samples.features, name), len(clips))
        for name in encoder.samples.eyes
    }
    return encoder.with_clips(eyes=seen, requested=context.settings.data.layer_eyes)


def _set_still_evidence(net: LinearClassifier, encoder: EncodedClips) -> bool:
    """Set the head of what stands in the frame; whether classes differ by that."""
    still = still_evidence(net, encoder.features, np.array(encoder.samples.targets))
    if still is not None:
        net.set_heads({"static_scene": still})
    return still is not None


def _segment_layer(
    net: LinearClassifier,
    encoder: EncodedClips,
    choice: LayerChoice,
    *,
    decision: Decision,
    stream_clips: Mapping[int, Footage],
    data: DataConfig,
) -> SegmentLayer | None:
    """The layer of states of recordings, or of events; None if there is nothing to fit it to.

    `data`: with the eyes of clips.
    """
    context = encoder.context
    if context.times.recordings:
        eyes = encoder.clips.requested
        return fit_states(net, context.times.recordings, decision, data=data, eyes=eyes)
    background = None
    if context.background:
        rate = decision.frame_rate or RATE
        background = background_of(context.background, net, context.settings.data, rate=rate)
    return fit_events(
        net,
        encoder.clips,
        choice,
        stream_clips=stream_clips,
        decision=decision,
        background=background,
    )


def _with_test(
    fitted: Fitted, encoder: EncodedClips, choice: LayerChoice, *, is_test: bool
) -> Fitted:
    """With what the cross-validation of all clips says.

    `is_test`: there are no test clips; everything is chosen again for each fold. Otherwise the
    chosen layers are cross-validated, for the labels to check.
    """
    layers = None if is_test else choice
    decision = fitted.decision
    evaluation = _tested(encoder, layers, decision)
    if evaluation is None:
        return fitted
    is_complete = is_test and len(evaluation.names) == len(encoder.samples)
    tested = evaluation.scores, evaluation.targets
    nothing = decision.nothing_class
    threshold = choose_threshold(*tested, nothing=nothing)
    notes = fitted.notes
    if threshold is not None:
        notes = {**notes, "threshold": threshold_text(threshold, *tested, nothing=nothing)}
    doubtful_labels = None
    if len(decision.states) < 2:  # else another class of another group is no doubt
        doubtful_labels = labels_to_check(evaluation)
    assert fitted.figures is not None
    leakage = _leakage(encoder, evaluation, layers)
    return replace(
        fitted,
        decision=decision.with_threshold(threshold),
        held_out=evaluation if is_complete else None,
        figures=replace(
            fitted.figures,
            cross_validated=is_complete,
            labels_to_check=doubtful_labels,
            scenes=leakage.get("scenes"),
            copies=leakage.get("copies"),
        ),
        notes=notes,
    )


def fit_layers(
    model: LinearClassifier,
    clips: ClipStatistics,
    decision: Decision,
    *,
    stream_clips: Mapping[int, Footage],
    background: Background | None = None,
) -> tuple[LayerChoice, Decision]:
    """Choose, fit and set the layers of classes and of events of a model.

    Args:
        clips: what the layers are fitted to.
        decision: its classes and its frame rate.
        stream_clips: clips at this frame rate, to make streams with events from, by their positions.
        background: see `fit_events`.

    Returns:
        What was chosen; and the decision, with its temperature, the curve of events, and which
        clips are usual.
    """
    choice, decision = _fit_classes(model, clips, decision)
    layer = fit_events(
        model,
        clips,
        choice,
        stream_clips=stream_clips,
        decision=decision,
        background=background,
    )
    if layer is None:
        return choice, decision
    model.set_heads(layer.heads, layer.lengths)
    return choice, layer.decision


def _fit_classes(
    model: LinearClassifier, clips: ClipStatistics, decision: Decision
) -> tuple[LayerChoice, Decision]:
    """Choose, fit and set the layers of classes; and the decision, with their temperature and which
    clips are usual.
    """
    choice = choose_eyes(clips)
    fit_eyes(model, clips, choice)
    usual = usual_distance(clips, choice.candidate)
    for eye in model.eyes:
        factor = Spread.of(clips.eyes[eye].x).factor(usual, usual_seen(clips, eye))
        model.head.set_factors(eye, factor=factor)
    usual = _with_everyday(model, clips, usual)
    counts = np.bincount(clips.y, minlength=clips.num_classes)
    return choice, replace(
        decision,
        temperature=choice.temperature,
        novelty_limit=usual,
        class_shares=() if choice.candidate.balanced else (counts / counts.sum()).tolist(),
    )


def _with_everyday(
    model: LinearClassifier, clips: ClipStatistics, usual: float | None
) -> float | None:
    """Compare a model's clips with everyday pictures, if its encoder has seen any; the novelty limit
    of clips.

    `usual`: their limit by pictures; None: unknown.
    """
    everyday = Everyday.of(cast(nn.Module, model.encoder))
    if everyday is None:
        return usual
    novelty_limit = NO_LIMIT if usual is None else min(usual, NO_LIMIT)
    sample = clips.subset(clips.sampled())
    limit = everyday_ratio(sample, everyday)
    known = everyday.with_clips(everyday_means(sample, everyday), limit)
    model.set_everyday(known, novelty_limit)
    return novelty_limit


def _tested(
    encoder: EncodedClips,
    choice: LayerChoice | None,
    decision: Decision,
    *,
    title: str = "cross-validation",
) -> Evaluation | None:
    """The evaluation of all clips, each by a layer that was fitted without it and its recording;
    None if no layer could be fitted without any of them.

    Args:
        encoder: with several candidates, one is chosen again for each fold.
        choice: the layers to fit in each fold; None: chosen again for each fold.
        decision: of the evaluation.
        title: of the progress bar.
    """
    held_out, thresholds = cross_validated(
        encoder.clips, choice, encoded=encoder.candidates, title=title
    )
    positions = np.flatnonzero(held_out.tested)
    if not len(positions):
        return None
    has_threshold = not np.isnan(thresholds).all()
    samples = encoder.samples
    return Evaluation(
        tuple(samples.names[i] for i in positions),
        decision,
        np.array(samples.targets, np.int64)[positions],
        scores=held_out.scores[positions],
        frame_scores=(),
        recordings=tuple(source_of(samples.clips[i]) for i in positions),
        thresholds=thresholds[positions] if has_threshold else None,
    )


def _leakage(
    encoder: EncodedClips, evaluation: Evaluation, choice: LayerChoice | None
) -> dict[str, Leakage]:
    """How much easier the test is if clips of one `scenes`, or `copies`, are both fitted to and
    tested; empty if there are none.

    `evaluation`: from `_tested`, for the same encoder and choice.
    """
    listed = encoder.samples.clips
    if not any(map(is_joined, listed)):
        return {}
    groups = np.array([str(clip.path) if is_joined(clip) else group_of(clip) for clip in listed])
    title = "cross-validation without scenes"
    mixed = _tested(encoder.with_clips(groups=groups), choice, evaluation.decision, title=title)
    if mixed is None:
        return {}
    leakage = Leakage(mixed=measure(mixed).accuracy, unseen=measure(evaluation).accuracy)
    return {"scenes" if shows_scenes(listed) else "copies": leakage}


def _stream_clips(encoder: EncodedClips) -> tuple[dict[int, Footage], float]:
    """The clips of streams by their positions, at the frame rate of streams; and the seconds of the
    longest of all clips: all were counted as clips, so it is one for `predict`.
    """
    samples = encoder.samples
    features = encoder.features
    rate = encoder.context.decision.frame_rate or RATE
    stream_clips = dict[int, Footage]()
    longest = 0.0
    for position in [*features, *(i for i in range(len(samples)) if i not in features)]:
        with suppress(ClipError):  # a clip that was removed while the model was trained
            timing = read_header(samples.clips[position].path).timing
            longest = max(longest, timing.length)
            if position in features:
                maps = features[position]
                distinct = min(len(maps), len(timing.times))  # a short clip repeats its last frame
                count = min(max(2, round(timing.length * rate)), _LONG * len(maps))
                frames = np.linspace(0, distinct - 1, count).round().astype(int)
                eyes = {
                    name: _seen_at(samples.features(name, position), frames)
                    for name in samples.eyes
                }
                stream_clips[position] = Footage(maps[frames], eyes)
    return stream_clips, longest


def _seen_at(features: Tensor, frames: NDArray[np.int64]) -> Tensor:
    """What an eye sees until some `frames` of a sample, from its rows for all frames, `T 1+F`: each
    thing ends with the first of these frames that is not earlier.
    """
    ends = np.searchsorted(frames, np.arange(len(features)).clip(max=frames[-1]))
    rows = features.new_zeros(len(frames), features.shape[1])
    return rows.index_add(0, torch.from_numpy(ends), features)

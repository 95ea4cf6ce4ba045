"""The fitter of the linear model: its eyes and its layers are chosen by cross-validation, which also
tests it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from onlooker.base.config import FitConfig
from onlooker.base.decision import Decision
from onlooker.base.progress import note
from onlooker.base.records import ClipError, Evaluation
from onlooker.data.clips import ClipFrames, read_header
from onlooker.data.scenes import is_joined
from onlooker.data.split import Split, group_of, shows_scenes, source_of
from onlooker.models.linear import LinearClassifier
from onlooker.report.events import choose_threshold
from onlooker.report.figures import CrossValidationFigures, Leakage
from onlooker.report.metrics import measure
from onlooker.report.summary import labels_to_check
from onlooker.training.background import Background, background_of
from onlooker.training.encoders import EncoderChoice, choose_encoder
from onlooker.training.events import ClipFeatures, fit_events
from onlooker.training.eyes import (
    EyeChoice,
    choose_eyes,
    cross_validated,
    fit_eyes,
    motion_vectors,
)
from onlooker.training.fitter import FitContext, Fitted, Fitter
from onlooker.training.linear import ClipStatistics, Floats
from onlooker.training.states import fit_states
from onlooker.training.still_evidence import still_evidence
from onlooker.training.unusual import MotionSpread, usual_distance, usual_motion
from onlooker.video.rates import RATE

__all__ = ["fit_layers"]

_STILL_TEXT = "classes differ by what stands in the frame: heat maps and boxes mark it, whether it moves or not"
_LONG = 8  # times the frames of a sample that a clip has in the streams of the event layer at most


class LinearFitter(Fitter):
    """Logistic regression or discriminant analysis of statistics (`training.linear`), and a layer
    of events (`training.events`) or of states (`training.states`); the encoder may be chosen, too
    (`training.encoders`), and the eyes (`training.eyes`).
    """

    settings = FitConfig
    uses = frozenset({"eyes"})
    chooses_encoder = True
    cross_validates = True
    finds_states = True
    takes_background = True

    def fit(self, samples: ClipFrames, split: Split, context: FitContext) -> Fitted:
        fitted_clips = samples.subset((*split.training, *split.validation))
        times = context.times
        encoder = choose_encoder(fitted_clips, context)
        samples = encoder.samples
        settings = encoder.context.settings
        net = cast(LinearClassifier, encoder.context.model)
        encoded = encoder.encoded
        if samples.has_motion:
            motion = motion_vectors(samples.motion, len(samples), context.settings.data.eyes)
            encoded = encoded._replace(clips=encoded.clips._replace(motion=motion))
            if encoder.rival is not None:  # of the same clips
                encoder = encoder._replace(rival=encoder.rival._replace(motion=motion))
        rate = context.decision.frame_rate or RATE
        stream_clips, seconds = _stream_clips(samples, encoded.features, rate)
        background = None
        if context.background:
            background = background_of(context.background, net, settings.data, rate=rate)
        choice, decision = fit_layers(
            net,
            encoded.clips,
            replace(context.decision, clip_seconds=seconds),
            stream_clips=() if times.recordings else stream_clips,
            early=encoded.early,
            background=background,
        )
        still = still_evidence(net, encoded.features, np.array(samples.targets))
        notes = {"times": times.why} if times.why else {}
        if still is not None:
            net.set_still_evidence(*still)
            notes["where"] = _STILL_TEXT
        states = None
        if times.recordings:
            asked = replace(settings.data, eyes=context.settings.data.eyes)
            states = fit_states(net, times.recordings, decision, data=asked)
            net.set_state_layer(states.lengths, states.layer)
            if states.motion is not None:
                net.set_state_motion(*states.motion)
            decision = replace(decision, states=states.chains, frame_rate=states.rate)
            notes["when"] = (
                f"states: {', '.join(filter(None, (states.held_out.sentence, states.why)))}"
            )
        choice_text = f"{encoder.why}; {choice}" if encoder.why else str(choice)
        note(f"chosen: {choice_text}")
        eyes = choice.eyes if states is None or states.motion is None else "both"
        settings = settings._replace(data=replace(settings.data, eyes=eyes))
        # with test clips, the layer that was chosen is cross-validated, for the labels to check
        is_test = context.cross_validate and not split.test
        layers = None if is_test else choice
        evaluation = _tested(encoder, encoded.clips, choice=layers, decision=decision)
        is_complete = is_test and evaluation is not None and len(evaluation.names) == len(samples)
        threshold = None
        leakage = dict[str, Leakage]()
        doubtful_labels = None
        if evaluation is not None:
            leakage = _leakage(encoder, encoded.clips, evaluation, choice=layers)
            threshold = choose_threshold(
                evaluation.scores, evaluation.targets, nothing=decision.nothing_class
            )
            if threshold is not None:
                notes["threshold"] = str(threshold)
            if len(decision.states) < 2:  # else another class of another group is no doubt
                doubtful_labels = labels_to_check(evaluation)
        return Fitted(
            net,
            decision.with_threshold(threshold and threshold.probability),
            settings,
            held_out=evaluation if is_complete else None,
            figures=CrossValidationFigures(
                chosen=choice_text,
                statistics=choice.pictures.statistics_set,
                eyes=choice.tried or None,
                states=states and states.held_out,
                cross_validated=is_complete,
                labels_to_check=doubtful_labels,
                **leakage,
            ),
            notes=notes,
        )


def fit_layers(
    model: LinearClassifier,
    clips: ClipStatistics,
    decision: Decision,
    *,
    stream_clips: Sequence[ClipFeatures],
    early: tuple[Floats, Floats] | None = None,
    background: Background | None = None,
) -> tuple[EyeChoice, Decision]:
    """Choose, fit and set the layers of classes and of events of a model.

    Args:
        clips: what the layers are fitted to.
        decision: its classes and its frame rate.
        stream_clips: clips at this frame rate, of which streams with events are made.
        early: as in `EncodedClips`.
        background: as for `fit_events`.

    Returns:
        What was chosen; and the decision, with its temperature, the curve of events, and which
        clips are usual.
    """
    choice = choose_eyes(clips)
    fit_eyes(model, clips, choice, early=early)
    layer = fit_events(
        model,
        clips,
        choice,
        stream_clips=stream_clips,
        decision=decision,
        background=background,
    )
    if layer is not None:
        model.set_event_layer(
            layer.lengths,
            layer.event,
            layer.classes,
            motion=layer.motion,
            farthest=layer.farthest,
            sparse=layer.sparse,
        )
    usual = usual_distance(clips, choice.pictures)
    if model.motion_features and clips.motion is not None:
        spread = MotionSpread.of(clips.motion.x)
        model.set_motion_distance(
            clips.motion.basis @ spread.center,
            clips=spread.factor(usual, usual_motion(clips)),
            windows=spread.factor(layer and layer.farthest, layer and layer.farthest_motion),
        )
    counts = np.bincount(clips.y, minlength=clips.num_classes)
    return choice, replace(
        decision,
        temperature=choice.temperature,
        curve=layer and layer.curve,
        usual_distance=usual,
        class_shares=() if choice.pictures.balanced else (counts / counts.sum()).tolist(),
    )


def _tested(
    encoder: EncoderChoice,
    clips: ClipStatistics,
    *,
    choice: EyeChoice | None,
    decision: Decision,
    title: str = "cross-validation",
) -> Evaluation | None:
    """The evaluation of all clips, each by a layer that was fitted without it and its recording;
    None if no layer could be fitted without any of them.

    Args:
        encoder: with a rival, the encoder is chosen again for each fold.
        clips: the encoded samples.
        choice: the layers to fit in each fold; None: chosen again for each fold.
        decision: of the evaluation.
        title: of the progress bar.
    """
    scores, thresholds = cross_validated(
        clips, choice, rival=encoder.rival, rival_first=encoder.rival_first, title=title
    )
    positions = np.flatnonzero(np.isfinite(scores).all(1))
    if not len(positions):
        return None
    has_threshold = not np.isnan(thresholds).all()
    samples = encoder.samples
    return Evaluation(
        tuple(samples.names[i] for i in positions),
        decision,
        np.array(samples.targets, np.int64)[positions],
        scores=scores[positions],
        frame_scores=(),
        recordings=tuple(source_of(samples.clips[i]) for i in positions),
        thresholds=thresholds[positions] if has_threshold else None,
    )


def _leakage(
    encoder: EncoderChoice,
    clips: ClipStatistics,
    evaluation: Evaluation,
    *,
    choice: EyeChoice | None,
) -> dict[str, Leakage]:
    """How much easier the test is if clips of one `scenes`, or `copies`, are both fitted to and
    tested; empty if there are none.

    Args:
        evaluation: that of `_tested`; the other arguments are those of it.
    """
    listed = encoder.samples.clips
    if not any(map(is_joined, listed)):
        return {}
    groups = np.array([str(clip.path) if is_joined(clip) else group_of(clip) for clip in listed])
    rival = encoder.rival and encoder.rival._replace(groups=groups)
    mixed = _tested(
        encoder._replace(rival=rival),
        clips._replace(groups=groups),
        choice=choice,
        decision=evaluation.decision,
        title="cross-validation without scenes",
    )
    if mixed is None:
        return {}
    leakage = Leakage(mixed=measure(mixed).accuracy, unseen=measure(evaluation).accuracy)
    return {"scenes" if shows_scenes(listed) else "copies": leakage}


def _stream_clips(
    samples: ClipFrames, features: Mapping[int, Tensor], rate: float
) -> tuple[list[ClipFeatures], float]:
    """The clips of streams, and the seconds of the longest of all clips: all were counted as clips,
    so it is one for `predict`.

    Args:
        features: of the clips of streams by their positions, `T D h w`.
        rate: frames per second of streams.
    """
    stream_clips = list[ClipFeatures]()
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
                clip = ClipFeatures(maps[frames], position)
                if samples.has_motion:
                    clip = clip._replace(motion=_motion_at(samples.motion(position), frames))
                stream_clips.append(clip)
    return stream_clips, longest


def _motion_at(motion: Tensor, frames: NDArray[np.int64]) -> list[tuple[int, Tensor]]:
    """The motion words of a sample, `T 1+F`, as those of frames that are given by their positions in
    it: each row counts from the first of them on that shows its frame or a later one.
    """
    rows = [(min(row, frames[-1]), words) for row, words in enumerate(motion) if words[0]]
    return [(int(np.searchsorted(frames, row)), words) for row, words in rows]

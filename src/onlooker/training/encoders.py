"""Encode clips for the linear model, with the better of two encoders if that is to be chosen."""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.config import AUTO_ENCODER, ModelConfig, Settings
from onlooker.base.decision import Decision
from onlooker.base.records import Clip, ClipError
from onlooker.data.clips import ClipFrames, read_header
from onlooker.data.split import group_of
from onlooker.models.encoders.lite0 import LITE0, LITE0_SIZE, installed_weights
from onlooker.training.events import MOST_CLIPS
from onlooker.training.fitter import Candidate, FitContext
from onlooker.training.linear import (
    FEW,
    ClipStatistics,
    EncodedClips,
    LayerChoice,
    choose,
    clearly_better,
    statistics_of,
)

_LEAST_SIDE = 120  # pixels: smaller clips do not show what an encoder of photographs could see
_OPENED = 20  # clips whose size is looked at
_COMPARED = 100  # clips at most
_MIN_PER_CLASS = 5  # at least, of these clips, where there are many classes


def lite0_may_help(settings: Settings, clips: Sequence[Clip]) -> bool:
    """Whether Lite0 could be compared with the default encoder, but is not installed."""
    if installed_weights() or settings.model.encoder != ModelConfig.encoder or not _fits(settings):
        return False
    return large_enough(clips)


class EncoderChoice(NamedTuple):
    """The encoder that a linear model gets.

    Args:
        candidate: the model with it, and samples of all clips for it.
        encoded: these clips, if they are encoded already.
        rival: the same clips by another encoder, which was compared with it; None: none was, or
            some clips were enough.
        rival_first: whether the rival is the default, which is kept unless the other encoder is
            clearly better.
        why: what the comparison found, in words; empty without one.
    """

    candidate: Candidate
    encoded: EncodedClips | None = None
    rival: ClipStatistics | None = None
    rival_first: bool = False
    why: str = ""


def choose_encoder(samples: ClipFrames, context: FitContext) -> EncoderChoice:
    """The encoder of the settings, or if that is to be chosen (`auto`): the default, or Lite0 at
    224 pixels or more.

    It is Lite0 if that is installed, the clips are large enough, and its log loss in
    cross-validation is clearly lower. Of many clips some are compared.

    Args:
        samples: the training and validation clips.
    """
    settings = context.settings.decided
    default = Candidate(settings, context.model, samples)
    is_open = context.settings.model.encoder == AUTO_ENCODER
    if not (is_open and installed_weights() and _fits(settings) and large_enough(samples.clips)):
        return EncoderChoice(default)
    size = max(settings.data.size, LITE0_SIZE)
    lite0 = context.with_encoder(LITE0, compared(samples.clips), size=size)
    best = _better(default, lite0, context.decision)
    if len(best.candidate.samples) < len(samples):
        best = best._replace(candidate=context.with_encoder(LITE0, samples.clips, size=size))
    return best


def encode(
    candidate: Candidate,
    decision: Decision,
    clips: Sequence[Clip] | None = None,
    *,
    copies: bool = True,
) -> EncodedClips:
    """The statistics of clips, and the features of those that streams are made of.

    Args:
        decision: the class in which nothing happens.
        clips: some of those of the candidate; None: all.
        copies: as in `statistics_of`.
    """
    settings, model, samples = candidate
    if clips is not None:
        samples = samples.subset(clips)
    encoded = statistics_of(
        model,
        samples,
        [group_of(clip) for clip in samples.clips],
        data=settings.data,
        title=f"encoding clips with {settings.model.encoder}",
        with_features=_of_streams(np.array(samples.targets), decision.nothing_class),
        copies=copies,
    )
    statistics = encoded.clips._replace(
        nothing=decision.nothing_class, class_weights=settings.training.class_weights
    )
    return encoded._replace(clips=statistics)


def _of_streams(targets: NDArray[np.int64], nothing: int | None) -> list[int]:
    """The positions of random clips for the streams, of which at most half are of class nothing."""
    order = np.random.default_rng(0).permutation(len(targets))
    if len(order) <= MOST_CLIPS:
        return order.tolist()
    idle = targets[order] == nothing
    pauses = order[idle][: MOST_CLIPS // 2]
    return [*order[~idle][: MOST_CLIPS - len(pauses)].tolist(), *pauses.tolist()]


def _fits(settings: Settings) -> bool:
    """Whether Lite0 can be compared: it reads RGB frames, and no features are stored for it."""
    return settings.data.modality == "rgb" and not settings.training.features


def large_enough(clips: Sequence[Clip]) -> bool:
    """Whether half of some clips or more have a shorter side that is long enough for Lite0."""
    sides = list[int]()
    for clip in clips[:: max(1, -(-len(clips) // _OPENED))]:
        with suppress(ClipError):  # a clip that was removed while the others were read
            sides.append(min(read_header(clip.path).size))
    return bool(sides) and median(sides) >= _LEAST_SIDE


def compared(clips: Sequence[Clip]) -> list[Clip]:
    """At most `_COMPARED` of the clips, in their order: as many of each class, or of some classes if
    there are many.
    """
    if len(clips) <= _COMPARED:
        return [*clips]
    random = np.random.default_rng(0)
    places = defaultdict[str, list[int]](list)
    for place in random.permutation(len(clips)).tolist():
        places[clips[place].label].append(place)
    labels = random.permutation(sorted(places))[: max(2, _COMPARED // _MIN_PER_CLASS)].tolist()
    share = _COMPARED // len(labels)
    sampled = (place for label in labels for place in places[label][:share])
    return [clips[place] for place in sorted(sampled)]


def _better(default: Candidate, rival: Candidate, decision: Decision) -> EncoderChoice:
    """The rival if it is clearly better in cross-validation of the clips that it has; with what is
    known of both if these are all clips.
    """
    candidates = (default, rival)
    clips = rival.samples.clips
    results = [_result(candidate, clips, decision) for candidate in candidates]
    best = int(clearly_better(results[1].choice, results[0].choice, results[0].encoded.clips))
    selected = results[best]
    rejected = results[1 - best]
    why = f"encoder {selected.text}, not {rejected.text}"
    if rejected.choice.loss < selected.choice.loss:
        why += ", whose lower log loss may be chance (within one standard error of that of the faster one)"
    why += f", by cross-validation of {len(clips)} clips"
    if len(clips) < len(default.samples):
        return EncoderChoice(candidates[best], why=why)
    return EncoderChoice(
        candidates[best],
        # else the copies of the clips are not encoded yet
        encoded=selected.encoded if len(clips) > FEW else None,
        rival=rejected.encoded.clips,
        rival_first=bool(best),
        why=why,
    )


class EncoderResult(NamedTuple):
    """An encoder in cross-validation, and its figures in words."""

    encoded: EncodedClips
    choice: LayerChoice
    text: str


def _result(candidate: Candidate, clips: Sequence[Clip], decision: Decision) -> EncoderResult:
    """An encoder in cross-validation of some clips of a candidate."""
    began = time.perf_counter()
    encoded = encode(candidate, decision, clips, copies=False)
    seconds = (time.perf_counter() - began) / len(clips)
    choice = choose(encoded.clips)
    tested = np.isfinite(choice.scores).all(1)
    encoder = candidate.settings.model.encoder
    if not tested.any():
        return EncoderResult(
            encoded, choice, f"{encoder} (not tested: clips of too few recordings)"
        )
    correct = float(np.mean(choice.scores[tested].argmax(1) == encoded.clips.y[tested]))
    figures = f"log loss {choice.loss:.2f}, {100 * correct:.0f} % correct, {seconds:.2g} s a clip"
    return EncoderResult(encoded, choice, f"{encoder} ({figures})")

"""Encode clips for the linear model, with one of two encoders if that is to be chosen."""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.config import AUTO_ENCODER, ModelConfig, Settings
from onlooker.base.records import Clip, ClipError
from onlooker.data.clips import ClipFrames, read_header
from onlooker.data.split import group_of
from onlooker.models.encoders.lite0 import LITE0, LITE0_SIZE
from onlooker.training.events import MOST_CLIPS
from onlooker.training.fitter import FitContext
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


def default_encoder(settings: Settings, clips: Sequence[Clip]) -> str:
    """The encoder of the settings; if that is to be chosen (`auto`), the one that these clips get
    without a comparison.
    """
    if settings.model.encoder != AUTO_ENCODER:
        return settings.model.encoder
    return LITE0 if _fits(settings) and _large_enough(clips) else ModelConfig.encoder


class EncoderChoice(NamedTuple):
    """The encoder that a linear model gets.

    Args:
        samples: those of all clips for it.
        context: what the fitter is given, with the model that has this encoder, and its settings.
        encoded: these clips.
        rival: the same clips by another encoder, which was compared with it; None: none was, or
            some clips were enough.
        rival_first: whether the rival is Lite0, which is kept unless the other encoder is clearly
            better.
        why: what the comparison found, in words; empty without one.
    """

    samples: ClipFrames
    context: FitContext
    encoded: EncodedClips
    rival: ClipStatistics | None = None
    rival_first: bool = False
    why: str = ""


def choose_encoder(samples: ClipFrames, context: FitContext) -> EncoderChoice:
    """The encoder of the settings; if that is to be chosen (`auto`), Lite0 at 224 pixels or more,
    unless the clips are small, or the log loss of the smaller encoder in cross-validation is
    clearly lower.

    Lite0 is kept in doubt, because it recognizes new people better than cross-validation of a few
    recordings can tell. Of many clips some are compared.

    Args:
        samples: the training and validation clips.
    """
    asked = context.settings
    context = replace(context, settings=asked.decided)
    if asked.model.encoder != AUTO_ENCODER or not _fits(asked):
        return EncoderChoice(samples, context, encode(samples, context))
    if not _large_enough(samples.clips):
        name = context.settings.model.encoder
        why = f"encoder {name}, because most clips are smaller than {_LEAST_SIDE} pixels"
        return EncoderChoice(samples, context, encode(samples, context), why=why)
    return _compare(samples, context)


def encode(samples: ClipFrames, context: FitContext, *, copies: bool = True) -> EncodedClips:
    """The statistics of clips by the encoder of the context's model, and the features of those that
    streams are made of.

    Args:
        copies: as in `statistics_of`.
    """
    settings = context.settings
    nothing = context.decision.nothing_class
    encoded = statistics_of(
        context.model,
        samples,
        [group_of(clip) for clip in samples.clips],
        data=settings.data,
        title=f"encoding clips with {settings.model.encoder}",
        with_features=_of_streams(np.array(samples.targets), nothing),
        copies=copies,
    )
    statistics = encoded.clips._replace(
        nothing=nothing, class_weights=settings.training.class_weights
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


def _large_enough(clips: Sequence[Clip]) -> bool:
    """Whether half of some clips or more have a shorter side that is long enough for Lite0."""
    sides = list[int]()
    for clip in clips[:: max(1, -(-len(clips) // _OPENED))]:
        with suppress(ClipError):  # a clip that was removed while the others were read
            sides.append(min(read_header(clip.path).size))
    return bool(sides) and median(sides) >= _LEAST_SIDE


def compared(clips: Sequence[Clip]) -> NDArray[np.int64]:
    """The positions of at most `_COMPARED` of the clips, ascending: as many of each class, or of
    some classes if there are many.
    """
    if len(clips) <= _COMPARED:
        return np.arange(len(clips))
    random = np.random.default_rng(0)
    places = defaultdict[str, list[int]](list)
    for place in random.permutation(len(clips)).tolist():
        places[clips[place].label].append(place)
    labels = random.permutation(sorted(places))[: max(2, _COMPARED // _MIN_PER_CLASS)].tolist()
    share = _COMPARED // len(labels)
    return np.sort([place for label in labels for place in places[label][:share]])


class EncoderResult(NamedTuple):
    """An encoder in cross-validation of some clips, without altered copies.

    Args:
        encoder: its name.
        encoded: all clips that were encoded.
        clips: those that count.
        choice: the best layer for these.
        seconds: to encode a clip.
    """

    encoder: str
    encoded: EncodedClips
    clips: ClipStatistics
    choice: LayerChoice
    seconds: float

    def __str__(self) -> str:
        tested = self.choice.tested
        answers = self.choice.scores[tested].argmax(1)
        correct = 100 * float(np.mean(answers == self.clips.y[tested]))
        loss = self.choice.loss
        return f"{self.encoder} (log loss {loss:.2f}, {correct:.0f} % correct, {self.seconds:.2g} s a clip)"


def _compare(samples: ClipFrames, small: FitContext) -> EncoderChoice:
    """Lite0, unless the smaller encoder is clearly better in cross-validation of some clips; with
    what is known of both if these are all clips.

    Args:
        samples, small: for the smaller encoder.
    """
    size = max(small.settings.data.size, LITE0_SIZE)
    model, settings, large_samples = small.with_encoder(LITE0, samples.clips, size=size)
    lite0 = replace(small, model=model, settings=settings)
    clips = large_samples.clips
    positions = compared(clips)
    is_complete = len(positions) == len(clips)
    default = _result(large_samples, lite0, positions, copies=True)
    if not default.choice.tested.any():
        name = small.settings.model.encoder
        why = f"encoder {LITE0}, not compared with {name}: clips of too few recordings"
        return EncoderChoice(large_samples, lite0, default.encoded, why=why)
    some = samples.subset([clips[place] for place in positions])
    rival = _result(some, small, np.arange(len(positions)), copies=False)
    counted = f"by cross-validation of {len(positions)} clips"
    if clearly_better(rival.choice, default.choice, rival.clips):
        if is_complete:
            samples = some
        # the altered copies of few clips are not encoded yet
        is_encoded = is_complete and len(clips) > FEW
        return EncoderChoice(
            samples,
            small,
            rival.encoded if is_encoded else encode(samples, small),
            rival=default.clips if is_complete else None,
            rival_first=True,
            why=f"encoder {rival}, {counted}; it was clearly better than {default}",
        )
    why = f"encoder {default}, {counted}; {rival} was not clearly better"
    if rival.choice.loss < default.choice.loss:
        why += ": its lower log loss may be chance (within one standard error)"
    return EncoderChoice(
        large_samples,
        lite0,
        default.encoded,
        rival=rival.clips if is_complete else None,
        why=why,
    )


def _result(
    samples: ClipFrames, context: FitContext, positions: NDArray[np.int64], *, copies: bool
) -> EncoderResult:
    """Clips that are encoded, of which those at some positions count.

    Args:
        copies: as in `statistics_of`.
    """
    began = time.perf_counter()
    encoded = encode(samples, context, copies=copies)
    count = len(encoded.clips.y) * (1 + len(encoded.clips.copies))
    seconds = (time.perf_counter() - began) / count
    clips = encoded.clips.subset(positions)
    choice = choose(clips._replace(copies=()))
    name = context.settings.model.encoder
    return EncoderResult(name, encoded, clips, choice=choice, seconds=seconds)

"""Encode the clips of a run for its linear model, with the better of two encoders if it is to be
chosen.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.answer import nothing_class
from onlooker.base.config import AUTO_ENCODER, ModelConfig, Settings
from onlooker.base.records import Clip, ClipError
from onlooker.data.clips import read_clips, read_header
from onlooker.data.split import group_of
from onlooker.models.encoders.lite0 import LITE0, LITE0_SIZE, installed_weights
from onlooker.models.registry import resolve
from onlooker.run.preparation import Training, build
from onlooker.training.events import MOST_CLIPS
from onlooker.training.linear import (
    FEW,
    EncodedClips,
    LayerChoice,
    choose,
    clearly_better,
    statistics_of,
)

_LEAST_SIDE = 120  # pixels: smaller clips do not show what an encoder of photographs could see
_OPENED = 20  # clips whose size is looked at
_COMPARED = 100  # clips at most
_OF_CLASS = 5  # of these, where there are many classes


def lite0_may_help(settings: Settings, clips: Sequence[Clip]) -> bool:
    """Whether Lite0 could be compared with the default encoder, but is not installed."""
    if installed_weights() or settings.model.encoder != ModelConfig.encoder or not _fits(settings):
        return False
    return large_enough(clips)


def choose_encoder(training: Training) -> Training:
    """A run whose encoder is to be chosen (`auto`): the default, or Lite0 at 224 pixels or more.

    It is Lite0 if that is installed, the clips are large enough, and its log loss in
    cross-validation is clearly lower. Of many clips some are compared.
    """
    record = training.record
    if record.settings.model.encoder != AUTO_ENCODER:
        return training
    best = replace(training, record=replace(record, settings=resolve(*record.settings)))
    clips = [*record.split.training, *record.split.validation]
    if installed_weights() and _fits(record.settings) and large_enough(clips):
        rival = _with_lite0(record.settings)
        some = compared(clips)
        read = some if len(some) < len(clips) else record.split.clips
        samples, _ = read_clips(read, record.classes, rival.data)
        net = build(rival, record.classes)
        other = replace(training, record=replace(record, settings=rival), net=net, samples=samples)
        best = _better(best, other, [clip for clip in some if clip in samples.clips])
        if len(best.samples) < len(record.split.clips):
            data = best.record.settings.data
            samples, gone = read_clips(record.split.clips, record.classes, data)
            best = replace(best, samples=samples, gone=gone)
    return best


def encode(training: Training, clips: Sequence[Clip], copies: bool = True) -> EncodedClips:
    """The statistics of some clips, and the features of those that streams are made of.

    `copies`: as in `statistics_of`.
    """
    record = training.record
    net = training.net
    samples = training.samples.subset(clips)
    groups = [group_of(clip) for clip in samples.clips]
    nothing = nothing_class(record.classes, record.settings.training.nothing)
    kept = _of_streams(np.array(samples.targets), nothing)
    title = f"encoding clips with {record.settings.model.encoder}"
    encoded = statistics_of(
        net,
        samples,
        groups,
        data=record.settings.data,
        title=title,
        with_features=kept,
        copies=copies,
    )
    of_run = encoded.clips._replace(
        nothing=nothing, class_weights=record.settings.training.class_weights
    )
    return encoded._replace(clips=of_run)


def _of_streams(targets: NDArray[np.int64], nothing: int | None) -> list[int]:
    """The numbers of the clips that streams are made of: random ones, at most half of nothing."""
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


def _with_lite0(settings: Settings) -> Settings:
    model, data, training = settings
    larger = replace(data, size=max(data.size, LITE0_SIZE), normalization="auto")
    return resolve(replace(model, encoder=LITE0, pretrained=None), larger, training)


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
    labels = random.permutation(sorted(places))[: max(2, _COMPARED // _OF_CLASS)].tolist()
    share = _COMPARED // len(labels)
    chosen = (place for label in labels for place in places[label][:share])
    return [clips[place] for place in sorted(chosen)]


def _better(first: Training, second: Training, clips: Sequence[Clip]) -> Training:
    """The second one if it is clearly better in cross-validation of some clips; with what is known
    of both if these are all clips.
    """
    runs = (first, second)
    tried = [_tried(run, clips) for run in runs]
    best = int(clearly_better(tried[1].choice, tried[0].choice, tried[0].encoded.clips))
    why = f"encoder {tried[best].text}, not {tried[1 - best].text}"
    if tried[1 - best].choice.loss < tried[best].choice.loss:
        why += ", whose lower log loss may be chance (within one standard error of that of the faster one)"
    why += f", by cross-validation of {len(clips)} clips"
    split = first.record.split
    if len(clips) < len(split.training) + len(split.validation):
        return replace(runs[best], why=why)
    # else the copies of the clips are not encoded yet
    known = tried[best].encoded if len(clips) > FEW else None
    rival = tried[1 - best].encoded.clips
    return replace(runs[best], why=why, encoded=known, rival=rival, rival_first=bool(best))


class EncoderResult(NamedTuple):
    """An encoder in cross-validation, and its figures in words."""

    encoded: EncodedClips
    choice: LayerChoice
    text: str


def _tried(run: Training, clips: Sequence[Clip]) -> EncoderResult:
    began = time.perf_counter()
    encoded = encode(run, clips, copies=False)
    seconds = (time.perf_counter() - began) / len(clips)
    choice = choose(encoded.clips)
    known = np.isfinite(choice.scores).all(1)
    encoder = run.record.settings.model.encoder
    if not known.any():
        return EncoderResult(
            encoded, choice, f"{encoder} (not tested: clips of too few recordings)"
        )
    correct = float(np.mean(choice.scores[known].argmax(1) == encoded.clips.y[known]))
    figures = f"log loss {choice.loss:.2f}, {100 * correct:.0f} % correct, {seconds:.2g} s a clip"
    return EncoderResult(encoded, choice, f"{encoder} ({figures})")

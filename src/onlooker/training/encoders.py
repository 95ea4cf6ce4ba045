"""Encode clips for the linear model, and choose the encoder, and whether it sees frames or crops of
them, unless the settings say so.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.base.config import AUTO_ENCODER, DataConfig, Eyes, Settings, View
from onlooker.base.records import Clip, ClipError
from onlooker.data.array_cache import ArrayCache
from onlooker.data.clips import ClipFrames, crops_of, read_clips, read_header
from onlooker.data.samples import LEAST_SIDE
from onlooker.data.split import group_of
from onlooker.localization.crop import RECROPPED
from onlooker.measure.figures import TriedCandidate
from onlooker.models.encoders.lite0 import LITE0, LITE0_SIZE
from onlooker.models.registry import configured
from onlooker.models.video_model import choose_device
from onlooker.training.events import MOST_CLIPS
from onlooker.training.eyes import encoder_trial
from onlooker.training.fitter import FitContext
from onlooker.training.linear import FEW, ClipStatistics, statistics_of
from onlooker.training.search import search, untested

_SMALLER = 0.8  # share of the frame: crops that are larger show what the frame shows
_OPENED = 20  # clips whose size is looked at
_COMPARED = 100  # clips at most
_MIN_PER_CLASS = 5  # at least, of these clips, where there are many classes


def default_encoder(settings: Settings, clips: Sequence[Clip]) -> str:
    """The encoder of the settings; for `auto`, the encoder that these clips get without a
    comparison.
    """
    if _is_open(settings) and _large_enough(clips):
        return LITE0
    return settings.with_defaults.model.encoder


class EncoderChoice(NamedTuple):
    """The encoder that a linear model gets.

    Args:
        samples: all clips for this encoder.
        context: what the fitter is given, with the model that has this encoder, and its settings.
        clips: their statistics.
        features: of the clips that streams are made of, by their positions, `T D h w` float16.
        candidates: the clips by all encoders that were compared, the default first; empty: none
            were, or some clips were enough.
        table: what was tried.
    """

    samples: ClipFrames
    context: FitContext
    clips: ClipStatistics
    features: dict[int, Tensor]
    candidates: tuple[ClipStatistics, ...] = ()
    table: tuple[TriedCandidate, ...] = ()

    def with_clips(self, **changes: Any) -> Self:
        """With other values of these fields of the clips, by all encoders."""
        return self._replace(
            clips=self.clips._replace(**changes),
            candidates=tuple(clips._replace(**changes) for clips in self.candidates),
        )


def choose_encoder(samples: ClipFrames, context: FitContext) -> EncoderChoice:
    """The encoder of the settings; if that is to be chosen (`auto`), Lite0 at 224 pixels or more,
    unless the clips are small, or the smaller encoder is clearly better in cross-validation.

    Lite0 is kept in doubt, because it recognizes new people better than cross-validation of a few
    recordings can tell. Of many clips some are compared.

    Args:
        samples: the training and validation clips.
    """
    requested = context.settings
    context = replace(context, settings=requested.with_defaults)
    if not _is_open(requested):
        return encode(samples, context)
    if not _large_enough(samples.clips):
        why = f"most clips are smaller than {LEAST_SIDE} pixels"
        row = untested("encoder", context.settings.model.encoder, why)
        return encode(samples, context)._replace(table=(row,))
    return _compare(samples, context)


def encode(samples: ClipFrames, context: FitContext, *, copies: bool = True) -> EncoderChoice:
    """The clips by the encoder of the context's model.

    Args:
        copies: as in `statistics_of`.
    """
    settings = context.settings
    nothing = context.decision.nothing_class
    recropped = list[ClipFrames]()
    if copies and "actor" in settings.data.views and len(samples) <= FEW:
        recropped = [samples.copy(settings.data, number) for number in RECROPPED]
    clips, features = statistics_of(
        context.model,
        samples,
        [group_of(clip) for clip in samples.clips],
        data=settings.data,
        title=f"encoding clips with {settings.model.encoder}",
        with_features=_of_streams(np.array(samples.targets), nothing),
        copies=copies,
        recropped=recropped,
    )
    clips = clips._replace(nothing=nothing, class_weights=settings.training.class_weights)
    return EncoderChoice(samples, context, clips, features=features)


def _of_streams(targets: NDArray[np.int64], nothing: int | None) -> list[int]:
    """The positions of random clips for the streams; at most half are of class nothing."""
    order = np.random.default_rng(0).permutation(len(targets))
    if len(order) <= MOST_CLIPS:
        return order.tolist()
    idle = targets[order] == nothing
    pauses = order[idle][: MOST_CLIPS // 2]
    return [*order[~idle][: MOST_CLIPS - len(pauses)].tolist(), *pauses.tolist()]


def _is_open(settings: Settings) -> bool:
    """Whether Lite0 may be compared: the encoder is to be chosen, Lite0 reads RGB frames, and no
    features are stored for it.
    """
    is_rgb = settings.data.modality == "rgb" and not settings.training.features
    return settings.model.encoder == AUTO_ENCODER and is_rgb


def compared_size(settings: Settings) -> int | None:
    """Height and width of the frames for Lite0, if it may be compared and needs larger frames than
    the smaller encoder; else None.
    """
    is_larger = settings.data.size < LITE0_SIZE
    return LITE0_SIZE if _is_open(settings) and is_larger else None


def _large_enough(clips: Sequence[Clip]) -> bool:
    """Whether half of some clips or more have a shorter side that is long enough for Lite0."""
    sides = list[int]()
    for clip in clips[:: max(1, -(-len(clips) // _OPENED))]:
        with suppress(ClipError):  # a clip that was removed while the others were read
            sides.append(min(read_header(clip.path).size))
    return bool(sides) and median(sides) >= LEAST_SIDE


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


def _compare(samples: ClipFrames, context: FitContext) -> EncoderChoice:
    """Lite0, unless the smaller encoder is clearly better in cross-validation of some clips.

    Args:
        samples, context: for the smaller encoder.
    """
    requested = context.settings
    settings = requested._replace(
        model=replace(requested.model, encoder=LITE0, pretrained=True),
        data=replace(
            requested.data,
            size=max(requested.data.size, LITE0_SIZE),
            normalization="lite0",
        ),
    )
    settings = _with_views(settings, requested.data.views, samples=samples)
    large_samples, _ = read_clips(samples.clips, samples.classes, settings.data)
    torch.manual_seed(settings.training.seed)
    net = configured(settings, len(samples.classes))
    lite0 = encode(large_samples, replace(context, model=net, settings=settings))
    clips = large_samples.clips
    positions = compared(clips)
    trial = encoder_trial(lite0.clips.subset(positions))
    if not np.isfinite(trial.losses).any():
        row = untested("encoder", LITE0, "clips of too few recordings to compare others")
        return lite0._replace(table=(row,))
    small_samples = samples.subset([clips[place] for place in positions])
    small = encode(small_samples, context, copies=False)
    trials = {LITE0: trial, requested.model.encoder: encoder_trial(small.clips)}
    name, table = search("encoder", trials, trials.__getitem__)
    is_complete = len(positions) == len(clips)
    if name != LITE0 and (not is_complete or len(clips) <= FEW):
        # altered copies of few clips are missing
        small = encode(small_samples if is_complete else samples, context)
    candidates = (lite0.clips, small.clips) if is_complete else ()
    encoder = lite0 if name == LITE0 else small
    return encoder._replace(candidates=candidates, table=table)


def choose_views(encoder: EncoderChoice, *, eyes: Eyes) -> EncoderChoice:
    """Whether the encoder sees frames, crops around what acts, or both, if `eyes`, as requested, is
    auto: frames, unless one of the others is clearly better in cross-validation of some clips. Both
    have to be clearly better than the better one, because encoding takes twice as long.
    """
    settings = encoder.context.settings
    if eyes != "auto" or settings.data.modality != "rgb" or settings.training.features:
        return encoder
    clips = encoder.samples.clips
    actor = _with_views(settings, ("actor",), samples=encoder.samples)
    if not _acts_in_part(clips, actor.data):
        return encoder
    positions = compared(clips)
    trial = encoder_trial(encoder.clips.subset(positions))
    if not np.isfinite(trial.losses).any():
        return encoder
    is_complete = len(positions) == len(clips)
    some = encoder if is_complete else _subset(encoder, positions)
    try:
        close = _by_views(some, ("actor",), copies=is_complete)
        both = _joined(some, close)
        trials = {
            "pictures": trial,
            "actor": encoder_trial(close.clips.subset(np.arange(len(positions)))),
            "pictures+actor": encoder_trial(both.clips.subset(np.arange(len(positions)))),
        }
        better, table = search("views", ("pictures", "actor"), trials.__getitem__)
        best, more = search("views", (better, "pictures+actor"), trials.__getitem__)
        table = (*(row for row in table if row.candidate != better), *more)
        candidates: tuple[ClipStatistics, ...] = ()
        if is_complete:
            candidates = (*(encoder.candidates or (encoder.clips,)), close.clips, both.clips)
        chosen = {"pictures": encoder, "actor": close, "pictures+actor": both}[best]
        if best != "pictures" and not is_complete:
            close = _by_views(encoder, ("actor",))
            chosen = close if best == "actor" else _joined(encoder, close)
    except ClipError:  # a clip that was removed while the others were read
        return encoder
    return chosen._replace(candidates=candidates, table=(*encoder.table, *table))


def _with_views(settings: Settings, views: tuple[View, ...], *, samples: ClipFrames) -> Settings:
    """The settings with these views; without other eyes if the samples have none."""
    data = settings.data
    layers = data.layer_eyes if samples.eyes else "pictures"
    return settings._replace(data=data.with_eyes(views, layers))


def _acts_in_part(clips: Sequence[Clip], data: DataConfig) -> bool:
    """Whether crops of some clips are mostly much smaller than the frame."""
    shares = list[float]()
    cache = ArrayCache.for_user()
    for clip in clips[:: max(1, -(-len(clips) // _OPENED))]:
        with suppress(ClipError):
            height, width = read_header(clip.path).size
            crops = crops_of(clip.path, data, cache)
            sides = crops[:, 2:] - crops[:, :2]
            shares.append(float(sides.prod(1).mean()) / (height * width))
    return bool(shares) and median(shares) < _SMALLER


def _subset(encoder: EncoderChoice, positions: NDArray[np.int64]) -> EncoderChoice:
    """The clips at some positions, without features."""
    clips = encoder.samples.clips
    samples = encoder.samples.subset([clips[place] for place in positions])
    return encoder._replace(samples=samples, clips=encoder.clips.subset(positions), features={})


def _by_views(
    encoder: EncoderChoice, views: tuple[View, ...], *, copies: bool = True
) -> EncoderChoice:
    """The clips by the same encoder, which sees other views."""
    samples, context = _seen_by(encoder, views)
    return encode(samples, context, copies=copies)


def _seen_by(encoder: EncoderChoice, views: tuple[View, ...]) -> tuple[ClipFrames, FitContext]:
    """The samples with other views, and the context with a model for them; a ClipError if a clip
    cannot be read any more.
    """
    samples = encoder.samples
    settings = _with_views(encoder.context.settings, views, samples=samples)
    seen, _ = read_clips(samples.clips, samples.classes, settings.data, strict=True)
    torch.manual_seed(settings.training.seed)
    net = configured(settings, len(samples.classes))
    return seen, replace(encoder.context, model=net, settings=settings)


def _joined(frames: EncoderChoice, crops: EncoderChoice) -> EncoderChoice:
    """The clips by both views, from what was encoded of each."""
    samples, context = _seen_by(frames, ("pictures", "actor"))
    with torch.inference_mode(False):
        net = context.model.to(choose_device()).eval()
    features = {
        place: torch.cat((frames.features[place], maps), 1)
        for place, maps in crops.features.items()
        if place in frames.features
    }
    return EncoderChoice(
        samples,
        replace(context, model=net),
        frames.clips.beside(crops.clips),
        features=features,
    )

"""Encode clips for the linear model, and choose the encoder by their size, and by cross-validation
whether it sees frames or crops of them, unless the settings say so.
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
from onlooker.training.search import search
from onlooker.video.reader import VideoReader

_SMALLER = 0.8  # share of the frame: crops that are larger show what the frame shows
_OPENED = 20  # clips whose size is looked at
_COMPARED = 100  # clips at most
_MIN_PER_CLASS = 5  # at least, of these clips, where there are many classes


def with_encoder(settings: Settings, clips: Sequence[Clip]) -> Settings:
    """The settings with the encoder for these clips in place of `auto`: Lite0 at 224 pixels or more if
    half of some clips or more are large enough, else the smaller one.

    Lite0 is kept even where the smaller encoder seems better, because it recognizes new people better
    than cross-validation of a few recordings can tell. Stored features and flow are of the smaller one.
    """
    if settings.model.encoder != AUTO_ENCODER:
        return settings
    is_rgb = settings.data.modality == "rgb" and not settings.training.features
    if not (is_rgb and _large_enough(clips)):
        smaller = settings.with_defaults.model.encoder
        return settings._replace(model=replace(settings.model, encoder=smaller))
    return settings._replace(
        model=replace(settings.model, encoder=LITE0, pretrained=True),
        data=replace(
            settings.data,
            size=max(settings.data.size, LITE0_SIZE),
            normalization="lite0",
        ),
    )


class EncodedClips(NamedTuple):
    """The clips of a linear model by its encoder, which sees frames, crops or both.

    Args:
        samples: all clips.
        context: what the fitter is given, with a model and settings for what is seen.
        clips: their statistics.
        features: of the clips that streams are made of, by their positions, `T D h w` float16.
        candidates: the clips by all views that were compared, the default first; empty: none were,
            or some clips were enough.
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


def encode(samples: ClipFrames, context: FitContext, *, copies: bool = True) -> EncodedClips:
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
    return EncodedClips(samples, context, clips, features=features)


def _of_streams(targets: NDArray[np.int64], nothing: int | None) -> list[int]:
    """The positions of random clips for the streams; at most half are of class nothing."""
    order = np.random.default_rng(0).permutation(len(targets))
    if len(order) <= MOST_CLIPS:
        return order.tolist()
    idle = targets[order] == nothing
    pauses = order[idle][: MOST_CLIPS // 2]
    return [*order[~idle][: MOST_CLIPS - len(pauses)].tolist(), *pauses.tolist()]


def _large_enough(clips: Sequence[Clip]) -> bool:
    """Whether half of some clips or more have a shorter side that is long enough for Lite0."""
    sides = list[int]()
    for clip in clips[:: max(1, -(-len(clips) // _OPENED))]:
        with suppress(ClipError):  # said when it is read
            sides.append(min(VideoReader(clip.path).size))
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


def choose_views(encoder: EncodedClips, *, eyes: Eyes) -> EncodedClips:
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
            candidates = (encoder.clips, close.clips, both.clips)
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


def _subset(encoder: EncodedClips, positions: NDArray[np.int64]) -> EncodedClips:
    """The clips at some positions, without features."""
    clips = encoder.samples.clips
    samples = encoder.samples.subset([clips[place] for place in positions])
    return encoder._replace(samples=samples, clips=encoder.clips.subset(positions), features={})


def _by_views(
    encoder: EncodedClips, views: tuple[View, ...], *, copies: bool = True
) -> EncodedClips:
    """The clips by the same encoder, which sees other views."""
    samples, context = _seen_by(encoder, views)
    return encode(samples, context, copies=copies)


def _seen_by(encoder: EncodedClips, views: tuple[View, ...]) -> tuple[ClipFrames, FitContext]:
    """The samples with other views, and the context with a model for them; a ClipError if a clip
    cannot be read any more.
    """
    samples = encoder.samples
    settings = _with_views(encoder.context.settings, views, samples=samples)
    seen, _ = read_clips(samples.clips, samples.classes, settings.data, strict=True)
    torch.manual_seed(settings.training.seed)
    net = configured(settings, len(samples.classes))
    return seen, replace(encoder.context, model=net, settings=settings)


def _joined(frames: EncodedClips, crops: EncodedClips) -> EncodedClips:
    """The clips by both views, from what was encoded of each."""
    samples, context = _seen_by(frames, ("pictures", "actor"))
    with torch.inference_mode(False):
        net = context.model.to(choose_device()).eval()
    features = {
        place: torch.cat((frames.features[place], maps), 1)
        for place, maps in crops.features.items()
        if place in frames.features
    }
    return EncodedClips(
        samples,
        replace(context, model=net),
        frames.clips.beside(crops.clips),
        features=features,
    )

"""Fit the linear model: statistics of each clip once, then logistic regression or linear
discriminant analysis.

Cross-validation chooses the statistics: those of order are many, and where order does not matter
they only add noise. With few clips, the layer is also fitted to altered copies of them, if that is
better.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from onlooker.base.answer import decide
from onlooker.base.config import ClassWeights, DataConfig, Eyes
from onlooker.base.progress import tracked
from onlooker.data.findings import IMBALANCE
from onlooker.measure.events import EventThreshold, choose_threshold
from onlooker.measure.held_out import HeldOut
from onlooker.measure.metrics import balancing_weights, fit_temperature
from onlooker.models.heads import Head
from onlooker.models.linear import ORDERED, UNORDERED, LinearClassifier
from onlooker.models.video_model import VideoModel, choose_device
from onlooker.training.forward import encode_samples
from onlooker.training.regression import (
    LinearLayer,
    Method,
    MethodResult,
    Statistics,
    cross_validate,
    regress,
    standard_scale,
)
from onlooker.training.sums import Batches, moments, regress_batches

__all__ = ["ClipStatistics", "altered_copies", "statistics_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5
# clips with which layers are chosen; of more, what is best changes no more, and layers are fitted to
# batches of them
MOST_CHOOSING = 2000
_ROWS = 2000  # of a batch
INNER_FOLDS = 3  # of the clips that `cross_validated` does not hold out
_CLIP_BATCH = 8  # read together
_FRAME_BATCH = 32  # encoded together
# The matrices are small: threads that wait for each other cost more than they save, most of all on
# a busy machine.
Function = TypeVar("Function", bound=Callable[..., object])
one_thread: Callable[[Function], Function] = threadpool_limits.wrap(limits=1, user_api="blas")


# The sets of statistics to choose from, the default first.
SETS: dict[str, tuple[str, ...]] = {
    "all but order": UNORDERED,
    "changes": UNORDERED[1:],
    "changes and order": (*UNORDERED[1:], *ORDERED),
}
# Numbers of altered copies of each training clip to choose from, and what they are: they are made
# if there are few clips. These, and two for clips that cannot be divided, come from a trial that was tested on other
# recordings of hand gestures and Weizmann (results/answered.md): figures of few clips of these two
# sets are a little too high.
COPIES = {2: "two crops of each clip", 3: "two crops and the mirror image of each clip"}
# clips with which copies are made; with more clips they gain little, and encoding them takes most
# of the time
FEW = 64
_CROP = 0.84  # of the height and width of the frames
_DEFAULT = Method("logistic", 10.0)  # for clips that cannot be divided


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """The statistics and the method of a linear model, as cross-validation chose them.

    Args:
        statistics: their names.
        scores: `B K`, probabilities of each clip by a layer that was fitted without it and its
            recording; NaN if no layer could be fitted without the clip.
        temperature: for `scores` and for the model.
        tried: the log loss of each of `SETS` in cross-validation, ascending.
        copies: number of altered copies of each clip that the layer is fitted to as well, one of
            `COPIES`, or 0.
        balanced: classes weigh equally, in the layer, the log loss and the temperature.
        mean_accuracies: the mean accuracy of the classes in cross-validation, with classes that
            weigh by their numbers of clips, and equally; None unless both were tried.
    """

    statistics: tuple[str, ...]
    method: Method
    scores: Floats
    temperature: float
    tried: Mapping[str, float] = field(default_factory=dict)
    copies: int = 0
    balanced: bool = False
    mean_accuracies: tuple[float, float] | None = None

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Whether each clip has scores, `B`."""
        return cast(NDArray[np.bool_], np.isfinite(self.scores).all(1))

    def mean_class_accuracy(self, clips: "ClipStatistics") -> float:
        """The mean over classes of the share of their clips that are answered correctly, in
        cross-validation.
        """
        y = clips.y[self.tested]
        threshold = self.event_threshold(clips)
        answers = decide(
            self.scores[self.tested], clips.nothing, threshold and threshold.probability
        )
        return float(np.average(answers == y, weights=balancing_weights(y)))

    def event_threshold(self, clips: "ClipStatistics") -> EventThreshold | None:
        """The threshold of events that is best for `scores`, which are those of these clips."""
        tested = self.tested
        return choose_threshold(self.scores[tested], clips.y[tested], nothing=clips.nothing)

    @property
    def statistics_set(self) -> str | None:
        """The name of the chosen one of `SETS`, the first in `tried`; None if none was tried."""
        return next(iter(self.tried), None)

    @property
    def loss(self) -> float:
        """The log loss of the chosen statistics in cross-validation; infinite if none were tried."""
        return next(iter(self.tried.values()), np.inf)

    def __str__(self) -> str:
        copies = f", fitted also to {COPIES[self.copies]}" if self.copies else ""
        return f"{self._statistics_text()}; {self.method}{copies}{self._weights_text()}"

    def _statistics_text(self) -> str:
        if not self.tried:
            return f"statistics {', '.join(self.statistics)}"
        best, *worse = (f"{name} (log loss {loss:.2f})" for name, loss in self.tried.items())
        rest = f", not {' or '.join(worse)}" if worse else ""
        return f"statistics: {best}{rest}, by cross-validation"

    def _weights_text(self) -> str:
        equal = "; classes weigh equally" if self.balanced else ""
        if self.mean_accuracies is None:
            return equal
        plain, balanced = (f"{100 * accuracy:.0f} %" for accuracy in self.mean_accuracies)
        weights = equal or "; classes weigh by their numbers of clips"
        accuracies = f"{balanced} with equal weights, {plain} without"
        return f"{weights} (mean accuracy of the classes: {accuracies})"


class MotionVectors(NamedTuple):
    """Fisher vectors of clips (`base.fisher`), in an orthonormal basis of a space with most of them.

    Args:
        x: `B R`, coordinates; zero for a clip in which nothing moves.
        basis: `F R`.
        eyes: those that are asked for, as in `DataConfig`.
    """

    x: Floats
    basis: Floats
    eyes: Eyes = "auto"


class ClipStatistics(NamedTuple):
    """Statistics, classes and recordings of clips, to which layers are fitted.

    Args:
        x: statistics `B M`, a block of columns for each of `LinearClassifier.names`; those of a
            model are in single precision.
        y: classes `B`.
        groups: recordings `B`; clips of one are never divided.
        num_classes: K.
        copies: statistics `B M` of altered copies of the clips, in the order of `altered_copies`;
            empty if there are many clips.
        nothing: the class in which nothing happens (`answer.nothing_class`).
        class_weights: as in `FitConfig`.
        motion: motion words of the clips; None: without them.
    """

    x: Statistics
    y: Ints
    groups: NDArray[np.str_]
    num_classes: int
    copies: tuple[Floats, ...] = ()
    nothing: int | None = None
    class_weights: ClassWeights = "none"
    motion: MotionVectors | None = None

    def subset(self, positions: Ints) -> "ClipStatistics":
        """The clips at some positions."""
        motion = self.motion
        return self._replace(
            motion=None if motion is None else motion._replace(x=motion.x[positions]),
            x=self.x[positions],
            y=self.y[positions],
            groups=self.groups[positions],
            copies=tuple(copy[positions] for copy in self.copies),
        )

    def sampled(self) -> Ints:
        """The positions of the clips with which layers are chosen: all, or at most `MOST_CHOOSING`
        from all classes and recordings, in proportion.
        """
        count = len(self.y)
        by_recording = np.lexsort((self.groups, self.y))
        places = np.linspace(0, count - 1, min(count, MOST_CHOOSING)).round().astype(np.int64)
        return np.sort(by_recording[places])

    def batches(
        self, positions: Ints, columns: Ints, copies: int = 0
    ) -> Iterator[tuple[Statistics, Ints]]:
        """Some columns of the statistics, and the classes, of the clips at some positions, followed
        by those of this many altered copies of each; in batches, in the precision of the statistics.
        """
        block = slice(columns[0], columns[-1] + 1)  # a view, from which only rows are copied
        within = columns - columns[0]
        is_whole = len(columns) == block.stop - block.start
        for x in (self.x, *self.copies[:copies]):
            for start in range(0, len(positions), _ROWS):
                places = positions[start : start + _ROWS]
                rows = x[:, block][places]
                yield rows if is_whole else rows[:, within], self.y[places]

    def columns(self, statistics: Sequence[str]) -> Ints:
        """The columns of some of the statistics, given by their names."""
        blocks = np.arange(self.x.shape[1]).reshape(len(LinearClassifier.names), -1)
        return blocks[[LinearClassifier.names.index(name) for name in statistics]].ravel()

    def folds(self, count: int) -> Iterator[tuple[Ints, Ints]]:
        """Positions to fit and to test, for each of `count` folds, or as many as the clips allow;
        none if they cannot be divided.
        """
        from sklearn.model_selection import StratifiedGroupKFold

        count = min(count, len(np.unique(self.groups)), int(np.bincount(self.y).max()))
        if count < 2:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with fewer clips than folds
            parts = [
                *StratifiedGroupKFold(count, shuffle=True, random_state=0).split(
                    self.y, self.y, self.groups
                )
            ]
        yield from (
            (fit, test) for fit, test in parts if len(np.unique(self.y[fit])) > 1 and len(test)
        )


def joined(batches: Iterable[tuple[Statistics, Ints]]) -> tuple[Floats, Ints]:
    """All statistics and classes of some batches, in double precision."""
    x, y = zip(*batches, strict=True)
    return np.concatenate(x).astype(np.float64, order="C"), np.concatenate(y)


class EncodedClips(NamedTuple):
    """Statistics, classes and recordings of the encoded clips.

    Args:
        early: mean and standard deviation over clips of the statistics after 1 to W - 1 frames,
            `W-1 M` each.
        features: of some clips by their positions, `T D h w` float16.
    """

    clips: ClipStatistics
    early: tuple[Floats, Floats]
    features: dict[int, Tensor]


def choose(clips: ClipStatistics, folds: int = FOLDS) -> LayerChoice:
    """The best layer in cross-validation, with classes that weigh equally or by their numbers of
    clips.

    With `class_weights="auto"`, equal weights are chosen if with them more than one further clip of
    the smallest class is classified correctly: log losses with different weights of the classes
    cannot be compared, and the mean accuracy of the classes can.
    """
    if clips.class_weights != "auto":
        return _choose_layer(clips, folds, balanced=clips.class_weights == "balanced")
    plain = _choose_layer(clips, folds, balanced=False)
    counts = np.unique(clips.y, return_counts=True)[1]
    if not plain.tried or counts.max() <= IMBALANCE * counts.min():
        return plain
    balanced = _choose_layer(clips, folds, balanced=True)
    accuracies = plain.mean_class_accuracy(clips), balanced.mean_class_accuracy(clips)
    gains = accuracies[1] - accuracies[0] > 1 / (len(counts) * counts.min())
    return replace(balanced if gains else plain, mean_accuracies=accuracies)


@one_thread
def _choose_layer(clips: ClipStatistics, folds: int, *, balanced: bool) -> LayerChoice:
    """The statistics and the method with the lowest log loss in cross-validation; then the number
    of altered copies with the lowest one.
    """
    parts = [*clips.folds(folds)]
    if not parts:
        return _default_choice(clips, balanced=balanced)
    best_method = partial(_best_method, clips, parts, balanced=balanced)
    by_set = {name: best_method(statistics=SETS[name]) for name in SETS}
    names = sorted(SETS, key=lambda name: by_set[name].loss)
    best_set = names[0]
    by_copies = {0: by_set[best_set]}
    for count in COPIES:
        if count <= len(clips.copies):
            by_copies[count] = best_method(statistics=SETS[best_set], copies=count)
    copies = min(by_copies, key=lambda count: by_copies[count].loss)
    tested = np.concatenate([test for _, test in parts])
    result = _calibrated(by_copies[copies], clips, tested, balanced=balanced)
    scores = np.full((len(clips.y), clips.num_classes), np.nan)
    scores[tested] = softmax(result.logits[tested] / result.temperature, 1)
    return LayerChoice(
        SETS[best_set],
        result.method,
        scores,
        temperature=result.temperature,
        tried={name: by_set[name].loss for name in names},
        copies=copies,
        balanced=balanced,
    )


def _default_choice(clips: ClipStatistics, *, balanced: bool) -> LayerChoice:
    """For clips of a single recording, which cannot be divided: the first of `SETS`, logistic
    regression, and crops.
    """
    return LayerChoice(
        next(iter(SETS.values())),
        _DEFAULT,
        np.full((len(clips.y), clips.num_classes), np.nan),
        temperature=1.0,
        copies=2 if clips.copies else 0,
        balanced=balanced,
    )


def _best_method(
    clips: ClipStatistics,
    parts: Sequence[tuple[Ints, Ints]],
    *,
    statistics: Sequence[str],
    copies: int = 0,
    balanced: bool,
) -> MethodResult:
    """The best method on some statistics in cross-validation, with layers fitted also to this many
    altered copies of each clip.
    """
    columns = clips.columns(statistics)
    fit_and_test = ((*joined(clips.batches(fit, columns, copies)), test) for fit, test in parts)
    x = np.ascontiguousarray(clips.x[:, columns], np.float64)
    return cross_validate(x, clips.y, clips.num_classes, parts=fit_and_test, balanced=balanced)


def _calibrated(
    result: MethodResult, clips: ClipStatistics, tested: Ints, *, balanced: bool
) -> MethodResult:
    """A result at the temperature that calibrates its scores of the tested clips."""
    y = clips.y[tested]
    scores = softmax(result.logits[tested] / result.temperature, 1)
    weights = balancing_weights(y) if balanced else None
    factor = fit_temperature([*scores[:, None]], y, aggregation="last", weights=weights)
    return result._replace(temperature=result.temperature * factor)


class CrossValidated(Protocol):
    """What was tested by cross-validation."""

    @property
    def scores(self) -> Floats:
        """Probabilities `B K` of clips; NaN for one that was not tested."""


def clearly_better(rival: CrossValidated, choice: CrossValidated, clips: ClipStatistics) -> bool:
    """Whether the log loss of the rival on these clips is lower by more than a standard error of
    the difference.

    The rule of one standard error (Breiman et al. 1984), over recordings: of two encoders whose
    difference may be chance, the simpler one is kept.
    """
    rival_tested, tested = (
        HeldOut(layer_choice.scores, clips.y, clips.groups) for layer_choice in (rival, choice)
    )
    return rival_tested.is_clearly_better(tested)


@one_thread
def fit_layer(
    model: VideoModel,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    early: tuple[Floats, Floats] | None = None,
    factor: float = 1.0,
) -> None:
    """Fit the chosen layer to all clips, and set it on a `LinearClassifier`; a ValueError for clips
    of a single class.

    Args:
        early: as in `EncodedClips`; without it, the statistics of the first frames of a stream are
            standardized as those of whole clips.
        factor: of the logits.
    """
    layer = fitted_layer(clips, choice).scaled(factor)
    net = cast(LinearClassifier, model)
    center = np.tile(layer.center, (net.window, 1))
    scale = np.tile(layer.scale, (net.window, 1))
    if early is not None:
        used = clips.columns(choice.statistics)
        columns = np.flatnonzero(layer.standardizes)
        mean, deviation = (statistics[:, columns] for statistics in early)
        center[:-1, columns] = mean
        scale[:-1, columns] = standard_scale(mean, deviation, len(used))
    net.set_heads({"clip": Head(layer.weight, layer.bias, center=center, scale=scale)})


def fitted_layer(
    clips: ClipStatistics,
    choice: LayerChoice,
    positions: Ints | None = None,
    *,
    windows: tuple[Floats, Ints] | None = None,
) -> LinearLayer:
    """The chosen layer, fitted to all clips or to those at some positions: on all statistics, with
    weights of zero for those that were not chosen. These count for distances nevertheless, unless
    they are of order: the mean differs between places, even where changes do not.

    Args:
        windows: statistics `B M` and classes `B` of windows that it is fitted to as well.
    """
    if positions is None:
        positions = np.arange(len(clips.y))
    columns = clips.columns(choice.statistics)

    def batches(columns: Ints) -> Iterator[tuple[Statistics, Ints]]:
        yield from clips.batches(positions, columns, choice.copies)
        if windows is not None:
            yield windows[0][:, columns], windows[1]

    layer = fit_method(
        choice.method, partial(batches, columns), clips.num_classes, balanced=choice.balanced
    ).embedded_in(columns, clips.x.shape[1])
    unused = np.setdiff1d(clips.columns(UNORDERED), columns)
    if len(unused):
        mean, deviation = moments(partial(batches, unused))
        layer.center[unused] = mean
        layer.scale[unused] = standard_scale(mean, deviation, len(columns))
    return layer


def fit_method(
    method: Method,
    batches: Batches,
    num_classes: int,
    *,
    balanced: bool,
    one_scale: bool = False,
) -> LinearLayer:
    """Fit a layer to batches of clips: many are never held together (`regress_batches`); the other
    arguments as for `regress`.
    """
    if sum(len(y) for _, y in batches()) > MOST_CHOOSING:
        return regress_batches(
            batches, num_classes, method=method, balanced=balanced, one_scale=one_scale
        )
    x, y = joined(batches())
    (layer,) = regress(x, y, num_classes, methods=(method,), balanced=balanced, one_scale=one_scale)
    return layer


@torch.inference_mode()
def statistics_of(
    model: VideoModel,
    samples: Dataset[Any],
    groups: Sequence[str],
    *,
    data: DataConfig,
    title: str = "encoding clips",
    with_features: Collection[int] = (),
    copies: bool = True,
) -> EncodedClips:
    """Encode clips; moves the model to a GPU if there is one.

    Args:
        model: a `LinearClassifier`.
        samples: as for `fit`; frames are not augmented.
        groups: the recording of each clip.
        data: normalization.
        title: of the progress bar.
        with_features: positions of the clips whose features are returned.
        copies: make altered copies if there are few clips.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    with torch.inference_mode(False):  # else its layer could not be set afterwards
        net = cast(LinearClassifier, model).to(choose_device()).eval()
    x = np.empty((len(groups), net.num_features), np.float32)
    y = np.empty(len(groups), np.int64)
    altered = list[Tensor]()
    features_by_clip = dict[int, Tensor]()
    # Only sums are kept: statistics after each frame of all clips would take as much memory as the
    # frames.
    sums = square_sums = torch.zeros(net.window - 1, net.num_features, dtype=torch.float64)
    few = copies and len(groups) <= FEW and not data.flow_channels
    batches = DataLoader(samples, _CLIP_BATCH)
    for frames, targets, positions in tracked(batches, "encoding clips", len(batches), title=title):
        features = encode_samples(net, frames, data, at_once=_FRAME_BATCH)
        for position, clip_features in zip(positions.tolist(), features, strict=True):
            if position in with_features:
                features_by_clip[position] = clip_features.half().cpu()
        values = net.statistics(features).cpu()
        x[positions.numpy()] = values[:, -1]
        y[positions.numpy()] = targets
        if few and frames.dtype == torch.uint8:
            copies_features = (
                encode_samples(net, copy, data, at_once=_FRAME_BATCH)
                for copy in altered_copies(frames)
            )
            altered.append(
                torch.stack([net.statistics(copy)[:, -1].cpu() for copy in copies_features])
            )
        early = values[:, torch.arange(net.window - 1).clamp_max(values.shape[1] - 1)].double()
        sums = sums + early.sum(0)
        square_sums = square_sums + early.square().sum(0)
    _check_clips(x, y)
    mean = sums / len(x)
    deviation = (square_sums / len(x) - mean.square()).clamp_min(0).sqrt()
    clips = ClipStatistics(
        x,
        y,
        np.asarray(groups),
        num_classes=net.num_classes,
        copies=tuple(torch.cat(altered, 1).numpy()) if altered else (),
    )
    return EncodedClips(clips, (mean.numpy(), deviation.numpy()), features_by_clip)


def _check_clips(x: Statistics, y: Ints) -> None:
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"all {len(y)} training clips are of one class, expected two classes or more"
        )
    if not np.isfinite(x).all():
        raise ValueError(
            "features of the training clips are not finite; use another encoder or --normalization"
        )


def altered_copies(frames: Tensor) -> Iterator[Tensor]:
    """Altered frames `B T H W C` uint8, in this order: their upper right part and their
    lower left part, enlarged to their size; and mirrored.
    """
    B, T, H, W, _ = frames.shape
    h = round(_CROP * H)
    w = round(_CROP * W)
    for part in (frames[:, :, :h, W - w :], frames[:, :, H - h :, :w]):
        images = part.flatten(0, 1).permute(0, 3, 1, 2)
        enlarged = F.interpolate(images, size=(H, W), mode="bilinear", antialias=True)
        yield enlarged.permute(0, 2, 3, 1).unflatten(0, (B, T))
    yield frames.flip(3)

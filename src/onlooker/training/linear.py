"""Fit the linear model: statistics of every clip once, then logistic regression or linear
discriminant analysis.

Which statistics are used is chosen by cross-validation: those of order are many, and where order
does not matter they only add noise. With few clips, the layer is also fitted to altered copies of
them, if that is better.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from onlooker.base.answer import decide
from onlooker.base.config import ClassWeights, DataConfig
from onlooker.base.progress import tracked
from onlooker.data.findings import IMBALANCE
from onlooker.models.linear import ORDERED, UNORDERED, LinearClassifier
from onlooker.models.video_model import VideoModel, choose_device
from onlooker.report.events import EventThreshold, choose_threshold
from onlooker.report.metrics import balancing_weights, fit_temperature
from onlooker.training.forward import encode_samples
from onlooker.training.regression import (
    CrossValidation,
    LinearLayer,
    Method,
    cross_validate,
    regress,
    spread_of,
)

__all__ = [
    "ClipStatistics",
    "LayerChoice",
    "altered_copies",
    "choose",
    "clearly_better",
    "cross_validated",
    "fit_layer",
    "fitted_layer",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# of the clips; of those that are not held out by `cross_validated`
FOLDS = 5
INNER_FOLDS = 3
# read together, encoded together
_CLIPS = 8
_FRAMES = 32
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
# Copies of the training clips to choose from, by their number: they are made if there are few
# clips. These, and two for clips that cannot be divided, come from a trial that was tested on other
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
    """What cross-validation chose for the linear model.

    Args:
        statistics: their names.
        scores: `B K`, probabilities of each clip by a layer that was fitted without it and its
            recording; NaN if no layer could be fitted without the clip.
        temperature: for `scores` and for the model.
        tried: the lowest log loss in cross-validation of each of `SETS`; the chosen one first.
        copies: number of copies of each clip that the layer is fitted to as well, one of `COPIES`,
            or 0.
        balanced: whether classes weigh equally, in the layer, the log loss and the temperature.
        class_accuracies: the mean accuracy of the classes in cross-validation, not balanced and
            balanced, if both were tried.
    """

    statistics: tuple[str, ...]
    method: Method
    scores: Floats
    temperature: float
    tried: Mapping[str, float] = field(default_factory=dict)
    copies: int = 0
    balanced: bool = False
    class_accuracies: tuple[float, float] | None = None

    def class_accuracy(self, clips: "ClipStatistics") -> float:
        """The mean over classes of the share of their clips that are answered correctly, in
        cross-validation.
        """
        known = np.isfinite(self.scores).all(1)
        threshold = self.threshold(clips)
        answers = decide(self.scores[known], clips.nothing, threshold and threshold.probability)
        return float(
            np.average(answers == clips.y[known], weights=balancing_weights(clips.y[known]))
        )

    def threshold(self, clips: "ClipStatistics") -> EventThreshold | None:
        """The threshold of events, chosen with the scores of these clips."""
        known = np.isfinite(self.scores).all(1)
        return choose_threshold(self.scores[known], clips.y[known], nothing=clips.nothing)

    @property
    def label(self) -> str | None:
        """The chosen one of `SETS`; None if nothing was tried."""
        return next(iter(self.tried), None)

    @property
    def loss(self) -> float:
        """The log loss in cross-validation of the chosen statistics; infinite if nothing was tried."""
        return next(iter(self.tried.values()), np.inf)

    def __str__(self) -> str:
        also = f", fitted also to {COPIES[self.copies]}" if self.copies else ""
        also += "; classes weigh equally" if self.balanced else ""
        if self.class_accuracies:
            plain, balanced = (f"{100 * accuracy:.0f} %" for accuracy in self.class_accuracies)
            also += "" if self.balanced else "; classes weigh by their numbers of clips"
            also += (
                f" (mean accuracy of the classes: {balanced} with equal weights, {plain} without)"
            )
        if not self.tried:
            return f"statistics {', '.join(self.statistics)}; {self.method}{also}"
        chosen, *others = (f"{name} (log loss {loss:.2f})" for name, loss in self.tried.items())
        rest = f", not {' or '.join(others)}" if others else ""
        return f"statistics: {chosen}{rest}, by cross-validation; {self.method}{also}"


class ClipStatistics(NamedTuple):
    """Clips as the linear model sees them.

    Args:
        x: statistics `B M`, a block of columns for each of `LinearClassifier.names`.
        y: classes `B`.
        groups: recordings `B`; clips of one are never divided.
        num_classes: K.
        copies: statistics `B M` of copies of the clips, in the order of `COPIES`; empty if there
            are many clips.
        nothing: the class in which nothing happens (`answer.nothing_class`).
        class_weights: as in `TrainConfig`.
    """

    x: Floats
    y: Ints
    groups: NDArray[np.str_]
    num_classes: int
    copies: tuple[Floats, ...] = ()
    nothing: int | None = None
    class_weights: ClassWeights = "none"

    def subset(self, chosen: Ints) -> "ClipStatistics":
        """Some of the clips."""
        copies = tuple(copy[chosen] for copy in self.copies)
        return self._replace(
            x=self.x[chosen], y=self.y[chosen], groups=self.groups[chosen], copies=copies
        )

    def with_copies(self, chosen: Ints, columns: Ints, copies: int) -> tuple[Floats, Ints]:
        """Statistics and classes of some clips, followed by those of this many copies of each."""
        parts = [x[np.ix_(chosen, columns)] for x in (self.x, *self.copies[:copies])]
        return np.concatenate(parts), np.tile(self.y[chosen], len(parts))

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


class EncodedClips(NamedTuple):
    """What is known of clips that were encoded: their statistics; mean and spread over clips of
    those after 1 to W - 1 frames, `W-1 M` each; and the features of some by their numbers, `T D h
    w` float16.
    """

    clips: ClipStatistics
    early: tuple[Floats, Floats]
    features: dict[int, Tensor]


def choose(clips: ClipStatistics, folds: int = FOLDS) -> LayerChoice:
    """The best layer in cross-validation, with classes that weigh equally or by their numbers of
    clips.

    Where that is to be chosen, equal weights must find more than one further clip of the smallest
    class: log losses with different weights of the classes cannot be compared, and the mean
    accuracy of the classes can.
    """
    if clips.class_weights != "auto":
        return _choose(clips, folds, clips.class_weights == "balanced")
    plain = _choose(clips, folds, False)
    counts = np.unique(clips.y, return_counts=True)[1]
    if not plain.tried or counts.max() <= IMBALANCE * counts.min():
        return plain
    balanced = _choose(clips, folds, True)
    both = plain.class_accuracy(clips), balanced.class_accuracy(clips)
    gains = both[1] - both[0] > 1 / (len(counts) * counts.min())
    return replace(balanced if gains else plain, class_accuracies=both)


@one_thread
def _choose(clips: ClipStatistics, folds: int, balanced: bool) -> LayerChoice:
    """The statistics and the method with the lowest log loss in cross-validation, each at its best
    temperature; then whether the layer is better if it is fitted to copies of the clips as well.

    With clips of a single recording, which cannot be divided: the first of `SETS`, logistic
    regression, and crops.
    """
    scores = np.full((len(clips.y), clips.num_classes), np.nan)
    parts = [*clips.folds(folds)]
    if not parts:
        copies = 2 if clips.copies else 0
        default = next(iter(SETS.values()))
        return LayerChoice(
            default, _DEFAULT, scores, temperature=1.0, copies=copies, balanced=balanced
        )
    results = {
        label: _test(clips, parts, statistics=statistics, copies=0, balanced=balanced)
        for label, statistics in SETS.items()
    }
    tried = {label: results[label].loss for label in sorted(SETS, key=lambda k: results[k].loss)}
    label = next(iter(tried))
    with_copies = {0: results[label]}
    for count in COPIES:
        if count <= len(clips.copies):
            with_copies[count] = _test(
                clips, parts, statistics=SETS[label], copies=count, balanced=balanced
            )
    copies = min(with_copies, key=lambda count: with_copies[count].loss)
    best = with_copies[copies]
    tested = np.concatenate([test for _, test in parts])
    logits = best.logits[tested] / best.temperature
    weights = balancing_weights(clips.y[tested]) if balanced else None
    further = fit_temperature(
        [*softmax(logits, 1)[:, None]], clips.y[tested], aggregation="last", weights=weights
    )
    scores[tested] = softmax(logits / further, 1)
    temperature = best.temperature * further
    return LayerChoice(
        SETS[label],
        best.method,
        scores,
        temperature=temperature,
        tried=tried,
        copies=copies,
        balanced=balanced,
    )


def _test(
    clips: ClipStatistics,
    parts: Sequence[tuple[Ints, Ints]],
    *,
    statistics: Sequence[str],
    copies: int,
    balanced: bool,
) -> CrossValidation:
    """Cross-validate all methods on some statistics, fitted also to this many copies of each clip."""
    columns = clips.columns(statistics)
    given = ((*clips.with_copies(fit, columns, copies), test) for fit, test in parts)
    x = np.ascontiguousarray(clips.x[:, columns])
    return cross_validate(x, clips.y, clips.num_classes, parts=given, balanced=balanced)


def clearly_better(rival: LayerChoice, choice: LayerChoice, clips: ClipStatistics) -> bool:
    """Whether the log loss of the rival on these clips is lower by more than a standard error of
    the difference.

    The rule of one standard error (Breiman et al. 1984), over recordings: of two encoders whose
    difference may be chance, the simpler one is kept.
    """
    known = np.flatnonzero(np.isfinite(choice.scores).all(1) & np.isfinite(rival.scores).all(1))
    if not len(known):
        return False
    losses = [-np.log(each.scores[known, clips.y[known]].clip(1e-30)) for each in (choice, rival)]
    gains = losses[0] - losses[1]
    recordings = np.unique(clips.groups[known], return_inverse=True)[1]
    error = np.linalg.norm(np.bincount(recordings, gains - gains.mean())) / len(known)
    return bool(gains.mean() > error)


@one_thread
def cross_validated(
    clips: ClipStatistics,
    choice: LayerChoice | None = None,
    *,
    rival: ClipStatistics | None = None,
    rival_first: bool = False,
    title: str = "cross-validation",
) -> tuple[Floats, Floats]:
    """Test on all clips, each by a layer that was fitted without it and its recording.

    Args:
        clips: divided into `FOLDS` parts.
        choice: of statistics, method and temperature; None: chosen again for each fold, from its
            training clips alone.
        rival: the same clips by another encoder: without `choice`, one is chosen again for each
            fold.
        rival_first: whether `rival` is of the encoder that the other one has to be clearly better
            than.
        title: of the progress bar.

    Returns:
        Scores `B K`, NaN for a clip without which no layer could be fitted; thresholds of events
        `B`, chosen with the scores from which `choice`, or that of the fold, was made; NaN where
        there is none.
    """
    scores = np.full((len(clips.y), clips.num_classes), np.nan)
    parts = [*clips.folds(FOLDS)]
    thresholds = np.full(len(clips.y), np.nan)
    for fit, test in tracked(parts, "fitting", len(parts), title=title):
        best = clips
        if choice is None and rival is not None:
            first, second = (rival, clips) if rival_first else (clips, rival)
            best = _better(first, second, fit)
        others = best.subset(fit)
        chosen = choice or choose(others, INNER_FOLDS)
        scores[test] = softmax(
            fitted_layer(others, chosen).logits(best.x[test]) / chosen.temperature, 1
        )
        if threshold := chosen.threshold(clips if choice else others):
            thresholds[test] = threshold.probability
    return scores, thresholds


def _better(first: ClipStatistics, second: ClipStatistics, fit: Ints) -> ClipStatistics:
    """The same clips by the better of two encoders, by some of them, without copies."""
    parts = [clips.subset(fit)._replace(copies=()) for clips in (first, second)]
    choices = [choose(part, INNER_FOLDS) for part in parts]
    return second if clearly_better(choices[1], choices[0], parts[0]) else first


@one_thread
def fit_layer(
    model: VideoModel,
    clips: ClipStatistics,
    choice: LayerChoice,
    *,
    early: tuple[Floats, Floats] | None = None,
) -> None:
    """Give a `LinearClassifier` the chosen layer, fitted to all clips; a ValueError for clips of a
    single class.

    Without `early`, the statistics of the first frames of a stream are standardized as those of
    whole clips.
    """
    layer = fitted_layer(clips, choice)
    net = cast(LinearClassifier, model)
    center, scale = (np.tile(each, (net.window, 1)) for each in (layer.center, layer.scale))
    if early is not None:
        columns = clips.columns(choice.statistics)
        mean, spread = (part[:, columns] for part in early)
        center[:-1, columns] = mean
        scale[:-1, columns] = spread_of(mean, spread)
    values = {
        "center": center,
        "scale": scale,
        "head.weight": layer.weight,
        "head.bias": layer.bias,
    }
    net.load_state_dict(
        {**net.state_dict(), **{name: torch.from_numpy(value) for name, value in values.items()}}
    )


def fitted_layer(clips: ClipStatistics, choice: LayerChoice) -> LinearLayer:
    """The layer on all statistics, with weights of zero for those that were not chosen."""
    columns = clips.columns(choice.statistics)
    every = np.arange(len(clips.y))
    given = clips.with_copies(every, columns, choice.copies)
    (layer,) = regress(
        *given, clips.num_classes, methods=(choice.method,), balanced=choice.balanced
    )
    return layer.embedded_in(columns, clips.x.shape[1])


@torch.inference_mode()
def statistics_of(
    model: VideoModel,
    samples: Dataset[Any],
    groups: Sequence[str],
    *,
    data: DataConfig,
    title: str = "encoding clips",
    kept: Collection[int] = (),
    copies: bool = True,
) -> EncodedClips:
    """Encode clips; moves the model to a GPU if there is one.

    Args:
        model: a `LinearClassifier`.
        samples: as for `fit`; frames are not augmented.
        groups: the recording of each clip.
        data: normalization.
        title: of the progress bar.
        kept: the numbers of the clips whose features are returned, `T D h w` float16, on the CPU.
        copies: make copies if there are few clips.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    with torch.inference_mode(False):  # else its layer could not be set afterwards
        net = cast(LinearClassifier, model).to(choose_device()).eval()
    rows: list[Tensor] = []
    targets: list[Tensor] = []
    altered: list[Tensor] = []
    starts = squares = torch.zeros(net.window - 1, net.num_features, dtype=torch.float64)
    batches = DataLoader(samples, _CLIPS)
    features_of = dict[int, Tensor]()
    for batch, of_batch, numbers in tracked(batches, "encoding clips", len(batches), title=title):
        features = encode_samples(net, batch, data, at_once=_FRAMES)
        for number, of_clip in zip(numbers.tolist(), features, strict=True):
            if number in kept:
                features_of[number] = of_clip.half().cpu()
        values = net.statistics(features).cpu().double()
        rows.append(values[:, -1])
        targets.append(of_batch)
        if copies and len(groups) <= FEW and batch.dtype == torch.uint8 and not data.flow_channels:
            of_copies = (
                encode_samples(net, each, data, at_once=_FRAMES) for each in altered_copies(batch)
            )
            altered.append(
                torch.stack([net.statistics(each)[:, -1].cpu().double() for each in of_copies])
            )
        # Only sums are kept: statistics after each frame of all clips would take as much memory as
        # the frames.
        first = values[:, torch.arange(net.window - 1).clamp_max(values.shape[1] - 1)]
        starts = starts + first.sum(0)
        squares = squares + first.square().sum(0)
    x = torch.cat(rows).numpy()
    y = torch.cat(targets).numpy()
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"all {len(y)} training clips are of one class, expected two classes or more"
        )
    if not np.isfinite(x).all():
        raise ValueError(
            "features of the training clips are not finite; use another encoder or --normalization"
        )
    mean = starts / len(x)
    early = mean.numpy(), (squares / len(x) - mean.square()).clamp_min(0).sqrt().numpy()
    all_copies = tuple(torch.cat(altered, 1).numpy()) if altered else ()
    clips = ClipStatistics(x, y, np.asarray(groups), num_classes=net.num_classes, copies=all_copies)
    return EncodedClips(clips, early, features_of)


def altered_copies(frames: Tensor) -> Iterator[Tensor]:
    """Altered frames `B T H W C` uint8, in the order of `COPIES`: their upper right part and their
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

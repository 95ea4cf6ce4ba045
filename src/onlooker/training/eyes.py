"""Choose the layers of the linear model by cross-validation, and fit and test them: its eyes are
pictures (statistics of sampled frames), others (such as motion: words of all frames), or both, whose
log probabilities are added.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor

from onlooker.base.answer import decide
from onlooker.base.config import LayerEyes
from onlooker.base.fisher import fisher_vector
from onlooker.base.progress import tracked
from onlooker.data.findings import IMBALANCE
from onlooker.measure.figures import TriedCandidate
from onlooker.measure.held_out import HeldOut, effective_count
from onlooker.measure.metrics import balancing_weights
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.training.linear import (
    FOLDS,
    INNER_FOLDS,
    METHOD,
    SETS,
    Candidate,
    ClipStatistics,
    EyeVectors,
    fit_layer,
    fitted_layer,
    one_thread,
)
from onlooker.training.regression import (
    METHODS,
    Floats,
    Ints,
    LinearLayer,
    Method,
    Tempered,
    best_temperature,
    held_out_logits,
    one_batch,
    regress,
)
from onlooker.training.search import Trial, search
from onlooker.training.unusual import Spread

__all__ = ["choose_eyes", "eye_vectors"]

_Options = Mapping[str, dict[str, Any]]

# What is chosen: candidates by their names, the default first, as changes of a `Candidate`.
_WEIGHTINGS: _Options = {
    "by numbers of clips": {"balanced": False},
    "equal": {"balanced": True},
}
# Two crops are the default, and copies are made of few clips only, by a trial that was tested on
# other recordings of hand gestures and Weizmann (results/answered.md): figures of few clips of these
# two sets are a little too high.
_COPIES: _Options = {
    "two crops of each clip": {"copies": 2},
    "none": {"copies": 0},
    "two crops and the mirror image of each clip": {"copies": 3},
}
_WEIGHTS = (1.0, 0.25, 0.5, 2.0)  # of another eye
_CLASS_WEIGHTS = "class weights"
_WEIGHT_OF = "weight of "  # before the name of an eye
# Variance of the logarithm of a temperature, times the number of recordings that it is known from.
# Probabilities that are averaged over temperatures which are as likely are less certain, by a factor
# that grows with it. Chosen by the log loss in other recordings of 24 and 48 clips
# (results/answered.md).
_UNCERTAINTY = 2.0
_SPANNING = 1000  # maximum number of clips whose vectors span the space of the layer
_BATCH = 2000  # clips whose Fisher vectors are in memory at once


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """The layers of a linear model, as cross-validation chose them.

    Args:
        candidate: how they are fitted.
        held_out: predictions of the clips by layers that were fitted without them.
        temperature: for the model and, unless a sample chose, for `held_out`.
        factors: of the logits of the eyes that count.
        table: what was tried.
        sample_temperature: for layers that are fitted to as many clips as chose, if that was a
            sample of many clips.
    """

    candidate: Candidate
    held_out: HeldOut
    temperature: float = 1.0
    factors: Mapping[str, float] = field(default_factory=lambda: {"pictures": 1.0})
    table: tuple[TriedCandidate, ...] = ()
    sample_temperature: float | None = None

    @property
    def of_sample(self) -> "LayerChoice":
        """The same choice for layers fitted to as many clips as the choice was made with."""
        return replace(self, temperature=self.sample_temperature or self.temperature)

    def held_out_logits(
        self, clips: ClipStatistics, *, train_rows: Ints, test_rows: Ints
    ) -> Floats:
        """The logits `B K` of the clips at some positions, by layers that are fitted to the clips at
        others.
        """
        pictures = fitted_layer(clips, self.candidate, train_rows).scaled(self.factors["pictures"])
        tested = clips.subset(test_rows)
        logits = pictures.logits(tested.x)
        for name, layer in _layers_of_eyes(clips, self, train_rows).items():
            x = tested.eyes[name].x
            logits = logits + x.any(1, keepdims=True) * layer.logits(x)
        return logits


def eye_vectors(features: Callable[[int], Tensor], count: int) -> EyeVectors:
    """What another eye sees in clips.

    Args:
        features: of the clip at a position, `T 1+F` (`ClipFrames.features`).
        count: number of clips.
    """
    spanning = np.random.default_rng(0).permutation(count)[:_SPANNING]
    basis = np.linalg.qr(_fisher_vectors(features, spanning).T)[0]
    batches = np.split(np.arange(count), range(_BATCH, count, _BATCH))
    x = np.concatenate([_fisher_vectors(features, batch) @ basis for batch in batches])
    return EyeVectors(x.astype(np.float64), basis.astype(np.float64))


def _fisher_vectors(features: Callable[[int], Tensor], positions: Ints) -> NDArray[np.float32]:
    """The Fisher vectors `… F` of the clips at some positions."""
    sums = (features(position).sum(0) for position in positions.tolist())
    return torch.stack([fisher_vector(row) for row in sums]).numpy()


class _LayerTests:
    """Candidates in cross-validation. Layers that differ in their method alone are fitted together.

    Args:
        folds: positions of the clips to train with and to test.
    """

    def __init__(self, clips: ClipStatistics, folds: Sequence[tuple[Ints, Ints]]) -> None:
        self.clips = clips
        self.folds = folds
        self._fitted = cache(self._tempered)

    @property
    def methods(self) -> list[Method]:
        """The methods to choose from, the default first. There are no discriminants where a layer
        is fitted to one clip of each class: with more of them, it would have another scale.
        """
        y = self.clips.y
        spread_is_known = all(len(np.unique(y[rows])) < len(rows) for rows, _ in self.folds)
        names = {"logistic", "discriminant"} if spread_is_known else {"logistic"}
        default = Candidate().method
        return sorted((m for m in METHODS if m.name in names), key=lambda m: m != default)

    @property
    def options(self) -> dict[str, _Options]:
        """What is chosen, one after another."""
        clips = self.clips
        counts = np.unique(clips.y, return_counts=True)[1]
        differ = clips.class_weights == "auto" and counts.max() > IMBALANCE * counts.min()
        layers = product(SETS.items(), self.methods)
        options: dict[str, _Options] = {
            _CLASS_WEIGHTS: _WEIGHTINGS if differ else {},
            "statistics": {
                f"{name}, {method}": {"statistics": statistics, "method": method}
                for (name, statistics), method in layers
            },
            "altered copies": {
                name: option
                for name, option in _COPIES.items()
                if option["copies"] <= len(clips.copies)
            },
        }
        for eye in clips.eyes:
            options[eye] = {
                str(method): {"eyes": eye, "methods": {eye: method}} for method in self.methods
            }
            options[_WEIGHT_OF + eye] = {
                f"{weight:g}": {"eyes": "both", "weights": {eye: weight}}
                for weight in (_WEIGHTS if clips.requested != eye else ())
            }
        if clips.eyes and clips.requested == "auto":
            names = [
                name for name in get_args(LayerEyes) if name in ("pictures", *clips.eyes, "both")
            ]
            options["eyes"] = {name: {"eyes": name} for name in names}
        return options

    def layer(self, candidate: Candidate) -> LayerChoice:
        """The layers of a candidate in cross-validation.

        The log probabilities `B K` of its eyes are added, each multiplied by its weight, and divided
        by the best of a few temperatures. `factors` of the result multiply logits: that of pictures
        is its weight, and those of others are for logits that are divided by the temperature of the
        model, so they contain the ratio of both temperatures.
        """
        clips = self.clips
        balanced = candidate.balanced
        of_pictures = self._fitted(candidate.statistics, candidate.copies, balanced=balanced)
        logits, temperature = of_pictures[candidate.method]
        factors = candidate.factors
        others = [eye for eye in factors if eye != "pictures"]
        if others:
            logits = factors["pictures"] * logits
            for eye in others:
                method = candidate.methods.get(eye, METHOD)
                of_eye, own_temperature = self._fitted(eye, balanced=balanced)[method]
                detected = clips.eyes[eye].x.any(1, keepdims=True)
                logits = logits + factors[eye] * (of_eye * detected)
                factors[eye] = factors[eye] * temperature / own_temperature
            tested = np.isfinite(logits).all(1)
            common = best_temperature(logits[tested], clips.y[tested], balanced)
            logits = logits / common
            temperature *= common
        held_out = HeldOut(softmax(logits, 1), clips.y, clips.groups, nothing=clips.nothing)
        return LayerChoice(candidate, held_out, temperature, factors=factors)

    def loss(self, candidate: Candidate) -> Trial:
        """The log loss."""
        return Trial.of(self.layer(candidate).held_out, balanced=candidate.balanced)

    def errors(self, candidate: Candidate) -> Trial:
        """Wrong answers, where all classes weigh equally: log losses with different weights of the
        classes cannot be compared.
        """
        held_out = self.layer(candidate).held_out
        tested = held_out.subset(held_out.tested)
        threshold = tested.event_threshold()
        answers = decide(tested.scores, tested.nothing, threshold)
        errors = np.full(len(held_out.targets), np.nan)
        weights = balancing_weights(tested.targets)
        errors[held_out.tested] = weights * (answers != tested.targets)
        measure = "mean error of the classes"
        return Trial(errors, held_out.groups, held_out.accuracy, measure=measure)

    def _tempered(
        self, source: tuple[str, ...] | str, copies: int = 0, *, balanced: bool
    ) -> dict[Method, Tempered]:
        """For each method, the log probabilities `B K` of the clips by layers that were fitted without
        them, divided by the temperature that is best for them; and this temperature.

        Args:
            source: the names of the statistics of pictures, or the name of another eye.
            copies: number of altered copies of each clip that layers of pictures are fitted to.
            balanced: classes weigh equally.
        """
        clips = self.clips
        is_eye = isinstance(source, str)
        if not isinstance(source, str):
            columns = clips.columns(source)
            x = np.ascontiguousarray(clips.x[:, columns], np.float64)
        else:
            x = clips.eyes[source].x
        folds = (
            (
                one_batch(x[train_rows], clips.y[train_rows])
                if is_eye
                else partial(clips.batches, train_rows, columns, copies),
                test_rows,
            )
            for train_rows, test_rows in self.folds
        )
        tempered = held_out_logits(
            x,
            clips.y,
            clips.num_classes,
            folds=folds,
            methods=self.methods,
            balanced=balanced,
            one_scale=is_eye,
        )
        return {
            method: (log_softmax(logits, 1), temperature)
            for method, (logits, temperature) in tempered.items()
        }


@one_thread
def choose_eyes(clips: ClipStatistics, folds: int = FOLDS) -> LayerChoice:
    """Choose the layers of a linear model by cross-validation: one thing after another, each by
    `training.search`.

    Of more than `MANY` clips, only a sample takes part, in `INNER_FOLDS` folds, and only the clips of
    the sample have held-out predictions.

    Args:
        folds: number of folds, or as many as the clips allow. Of clips that cannot be divided, the
            defaults are chosen, and no clip has a held-out prediction.
    """
    rows = clips.sampled()
    if len(rows) < len(clips.y):
        return _chosen_by_sample(clips, rows)
    copies = 2 if clips.copies else 0
    candidate = Candidate(copies=copies, balanced=clips.class_weights == "balanced")
    if clips.eyes and clips.requested != "auto":
        weights = dict.fromkeys(clips.eyes, _WEIGHTS[0])
        candidate = candidate._replace(eyes=clips.requested, weights=weights)
    divided = [*clips.folds(folds)]
    if not divided:
        scores = np.full((len(clips.y), clips.num_classes), np.nan)
        held_out = HeldOut(scores, clips.y, clips.groups, nothing=clips.nothing)
        return LayerChoice(candidate, held_out, factors=candidate.factors)
    tests = _LayerTests(clips, divided)
    table = list[TriedCandidate]()
    for choice, options in tests.options.items():
        if len(options) > 1:
            test = tests.errors if choice == _CLASS_WEIGHTS else tests.loss
            trials = {name: test(candidate.changed(**option)) for name, option in options.items()}
            name, tried = search(choice, options, trials.__getitem__)
            candidate = candidate.changed(**options[name])
            table += tried
    unused = _without_effect(candidate, clips.eyes)
    table = [
        replace(row, outcome="the best one, but without effect on the chosen eyes")
        if row.is_chosen and row.choice in unused
        else row
        for row in table
    ]
    # Candidates are compared at one of a few temperatures. The chosen one gets the best of all
    # temperatures, or, of few recordings, a higher one: its held-out log probabilities, `B K`, are
    # divided by `factor`.
    layer = tests.layer(candidate)
    factor = layer.held_out.temperature(balanced=candidate.balanced)
    factor *= _uncertainty(clips)
    scores = softmax(np.log(layer.held_out.scores.clip(1e-300)) / factor, 1)
    return replace(
        layer,
        held_out=replace(layer.held_out, scores=scores),
        temperature=layer.temperature * factor,
        table=tuple(table),
    )


def _uncertainty(clips: ClipStatistics) -> float:
    """Factor of a temperature that is known from the recordings of these clips."""
    return float(np.exp(_UNCERTAINTY / effective_count(clips.groups)))


def _without_effect(candidate: Candidate, eyes: Iterable[str]) -> set[str]:
    """The choices on which the layers of a candidate do not depend: the methods of eyes that do not
    count, and the weights unless the log probabilities of several eyes are added.
    """
    methods = {*eyes} - candidate.factors.keys()
    weights = {_WEIGHT_OF + eye for eye in eyes if candidate.eyes != "both"}
    return methods | weights


def _chosen_by_sample(clips: ClipStatistics, rows: Ints) -> LayerChoice:
    """The choice of the clips at some positions, with predictions of these clips, and a temperature
    that calibrates layers fitted to many clips: they are right more often than layers of a sample.
    """
    choice = choose_eyes(clips.subset(rows), INNER_FOLDS)
    scores = np.full((len(clips.y), clips.num_classes), np.nan)
    scores[rows] = choice.held_out.scores
    held_out = HeldOut(scores, clips.y, clips.groups, nothing=clips.nothing)
    temperature = choice.temperature
    divided = [*clips.folds(FOLDS)]
    if divided:  # a fifth of the clips is held out
        train_rows, test_rows = divided[0]
        logits = choice.held_out_logits(clips, train_rows=train_rows, test_rows=test_rows)
        tested = clips.subset(test_rows)
        large = HeldOut(softmax(logits / temperature, 1), tested.y, tested.groups)
        temperature *= large.temperature(balanced=choice.candidate.balanced) * _uncertainty(clips)
    return replace(
        choice,
        held_out=held_out,
        temperature=temperature,
        sample_temperature=choice.temperature,
    )


def _layers_of_eyes(
    clips: ClipStatistics, choice: LayerChoice, rows: Ints
) -> dict[str, LinearLayer]:
    """The layers of the eyes besides pictures that count."""
    layers = dict[str, LinearLayer]()
    for name in [name for name in clips.eyes if name in choice.factors]:
        (layer,) = regress(
            one_batch(clips.eyes[name].x[rows], clips.y[rows]),
            clips.num_classes,
            methods=(choice.candidate.methods.get(name, METHOD),),
            balanced=choice.candidate.balanced,
            one_scale=True,
        )
        layers[name] = layer.scaled(choice.factors[name])
    return layers


def heads_of_eyes(clips: ClipStatistics, choice: LayerChoice) -> dict[str, Head]:
    """The layers of the other eyes that count, fitted to all clips, as heads on Fisher vectors."""
    heads = dict[str, Head]()
    for name, layer in _layers_of_eyes(clips, choice, np.arange(len(clips.y))).items():
        weight = layer.weight / layer.scale
        center = clips.eyes[name].basis @ Spread.of(clips.eyes[name].x).center
        heads[name] = Head(
            weight @ clips.eyes[name].basis.T, layer.bias - weight @ layer.center, center=center
        )
    return heads


@one_thread
def fit_eyes(model: LinearClassifier, clips: ClipStatistics, choice: LayerChoice) -> None:
    """Fit the chosen layers to all clips, and set them on a model; errors as in `fit_layer`."""
    fit_layer(model, clips, choice.candidate, factor=choice.factors["pictures"])
    model.set_heads(heads_of_eyes(clips, choice))


@one_thread
def cross_validated(
    clips: ClipStatistics,
    choice: LayerChoice | None = None,
    *,
    encoded: Sequence[ClipStatistics] = (),
    title: str = "cross-validation",
) -> tuple[HeldOut, Floats]:
    """Test all clips, each by a layer that was fitted without it and its recording.

    Args:
        clips: divided into `FOLDS` folds.
        choice: of the layers; None: chosen again for each fold, from its training clips alone.
        encoded: the same clips by the views to choose from, the default first; without `choice`, one
            is chosen again for each fold, too.
        title: of the progress bar.

    Returns:
        Predictions; and thresholds of events `B`, each from the fold that tested the clip, NaN
        where there is none.
    """
    scores = np.full((len(clips.y), clips.num_classes), np.nan)
    thresholds = np.full(len(clips.y), np.nan)
    folds = [*clips.folds(FOLDS)]
    for train_rows, test_rows in tracked(folds, "fitting", len(folds), title=title):
        fold_clips = clips
        if choice is None and encoded:
            trials = [encoder_trial(option.subset(train_rows), INNER_FOLDS) for option in encoded]
            place = search("views", range(len(encoded)), trials.__getitem__).value
            fold_clips = encoded[place]
        fold_choice = choice or choose_eyes(fold_clips.subset(train_rows), INNER_FOLDS)
        logits = fold_choice.held_out_logits(fold_clips, train_rows=train_rows, test_rows=test_rows)
        scores[test_rows] = softmax(logits / fold_choice.temperature, 1)
        threshold = fold_choice.held_out.event_threshold()
        if threshold is not None:
            thresholds[test_rows] = threshold
    return HeldOut(scores, clips.y, clips.groups, nothing=clips.nothing), thresholds


def encoder_trial(clips: ClipStatistics, folds: int = FOLDS) -> Trial:
    """The log loss of clips by an encoder; without their altered copies and other eyes, which do not
    depend on what it sees.
    """
    choice = choose_eyes(clips._replace(copies=(), eyes={}), folds)
    return Trial.of(choice.held_out, balanced=choice.candidate.balanced)

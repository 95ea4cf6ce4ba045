"""The eyes of the linear model: pictures (statistics of sampled frames), motion (words of all
frames), or both, whose log probabilities are added. Cross-validation chooses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor

from onlooker.base.config import Eyes
from onlooker.base.fisher import fisher_vector
from onlooker.base.progress import tracked
from onlooker.measure.events import EventThreshold, choose_threshold
from onlooker.measure.figures import EyeFigures
from onlooker.measure.metrics import balancing_weights, fit_temperature
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.training.linear import (
    FOLDS,
    INNER_FOLDS,
    ClipStatistics,
    Floats,
    Ints,
    LayerChoice,
    MotionVectors,
    choose,
    clearly_better,
    fit_layer,
    fit_method,
    fitted_layer,
    one_thread,
)
from onlooker.training.regression import (
    LinearLayer,
    Method,
    MethodResult,
    best_temperature,
    cross_validate,
)

__all__ = ["choose_eyes", "motion_vectors"]

# of the log probabilities of pictures and of motion, the default of each first. The layer of
# pictures stays where motion alone is better: attention and events are found by it.
_WEIGHTS: dict[Eyes, tuple[tuple[float, float], ...]] = {
    "pictures": ((1.0, 0.0),),
    "motion": ((1e-3, 1.0),),
    "both": ((1.0, 1.0), (1.0, 0.25), (1.0, 0.5), (1.0, 2.0)),
}
_NAMES = {"pictures": "pictures alone", "motion": "motion alone", "both": "pictures and motion"}
Weights = NDArray[np.float32]
_DEFAULT = Method("logistic", 10.0)  # of motion, for clips that cannot be divided
Name = TypeVar("Name", bound=str | tuple[float, float])
_SPANNING = 1000  # clips at most whose motion spans the space in which the layer is fitted
_BATCH = 2000  # clips whose Fisher vectors are held at once


@dataclass(frozen=True, eq=False)
class EyeChoice:
    """The layers of a linear model, and how much each of them counts, as cross-validation chose
    them.

    Args:
        pictures: the layer of pictures.
        scores: as in `LayerChoice`, of both layers.
        temperature: for the model and, unless a sample chose, for `scores`.
        method: of the layer of motion; None: there is none.
        factors: of the logits of both layers.
        eyes: which layers count, as in `DataConfig`.
        tried: pictures, motion and both, the chosen one first; empty without motion words.
        sample_temperature: for `scores` and for layers that are fitted to as many clips as chose, if
            that was a sample of many clips.
    """

    pictures: LayerChoice
    scores: Floats
    temperature: float
    method: Method | None = None
    factors: tuple[float, float] = (1.0, 0.0)
    eyes: Eyes = "pictures"
    tried: Sequence[EyeFigures] = ()
    sample_temperature: float | None = None

    @property
    def of_sample(self) -> "EyeChoice":
        """The same choice for layers that are fitted to as many clips as chose."""
        return replace(self, temperature=self.sample_temperature or self.temperature)

    def event_threshold(self, clips: ClipStatistics) -> EventThreshold | None:
        """As in `LayerChoice`."""
        tested = np.isfinite(self.scores).all(1)
        return choose_threshold(self.scores[tested], clips.y[tested], nothing=clips.nothing)

    def held_out_logits(self, clips: ClipStatistics, *, fit: Ints, test: Ints) -> Floats:
        """The logits `B K` of the clips at some positions, by the chosen layers of pictures and of
        motion, fitted to the clips at others.
        """
        pictures = fitted_layer(clips, self.pictures, fit).scaled(self.factors[0])
        tested = clips.subset(test)
        logits = pictures.logits(tested.x)
        motion = _motion_layer(clips, self, fit)
        if motion is None or tested.motion is None:
            return logits
        return logits + _where_moving(motion.logits(tested.motion.x), tested.motion)

    def __str__(self) -> str:
        if not self.tried:
            return str(self.pictures)
        best, *rejected = map(_in_words, self.tried)
        text = f"eyes: {best}, not {' or '.join(rejected)}, by cross-validation"
        if min(figures.log_loss for figures in self.tried) < self.tried[0].log_loss:
            text += " (a lower log loss may be chance: within one standard error)"
        text += f"; {self.pictures}"
        return f"{text}; motion: {self.method}" if self.method else text


def _in_words(figures: EyeFigures) -> str:
    accuracy = f"{100 * figures.accuracy:.0f} % correct"
    return f"{_NAMES[figures.name]} (log loss {figures.log_loss:.2f}, {accuracy})"


def _where_moving(logits: Floats, motion: MotionVectors) -> Floats:
    """Logits of motion, with zeros for clips in which nothing moves."""
    return logits * motion.x.any(1, keepdims=True)


def motion_vectors(motion: Callable[[int], Tensor], count: int, eyes: Eyes) -> MotionVectors:
    """The motion words of clips.

    Args:
        motion: the words of the clip at a position, `T 1+F` (`ClipFrames.motion`).
        count: number of clips.
        eyes: as in `DataConfig`.
    """
    spanning = np.random.default_rng(0).permutation(count)[:_SPANNING]
    basis = np.linalg.qr(_fisher_vectors(motion, spanning).T)[0]
    batches = np.split(np.arange(count), range(_BATCH, count, _BATCH))
    x = np.concatenate([_fisher_vectors(motion, batch) @ basis for batch in batches])
    return MotionVectors(x.astype(np.float64), basis.astype(np.float64), eyes)


def _fisher_vectors(motion: Callable[[int], Tensor], positions: Ints) -> NDArray[np.float32]:
    """The Fisher vectors `… F` of the clips at some positions."""
    sums = (motion(position).sum(0) for position in positions.tolist())
    return torch.stack([fisher_vector(row) for row in sums]).numpy()


@one_thread
def choose_eyes(clips: ClipStatistics, folds: int = FOLDS) -> EyeChoice:
    """The best layer of pictures (`choose`), and the eyes among those that are asked for
    (`MotionVectors.eyes`).

    With `auto`, they are pictures, unless the log loss of motion or of both is clearly lower in
    cross-validation: with a few recordings, motion often seems better by chance. Both weigh the
    same, unless another weight is clearly better. Of many clips, a sample chooses in fewer folds,
    and only they have scores.
    """
    positions = clips.sampled()
    if len(positions) < len(clips.y):
        choice = choose_eyes(clips.subset(positions), INNER_FOLDS)
        scores = partial(_of_all, positions=positions, count=len(clips.y))
        pictures = replace(choice.pictures, scores=scores(choice.pictures.scores))
        choice = replace(choice, pictures=pictures, scores=scores(choice.scores))
        temperature = _temperature(clips, choice)
        return replace(choice, temperature=temperature, sample_temperature=choice.temperature)
    pictures = choose(clips, folds)
    only_pictures = EyeChoice(pictures, pictures.scores, pictures.temperature)
    if clips.motion is None:
        return only_pictures
    parts = [*clips.folds(folds)]
    if not parts:  # of a single recording
        if clips.motion.eyes == "auto":
            return only_pictures
        factors = _WEIGHTS[clips.motion.eyes][0]
        return replace(only_pictures, method=_DEFAULT, factors=factors, eyes=clips.motion.eyes)
    x = clips.motion.x
    motion = cross_validate(
        x,
        clips.y,
        clips.num_classes,
        parts=((x[fit], clips.y[fit], test) for fit, test in parts),
        balanced=pictures.balanced,
        one_scale=True,
    )
    tested = np.concatenate([test for _, test in parts])
    results = _combined(clips, pictures, motion, tested=tested)
    best = clips.motion.eyes
    if best == "auto":
        best = _unless_clearly_better("pictures", results, clips)
    tried = [results[name].figures(name, clips, tested) for name in dict.fromkeys((best, *results))]
    if best == "pictures":
        return replace(only_pictures, tried=tried)
    choice = _calibrated(pictures, motion, results[best], clips=clips, tested=tested)
    return replace(choice, eyes=best, tried=tried)


def _temperature(clips: ClipStatistics, choice: EyeChoice) -> float:
    """The temperature that calibrates layers fitted to many clips, which are right more often than
    those of the sample that chose; a fifth of the clips is held out.
    """
    parts = [*clips.folds(FOLDS)]
    if not parts:  # of a single recording
        return choice.temperature
    fit, test = parts[0]
    logits = choice.held_out_logits(clips, fit=fit, test=test)
    scores = softmax(logits / choice.temperature, 1)
    y = clips.y[test]
    weights = balancing_weights(y) if choice.pictures.balanced else None
    factor = fit_temperature([*scores[:, None]], y, aggregation="last", weights=weights)
    return choice.temperature * factor


def _of_all(scores: Floats, positions: Ints, count: int) -> Floats:
    """The scores `B K` of the clips at some positions, with NaN for the others of `count` clips."""
    values = np.full((count, scores.shape[1]), np.nan)
    values[positions] = scores
    return values


class _Combined(NamedTuple):
    """Added log probabilities `B K`, NaN for clips that were not tested, with their weights, their
    best temperature and its log loss.
    """

    logits: Floats
    weights: tuple[float, float]
    temperature: float
    loss: float

    @property
    def scores(self) -> Floats:
        """As in `LayerChoice`."""
        return cast(Floats, softmax(self.logits / self.temperature, 1))

    def figures(self, name: str, clips: ClipStatistics, tested: Ints) -> EyeFigures:
        correct = self.logits[tested].argmax(1) == clips.y[tested]
        return EyeFigures(name=name, log_loss=self.loss, accuracy=float(correct.mean()))


def _combined(
    clips: ClipStatistics, pictures: LayerChoice, motion: MethodResult, *, tested: Ints
) -> Mapping[Eyes, _Combined]:
    """Pictures, motion and both, each with the weights of the lowest log loss."""
    assert clips.motion is not None
    seen = np.log(pictures.scores.clip(1e-30))
    moved = _where_moving(log_softmax(motion.logits / motion.temperature, 1), clips.motion)
    results = dict[Eyes, _Combined]()
    for name, choices in _WEIGHTS.items():
        candidates = dict[tuple[float, float], _Combined]()
        for weights in choices:
            logits = weights[0] * seen + weights[1] * moved
            calibration = best_temperature(logits[tested], clips.y[tested], pictures.balanced)
            candidates[weights] = _Combined(logits, weights, *calibration)
        results[name] = candidates[_unless_clearly_better(choices[0], candidates, clips)]
    return results


def _unless_clearly_better(
    default: Name, candidates: Mapping[Name, _Combined], clips: ClipStatistics
) -> Name:
    """The default, or the best of the candidates whose loss is lower and that are clearly better
    (`clearly_better`, without the two clips that `regression.best_temperature` adds).
    """
    better = [
        name
        for name, candidate in candidates.items()
        if candidate.loss < candidates[default].loss
        and clearly_better(candidate, candidates[default], clips)
    ]
    return min(better, key=lambda name: candidates[name].loss, default=default)


def _calibrated(
    pictures: LayerChoice,
    motion: MethodResult,
    combined: _Combined,
    *,
    clips: ClipStatistics,
    tested: Ints,
) -> EyeChoice:
    """The choice of combined layers, at the temperature that calibrates the scores of the tested
    clips.
    """
    y = clips.y[tested]
    logits = combined.logits[tested] / combined.temperature
    class_weights = balancing_weights(y) if pictures.balanced else None
    factor = fit_temperature(
        [*softmax(logits, 1)[:, None]], y, aggregation="last", weights=class_weights
    )
    scores = np.full_like(combined.logits, np.nan)
    scores[tested] = softmax(logits / factor, 1)
    return EyeChoice(
        pictures,
        scores,
        combined.temperature * factor,
        method=motion.method,
        factors=(
            combined.weights[0] / pictures.temperature,
            combined.weights[1] / motion.temperature,
        ),
    )


def _motion_layer(clips: ClipStatistics, choice: EyeChoice, positions: Ints) -> LinearLayer | None:
    if choice.method is None or clips.motion is None:
        return None
    x = clips.motion.x[positions]
    y = clips.y[positions]
    balanced = choice.pictures.balanced
    layer = fit_method(
        choice.method, lambda: [(x, y)], clips.num_classes, balanced=balanced, one_scale=True
    )
    return layer.scaled(choice.factors[1])


def motion_weights(clips: ClipStatistics, choice: EyeChoice) -> tuple[Weights, Weights] | None:
    """The layer of motion, fitted to all clips, as one on Fisher vectors: weight `K F` and bias
    `K`; None if the choice has none.
    """
    layer = _motion_layer(clips, choice, np.arange(len(clips.y)))
    if layer is None or clips.motion is None:
        return None
    weight = layer.weight / layer.scale
    return (
        (weight @ clips.motion.basis.T).astype(np.float32),
        (layer.bias - weight @ layer.center).astype(np.float32),
    )


@one_thread
def fit_eyes(
    model: LinearClassifier,
    clips: ClipStatistics,
    choice: EyeChoice,
    *,
    early: tuple[Floats, Floats] | None = None,
) -> None:
    """Fit the chosen layers to all clips, and set them on a model; `early` and errors as for
    `fit_layer`.
    """
    fit_layer(model, clips, choice.pictures, early=early, factor=choice.factors[0])
    layer = motion_weights(clips, choice)
    if layer is not None:
        model.set_heads({"motion": Head(*layer)})


@one_thread
def cross_validated(
    clips: ClipStatistics,
    choice: EyeChoice | None = None,
    *,
    rival: ClipStatistics | None = None,
    rival_first: bool = False,
    title: str = "cross-validation",
) -> tuple[Floats, Floats]:
    """Test all clips, each by a layer that was fitted without it and its recording.

    Args:
        clips: divided into `FOLDS` parts.
        choice: eyes, statistics, methods and temperature; None: chosen again for each fold, from
            its training clips alone.
        rival: the same clips by another encoder; without `choice`, the encoder is chosen again for
            each fold, too.
        rival_first: the encoder of `rival` is kept unless that of `clips` is clearly better, not
            the other way around.
        title: of the progress bar.

    Returns:
        Scores `B K`, NaN for a clip without which no layer could be fitted; and thresholds of
        events `B`, NaN where there is none: that of a clip is the one of the choice (`event_threshold`)
        by which it was tested.
    """
    scores = np.full((len(clips.y), clips.num_classes), np.nan)
    thresholds = np.full(len(clips.y), np.nan)
    parts = [*clips.folds(FOLDS)]
    for fit, test in tracked(parts, "fitting", len(parts), title=title):
        encoded = clips
        if choice is None and rival is not None:
            both = (rival, clips) if rival_first else (clips, rival)
            encoded = _better_encoded(*both, fit)
        training = clips if choice else encoded.subset(fit)
        fold_choice = choice or choose_eyes(training, INNER_FOLDS)
        logits = fold_choice.held_out_logits(encoded, fit=fit, test=test)
        scores[test] = softmax(logits / fold_choice.temperature, 1)
        threshold = fold_choice.event_threshold(training)
        if threshold:
            thresholds[test] = threshold.probability
    return scores, thresholds


def _better_encoded(simple: ClipStatistics, rival: ClipStatistics, fit: Ints) -> ClipStatistics:
    """The same clips by the better one of two encoders.

    Args:
        fit: the clips to choose with; their altered copies are left out, because only one of the
            encoders has them.
    """
    parts = [clips.subset(fit)._replace(copies=()) for clips in (simple, rival)]
    choice, rival_choice = (choose(part, INNER_FOLDS) for part in parts)
    return rival if clearly_better(rival_choice, choice, parts[0]) else simple

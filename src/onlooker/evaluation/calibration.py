"""Calibration: how far confidence is from accuracy, and the temperature that corrects it (Guo et al. 2017)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.models.classifier import clip_scores

__all__ = [
    "balancing_weights", "calibration_error", "confidence_bins", "fit_temperature", "perfect_calibration_error"
]  # fmt: skip

Floats = NDArray[np.floating]

BINS = 5
LIMIT = float(np.log(20))  # of the logarithm of a temperature


def confidence_bins(confidence: Floats) -> NDArray[np.int64]:
    """The bin of each clip, 0 to `BINS - 1`: bins of equally many clips, in the order of confidence.

    Equal confidences share a bin, so that the order of the clips does not matter.
    """
    return np.searchsorted(np.sort(confidence), confidence, "left") * BINS // max(len(confidence), 1)


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error of the answers, Σ_b n_b/B |accuracy_b - confidence_b| over bins of equal mass.

    Args:
        confidence: `B`, the probability of each answer.
        correct: `B`, whether it is right.
    """
    return _error(correct, confidence, confidence_bins(confidence))


def perfect_calibration_error(confidence: Floats, draws: int = 1000) -> tuple[float, float]:
    """What `calibration_error` would be if the confidences were right: its mean and its 95th percentile.

    With few clips, a bin's accuracy differs from its confidence by chance. Each simulation draws whether an answer is
    correct, with its confidence as the probability.

    Args:
        confidence: `B`, the probability of each answer.
        draws: number of simulated evaluations.
    """
    random, numbers = np.random.default_rng(0), confidence_bins(confidence)
    errors = [_error(random.random(len(confidence)) < confidence, confidence, numbers) for _ in range(draws)]
    return float(np.mean(errors)), float(np.percentile(errors, 95))


def _error(correct: NDArray[np.bool_], confidence: Floats, numbers: NDArray[np.int64]) -> float:
    return float(np.abs(np.bincount(numbers, correct - confidence)).sum() / len(confidence))


def balancing_weights(targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Weights of clips `B` with which all classes weigh equally; their mean is 1."""
    _, positions, counts = np.unique(targets, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = len(targets) / (len(counts) * counts[positions])
    return weights


def fit_temperature(
    frame_scores: Sequence[Floats],
    targets: NDArray[np.integer],
    aggregation: str = "mean",
    weights: NDArray[np.floating] | None = None,
) -> float:
    """The temperature T, 1/20 to 20, of softmax(logits / T) at every frame that gives clips the lowest log loss.

    As in Laplace's rule of succession, one more clip is counted as correct and one as wrong, each with the mean
    confidence: a few clips that are all correct do not make the model certain.

    Args:
        frame_scores: of each clip `T K`, probabilities at T = 1 (their logarithms are logits); clips that were not
            used in training, such as validation clips or all clips of a cross-validation.
        aggregation: of frames (`clip_scores`).
        weights: `B`, of the clips (`balancing_weights`); None: all weigh the same.
    """
    by_length: dict[int, list[int]] = {}
    for i, scores in enumerate(frame_scores):
        by_length.setdefault(len(scores), []).append(i)
    order = [i for clips in by_length.values() for i in clips]
    rows, truth = np.arange(len(order)), np.asarray(targets)[order]
    weight = 1.0 if weights is None else weights[order]
    batches = [np.stack([frame_scores[i] for i in clips]).astype(np.float64) for clips in by_length.values()]
    logits = [torch.from_numpy(np.log(np.maximum(batch, np.finfo(np.float32).tiny))) for batch in batches]

    def cost(log_temperature: float) -> float:
        tempered = [(batch / np.exp(log_temperature)).softmax(-1) for batch in logits]
        scores = torch.cat([clip_scores(batch, aggregation) for batch in tempered]).numpy().clip(1e-12, 1)
        confidence = scores.max(axis=1).mean().clip(0, 1 - 1e-12)
        return float(-(weight * np.log(scores[rows, truth])).sum() - np.log(confidence) - np.log1p(-confidence))

    if not logits or logits[0].shape[-1] < 2:
        return 1.0
    best, width = 0.0, LIMIT
    for _ in range(5):  # each search is ten times finer
        best = min(np.clip(best + np.linspace(-width, width, 21), -LIMIT, LIMIT).tolist(), key=cost)
        width /= 10
    return float(np.exp(best))

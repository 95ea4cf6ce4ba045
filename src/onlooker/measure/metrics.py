"""Metrics of an evaluation, the scores as CSV, and the temperature that calibrates them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, logsumexp, softmax

from onlooker.base.decision import clip_scores
from onlooker.base.files import read_csv, reading, write_csv
from onlooker.base.records import Evaluation
from onlooker.data.split import PART
from onlooker.measure.figures import DoubtfulLabel, Figures

__all__ = [
    "accuracy_interval",
    "calibration_error",
    "measure",
    "perfect_calibration_error",
    "wilson_interval",
]

Floats = NDArray[np.floating]

BINS = 5  # of confidence
LIMIT = float(np.log(20))  # of the logarithm of a temperature
MIN_RECORDINGS = 2  # for an interval
# values of the mean share, and of the correlation within a recording, `1 P` and `R 1`; and their
# prior probability, `R P`, logarithm
_SHARES = (np.arange(400)[None] + 0.5) / 400
_CORRELATIONS = np.array([0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75])[:, None]
_PRIOR = (
    0.5 * np.log1p(-_CORRELATIONS)
    + np.log(np.gradient(_CORRELATIONS, axis=0))
    - 0.3 * (np.log(_SHARES) + np.log1p(-_SHARES))
)
_MAX_LABELS = 50  # to check, in a report
_COLUMNS = (
    "name",
    "truth",
    "predicted",
    "score",
    "threshold",
)  # of `write_scores`, before `p(class)`
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of formulas in spreadsheets


def measure(evaluation: Evaluation) -> Figures:
    """The figures of an evaluation; of frames only if there are frame scores."""
    targets = evaluation.targets
    names = evaluation.answer_names
    correct = evaluation.correct
    unusual = evaluation.unusual
    recordings = evaluation.recordings or tuple(map(str, range(len(targets))))
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (targets, evaluation.answers), 1)
    recalls = [
        int(row[k]) / int(row.sum()) if row.any() else None for k, row in enumerate(confusion)
    ]
    target_scores = evaluation.scores[np.arange(len(targets)), targets].astype(np.float64)
    frames: NDArray[np.bool_] | None = None  # of every frame of every video, whether it is right
    if evaluation.frame_scores:
        videos = zip(evaluation.frame_scores, targets, evaluation.needed, strict=True)
        decide = evaluation.decision.decide
        frames = np.concatenate(
            [decide(scores, threshold) == target for scores, target, threshold in videos]
        )
    return Figures(
        videos=len(targets),
        frames=None if frames is None else len(frames),
        classes=list(names),
        recordings=len({*recordings}),
        accuracy=float(correct.mean()),
        accuracy_interval=accuracy_interval(correct, recordings),
        frame_accuracy=None if frames is None else float(frames.mean()),
        class_accuracy=dict(zip(names, recalls, strict=True)),
        log_loss=float(-np.log(np.maximum(target_scores, np.finfo(np.float32).tiny)).mean()),
        calibration_error=calibration_error(evaluation.answer_scores, correct),
        perfect_calibration_error=list(perfect_calibration_error(evaluation.answer_scores)),
        majority_share=int(np.bincount(targets).max()) / len(targets),
        confusion=confusion.tolist(),
        skipped=list(evaluation.skipped),
        unusual=None if unusual is None else int(unusual.sum()),
        unusual_correct=None if unusual is None else int((unusual & correct).sum()),
        mean_confidence=float(evaluation.answer_scores.mean()),
    )


def accuracy_interval(correct: ArrayLike, recordings: ArrayLike) -> list[float] | None:
    """The 95 % interval of the share of clips of other recordings that are classified correctly;
    None for one recording, not counting recordings that were divided among training and test.

    Clips of one recording are not independent. The share of each recording is drawn from a beta
    distribution around the mean share p, with correlation ρ of two clips of a recording
    (beta-binomial model, Williams 1975). The interval is between quantiles of the posterior of p,
    with priors p ~ Beta(.7, .7) and ρ ~ Beta(1, 1.5), which a simulation chose (docs/real-clips.md):
    of a few recordings it covers p more often than a bootstrap. It reaches 0 or 1 where all
    clips are wrong or right.

    Args:
        correct: of `B` clips, 0 or 1; or means over seeds.
        recordings: their `B` recordings.
    """
    names, numbers = np.unique(recordings, return_inverse=True)
    if sum(PART not in str(name) for name in names) < MIN_RECORDINGS:
        return None
    right = np.bincount(numbers, np.asarray(correct, np.float64))
    # recordings with the same counts have the same likelihood
    kinds = np.stack((right, np.bincount(numbers) - right), axis=1)
    (right, wrong), count = (values.T for values in np.unique(kinds, axis=0, return_counts=True))
    alpha = (_SHARES * (1 / _CORRELATIONS - 1))[..., None]  # R P 1
    beta = ((1 - _SHARES) * (1 / _CORRELATIONS - 1))[..., None]
    likelihood = (betaln(right + alpha, wrong + beta) - betaln(alpha, beta)) @ count
    posterior = logsumexp(likelihood + _PRIOR, axis=0)
    cumulative = np.cumsum(softmax(posterior))
    low, high = np.interp((0.025, 0.975), cumulative, _SHARES[0] + 0.5 / _SHARES.size).tolist()
    return [low if right.any() else 0.0, high if wrong.any() else 1.0]


def wilson_interval(share: float, trials: int) -> list[float]:
    """The 95 % confidence interval of a share of independent trials (Wilson 1927, without
    continuity correction).
    """
    z = 1.959964 / trials**0.5
    center = share + z * z / 2
    half = z * (share * (1 - share) + z * z / 4) ** 0.5
    return [max((center - half) / (1 + z * z), 0.0), min((center + half) / (1 + z * z), 1.0)]


def confidence_bins(confidence: Floats) -> NDArray[np.int64]:
    """The bin of each clip, 0 to `BINS - 1`: bins of equally many clips, in the order of
    confidence.

    Equal confidences share a bin, so that the order of the clips does not matter.
    """
    return (
        np.searchsorted(np.sort(confidence), confidence, "left") * BINS // max(len(confidence), 1)
    )


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error of the answers, Σ_b n_b/B |accuracy_b - confidence_b| over bins of
    equal mass.

    Args:
        confidence: `B`, the probability of each answer.
        correct: `B`, whether it is right.
    """
    return _error(correct, confidence, confidence_bins(confidence))


def perfect_calibration_error(confidence: Floats, draws: int = 1000) -> tuple[float, float]:
    """The `calibration_error` of a perfectly calibrated model with these confidences: its mean and
    its 95th percentile.

    With few clips, a bin's accuracy differs from its confidence by chance. Each simulation draws
    whether an answer is correct, with its confidence as the probability.

    Args:
        confidence: `B`, the probability of each answer.
        draws: number of simulated evaluations.
    """
    random = np.random.default_rng(0)
    numbers = confidence_bins(confidence)
    errors = [
        _error(random.random(len(confidence)) < confidence, confidence, numbers)
        for _ in range(draws)
    ]
    return float(np.mean(errors)), float(np.percentile(errors, 95))


def _error(correct: NDArray[np.bool_], confidence: Floats, numbers: NDArray[np.int64]) -> float:
    return float(np.abs(np.bincount(numbers, correct - confidence)).sum() / len(confidence))


def balancing_weights(targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Weights of clips `B` with which all classes weigh equally; their mean is 1."""
    _, positions, counts = np.unique(targets, return_inverse=True, return_counts=True)
    return len(targets) / (len(counts) * counts[positions])


def fit_temperature(
    frame_scores: Sequence[Floats],
    targets: NDArray[np.integer],
    *,
    aggregation: str = "mean",
    weights: NDArray[np.floating] | None = None,
) -> float:
    """The temperature T, 1/20 to 20, of softmax(logits / T) at every frame that gives clips the
    lowest log loss.

    As in Laplace's rule of succession, one more clip is counted as correct and one as wrong, each
    with the mean confidence: a few clips that are all correct do not make the model certain.

    Args:
        frame_scores: of each clip `T K`, probabilities at T = 1 (their logarithms are logits);
            clips that were not used in training, such as validation clips or all clips of a
            cross-validation.
        aggregation: of frames (`clip_scores`).
        weights: `B`, of the clips (`balancing_weights`); None: all weigh the same.
    """
    by_length: dict[int, list[int]] = {}
    for i, scores in enumerate(frame_scores):
        by_length.setdefault(len(scores), []).append(i)
    order = [i for clips in by_length.values() for i in clips]
    rows = np.arange(len(order))
    truth = np.asarray(targets)[order]
    weight = 1.0 if weights is None else weights[order]
    batches = [
        np.stack([frame_scores[i] for i in clips]).astype(np.float64)
        for clips in by_length.values()
    ]
    logits = [
        torch.from_numpy(np.log(np.maximum(batch, np.finfo(np.float32).tiny))) for batch in batches
    ]

    def cost(log_temperature: float) -> float:
        tempered = [(batch / np.exp(log_temperature)).softmax(-1) for batch in logits]
        scores = (
            torch.cat([clip_scores(batch, aggregation) for batch in tempered])
            .numpy()
            .clip(1e-12, 1)
        )
        confidence = scores.max(axis=1).mean().clip(0, 1 - 1e-12)
        return float(
            -(weight * np.log(scores[rows, truth])).sum()
            - np.log(confidence)
            - np.log1p(-confidence)
        )

    if not logits or logits[0].shape[-1] < 2:
        return 1.0
    best = 0.0
    width = LIMIT
    for _ in range(5):  # each search is ten times finer
        best = min(np.clip(best + np.linspace(-width, width, 21), -LIMIT, LIMIT).tolist(), key=cost)
        width /= 10
    return float(np.exp(best))


def labels_to_check(evaluation: Evaluation) -> list[DoubtfulLabel]:
    """Clips whose labels may be wrong, most likely first.

    The answer is not the label; sorted by the probability of the label, the self-confidence of Kuan
    & Mueller (2022). Of ten labels planted in sets of real clips, it has more among the first than
    confident learning, whose threshold for each class and normalized margin leave out the errors in
    classes that are often confused.

    Args:
        evaluation: by models that were not trained on the clip, as in a cross-validation.
    """
    targets = evaluation.targets
    answers = evaluation.answers
    names = evaluation.answer_names
    confidence = evaluation.scores[np.arange(len(targets)), targets]
    scores = evaluation.answer_scores
    return [
        DoubtfulLabel(
            name=evaluation.names[i],
            label=names[targets[i]],
            predicted=names[answers[i]],
            score=float(scores[i]),
        )
        for i in np.argsort(confidence, kind="stable").tolist()
        if answers[i] != targets[i]
    ][:_MAX_LABELS]


def write_scores(path: Path | str, evaluation: Evaluation) -> None:
    """Write a CSV with one row per video: name, truth, predicted, the score of the prediction (in
    recordings, that of its best event), the score that an event needs (empty: none), and `p(class)`
    of every class: of the whole clip, or of a recording in its best window.

    A name that a spreadsheet would compute as a formula is preceded by an apostrophe.
    """
    rows = [[*_COLUMNS, *(f"p({name})" for name in evaluation.classes)]]
    videos = zip(
        evaluation.names,
        evaluation.targets,
        evaluation.answers,
        evaluation.answer_scores,
        evaluation.needed,
        evaluation.scores,
        strict=True,
    )
    for name, target, answer, score, threshold, scores in videos:
        names = name, evaluation.classes[target], evaluation.answer_names[answer]
        texts = (f"'{text}" if text.startswith(FORMULA) else text for text in names)
        needed = "" if np.isnan(threshold) else f"{float(threshold):.6g}"
        numbers = (f"{float(value):.6g}" for value in (score, *scores))
        rows.append([*texts, next(numbers), needed, *numbers])
    write_csv(Path(path), rows)


class ScoredClip(NamedTuple):
    """A clip of an evaluation: its name, its class, what was predicted, and the probability of each
    class.
    """

    name: str
    truth: str
    predicted: str
    scores: dict[str, float]

    @property
    def correct(self) -> bool:
        return self.truth == self.predicted


def read_scores(path: Path) -> list[ScoredClip]:
    """The videos of a CSV that `write_scores` wrote; a ValueError for another file."""
    clips = list[ScoredClip]()
    with reading(path):
        for row in read_csv(path):
            name, truth, predicted = (_plain(row.pop(key)) for key in ScoredClip._fields[:3])
            scores = {
                column[2:-1]: float(score)
                for column, score in row.items()
                if column not in _COLUMNS
            }
            clips.append(ScoredClip(name, truth, predicted, scores=scores))
    return clips


def _plain(text: str) -> str:
    """Text without the apostrophe that `write_scores` puts before a formula."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text

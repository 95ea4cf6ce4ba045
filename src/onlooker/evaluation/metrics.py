"""Classification metrics of an evaluation as plain values for JSON, and the scores as CSV."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.answer import decide, nothing_class
from onlooker.evaluation.calibration import calibration_error, perfect_calibration_error
from onlooker.files import read_bytes, write_csv
from onlooker.structures import Evaluation

__all__ = ["FORMULA", "accuracy_interval", "measure", "read_correct", "wilson_interval", "write_scores"]

MIN_RECORDINGS = 3  # for an interval: with two, it is between the accuracies on one and on the other

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a formula in a spreadsheet begins with


def _frames_correct(of: Evaluation) -> NDArray[np.bool_]:
    """For every frame of every video, whether its answer is the true class."""
    nothing, thresholds = nothing_class(of.classes, of.nothing), np.full(len(of.targets), np.nan)
    if of.threshold is not None:
        thresholds[:] = of.threshold
    videos = zip(of.frame_scores, of.targets, thresholds, strict=True)
    return np.concatenate([decide(scores, nothing, threshold) == target for scores, target, threshold in videos])


def measure(evaluation: Evaluation) -> dict[str, Any]:
    """The metrics of an evaluation of `B` videos and `K` classes.

    Returns:
        Plain values by name; those of frames only if there are frame scores. All but `log_loss` are of the answers
        (`Evaluation.answers`): with a threshold, what `predict` answers. `accuracy` is that of videos, with its
        95 % `accuracy_interval` over `recordings`; `class_accuracy` is None for a class without videos; `log_loss` is
        in nats; `calibration_error` has five bins of equal mass, and `perfect_calibration_error` is its value by chance
        alone at this number of videos (mean, 95th percentile); `majority_share` is the majority-class baseline;
        `confusion` counts, with true classes in rows. `classes` are also those of its columns: the last one is nothing
        if that is an answer, but not a class.
    """
    targets, names, correct = evaluation.targets, evaluation.answer_names, evaluation.correct
    recordings = evaluation.recordings or tuple(map(str, range(len(targets))))
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (targets, evaluation.answers), 1)
    recalls = [int(row[k]) / int(row.sum()) if row.any() else None for k, row in enumerate(confusion)]
    of_target = evaluation.scores[np.arange(len(targets)), targets].astype(np.float64)
    frames = _frames_correct(evaluation) if evaluation.frame_scores else None
    values = {
        "videos": len(targets),
        "frames": None if frames is None else len(frames),
        "classes": list(names),
        "recordings": len({*recordings}),
        "accuracy": float(correct.mean()),
        "accuracy_interval": accuracy_interval(correct, recordings),
        "frame_accuracy": None if frames is None else float(frames.mean()),
        "class_accuracy": dict(zip(names, recalls, strict=True)),
        "log_loss": float(-np.log(np.maximum(of_target, np.finfo(np.float32).tiny)).mean()),
        "calibration_error": calibration_error(evaluation.answer_scores, correct),
        "perfect_calibration_error": list(perfect_calibration_error(evaluation.answer_scores)),
        "majority_share": int(np.bincount(targets).max()) / len(targets),
        "confusion": confusion.tolist(),
        "skipped": [error.to_dict() for error in evaluation.skipped],
    }
    return {name: value for name, value in values.items() if value is not None}


def accuracy_interval(correct: ArrayLike, recordings: ArrayLike) -> list[float] | None:
    """The 95 % confidence interval of the share of `B` clips classified correctly; None for one or two recordings.

    Clips of one recording are not independent: a bootstrap draws whole recordings with replacement, and the interval is
    between percentiles of the shares of their clips. Over few recordings it is too narrow: say how many there are.
    If all recordings have the same share, such as 1, so has every resample, although the next recording may differ;
    then the interval is Wilson's, with recordings as trials.
    """
    _, of_clip = np.unique(recordings, return_inverse=True)
    sums = np.stack([np.bincount(of_clip, np.asarray(correct, np.float64)), np.bincount(of_clip)], axis=1)
    if len(sums) < MIN_RECORDINGS:
        return None
    # Recordings with the same sums are interchangeable: it suffices to draw how many of each kind there are.
    kinds, counts = np.unique(sums, axis=0, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(sums), counts / len(sums), 10_000) @ kinds
    low, high = map(float, np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975)))
    return [low, high] if low < high else wilson_interval(low, len(sums))


def wilson_interval(share: float, trials: int) -> list[float]:
    """The 95 % confidence interval of a share of independent trials (Wilson 1927, without continuity correction)."""
    z = 1.959964 / trials**0.5
    center, half = share + z * z / 2, z * (share * (1 - share) + z * z / 4) ** 0.5
    return [max((center - half) / (1 + z * z), 0.0), min((center + half) / (1 + z * z), 1.0)]


def write_scores(path: Path | str, evaluation: Evaluation) -> None:
    """Write a CSV with one row per video: name, truth, predicted, and `p(class)` of every class.

    A name that a spreadsheet would compute as a formula is preceded by an apostrophe.
    """
    rows = [["name", "truth", "predicted", *(f"p({name})" for name in evaluation.classes)]]
    videos = zip(evaluation.names, evaluation.targets, evaluation.answers, evaluation.scores, strict=True)
    for name, target, answer, scores in videos:
        names = name, evaluation.classes[target], evaluation.answer_names[answer]
        texts = (f"'{text}" if text.startswith(FORMULA) else text for text in names)
        rows.append([*texts, *(f"{float(score):.6g}" for score in scores)])
    write_csv(Path(path), rows)


def read_correct(path: Path) -> list[bool]:
    """For each video of a CSV that `write_scores` wrote, whether it is classified correctly."""
    return [row["truth"] == row["predicted"] for row in csv.DictReader(io.StringIO(read_bytes(path).decode()))]

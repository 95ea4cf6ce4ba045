"""Late fusion of trained runs: averaged probabilities, with weights chosen on validation clips.

Two-stream models fuse an RGB model and a flow model (Simonyan & Zisserman 2014, Li et al. 2016).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker import Clip, Evaluation, load
from onlooker.data.clips import read_clips
from onlooker.measure.metrics import measure
from onlooker.run.record import RunRecord
from onlooker_papers.memo import fingerprint, memo

__all__ = ["average_scores", "choose_weights", "fused_row"]

_STEPS = 20  # of a weight between 0 and 1


def average_scores(
    scores: Sequence[NDArray[np.float32]], weights: Sequence[float]
) -> NDArray[np.float32]:
    """The weighted sum of arrays of probabilities."""
    return sum(np.float32(weight) * each for weight, each in zip(weights, scores, strict=True))  # type: ignore[return-value]


def choose_weights(
    scores: Sequence[NDArray[np.float32]], targets: NDArray[np.int64]
) -> tuple[float, float]:
    """The weights of two members, in steps of a twentieth, with the lowest log loss; of equally good
    ones the most even.

    Args:
        scores: of each member, `B K` probabilities.
        targets: `B`.
    """
    rows = np.arange(len(targets))

    def cost(weights: tuple[float, float]) -> tuple[float, float]:
        of_targets = average_scores(scores, weights)[rows, targets]
        return round(float(-np.log(np.maximum(of_targets, 1e-12)).mean()), 9), sum(
            weight**2 for weight in weights
        )

    candidates = [(part / _STEPS, (_STEPS - part) / _STEPS) for part in range(_STEPS + 1)]
    return min(candidates, key=cost)


def _fuse(runs: Sequence[Path]) -> dict[str, Any]:
    """The `accuracy`, `frame_accuracy` and `weights` of fused runs of one split."""
    split = RunRecord.read(runs[0]).split
    validation, tested = (
        [_evaluation(run, clips) for run in runs] for clips in (split.validation, split.test)
    )
    weights = choose_weights([each.scores for each in validation], validation[0].targets)
    of_clips = zip(*(each.frame_scores for each in tested), strict=True)
    fused = replace(
        tested[0],
        scores=average_scores([each.scores for each in tested], weights),
        frame_scores=tuple(average_scores(of_clip, weights) for of_clip in of_clips),
    )
    figures = measure(fused)
    return {
        "accuracy": figures.accuracy,
        "frame_accuracy": figures.frame_accuracy,
        "weights": list(weights),
    }


def _evaluation(run: Path, clips: Sequence[Clip]) -> Evaluation:
    recognizer = load(run)
    samples, _ = read_clips(clips, recognizer.classes, recognizer.data)
    return recognizer.evaluate(samples)


def fused_row(run: Path, members: Mapping[str, Path], seeds: Sequence[int]) -> dict[str, Any]:
    """The row of fused models in a finished comparison (`onlooker.run.compare`) on one split;
    figures are memoized in `run/fused`.

    Args:
        members: the folders of the models in the comparison, by name.

    Returns:
        `accuracy` (mean over seeds), `spread`, `frame_accuracy`, `per_seed`, and the mean `weights`
        by member.
    """

    def fused(seed: int) -> dict[str, Any]:
        name = f"split-seed{seed}"
        runs = [folder / name for folder in members.values()]
        weights = dict(zip(members, map(fingerprint, runs), strict=True))
        return memo(run / "fused" / f"{name}.json", {"members": weights}, lambda: _fuse(runs))

    of_seeds = [fused(seed) for seed in seeds]
    accuracies = [figures["accuracy"] for figures in of_seeds]
    weights = zip(*(figures["weights"] for figures in of_seeds), strict=True)
    return {
        "accuracy": mean(accuracies),
        "spread": stdev(accuracies) if len(accuracies) > 1 else None,
        "frame_accuracy": mean(figures["frame_accuracy"] for figures in of_seeds),
        "per_seed": accuracies,
        "weights": dict(zip(members, map(mean, weights), strict=True)),
    }

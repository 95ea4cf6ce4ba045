"""Late fusion of trained runs: averaged probabilities, with weights chosen on validation clips.

Two-stream models fuse an RGB model and a flow model (Simonyan & Zisserman 2014, Li et al. 2016).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Clip, Evaluation
from onlooker.data.clips import read_clips
from onlooker.recognizer import load
from onlooker.report.metrics import measure
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
) -> tuple[float, ...]:
    """The weights, in steps of a twentieth, with the lowest log loss; of equally good ones the most
    even.

    Args:
        scores: of each member, `B K` probabilities.
        targets: `B`.
    """
    rows = np.arange(len(targets))

    def cost(weights: tuple[float, ...]) -> tuple[float, float]:
        of_targets = average_scores(scores, weights)[rows, targets]
        return round(float(-np.log(np.maximum(of_targets, 1e-12)).mean()), 9), sum(
            weight**2 for weight in weights
        )

    steps = itertools.product(range(_STEPS + 1), repeat=len(scores) - 1)
    candidates = [(*first, _STEPS - sum(first)) for first in steps if sum(first) <= _STEPS]
    return min((tuple(part / _STEPS for part in parts) for parts in candidates), key=cost)


def _fuse(runs: Sequence[Path]) -> dict[str, Any]:
    """The figures of fused runs of one split (`metrics.measure`), and the `weights`."""
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
    return {**measure(fused), "weights": list(weights)}


def _evaluation(run: Path, clips: Sequence[Clip]) -> Evaluation:
    recognizer = load(run)
    samples, _ = read_clips(clips, recognizer.classes, recognizer.data)
    return recognizer.evaluate(samples)


def fused_row(
    run: Path, members: Mapping[str, Path], splits: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    """The row of fused models in a finished comparison (`onlooker.run.compare`); figures are
    memoized in `run/fused`.

    Args:
        members: the folders of the models in the comparison, by name.

    Returns:
        `accuracy` (mean over seeds, each over the test videos of all splits together), `spread`,
        `frame_accuracy`, `per_seed`, and the mean `weights` by member.
    """

    def fused(name: str) -> dict[str, Any]:
        runs = [folder / name for folder in members.values()]
        of = dict(zip(members, map(fingerprint, runs), strict=True))

        def compute() -> dict[str, Any]:
            figures = _fuse(runs)
            return {
                name: figures[name]
                for name in ("accuracy", "frame_accuracy", "videos", "frames", "weights")
            }

        return memo(run / "fused" / f"{name}.json", {"members": of}, compute)

    def pooled(parts: Sequence[Mapping[str, Any]], figure: str, count: str) -> float:
        return float(
            sum(part[figure] * part[count] for part in parts) / sum(part[count] for part in parts)
        )

    of_seeds = [[fused(f"{split}-seed{seed}") for split in splits] for seed in seeds]
    accuracies = [pooled(parts, "accuracy", "videos") for parts in of_seeds]
    weights = zip(*(part["weights"] for parts in of_seeds for part in parts), strict=True)
    return {
        "accuracy": mean(accuracies),
        "spread": stdev(accuracies) if len(accuracies) > 1 else None,
        "frame_accuracy": mean(pooled(parts, "frame_accuracy", "frames") for parts in of_seeds),
        "per_seed": accuracies,
        "weights": dict(zip(members, map(mean, weights), strict=True)),
    }

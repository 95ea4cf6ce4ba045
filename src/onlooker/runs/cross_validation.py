"""Fit the linear model to few clips and test it by cross-validation: every clip by models fitted without it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.config import DataConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.split import group_of
from onlooker.evaluation.conclusion import labels_to_check
from onlooker.evaluation.events import EventThreshold, choose_threshold
from onlooker.evaluation.learning_curve import LearningPoint
from onlooker.files import write_json
from onlooker.models.video_model import VideoModel
from onlooker.runs.folder import CROSS_VALIDATION, RunRecord
from onlooker.structures import Evaluation
from onlooker.training.linear import Choice, Clips, choose, cross_validated, fit_layer, statistics_of
from onlooker.training.stages import report_results

__all__ = ["fit_and_cross_validate", "fit_linear"]


def fit_and_cross_validate(
    net: VideoModel, samples: ClipFrames, record: RunRecord, run: Path, quiet: bool, tested: bool
) -> tuple[float, EventThreshold | None, Evaluation | None]:
    """Choose and fit the layer of a linear model; writes `cross_validation.json` for the report.

    Args:
        net: fitted in place.
        samples: the training and validation clips.
        quiet: no progress bars, and no line about what was chosen.
        tested: the model is tested by other clips or runs.

    Returns:
        The temperature; the threshold of events, if there is a class in which nothing happens; and, unless `tested`,
        the predictions for all of these clips, each by a model that was chosen, fitted and calibrated without the clip
        and its recording. The last two are None if the clips cannot be divided.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    clips, choice = fit_linear(net, samples, record.data, None if quiet else "encoding clips")
    if not quiet:
        print(f"chosen: {choice}", file=sys.stderr)

    def report(scores: NDArray[np.float64], curve: Sequence[LearningPoint]) -> None:
        if (known := _evaluation(samples, scores, record)) is not None:
            report_results(known, [*curve])

    scores, curve = cross_validated(clips, choice if tested else None, report, None if quiet else "cross-validation")
    chosen: dict[str, Any] = {"chosen": str(choice), "learning_curve": curve}
    known, held_out, threshold = _evaluation(samples, scores, record), None, None
    if known is not None and not tested and len(known.names) == len(samples.clips):
        held_out, chosen["cross_validated"] = known, True
    if known is not None:
        chosen["labels_to_check"] = labels_to_check(known)
        threshold = choose_threshold(known.scores, known.targets, known.classes)
    write_json(run / CROSS_VALIDATION, chosen)
    return choice.temperature, threshold, held_out


def fit_linear(
    net: VideoModel, samples: ClipFrames, data: DataConfig, title: str | None = None
) -> tuple[Clips, Choice]:
    """Fit the layer of a linear model to all samples, with the settings that cross-validation chooses; clips of a
    recording are kept together."""
    groups = [group_of(clip) for clip in samples.clips]
    clips, early = statistics_of(net, samples, groups, data, title)
    choice = choose(clips)
    fit_layer(net, clips, choice, early)
    return clips, choice


def _evaluation(samples: ClipFrames, scores: NDArray[np.float64], record: RunRecord) -> Evaluation | None:
    """The evaluation of the clips that have scores; None if no clip has any."""
    known = np.flatnonzero(np.isfinite(scores).all(1))
    if not len(known):
        return None
    names = samples.names
    return Evaluation(
        names=tuple(names[i] for i in known),
        classes=record.classes,
        targets=np.array(samples.targets, np.int64)[known],
        scores=scores[known],
        frame_scores=(),
        skipped=record.skipped,
    )

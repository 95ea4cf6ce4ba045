"""Late fusion of trained runs, with weights chosen on validation clips."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split, require_clips
from onlooker.ensemble import Ensemble, average_scores
from onlooker.evaluation.metrics import measure, write_scores
from onlooker.files import read_json, write_json
from onlooker.recognizer import Recognizer, load
from onlooker.runs.evaluate import read_clips
from onlooker.runs.features import open_stores, stored_clips
from onlooker.structures import Clip, ClipError, Evaluation

__all__ = ["choose_weights", "ensemble"]

_STEPS = 20  # of a weight between 0 and 1


def ensemble(runs: Sequence[Path], out: Path, quiet: bool = False) -> dict[str, Any]:
    """Choose the weights of an ensemble, evaluate it, and write it to `out`.

    All weights in steps of a twentieth are tried on the validation clips; those with the lowest log loss are used.
    `out` gets what `Ensemble.load` and `onlooker predict` read, and `evaluation.json`.

    Args:
        runs: two or more, trained on the same split of the same clips.
        out: a new folder.
        quiet: no progress bars.

    Returns:
        The test metrics (`metrics.measure`), `weights`, and `alone`: the test accuracy of each run.

    Raises:
        FileExistsError: `out` exists.
        ValueError: runs of different splits or settings.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out}: is there already; choose a new folder by --run")
    splits = [read_json(run / "split.json") for run in runs]
    folders = [read_json(run / "config.json")["clips"] for run in runs]
    for run, split, folder in zip(runs, splits, folders, strict=True):
        if (split, folder) != (splits[0], folders[0]):
            raise ValueError(
                f"{run}: trained on another split than {runs[0]}; combine runs of one split (equal --seed)"
            )
    members = [load(run) for run in runs]
    Ensemble(members, [1 / len(members)] * len(members))  # which tells whether they fit
    split = Split.from_dict(splits[0], Path(folders[0]))
    if not split.test:
        raise ValueError(
            f"{runs[0]}: trained on all clips; an ensemble is evaluated on test clips, so combine runs with some"
        )
    require_clips((*split.validation, *split.test))
    weights = choose_weights(*_answers(runs, members, split.validation, quiet)[:2])
    scores, targets, names, frame_scores, skipped = _answers(runs, members, split.test, quiet)
    together = [average_scores(of_clip, weights) for of_clip in zip(*frame_scores, strict=True)]
    evaluation = Evaluation(
        names, members[0].classes, targets, average_scores(scores, weights), tuple(together), tuple(skipped)
    )
    Ensemble(members, weights).save(out)
    write_scores(out / "scores.csv", evaluation)
    alone = [float((each.argmax(1) == targets).mean()) for each in scores]
    measured = {**measure(evaluation), "weights": list(weights), "alone": alone, "runs": [str(run) for run in runs]}
    write_json(out / "evaluation.json", measured)
    return measured


def choose_weights(scores: Sequence[NDArray[np.float32]], targets: NDArray[np.int64]) -> tuple[float, ...]:
    """The weights with the lowest log loss; of equally good ones the most even.

    Args:
        scores: of each member, `B K` probabilities.
        targets: `B`.
    """
    rows = np.arange(len(targets))

    def badness(weights: tuple[float, ...]) -> tuple[float, float]:
        right = average_scores(scores, weights)[rows, targets]
        return round(float(-np.log(np.maximum(right, 1e-12)).mean()), 9), sum(weight**2 for weight in weights)

    steps = itertools.product(range(_STEPS + 1), repeat=len(scores) - 1)
    candidates = [(*first, _STEPS - sum(first)) for first in steps if sum(first) <= _STEPS]
    return min((tuple(part / _STEPS for part in parts) for parts in candidates), key=badness)


def _answers(
    runs: Sequence[Path], members: Sequence[Recognizer], clips: Sequence[Clip], quiet: bool
) -> tuple[
    list[NDArray[np.float32]],
    NDArray[np.int64],
    tuple[str, ...],
    list[tuple[NDArray[np.float32], ...]],
    tuple[ClipError, ...],
]:
    """Of every member the scores of all clips; targets and names; frame scores; and what could not be read."""
    read = [_samples(run, member, clips, quiet) for run, member in zip(runs, members, strict=True)]
    unreadable = {error.path: error for _, errors in read for error in errors}
    good = [clip for clip in clips if clip.path not in unreadable]
    found = [member.evaluate(samples.only(good)) for member, (samples, _) in zip(members, read, strict=True)]
    skipped = tuple(unreadable.values())
    return [e.scores for e in found], found[0].targets, found[0].names, [e.frame_scores for e in found], skipped


def _samples(
    run: Path, member: Recognizer, clips: Sequence[Clip], quiet: bool
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """Clips as the run's own training took them: from stored features, where there still are some."""
    stores = [Path(folder) for folder in read_json(run / "config.json").get("features") or []]
    if stores and all(store.is_dir() for store in stores) and member.model.encodes_frames:
        return stored_clips(clips, member.classes, open_stores(stores), member.model, member.data, quiet=quiet)
    return read_clips(clips, member.classes, member.data, quiet=quiet)

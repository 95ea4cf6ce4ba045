"""Late fusion of trained runs, with weights chosen on validation clips."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split
from onlooker.ensemble import Ensemble, average_scores, choose_weights
from onlooker.evaluation.metrics import measure, write_scores
from onlooker.files import read_json, whole_folder, write_json
from onlooker.recognizer import Recognizer, load
from onlooker.runs.features import open_stores, stored_clips
from onlooker.storage import local, path_or_address
from onlooker.structures import Clip, ClipError, Evaluation
from onlooker.training.reading import read_clips

__all__ = ["ensemble"]


def ensemble(runs: Sequence[Path], out: Path, quiet: bool = False, clips: Path | None = None) -> dict[str, Any]:
    """Choose the weights of an ensemble, evaluate it, and write it to `out`.

    All weights in steps of a twentieth are tried on the validation clips; those with the lowest log loss are used.
    `out` gets what `Ensemble.load` and `onlooker predict` read, and `evaluation.json`.

    Args:
        runs: two or more, trained on the same split of the same clips.
        out: a new folder.
        clips: the folder of the clips; None: where they were when the runs were trained.

    Returns:
        The test metrics (`metrics.measure`), `weights`, and `alone`: the test accuracy of each run.

    Raises:
        FileExistsError: `out` exists.
        ClipError: clips are missing.
        ValueError: runs of different splits or settings.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out}: exists already; choose a new folder by --run")
    split = _common_split(runs, clips)
    members = [load(run) for run in runs]
    Ensemble(members, [1 / len(members)] * len(members))  # raises an error if they do not fit together
    if not split.test:
        raise ValueError(
            f"{runs[0]}: trained without a test split, which an ensemble is evaluated on; combine runs with one"
        )
    validation = _evaluations(runs, members, split.validation, quiet)
    weights = choose_weights([each.scores for each in validation], validation[0].targets)
    tested = _evaluations(runs, members, split.test, quiet)
    evaluation = replace(
        tested[0],
        scores=average_scores([each.scores for each in tested], weights),
        frame_scores=tuple(
            average_scores(of_clip, weights) for of_clip in zip(*(each.frame_scores for each in tested), strict=True)
        ),
    )
    alone = [float((each.scores.argmax(1) == each.targets).mean()) for each in tested]
    names = [path_or_address(run) for run in runs]
    measured = {**measure(evaluation), "weights": list(weights), "alone": alone, "runs": names}
    with whole_folder(out) as part:
        Ensemble(members, weights).save(part)
        write_scores(part / "scores.csv", evaluation)
        write_json(part / "evaluation.json", measured)
    return measured


def _common_split(runs: Sequence[Path], clips: Path | None) -> Split:
    """The split of all runs, of clips that exist; the folder of the clips may have been moved between trainings."""
    folders = [local(read_json(run / "config.json")["clips"]) for run in runs] if clips is None else [clips]
    splits = [read_json(run / "split.json") for run in runs]  # with fingerprints of the clips
    for run, values in zip(runs, splits, strict=True):
        if values != splits[0]:
            raise ValueError(
                f"{run}: trained on another split than {runs[0]}; combine runs of one split (equal --seed)"
            )
    split = Split.from_dict(splits[0], next((each for each in folders if each.exists()), folders[0]))
    if missing := [clip.path for clip in (*split.validation, *split.test) if not os.path.exists(clip.path)]:
        raise ClipError(missing[0], "not found", "if the clips were moved, give their folder by --clips")
    return split


def _evaluations(
    runs: Sequence[Path], members: Sequence[Recognizer], clips: Sequence[Clip], quiet: bool
) -> list[Evaluation]:
    """The evaluation of every member, on the clips that all of them can read."""
    read = [_samples(run, member, clips, quiet) for run, member in zip(runs, members, strict=True)]
    unreadable = {error.path: error for _, errors in read for error in errors}
    good = [clip for clip in clips if clip.path not in unreadable]
    return [
        member.evaluate(samples.only(good), skipped=tuple(unreadable.values()))
        for member, (samples, _) in zip(members, read, strict=True)
    ]


def _samples(
    run: Path, member: Recognizer, clips: Sequence[Clip], quiet: bool
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """Clips as in the training of the run: from stored features, if these still exist."""
    stores = [local(folder) for folder in read_json(run / "config.json").get("features") or []]
    if stores and all(store.is_dir() for store in stores) and member.model.encodes_frames:
        return stored_clips(clips, member.classes, open_stores(stores), member.model, member.data, quiet=quiet)
    return read_clips(clips, member.classes, member.data, quiet=quiet)

"""The data of the tab Correct: the results of the newest run, an inbox of doubtful clips, and a map of all clips."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from onlooker.evaluation.conclusion import advice, first_line
from onlooker.evaluation.metrics import FORMULA
from onlooker.files import printable, read_bytes, read_json
from onlooker.recognizer import Recognizer
from onlooker.serve.problem import Problem
from onlooker.serve.project import ProjectClip
from onlooker.structures import Prediction

__all__ = [
    "UNSURE",
    "Doubt",
    "Guess",
    "guess",
    "guess_of",
    "inbox",
    "is_unsure",
    "map_points",
    "read_guess",
    "results",
    "shown",
]

UNSURE = 0.25  # margin between the two most probable classes, below which a prediction is doubtful


@dataclass(frozen=True)
class Guess:
    """What a model predicts for a clip that it was not trained with: the class, its probability and the margin."""

    label: str
    score: float
    margin: float


@dataclass(frozen=True)
class Doubt:
    """A clip whose label the user should confirm.

    Args:
        suggested: the class that the model predicts, with the probability `score`.
        why: "label": the label may be wrong; "uncertain": the model is uncertain, so a correct label helps it most.
    """

    clip: str
    label: str
    suggested: str
    score: float
    why: str


def results(run: Path, ids: Mapping[str, str]) -> dict[str, Any]:
    """The figures of a run, and the clips in each cell of its confusion matrix.

    Args:
        ids: ids of the clips, by their names in the files of the run.

    Raises:
        Problem: 404 if the run has no results.
    """
    measured, rows = _measured(run), _scores(run)
    classes = list(measured["classes"])
    cells: list[list[list[str]]] = [[[] for _ in classes] for _ in classes]
    for row in rows:
        if row.name in ids:
            cells[classes.index(row.truth)][classes.index(row.predicted)].append(ids[row.name])
    return {
        **shown(measured),
        "run": run.name,
        "interval": measured["accuracy_interval"],
        "conclusion": first_line(measured),
        "advice": [step for step in advice(measured) if "`" not in step],  # the others are for the command line
        "cells": cells,
    }


def shown(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy, confusion matrix and learning curve as the page shows them, from what `measure` and a run have."""
    classes = list(measured["classes"])
    curve = [
        {"clips_per_class": point["clips"] / len(classes), "accuracy": point["correct"] / point["tested"]}
        for point in measured.get("learning_curve", [])
    ]
    kept = {name: measured[name] for name in ("accuracy", "confusion")}
    return {**kept, "clips": measured["videos"], "classes": [*map(printable, classes)], "curve": curve}


def guess(recognizer: Recognizer, clip: ProjectClip, renamed: Callable[[str], str] = str) -> Guess | None:
    """The prediction of a model for a clip; None if the clip cannot be read or its class is unknown to the model.

    Args:
        renamed: returns the present name of a class of the model.
    """
    if clip.label not in map(renamed, recognizer.classes):
        return None
    with suppress(ValueError, OSError, RuntimeError):
        return read_guess(recognizer.predict(clip.path))
    return None


def read_guess(prediction: Prediction) -> Guess:
    """The most probable class of a prediction, regardless of the threshold."""
    return guess_of(prediction.classes, prediction.scores)


def guess_of(classes: Sequence[str], scores: NDArray[np.floating]) -> Guess:
    """The most probable of some classes by their scores `K`."""
    second, first = np.sort(np.append(scores, 0.0))[-2:].tolist()  # also for a single class
    return Guess(classes[int(scores.argmax())], first, first - second)


def is_unsure(prediction: Prediction) -> bool:
    """Whether the two most probable classes are close, or no class reaches the threshold."""
    made = read_guess(prediction)
    return made.margin < UNSURE or made.score < (prediction.threshold or 0.0)


def inbox(
    clips: Sequence[ProjectClip],
    run: Path | None,
    ids: Mapping[str, str],
    guesses: Mapping[str, Guess | None],
    renamed: Callable[[str], str] = str,
) -> list[Doubt]:
    """The doubtful clips: probable label errors first, then those that the model is least sure about.

    Args:
        clips: without those whose labels the user has confirmed.
        run: the newest run; None: there is none.
        ids: as for `results`.
        guesses: predictions for the clips that were added since, by their ids, with the present names of classes.
        renamed: returns the present name of a class of the run.
    """
    now = {clip.id: clip for clip in clips}
    of_run = _of_run(run, ids) if run is not None else ()
    doubts = [replace(each, label=renamed(each.label), suggested=renamed(each.suggested)) for each in of_run]
    doubts += [_of_guess(now[clip], each) for clip, each in guesses.items() if each and clip in now]
    first: dict[str, Doubt] = {}
    for doubt in sorted(doubts, key=lambda doubt: doubt.why != "label"):  # stable: most doubtful first
        if doubt.clip in now and now[doubt.clip].label == doubt.label and doubt.why:
            first.setdefault(doubt.clip, doubt)
    return list(first.values())


def _of_run(run: Path, ids: Mapping[str, str]) -> Iterator[Doubt]:
    with suppress(Problem):
        for each in _measured(run).get("labels_to_check", []):
            if each["name"] in ids:
                yield Doubt(ids[each["name"]], each["label"], each["predicted"], each["score"], "label")
        for row in sorted(_scores(run), key=lambda row: row.margin):
            if row.name in ids and row.margin < UNSURE:
                yield Doubt(ids[row.name], row.truth, row.predicted, row.score, "uncertain")


def _of_guess(clip: ProjectClip, made: Guess) -> Doubt:
    why = "uncertain" if made.margin < UNSURE else "label" if made.label != clip.label else ""
    return Doubt(clip.id, clip.label, made.label, made.score, why)


@dataclass(frozen=True)
class _Row:
    name: str
    truth: str
    predicted: str
    score: float
    margin: float


def _measured(run: Path) -> dict[str, Any]:
    if not (run / "evaluation.json").exists():
        raise Problem(404, "no_results")
    return cast(dict[str, Any], read_json(run / "evaluation.json"))


def _scores(run: Path) -> list[_Row]:
    """The tested clips: `scores.csv`."""
    if not (run / "scores.csv").exists():
        raise Problem(404, "no_results")
    rows = csv.reader(io.StringIO(read_bytes(run / "scores.csv").decode()))
    next(rows)
    return [_row(*values) for values in rows]


def _row(name: str, truth: str, predicted: str, *scores: str) -> _Row:
    second, first = sorted(map(float, scores))[-2:]
    # In this file, text that a spreadsheet would interpret as a formula is preceded by an apostrophe.
    name, truth, predicted = (
        text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text for text in (name, truth, predicted)
    )
    return _Row(name, truth, predicted, first, first - second)


def map_points(file: Path, clips: Sequence[ProjectClip], ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """The clips of the project that are on a map, for JSON.

    Raises:
        Problem: 404 if there is no map (yet).
    """
    if not file.exists():
        raise Problem(404, "no_map")
    now, points = {clip.id: clip for clip in clips}, []
    for name, (x, y, outlier) in read_json(file).items():
        if clip := now.get(ids.get(name, "")):
            points.append({"clip": clip.id, "label": clip.label, "x": x, "y": y, "outlier": outlier})
    return points

"""What the newest training of the page has reached: its figures, and the tested clips, in the project's database."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onlooker.evaluation.conclusion import advice, first_line
from onlooker.evaluation.metrics import FORMULA
from onlooker.files import composed, printable, read_bytes
from onlooker.run_record import SCORES, read_figures
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project, ProjectClip
from onlooker.serve.translation import t

__all__ = ["clips_of_cell", "clips_to_check", "keep_results", "results", "wrong_clips"]

_UNSURE = 0.25  # margin between the two most probable classes, below which a prediction is doubtful
# A label that the user has confirmed, or changed since, is not asked about again.
_DOUBTS = "tested JOIN clip ON clip.id = clip WHERE NOT settled AND folder = truth AND (doubted OR margin < ?)"


def results(project: Project, run: Path | None) -> dict[str, Any]:
    """Figures and conclusion of a run, and what its model looks at; a Problem 404 if it has no results."""
    measured = _measured(run)
    looks_at = {  # by the statistics that cross-validation has chosen (`training.linear.SETS`)
        "all but order": t("looks_at.all"), "changes": t("looks_at.changes"), "changes and order": t("looks_at.order")
    }  # fmt: skip
    return {
        **{name: measured[name] for name in ("accuracy", "confusion")},
        "clips": measured["videos"],
        "wrong": sum(map(sum, measured["confusion"])) - sum(row[k] for k, row in enumerate(measured["confusion"])),
        "classes": [*map(printable, _class_folders(project, measured))],
        "conclusion": first_line(measured),
        "looks_at": looks_at.get(str(measured.get("statistics")), ""),
        "advice": [step for step in advice(measured) if "`" not in step],  # the others are for the command line
    }


def wrong_clips(project: Project, run: Path | None) -> list[ProjectClip]:
    """The first clips that are classified wrongly, the most certain errors first."""
    _measured(run)
    return project.select("truth != predicted ORDER BY margin LIMIT 100")


def clips_of_cell(project: Project, run: Path | None, row: int, column: int) -> list[ProjectClip]:
    """The first clips in a cell of the confusion matrix; rows: true classes, columns: predicted classes."""
    classes = _class_folders(project, _measured(run))
    if not 0 <= min(row, column) <= max(row, column) < len(classes):
        raise Problem(404, "no_results")
    chosen = "truth = ? AND predicted = ? ORDER BY abs(margin) DESC LIMIT 100"
    return project.select(chosen, classes[row], classes[column])


def clips_to_check(project: Project, run: Path | None, count: int) -> tuple[int, list[dict[str, Any]]]:
    """How many labels are doubtful, and the first: probable errors, other mistakes, then unsure ones."""
    _measured(run)
    found = f"SELECT id, truth, predicted, score, doubted FROM {_DOUBTS} ORDER BY doubted DESC, margin LIMIT ?"
    items = [
        {"clip": clip, "label": label, "suggested": suggested, "score": score, "why": "label" if doubted else "unsure"}
        for clip, label, suggested, score, doubted in project.database.run(found, _UNSURE, count)
    ]
    return int(project.database.value(f"SELECT count(*) FROM {_DOUBTS}", _UNSURE)), items


def keep_results(project: Project, run: Path, ids: Mapping[str, str]) -> None:
    """Make a run the newest one of a project, and its tested clips those that the page shows.

    Args:
        ids: of the clips that it was trained with, by their names at that time.
    """
    tested: list[tuple[object, ...]] = []
    if (run / SCORES).exists() and (figures := read_figures(run)):  # else its report has failed
        doubted = [each["name"] for each in figures.get("labels_to_check", [])]
        rank = {name: number for number, name in enumerate(reversed(doubted), 1)}  # the most doubtful has the highest
        clips = {composed(name): clip_id for name, clip_id in ids.items()}
        folders = _folders(project)
        for name, truth, predicted, *figures_of_clip in _scores(run, figures["classes"]):
            if clip_id := clips.get(composed(name)):
                labels = folders.get(truth, truth), folders.get(predicted, predicted)
                tested.append((clip_id, *labels, *figures_of_clip, rank.get(name, 0)))
    with project.database.transaction():
        project.database.run("DELETE FROM tested")
        for row in tested:
            project.database.run("INSERT OR REPLACE INTO tested VALUES (?, ?, ?, ?, ?, ?)", *row)
        project.database.run("INSERT OR REPLACE INTO state VALUES ('run', ?)", str(run.resolve()))


def _folders(project: Project) -> dict[str, str]:
    """The names of class folders by those of their classes, which are in Unicode's form NFC."""
    return {composed(name): name for name in project.counts()}


def _class_folders(project: Project, measured: dict[str, Any]) -> list[str]:
    folders = _folders(project)
    return [folders.get(name, name) for name in measured["classes"]]


def _measured(run: Path | None) -> dict[str, Any]:
    if run is None or not (run / SCORES).exists() or not (measured := read_figures(run)):
        raise Problem(404, "no_results")
    return measured


def _scores(run: Path, classes: Sequence[str]) -> Iterator[tuple[str, str, str, float, float]]:
    """Name, true class, predicted class, score and margin of the tested clips: `scores.csv`.

    The prediction is the answer, by the threshold if there is one. The margin is that of its score to the highest other
    one; of a mistake, that of the true class to it, which is below 0 without a threshold.
    """
    rows = csv.reader(io.StringIO(read_bytes(run / SCORES).decode()))
    next(rows)
    for name, truth, predicted, *texts in rows:
        scores = dict(zip(classes, map(float, texts), strict=False))  # the last class may be nothing, without a score
        score = scores.get(_plain(predicted), 1 - max(scores.values()))
        others = (other for label, other in scores.items() if label != _plain(predicted))
        margin = score - max(others) if truth == predicted else scores[_plain(truth)] - score
        yield _plain(name), _plain(truth), _plain(predicted), score, margin


def _plain(text: str) -> str:
    """In this file, text that a spreadsheet would interpret as a formula is preceded by an apostrophe."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text

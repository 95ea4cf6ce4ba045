"""Train the project in a thread, with progress and cancelling; the results of the newest training."""

import shutil
import unicodedata
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import onlooker
from onlooker import Figures, TrainedRun
from onlooker.base.text import printable
from onlooker.report.summary import accuracy_text
from onlooker.serve.jobs import Job
from onlooker.serve.models import ModelRun, Models, find_model
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project, ProjectClip

CHECKED = 12  # clips to check at a time
_CLIPS_PER_CELL = 100  # of the confusion matrix, that are listed

_MIN_MARGIN = 0.25  # between the two most probable classes; below it, a prediction is doubtful
# stages in which clips must stay where they are
_READING = ("starting", "reading clips", "encoding clips", "encoding recordings")


class Outcome(NamedTuple):
    """The prediction of a model for a clip.

    Args:
        predicted: the answer, by the threshold if there is one.
        margin: its score minus the highest score of another class; for a mistake, the score of the
            true class minus its score, which is negative without a threshold.
        doubted: rank among the clips whose label is probably wrong, the highest for the most
            probable; 0: the label is not in doubt.
    """

    clip: ProjectClip
    truth: str
    predicted: str
    score: float
    margin: float
    doubted: int


class Training:
    """The training of a project: at most one at a time.

    Args:
        runs: the folder of runs; the page adds CLIPS-page-1, -2, …
    """

    def __init__(self, project: Project, runs: Path, models: Models) -> None:
        self.project = project
        self.runs = runs
        self.models = models
        self.job: Job | None = None

    @property
    def is_running(self) -> bool:
        return self.job is not None and not self.job.finished

    def newest_run(self) -> Path | None:
        """The run with the newest model of these clips, whoever has trained it; None if there is
        none.
        """
        folder = str(self.project.folder.resolve())
        own = [
            model
            for model in self.models.find()
            if self._is_of_page(model.run) or _clips_of(model) == folder
        ]
        return max(own, key=attrgetter("saved")).run if own else None

    def _is_of_page(self, run: Path) -> bool:
        """Whether the page trained this run last: its clips may have moved since."""
        return run.resolve() == self.runs.resolve() / Path(self.project.notes.run).name

    def check_idle(self) -> None:
        """Raise a Problem while a training runs."""
        if self.is_running:
            raise Problem(409, "training")

    def check_moving(self) -> None:
        """Raise a Problem while a training reads the clips: they must stay where they are."""
        if self.job is not None and self.is_running and self.job.note in _READING:
            raise Problem(409, "reading")

    def run(self, job: Job) -> dict[str, Any]:
        """The work of a job: train on the present clips; returns the name of the new run and the id
        of its model.

        If only the report of a model fails, the model stays, and is in the result of the failed
        job.

        Raises:
            CancelledError: the user has cancelled it; its files are removed.
            Problem: the clips or settings do not fit, or the report cannot be written.
        """
        job.report("starting", 0.0)
        begin = monotonic()
        start = f"{self.project.folder.name}-page-"
        numbers = [
            int(end)
            for run in self.runs.glob("*-page-*")
            if (end := run.name.removeprefix(start)).isdecimal()
        ]
        run = self.runs.resolve() / f"{start}{max(numbers, default=0) + 1}"
        clips = {clip.relative: clip.id for clip in self.project.all_clips()}

        def report(stage: str, done: int, total: int) -> None:
            job.report(stage, done / max(1, total))
            if stage in ("drawing clips", "done") and not job.result and (model := find_model(run)):
                self.models.load(model.id)  # so that it can be used at once
                job.report(stage, job.progress, model=model.id)

        try:
            onlooker.train(
                self.project.folder,
                run,
                quiet=True,
                divide=True,
                progress=report,
                background=sorted(self.project.quiet.glob("*.webm")),
                eyes="pictures",  # the page shows a model few frames a second: it sees no motion
            )
            report("done", 1, 1)
            self.project.remember(pace=(monotonic() - begin) / max(1, len(clips)))
        except (ValueError, OSError) as error:
            raise Problem(422, "training_failed", reason=error) from error
        finally:
            if job.cancelled or not find_model(run):
                shutil.rmtree(run, ignore_errors=True)
            else:
                self.project.remember(run=run.name, clips=clips)
        return {**(job.result or {}), "run": run.name}

    def results(self) -> dict[str, Any]:
        """Figures, conclusion and advice of the newest run; a Problem 404 if it has no figures."""
        run = self.newest_run()
        figures = _figures(run)
        if run is None or figures is None:
            raise Problem(404, "no_results")
        trained = TrainedRun(run, figures)
        folders = _folders(self.project)
        is_judged = figures.judges_clips
        return {
            "confusion": figures.confusion if is_judged else None,
            "share": accuracy_text(figures),
            "clips": figures.videos,
            "wrong": figures.videos - figures.correct if is_judged else 0,
            "classes": [printable(folders.get(name, name)) for name in figures.classes],
            "conclusion": trained.conclusion,
            "details": trained.details,
            "events": figures.events,
            "missing": figures.missing,
            # the others are for the command line
            "advice": [step.text for step in trained.advice if not step.command],
        }

    def tested(
        self, truth: str | None = None, predicted: str | None = None
    ) -> list[dict[str, Any]]:
        """The first clips of a class with this prediction, or misclassified clips, the most certain
        errors first, as plain values.
        """
        results = self._outcomes()
        if truth is None:
            listed = [result for result in results if result.truth != result.predicted]
            listed.sort(key=lambda result: result.margin)
        else:
            cell = truth, predicted
            listed = [result for result in results if (result.truth, result.predicted) == cell]
            listed.sort(key=lambda result: -abs(result.margin))
        return [
            {**result.clip.to_dict(), "predicted": printable(result.predicted)}
            for result in listed[:_CLIPS_PER_CELL]
        ]

    def to_check(self) -> dict[str, Any]:
        """The number of doubtful labels, and the first of them: labels that are probably wrong,
        then mistakes of the model, then predictions with a small margin. A label that the user has
        confirmed or changed since is not asked about again. There are none if the model is no
        better than guessing, because its predictions then say nothing about labels; nor of states
        that overlap.
        """
        figures = _figures(self.newest_run())
        is_judged = figures is not None and figures.judges_clips
        guesses = figures is not None and is_judged and not figures.beats_majority
        settled = {*self.project.notes.confirmed}
        doubts = [
            result
            for result in (self._outcomes() if is_judged and not guesses else ())
            if result.clip.id not in settled
            and result.clip.label == result.truth
            and (result.doubted or result.margin < _MIN_MARGIN)
        ]
        doubts.sort(key=lambda result: (-result.doubted, result.margin))
        items = [
            {
                "clip": result.clip.id,
                "name": printable(result.clip.name),
                "label": result.truth,
                "suggested": result.predicted,
                "score": result.score,
                "why": "label" if result.doubted else "unsure",
            }
            for result in doubts[:CHECKED]
        ]
        return {"count": len(doubts), "items": items, "guessing": guesses}

    def _outcomes(self) -> list[Outcome]:
        """The predictions of the newest model for its test clips that still exist."""
        run = self.newest_run()
        figures = _figures(run)
        if run is None or figures is None:
            return []
        doubted = [clip.name for clip in figures.labels_to_check or []]
        # the most doubtful has the highest
        rank = {name: number for number, name in enumerate(reversed(doubted), 1)}
        clips = {clip.id: clip for clip in self.project.all_clips()}
        if self._is_of_page(run):
            names = self.project.notes.clips
        else:  # clips that have moved since are not asked about
            names = {clip.relative: clip.id for clip in clips.values()}
        ids = {unicodedata.normalize("NFC", name): clip_id for name, clip_id in names.items()}
        folders = _folders(self.project)
        outcomes = []
        for name, truth, predicted, scores in TrainedRun.read(run).predictions:
            # nothing may have no score
            score = scores.get(predicted, 1 - max(scores.values()))
            rivals = (rival for label, rival in scores.items() if label != predicted)
            margin = score - max(rivals) if truth == predicted else scores[truth] - score
            if clip := clips.get(ids.get(unicodedata.normalize("NFC", name), "")):
                outcomes.append(
                    Outcome(
                        clip,
                        folders.get(truth, truth),
                        folders.get(predicted, predicted),
                        score=score,
                        margin=margin,
                        doubted=rank.get(name, 0),
                    )
                )
        return outcomes


@lru_cache
def _clips_of(model: ModelRun) -> str | None:
    """The folder of the clips that a model was trained on; None if it is not known."""
    return TrainedRun(model.run).clips  # figures may be damaged


def _folders(project: Project) -> dict[str, str]:
    """The names of class folders by the names of their classes, in Unicode's form NFC."""
    return {unicodedata.normalize("NFC", name): name for name in project.counts()}


def _figures(run: Path | None) -> Figures | None:
    """The figures of a run; None if it has none (yet), as where its report has failed."""
    return TrainedRun.read(run).figures if run else None

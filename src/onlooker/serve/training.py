"""Train the project in a separate process: with progress, cancelling, and resuming after a restart of the server.

    python -m onlooker.serve.training CLIPS RUN MAP

The process writes one line of JSON per step to its standard output. It ends when its standard input is closed, so that
it never outlives the server.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import IO, Any

from onlooker.data.sets import set_name
from onlooker.evaluation.learning_curve import LearningPoint
from onlooker.files import printable, read_json, write_json
from onlooker.models.video_model import RECORD
from onlooker.serve.jobs import Cancelled, Job
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.structures import Evaluation

__all__ = ["Training", "map_file", "newest_run", "present_names", "trained_clips"]

_MIN_CLIPS, _MIN_CLASSES = 2, 2
_STATE = "training.json"  # of a training that has not finished
_TRAINED = "trained"  # which clips a run was trained with, by their ids
_GROUP = "page"  # runs of the page are CLIPS-page-1, -2, …
# Seconds that the stages take on one slow core, in their order: a constant, and per clip. Once the training has begun,
# only their proportions matter.
_STAGES = {
    "starting": (8.0, 0.0),
    "reading clips": (0.0, 0.1),
    "encoding clips": (1.0, 0.3),
    "fitting": (2.0, 0.05),
    "drawing clips": (4.0, 0.0),
}
_PRIOR = 10.0  # seconds after which the measured speed counts as much as the expected one


def newest_run(project: Project, runs: Path) -> Path | None:
    """The last finished run of this project; None if there is none."""
    own = (run for run in reversed(_runs(runs, project.folder)) if trained_clips(project, run))
    return next((run for run in own if (run / "model" / RECORD).exists()), None)


def trained_clips(project: Project, run: Path) -> dict[str, str]:
    """The ids of the clips that a run was trained with, by their names in its files; empty for other runs."""
    with suppress(OSError, ValueError, KeyError):
        values = read_json(_trained_file(project, run))
        if values["run"] == str(run.resolve()):
            return dict(values["clips"])
    return {}


def present_names(project: Project, run: Path) -> Callable[[str], str]:
    """A function that returns the present name of a class of a run's model, which may have been renamed since."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # files of earlier versions have no version
        version = int(read_json(_trained_file(project, run))["classes"])
        return cache(lambda name: project.present_name(name, version))
    return str


def _trained_file(project: Project, run: Path) -> Path:
    return project.store / _TRAINED / f"{run.name}.json"


def map_file(project: Project, run: Path) -> Path:
    """The file with the map of the clips of a run."""
    return project.store / _TRAINED / f"{run.name}-map.json"


def _runs(runs: Path, clips: Path) -> list[Path]:
    """All runs of the page with these clips, the oldest first."""
    start = f"{set_name(clips)}-{_GROUP}-"
    found = runs.iterdir() if runs.is_dir() else []
    numbered = {path: path.name.removeprefix(start) for path in found if path.name.startswith(start)}
    return sorted((path for path, number in numbered.items() if number.isdecimal()), key=lambda p: int(numbered[p]))


class Training:
    """The training of a project: at most one at a time.

    Args:
        runs: the folder of runs.
        on_saved: called with a new run as soon as its model is saved, before its results; returns the model's id.
    """

    def __init__(self, project: Project, runs: Path, on_saved: Callable[[Path], str | None]) -> None:
        self.project, self.runs, self.on_saved = project, runs, on_saved
        self._lock, self._stopping = Lock(), False
        self.child = (sys.executable, "-m", __name__)  # the process that trains
        self._child: subprocess.Popen[str] | None = None

    @property
    def interrupted(self) -> str | None:
        """The job id of a training that had not finished when the server ended."""
        with suppress(OSError, ValueError, KeyError):
            return str(read_json(self.project.store / _STATE)["job"])
        return None

    def check(self) -> None:
        """Raise a Problem if the clips cannot be trained on."""
        counts = {name: len(clips) for name, clips in self.project.classes().items()}
        if len(counts) < _MIN_CLASSES:
            raise Problem(422, "too_few_classes", count=len(counts), classes=_MIN_CLASSES, clips=_MIN_CLIPS)
        if few := [f"{name} {count}" for name, count in counts.items() if count < _MIN_CLIPS]:
            raise Problem(422, "too_few_clips", found=", ".join(few), classes=_MIN_CLASSES, clips=_MIN_CLIPS)

    def run(self, job: Job) -> dict[str, Any]:
        """The work of a job: train on the present clips; returns the name and the figures of the new run.

        Raises:
            Cancelled: the user has cancelled it; its files are removed.
            Problem: what is wrong with the clips, or with the report of the model, which stays.
        """
        self.project.hold()
        run = self._prepare(job.id)
        try:
            figures = self._follow(job, run)
        except BaseException as error:
            if self._stopping:  # it is resumed at the next start
                raise Cancelled from error
            self._end()
            valid = not (job.cancelled or (isinstance(error, Problem) and error.code == "clips_changed"))
            if valid and (run / "model" / RECORD).exists():  # only its report has failed
                (self.project.store / _STATE).unlink(missing_ok=True)
                job.report(job.note, job.progress, run=run.name, model=self.on_saved(run))
                raise
            shutil.rmtree(run, ignore_errors=True)
            for file in (self.project.store / _STATE, _trained_file(self.project, run)):
                file.unlink(missing_ok=True)
            raise
        (self.project.store / _STATE).unlink(missing_ok=True)
        return {"run": run.name, "seconds_left": 0, **figures}

    def stop(self) -> None:
        """End the process when the server ends; the next server resumes it."""
        self._stopping = True
        self._end()

    def _prepare(self, job_id: str) -> Path:
        """Make a new run, and record that it has begun."""
        runs = _runs(self.runs, self.project.folder)
        start = f"{set_name(self.project.folder)}-{_GROUP}-"
        last = int(runs[-1].name.removeprefix(start)) if runs else 0
        if run := self._begun(job_id):
            shutil.rmtree(run, ignore_errors=True)
        run = run or self.runs / f"{start}{last + 1}"
        version = self.project.class_version  # before the clips are listed: their classes may be renamed meanwhile
        clips = {clip.path.relative_to(self.project.folder).as_posix(): clip.id for clip in self.project.clips()}
        write_json(self.project.store / _STATE, {"job": job_id, "run": run.name})
        values = {"run": str(run.resolve()), "clips": clips, "classes": version}
        write_json(_trained_file(self.project, run), values)
        return run

    def _begun(self, job_id: str) -> Path | None:
        """The run of an interrupted training; None if the file names a run that is not of this project."""
        with suppress(OSError, ValueError, KeyError):
            values = read_json(self.project.store / _STATE)
            own = [run for run in _runs(self.runs, self.project.folder) if trained_clips(self.project, run)]
            return next((run for run in own if (values["job"], values["run"]) == (job_id, run.name)), None)
        return None

    def _follow(self, job: Job, run: Path) -> dict[str, Any]:
        """Start the process, and report its progress until the model is saved."""
        job.report("starting", 0.0)
        self._end()  # the last process may still draw its map
        files = self.project.folder, run.absolute(), map_file(self.project, run)
        command = [*self.child, *map(str, files)]
        path = os.pathsep.join(filter(None, sys.path))
        environment, pipe = {**os.environ, "PYTHONPATH": path}, subprocess.PIPE
        child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, encoding="utf-8", env=environment, start_new_session=True
        )
        with self._lock:
            self._child = child
        job.on_cancel = child.kill
        forecast, model, reading = Forecast(len(self.project.clips())), None, True
        assert child.stdout
        for line in child.stdout:
            step = json.loads(line)
            if "error" in step:
                reason, remedy = step["error"]
                raise Problem(422, "training_failed", reason=reason, remedy=remedy)
            if reading and step.get("stage") not in ("starting", "reading clips"):
                self._check_read(run)
                reading = False
            if "figures" in step:
                Thread(target=child.wait, daemon=True).start()  # it still writes the map of clips
                return {**step["figures"], "model": model or self.on_saved(run)}
            if "results" in step:
                job.report(job.note, job.progress, results=step["results"])
                continue
            progress, left = forecast.after(step["stage"], step["done"], step["total"])
            job.report(step["stage"], progress, seconds_left=left)
            if step["stage"] == "drawing clips" and model is None:  # the report comes after the model
                model = self.on_saved(run)
                job.report(step["stage"], progress, seconds_left=left, model=model)
        job.check()
        raise Problem(500, "training_ended", exit=child.wait())

    def _check_read(self, run: Path) -> None:
        """Raise a Problem if clips were renamed or deleted before they were read: the model would not know them."""
        with suppress(FileNotFoundError):  # a training that ends before it has a split reports its own error
            read = {clip["path"] for part in read_json(run / "split.json").values() for clip in part}
            missing = [name for name in trained_clips(self.project, run) if name not in read]
            if gone := [name for name in missing if not (self.project.folder / name).exists()]:  # not only unreadable
                raise Problem(409, "clips_changed", count=len(gone), name=printable(gone[0]))

    def _end(self) -> None:
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child.wait()


class Forecast:
    """The progress and the remaining time of a training, from the stages that are done.

    Args:
        clips: number of clips.
    """

    def __init__(self, clips: int) -> None:
        self._expected = {stage: fixed + each * clips for stage, (fixed, each) in _STAGES.items()}
        self._total, self._begun = sum(self._expected.values()), monotonic()
        self._done = 0.0

    def after(self, stage: str, done: int, total: int) -> tuple[float, int]:
        """The share of the training that is done, from 0 to 1, and the seconds that are left."""
        stages = list(self._expected)
        place = stages.index(stage) if stage in stages else 0
        before = sum(self._expected[each] for each in stages[:place])
        self._done = max(self._done, before + self._expected[stages[place]] * done / max(total, 1))
        elapsed = monotonic() - self._begun
        slowness = (elapsed + _PRIOR) / (self._done + _PRIOR)
        return min(self._done / self._total, 1.0), max(1, round(slowness * (self._total - self._done)))


def main() -> None:
    """Train in this process, and write its progress to the standard output."""
    clips, run, places = map(Path, sys.argv[1:])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else is written between the lines
    Thread(target=_end_with_input, daemon=True).start()
    with suppress(OSError):
        os.nice(5)  # the live view goes first
    for step in _steps(clips, run, out):
        print(json.dumps(step), file=out, flush=True)
        if "figures" in step:
            from onlooker.runs.clip_map import clip_map

            write_json(places, clip_map(run))
    os._exit(0)  # without waiting for the thread


def _steps(clips: Path, run: Path, out: IO[str]) -> Iterator[dict[str, Any]]:
    yield {"stage": "starting", "done": 0, "total": 1}
    from onlooker.evaluation.conclusion import first_line
    from onlooker.evaluation.metrics import measure
    from onlooker.runs.train import train
    from onlooker.serve.correct import shown
    from onlooker.structures import ClipError

    def tell(**step: Any) -> None:
        print(json.dumps(step), file=out, flush=True)

    def progress(stage: str, done: int, total: int) -> None:
        tell(stage=stage, done=done, total=total)

    def results(evaluation: Evaluation, curve: Sequence[LearningPoint]) -> None:
        tell(results=shown({**measure(evaluation), "learning_curve": curve}))

    try:
        figures = train(clips, run, quiet=True, progress=progress, results=results).figures
    except ClipError as error:
        yield {"error": [f"{error.path.name}: {error.found}", error.remedy]}
    except (ValueError, OSError) as error:
        found, _, remedy = str(error).partition("; ")
        yield {"error": [found, remedy]}
    else:
        names = "accuracy", "accuracy_interval", "learning_curve"
        chosen = {name: figures[name] for name in names if name in figures}
        yield {"figures": {**chosen, "conclusion": first_line(figures) if figures else ""}}


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()

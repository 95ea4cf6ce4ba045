"""Train the project in a separate process, with progress and cancelling.

    python -m onlooker.serve.training CLIPS RUN

The process writes one line of JSON per step to its standard output. It ends when its standard input is closed, so that
it never outlives the server.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from onlooker.serve.jobs import Cancelled, Job
from onlooker.serve.models import Models, find_model
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.serve.results import keep_results

__all__ = ["Training"]

_MIN_CLIPS, _MIN_CLASSES = 2, 2
_READING = ("starting", "reading clips", "encoding clips")  # stages in which clips must stay where they are


class Training:
    """The training of a project: at most one at a time.

    Args:
        runs: the folder of runs; those of the page are CLIPS-page-1, -2, …
    """

    def __init__(self, project: Project, runs: Path, models: Models) -> None:
        self.project, self.runs, self.models = project, runs, models
        self.child = (sys.executable, "-m", __name__)  # the process that trains
        self.job: Job | None = None

    @property
    def is_running(self) -> bool:
        """Whether a training has not ended."""
        return self.job is not None and not self.job.finished

    def newest_run(self) -> Path | None:
        """The last run of this project that has a model; None if there is none."""
        run = self.project.database.value("SELECT value FROM state WHERE key = 'run'")
        found = run is not None and Path(run).parent == self.runs.resolve() and find_model(Path(run))
        return Path(run) if found else None

    def follow_run(self, run: Path, target: Path) -> None:
        """Note that a run has another name."""
        renamed = str(target.resolve()), str(target.with_name(run.name).resolve())
        self.project.database.run("UPDATE state SET value = ? WHERE key = 'run' AND value = ?", *renamed)

    def check_idle(self) -> None:
        """Raise a Problem while a training runs."""
        if self.is_running:
            raise Problem(409, "training")

    def check(self) -> None:
        """Raise a Problem if a training runs already, or there are too few clips."""
        self.check_idle()
        counts = self.project.counts()
        if len(counts) < _MIN_CLASSES:
            raise Problem(422, "too_few_classes", count=len(counts), classes=_MIN_CLASSES, clips=_MIN_CLIPS)
        if few := [f"{name} {count}" for name, count in counts.items() if count < _MIN_CLIPS]:
            raise Problem(422, "too_few_clips", found=", ".join(few), classes=_MIN_CLASSES, clips=_MIN_CLIPS)

    def check_moving(self) -> None:
        """Raise a Problem while a training reads the clips: they must stay where they are."""
        if self.job is not None and self.is_running and self.job.note in _READING:
            raise Problem(409, "reading")

    def run(self, job: Job) -> dict[str, Any]:
        """The work of a job: train on the present clips; returns the name of the new run and the id of its model.

        If only the report of a model fails, the model stays, and is in the result of the failed job.

        Raises:
            Cancelled: the user has cancelled it; its files are removed.
            Problem: what is wrong with the clips, or with the report.
        """
        job.report("starting", 0.0)
        start = f"{self.project.folder.name}-page-"
        numbers = [int(end) for run in self.runs.glob("*-page-*") if (end := run.name.removeprefix(start)).isdecimal()]
        run = self.runs.resolve() / f"{start}{max(numbers, default=0) + 1}"
        ids = {clip.relative: clip.id for clip in self.project.select()}
        try:
            self._follow(job, run)
        finally:
            if job.cancelled or not find_model(run):
                shutil.rmtree(run, ignore_errors=True)
            else:
                keep_results(self.project, run, ids)
        return {**(job.result or {}), "run": run.name}

    def _follow(self, job: Job, run: Path) -> None:
        """Start the process, and report its progress until it ends."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command, pipe = (*self.child, str(self.project.folder), str(run)), subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, start_new_session=True) as child:
            assert child.stdout
            try:
                job.on_cancel = child.kill
                if job.cancelled:  # just before
                    raise Cancelled
                for line in child.stdout:
                    if isinstance(step := json.loads(line), dict):
                        raise Problem(422, "training_failed", reason=step["reason"], remedy=step["remedy"])
                    stage, done, total = step
                    job.report(stage, done / max(1, total))
                    if stage in ("drawing clips", "done") and not (job.result or {}).get("model"):
                        job.report(stage, job.progress, model=self._load(run))
                status = child.wait()
            finally:
                child.kill()
        if job.cancelled:
            raise Cancelled
        if status:
            raise Problem(500, "training_ended", exit=status)

    def _load(self, run: Path) -> str | None:
        """Load the model of a run into memory, so that it can be used at once; its id."""
        if model := find_model(run):
            self.models.load(model.id)
        return model.id if model else None


def main() -> None:
    """Train in this process, and write a line to the standard output for each step."""
    clips, run = map(Path, sys.argv[1:])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else is written between the lines
    Thread(target=_end_with_input, daemon=True).start()
    with suppress(OSError):
        os.nice(5)  # the live view goes first

    def tell(step: object) -> None:
        print(json.dumps(step), file=out, flush=True)

    import onlooker

    try:
        onlooker.train(clips, run, quiet=True, divide=True, progress=lambda *step: tell(step))
        tell(("done", 1, 1))
    except onlooker.ClipError as error:
        tell({"reason": f"{error.path.name}: {error.found}", "remedy": error.remedy})
    except (ValueError, OSError) as error:
        reason, _, remedy = str(error).partition("; ")
        tell({"reason": reason, "remedy": remedy})
    os._exit(0)  # without waiting for the thread


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()

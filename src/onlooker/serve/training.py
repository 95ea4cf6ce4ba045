"""Train the project in a separate process: with progress, cancelling, and once more after a restart of the server.

    python -m onlooker.serve.training CLIPS RUN

The process writes one line of JSON per step to its standard output. It ends when its standard input is closed, so that
it never outlives the server.
"""

import asyncio
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO, Any

from onlooker.serve.jobs import Cancelled, Job
from onlooker.serve.models import Models, find_model
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project

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
        self.stopping = False  # the server ends: the next one trains again

    @property
    def is_running(self) -> bool:
        """Whether a training has not ended."""
        return self.job is not None and not self.job.finished

    @property
    def interrupted(self) -> str | None:
        """The job id of a training that had not finished when the server ended."""
        stored = self.project.database.value("SELECT value FROM state WHERE key = 'training'")
        return None if stored is None else str(stored)

    def newest_run(self) -> Path | None:
        """The last run of this project that has a model; None if there is none."""
        runs = (Path(row[0]) for row in self.project.database.run("SELECT path FROM run ORDER BY number DESC"))
        return next((run for run in runs if run.parent == self.runs.resolve() and find_model(run)), None)

    def check(self) -> None:
        """Raise a Problem if a training runs already, or there are too few clips."""
        if self.is_running:
            raise Problem(409, "training")
        counts = self.project.counts()
        if len(counts) < _MIN_CLASSES:
            raise Problem(422, "too_few_classes", count=len(counts), classes=_MIN_CLASSES, clips=_MIN_CLIPS)
        if few := [f"{name} {count}" for name, count in counts.items() if count < _MIN_CLIPS]:
            raise Problem(422, "too_few_clips", found=", ".join(few), classes=_MIN_CLASSES, clips=_MIN_CLIPS)

    def check_moving(self) -> None:
        """Raise a Problem while a training reads the clips: they must stay where they are."""
        if self.job is not None and self.is_running and self.job.note in _READING:
            raise Problem(409, "reading")

    async def run(self, job: Job) -> dict[str, Any]:
        """The work of a job: train on the present clips; returns the name of the new run and the id of its model.

        If only the report of a model fails, the model stays, and is in the result of the failed job.

        Raises:
            Cancelled: the user has cancelled it; its files are removed.
            Problem: what is wrong with the clips, or with the report.
        """
        job.report("starting", 0.0)
        run = await asyncio.to_thread(self._prepare, job.id)
        database = self.project.database
        try:
            await self._follow(job, run)
        except BaseException as error:
            if self.stopping or job.cancelled or not find_model(run):
                shutil.rmtree(run, ignore_errors=True)
                database.run("DELETE FROM trained WHERE run IN (SELECT number FROM run WHERE path = ?)", str(run))
                database.run("DELETE FROM run WHERE path = ?", str(run))
            if self.stopping:
                raise Cancelled from error
            database.run("DELETE FROM state WHERE key = 'training'")
            raise
        with database.transaction():  # which clips other runs were trained with is no longer needed
            database.run("DELETE FROM trained WHERE run != (SELECT max(number) FROM run)")
            database.run("DELETE FROM state WHERE key = 'training'")
        return {**(job.result or {}), "run": run.name}

    def _prepare(self, job_id: str) -> Path:
        """The folder of a new run; the database notes that it has begun, and its clips."""
        start = f"{self.project.folder.name}-page-"
        found = self.runs.glob("*-page-*")
        numbers = [int(end) for run in found if (end := run.name.removeprefix(start)).isdecimal()]
        run = self.runs.resolve() / f"{start}{max(numbers, default=0) + 1}"
        database = self.project.database
        with database.transaction():
            number = database.run("INSERT INTO run (path) VALUES (?)", str(run)).lastrowid
            listed = "SELECT ?, folder || '/' || clip.name, id FROM clip JOIN class ON class.name = folder"
            database.run(f"INSERT INTO trained {listed}", number)
            database.run("INSERT OR REPLACE INTO state VALUES ('training', ?)", job_id)
        return run

    async def _follow(self, job: Job, run: Path) -> None:
        """Start the process, and report its progress until it ends."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command, pipe = (*self.child, str(self.project.folder), str(run)), asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, env=environment, start_new_session=True
        )
        assert child.stdout
        try:
            async for line in child.stdout:
                step = json.loads(line)
                if "error" in step:
                    reason, remedy = step["error"]
                    raise Problem(422, "training_failed", reason=reason, remedy=remedy)
                job.report(step["stage"], step["done"] / max(1, step["total"]))
                if step["stage"] in ("drawing clips", "done") and not (job.result or {}).get("model"):
                    job.report(job.note, job.progress, model=await asyncio.to_thread(self._load, run))
            if status := await child.wait():
                raise Problem(500, "training_ended", exit=status)
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    def _load(self, run: Path) -> str | None:
        """Load the model of a run into memory, so that it can be used at once; its id."""
        if (model := find_model(run)) is None:
            return None
        self.models.load(model.id)
        return model.id


def main() -> None:
    """Train in this process, and write its progress to the standard output."""
    clips, run = map(Path, sys.argv[1:])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else is written between the lines
    Thread(target=_end_with_input, daemon=True).start()
    with suppress(OSError):
        os.nice(5)  # the live view goes first
    train_and_tell(clips, run, out)
    out.flush()
    os._exit(0)  # without waiting for the thread


def train_and_tell(clips: Path, run: Path, out: IO[str]) -> None:
    """Train, and write a line for each step."""

    def tell(**step: Any) -> None:
        print(json.dumps(step), file=out, flush=True)

    tell(stage="starting", done=0, total=1)
    import onlooker

    try:
        onlooker.train(
            clips, run, quiet=True, progress=lambda stage, done, total: tell(stage=stage, done=done, total=total)
        )
    except onlooker.ClipError as error:
        tell(error=[f"{error.path.name}: {error.found}", error.remedy])
    except (ValueError, OSError) as error:
        found, _, remedy = str(error).partition("; ")
        tell(error=[found, remedy])
    else:
        tell(stage="done", done=1, total=1)


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()

"""Work that takes longer than a request, as tasks of the event loop: looks at clips, one after the other; trainings."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.translation import t

__all__ = ["Cancelled", "Job", "Jobs"]

Work = Callable[["Job"], Awaitable[dict[str, Any]]]

KEPT = 200  # finished jobs whose results can still be requested
_FINISHED = ("done", "failed", "cancelled")


class Cancelled(Exception):  # noqa: N818 - no error
    """The user has cancelled the running job."""


class Job:
    """A piece of work: its state, its progress, and its result."""

    def __init__(self, state: str = "running") -> None:
        self.id, self.state, self.note = secrets.token_hex(8), state, "queued"
        self.progress: float | None = None
        self.error: Problem | None = None
        self.result: dict[str, Any] | None = None
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None

    @property
    def finished(self) -> bool:
        """Whether the job has ended and will not change again."""
        return self.state in _FINISHED

    def report(self, note: str, progress: float | None = None, **partial: Any) -> None:
        """Report progress: a note, a share from 0 to 1, and the values of the result so far.

        Raises:
            Cancelled: the user has cancelled the job.
        """
        if self.cancelled:
            raise Cancelled
        self.note, self.progress = note, progress
        if partial:
            self.result = {**(self.result or {}), **partial}

    def cancel(self) -> None:
        """End the work: where it waits, or, in a thread, at its next report; no effect on a finished job."""
        self.cancelled = True
        if self.task is not None and not self.finished:
            self.task.cancel()
            self.state = "cancelled" if self.state == "queued" else self.state  # it may not have begun at all

    def describe(self) -> dict[str, Any]:
        """Plain values, for JSON; `text` says how far it is."""
        error = None if self.error is None else self.error.to_dict()["error"]
        values = {name: getattr(self, name) for name in ("id", "state", "note", "progress", "result")}
        return {**values, "text": t(f"job.{self.note.replace(' ', '_')}"), "error": error}


class Jobs:
    """All jobs of a server; finished ones are kept until many newer ones have finished. For the event loop's thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queue = asyncio.Lock()  # in the order of requests

    def submit(self, work: Callable[[Job], dict[str, Any]]) -> Job:
        """Put work for a thread at the end of the queue; it ends before the next begins."""

        async def in_turn(job: Job) -> dict[str, Any]:
            async with self._queue:
                job.state = "running"
                working = asyncio.ensure_future(asyncio.to_thread(work, job))
                while True:  # a thread cannot be cancelled: it ends at its next report
                    try:
                        return await asyncio.shield(working)
                    except asyncio.CancelledError:
                        if working.done():
                            raise

        return self.start(in_turn, state="queued")

    def start(self, work: Work, state: str = "running") -> Job:
        """Begin work at once."""
        finished = [each.id for each in self._jobs.values() if each.finished]
        for old in finished[: max(0, len(finished) - KEPT)]:
            del self._jobs[old]
        job = Job(state)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(_run(job, work))
        return job

    def get(self, job_id: str) -> Job:
        """The job with this id; a Problem 404 if there is none."""
        if job := self._jobs.get(job_id):
            return job
        raise Problem(404, "no_job")

    async def stop(self) -> None:
        """Cancel all jobs, when the server ends, and wait for their ends."""
        for job in self._jobs.values():
            job.cancel()
        await asyncio.gather(*(job.task for job in self._jobs.values() if job.task), return_exceptions=True)


async def _run(job: Job, work: Work) -> None:
    """Do the work; every exception is stored as the error of the job."""
    try:
        job.result = await work(job)
        job.state = "done"
    except (Cancelled, asyncio.CancelledError):
        job.state = "cancelled"
    except Exception as error:
        job.error, job.state = as_problem(error), "failed"
        if job.error.status == 500:
            logging.getLogger(__name__).exception("job %s", job.id)

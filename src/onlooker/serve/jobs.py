"""Work that takes longer than a request, in threads: predictions of clips, one after the other, and
trainings.
"""

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

from onlooker.serve.problem import Problem, as_problem, t

MAX_FINISHED = 200  # finished jobs whose results can still be requested


class Job:
    """A piece of work: its state, its progress, and its result.

    Attributes:
        cancelled: set it to end the work, before it begins or at its next report; no effect on a
            finished job.
    """

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.state = "queued"
        self.note = "queued"
        self.progress: float | None = None
        self.error: Problem | None = None
        self.result: dict[str, Any] | None = None
        self.cancelled = False

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def report(self, note: str, progress: float | None = None, **partial: Any) -> None:
        """Report progress: a note, a share from 0 to 1, and the values of the result so far.

        Raises:
            CancelledError: the user has cancelled the job.
        """
        if self.cancelled:
            raise CancelledError
        self.note = note
        self.progress = progress
        if partial:
            self.result = {**(self.result or {}), **partial}

    def describe(self) -> dict[str, Any]:
        """Plain values, for JSON; `text` says how far it is."""
        return {
            "id": self.id,
            "state": self.state,
            "note": self.note,
            "text": t(f"job.{self.note.replace(' ', '_')}"),
            "progress": self.progress,
            "result": self.result,
            "error": self.error.to_dict()["error"] if self.error else None,
        }


class Jobs:
    """All jobs of a server. The last finished ones are kept (`MAX_FINISHED`). Only the thread of the event
    loop calls the methods.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queue = ThreadPoolExecutor(1, "queue")
        self._parallel = ThreadPoolExecutor(thread_name_prefix="job")

    def submit(self, work: Callable[[Job], dict[str, Any]], at_once: bool = False) -> Job:
        """Begin work after all that was submitted before, or `at_once`."""
        finished = [job.id for job in self._jobs.values() if job.finished]
        for old in finished[:-MAX_FINISHED]:
            del self._jobs[old]
        job = Job()
        self._jobs[job.id] = job
        (self._parallel if at_once else self._queue).submit(_run, job, work)
        return job

    def get(self, job_id: str) -> Job:
        """The job with this id; a Problem 404 if there is none."""
        if job := self._jobs.get(job_id):
            return job
        raise Problem(404, "no_job")

    def close(self) -> None:
        """Cancel all jobs, when the server ends, and wait until they have ended."""
        for job in self._jobs.values():
            job.cancelled = True
        self._queue.shutdown()
        self._parallel.shutdown()


def _run(job: Job, work: Callable[[Job], dict[str, Any]]) -> None:
    """Do the work; every exception is stored as the error of the job."""
    try:
        if job.cancelled:
            raise CancelledError
        job.state = "running"
        job.result = work(job)
        job.state = "done"
    except CancelledError:
        job.state = "cancelled"
    except Exception as error:
        job.error = as_problem(error)
        job.state = "failed"
        if job.error.status == 500:
            logging.getLogger(__name__).exception("job %s", job.id)

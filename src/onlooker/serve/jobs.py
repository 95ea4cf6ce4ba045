"""Work that takes longer than a request: one worker thread with a queue that tells each job its place.

Work that must not wait in the queue, such as a training in a separate process, has its own thread (`Jobs.start`).
"""

import logging
import secrets
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.translation import t

__all__ = ["Cancelled", "Job", "Jobs"]

Work = Callable[["Job"], dict[str, Any]]

MAX_WAITING = 50
_KEPT = 200  # finished jobs whose results can still be requested
_FINISHED = ("done", "failed", "cancelled")


class Cancelled(Exception):  # noqa: N818 - no error
    """The user has cancelled the running job."""


class Job:
    """A piece of work: its state, its progress, and its result.

    Args:
        on_cancel: called when the user cancels the job, to end what it waits for and to delete its files.
    """

    def __init__(self, job_id: str | None = None, on_cancel: Callable[[], object] | None = None) -> None:
        self.id = job_id or secrets.token_hex(8)
        self.on_cancel = on_cancel
        self.state, self.note, self.progress = "queued", "queued", None
        self.error: Problem | None = None
        self.result: dict[str, Any] | None = None
        self.cancelled, self.ended = False, Event()

    state: str
    note: str
    progress: float | None

    @property
    def finished(self) -> bool:
        """Whether the job has ended and will not change again."""
        return self.state in _FINISHED

    def report(self, note: str, progress: float | None = None, **partial: Any) -> None:
        """Report progress: a note, a share from 0 to 1, and the values of the result so far.

        Raises:
            Cancelled: the user has cancelled the job.
        """
        self.check()
        self.note, self.progress = note, progress
        if partial:
            self.result = {**(self.result or {}), **partial}

    def check(self) -> None:
        """Raise Cancelled if the user has cancelled the job."""
        if self.cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """End the work at its next report; no effect on a finished job."""
        if self.finished:
            return
        self.cancelled = True
        if self.state == "queued":
            self.state = "cancelled"
            self.ended.set()
        if self.on_cancel:
            self.on_cancel()

    def run(self, work: Work) -> None:
        """Do the work, unless the job was already cancelled; every exception is stored as the error of the job."""
        if self.cancelled:
            return
        self.state = "running"
        try:
            self.result = work(self)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except Exception as error:
            self.error = as_problem(error)
            self.state = "cancelled" if self.cancelled else "failed"
            if self.error.status == 500:
                logging.getLogger(__name__).exception("job %s", self.id)
        finally:
            self.ended.set()


class Jobs:
    """All jobs of a server; finished ones are kept until many newer ones have finished."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._queue: SimpleQueue[tuple[Job, Work] | None] = SimpleQueue()
        self._lock = Lock()
        Thread(target=self._work, name="jobs", daemon=True).start()

    def submit(self, work: Work, on_cancel: Callable[[], object] | None = None) -> Job:
        """Put work at the end of the queue; `on_cancel` as for `Job`.

        Raises:
            Problem: 503, when `MAX_WAITING` jobs wait already.
        """
        with self._lock:
            self._waiting = [job for job in self._waiting if job.state == "queued"]
            if len(self._waiting) >= MAX_WAITING:
                raise Problem(503, "busy", count=len(self._waiting), most=MAX_WAITING)
            job = self._keep(Job(on_cancel=on_cancel))
            self._waiting.append(job)
            self._queue.put((job, work))
        return job

    def start(self, work: Work, job_id: str | None = None) -> Job:
        """Begin work at once in a separate thread."""
        with self._lock:
            job = self._keep(Job(job_id))
        Thread(target=job.run, args=(work,), name=f"job {job.id}", daemon=True).start()
        return job

    def get(self, job_id: str) -> Job:
        """The job with this id; a Problem 404 if there is none."""
        with self._lock:
            if job := self._jobs.get(job_id):
                return job
        raise Problem(404, "no_job")

    def wait(self, job_id: str, seconds: float) -> Job:
        """Wait until a job has finished; a TimeoutError if it takes longer."""
        job = self.get(job_id)
        if not job.ended.wait(seconds):
            raise TimeoutError(f"job {job_id} has not finished in {seconds:g} s")
        return job

    def describe(self, job: Job) -> dict[str, Any]:
        """Plain values, for JSON; `place` is 0 for the running job, 1 for the next one; `text` says how far it is."""
        with self._lock:
            waiting = [each.id for each in self._waiting if each.state == "queued"]
        error = None if job.error is None else job.error.to_dict()["error"]
        place = waiting.index(job.id) + 1 if job.id in waiting else 0
        text = t("job.place", place=place) if place else t(f"job.{job.note.replace(' ', '_')}")
        values = {name: getattr(job, name) for name in ("state", "note", "progress", "result")}
        return {"id": job.id, "place": place, "text": text, "error": error, **values}

    def stop(self) -> None:
        """Cancel all jobs, when the server ends."""
        self._queue.put(None)
        for job in list(self._jobs.values()):
            job.cancel()

    def _keep(self, job: Job) -> Job:
        finished = [each.id for each in self._jobs.values() if each.finished]
        for old in finished[: max(0, len(finished) - _KEPT)]:
            del self._jobs[old]
        self._jobs[job.id] = job
        return job

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            job, work = item
            job.run(work)

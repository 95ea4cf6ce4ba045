"""Jobs: one after the other, and one that fails or is cancelled affects no other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest

from onlooker.serve import jobs as module
from onlooker.serve.jobs import Job, Jobs
from onlooker.serve.problem import Problem
from onlooker.structures import ClipError


def with_jobs(work: Callable[[Jobs], Awaitable[None]]) -> None:
    """Call `work` in an event loop, which it must not block."""

    async def run() -> None:
        jobs = Jobs()
        try:
            await asyncio.wait_for(work(jobs), 60)
        finally:
            await jobs.stop()

    asyncio.run(run())


async def ended(*jobs: Job) -> list[str]:
    for job in jobs:
        while not job.finished:
            await asyncio.sleep(0.01)
    return [job.state for job in jobs]


@contextmanager
def blocked(jobs: Jobs) -> Iterator[Job]:
    """A job that waits until the end of the block."""
    go = Event()
    yield jobs.submit(lambda _: {"waited": go.wait(30)})
    go.set()


def test_jobs_run_in_turn() -> None:
    async def work(jobs: Jobs) -> None:
        order = list[str]()
        with blocked(jobs) as first:
            others = [jobs.submit(lambda _, name=name: {"done": order.append(name)}) for name in "ab"]  # type: ignore[misc]
            await asyncio.sleep(0.05)
            assert [job.describe()["state"] for job in (first, *others)] == ["running", "queued", "queued"]
        assert await ended(*others) == ["done", "done"]
        assert order == ["a", "b"]
        assert first.describe()["result"] == {"waited": True}

    with_jobs(work)


def test_an_error_is_of_its_job_alone(caplog: pytest.LogCaptureFixture) -> None:
    def failing(error: Exception) -> Callable[[Job], dict[str, Any]]:
        def fail(_: Job) -> dict[str, Any]:
            raise error

        return fail

    async def work(jobs: Jobs) -> None:
        clip, other = jobs.submit(failing(ClipError("a.mp4", "no frame", "again"))), jobs.submit(failing(KeyError("x")))
        good = jobs.submit(lambda _: {"a": 1})
        assert await ended(clip, other, good) == ["failed", "failed", "done"]
        assert [job.describe()["error"]["code"] for job in (clip, other)] == ["clip", "internal"]

    with_jobs(work)
    assert "KeyError" in caplog.text  # the terminal says more


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs() -> None:
    begun = Event()

    def endless(job: Job) -> dict[str, Any]:
        begun.set()
        while True:
            job.report("looking", 0.5)

    async def work(jobs: Jobs) -> None:
        running, waiting = jobs.submit(endless), jobs.submit(lambda _: {"ran": True})
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        running.cancel()
        assert await ended(running, waiting, jobs.submit(lambda _: {})) == ["cancelled", "cancelled", "done"]
        assert waiting.result is None

    with_jobs(work)


def test_a_job_of_its_own_does_not_wait_and_shows_a_result_so_far() -> None:
    async def train(job: Job) -> dict[str, Any]:
        job.report("fitting", 0.25, model="a")
        await asyncio.sleep(0.1)
        return {"run": "b"}

    async def work(jobs: Jobs) -> None:
        with blocked(jobs):
            job = jobs.start(train)
            await asyncio.sleep(0.05)
            described = jobs.get(job.id).describe()
            assert (described["note"], described["progress"], described["result"]) == ("fitting", 0.25, {"model": "a"})
            assert await ended(job) == ["done"]

    with_jobs(work)


def test_unknown_and_old_jobs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 1)

    async def work(jobs: Jobs) -> None:
        first, *others = (jobs.submit(lambda _: {}) for _ in range(3))
        assert await ended(first, *others) == ["done"] * 3
        jobs.submit(lambda _: {})
        for gone in ("nobody", first.id):
            with pytest.raises(Problem, match="no_job"):
                jobs.get(gone)

    with_jobs(work)

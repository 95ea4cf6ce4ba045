"""Jobs: one after the other, and one that fails or is cancelled affects no other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest

from onlooker.base.records import ClipError
from onlooker.serve import jobs as module
from onlooker.serve.jobs import Job, Jobs
from onlooker.serve.problem import Problem


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


def ended(*jobs: Job) -> list[str]:
    for job in jobs:
        while not job.finished:
            time.sleep(0.01)
    return [job.state for job in jobs]


@contextmanager
def blocked(jobs: Jobs) -> Iterator[Job]:
    """A job that waits until the end of the block."""
    begun = Event()
    go = Event()

    def wait(_: Job) -> dict[str, Any]:
        begun.set()
        return {"waited": go.wait(30)}

    job = jobs.submit(wait)
    begun.wait(30)
    yield job
    go.set()


def test_jobs_run_in_turn(jobs: Jobs) -> None:
    order = list[str]()
    with blocked(jobs) as first:
        others = [jobs.submit(lambda _, name=name: {"done": order.append(name)}) for name in "ab"]  # type: ignore[misc]
        assert [job.describe()["state"] for job in (first, *others)] == [
            "running",
            "queued",
            "queued",
        ]
    assert ended(*others) == ["done", "done"]
    assert order == ["a", "b"]
    assert first.describe()["result"] == {"waited": True}


def test_an_error_is_of_its_job_alone(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    errors = ClipError("a.mp4", "no frame", "again"), KeyError("x")
    clip, other = (jobs.submit(Mock(side_effect=error)) for error in errors)
    good = jobs.submit(lambda _: {"a": 1})
    assert ended(clip, other, good) == ["failed", "failed", "done"]
    assert [job.describe()["error"]["code"] for job in (clip, other)] == [
        "not_decodable",
        "internal",
    ]
    assert "KeyError" in caplog.text  # the terminal says more


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(jobs: Jobs) -> None:
    begun = Event()

    def endless(job: Job) -> dict[str, Any]:
        begun.set()
        while True:
            job.report("looking", 0.5)

    running = jobs.submit(endless)
    waiting = jobs.submit(lambda _: {"ran": True})
    begun.wait(30)
    waiting.cancelled = True
    running.cancelled = True
    assert ended(running, waiting, jobs.submit(lambda _: {})) == ["cancelled", "cancelled", "done"]
    assert waiting.result is None


def test_a_job_of_its_own_does_not_wait_and_shows_a_result_so_far(jobs: Jobs) -> None:
    reported = Event()
    go = Event()

    def train(job: Job) -> dict[str, Any]:
        job.report("fitting", 0.25, model="a")
        reported.set()
        go.wait(30)
        return {"run": "b"}

    with blocked(jobs):
        job = jobs.submit(train, at_once=True)
        assert reported.wait(30)
        described = jobs.get(job.id).describe()
        assert (described["note"], described["progress"], described["result"]) == (
            "fitting",
            0.25,
            {"model": "a"},
        )
        go.set()
        assert ended(job) == ["done"]


def test_unknown_and_old_jobs_are_refused(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 1)
    first, *others = (jobs.submit(lambda _: {}) for _ in range(3))
    assert ended(first, *others) == ["done"] * 3
    jobs.submit(lambda _: {})
    for gone in ("nobody", first.id):
        with pytest.raises(Problem, match="no_job"):
            jobs.get(gone)

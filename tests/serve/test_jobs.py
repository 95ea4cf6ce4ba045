"""The queue: one after the other, each knows its place, and one that fails or is cancelled affects no other."""

from collections.abc import Iterator
from threading import Event

import pytest

from onlooker.serve import jobs as module
from onlooker.serve.jobs import Job, Jobs
from onlooker.serve.problem import Problem
from onlooker.structures import ClipError


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.stop()


def test_jobs_run_in_turn_and_know_their_place(jobs: Jobs) -> None:
    go, order = Event(), list[str]()

    def work(name: str) -> dict[str, str]:
        go.wait(10)
        order.append(name)
        return {"name": name}

    submitted = [jobs.submit(lambda _, name=name: work(name)) for name in "abc"]  # type: ignore[misc]
    while submitted[0].state == "queued":
        pass
    described = [jobs.describe(job) for job in submitted]
    assert [each["place"] for each in described] == [0, 1, 2]
    assert [each["text"] for each in described] == [
        "Waiting …", "Waiting: place 1 in the queue", "Waiting: place 2 in the queue",
    ]  # fmt: skip
    go.set()
    assert jobs.wait(submitted[-1].id, 10).result == {"name": "c"}
    assert order == ["a", "b", "c"]
    assert jobs.describe(submitted[0]) == {
        "id": submitted[0].id, "state": "done", "place": 0, "note": "queued", "progress": None, "error": None,
        "text": "Waiting …",
        "result": {"name": "a"},
    }  # fmt: skip


def test_an_error_is_of_its_job_alone(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def damaged(_: Job) -> dict[str, object]:
        raise ClipError("a.mp4", "no frame", "record it again")

    def unforeseen(_: Job) -> dict[str, object]:
        raise KeyError("x")

    failed, other = jobs.submit(damaged), jobs.submit(unforeseen)
    assert jobs.wait(jobs.submit(lambda _: {"a": 1}).id, 10).result == {"a": 1}
    assert (failed.state, jobs.describe(failed)["error"]["found"]) == ("failed", "no frame")
    assert (other.state, jobs.describe(other)["error"]["code"]) == ("failed", "internal")
    assert "KeyError" in caplog.text  # the terminal says more


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(jobs: Jobs) -> None:
    begun, ended = Event(), Event()

    def endless(job: Job) -> dict[str, object]:
        job.on_cancel = ended.set
        begun.set()
        while True:
            job.report("looking", 0.5)

    running, waiting = jobs.submit(endless), jobs.submit(lambda _: {"ran": True})
    assert begun.wait(10)
    waiting.cancel()
    running.cancel()
    assert ended.wait(10)
    assert [jobs.wait(job.id, 10).state for job in (running, waiting)] == ["cancelled", "cancelled"]
    assert jobs.wait(jobs.submit(lambda _: {}).id, 10).state == "done"  # the queue goes on
    assert waiting.result is None


def test_a_job_of_its_own_does_not_wait_and_shows_a_result_so_far(jobs: Jobs) -> None:
    go, told = Event(), Event()
    jobs.submit(lambda _: {"waited": go.wait(10)})

    def train(job: Job) -> dict[str, object]:
        job.report("fitting", 0.25, seconds_left=9)
        told.set()
        go.wait(10)
        return {"run": "a"}

    job = jobs.start(train, "0123456789abcdef")
    assert told.wait(10)
    described = jobs.describe(jobs.get("0123456789abcdef"))
    assert (described["note"], described["progress"], described["result"]) == ("fitting", 0.25, {"seconds_left": 9})
    go.set()
    assert jobs.wait(job.id, 10).result == {"run": "a"}


def test_a_full_queue_and_unknown_jobs_are_refused(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    go, begun = Event(), Event()
    jobs.submit(lambda _: {"a": begun.set(), "b": go.wait(10)})
    assert begun.wait(10)
    waiting = [jobs.submit(lambda _: {}) for _ in range(2)]
    with pytest.raises(Problem, match="busy: 2 clips wait already: at most 2"):
        jobs.submit(lambda _: {})
    waiting[0].cancel()  # makes room
    last = jobs.submit(lambda _: {})
    go.set()
    assert jobs.wait(last.id, 10).state == "done"
    with pytest.raises(Problem, match="no_job"):
        jobs.get("nobody")


def test_old_finished_jobs_are_forgotten(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    done = [jobs.wait(jobs.submit(lambda _: {}).id, 10) for _ in range(6)]
    assert jobs.get(done[-1].id)
    with pytest.raises(Problem, match="no_job"):
        jobs.get(done[0].id)

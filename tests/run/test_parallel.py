"""Parallel trainings end with the process that started them: on an error, an interrupt, or kill -9."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from waiting import wait_until

from onlooker.base import parallel
from onlooker.base.parallel import cores, free_cores, memory_gb
from onlooker.base.progress import showing
from onlooker.run import compare
from onlooker.run.compare import default_jobs, run_parallel

_PARENT = """
import sys, time
from functools import partial
from pathlib import Path
sys.path[:0] = {tests!r}
from test_parallel import train
from onlooker.run.compare import run_parallel
if __name__ == "__main__":
    run_parallel({{str(i): partial(train, Path({folder!r}), i) for i in range(8)}}, 2)
"""


def train(folder: Path, number: int) -> SimpleNamespace:
    (folder / f"begun-{number}").write_text(str(os.getpid()))
    time.sleep(120)
    return SimpleNamespace(accuracy=1.0)


def alone(folder: Path, number: int) -> SimpleNamespace:
    (folder / f"begun-{number}").write_text(
        f"{os.getpid()} {torch.get_num_threads()} {free_cores()}"
    )
    return SimpleNamespace(accuracy=number / 2)


def wrong(folder: Path) -> None:
    wait_until(lambda: process_of(folder / "begun-0"))
    raise ValueError("no clips")


def process_of(begun: Path) -> int:
    """The process that wrote the file; 0 before it has."""
    return int(begun.read_text() or 0) if begun.exists() else 0


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_thread_per_process_a_line_per_task(
    jobs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with showing():
        run_parallel(
            {str(number): partial(alone, tmp_path, number) for number in range(2)}, jobs
        )
    said = [(tmp_path / f"begun-{number}").read_text().split() for number in range(2)]
    if jobs == 1:
        assert {process for process, *_ in said} == {str(os.getpid())}, (
            "no process for a single job"
        )
    else:
        assert str(os.getpid()) not in {process for process, *_ in said}
        assert {tuple(rest) for _, *rest in said} == {("1", "1")}
    output = capsys.readouterr().err
    assert "0: 0.0 %" in output
    assert "1: 50.0 %" in output


def test_first_error_ends_the_others(tmp_path: Path) -> None:
    tasks = {
        "slow": partial(train, tmp_path, 0),
        "wrong": partial(wrong, tmp_path),
        "waiting": partial(train, tmp_path, 1),
    }
    with pytest.raises(ValueError, match="no clips"):
        run_parallel(tasks, 2)
    processes = [process_of(begun) for begun in tmp_path.glob("begun-*")]
    assert processes
    assert os.getpid() not in processes
    # Each would sleep for two minutes.
    wait_until(lambda: not any(map(alive, filter(None, processes))), 60)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc who is alive")
@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_trainings_end_if_their_parent_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    tests = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    script.write_text(_PARENT.format(tests=tests, folder=str(tmp_path)))
    parent = subprocess.Popen(
        [sys.executable, str(script)], start_new_session=True, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: len([p for p in tmp_path.glob("begun-*") if p.read_text()]) == 2)
    workers = [int(path.read_text()) for path in tmp_path.glob("begun-*")]
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # as Ctrl-C does: all of them
    else:
        parent.kill()
    parent.wait(timeout=300)
    wait_until(lambda: not any(map(alive, workers)))
    assert len(list(tmp_path.glob("begun-*"))) == 2, "waiting tasks are not started"


@pytest.mark.parametrize(
    ("gpus", "memory", "expected"), [(0, 24, 4), (0, 9, 2), (0, 2, 1), (0, None, 4), (3, 24, 1)]
)
def test_default_jobs(
    monkeypatch: pytest.MonkeyPatch, gpus: int, memory: int | None, expected: int
) -> None:
    monkeypatch.setattr(compare, "cores", lambda: 4)
    monkeypatch.setattr(compare, "memory_gb", lambda: memory)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    assert default_jobs() == expected


def ended() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_process_ended_by_the_system_is_explained(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"ended by the system, usually because memory .* fewer jobs than 2"
    ):
        run_parallel({"ended": ended, "slow": partial(train, tmp_path, 0)}, 2)


def test_a_worker_uses_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    # of the machine, of this process, and of its container
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    assert (cores(), free_cores()) == (3, 3)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert (cores(), free_cores()) == (3, 1)


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        # version 2: the groups of a job and of the one around it; a container, without and with one
        ("0::/node/job\n", {"node/job/memory.max": 3, "node/memory.max": 2}, 2),
        ("0::/docker/a\n", {"memory.max": 3}, 3),
        ("0::/\n", {"memory.max": 3}, 3),
        ("0::/\n", {}, 64),
        ("0::/\n", {"memory.max": 128}, 64),
        # version 1, where other groups of this process have nothing to do with memory
        ("5:cpu:/b\n4:memory:/a\n0::/b\n", {"memory/a": 5, "memory/b": 1, "memory": 9}, 5),
    ],
)
def test_memory_is_that_of_the_container(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    groups: str,
    limits: dict[str, int],
    expected: int,
) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 << 18}
    monkeypatch.setattr("os.sysconf", sizes.__getitem__)
    monkeypatch.setattr(parallel, "_GROUPS", tmp_path)
    monkeypatch.setattr(parallel, "_OWN_GROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(groups)
    (tmp_path / "memory.max").write_text("max\n")
    for name, gib in limits.items():
        file = tmp_path / name
        if file.suffix != ".max":
            file = file / "memory.limit_in_bytes"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{gib << 30}\n")
    assert memory_gb() == expected


def test_the_time_of_a_comparison_is_announced_after_a_training_of_each_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 30.0])
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr(compare, "time", clock)
    names = [f"{model}/fold{fold}" for fold in range(5) for model in ("linear", "atcn")]
    tasks = {name: partial(alone, tmp_path, number) for number, name in enumerate(names)}
    with showing():
        run_parallel(tasks, 1)
    (announced,) = (line for line in capsys.readouterr().err.splitlines() if "about" in line)
    assert announced == "8 more trainings: about 2.0 min"

"""Trainings side by side end with whoever began them: by an error, an interrupt, or kill -9."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from onlooker.runs import parallel as side_by_side
from onlooker.runs.parallel import compute, fitting, processes

_PARENT = """
import sys, time
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_parallel import train
from onlooker.runs.parallel import compute, processes
if __name__ == "__main__":
    with processes(2) as pool:
        compute(pool, "training", {{str(i): partial(train, Path({folder!r}), i) for i in range(8)}})
"""


def train(folder: Path, number: int) -> dict[str, Any]:
    (folder / f"begun-{number}").write_text(str(os.getpid()))
    time.sleep(120)
    return {"accuracy": 1.0}


def right(threads: int) -> dict[str, Any]:
    return {"accuracy": float(torch.get_num_threads() == threads)}


def wrong() -> dict[str, Any]:
    raise ValueError("no clips")


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(what: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.05)


def test_every_task_has_one_thread_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with processes(1) as pool:
        compute(pool, "training", {"a": partial(right, 1), "b": partial(right, 2)}, done=1)
        compute(pool, "nothing", {})
    output = capsys.readouterr().out
    assert "a: 100.0 %" in output
    assert "b: 0.0 %" in output
    assert "nothing" not in output


def test_the_first_error_ends_those_that_run(tmp_path: Path) -> None:
    began = time.monotonic()
    tasks = {"slow": partial(train, tmp_path, 0), "wrong": wrong, "never": partial(train, tmp_path, 1)}
    with pytest.raises(ValueError, match="no clips"), processes(2) as pool:
        compute(pool, "training", tasks)
    assert time.monotonic() - began < 60


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc who is alive")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nobody_trains_on_when_the_parent_is_gone(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    parent = subprocess.Popen([sys.executable, str(script)], start_new_session=True, stderr=subprocess.DEVNULL)
    until(lambda: len([p for p in tmp_path.glob("begun-*") if p.read_text()]) == 2)
    workers = [int(path.read_text()) for path in tmp_path.glob("begun-*")]
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # as Ctrl-C does: all of them
    else:
        parent.kill()
    parent.wait(timeout=60)
    until(lambda: not any(map(alive, workers)))
    assert len(list(tmp_path.glob("begun-*"))) == 2, "those that waited are not begun"


@pytest.mark.parametrize(
    ("gpu", "memory", "expected"), [(False, 24, 4), (False, 9, 2), (False, 2, 1), (False, None, 4), (True, 24, 1)]
)
def test_as_many_as_fit(monkeypatch: pytest.MonkeyPatch, gpu: bool, memory: int | None, expected: int) -> None:
    monkeypatch.setattr(side_by_side, "cores", lambda: 4)
    monkeypatch.setattr(side_by_side, "memory_gb", lambda: memory)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert fitting(4) == expected


def test_not_even_one() -> None:
    with pytest.raises(ValueError, match="-1 trainings side by side, expected at least one"), processes(-1):
        pass

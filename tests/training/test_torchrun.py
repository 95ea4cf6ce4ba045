"""`onlooker train` by torchrun: equal bytes on one machine and on two, and what happens after kill
-9.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import TINY
from moving_squares import make_set
from ports import free_port

from onlooker.base.parallel import cores

pytestmark = [
    pytest.mark.slow,  # each process imports PyTorch
    pytest.mark.skipif(cores() < 2, reason="one core: no second device"),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("data") / "clips", clips=8, frames=4, side=16)


def command(clips: Path, run: Path, *options: object) -> list[str]:
    words = [
        "train",
        clips,
        "--model",
        "lstm",
        "--run",
        run,
        "--dropout",
        0,
        "--batch",
        8,
        *TINY,
        *options,
    ]
    return ["onlooker", *map(str, words)]


def start(words: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # with its processes, it is a group that can be stopped
    )


def run_to_end(words: Sequence[str], status: int = 0) -> str:
    process = start(words)
    out, errors = process.communicate(timeout=240)
    assert process.returncode == status, errors
    return out + errors


def curves(run: Path) -> list[list[float]]:
    """curves.csv without the columns of epochs and seconds."""
    return [
        [float(value) for value in line.split(",")[1:-1]]
        for line in (run / "curves.csv").open().readlines()[1:]
    ]


def content(run: Path) -> dict[str, bytes]:
    """What a run has learned and measured, byte for byte."""
    return {
        name: (run / name).read_bytes()
        for name in ("model/model.safetensors", "scores.csv", "evaluation.json")
    }


def processes_of(parent: int) -> list[int]:
    """The processes that train, started by `parent`; another one only cleans up after Python."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [
        int(pid)
        for pid in children
        if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def by_torchrun(words: Sequence[str], nodes: int = 1) -> list[str]:
    """The command in two processes, on this number of machines."""
    each = [
        "--nnodes",
        str(nodes),
        "--nproc-per-node",
        str(2 // nodes),
        "--rdzv-backend",
        "c10d",
    ]
    return [
        "torch.distributed.run",
        *each,
        "--rdzv-endpoint",
        f"127.0.0.1:{free_port()}",
        "-m",
        "--",
        *words,
    ]


def test_two_machines_give_the_bytes_of_two_processes(clips: Path, tmp_path: Path) -> None:
    assert run_to_end(by_torchrun(command(clips, tmp_path / "one"))).count("report:") == 1, (
        "one process writes the run"
    )
    torchrun = by_torchrun(command(clips, tmp_path / "two"), nodes=2)
    machines = [start(torchrun) for _ in range(2)]
    texts = ["".join(machine.communicate(timeout=240)) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], texts
    assert sum("report:" in text for text in texts) == 1, "one process writes the run"
    assert curves(tmp_path / "one") == curves(tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_model_that_one_process_fits_is_refused(clips: Path, tmp_path: Path) -> None:
    errors = run_to_end(
        by_torchrun(["onlooker", "train", str(clips), "--run", str(tmp_path / "run")]), status=1
    )
    assert (
        "error: linear is fitted by one process, and torchrun started 2; leave out torchrun"
        in errors
    )


@pytest.mark.parametrize("killed", ["the first process", "the last process", "torchrun"])
def test_kill_9_of_a_process_ends_all_and_resumes_with_the_same_bytes(
    clips: Path, tmp_path: Path, killed: str
) -> None:
    run = tmp_path / "run"
    whole = tmp_path / "whole"
    command_line = start(by_torchrun(command(clips, run, "--epochs", 40)))
    while not (run / "curves.csv").exists() or len(curves(run)) < 2:
        assert command_line.poll() is None, command_line.communicate()
        time.sleep(0.01)
    training = processes_of(command_line.pid)
    assert len(training) == 2
    victim = {"the first process": training[0], "the last process": training[-1]}.get(
        killed, command_line.pid
    )
    os.kill(victim, signal.SIGKILL)
    errors = command_line.communicate(timeout=300)[1]
    until = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in training):
        assert time.monotonic() < until
        time.sleep(0.05)
    if killed != "torchrun":
        assert "Signal 9 (SIGKILL)" in errors
    assert len(curves(run)) < 40
    run_to_end(by_torchrun(["onlooker", "train", str(clips), "--run", str(run), "--resume"]))
    run_to_end(by_torchrun(command(clips, whole, "--epochs", 40)))
    assert content(run) == content(whole)
    assert curves(run) == curves(whole)

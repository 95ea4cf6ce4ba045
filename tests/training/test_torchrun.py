"""`onlooker train` in several processes: equal curves, started here or by torchrun, and what happens after kill -9."""

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

from onlooker.processes import cores

pytestmark = [
    pytest.mark.slow,  # each process imports Lightning
    pytest.mark.skipif(cores() < 2, reason="one core: no second device"),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("data") / "clips", clips=8, frames=4, side=16)


def command(clips: Path, run: Path, *options: object) -> list[str]:
    words = ["train", clips, "--model", "lstm", "--run", run, "--dropout", 0, "--batch", 8, *TINY, *options]
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
    return [[float(value) for value in line.split(",")[1:-1]] for line in (run / "curves.csv").open().readlines()[1:]]


def content(run: Path) -> dict[str, bytes]:
    """What a run has learned and measured, byte for byte."""
    return {name: (run / name).read_bytes() for name in ("model/model.safetensors", "scores.csv", "evaluation.json")}


def processes_of(parent: int) -> list[int]:
    """The processes that train, started by `parent`; another one only cleans up after Python."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun_gives_the_bytes_of_two_devices(clips: Path, tmp_path: Path, nodes: int) -> None:
    assert "report:" in run_to_end(command(clips, tmp_path / "devices", "--devices", 2))
    each = ["--nnodes", str(nodes), "--nproc-per-node", str(2 // nodes), "--rdzv-backend", "c10d"]
    torchrun = ["torch.distributed.run", *each, "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "-m", "--"]
    machines = [start([*torchrun, *command(clips, tmp_path / "machines")]) for _ in range(nodes)]
    texts = ["".join(machine.communicate(timeout=240)) for machine in machines]
    assert [machine.returncode for machine in machines] == [0] * nodes, texts
    assert sum("report:" in text for text in texts) == 1, "one process writes the run"
    assert curves(tmp_path / "devices") == curves(tmp_path / "machines")
    assert content(tmp_path / "devices") == content(tmp_path / "machines")


@pytest.mark.parametrize("killed", ["the first process", "the last process", "the command"])
def test_kill_9_of_a_process_ends_all_and_resumes_with_the_same_bytes(clips: Path, tmp_path: Path, killed: str) -> None:
    options = ["--devices", 2, "--epochs", 40]
    run, whole = tmp_path / "run", tmp_path / "whole"
    command_line = start(command(clips, run, *options))
    while not (run / "curves.csv").exists() or len(curves(run)) < 2:
        assert command_line.poll() is None, command_line.communicate()
        time.sleep(0.01)
    training = processes_of(command_line.pid)
    assert len(training) == 2
    victim = {"the first process": training[0], "the last process": training[-1]}.get(killed, command_line.pid)
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    errors = command_line.communicate(timeout=60)[1]
    while any(Path(f"/proc/{pid}").exists() for pid in training):
        assert time.monotonic() - began < 15
        time.sleep(0.05)
    assert time.monotonic() - began < 15
    if killed != "the command":
        [line] = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert "of 2 ended by signal SIGKILL; continue with --resume" in line
        assert "Traceback" not in errors
    assert len(curves(run)) < 40
    run_to_end(["onlooker", "train", str(clips), "--run", str(run), "--resume", "--devices", "2"])
    run_to_end(command(clips, whole, *options))
    assert content(run) == content(whole)
    assert curves(run) == curves(whole)

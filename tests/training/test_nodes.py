"""Training on several machines, which are processes here: how they meet, and that they train as one machine does."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import TINY, fails
from moving_squares import make_set
from torch.distributed import TCPStore

from onlooker.processes import cores, free_port
from onlooker.training.nodes import Nodes, Rendezvous, join_nodes, join_rendezvous, launched_by_torchrun


def at_nodes(work: Sequence[Callable[[Rendezvous], object]]) -> list[object]:
    """What each node returns, or the error that it raises: threads, in place of machines."""
    port = free_port()

    def run(rank: int) -> object:
        try:
            with join_rendezvous(Nodes(len(work), rank, "127.0.0.1", port)) as rendezvous:
                return work[rank](rendezvous)
        except (ValueError, ConnectionError) as error:
            return error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(run, range(len(work))))


def agree(rendezvous: Rendezvous, devices: int = 1) -> Nodes:
    rendezvous.agree(devices=devices)
    return rendezvous.nodes


def test_nodes_agree_on_a_port() -> None:
    found = at_nodes([lambda rendezvous: agree(rendezvous, devices=2)] * 3)
    ports = {nodes.port for nodes in found if isinstance(nodes, Nodes)}
    assert len(ports) == 1
    assert [nodes.rank for nodes in found if isinstance(nodes, Nodes)] == [0, 1, 2]


def test_unequal_nodes_end_all_of_them() -> None:
    found = at_nodes([lambda rendezvous, count=count: agree(rendezvous, count) for count in (2, 2, 1)])
    assert str(found[0]) == "devices: 1 on node 2, 2 on node 0; all nodes need the same"
    assert str(found[1]) == f"node 0: {found[0]}"


def test_another_number_of_nodes_ends_all_of_them() -> None:
    port = free_port()

    def run(rank: int, count: int) -> str:
        with (
            pytest.raises(ValueError, match="nodes: 3 on node 1, 2 on node 0") as error,
            join_rendezvous(Nodes(count, rank, "127.0.0.1", port)) as rendezvous,
        ):
            agree(rendezvous)
        return str(error.value)

    with ThreadPoolExecutor() as pool:
        found = [*pool.map(run, (0, 1), (2, 3))]
    assert found[1] == f"node 0: {found[0]}"


def test_nodes_meet_again_for_the_next_training_while_the_first_one_is_late() -> None:
    port, values = free_port(), list[int]()

    def run(rank: int) -> None:
        for number in range(2):
            with join_rendezvous(Nodes(2, rank, "127.0.0.1", port)) as rendezvous:
                rendezvous.put("run", number=number)
                agree(rendezvous)
                if rank:
                    values.append(rendezvous.get("run", 0)["number"])
                else:
                    time.sleep(1)  # it evaluates

    with ThreadPoolExecutor() as pool:
        list(pool.map(run, range(2)))
    assert values == [0, 1]


def test_an_error_of_a_node_ends_the_others() -> None:
    def fail(_: Rendezvous) -> None:
        raise ValueError("/clips: no such folder")

    found = at_nodes([agree, fail])
    assert [str(each) for each in found] == ["node 1: /clips: no such folder", "/clips: no such folder"]
    found = at_nodes([fail, lambda rendezvous: rendezvous.get("run", 0)])
    assert str(found[1]) == "node 0: /clips: no such folder"
    found = at_nodes([agree, agree, fail])
    assert {str(each) for each in found[:2]} == {"node 2: /clips: no such folder"}


@pytest.mark.parametrize("alive", [0.0, 0.5])  # seconds: before its second heartbeat, and after it
def test_a_node_without_heartbeats_ends_the_others(alive: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.training.nodes._HEARTBEAT_TIMEOUT", 1.0)

    def die(rendezvous: Rendezvous) -> None:
        time.sleep(alive)
        rendezvous._left.set()
        time.sleep(4)

    found = at_nodes([agree, die])
    assert str(found[0]).startswith("node 1 of 2 has ended, or cannot be reached any more; see its own message, and")


class Unreachable:
    """The store on a first node that has lost its network: operations do not end."""

    def add(self, key: str, _: int) -> int:
        return 1

    def check(self, keys: list[str]) -> bool:
        time.sleep(60)
        return False


def test_a_first_node_that_cannot_be_reached_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.training.nodes._HEARTBEAT_TIMEOUT", 0.5)
    rendezvous = Rendezvous(Nodes(2, 1), Unreachable())  # type: ignore[arg-type]
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=r"^node 0 has ended, or cannot be reached any more; see its own message"):
        rendezvous.check()
    rendezvous.leave()
    assert time.monotonic() - began < 30


def test_a_node_that_has_left_in_order_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.training.nodes._HEARTBEAT_TIMEOUT", 0.5)

    def go_on(rendezvous: Rendezvous) -> str:
        begin = time.monotonic()
        while time.monotonic() - begin < 1.5:
            rendezvous.check()
            time.sleep(0.05)
        return "done"

    assert at_nodes([go_on, str])[0] == "done"


def test_a_restart_by_torchrun_does_not_meet_what_was_written_before(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    store = TCPStore("127.0.0.1", port, None, True, wait_for_workers=False)  # as torchrun's, it outlives the nodes
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setattr("onlooker.training.nodes._LEAVE_TIMEOUT", 0.1)
    monkeypatch.setattr("onlooker.training.nodes._TRAININGS", itertools.count())
    nodes = Nodes(2, 0, "127.0.0.1", port)
    with pytest.raises(ValueError, match="no clips"), join_rendezvous(nodes):
        raise ValueError("no clips")
    assert store.check(["onlooker 0 0/error 0"])
    with join_rendezvous(nodes):  # the next training of the same process
        assert not store.check(["onlooker 0 1/error 0"])
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with join_rendezvous(nodes):
        assert not store.check(["onlooker 1 2/error 0"])


def test_a_node_that_is_not_started_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.training.nodes._START_TIMEOUT", 0.5)
    monkeypatch.setattr("onlooker.training.nodes._LEAVE_TIMEOUT", 0.1)
    with (
        join_rendezvous(Nodes(2, 0, "127.0.0.1", free_port())) as rendezvous,
        pytest.raises(ConnectionError, match="node 1 of 2 is not there; start it"),
    ):
        rendezvous.agree(devices=1)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "nodes is 2, and NODE_RANK is not set; set MASTER_ADDR to the address of the first node"),
        ({"NODE_RANK": "0"}, "nodes is 2, and MASTER_ADDR is not set"),
        ({"NODE_RANK": "one", "MASTER_ADDR": "a"}, "NODE_RANK is 'one', expected a number"),
        ({"NODE_RANK": "2", "MASTER_ADDR": "a"}, "this is node 2, expected one of 0 to 1"),
        ({"SLURM_NODEID": "0", "MASTER_ADDR": "a", "MASTER_PORT": "-1"}, "MASTER_PORT is '-1', expected a number"),
    ],
)
def test_environments_without_a_place(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NODE_RANK", "GROUP_RANK", "SLURM_NODEID", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    clips = make_set(tmp_path / "clips", clips=4, frames=4, side=16)
    assert message in fails("train", clips, "--model", "lstm", "--nodes", 2, "--run", tmp_path / "run", *TINY)
    assert not (tmp_path / "run").exists()


def test_numbers_of_nodes_that_are_impossible() -> None:
    with pytest.raises(ValueError, match="nodes is 0, expected at least 1"), join_nodes(0):
        pass


def test_processes_of_torchrun() -> None:
    here = {"LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "3", "TORCHELASTIC_RUN_ID": "none"}
    assert launched_by_torchrun({**here, "LOCAL_RANK": "0"}) == (2, 3)
    assert launched_by_torchrun({"LOCAL_RANK": "0"}) is None


def command(clips: Path, run: Path, *options: object) -> list[str]:
    words = ["train", clips, "--model", "lstm", "--run", run, "--dropout", 0, *TINY, *options]
    return list(map(str, words))


def start(words: Sequence[str], **environment: object) -> "subprocess.Popen[str]":
    settings = {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "onlooker", *words],
        env={**os.environ, **settings, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # with its processes, it is a group that can be stopped
    )


def start_nodes(clips: Sequence[Path], run: Path, *options: object) -> "list[subprocess.Popen[str]]":
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        start(command(folder, run, "--nodes", len(clips), *options), **place, NODE_RANK=rank)
        for rank, folder in enumerate(clips)
    ]


def said(process: "subprocess.Popen[str]") -> str:
    out, errors = process.communicate(timeout=120)
    return out + errors


def losses(run: Path) -> list[str]:
    """curves.csv without the column of seconds."""
    return [line.rpartition(",")[0] for line in (run / "curves.csv").read_text().splitlines()]


@pytest.mark.slow
def test_two_nodes_train_as_two_devices_do(tmp_path: Path) -> None:
    if cores() < 2:
        pytest.skip("one core: no second device to compare with")
    clips = make_set(tmp_path / "clips", clips=8, frames=4, side=16)
    devices = start(command(clips, tmp_path / "devices", "--devices", 2))
    assert "report:" in said(devices)
    nodes = start_nodes([clips, clips], tmp_path / "nodes")
    texts = [said(each) for each in nodes]
    assert [each.returncode for each in nodes] == [0, 0], texts
    assert "report:" in texts[0]
    assert "report:" not in texts[1]
    assert losses(tmp_path / "nodes") == losses(tmp_path / "devices")


@pytest.mark.slow
def test_torchrun_starts_the_same_training(tmp_path: Path) -> None:
    if cores() < 2:
        pytest.skip("one core: no second device to compare with")
    clips = make_set(tmp_path / "clips", clips=8, frames=4, side=16)
    assert "report:" in said(start(command(clips, tmp_path / "devices", "--devices", 2)))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2"]
    words = [
        *launcher,
        "--master-port",
        str(free_port()),
        "-m",
        "--",
        "onlooker",
        *command(clips, tmp_path / "torchrun"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "torchrun") == losses(tmp_path / "devices")


@pytest.mark.slow
def test_a_node_without_the_clips_ends_the_others(tmp_path: Path) -> None:
    clips = make_set(tmp_path / "clips", clips=4, frames=4, side=16)
    missing = tmp_path / "elsewhere"
    first, second = start_nodes([clips, missing], tmp_path / "run")
    assert f"error: node 1: {missing}" in said(first)
    assert f"error: {missing}" in said(second)


@pytest.mark.slow
def test_a_node_with_other_clips_of_the_same_names_ends_the_others(tmp_path: Path) -> None:
    clips = make_set(tmp_path / "clips", clips=4, frames=4, side=16)
    others = shutil.copytree(clips, tmp_path / "others")
    first, last = sorted(path.name for path in others.iterdir())[:2]
    for old, new in ((first, "swapped"), (last, first), ("swapped", last)):
        (others / old).rename(others / new)
    found = [said(each) for each in start_nodes([clips, others], tmp_path / "run")]
    assert all("not the clip that node 0 has there; give all nodes the same clips" in text for text in found)


def start_endless(clips: Path, run: Path, *options: object) -> "list[subprocess.Popen[str]]":
    """Two nodes that train; returns after their first epoch."""
    before = len(losses(run)) if (run / "curves.csv").exists() else 0
    nodes = start_nodes([clips, clips], run, "--epochs", 5000, *options)
    while not (run / "curves.csv").exists() or len(losses(run)) <= before:
        assert all(each.poll() is None for each in nodes), [said(each) for each in nodes]
        time.sleep(0.2)
    return nodes


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_node_that_stops_answering_in_an_epoch_ends_the_others(stopped: int, tmp_path: Path) -> None:
    clips = make_set(tmp_path / "clips", clips=8, frames=4, side=16)
    nodes = start_endless(clips, tmp_path / "run")
    os.killpg(nodes[stopped].pid, signal.SIGSTOP)  # as without a network: connections stay open, and nothing comes
    began = time.monotonic()
    try:
        text = said(nodes[1 - stopped])
    finally:
        os.killpg(nodes[stopped].pid, signal.SIGKILL)
        nodes[stopped].communicate()
    assert time.monotonic() - began < 90
    assert nodes[1 - stopped].returncode == 1
    lost = f"node {stopped}{' of 2' if stopped else ''} has ended, or cannot be reached any more"
    assert f"error: {lost}; see its own message, and continue with --resume" in text


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_node_that_is_killed_ends_the_others(killed: int, tmp_path: Path) -> None:
    clips = make_set(tmp_path / "clips", clips=8, frames=4, side=16)
    nodes = start_endless(clips, tmp_path / "run")
    nodes[killed].send_signal(signal.SIGKILL)
    began = time.monotonic()
    text = said(nodes[1 - killed])
    assert time.monotonic() - began < 30
    assert "error: another process or node has ended" in text or "has ended, or cannot be reached any more" in text
    assert nodes[1 - killed].returncode == 1
    for each in start_endless(clips, tmp_path / "run", "--resume"):
        each.kill()
        each.wait()

"""Training on several machines, the nodes: how they find each other, and make sure that they train on the same.

The same command runs on every node. The first node does all that a training on one machine does. The others take the
settings and the split from the folder of the run, which all of them can read, read the clips, and work on their part of
each batch; they write nothing. Before that, the nodes meet in a key-value store on the first one (`Meeting`), where an
error of one of them ends all.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from torch.distributed import DistError, PrefixStore, Store, TCPStore

from onlooker.files import printable

__all__ = ["ALONE", "SINGLE", "Meeting", "Nodes", "free_port", "launched_by_torchrun", "meet", "meeting_of"]

_ARRIVAL = timedelta(minutes=5)  # in which a node has to be started
_READING = timedelta(hours=12)  # another node may encode many clips first
_LEAVING = timedelta(seconds=10)
_RANKS = ("NODE_RANK", "GROUP_RANK", "SLURM_NODEID")  # of Lightning and users, of torchrun, of Slurm
_PORT = 29500  # PyTorch's default


@dataclass(frozen=True)
class Nodes:
    """The machines of a training.

    Args:
        count: how many there are.
        rank: the number of this one, from 0; the first one writes the run.
        address, port: of the first one, where its processes listen; None: chosen when training starts.
    """

    count: int = 1
    rank: int = 0
    address: str = "127.0.0.1"
    port: int | None = None


SINGLE = Nodes()


class Meeting:
    """What nodes tell each other: plain values by node and topic. On a single node, nobody listens.

    Args:
        nodes: of the training.
        store: on the first node; None: on a single one.
    """

    def __init__(self, nodes: Nodes, store: Store | None = None) -> None:
        self.nodes, self._store = nodes, store

    def tell(self, topic: str, **values: Any) -> None:
        """Let the other nodes know something."""
        if self._store is not None:
            self._store.set(f"{topic} {self.nodes.rank}", json.dumps(values))

    def ask(self, topic: str, rank: int) -> dict[str, Any]:
        """Wait for what a node tells.

        Raises:
            ValueError: it has failed; with its message.
            ConnectionError: it has ended, or said nothing for twelve hours.
        """
        assert self._store is not None
        try:
            told: dict[str, Any] = json.loads(self._store.get(f"{topic} {rank}"))
        except DistError as error:
            raise ConnectionError(f"node {rank} of {self.nodes.count} cannot be reached any more") from error
        if "error" in told:
            raise ValueError(f"node {rank}: {told['error']}")
        return told

    def agree(self, **values: Any) -> Nodes:
        """Wait until all nodes are ready to train, on the same: called by each with what has to be equal.

        Returns:
            The nodes, with the port at which the processes of the first one listen.

        Raises:
            ValueError: a node has failed, or has other values.
            ConnectionError: a node has ended, or was not started in five minutes.
        """
        if self.nodes.count == 1:
            return self.nodes
        assert self._store is not None
        self.tell("ready", **values)
        if not self.nodes.rank:
            self._wait_for_others("arrived", _ARRIVAL)
            for rank in range(1, self.nodes.count):
                other = self.ask("ready", rank)
                for name, value in values.items():
                    if other[name] != value:
                        given = f"{name.replace('_', ' ')}: {other[name]} on node {rank}, {value} on node 0"
                        raise ValueError(f"{given}; all nodes need the same")
            self.tell("start", port=free_port())
        return Nodes(self.nodes.count, self.nodes.rank, self.nodes.address, self.ask("start", 0)["port"])

    def leave(self) -> None:
        """On the first node, which holds the store, wait until the others have read what they were told."""
        try:
            self.tell("left")
            if not self.nodes.rank:
                self._wait_for_others("left", _LEAVING)
        except (DistError, ConnectionError):  # another node has ended already
            pass

    def _wait_for_others(self, topic: str, limit: timedelta) -> None:
        assert self._store is not None
        for rank in range(1, self.nodes.count):
            try:
                self._store.wait([f"{topic} {rank}"], limit)
            except DistError as error:
                raise ConnectionError(f"node {rank} of {self.nodes.count} is not there; see its own message") from error


ALONE = Meeting(SINGLE)


@contextmanager
def meet(count: int) -> Iterator[Meeting]:
    """Meet the other nodes of a training; an error in the block ends it on all of them.

    Raises:
        ValueError: the number or the environment does not say which nodes there are.
        ConnectionError: the first node cannot be reached for five minutes.
    """
    if count < 1:
        raise ValueError(f"nodes is {count}, expected at least 1")
    if count == 1:
        yield ALONE
        return
    with meeting_of(_nodes(count, os.environ)) as meeting:
        yield meeting


@contextmanager
def meeting_of(nodes: Nodes) -> Iterator[Meeting]:
    """`meet`, for given nodes."""
    meeting = Meeting(nodes, _store(nodes))
    meeting.tell("arrived")
    try:
        yield meeting
    except Exception as error:
        for topic in ("run", "ready", "start"):
            meeting.tell(topic, error=printable(str(error)))
        raise
    finally:
        meeting.leave()


def launched_by_torchrun(environment: Mapping[str, str] = os.environ) -> tuple[int, int, bool] | None:
    """Devices and nodes that `torchrun` was asked for, and whether this is its first process here; None: not by it.

    The first process of a machine starts the others itself, so that they share the memory of the clips.
    """
    if "TORCHELASTIC_RUN_ID" not in environment:
        return None
    devices, nodes, rank = (int(environment[name]) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "LOCAL_RANK"))
    return devices, nodes, rank == 0


def _nodes(count: int, environment: Mapping[str, str]) -> Nodes:
    found = {name: environment.get(name, "") for name in (*_RANKS, "MASTER_ADDR", "MASTER_PORT")}
    rank = next((found[name] for name in _RANKS if found[name]), "")
    if not rank or not found["MASTER_ADDR"]:
        raise ValueError(
            f"nodes is {count}, and {'MASTER_ADDR' if rank else 'NODE_RANK'} is not set; set MASTER_ADDR to the "
            f"address of the first node, and NODE_RANK to 0 on it, to 1 on the next one, ..."
        )
    port = found["MASTER_PORT"] or str(_PORT)
    for name, value in (("NODE_RANK", rank), ("MASTER_PORT", port)):
        if not value.isdecimal():
            raise ValueError(f"{name} is {value!r}, expected a number")
    if int(rank) >= count:
        raise ValueError(f"this is node {rank}, expected one of 0 to {count - 1}; nodes are numbered from 0")
    return Nodes(count, int(rank), found["MASTER_ADDR"], int(port))


def _store(nodes: Nodes) -> Store:
    assert nodes.port is not None
    mine = nodes.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # else torchrun has it
    at = f"{nodes.address}:{nodes.port}"
    try:
        if not mine:
            _wait_for(nodes.address, nodes.port, f"node {nodes.rank} waits for node 0 at {at}")
        store = TCPStore(nodes.address, nodes.port, None, mine, _READING, wait_for_workers=False)
    except (DistError, OSError) as error:
        problem = f"cannot listen at {at}" if mine else f"node 0 does not answer at {at}"
        raise ConnectionError(f"{problem}; check MASTER_ADDR and MASTER_PORT, and that node 0 was started") from error
    return PrefixStore("onlooker", store)


def _wait_for(address: str, port: int, notice: str) -> None:
    """Return as soon as somebody listens; PyTorch would wait as well, and print every attempt."""
    begin = time.monotonic()
    while True:
        try:
            return socket.create_connection((address, port), _ARRIVAL.total_seconds()).close()
        except OSError:
            if time.monotonic() - begin > _ARRIVAL.total_seconds():
                raise
            if notice:
                print(notice, file=sys.stderr)
            notice = ""
            time.sleep(0.2)


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as listening:
        listening.bind(("", 0))
        return int(listening.getsockname()[1])

"""Training on several machines, the nodes: how they find each other, and check that their devices and clips agree.

The same command runs on every node. The first node does all that training on one machine does. The others take the
settings and the split from the folder of the run, which all of them can read, read the clips, and work on their part of
each batch; they write nothing. Before that, the nodes compare devices and clips in a key-value store on the first node
(`Rendezvous`). Through this store, an error on one node ends training on all, and so does a node that sends no
heartbeats any more, because it was killed or has lost its network.
"""

import itertools
import json
import math
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

from torch.distributed import DistError, PrefixStore, Store, TCPStore

from onlooker.files import printable
from onlooker.processes import free_port

__all__ = ["ALONE", "SINGLE", "Nodes", "Rendezvous", "join_nodes", "join_rendezvous", "launched_by_torchrun"]

# Seconds: for a node to be started; without a heartbeat; for a node to leave; between two checks.
_START_TIMEOUT, _HEARTBEAT_TIMEOUT, _LEAVE_TIMEOUT, _POLL = 900.0, 30.0, 10.0, 0.2
_LOST = "has ended, or cannot be reached any more; see its own message, and continue with --resume"
_RANKS = ("NODE_RANK", "GROUP_RANK", "SLURM_NODEID")  # of Lightning and users, of torchrun, of Slurm
_PORT = 29500  # PyTorch's default
_TRAININGS = itertools.count()  # of this process, in the order in which all processes of torchrun begin them


@dataclass(frozen=True)
class Nodes:
    """The machines of a training run.

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


class Rendezvous:
    """The values that nodes share, by topic and node, in a key-value store. A single node needs no store.

    Args:
        nodes: of the training.
        store: the key-value store on the first node; None for a single node.
    """

    def __init__(self, nodes: Nodes, store: Store | None = None) -> None:
        self.nodes, self._left, self._is_lost = nodes, Event(), False
        self._heartbeats = dict.fromkeys(self._others, (0, 0.0))  # of each node: how many, and when it last grew
        self._operations: Queue[tuple[Future[Any], str, tuple[Any, ...]]] | None = None
        if store is not None:
            self._operations = Queue()
            store.add(f"heartbeats {nodes.rank}", 1)  # at once: a node that dies before its second one is missed, too
            self._thread = Thread(target=self._use, args=(store, self._operations), daemon=True)
            self._thread.start()

    def put(self, topic: str, **values: Any) -> None:
        """Set the values of this node."""
        if self._operations is not None:
            self._ask("set", f"{topic} {self.nodes.rank}", json.dumps(values))

    def get(self, topic: str, rank: int) -> dict[str, Any]:
        """Wait for the values of a node, and return them.

        Raises:
            ValueError: a node has failed; with its message.
            ConnectionError: a node has ended, or cannot be reached.
        """
        self._wait(topic, [rank], math.inf)
        values: dict[str, Any] = json.loads(self._ask("get", f"{topic} {rank}"))
        return values

    def agree(self, **values: Any) -> None:
        """Wait until all nodes are ready to train; sets `nodes.port`, where the processes of the first one listen.

        Args:
            values: must be equal on all nodes, like their number.

        Raises:
            ValueError: a node has failed, or has other values.
            ConnectionError: a node has ended, or was not started within a quarter of an hour.
        """
        if self.nodes.count == 1:
            return
        values = {"nodes": self.nodes.count, **values}
        self.put("ready", **values)
        if not self.nodes.rank:
            self._wait("arrived", self._others, _START_TIMEOUT)
            self._wait("ready", self._others, math.inf)
            for rank in self._others:
                other = self.get("ready", rank)
                for name, value in values.items():
                    if other[name] != value:
                        given = f"{name.replace('_', ' ')}: {other[name]} on node {rank}, {value} on node 0"
                        raise ValueError(f"{given}; all nodes need the same")
            self.put("start", port=free_port())
        self.nodes = replace(self.nodes, port=self.get("start", 0)["port"])

    def check(self) -> None:
        """Raise an error if another node has failed or ended before its training was complete.

        Raises:
            ValueError: a node has failed; with its message.
            ConnectionError: a node has ended, or has not been reached for half a minute.
        """
        for rank in self._others:
            if self._ask("check", [f"error {rank}"]):
                text = json.loads(self._ask("get", f"error {rank}"))["text"]
                raise ValueError(text if text.startswith("node ") else f"node {rank}: {text}")
            now, (before, since) = time.monotonic(), self._heartbeats[rank]
            if (count := self._ask("add", f"heartbeats {rank}", 0)) != before:
                self._heartbeats[rank] = count, now
            elif count and now - since > _HEARTBEAT_TIMEOUT and not self._ask("check", [f"left {rank}"]):
                raise ConnectionError(f"node {rank} of {self.nodes.count} {_LOST}")

    def leave(self, error: BaseException | None = None) -> None:
        """Tell the others why, if there is an error; the first node, which holds the store, waits until they know."""
        with suppress(ConnectionError):  # another node has ended already
            if error is not None:
                self.put("error", text=printable(str(error)) or type(error).__name__)
            self.put("left")
            if not self.nodes.rank:
                self._wait("left", self._others, _LEAVE_TIMEOUT)
        self._left.set()
        self._thread.join(_LEAVE_TIMEOUT)  # it has the store, whose port the next training of this process needs

    @property
    def _others(self) -> list[int]:
        return [rank for rank in range(self.nodes.count) if rank != self.nodes.rank]

    def _wait(self, topic: str, ranks: Sequence[int], limit: float) -> None:
        """Poll the store, so that errors of any node, its death, and Ctrl-C end the waiting."""
        begin = time.monotonic()
        while missing := [rank for rank in ranks if not self._ask("check", [f"{topic} {rank}"])]:
            if topic != "left":
                self.check()
            if time.monotonic() - begin > limit:
                raise ConnectionError(f"node {missing[0]} of {self.nodes.count} is not there; start it")
            time.sleep(_POLL)

    def _ask(self, name: str, *arguments: Any) -> Any:
        """The result of an operation of the store."""
        assert self._operations is not None
        future: Future[Any] = Future()
        self._operations.put((future, name, arguments))
        try:
            return future.result(0 if self._is_lost else _HEARTBEAT_TIMEOUT)
        except (DistError, TimeoutError) as error:
            self._is_lost = True
            raise ConnectionError(f"node 0 {_LOST}") from error

    def _use(self, store: Store, operations: "Queue[tuple[Future[Any], str, tuple[Any, ...]]]") -> None:
        """In a thread: send heartbeats and do the operations, which block without end if the network is lost."""
        beat = time.monotonic()
        while not self._left.is_set():
            if time.monotonic() - beat > _HEARTBEAT_TIMEOUT / 10:
                beat = time.monotonic()
                with suppress(DistError):  # the first node has ended
                    store.add(f"heartbeats {self.nodes.rank}", 1)
            with suppress(Empty):
                future, name, arguments = operations.get(timeout=_POLL)
                try:
                    future.set_result(getattr(store, name)(*arguments))
                except Exception as error:
                    future.set_exception(error)


ALONE = Rendezvous(SINGLE)


@contextmanager
def join_nodes(count: int) -> Iterator[Rendezvous]:
    """The rendezvous with the other nodes of a training run; an error in the block ends the run on all nodes.

    Raises:
        ValueError: an invalid number of nodes, or environment variables that are missing or invalid.
        ConnectionError: the first node cannot be reached for a quarter of an hour.
    """
    if count < 1:
        raise ValueError(f"nodes is {count}, expected at least 1")
    if count == 1:
        yield ALONE
        return
    with join_rendezvous(_nodes(count, os.environ)) as rendezvous:
        yield rendezvous


@contextmanager
def join_rendezvous(nodes: Nodes) -> Iterator[Rendezvous]:
    """`join_nodes`, for given nodes."""
    rendezvous = Rendezvous(nodes, _store(nodes))
    rendezvous.put("arrived")
    try:
        yield rendezvous
    except BaseException as error:
        rendezvous.leave(error)
        raise
    rendezvous.leave()


def launched_by_torchrun(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """Devices and nodes that `torchrun` was asked for; None: this process was not started by it."""
    if "TORCHELASTIC_RUN_ID" not in environment:
        return None
    return int(environment["LOCAL_WORLD_SIZE"]), int(environment["GROUP_WORLD_SIZE"])


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
    """The store of this training: not of the one before, which the first node may still be evaluating."""
    of_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    # After a restart by torchrun, its store still has what the nodes wrote before.
    prefix = f"onlooker {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    if of_torchrun:
        return PrefixStore(f"{prefix} {next(_TRAININGS)}", _connect(nodes, False))
    begin, mine = time.monotonic(), nodes.rank == 0
    while True:
        store = PrefixStore(prefix, _connect(nodes, mine))
        if mine or not _has(store, f"left {nodes.rank}"):
            return store
        if time.monotonic() - begin > _START_TIMEOUT:
            raise ConnectionError(f"node 0 has not ended the training before this one; wait for it at {nodes.address}")
        del store
        time.sleep(_POLL)


def _has(store: Store, key: str) -> bool:
    try:
        return store.check([key])
    except DistError:  # it has been closed meanwhile
        return True


def _connect(nodes: Nodes, mine: bool) -> Store:
    """The key-value store at the address of the first node, which is made here if it is `mine`."""
    assert nodes.port is not None
    at = f"{nodes.address}:{nodes.port}"
    try:
        if not mine:
            _wait_for_listener(nodes.address, nodes.port, f"node {nodes.rank} waits for node 0 at {at}")
        return TCPStore(nodes.address, nodes.port, None, mine, wait_for_workers=False)
    except (DistError, OSError) as error:
        problem = f"cannot listen at {at}" if mine else f"node 0 does not answer at {at}"
        raise ConnectionError(f"{problem}; check MASTER_ADDR and MASTER_PORT, and that node 0 was started") from error


def _wait_for_listener(address: str, port: int, notice: str) -> None:
    """Return as soon as the port accepts connections; PyTorch would also wait, but print every attempt."""
    begin = time.monotonic()
    while True:
        try:
            return socket.create_connection((address, port), _START_TIMEOUT).close()
        except OSError:
            if time.monotonic() - begin > _START_TIMEOUT:
                raise
            if notice:
                print(notice, file=sys.stderr)
            notice = ""
            time.sleep(0.2)

"""Training on several devices of one or more machines, one process each; batches and gradients are as on one device.

The order of clips depends on the seed and the epoch alone, and `batch` is the number of clips in a step of all
processes together. So the number of processes changes a step only by rounding, and by what is random within a batch:
augmentation, dropout and mixup. Batch norm uses the statistics of each process.
"""

import os
import pickle
import re
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import Any, cast

import torch
import torch.multiprocessing as mp
from torch.utils.data import Sampler

from onlooker.processes import cores, end_with_parent, free_port
from onlooker.training.nodes import Rendezvous

__all__ = ["SharedBatches", "check_devices", "run_in_processes"]

_CHECK_EVERY = 1.0  # seconds
_LOST = "another process or node has ended; see its own message, and continue with --resume"


class SharedBatches(Sampler[list[int]]):
    """The part of each batch that belongs to one of several processes: every n-th clip of it.

    Args:
        sampler: the order of an epoch, the same in all processes.
        batch: clips of a batch in all processes together.
        rank, processes: the number of this process, and how many there are.

    A process may have no clip of the last batch of an epoch: it gets the first clip of that batch, with a weight of 0.
    """

    def __init__(self, sampler: Sampler[int], batch: int, rank: int, processes: int) -> None:
        self.sampler, self.batch, self.rank, self.processes = sampler, batch, rank, processes

    def __len__(self) -> int:
        return -(-len(cast(Any, self.sampler)) // self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        for first in range(0, len(order), self.batch):
            batch = order[first : first + self.batch]
            yield batch[self.rank :: self.processes] or batch[:1]

    def share(self, number: int) -> tuple[int, float]:
        """How many clips of a batch belong to this process, and the weight of their mean loss.

        DDP averages gradients over the processes; with these weights, the average is the gradient of the batch's loss.
        """
        whole = min(self.batch, len(cast(Any, self.sampler)) - number * self.batch)
        own = len(range(self.rank, whole, self.processes))
        return own, own * self.processes / whole


def check_devices(devices: int) -> None:
    """Raise a ValueError for more devices than there are."""
    gpus = torch.cuda.device_count()
    if devices < 1:
        raise ValueError(f"devices is {devices}, expected at least 1")
    if devices > (gpus or cores()):
        raise ValueError(f"devices is {devices}, expected at most the {gpus or cores()} {'GPUs' if gpus else 'cores'}")


def run_in_processes(devices: int, rendezvous: Rendezvous, work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(rank, processes, *arguments)` in new processes that reach each other; the first error ends all.

    Args:
        devices: number of processes on this machine; `processes` is the number on all nodes.
        rendezvous: of the nodes; an error of another node, or its loss, ends the processes, too.

    Raises:
        ChildProcessError: one of them was killed.
        ConnectionError: another node has ended, or cannot be reached.
        Exception: what one of them raised.
    """
    context = mp.get_context("spawn")
    mp.set_sharing_strategy("file_system")  # the other one opens a file for each tensor of the model
    nodes = rendezvous.nodes
    processes = devices * nodes.count
    address = {"MASTER_ADDR": nodes.address, "MASTER_PORT": str(nodes.port or free_port())}
    receivers, started = [], []
    try:
        for local in range(devices):
            receiver, sender = context.Pipe(duplex=False)
            rank = nodes.rank * devices + local
            ranks = {"RANK": rank, "LOCAL_RANK": local, "NODE_RANK": nodes.rank, "WORLD_SIZE": processes}
            place = {**address, **{name: str(value) for name, value in ranks.items()}}
            process = context.Process(target=_work, args=(sender, place, work, rank, processes, devices, arguments))
            process.start()
            sender.close()
            receivers.append(receiver)
            started.append(process)
        for process in _as_they_end(started, receivers, rendezvous.check):
            error = _error_of(receivers[started.index(process)])
            if error is not None:
                raise error
            process.join()
            if process.exitcode:
                code = process.exitcode
                how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
                rank = nodes.rank * devices + started.index(process)
                raise ChildProcessError(f"process {rank} of {processes} ended {how}; continue with --resume")
    finally:
        for process in started:
            if process.is_alive():
                process.kill()
            process.join()


def _as_they_end(started: list[Any], receivers: list[Any], check: Callable[[], None]) -> Iterator[Any]:
    """The processes in the order in which they end or report an error: sending a long error waits for its reader.

    Meanwhile `check` is called, and may raise: processes that wait for those of a node without a network do not end.
    """
    left = dict(zip(started, receivers, strict=True))
    while left:
        handles = [each for process, receiver in left.items() for each in (process.sentinel, receiver)]
        if not (ready := wait(handles, _CHECK_EVERY)):
            check()
        for process in [each for each, receiver in left.items() if each.sentinel in ready or receiver in ready]:
            del left[process]
            yield process


def _error_of(receiver: Any) -> Exception | None:
    """The exception that a process reported; None if it ended without one."""
    if not receiver.poll():
        return None
    try:
        error = pickle.loads(receiver.recv_bytes())
    except EOFError:  # it ended without one
        return None
    return cast(Exception, error)


def _work(
    sender: Any,
    place: dict[str, str],
    work: Callable[..., None],
    rank: int,
    processes: int,
    devices: int,
    arguments: Any,
) -> None:
    os.environ.update(place)
    os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", None)  # these processes have their own store
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which ends this one
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, torch.get_num_threads() // devices))
    try:
        work(rank, processes, *arguments)
    except Exception as raised:
        # Gloo and NCCL name a line of their own code.
        lost = isinstance(raised, RuntimeError) and re.search("gloo|nccl|connection", str(raised), re.IGNORECASE)
        error = ConnectionError(f"{_LOST} ({str(raised).splitlines()[-1]})") if processes > 1 and lost else raised
        try:
            message = pickle.dumps(error)
            pickle.loads(message)
        except Exception:
            message = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
        sender.send_bytes(message)
        sender.close()
        os._exit(1)  # not through clean-up that waits for the other processes

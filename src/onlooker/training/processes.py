"""Training on several devices of one or more machines, one process each, which torchrun starts and watches.

`onlooker train --devices N` starts them on this machine; on several machines, torchrun starts the command on each of
them. The order of clips depends on the seed and the epoch alone, and `batch` is the number of clips in a step of all
processes together (`SharedBatches`). So the number of processes changes a step only by rounding, and by what is random
within a batch: augmentation and dropout. Batch norm uses the statistics of each process, or of all on GPUs
(`--sync-batchnorm`).
"""

import logging
import multiprocessing
import operator
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from onlooker.processes import cores, end_with_parent

__all__ = ["ALONE", "Processes", "check_devices", "check_guard", "connect", "launch", "launched"]

_LOST = "another process has ended; see its own message, and continue with --resume"
_GRACE = 10.0  # seconds in which torchrun ends a process that has lost another one, and names that one


@dataclass(frozen=True)
class Processes:
    """The processes of a training run.

    Args:
        rank: the number of this one, from 0; the first one writes the run.
        count: how many there are.
        devices: how many of them are on this machine.
    """

    rank: int = 0
    count: int = 1
    devices: int = 1


ALONE = Processes()


def launched(environment: Mapping[str, str] = os.environ) -> Processes:
    """The place of this process among those that torchrun started; `ALONE` if it was not started by torchrun."""
    if "TORCHELASTIC_RUN_ID" not in environment:
        return ALONE
    return Processes(*(int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))


def check_devices(devices: int) -> None:
    """Raise a ValueError for more devices than there are."""
    gpus = torch.cuda.device_count()
    if devices < 1:
        raise ValueError(f"devices is {devices}, expected at least 1")
    if devices > (gpus or cores()):
        raise ValueError(f"devices is {devices}, expected at most the {gpus or cores()} {'GPUs' if gpus else 'cores'}")


def check_guard(devices: int, workers: int) -> None:
    """Raise a RuntimeError if processes that share the work would run the script that starts them once more.

    They do where they are not forked, which devices never are: each imports the script first.
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.endswith("__main__"):  # of `python -m`, which is not imported again
        return
    if devices < 2 and (not workers or multiprocessing.get_start_method() == "fork"):
        return
    try:
        script = Path(main.__file__ or "").read_text(encoding="utf-8")
    except (AttributeError, OSError, ValueError):  # a notebook, or a program that is no text
        return
    if not re.search(r"(?m)^if\b.*__name__", script):
        remedy = 'write the call below `if __name__ == "__main__":`, or leave out devices and workers'
        raise RuntimeError(f"{main.__file__}: the processes that share the work would run it again; {remedy}")


def launch(devices: int, work: Callable[[], Any]) -> Any:
    """Call `work` in new processes on this machine, as torchrun does; the first one that fails ends all.

    Returns:
        What `work` returns in the first process.

    Raises:
        ChildProcessError: a process was killed.
        RuntimeError: a process failed; with its message.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=devices, run_id=str(os.getpid()), rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0,
    )  # fmt: skip
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # each process warns if no parameter is unused
    logging.disable()  # its tables and stack traces of an error, which is raised below
    try:
        return elastic_launch(config, operator.call)(work)[0]
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            how = f"by signal {failure.signal_name()}"
            raise ChildProcessError(f"process {rank} of {devices} ended {how}; continue with --resume") from None
        message: Any = failure.message  # of a Python error, with its stack
        text = message["message"] if isinstance(message, dict) else message
        raise RuntimeError(re.sub(r"^\w+: ", "", text)) from None
    except SignalException as interrupt:
        raise KeyboardInterrupt from interrupt
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def connect(processes: Processes) -> Iterator[None]:
    """Connect this process to the others in the block, and end it if torchrun, or one of the others, ends.

    Raises:
        ConnectionError: another process, or its machine, cannot be reached, and torchrun has not ended this one.
    """
    if processes.count == 1:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the main process, too
    end_with_parent()
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, torch.get_num_threads() // processes.devices))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # The first process may read clips for a long time; a process that has ended is noticed at once.
    torch.distributed.init_process_group(backend, timeout=timedelta(days=1))
    try:
        yield
    except RuntimeError as error:
        if not re.search("gloo|nccl|connection", str(error), re.IGNORECASE):  # they name a line of their own code
            raise
        time.sleep(_GRACE)
        raise ConnectionError(f"{_LOST} ({str(error).splitlines()[-1]})") from error
    torch.distributed.destroy_process_group()

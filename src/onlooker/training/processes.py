"""Training on several devices of one or more machines, one process each, which torchrun starts and
watches.

The order of clips depends on the seed and the epoch alone, and `batch` is the number of clips in a
step of all processes together (`SharedBatches`). So the number of processes changes a step only by
rounding, and by what is random within a batch: augmentation and dropout. Batch norm uses the
statistics of each process.
"""

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch

from onlooker.base.parallel import end_with_parent

_LOST = "another process has ended; see its own message, and continue with --resume"
# seconds: torchrun ends a process that has lost another one sooner, and names the lost one
_GRACE = 10.0


class Processes(NamedTuple):
    """The place of this process among the processes that train together.

    Args:
        rank: its number, from 0; the first one writes the run.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1


def launched(environment: Mapping[str, str] = os.environ) -> Processes:
    """The place of this process among the processes of torchrun; the only one without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in environment:
        return Processes()
    return Processes(int(environment["RANK"]), int(environment["WORLD_SIZE"]))


@contextmanager
def connect() -> Iterator[None]:
    """Connect this process to the others in the block, and end it if torchrun, or one of the
    others, ends.

    Raises:
        ValueError: there are more processes on this machine than GPUs.
        ConnectionError: another process, or its machine, cannot be reached, and torchrun has not
            ended this one.
    """
    if launched().size == 1:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches torchrun, too
    end_with_parent()
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        gpu = int(os.environ["LOCAL_RANK"])
        if gpu >= torch.cuda.device_count():
            raise ValueError(
                f"expected at most {torch.cuda.device_count()} processes here, one for each GPU"
            )
        torch.cuda.set_device(gpu)
    # The first process may read clips for a long time; a process that has ended is noticed at once.
    torch.distributed.init_process_group(backend, timeout=timedelta(days=1))
    try:
        yield
    except RuntimeError as error:
        # they name a line of their own code
        if not re.search("gloo|nccl|connection", str(error), re.IGNORECASE):
            raise
        time.sleep(_GRACE)
        raise ConnectionError(f"{_LOST} ({str(error).splitlines()[-1]})") from error
    torch.distributed.destroy_process_group()

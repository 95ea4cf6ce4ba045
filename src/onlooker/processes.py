"""Worker processes: how many cores they may use, and that none of them outlives the process that started it."""

import multiprocessing
import os
from multiprocessing.connection import Connection, wait
from threading import Thread

__all__ = ["cores", "end_with_parent", "free_cores"]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_cores() -> int:
    """How many nobody else uses: one in a worker process, whose siblings use the others."""
    return 1 if multiprocessing.parent_process() else cores()


def end_with_parent(*connections: Connection) -> None:
    """End this process as soon as its parent ends, or closes the other end of a connection that nothing is sent to."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([*connections, *([parent.sentinel] if parent else [])])
        os._exit(1)

    Thread(target=watch, daemon=True).start()

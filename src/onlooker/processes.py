"""Worker processes: the cores that they may use, the port where they connect, and ending together with the parent."""

import multiprocessing
import os
import socket
from multiprocessing.connection import Connection, wait
from threading import Thread

__all__ = ["cores", "end_with_parent", "free_cores", "free_port"]


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_cores() -> int:
    """The number of cores that this process may use alone: one in a worker process, whose siblings use the others."""
    return 1 if multiprocessing.parent_process() else cores()


def end_with_parent(*connections: Connection) -> None:
    """End this process as soon as its parent ends, or closes the other end of a connection without messages."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([*connections, *([parent.sentinel] if parent else [])])
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as listening:
        listening.bind(("", 0))
        return int(listening.getsockname()[1])

"""Worker threads and processes: the cores that they may use, work done ahead, and ending together
with the parent.
"""

import functools
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread, local
from typing import TypeVar

__all__ = ["cores", "memory_gb"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # results per thread that wait for the caller
_thread = local()


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gb() -> int | None:
    """The machine's memory in GiB; None if it is unknown."""
    return (
        round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
        if os.name == "posix"
        else None
    )


def free_cores() -> int:
    """The number of cores that the caller may use alone: one in a worker, whose siblings use the
    others.
    """
    return (
        1 if multiprocessing.parent_process() or getattr(_thread, "is_worker", False) else cores()
    )


def become_worker() -> None:
    """Leave all cores but one to other workers: what this thread decodes from now on uses one."""
    _thread.is_worker = True


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Generator[Result]:
    """The results of a function that mostly decodes, in the order of the items; threads compute
    them ahead.

    Threads are enough for decoding and optical flow, and start at once: FFmpeg and OpenCV release
    the interpreter lock.

    Args:
        threads: None: one for each core that the caller may use.
    """
    count = threads or free_cores()
    if count == 1 and threads is None:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(count, "onlooker", initializer=become_worker)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > _AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Without waiting: the garbage collector may end this generator inside of a lock that
        # joining a thread needs.
        pool.shutdown(wait=False, cancel_futures=True)


@functools.cache  # a worker of a pool calls it before each of its tasks
def end_with_parent() -> None:
    """End this process within a second after the one that started it, even if that is killed (on
    POSIX systems).
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()

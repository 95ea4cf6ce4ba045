"""Worker threads and processes: the cores that they may use, work done ahead, and ending together
with the parent.
"""

import functools
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from threading import Thread, local
from typing import TypeVar

__all__ = ["cores", "memory_gb"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# Of the memory, by its name in `_OWN_GROUPS`: folder of all groups, and file of a group's limit.
_VERSIONS = {"memory": ("memory", "memory.limit_in_bytes"), "": ("", "memory.max")}
_AHEAD = 2  # results per thread that wait for the caller
_thread = local()


def cores() -> int:
    """The number of CPU cores that this process may use, also in a container."""
    from joblib import cpu_count

    return int(cpu_count())


def memory_gb() -> int | None:
    """The memory in GiB that this process may use, also in a container; None if it is unknown."""
    if os.name != "posix":
        return None
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return round(min([installed, *_memory_limits()]) / 2**30)


def _memory_limits() -> Iterator[int]:
    """Memory limits, in bytes, of this process's control groups and their parents, of versions 1
    and 2.
    """
    with suppress(OSError):  # Linux alone has them
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            version = _VERSIONS.get(controllers)
            if version is not None:
                folder = _GROUPS / version[0] / group.lstrip("/")
                # in a container, the group may have another name and lie in an outer folder
                for group_folder in (folder, *folder.parents):
                    with suppress(OSError, ValueError):  # no such folder; "max": no limit
                        yield int((group_folder / version[1]).read_text())


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
            # with the context of the caller: what a thread notes is shown
            waiting.append(pool.submit(copy_context().run, function, item))
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

"""Several trainings at once: one process each, as many as cores and memory allow."""

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from rich.progress import Progress

from onlooker.evaluation.report import percent
from onlooker.processes import cores, end_with_parent

__all__ = ["Task", "cores", "default_jobs", "memory_gb", "run_parallel"]

# Sent to another process: a function of a module with its arguments (`functools.partial`).
Task = Callable[[], Mapping[str, Any]]

_GIB = 4.0  # memory of a training: its clips, and the libraries


def memory_gb() -> int | None:
    """The machine's memory in GiB; None if it is unknown."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30) if os.name == "posix" else None


def default_jobs(gib: float = _GIB) -> int:
    """One training on a GPU; without a GPU, as many trainings of `gib` GiB as cores and memory allow, at least one."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return 1
    memory = memory_gb()
    return cores() if memory is None else max(1, min(cores(), int(memory // gib)))


def run_parallel(tasks: Mapping[str, Task], jobs: int | None = None, done: int = 0) -> dict[str, Mapping[str, Any]]:
    """Run all tasks, each in a separate process, with a progress bar and the accuracy of each as it ends.

    On the CPU, each process has one thread. The processes end with this one, even if it is killed, so that no two
    processes ever continue from the same checkpoints.

    Args:
        tasks: by name; each returns figures with an `accuracy`, which are returned.
        jobs: tasks at once; None: `default_jobs()`.
        done: tasks that were done before, counted by the bar.

    Raises:
        RuntimeError: the system ended a process, usually because memory ran out.
        Exception: the first error of a task.
    """
    jobs = default_jobs() if jobs is None else jobs
    if not tasks and not done:
        return {}
    watched, alive = Pipe(duplex=False)
    context = get_context("spawn")  # forks would inherit the locks of PyTorch's threads
    with watched, alive, ProcessPoolExecutor(min(jobs, max(1, len(tasks))), context, _start, (watched,)) as pool:
        try:
            results = {}
            with Progress() as progress:
                bar = progress.add_task("training", total=len(tasks) + done, completed=done)
                futures = {pool.submit(task): name for name, task in tasks.items()}
                for future in as_completed(futures):
                    results[futures[future]] = figures = future.result()
                    progress.console.print(f"{futures[future]}: {percent(figures['accuracy'])}", markup=False)
                    progress.advance(bar)
            return {name: results[name] for name in tasks}
        except BaseException as error:
            alive.close()
            if not isinstance(error, BrokenProcessPool):
                raise
            raise RuntimeError(
                "a training was ended by the system, usually because memory ran out; run the same command with fewer "
                f"jobs than {jobs} (--jobs) to continue"
            ) from error


def _start(watched: Connection) -> None:
    """In each process, before its first task."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent handles it
    end_with_parent(watched)

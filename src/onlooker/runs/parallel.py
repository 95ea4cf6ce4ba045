"""Several trainings at once: one process each, as many as GPUs, or cores and memory, allow."""

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
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
    """One training per GPU; without a GPU, as many trainings of `gib` GiB as cores and memory allow, at least one."""
    if gpus := _gpus():
        return gpus
    memory = memory_gb()
    return cores() if memory is None else max(1, min(cores(), int(memory // gib)))


def run_parallel(
    tasks: Mapping[str, Task], jobs: int | None = None, title: str = "training", done: int = 0
) -> dict[str, Mapping[str, Any]]:
    """Run all tasks, each in a separate process, with a progress bar and the accuracy of each as it ends.

    With several GPUs, processes are assigned to them round robin. On the CPU, each process has one thread. The
    processes end with this one, even if it is killed, so that no two processes ever continue from the same checkpoints.

    Args:
        tasks: by name; each returns figures with an `accuracy`.
        jobs: tasks at once; None: `default_jobs()`.
        done: tasks that were done before, counted by the bar.

    Returns:
        The figures of each task.

    Raises:
        ValueError: fewer than one job.
        RuntimeError: the system ended a process, usually because memory ran out.
        Exception: the first error of a task.
    """
    jobs = default_jobs() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"{jobs} trainings in parallel, expected at least one")
    if not tasks and not done:
        return {}
    watched, alive = Pipe(duplex=False)
    # Forks would inherit the locks of PyTorch's threads.
    context = get_context("spawn")
    devices: Queue[int] = context.Queue()
    for number in range(jobs if _gpus() else 0):
        devices.put(number % _gpus())
    start = (watched, devices if _gpus() else None, max(1, cores() // jobs))
    with watched, alive, ProcessPoolExecutor(min(jobs, max(1, len(tasks))), context, _start, start) as pool:
        try:
            return _collect(pool, tasks, title, done)
        except BrokenProcessPool as error:
            alive.close()
            raise RuntimeError(
                f"a process of {title} was ended by the system, usually because memory ran out; run the same command "
                f"with fewer jobs than {jobs} (--jobs) to continue"
            ) from error
        except BaseException:
            alive.close()
            raise


def _collect(
    pool: ProcessPoolExecutor, tasks: Mapping[str, Task], title: str, done: int
) -> dict[str, Mapping[str, Any]]:
    results = {}
    with Progress() as progress:
        bar = progress.add_task(title, total=len(tasks) + done, completed=done)
        futures = {pool.submit(task): name for name, task in tasks.items()}
        for future in as_completed(futures):
            name = futures[future]
            results[name] = future.result()
            progress.console.print(f"{name}: {percent(results[name]['accuracy'])}", markup=False)
            progress.advance(bar)
    return {name: results[name] for name in tasks}


def _gpus() -> int:
    """The number of devices that trainings are spread over; Apple's GPU counts as one."""
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return int(torch.backends.mps.is_available())


def _start(watched: Connection, devices: "Queue[int] | None", threads: int) -> None:
    """In each process, before its first task."""
    torch.set_num_threads(1 if devices is None else threads)
    if devices is not None:
        _use_gpu(devices.get())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent handles it
    end_with_parent(watched)


def _use_gpu(number: int) -> None:
    """Show this process one GPU only; CUDA reads the variable when it is first used."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(i) for i in range(number + 1)]
    os.environ["CUDA_VISIBLE_DEVICES"] = names[number]

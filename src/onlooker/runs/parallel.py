"""Trainings side by side: one process and one thread each, which two cores do faster than one after the other."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from rich.progress import Progress

from onlooker.evaluation.results import cores, memory_gb
from onlooker.evaluation.report import percent

# To be sent to another process: a function of a module with its arguments (`functools.partial`).
Task = Callable[[], Mapping[str, Any]]


def fitting(gib: float) -> int:
    """How many trainings of so much memory each this machine does at once: at most one for every core.

    One where there is a GPU, which all of them would share.
    """
    if torch.cuda.is_available():
        return 1
    memory = memory_gb()
    return cores() if memory is None else max(1, min(cores(), int(memory // gib)))


@contextmanager
def processes(jobs: int | None) -> Iterator[ProcessPoolExecutor]:
    """So many processes of one thread each; None: one for every core.

    They end as soon as the block is left by an error or an interrupt, and when this process is killed: what they train
    is to be gone on with from its checkpoints, by nobody else at the same time.

    Raises:
        ValueError: fewer than one.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"{jobs} trainings side by side, expected at least one")
    watched, alive = Pipe(duplex=False)
    # Forks would inherit locks of PyTorch's threads.
    context = get_context("spawn")
    with watched, alive, ProcessPoolExecutor(jobs or cores(), context, _begin, (watched,)) as pool:
        try:
            yield pool
        except BaseException:
            alive.close()
            raise


def compute(pool: ProcessPoolExecutor, what: str, tasks: Mapping[str, Task], done: int = 0) -> None:
    """Do all tasks, with a bar, and the accuracy of each as it ends.

    Args:
        pool: of `processes`.
        what: beside the bar.
        tasks: by their names; each returns figures with an `accuracy`.
        done: tasks beside them that were done before.

    Raises:
        Exception: the first one of a task.
    """
    if not tasks and not done:
        return
    with Progress() as progress:
        bar = progress.add_task(what, total=len(tasks) + done, completed=done)
        futures = {pool.submit(task): name for name, task in tasks.items()}
        for future in as_completed(futures):
            accuracy = percent(future.result()["accuracy"])
            progress.console.print(f"{futures[future]}: {accuracy}", markup=False)
            progress.advance(bar)


def _begin(watched: Connection) -> None:
    """In each process, before its first task."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the parent says what it means
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()


def _end_with(watched: Connection) -> None:
    """End this process at once when nobody holds the other end of the pipe any longer."""
    watched.poll(None)  # nothing is ever sent
    os._exit(1)

"""Trainings side by side: one process and one thread each, which two cores do faster than one after the other."""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import torch
from rich.progress import Progress

from saccade.evaluation.results import machine
from saccade.evaluation.summary import percent

# To be sent to another process: a function of a module with its arguments (`functools.partial`).
Task = Callable[[], Mapping[str, Any]]


def processes(jobs: int | None) -> ProcessPoolExecutor:
    """So many processes; None: one for every core."""
    # Forks would inherit locks of PyTorch's threads.
    return ProcessPoolExecutor(jobs or machine()["cores"], mp_context=get_context("spawn"))


def compute(pool: ProcessPoolExecutor, what: str, tasks: Mapping[str, Task], done: int = 0) -> None:
    """Do all tasks, with a bar, and the accuracy of each as it ends.

    Args:
        pool: of `processes`.
        what: beside the bar.
        tasks: by their names; each returns figures with an `accuracy`.
        done: tasks beside them that were done before.

    Raises:
        Exception: the first one of a task; those that wait are not begun.
    """
    if not tasks and not done:
        return
    with Progress() as progress:
        bar = progress.add_task(what, total=len(tasks) + done, completed=done)
        futures = {pool.submit(_alone, task): name for name, task in tasks.items()}
        try:
            for future in as_completed(futures):
                accuracy = percent(future.result()["accuracy"])
                progress.console.print(f"{futures[future]}: {accuracy}", markup=False)
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else those that wait would all be computed first
            raise


def _alone(task: Task) -> Mapping[str, Any]:
    torch.set_num_threads(1)
    return task()

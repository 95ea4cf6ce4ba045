"""Measurement and reports of all benchmarks: interleaved repetitions, medians, ratios to peers,
results as JSON; and `--smoke`, with which a benchmark shows that it runs.
"""

import argparse
import gc
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.table import Table

from onlooker.data.stick_figures import StickFigures, write_set
from onlooker_papers.results import write_whole

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
MINIMUM = 5
SMOKE = "--smoke"


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of a benchmark's options, with `--smoke`."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument(
        SMOKE,
        action="store_true",
        help="run every part once, with the smallest sizes; nothing is recorded",
    )
    return arguments


def smoke() -> bool:
    """Whether `--smoke` is given; also in the processes that a benchmark spawns."""
    return SMOKE in sys.argv[1:]


def size(full: T, smallest: T) -> T:
    """A size that is measured, or with `--smoke` the smallest one that runs the same code."""
    return smallest if smoke() else full


def has_peer(package: str) -> bool:
    """Whether a peer can run. Without `--smoke` all peers are needed, and a missing one is an error
    where it is imported.
    """
    if not smoke() or find_spec(package):
        return True
    print(f"{package} is not installed: left out")
    return False


def chromium() -> str | None:
    """The installed Chromium; None: there is none, and playwright takes its own."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def write_clips(folder: Path, count: int = 3) -> Path:
    """Tiny generated clips of two classes, `count` of each, in place of the real ones."""
    figures = StickFigures(frames=8, fps=8, size=(48, 48), people=2)
    return write_set(folder, count, figures=figures, actions=("kick", "walk"))


def interleaved(
    workloads: Mapping[str, Callable[[], object]],
    repetitions: int = MINIMUM,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each workload for each repetition; interleaved, so that a slow phase of the
    machine affects all alike.

    Each workload has one warm-up run. The order is rotated by one for each repetition. With
    `--smoke`, each runs once.
    """
    if repetitions < MINIMUM:
        raise ValueError(
            f"repetitions is {repetitions}, expected at least {MINIMUM} for a meaningful median"
        )
    if smoke():
        repetitions = 1
    else:
        for workload in workloads.values():
            workload()
    seconds: dict[str, list[float]] = {name: [] for name in workloads}
    names = list(workloads)
    for turn in range(repetitions):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            if not smoke():
                gc.collect()
            start = clock()
            workloads[name]()
            seconds[name].append(clock() - start)
    return seconds


def ratios(seconds: dict[str, list[float]], ours: str = "onlooker") -> dict[str, float]:
    """Median time of each peer divided by ours: above one, ours is faster."""
    own = median(seconds[ours])
    return {name: round(median(times) / own, 3) for name, times in seconds.items() if name != ours}


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Median seconds of each workload."""
    return {name: round(median(times), 6) for name, times in seconds.items()}


def profile(work: Callable[[], object], most: int = 5) -> dict[str, float]:
    """Shares of the time of a workload on one thread: the `most` largest PyTorch operations, and
    all others. With `--smoke`, nothing is measured: the profiler imports a compiler for seconds.
    """
    if smoke():
        work()
        return {"all others": 1.0}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    work()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        work()
    torch.set_num_threads(before)
    # Time outside of PyTorch's operations, such as Python code, is among the others.
    spent = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    total = sum(spent.values())
    largest = sorted(spent, key=lambda name: -spent[name])[:most]
    shares = {name.removeprefix("aten::"): round(spent[name] / total, 3) for name in largest}
    return shares | {"all others": round(1 - sum(shares.values()), 3)}


def record(
    name: str,
    what: str,
    figures: dict[str, Any],
    *,
    seeds: Sequence[int] = (),
    packages: Sequence[str] = (),
) -> str:
    """Write `results/<name>.json`: what was measured, command, date, machine, seeds and figures.

    Returns the path, for people; with `--smoke`, the file is written elsewhere and removed.
    """
    script = Path(sys.argv[0]).resolve()
    command = script.relative_to(ROOT).as_posix() if script.is_relative_to(ROOT) else script.name
    full = " ".join(["python", command, *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as removed:
        folder = Path(removed) if smoke() else RESULTS
        path = write_whole(
            folder, name, what=what, command=full, figures=figures, seeds=seeds, packages=packages
        )
    return f"{SMOKE}: {name} runs; nothing is recorded" if smoke() else str(path)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers with three significant digits."""
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)

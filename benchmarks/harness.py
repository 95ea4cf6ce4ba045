"""Measurement and reports of all benchmarks: interleaved repetitions, medians, ratios to peers,
results as JSON.
"""

import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from onlooker_papers.results import write_whole

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
MINIMUM = 5


def interleaved(
    workloads: Mapping[str, Callable[[], object]], repetitions: int = MINIMUM
) -> dict[str, list[float]]:
    """Seconds of each workload for each repetition; interleaved, so that a slow phase of the
    machine affects all alike.

    Each workload has one warm-up run. The order is rotated by one for each repetition.
    """
    if repetitions < MINIMUM:
        raise ValueError(
            f"repetitions is {repetitions}, expected at least {MINIMUM} for a meaningful median"
        )
    for workload in workloads.values():
        workload()
    seconds: dict[str, list[float]] = {name: [] for name in workloads}
    names = list(workloads)
    for turn in range(repetitions):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            start = time.perf_counter()
            workloads[name]()
            seconds[name].append(time.perf_counter() - start)
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
    all others.
    """
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
    seeds: Sequence[int] = (),
    packages: Sequence[str] = (),
) -> Path:
    """Write `results/<name>.json`: what was measured, command, date, machine, seeds and figures."""
    script = Path(sys.argv[0]).resolve()
    command = script.relative_to(ROOT).as_posix() if script.is_relative_to(ROOT) else script.name
    full = " ".join(["python", command, *sys.argv[1:]])
    return write_whole(RESULTS, name, what, full, figures, seeds, packages)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers with three significant digits."""
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)

"""How every benchmark measures and reports: interleaved repetitions, medians, ratios against peers, a JSON file."""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from onlooker_papers.measurement import write_results
from onlooker_papers.results import keep_whole

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
MINIMUM = 5


def interleaved(workloads: dict[str, Callable[[], object]], repetitions: int = MINIMUM) -> dict[str, list[float]]:
    """Seconds of each workload, `repetitions` times, one after the other so that a slow moment hits all alike.

    Each runs once before, unmeasured. The order turns by one each time: none always follows the same neighbor.
    """
    if repetitions < MINIMUM:
        raise ValueError(f"repetitions is {repetitions}, expected at least {MINIMUM} for a median that means something")
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
    """The peers' median time over ours: above one, we are faster."""
    own = median(seconds[ours])
    return {name: round(median(times) / own, 3) for name, times in seconds.items() if name != ours}


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Median seconds of each workload."""
    return {name: round(median(times), 6) for name, times in seconds.items()}


def profile(work: Callable[[], object], most: int = 5) -> dict[str, float]:
    """What limits a workload: the PyTorch operations that take the largest shares of its time, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    work()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        work()
    torch.set_num_threads(before)
    # What is not PyTorch's, such as our own functions' Python, counts among the rest.
    spent = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    total = sum(spent.values())
    largest = sorted(spent, key=lambda name: -spent[name])[:most]
    shares = {name.removeprefix("aten::"): round(spent[name] / total, 3) for name in largest}
    return shares | {"all others": round(1 - sum(shares.values()), 3)}


def record(
    name: str, what: str, figures: dict[str, Any], seeds: Sequence[int] = (), packages: Sequence[str] = ()
) -> Path:
    """Write `results/<name>.json` as all results are written: what, command, date, machine, seeds, figures."""
    script = Path(sys.argv[0]).resolve()
    command = script.relative_to(ROOT).as_posix() if script.is_relative_to(ROOT) else script.name
    full = " ".join(["python", command, *sys.argv[1:]])
    return keep_whole(write_results(RESULTS / f"{name}.json", what, full, figures, seeds, packages))


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers with three significant digits."""
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)

"""How every benchmark measures and reports: interleaved repetitions, medians, ratios against peers, a JSON file."""

import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from saccade.config import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PACKAGES = ("saccade", "torch", "torchvision", "av", "numpy", "opencv-python-headless")
MINIMUM = 5


def interleaved(workloads: dict[str, Callable[[], object]], repetitions: int = MINIMUM) -> dict[str, list[float]]:
    """Seconds of each workload, `repetitions` times, one after the other so that a slow moment hits all alike.

    Each runs once before, unmeasured. The order turns by one each time: none always follows the same neighbour.
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


def ratios(seconds: dict[str, list[float]], ours: str = "saccade") -> dict[str, float]:
    """The peers' median time over ours: above one, we are faster."""
    own = median(seconds[ours])
    return {name: round(median(times) / own, 3) for name, times in seconds.items() if name != ours}


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Median seconds of each workload."""
    return {name: round(median(times), 6) for name, times in seconds.items()}


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """What the figures were measured on: processor, cores, memory, versions; nothing that names the place."""
    versions = {}
    for name in (*PACKAGES, *packages):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
        if os.name == "posix"
        else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def record(
    name: str, what: str, figures: dict[str, Any], seeds: Sequence[int] = (), packages: Sequence[str] = ()
) -> Path:
    """Write `results/<name>.json` as all results are written: what, command, date, machine, seeds, figures."""
    script = Path(sys.argv[0]).resolve()
    command = script.relative_to(ROOT).as_posix() if script.is_relative_to(ROOT) else script.name
    path = RESULTS / f"{name}.json"
    write_json(
        path,
        {
            "what": what,
            "command": " ".join(["python", command, *sys.argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(packages),
            "seeds": list(seeds),
            "figures": figures,
        },
    )
    return path


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers with three significant digits."""
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

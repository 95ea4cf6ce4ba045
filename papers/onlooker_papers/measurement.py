"""A measurement as a small JSON file: what was measured, by which command, when, on which machine, with which seeds."""

import platform
import resource
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from onlooker.experiments.parallel import cores, memory_gb
from onlooker.files import write_json

__all__ = ["largest_so_far", "machine", "write_results"]

_PACKAGES = ("onlooker", "torch", "torchvision", "av", "numpy", "opencv-python-headless")


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, cores, memory, versions; nothing that identifies the machine."""
    versions = {}
    for name in (*_PACKAGES, *packages):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": memory_gb(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def write_results(
    path: Path,
    what: str,
    command: str,
    figures: dict[str, Any],
    seeds: Sequence[int] = (),
    packages: Sequence[str] = (),
) -> Path:
    """Write figures in the format of all results files.

    Args:
        path: the JSON file.
        what: one sentence.
        command: the command that made it, to run it again.
        figures: plain builtins.
        seeds: seeds of the trainings or data.
        packages: whose versions matter in addition to the library's.
    """
    values = {
        "what": what,
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(packages),
        "seeds": list(seeds),
        "figures": figures,
    }
    write_json(path, values)
    return path


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def largest_so_far() -> float:
    """The peak memory of this process in GiB. On Linux, a new program inherits `ru_maxrss`, but not `VmHWM`."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20

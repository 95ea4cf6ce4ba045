"""The machine of a measurement (nothing that identifies it), and the memory that a process took."""

import platform
import resource
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from onlooker.processes import cores, memory_gb

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

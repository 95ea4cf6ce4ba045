"""The machine of a measurement; nothing that identifies it."""

import platform
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
    own = {"cpu": _cpu(), "cores": cores(), "memory_gb": memory_gb(), "system": platform.system()}
    return {**own, "python": platform.python_version(), "versions": versions}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

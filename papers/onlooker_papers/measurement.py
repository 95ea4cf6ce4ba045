"""The machine of a measurement; nothing that identifies it."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from onlooker.base.parallel import cores, memory_gb


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, its vector instructions, cores, memory, versions; nothing that identifies the
    machine.
    """
    versions = {}
    for name in (
        "onlooker",
        "torch",
        "torchvision",
        "av",
        "numpy",
        "opencv-python-headless",
        *packages,
    ):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    processor = {
        "cpu": _cpu(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
    }
    system = {
        "memory_gb": memory_gb(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    return processor | system | {"versions": versions}


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())

"""What a model takes to run live: a separate process loads it, as a program of the user would, and measures itself.

    python -m onlooker.serve.measurement RUN

It writes the figures to its standard output, as JSON.
"""

import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from onlooker.processes import cores
from onlooker.recognizer import Recognizer, load
from onlooker.serve.translation import t

__all__ = ["measure", "measure_apart"]

_SECONDS = 300.0  # within which the process must end; it takes some seconds
_STEPS, _WARM_UP = 20, 3
_FRAME = (480, 640, 3)  # of a typical camera


def measure_apart(run: Path) -> dict[str, Any]:
    """`measure` in a separate process.

    Raises:
        RuntimeError: the process fails, for example since the run is damaged, or takes too long.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", __name__, str(run.absolute())]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", env=environment, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the process that measures {run} takes more than {_SECONDS:.0f} s") from None
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or [f"status {ended.returncode}"])[-1]
        raise RuntimeError(f"the process that measures {run} failed: {reason}")
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def measure(run: Path) -> dict[str, Any]:
    """Load the model of a run, and give it a few frames of a camera.

    Returns:
        `parameters`, including frozen ones; `milliseconds` per frame; `memory`, the largest resident memory of this
        process in bytes (without that of a GPU), and `libraries`, what it was before the model was loaded: Python,
        PyTorch and onlooker; `machine`, the processor or GPU.
    """
    libraries, recognizer = peak_memory(), load(run)
    return {
        "parameters": sum(part.numel() for part in recognizer.model.parameters()),
        "milliseconds": round(milliseconds(recognizer), 2),
        "memory": peak_memory(),
        "libraries": libraries,
        "machine": machine(recognizer),
    }


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    with suppress(OSError, StopIteration):  # Linux, where `ru_maxrss` begins with the peak of the parent process
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes


def milliseconds(recognizer: Recognizer) -> float:
    """Median time for one frame of a stream, in milliseconds; for a model of whole clips, that of a clip per frame."""
    frame = np.random.default_rng(0).integers(0, 255, _FRAME, np.uint8)
    if not recognizer.model.streams:
        clip = torch.zeros(1, recognizer.data.frames, *[recognizer.data.size] * 2, recognizer.data.in_channels)
        clip = clip.to(torch.uint8)
        times = [_timed(lambda: recognizer.classify(clip)) for _ in range(1 + _WARM_UP)]
        return median(times[1:]) / recognizer.data.frames
    streams = recognizer.streams()
    pixels = np.stack([frame] * (1 + streams.lookahead)) if streams.lookahead else frame
    times = [_timed(lambda i=i: streams.step({"": (i, i / 25, pixels)})) for i in range(_WARM_UP + _STEPS)]
    return median(times[_WARM_UP:])


def machine(recognizer: Recognizer) -> str:
    """The processor or GPU that a model runs on."""
    device = next(recognizer.model.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return t("facts.cores", name=_processor(), used=min(cores(), torch.get_num_threads()), count=os.cpu_count())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _timed(work: Any) -> float:
    begin = perf_counter()
    work()
    return 1000 * (perf_counter() - begin)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))

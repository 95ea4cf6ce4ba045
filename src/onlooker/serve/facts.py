"""What a model needs on this machine: bytes, parameters, milliseconds per step; and its step as ONNX."""

import os
import platform
from pathlib import Path
from statistics import median
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
import torch

from onlooker.export import export
from onlooker.onnx_step import STEP
from onlooker.processes import cores
from onlooker.recognizer import Recognizer
from onlooker.serve.problem import Problem
from onlooker.serve.service import Service
from onlooker.serve.translation import t

__all__ = ["ModelFacts"]

_STEPS, _WARM_UP = 20, 3
_FRAME = (480, 640, 3)  # of a typical camera


class ModelFacts:
    """Facts that are measured once for each model, one model at a time."""

    def __init__(self, service: Service) -> None:
        self._models, self._folder = service.models, service.folder / "export"
        self._measured: dict[tuple[str, int], dict[str, Any]] = {}
        self._lock = Lock()

    def describe(self, model_id: str) -> dict[str, Any]:
        """Bytes of the weights, parameters (including frozen ones), milliseconds for one frame, and the machine."""
        model, recognizer = self._models.get(model_id), self._models.load(model_id)
        with self._lock:
            if (key := (model.id, model.saved)) not in self._measured:
                self._measured[key] = {
                    "bytes": model.record.with_name("model.safetensors").stat().st_size,
                    "parameters": sum(part.numel() for part in recognizer.model.parameters()),
                    "milliseconds": round(milliseconds(recognizer), 2),
                    "machine": machine(recognizer),
                }
            return self._measured[key]

    def export(self, model_id: str) -> Path:
        """The step as an ONNX file, made on first use.

        Raises:
            Problem: 501 if the packages for exporting are not installed, 422 for a model without a step.
        """
        model = self._models.get(model_id)
        folder = self._folder / f"{model.id}-{model.saved}"
        with self._lock:
            if not (folder / STEP).exists():
                try:
                    export(self._models.load(model_id), folder)
                except RuntimeError as error:
                    raise Problem(501, "no_export", reason=error) from error
                except ValueError as error:
                    raise Problem(422, "no_step", reason=error) from error
        return folder / STEP


def milliseconds(recognizer: Recognizer) -> float:
    """Median time for one frame of a stream, in milliseconds; for a model of whole clips, that of a clip per frame."""
    frame = np.random.default_rng(0).integers(0, 255, _FRAME, np.uint8)
    if not recognizer.model.streams:
        clip = torch.zeros(1, recognizer.data.frames, *[recognizer.data.size] * 2, recognizer.data.in_channels)
        clip = clip.to(torch.uint8)
        return median(_timed(lambda: recognizer.classify(clip)) for _ in range(_WARM_UP)) / recognizer.data.frames
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

"""What a model needs on this machine, and its step as ONNX."""

from pathlib import Path
from threading import Lock
from typing import Any

from onlooker.export import export
from onlooker.onnx_step import STEP
from onlooker.serve.measurement import measure_apart
from onlooker.serve.problem import Problem
from onlooker.serve.service import Service

__all__ = ["ModelFacts"]


class ModelFacts:
    """Facts that are measured once for each model, one model at a time."""

    def __init__(self, service: Service) -> None:
        self._models, self._folder = service.models, service.folder / "export"
        self._measured: dict[tuple[str, int], dict[str, Any]] = {}
        self._lock = Lock()

    def describe(self, model_id: str) -> dict[str, Any]:
        """The `bytes` of the weights, and what `measure` returns.

        Raises:
            Problem: 404 if the run was removed, 422 if it cannot be measured.
        """
        model = self._models.get(model_id)
        with self._lock:
            if (key := (model.id, model.saved)) not in self._measured:
                try:
                    size = model.record.with_name("model.safetensors").stat().st_size
                    self._measured[key] = {"bytes": size, **measure_apart(model.run)}
                except (RuntimeError, OSError) as error:
                    raise Problem(422, "not_measured", reason=error) from error
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

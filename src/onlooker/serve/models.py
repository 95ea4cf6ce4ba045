"""The trained models that the page offers: which runs there are, newest first, and the few that are in memory."""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import onlooker
from onlooker.answer import nothing_name
from onlooker.files import read_json
from onlooker.models.registry import find_class
from onlooker.models.video_model import RECORD
from onlooker.recognizer import Recognizer, trained_run
from onlooker.serve.problem import Problem
from onlooker.serve.settings import ServeSettings

__all__ = ["Model", "Models"]

_IN_MEMORY = 3
_MAX_RUNS = 200


@dataclass(frozen=True)
class Model:
    """A run with a trained model, as its files describe it.

    Args:
        record: the file that is written last when a model is saved.
        saved: the time of this, in nanoseconds: a run that was trained again is another model in memory.
    """

    id: str
    run: Path
    record: Path
    saved: int

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.run.name


class Models:
    """The run that was given at the start, and the runs in a folder.

    Ensembles are left out, because they predict whole clips only.

    Raises:
        FileNotFoundError: the given run has no model.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._run, self._runs = settings.run, settings.runs
        if self._run and _model(self._run) is None:
            raise FileNotFoundError(f"{self._run}: no trained model; expected what `onlooker train` writes")
        self._started = time.time_ns()
        self._loaded: OrderedDict[tuple[str, int], Recognizer] = OrderedDict()
        self._lock = Lock()

    def find(self) -> list[Model]:
        """All present models: that of the given run first, then the newest first."""
        named = [self._run] if self._run else []
        folders = [*self._runs.iterdir()] if self._runs.is_dir() else []
        runs = {run.resolve(): run for run in [*folders, *named] if run.is_dir()}
        models = [model for run in runs.values() if (model := _model(run))]
        chosen = self._run and self._run.resolve()
        return sorted(models, key=lambda model: (model.run.resolve() != chosen, -model.saved))[:_MAX_RUNS]

    def get(self, model_id: str) -> Model:
        """The model with this id; a Problem 404 if it was removed."""
        for model in self.find():
            if model.id == model_id:
                return model
        raise Problem(404, "model_gone")

    def id_of(self, run: Path | None) -> str | None:
        """The id of a run's model; None if there is no run, or none of the models is its."""
        return next((model.id for model in self.find() if run and model.run.resolve() == run.resolve()), None)

    def load(self, model_id: str) -> Recognizer:
        """The recognizer of a model, kept in memory while it is among the last few that were used.

        Raises:
            Problem: 404 if the run was removed, 422 if it is damaged.
        """
        model = self.get(model_id)
        key = model.id, model.saved
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = _load(model)
                while len(self._loaded) > _IN_MEMORY:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(key)
            return self._loaded[key]

    def describe(self) -> list[dict[str, Any]]:
        """Plain values of all models that can be read, for JSON; no weights are loaded.

        One is `preferred`: the newest, but the run that was given at the start until a model is saved after that.
        """
        described = [(model, values) for model in self.find() if (values := _describe(model))]
        newest = max((model.saved for model, _ in described), default=0)
        preferred = next((model.saved for model, _ in described), 0) if newest <= self._started else newest
        return [{**values, "preferred": model.saved == preferred} for model, values in described]


def _model(run: Path) -> Model | None:
    """The run's model; None if it has none (yet)."""
    record = trained_run(run) / "model" / RECORD
    record = record if record.exists() else run / RECORD
    try:
        saved = record.stat().st_mtime_ns
    except OSError:
        return None
    return Model(hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16], run, record, saved)


def _load(model: Model) -> Recognizer:
    try:
        return onlooker.load(model.run)
    except FileNotFoundError as error:
        raise Problem(404, "model_gone") from error
    except (ValueError, OSError, RuntimeError) as error:
        raise Problem(422, "model_damaged", reason=error) from error


def _describe(model: Model) -> dict[str, Any] | None:
    """The content of the model's record; None if it cannot be read."""
    try:
        values = read_json(model.record)
        settings = read_json(model.record.with_name("config.json"))
        kind = find_class(values["model"], values["package"])
        known = {name: values.get(name) for name in ("frame_rate", "threshold")}
        classes = [str(name) for name in values["classes"]]
        known["nothing"] = nothing_name(classes)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    # An initial state that is computed from the whole clip cannot be used for a stream.
    streams = kind.streams and settings.get("init") != "clip-mean"
    return {"id": model.id, "name": model.name, "path": str(model.run), "classes": classes, "streams": streams, **known}

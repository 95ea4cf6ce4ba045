"""The trained models that the page offers: which runs there are, newest first, and the few that are
in memory.
"""

import hashlib
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import onlooker
from onlooker import Decision, Recognizer, TrainedRun
from onlooker.base.config import StreamConfig
from onlooker.base.files import RECORD, read_json
from onlooker.serve.problem import Problem
from onlooker.serve.project import new_name
from onlooker.serve.settings import ServeSettings

_IN_MEMORY = 3


@dataclass(frozen=True)
class ModelRun:
    """A run with a trained model, as its files describe it.

    Args:
        saved: the time at which it was saved, in nanoseconds: a run that was trained again is
            another model in memory.
    """

    id: str
    run: Path
    folder: Path
    saved: int


class Models:
    """The run that was given at the start, and the runs in a folder.

    Raises:
        FileNotFoundError: the given run has no model.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._run = settings.run
        self._runs = settings.runs
        if self._run and find_model(self._run) is None:
            raise FileNotFoundError(
                f"{self._run}: no trained model; expected what `onlooker train` writes"
            )
        self._lock = Lock()
        self._load = lru_cache(_IN_MEMORY)(lambda model: onlooker.load(model.run))

    def find(self) -> list[ModelRun]:
        """All present models: the given run first, then the newest first."""
        named = [self._run] if self._run else []
        runs = {run.resolve(): run for run in [*self._runs.glob("*"), *named] if run.is_dir()}
        models = [model for run in runs.values() if (model := find_model(run))]
        first = self._run and self._run.resolve()
        return sorted(models, key=lambda model: (model.run.resolve() != first, -model.saved))

    def get(self, model_id: str | None) -> ModelRun:
        """The model with this id, or the first one; a Problem 404 if it was removed, or there is
        none.
        """
        for model in self.find():
            if model_id in (None, model.id):
                return model
        raise Problem(404, "model_gone")

    def load(self, model_id: str) -> Recognizer:
        """The recognizer of a model, kept in memory while it is among the last few that were used.

        Raises:
            Problem: 404 if the run was removed, 422 if it is damaged.
        """
        with self._lock:
            model = self.get(model_id)
            try:
                return self._load(model)
            except (ValueError, OSError, RuntimeError) as error:
                raise Problem(422, "model_damaged", reason=error) from error

    def rename(self, model_id: str, name: str) -> tuple[Path, Path]:
        """Give the run of a model another name; its folder before and after.

        Raises:
            Problem: 404 if it was removed, 409 if it is not in the folder of runs or the name is
                taken, 422 for a name that not every system can store.
        """
        run = self._own(model_id)
        taken = [path.name for path in self._runs.iterdir() if path != run]
        target = run.with_name(new_name(name, taken))
        run.rename(target)
        return run, target

    def delete(self, model_id: str) -> None:
        """Delete a model with its run; raises the errors of `rename`."""
        shutil.rmtree(self._own(model_id))

    def _own(self, model_id: str) -> Path:
        """The run of a model; a Problem 409 unless its folder is among the runs of the page."""
        run = self.get(model_id).run
        if run.is_symlink() or run.parent.resolve() != self._runs.resolve():
            raise Problem(409, "model_elsewhere", path=run)
        return run

    def describe(self) -> list[dict[str, Any]]:
        """Plain values of all models that can be read, for JSON; no weights are loaded."""
        return [values for model in self.find() if (values := _describe(model))]


def find_model(run: Path) -> ModelRun | None:
    """The run's model; None if it has none (yet), or it cannot be read, because it is of another
    user.
    """
    with suppress(OSError):
        if folder := TrainedRun(run).model:
            saved = (folder / RECORD).stat().st_mtime_ns
            model_id = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
            return ModelRun(model_id, run, folder, saved=saved)
    return None


def _describe(model: ModelRun) -> dict[str, Any] | None:
    """The content of the model's record; None if it cannot be read."""
    try:
        decision = Decision.from_dict(read_json(model.folder / RECORD))
        curve = decision.curve
        return {
            "id": model.id,
            "name": model.run.name,
            "path": str(model.run),
            "classes": list(decision.classes),
            "nothing": decision.nothing_name,
            "frame_rate": decision.frame_rate,
            "threshold": decision.threshold,
            "expected": curve and curve.sentence(StreamConfig.alarms_per_hour),
            "report": TrainedRun(model.run).report.is_file(),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None

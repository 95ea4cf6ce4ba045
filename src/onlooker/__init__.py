"""Video classification that shows what happens, where and when, learned from one label per video."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Disable the telemetry of these libraries, which is on by default. They read the variables when
# they are imported.
os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1")

# Threads of PyTorch that wait for each other sleep after a short spin: spinning for long takes the
# cores from other programs, and from the threads that are waited for. GNU's OpenMP reads it when
# PyTorch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from onlooker.base.decision import Decision
    from onlooker.base.records import (
        Box,
        Clip,
        ClipError,
        Evaluation,
        Prediction,
        Segment,
        Step,
        Tube,
    )
    from onlooker.formats.dataframe import to_frame
    from onlooker.measure.figures import Figures
    from onlooker.models.classifier import Classifier
    from onlooker.models.linear import LinearClassifier
    from onlooker.models.registry import create_model, list_models
    from onlooker.recognizer import Recognizer, load
    from onlooker.report.plots import plot
    from onlooker.run.check import Checked, check
    from onlooker.run.train import TrainedRun, train

# The public names and their modules. They are imported on first use, so that `import onlooker` and
# `onlooker --help` do not wait for PyTorch.
_MODULE_OF = {
    "Classifier": "models.classifier",
    "LinearClassifier": "models.linear",
    "create_model": "models.registry",
    "list_models": "models.registry",
    "Recognizer": "recognizer",
    "load": "recognizer",
    "Checked": "run.check",
    "check": "run.check",
    "TrainedRun": "run.train",
    "train": "run.train",
    "Decision": "base.decision",
    "Box": "base.records",
    "Clip": "base.records",
    "ClipError": "base.records",
    "Evaluation": "base.records",
    "Figures": "measure.figures",
    "Prediction": "base.records",
    "Segment": "base.records",
    "Step": "base.records",
    "Tube": "base.records",
    "to_frame": "formats.dataframe",
    "plot": "report.plots",
}

__all__ = [
    "Box",
    "Checked",
    "Classifier",
    "Clip",
    "ClipError",
    "Decision",
    "Evaluation",
    "Figures",
    "LinearClassifier",
    "Prediction",
    "Recognizer",
    "Segment",
    "Step",
    "TrainedRun",
    "Tube",
    "__version__",
    "check",
    "create_model",
    "list_models",
    "load",
    "plot",
    "to_frame",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(f"onlooker.{_MODULE_OF[name]}"), name)
    raise AttributeError(
        f"module 'onlooker' has no attribute {name!r}; it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return __all__

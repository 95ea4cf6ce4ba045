"""Video classification that shows what happens, where and when, learned from one label a video."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from saccade.fused import Fused
    from saccade.models.build import create_model, list_models
    from saccade.models.classifier import Classifier
    from saccade.models.clip_baselines import ClipClassifier
    from saccade.models.track_classifier import TrackClassifier
    from saccade.recognizer import Recognizer, load

# Public names and where they live. They are imported on first use, so that `import saccade` and `saccade --help`
# do not wait for PyTorch.
_PUBLIC = {
    "Classifier": "saccade.models.classifier",
    "ClipClassifier": "saccade.models.clip_baselines",
    "TrackClassifier": "saccade.models.track_classifier",
    "Recognizer": "saccade.recognizer",
    "Fused": "saccade.fused",
    "create_model": "saccade.models.build",
    "list_models": "saccade.models.build",
    "load": "saccade.recognizer",
}

__all__ = [
    "Classifier", "ClipClassifier", "Fused", "Recognizer", "TrackClassifier", "__version__", "create_model",
    "list_models", "load",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'saccade' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__

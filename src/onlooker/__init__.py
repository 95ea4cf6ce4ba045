"""Video classification that shows what happens, where and when, learned from one label a video."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from onlooker.ensemble import Fused
    from onlooker.models.classifier import Classifier
    from onlooker.models.clip_classifier import ClipClassifier
    from onlooker.models.registry import create_model, list_models
    from onlooker.models.track_classifier import TrackClassifier
    from onlooker.recognizer import Recognizer, load

# Public names and where they live. They are imported on first use, so that `import onlooker` and `onlooker --help`
# do not wait for PyTorch.
_PUBLIC = {
    "Classifier": "onlooker.models.classifier",
    "ClipClassifier": "onlooker.models.clip_classifier",
    "TrackClassifier": "onlooker.models.track_classifier",
    "Recognizer": "onlooker.recognizer",
    "Fused": "onlooker.ensemble",
    "create_model": "onlooker.models.registry",
    "list_models": "onlooker.models.registry",
    "load": "onlooker.recognizer",
}

__all__ = [
    "Classifier", "ClipClassifier", "Fused", "Recognizer", "TrackClassifier", "__version__", "create_model",
    "list_models", "load",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'onlooker' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__

"""The table of models, by the names of their papers."""

from dataclasses import dataclass, field
from typing import Any

from saccade.config import DataConfig, ModelConfig
from saccade.models.classifier import Classifier


@dataclass(frozen=True)
class Recipe:
    """A named setting of `Classifier`: what it is for, and its arguments."""

    summary: str
    settings: dict[str, Any] = field(default_factory=dict)


MODELS: dict[str, Recipe] = {
    "convnet": Recipe(
        "each frame for itself, averaged: what can be told without motion",
        {"cell": "memoryless", "attention": None},
    ),
    "lstm": Recipe("an LSTM over one vector a frame", {"cell": "lstm", "attention": None}),
    "alstm": Recipe(
        "soft attention, the attended place as a vector, an LSTM (Sharma et al. 2015)",
        {"cell": "lstm", "attention": "soft", "glimpse": "sum"},
    ),
    "convlstm": Recipe("a ConvLSTM over maps: remembers where", {"cell": "convlstm", "attention": None}),
    "convalstm": Recipe(
        "convolutional attention and a ConvLSTM (Li et al. 2016)",
        {"cell": "convlstm", "attention": "conv", "glimpse": "scaled"},
    ),
    "motion": Recipe(
        "VideoLSTM: a ConvLSTM over the flow says where a second one looks (Li et al. 2016)",
        {"cell": "convlstm", "attention": "motion", "glimpse": "scaled", "flow_channels": 2},
    ),
    "report": Recipe(
        "attention from the cube's average and the memory, a ConvLSTM (Teja & Akunuri 2020)",
        {"cell": "convlstm", "attention": "context", "glimpse": "product"},
    ),
}


def list_models() -> list[str]:
    """The names that `create_model` takes."""
    return list(MODELS)


def configured(model: ModelConfig, data: DataConfig, num_classes: int) -> Classifier:
    """The model of a run's settings, for samples of its data.

    Raises:
        ValueError: as `create_model`, or a model whose attention follows the flow, for samples without picture or flow.
    """
    if model.name in MODELS and MODELS[model.name].settings.get("flow_channels"):
        if data.streams != "both":
            raise ValueError(
                f"{model.name} looks at the picture where the flow says, and streams is {data.streams!r}; "
                "give --streams both"
            )
        settings = {**model.settings(), "flow_channels": data.flow_channels}
    else:
        settings = model.settings()
    return create_model(model.name, num_classes, in_channels=data.in_channels, size=data.size, **settings)


def create_model(name: str, num_classes: int, **settings: Any) -> Classifier:
    """A model by its name.

    Args:
        name: one of `list_models()`.
        num_classes: K.
        settings: arguments of `Classifier` that differ from the named setting, such as `encoder="vgg16"`,
            `size=224`, `pretrained=True`, `hidden=512`.

    Raises:
        ValueError: no model of that name, or a setting that does not fit.
    """
    if name not in MODELS:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    return Classifier(num_classes, **{**MODELS[name].settings, **settings})

"""The table of models; other packages can add to it."""

import inspect
from collections import ChainMap
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal, cast

from torch import nn

from onlooker.base.config import ModelConfig, Settings
from onlooker.base.settings import register, suggestion, typed
from onlooker.models.cells import CELLS, CellSpec
from onlooker.models.cells.attentive import ATTENTIONS, Attention, AttentionSpec
from onlooker.models.cells.cell import Cell, Grid
from onlooker.models.classifier import Classifier
from onlooker.models.encoders import (
    ENCODERS,
    Encoder,
    EncoderSpec,
    load_packages,
)
from onlooker.models.linear import LinearClassifier
from onlooker.models.video_model import VideoModel

__all__ = [
    "Recipe",
    "configured",
    "find_recipe",
    "register_attention",
    "register_cell",
    "register_encoder",
    "register_model",
]

# settings of the encoder of a model that has one
_ENCODER_SETTINGS = frozenset({"encoder", "pretrained", "weights", "frozen"})


@dataclass(frozen=True)
class Recipe:
    """A named model: its class, settings and training defaults.

    Args:
        settings: arguments of its class that differ from the defaults.
        modality: its input; None: any.
        loss: default: cross entropy at `every` frame or the `last` one.
        paired: for modality `both`, RGB and flow have an encoder each.
        fitter: the name of what fits it to clips (`training.fitters`).
    """

    summary: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: type[VideoModel] = Classifier
    modality: Literal["rgb", "flow", "both"] | None = None
    loss: Literal["every", "last"] = "every"
    paired: bool = False
    fitter: str = "gradient"

    @property
    def attends(self) -> bool:
        """Whether its outputs have attention."""
        return self.model.attends or bool(self.settings.get("attention"))

    @property
    def arguments(self) -> frozenset[str]:
        """Names of the arguments of its class."""
        return frozenset(inspect.signature(self.model.__init__).parameters) - {
            "self",
            "num_classes",
        }

    @property
    def options(self) -> frozenset[str]:
        """Names of the settings of `ModelConfig` that have an effect on it."""
        names = {f.name for f in fields(ModelConfig)} & self.arguments
        if "encoder" in self.arguments:
            names |= _ENCODER_SETTINGS
        if not self.attends:
            names -= {"attention_loss"}
        if self.settings.get("cell") == "memoryless":  # which has no hidden units
            names -= {"hidden"}
        return frozenset(names)


MODELS: dict[str, Recipe] = {
    "linear": Recipe(
        "a linear layer on statistics of frozen features over time: trained without epochs, the baseline of all",
        model=LinearClassifier,
        loss="last",
        paired=True,
        fitter="linear",
    ),
    "convnet": Recipe(
        "frames classified independently, averaged: what can be predicted without motion",
        {"cell": "memoryless", "attention": None},
    ),
    "lstm": Recipe("an LSTM over one vector per frame", {"cell": "lstm", "attention": None}),
    "alstm": Recipe(
        "soft attention, the attended features as a vector, an LSTM (Sharma et al. 2015)",
        {"cell": "lstm", "attention": "soft", "glimpse": "sum"},
    ),
    "tcn": Recipe(
        "causal convolutions over time, which detect short movements at any time (Bai et al. 2018)",
        {"cell": "tcn", "attention": None},
        loss="last",
        paired=True,
    ),
    "atcn": Recipe(
        "soft attention, then causal convolutions over time",
        {"cell": "tcn", "attention": "soft", "glimpse": "scaled"},
        loss="last",
        paired=True,
    ),
    "convlstm": Recipe(
        "a ConvLSTM over maps, whose state keeps locations apart",
        {"cell": "convlstm", "attention": None},
    ),
    "convalstm": Recipe(
        "convolutional attention and a ConvLSTM (Li et al. 2016)",
        {"cell": "convlstm", "attention": "conv", "glimpse": "scaled"},
    ),
    "motion": Recipe(
        "VideoLSTM: a ConvLSTM over the flow gives the attention of one over RGB (Li et al. 2016)",
        {
            "cell": "convlstm",
            "attention": "motion",
            "glimpse": "scaled",
            "in_channels": 5,
            "flow_channels": 2,
        },
        modality="both",
    ),
}

_package = attrgetter("package")
_registered: dict[str, Recipe] = {}  # by other packages


def register_model(name: str, recipe: Recipe) -> None:
    """Add a model of another package, for `create_model` and `load`.

    A package calls this in a function without arguments, which it declares as an entry point:

        [project.entry-points."onlooker.models"]
        mine = "my_package.models:register"

    Args:
        name: for `create_model` and `onlooker train --model`.
        recipe: with the package's own subclass of `VideoModel`, if it has one.

    Raises:
        ValueError: another model has this name.
    """
    register(ChainMap(_registered, MODELS), name, recipe, kind="a model")


def register_encoder(
    name: str,
    build: Callable[[int, int, bool], Encoder],
    *,
    terms: str | None = None,
    package: str | None = None,
) -> None:
    """Add an encoder of single frames, for `create_model`, `onlooker.train(encoder=…)` and
    `onlooker train --encoder`.

    A package calls this in a function without arguments, which it declares as an entry point (see
    `register_model`). A saved model that has the encoder names the package, and where this is
    missing, `onlooker.load` says what to install. In a program of its own, no package is needed:
    the program registers the encoder before it trains or loads.

    Args:
        name: not one of the library or of another package.
        build: `build(in_channels, size, pretrained)` for frames `N C H W` of `size` pixels, with
            its own weights if `pretrained`, else with random ones.
        terms: under which its own weights may be used, in words; training prints them and saves
            them with the model. None: it has no weights of its own, and `pretrained` is False.
        package: the distribution that has it, as `pip install` takes it; None: a program.

    Raises:
        ValueError: the library or another package has an encoder of this name.
    """
    register(ENCODERS, name, EncoderSpec(build, terms, package), kind="an encoder", owner=_package)


def register_attention(
    name: str,
    build: Callable[[int, int, int, Grid], Attention],
    *,
    package: str | None = None,
) -> None:
    """Add an attention, for the recipe of a model and `Classifier(attention=…)`, as
    `register_encoder` does an encoder.

    Args:
        name: not one of the library or of another package.
        build: `build(num_features, hidden, units, grid)`: D of the features, channels of the hidden
            state, width of the attention's own layer, and `(h, w)` of the features.
        package: the distribution that has it, as `pip install` takes it; None: a program.

    Raises:
        ValueError: the library or another package has an attention of this name.
    """
    register(ATTENTIONS, name, AttentionSpec(build, package), kind="an attention", owner=_package)


def register_cell(
    name: str, build: Callable[[int, int, Grid], Cell], *, package: str | None = None
) -> None:
    """Add a cell, for the recipe of a model and `Classifier(cell=…)`, as `register_encoder` does an
    encoder.

    Args:
        name: not one of the library or of another package.
        build: `build(num_features, hidden, grid)`: D of the features, units or channels of the
            state, and `(h, w)` of the features.
        package: the distribution that has it, as `pip install` takes it; None: a program.

    Raises:
        ValueError: the library or another package has a cell of this name.
    """
    register(CELLS, name, CellSpec(build, package), kind="a cell", owner=_package)


def list_models() -> list[str]:
    """The names of the library's models; all predict frame by frame (`step`)."""
    return list(MODELS)


def find_recipe(name: str) -> Recipe:
    """The recipe of a model of the library or of an installed package; a ValueError if there is
    none.
    """
    if name not in MODELS:
        load_packages()
    if not (recipe := MODELS.get(name) or _registered.get(name)):
        raise ValueError(f"unknown model {name!r}; {suggestion(name, [*MODELS, *_registered])}")
    return recipe


@typed
def create_model(name: str, num_classes: int, **settings: Any) -> VideoModel:
    """A model by its name, with random weights unless `pretrained=True`.

    Args:
        name: one of `list_models()`, or of an installed package.
        num_classes: K.
        settings: arguments of its class (such as `Classifier`) that differ from its recipe, such as
            `encoder="vgg16"`, `size=224`, `pretrained=True`, `hidden=512`.

    Raises:
        ValueError: no model of that name, or a setting that is unknown or invalid.
    """
    recipe = find_recipe(name)
    for unknown in sorted(set(settings) - recipe.arguments):
        raise ValueError(
            f"{name} has no setting {unknown!r}; {suggestion(unknown, sorted(recipe.arguments))}"
        )
    if recipe.modality == "both" and "in_channels" in settings and "flow_channels" not in settings:
        raise ValueError(
            f"in_channels is {settings['in_channels']} and flow_channels is not given: {name} takes frames with "
            "optical flow as their last channels; give both, such as in_channels=5, flow_channels=2 for RGB and a field"
        )
    return recipe.model(num_classes, **{**recipe.settings, **settings})


def configured(settings: Settings, num_classes: int) -> VideoModel:
    """Build the model of a training, for its data.

    Args:
        settings: complete ones (`training.fitters.complete`); the default encoder is in place of
            one that is to be chosen.
        num_classes: K.

    Raises:
        ValueError: as `create_model`; a modality that the model does not take.
    """
    model, data, _ = settings.with_defaults
    recipe = find_recipe(model.name)
    if recipe.modality not in (None, data.modality):
        raise ValueError(
            f"{model.name} takes RGB and optical flow, and modality is {data.modality!r}; give --modality both"
        )
    defaults = {f.name: f.default for f in fields(model)}
    # What the recipe sets has the default of `ModelConfig` unless it is given.
    arguments = {
        name: value
        for name, value in model.settings().items()
        if name in recipe.arguments and not (name in recipe.settings and value == defaults[name])
    }
    if (recipe.modality == "both" or recipe.paired) and data.modality == "both":
        arguments["flow_channels"] = data.flow_channels
    if "window" in recipe.arguments:
        arguments["window"] = data.frames
    if len(data.views) > 1:
        arguments["views"] = len(data.views)
    net = create_model(
        model.name, num_classes, in_channels=data.in_channels, size=data.size, **arguments
    )
    frozen = (
        bool(arguments.get("pretrained")) and data.modality == "rgb"
        if model.frozen is None
        else model.frozen
    )
    if frozen and net.encoder is not None:
        cast(nn.Module, net.encoder).requires_grad_(False).eval()
    return net


def missing_packages(packages: Collection[str]) -> list[str]:
    """The distributions among `packages` that are not installed or register no part of a model."""
    if not _packages().issuperset(packages):
        load_packages()
    return sorted({*packages} - _packages())


def _packages() -> set[str | None]:
    """The distributions whose models, encoders, cells or attentions are known; None: of a program."""
    return {
        *(encoder.package for encoder in ENCODERS.values()),
        *(cell.package for cell in CELLS.values()),
        *(attention.package for attention in ATTENTIONS.values()),
        *(kind.package for kind in _classes().values()),
    }


def find_class(kind: str) -> type[VideoModel]:
    """A class of models by its name; a ValueError if there is none."""
    if kind not in _classes():
        load_packages()
    if kind not in (classes := _classes()):
        raise ValueError(f"unknown class of models {kind!r}; expected one of {', '.join(classes)}")
    return classes[kind]


def _classes() -> dict[str, type[VideoModel]]:
    recipes = (*MODELS.values(), *_registered.values())
    return {recipe.model.__name__: recipe.model for recipe in recipes}

"""The table of fitters, and the settings of a training, completed for its model and its fitter."""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

from onlooker.base.config import (
    AUGMENTING,
    AUTO_ENCODER,
    DataConfig,
    FitConfig,
    ModelConfig,
    Normalization,
    Settings,
    TrainConfig,
)
from onlooker.base.settings import field_of, refuse, suggestion
from onlooker.models.encoders import encoder_terms, has_weights
from onlooker.models.encoders.lite0 import LITE0, LITE0_SIZE, installed_weights
from onlooker.models.registry import Recipe, find_recipe
from onlooker.training.fitter import Fitter
from onlooker.training.gradient import GradientFitter
from onlooker.training.linear_fitter import LinearFitter

__all__ = ["complete", "register_fitter"]

# settings of a model and its data that only some fitters take into account
_FITTER_SPECIFIC = AUGMENTING | {"frozen", "precision"}


FITTERS: dict[str, Fitter] = {"gradient": GradientFitter(), "linear": LinearFitter()}


def register_fitter(name: str, fitter: Fitter) -> None:
    """Add a way to fit models, for recipes that name it (`register_model`), where models are
    registered: in a function that a package declares as an entry point.

    Raises:
        ValueError: another fitter has this name.
    """
    if type(FITTERS.get(name, fitter)) is not type(fitter):
        raise ValueError(f"a fitter {name!r} is registered already; choose another name")
    FITTERS[name] = fitter


def complete(asked: Settings, given: Collection[str] | None = None) -> Settings:
    """The settings of a training, with all that depends on its model resolved.

    `modality`: that of its recipe; `size`: that of an encoder of a fixed size; `encoder`: `auto`
    where the fitter chooses one and more than one is installed, else `small`; `pretrained`: whether
    the encoder has weights in this package or an extra, or for stored features any;
    `normalization`: that of pretrained weights, else `half`; `loss`: that of the recipe. Stored
    features are of a frozen encoder, without augmentation. Completing twice changes nothing.

    Args:
        given: the names of the settings that were given, which stay, and of which none may be
            without effect; None: all were, and those without effect are not looked for.

    Raises:
        ValueError: an unknown model; settings that contradict each other, or have no effect.
    """
    if given is not None:
        model, data, _ = asked
        recipe = find_recipe(model.name)
        if "modality" not in given:
            data = replace(data, modality=recipe.modality or data.modality)
        chooses = fitter_of(recipe).chooses_encoder and installed_weights()
        if chooses and not {"encoder", "pretrained", "weights"} & {*given}:
            model = replace(model, encoder=AUTO_ENCODER)
        asked = asked._replace(model=model, data=data)
    (settings,) = complete_each([asked], given)
    return settings


def complete_each(
    trainings: Sequence[Settings], given: Collection[str] | None = None
) -> list[Settings]:
    """`complete` for several models with shared settings: those without effect on one of them have
    their defaults there, and an error are those without effect on any.
    """
    if given is not None:
        without_effect = [_without_effect(settings) for settings in trainings]
        shared = set.intersection(*map(set, without_effect))
        refuse(given, {name: without_effect[0][name] for name in shared})
        trainings = [
            _effective(settings, reasons.keys(), given)
            for settings, reasons in zip(trainings, without_effect, strict=True)
        ]
    return [_resolved(settings) for settings in trainings]


def fitter_of(recipe: Recipe) -> Fitter:
    """The fitter of a recipe; a ValueError if there is none of its name."""
    if recipe.fitter not in FITTERS:
        raise ValueError(
            f"unknown fitter {recipe.fitter!r}; {suggestion(recipe.fitter, [*FITTERS])}"
        )
    return FITTERS[recipe.fitter]


def aggregation_of(settings: Settings) -> Literal["mean", "product", "last"]:
    """How frame scores become clip scores by complete settings: as in the training; where that does
    not say, the last frame is enough for a model whose loss is that of the last frame.
    """
    if isinstance(settings.training, TrainConfig):
        return settings.training.resolved_aggregation
    return "last" if find_recipe(settings.model.name).loss == "last" else "mean"


def read_settings(stored: dict[str, Any]) -> Settings:
    """The settings in the config.json of a run. Of the training, earlier versions stored all
    settings, also those of another fitter.

    Raises:
        KeyError, ValueError: a setting is missing, unknown or invalid.
    """
    model = ModelConfig.from_field(stored, "model")
    kind = fitter_of(find_recipe(model.name)).settings
    own = {f.name for f in fields(kind)}
    other_settings = {f.name for f in fields(TrainConfig)} - own
    training = field_of(stored, "training", dict)
    training = {name: value for name, value in training.items() if name not in other_settings}
    return Settings(
        model,
        DataConfig.from_field(stored, "data"),
        kind.from_field({"training": training}, "training"),
    )


def _without_effect(settings: Settings) -> dict[str, str]:
    """The names of settings that have no effect beside the others, and beside which."""
    model, data, training = settings
    recipe = find_recipe(model.name)
    fitter = fitter_of(recipe)
    names = {f.name for f in fields(ModelConfig)} - recipe.options - {"name"}
    names |= _FITTER_SPECIFIC - fitter.uses
    names |= {f.name for f in fields(training)} - {f.name for f in fields(fitter.settings)}
    reasons = dict.fromkeys(names, f"in {model.name}")
    if training.features:
        reasons.pop("precision", None)  # that of the encoder
        reasons |= dict.fromkeys(AUGMENTING, "with features")
    if data.modality == "flow":
        reasons |= dict.fromkeys(("channels", "normalization"), "with modality flow")
    if isinstance(training, TrainConfig) and training.optimizer == "rmsprop":
        reasons["weight_decay"] = "with optimizer rmsprop"
    return reasons


def _effective(
    settings: Settings, without_effect: Collection[str], given: Collection[str]
) -> Settings:
    """The settings with the defaults of the model where they have no effect on it, and with the
    size of its encoder unless one was given.
    """
    model, data, training = settings
    names = {f.name for f in fields(ModelConfig)} - {*without_effect}
    model = ModelConfig(**{name: getattr(model, name) for name in names})
    if model.encoder == LITE0 and "size" not in given:
        data = replace(data, size=LITE0_SIZE)
    return Settings(model, data, training)


def _as(kind: type[FitConfig], training: FitConfig) -> FitConfig:
    """The settings of a training that a fitter has, of its own class; its defaults for others."""
    own: dict[str, Any] = {
        f.name: getattr(training, f.name) for f in fields(kind) if hasattr(training, f.name)
    }
    return kind(**own)


def _resolved(settings: Settings) -> Settings:
    model, data, training = settings
    recipe = find_recipe(model.name)
    fitter = fitter_of(recipe)
    encoder = settings.decided.model.encoder
    if not fitter.chooses_encoder:
        model = replace(model, encoder=encoder)
    if training.features:
        if model.frozen is False:
            raise ValueError(
                "frozen is false, and the encoder of stored features is; leave out --no-frozen"
            )
        model = replace(model, frozen=True)
        # frames as they are
        data = replace(data, translate=0.0, scale=0.0, degrees=0.0, hflip=False)
    if model.weights:
        if model.pretrained is False:
            raise ValueError(
                "weights is a file, and pretrained is false; leave out --no-pretrained"
            )
        model = replace(model, pretrained=True)
    if model.pretrained is None:
        has_terms = encoder_terms(encoder) is not None
        is_trained = has_weights(encoder) if training.features else has_terms
        model = replace(model, pretrained=is_trained and "encoder" in recipe.options)
    if data.normalization == "auto":
        pretrained_normalization: Normalization = "lite0" if encoder == LITE0 else "imagenet"
        data = replace(data, normalization=pretrained_normalization if model.pretrained else "half")
    training = _as(fitter.settings, training)
    if isinstance(training, TrainConfig) and training.loss == "auto":
        training = replace(training, loss=recipe.loss)
    return Settings(model, data, training)
